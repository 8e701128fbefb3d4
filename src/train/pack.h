/* A data set decoded and resized once, into .npy files that train reads as they lie. */
#ifndef TRAIN_PACK_H
#define TRAIN_PACK_H

#include "base/engine.h"
#include "data/image_progress.h"
#include "train/trainer.h"

struct pack_result {
    size_t images, labelled, test; /* written; labelled: apart from what is trained on */
    size_t broken;                 /* skipped, listed in NAME.broken.txt */
    int side, channels, classes;   /* classes 0: no labels */
};

/* Writes what a run on config's data, limit, channels and image_size (0: as train chooses it) would use into NAME.npy, NAME being
 * output without ".npy": (N, S, S, C) bytes, in the set's order. An image's shorter side becomes S (antialiased bilinear), the
 * middle of the longer one stays, values are rounded to the nearest byte; an image of S x S keeps its bytes. Labels, where the set
 * has them, go to NAME.labels.npy (N, int64, -1 for none), the labelled evaluation split to NAME.test.npy and
 * NAME.test.labels.npy, the labelled companion of pictures without labels (STL-10) to NAME.labelled.npy: dataset_open finds all of
 * them beside NAME.npy. Images that cannot be read are left out.
 *
 * Stops where report or engine->stop ask for it. The files appear under their names when all are whole, NAME.npy last; none is
 * overwritten, and after an error, or when stopped, there is none. Their bytes depend on no ISA, thread or path. */
enum simclr_status pack_run(const struct train_config *config, const char *output, const struct engine *engine,
                            image_report_fn *report, void *ctx, struct pack_result *result, struct simclr_error *err);

#endif
