/* The kernels by name: every slot of struct kernels. */
#ifndef CLI_SLOTS_H
#define CLI_SLOTS_H

#include "simd/kernels.h"

#include <stddef.h>

struct slot {
    const char *name;
    size_t offset; /* in struct kernels */
};

typedef void slot_fn(void);

const struct slot *kernel_slots(size_t *count);
slot_fn *slot_of(const struct kernels *kernels, const struct slot *slot);

#endif
