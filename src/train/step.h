/* The arithmetic of one training step, up to the gradients: forward, NT-Xent, backward.
 *
 * With config->micro_batch a step needs the memory of so many images, and takes a second forward pass (GradCache: Gao et al., "Scaling
 * deep contrastive learning batch size under memory limited setup", 2021). First all micro-batches go forward, of which only z stays;
 * then come the loss and dz of the whole batch; then each micro-batch goes forward again, to the same bits, and backward with its rows
 * of dz. Parameters' gradients are added in the order of micro-batches. The norms take their statistics from one micro-batch, and move
 * the running ones once for each, in order. So the gradient is that of the same graph over the whole batch, and the micro-batch, for
 * the norms' sake, is a setting that decides the result. */
#ifndef TRAIN_STEP_H
#define TRAIN_STEP_H

#include "base/arena.h"
#include "base/engine.h"
#include "nn/network.h"
#include "nn/ntxent.h"
#include "train/trainer.h"

struct step_memory {
    const struct engine *engine;
    struct network *network;
    int micro;          /* images of a pass, at most */
    float *views;       /* (2 micro, S, S, C) of a pass, rows of view 0, then of view 1 */
    float *z, *dz;      /* (2 images, out_dim) of the batch, rows of view 0, then of view 1 */
    float *pass_dz;     /* (2 micro, out_dim) */
    float *fresh;       /* for network_backward_add; not taken where a batch is one pass */
    float *statistics;  /* the running ones before the step */
    void *loss_scratch; /* ntxent_scratch */
    size_t image_floats; /* S S C */
    int out_dim;
    float temperature;
    size_t views_bytes, loss_bytes, gradients_bytes, statistics_bytes; /* taken from the arena */
};

/* Images of a pass through the network, of a batch of so many. */
int step_pass_images(const struct train_config *config, int images);

/* For steps of up to so many images, of which `micro` go through the network at once, from an arena that may be measuring, and then
 * network may be NULL. sizes: of the network for 2 micro rows. */
struct step_memory step_lay_out(const struct engine *engine, struct network *network, const struct network_size *sizes,
                                const struct train_config *config, int images, int micro, struct arena *arena);

/* out (2 count, S, S, C): the views of count images of the batch, from `first` on, view 0 of all, then view 1 of all. Asked for the
 * same images again it gives the same views. */
typedef enum simclr_status step_views_fn(void *ctx, float *out, int first, int count, struct simclr_error *err);

struct step_batch {
    int images;
    step_views_fn *views;
    void *ctx;
};

/* Loss and gradients of a batch. *finite false: the loss, a gradient or a running statistic is not; decided from bits that are the same
 * on every ISA and for every number of threads. Then, and after an error, the running statistics are as before. */
enum simclr_status step_run(const struct step_memory *m, const struct step_batch *batch, struct ntxent_result *result, bool *finite,
                            struct simclr_error *err);

/* The same passes, to their end whatever they meet, with the views and every tensor told on the way; the running statistics are as
 * before. */
enum simclr_status step_watch(const struct step_memory *m, const struct step_batch *batch, struct ntxent_result *result, watch_fn *watch,
                              void *ctx, struct simclr_error *err);

#endif
