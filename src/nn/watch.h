/* Looking at the tensors of a pass, for finding where numbers go wrong: a line a tensor. */
#ifndef NN_WATCH_H
#define NN_WATCH_H

#include "nn/conv.h"

#include <stdbool.h>
#include <stddef.h>

/* One tensor, as soon as it is computed. */
struct watched {
    char layer[64];      /* as its parameters are named: "layer1.0.conv2", "layer1.0.bn2", "head.0"; else "maxpool", "layer1.0", "loss" */
    const char *tensor;  /* "output", "running variance", "gradient" (of the output), "weight gradient", ... */
    bool backward;
    size_t count, nan, infinite;
    float min, max;      /* of the finite values; 0 if there are none */
    bool wrong;          /* holds a value that is not finite, or gradients whose sum of squares is not */
};

typedef void watch_fn(void *ctx, const struct watched *tensor);

/* Adds n values to the figures, x itself or what input makes of its (rows, c) before a ReLU. */
void watch_values(struct watched *tensor, const float *x, size_t n);
void watch_input(struct watched *tensor, const struct conv_input *input, size_t rows, int c);

#endif
