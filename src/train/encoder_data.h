/* The images that a run's encoder is shown: at its size and channels, of its run or of any other set. */
#ifndef TRAIN_ENCODER_DATA_H
#define TRAIN_ENCODER_DATA_H

#include "train/encoder.h"
#include "train/run_data.h"

struct image_source {
    const char *path;  /* NULL: those of the encoder's run, with its limit unless there is another here */
    const char *const *files; /* (file_count), in place of path: image files */
    size_t file_count;
    size_t limit;      /* 0: all */
    size_t max_pixels; /* 0: the run's */
};

/* All images of some splits of a set, each split in its order: what is trained on, the labelled companion where that has no labels, what is
 * held out. */
enum image_splits { IMAGES_TRAIN, IMAGES_TEST, IMAGES_LABELLED, IMAGES_ALL };
enum { MOST_PARTS = 3 };
struct image_parts {
    struct image_part part[MOST_PARTS];
    int count;
    bool test_left_out; /* there is a test split, and only IMAGES_TRAIN was asked for */
};
/* A single split that is not there is SIMCLR_ERR_USAGE. */
enum simclr_status image_parts_open(struct image_parts *parts, const struct encoder *encoder, const struct image_source *source,
                                    enum image_splits splits, const struct engine *engine, struct simclr_error *err);
void image_parts_close(struct image_parts *parts);

/* For those who want labels: what a run on these images would train on, its labelled bank and its held-out queries, and that run's settings.
 * Too few labels to have queries are SIMCLR_ERR_USAGE. run_data_close. */
enum simclr_status encoder_run_data(struct run_data *data, struct train_config *config, const struct encoder *encoder,
                                    const struct image_source *source, const struct engine *engine, struct simclr_error *err);

#endif
