#include "tests/counting.h"

#include <stdlib.h>

void *counting_alloc(void *ctx, size_t size, size_t alignment)
{
    struct counting *c = ctx;
    size_t call = atomic_fetch_add(&c->calls, 1) + 1;
    void *p = c->fail_at && call >= c->fail_at ? NULL : aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    atomic_fetch_add(&c->live, p != NULL);
    return p;
}

void counting_free(void *ctx, void *memory)
{
    struct counting *c = ctx;
    atomic_fetch_sub(&c->live, 1);
    free(memory);
}
