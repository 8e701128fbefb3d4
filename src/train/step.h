/* The arithmetic of one training step, up to the gradients: forward, NT-Xent, backward. */
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
    float *views;       /* (rows, S, S, C), rows of view 0, then of view 1 */
    float *dz;          /* (rows, out_dim) */
    void *loss_scratch; /* ntxent_scratch */
    int out_dim;
    float temperature;
    size_t views_bytes, loss_bytes; /* taken from the arena: for views; for the rest */
};

/* For steps of up to `rows` rows, of which `pass_rows` go through the network at once, from an arena that may be measuring. */
struct step_memory step_lay_out(const struct engine *engine, struct network *network, const struct train_config *config, int rows,
                                int pass_rows, struct arena *arena);

/* Loss and gradients of the views. false: the loss, a gradient or a running statistic is not finite, and the network's running
 * statistics are spoilt; decided from bits that are the same on every ISA and for every number of threads. */
bool step_run(const struct step_memory *m, int rows, struct ntxent_result *result);

/* The same pass, to its end whatever it meets, with every tensor told on the way. */
void step_watch(const struct step_memory *m, int rows, struct ntxent_result *result, watch_fn *watch, void *ctx);

#endif
