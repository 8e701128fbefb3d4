/* Features of clean images from a network in inference mode: h, the encoder's, and z, the projection. */
#ifndef EVAL_FEATURES_H
#define EVAL_FEATURES_H

#include "data/image_progress.h"
#include "data/loader.h"
#include "nn/network.h"

/* What one pass gave; valid until take returns. */
struct features_pass {
    size_t first;    /* item of the loader */
    int rows;
    const float *h;  /* (rows, feature_dim) */
    const float *z;  /* (rows, out_dim), or NULL: not asked for */
    const int *labels; /* (rows): LABEL_NONE, or LABEL_BROKEN, whose features mean nothing */
};
typedef enum simclr_status features_take_fn(void *ctx, const struct features_pass *pass, struct simclr_error *err);

/* All items of loader, in order, `batch` a pass (at most the network's max_rows), each handed to take. The bits depend on no batch.
 * progress, unless NULL, goes on from where it is. SIMCLR_ERR_CANCELLED when the loader's engine is to stop, or progress asks for it. */
enum simclr_status features_walk(struct network *network, struct loader *loader, int batch, bool with_z, features_take_fn *take, void *ctx,
                                 struct image_progress *progress, struct simclr_error *err);

/* The same into memory: h (loader_size, feature_dim), z (loader_size, out_dim), one of which may be NULL, and labels (loader_size). */
enum simclr_status features_compute(struct network *network, struct loader *loader, float *h, float *z, int *labels, int batch,
                                    struct image_progress *progress, struct simclr_error *err);

/* The error of a set whose images are all broken, with the reason of the first. */
enum simclr_status features_none_readable(struct loader *loader, struct simclr_error *err);

#endif
