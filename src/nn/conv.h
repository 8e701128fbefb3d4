/* 2-D convolution, NHWC, square kernels, no bias: forward, by data, by weights. A linear layer is the case r = h = w = 1. */
#ifndef NN_CONV_H
#define NN_CONV_H

#include "base/engine.h"
#include "nn/slices.h"

#include <stdbool.h>
#include <stddef.h>

struct conv_shape {
    int n, h, w, c;      /* input (n, h, w, c) */
    int k, r;            /* k output channels, r x r taps */
    int stride, pad;     /* stride 1 to 4 */
    int ho, wo;          /* output (n, ho, wo, k) */
};

struct conv_shape conv_shape(int n, int h, int w, int c, int k, int r, int stride, int pad);

/* Bytes of shared scratch, 64-byte aligned, that any of the three passes needs with this engine. It grows with n, so what serves
 * a shape serves the same shape with fewer images. */
size_t conv_scratch(const struct engine *engine, const struct conv_shape *shape);

/* The input as a layer reads it: x itself, or the norm and ReLU that lie before the layer, applied while it is read. */
struct conv_input {
    const float *x;                    /* (n, h, w, c) */
    const float *mean, *scale, *shift; /* (c): fma(x - mean, scale, shift); NULL: x as it is */
    bool relu;                         /* of that */
};

/* Where forward leaves the sums of its output for a norm: mean and M2 per slice of slices_of(n, ho, wo) and channel, as
 * norm_stats computes them. */
struct conv_sums {
    float *mean, *m2; /* (slices, k) */
};

/* The same of any y, for layers that do not leave them. */
void conv_sum(const struct engine *engine, const struct conv_sums *sums, const float *y, const struct slices *slices, int k);

/* y (n, ho, wo, k) = input (n, h, w, c) * w (r, r, c, k); sums may be NULL */
void conv_forward(const struct engine *engine, float *y, const struct conv_sums *sums, const struct conv_input *input, const float *w,
                  const struct conv_shape *shape, void *scratch);
/* dx (n, h, w, c) = or += the gradient from dy (n, ho, wo, k) */
void conv_backward_data(const struct engine *engine, float *dx, bool accumulate, const float *dy, const float *w,
                        const struct conv_shape *shape, void *scratch);
/* dw (r, r, c, k) overwritten; input and dy as above */
void conv_backward_weights(const struct engine *engine, float *dw, const struct conv_input *input, const float *dy,
                           const struct conv_shape *shape, void *scratch);

#endif
