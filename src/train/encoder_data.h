/* The images that a run's encoder is shown: at its size and channels, of its run or of any other set. */
#ifndef TRAIN_ENCODER_DATA_H
#define TRAIN_ENCODER_DATA_H

#include "train/encoder.h"
#include "train/run_data.h"

struct image_source {
    const char *path;  /* NULL: those of the encoder's run, with its limit unless there is another here */
    size_t limit;      /* 0: all */
    size_t max_pixels; /* 0: the run's */
};

/* All images of one split of a set, in its order. */
struct encoder_set {
    struct dataset *set; /* NULL: there is no such split */
    struct loader *loader;
};
enum simclr_status encoder_set_open(struct encoder_set *images, const struct encoder *encoder, const struct image_source *source,
                                    enum dataset_split split, const struct engine *engine, struct simclr_error *err);
void encoder_set_close(struct encoder_set *images);

/* For evaluation: what a run on these images would train on, its labelled bank and its held-out queries. run_data_close. */
enum simclr_status encoder_run_data(struct run_data *data, const struct encoder *encoder, const struct image_source *source,
                                    const struct engine *engine, struct simclr_error *err);

#endif
