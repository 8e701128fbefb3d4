/* Fully connected layer over rows: y = x w + bias, optional ReLU. w is (in, out). */
#ifndef NN_LINEAR_H
#define NN_LINEAR_H

#include "base/engine.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes; what serves so many rows serves fewer. */
size_t linear_scratch(const struct engine *engine, int rows, int in, int out);
void linear_forward(const struct engine *engine, float *y, const float *x, const float *w, const float *bias, bool relu, int rows,
                    int in, int out, void *scratch);
/* dy (rows, out) is masked in place by relu_out (NULL: no ReLU); dx (NULL: not wanted), dw, dbias (NULL: no bias) overwritten. */
void linear_backward(const struct engine *engine, float *dx, float *dw, float *dbias, float *dy, const float *relu_out,
                     const float *x, const float *w, int rows, int in, int out, void *scratch);

#endif
