/* Batch normalisation over (n, h, w, c) with optional residual sum and ReLU, as torch.nn.BatchNorm2d (eps 1e-5, momentum 0.1). */
#ifndef NN_NORM_H
#define NN_NORM_H

#include "base/engine.h"
#include "nn/slices.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes; what serves so many images serves fewer. */
size_t norm_scratch(const struct slices *slices, int c);

struct norm_params {
    const float *gain, *bias;           /* (c) */
    float *running_mean, *running_var;  /* (c) */
};

/* y = relu?(gain (x - mean) invstd + bias + residual?), y may be x; batch statistics go to mean, invstd (c), running ones are
 * updated with the unbiased variance. Statistics: (mean, M2) per slice, combined in double in slice order. */
void norm_forward(const struct engine *engine, float *y, float *mean, float *invstd, const float *x, const float *residual,
                  const struct norm_params *params, bool relu, const struct slices *slices, int c, void *scratch);
/* The same with running statistics, nothing updated; y may be x. */
void norm_inference(const struct engine *engine, float *y, const float *x, const float *residual,
                    const struct norm_params *params, bool relu, const struct slices *slices, int c, void *scratch);

/* dx (may be dy), dgain, dbias (c) overwritten; dres (NULL: none) = or += the masked gradient. out: the layer's output if it
 * ended in ReLU, else NULL. */
void norm_backward(const struct engine *engine, float *dx, float *dres, bool accumulate_res, float *dgain, float *dbias,
                   const float *dy, const float *out, const float *x, const float *gain, const float *mean,
                   const float *invstd, const struct slices *slices, int c, void *scratch);

#endif
