/* 2-D convolution, NHWC, square kernels, no bias: forward, by data, by weights. A linear layer is the case r = h = w = 1. */
#ifndef NN_CONV_H
#define NN_CONV_H

#include "base/engine.h"

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

/* y (n, ho, wo, k) = x (n, h, w, c) * w (r, r, c, k) */
void conv_forward(const struct engine *engine, float *y, const float *x, const float *w, const struct conv_shape *shape,
                  void *scratch);
/* dx (n, h, w, c) = or += the gradient from dy (n, ho, wo, k) */
void conv_backward_data(const struct engine *engine, float *dx, bool accumulate, const float *dy, const float *w,
                        const struct conv_shape *shape, void *scratch);
/* dw (r, r, c, k) overwritten */
void conv_backward_weights(const struct engine *engine, float *dw, const float *x, const float *dy,
                           const struct conv_shape *shape, void *scratch);

#endif
