/* Which algorithm computes a convolution. By shape alone, and for all three passes alike: it decides bits. Not by the number of images
 * either, so that an image's features do not depend on the batch it came in. */
#ifndef NN_CONV_CHOICE_H
#define NN_CONV_CHOICE_H

#include "nn/conv.h"

#include <stdint.h>

enum conv_algorithm { CONV_DIRECT, CONV_WINOGRAD_4X4, CONV_WINOGRAD_3X3, CONV_WINOGRAD_STRIDED };

enum conv_algorithm conv_algorithm(const struct conv_shape *shape);
const char *conv_algorithm_name(enum conv_algorithm algorithm); /* "direct", "winograd 4x4" ... */

/* Products that it makes for one image, one input channel and one output channel, padding included. */
int64_t conv_products(const struct conv_shape *shape);

#endif
