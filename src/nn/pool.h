/* Max pooling 3x3 stride 2 padding 1, and global average pooling, NHWC, parallel over images. */
#ifndef NN_POOL_H
#define NN_POOL_H

#include "base/engine.h"

#include <stdint.h>

/* y, which (n, ho, wo, c), ho = (h + 1) / 2 */
void maxpool_forward(const struct engine *engine, float *y, uint8_t *which, const float *x, int n, int h, int w, int c);
void maxpool_backward(const struct engine *engine, float *dx, const float *dy, const uint8_t *which, int n, int h, int w, int c);
/* y (n, c) */
void avgpool_forward(const struct engine *engine, float *y, const float *x, int n, int pixels, int c);
void avgpool_backward(const struct engine *engine, float *dx, const float *dy, int n, int pixels, int c);

#endif
