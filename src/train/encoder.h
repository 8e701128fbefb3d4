/* The encoder of a run, frozen, for those who use it: evaluation, features, export. */
#ifndef TRAIN_ENCODER_H
#define TRAIN_ENCODER_H

#include "nn/network.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

struct encoder {
    struct network *network;    /* of what a run trains, without training; h and z */
    struct train_config config; /* the run's; of a checkpoint without its run's config.json, what decided the weights */
    bool data_known;            /* config says which images the run has: config.json was there */
    uint64_t step;              /* steps trained */
    uint64_t batches;           /* that the running statistics have seen: steps without those that were skipped */
    char path[4096];            /* of the checkpoint */
};

/* Opens a run's folder (its newest whole checkpoint; damaged ones that are newer are told) or one checkpoint file, for passes of up to
 * max_rows images. Changes no file, so that a run may go on meanwhile. */
enum simclr_status encoder_open(struct encoder *encoder, const char *run, int max_rows, const struct engine *engine,
                                checkpoint_tell_fn *tell, void *ctx, struct simclr_error *err);
void encoder_close(struct encoder *encoder);

/* CRC-64/XZ of all weights and running statistics, the same on every machine: whether something changed them. */
uint64_t encoder_hash(const struct encoder *encoder);

#endif
