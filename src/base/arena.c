#define _DEFAULT_SOURCE
#include "base/arena.h"

#include "base/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64 };
#define HUGE_PAGE ((size_t)2 << 20)

static int round_up(size_t count, size_t size, size_t *bytes)
{
    if (size && count > (SIZE_MAX - ALIGNMENT) / size)
        return -1;
    *bytes = (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return 0;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (arena->overflow || round_up(count, size, &bytes) || bytes > SIZE_MAX - arena->used) {
        arena->overflow = 1;
        return NULL;
    }
    if (arena->base && arena->used + bytes > arena->capacity) {
        arena->overflow = 1;
        return NULL;
    }
    char *p = arena->base ? arena->base + arena->used : NULL;
    arena->used += bytes;
    if (arena->tally)
        *arena->tally += bytes;
    return p;
}

int arena_commit(struct arena *arena)
{
    if (arena->overflow)
        return -1;
    arena->base = allocator_alloc(arena->allocator, arena->used ? arena->used : 1, 1);
    arena->capacity = arena->used;
    arena->used = 0;
    arena->tally = NULL;
    return arena->base ? 0 : -1;
}

void arena_free(struct arena *arena)
{
    allocator_free(arena->allocator, arena->base);
    *arena = (struct arena){.allocator = arena->allocator};
}

/* Rows of activations, panels of weights and the points of Winograd tiles lie in hundreds of 4 KB pages at once: huge ones are worth
 * 2 to 6 % of a GEMM. */
static bool is_huge(size_t bytes)
{
    return bytes >= 2 * HUGE_PAGE && bytes <= SIZE_MAX - HUGE_PAGE;
}

size_t aligned_bytes(size_t bytes)
{
    if (round_up(bytes, 1, &bytes))
        return SIZE_MAX;
    return is_huge(bytes) ? (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE : bytes;
}

void *alloc_aligned(size_t count, size_t size)
{
    size_t bytes;
    if (round_up(count, size, &bytes))
        return NULL;
    bool huge = is_huge(bytes);
    size_t left = huge ? memory_available() : 0;
    if (left && bytes > left)
        return NULL;
    bytes = aligned_bytes(bytes);
    if (bytes > PTRDIFF_MAX)
        return NULL;
    void *p = aligned_alloc(huge ? HUGE_PAGE : ALIGNMENT, bytes ? bytes : ALIGNMENT);
#ifdef MADV_HUGEPAGE
    if (p && huge)
        madvise(p, bytes, MADV_HUGEPAGE); /* a hint: nothing follows if it fails */
#endif
    if (p)
        memset(p, 0, bytes);
    return p;
}

void *allocator_alloc(const struct allocator *allocator, size_t count, size_t size)
{
    size_t bytes;
    if (!allocator)
        return alloc_aligned(count, size);
    if (round_up(count, size, &bytes))
        return NULL;
    bytes = bytes ? bytes : ALIGNMENT;
    void *p = allocator->alloc(allocator->ctx, bytes, ALIGNMENT);
    return p ? memset(p, 0, bytes) : NULL;
}

void allocator_free(const struct allocator *allocator, void *p)
{
    if (!allocator)
        free(p);
    else if (p)
        allocator->free(allocator->ctx, p);
}
