/* Where a network's activations and their gradients lie: buffers that are never alive together share memory.
 *
 * Greedy by size (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020): the largest buffer first,
 * each at the lowest offset that collides with no buffer already placed and alive at the same time. */
#ifndef NN_PLAN_H
#define NN_PLAN_H

#include "nn/resnet.h"

/* Alive from time first to time last, both included. */
struct plan_buffer {
    size_t bytes;
    int first, last;
    size_t offset; /* a multiple of 64 */
};

/* Fills the offsets and the bytes they span. -1 when a size overflows or memory for the planning itself is short. */
int plan_offsets(size_t *total, struct plan_buffer *buffers, size_t count);

enum plan_slot {
    PLAN_OUT,   /* a node's output (rows, ho, wo, k). A normed convolution that only convolutions and sums read has none: they
                 * apply the norm and ReLU to the next buffer as they read it */
    PLAN_PRE,   /* the output before the norm, same shape, kept for backward; without training a node that has PLAN_OUT works in place */
    PLAN_WHICH, /* max pooling's choices, a byte per output */
    PLAN_GRAD,  /* the gradient of the output; backward turns it into that of the pre-norm output in place */
    PLAN_SLOTS,
};

struct network_plan {
    struct plan_buffer slots[RESNET_MAX_NODES][PLAN_SLOTS]; /* bytes == 0: not needed */
    size_t bytes;
};

/* On the time axis node i runs forward at time i and backward at time 2 count - 1 - i. h and z live to the end. -1 on overflow. */
int plan_network(struct network_plan *plan, const struct resnet *net, int rows, bool training);

#endif
