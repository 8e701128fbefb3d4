/* Convolutions of 3x3, stride 1 or 2, padding 1 by Winograd's algorithms: the three passes of conv.h for the shapes that
 * conv_choice.h gives them. */
#ifndef NN_WINOGRAD_H
#define NN_WINOGRAD_H

#include "nn/conv.h"

size_t winograd_scratch(const struct engine *engine, const struct conv_shape *shape);

void winograd_forward(const struct engine *engine, float *y, const struct conv_sums *sums, const struct conv_input *input,
                      const float *w, const struct conv_shape *shape, void *scratch);
void winograd_backward_data(const struct engine *engine, float *dx, bool accumulate, const float *dy, const float *w,
                            const struct conv_shape *shape, void *scratch);
void winograd_backward_weights(const struct engine *engine, float *dw, const struct conv_input *input, const float *dy,
                               const struct conv_shape *shape, void *scratch);

#endif
