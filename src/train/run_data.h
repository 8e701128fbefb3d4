/* The images of a run: what is trained on, and the labelled bank and held-out queries of its kNN evaluation. */
#ifndef TRAIN_RUN_DATA_H
#define TRAIN_RUN_DATA_H

#include "data/loader.h"
#include "train/trainer.h"

struct run_data {
    struct dataset *train_set, *bank_set, *test_set; /* the latter two may be train_set, or NULL */
    struct loader *train, *bank, *test;              /* bank and test NULL: no labels, no kNN */
    int classes;
    uint64_t fingerprint; /* of what is trained on */
};

/* Opens what config names and fills in what config leaves to the data: image_size 0, stem auto. */
enum simclr_status run_data_open(struct run_data *data, struct train_config *config, const struct engine *engine,
                                 struct simclr_error *err);
void run_data_close(struct run_data *data);

#endif
