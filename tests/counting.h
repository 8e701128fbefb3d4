/* An allocator for simclr_engine_set_allocator that counts, and fails when it is told to. */
#ifndef TESTS_COUNTING_H
#define TESTS_COUNTING_H

#include <stdatomic.h>
#include <stddef.h>

struct counting {
    atomic_size_t calls;
    atomic_int live;
    size_t fail_at; /* call that returns NULL, and every one after it; 0: none */
};

void *counting_alloc(void *ctx, size_t size, size_t alignment);
void counting_free(void *ctx, void *memory);

#endif
