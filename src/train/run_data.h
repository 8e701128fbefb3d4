/* The images of a run: what is trained on, and the labelled bank and held-out queries of its kNN evaluation. */
#ifndef TRAIN_RUN_DATA_H
#define TRAIN_RUN_DATA_H

#include "data/loader.h"
#include "train/trainer.h"

struct run_data {
    struct dataset *train_set, *bank_set, *test_set; /* the latter two may be train_set, or NULL */
    struct loader *train, *bank, *test;              /* bank may be train; bank and test NULL: no labels, no kNN */
    int classes;
    uint64_t fingerprint; /* of what is trained on */
};

/* Opens what config names and fills in what config leaves to the data: image_size 0, stem auto. */
enum simclr_status run_data_open(struct run_data *data, struct train_config *config, const struct engine *engine,
                                 struct simclr_error *err);
void run_data_close(struct run_data *data);

/* Of it: what config leaves to the data. set NULL: only what can be told without. */
enum simclr_status run_data_shape(struct train_config *config, const struct dataset *set, struct simclr_error *err);

/* Before the first batch, when all else is allocated: how much of the decoded images is kept in memory, of `most` bytes that
 * it may take (SIZE_MAX: no limit but what is free). Changes no result. */
void run_data_cache(struct run_data *data, enum cache_mode mode, size_t most);

/* What a few images, spread over what is trained on, say of all. Without any that can be read, the error of the last. */
struct image_sample {
    int h, w;     /* the largest of both */
    double bytes; /* decoded, on average */
};
enum simclr_status run_data_sample(struct image_sample *sample, const struct run_data *data, struct simclr_error *err);

/* Bytes of decoded images that run_data_cache will keep in memory if so many are available then. */
size_t run_data_cached(const struct run_data *data, enum cache_mode mode, const struct image_sample *sample, size_t available);

/* The two parts of run_data_open that pack shares: the sets alone (evaluated false: only what is trained on), and the image size
 * that a set gets when none is asked for. */
enum simclr_status run_data_sets(struct run_data *data, const char *path, const struct dataset_options *options, bool evaluated,
                                 struct simclr_error *err);
enum simclr_status run_data_side(int *side, const struct dataset *set, struct simclr_error *err);

#endif
