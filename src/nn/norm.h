/* Batch normalisation over (n, h, w, c) with optional residual sum and ReLU, as torch.nn.BatchNorm2d (eps 1e-5, momentum 0.1).
 *
 * Forward is in two halves: what the statistics make of the norm, per channel, and its application. The sums that they start from
 * come from the layer before, and the application may be left to the layers behind: struct conv_input. */
#ifndef NN_NORM_H
#define NN_NORM_H

#include "base/engine.h"
#include "nn/conv.h"
#include "nn/slices.h"

#include <stdbool.h>
#include <stddef.h>

struct norm_params {
    const float *gain, *bias;           /* (c) */
    float *running_mean, *running_var;  /* (c) */
};

/* Bytes of scratch; what serves so many images serves fewer. The layer whose output is summed needs its own at the same time. */
size_t norm_scratch(const struct slices *slices, int c);

/* Where in the scratch the sums of the layer's output go, for conv_forward; norm_sum fills them for layers that cannot. */
struct conv_sums norm_sums(const struct slices *slices, int c, void *scratch);
void norm_sum(const struct engine *engine, const float *x, const struct slices *slices, int c, void *scratch);

/* From the sums in the scratch: mean, invstd (c) of the batch, scale = gain invstd (c); running statistics are updated with the
 * unbiased variance. (Mean, M2) of the slices are combined in double in slice order. */
void norm_statistics(const struct engine *engine, float *mean, float *invstd, float *scale, const struct norm_params *params,
                     const struct slices *slices, int c, void *scratch);
/* scale (c) from the running statistics, whose mean is then that of the norm. */
void norm_running_scale(float *scale, const struct norm_params *params, int c);

/* y = what input says; with a residual = relu?(input before its ReLU + what residual says). y may be either's x. */
void norm_forward(const struct engine *engine, float *y, const struct conv_input *input, const struct conv_input *residual,
                  const struct slices *slices, int c);

/* dx (may be dy), dgain, dbias (c) overwritten; dres (NULL: none) = or += the masked gradient. input: what norm_forward was given;
 * out: its y if there was a residual, so that input alone cannot tell where the ReLU let pass, else NULL. */
void norm_backward(const struct engine *engine, float *dx, float *dres, bool accumulate_res, float *dgain, float *dbias,
                   const float *dy, const float *out, const struct conv_input *input, const float *invstd,
                   const struct slices *slices, int c, void *scratch);

#endif
