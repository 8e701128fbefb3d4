#define _GNU_SOURCE /* madvise */
#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ALIGNMENT = 64,
    HUGE_PAGE = 2 * 1024 * 1024,
    HUGE_FROM = 8 * HUGE_PAGE, /* smaller blocks would waste too much of their last page */
};

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
    return p;
}

int arena_commit(struct arena *arena)
{
    if (arena->overflow)
        return -1;
    arena->base = alloc_aligned(arena->used ? arena->used : 1, 1);
    arena->capacity = arena->used;
    arena->used = 0;
    return arena->base ? 0 : -1;
}

void arena_free(struct arena *arena)
{
    free(arena->base);
    *arena = (struct arena){0};
}

void *alloc_aligned(size_t count, size_t size)
{
    size_t bytes;
    if (round_up(count, size, &bytes))
        return NULL;
    /* Huge pages: the points of a Winograd unit alone are 72 streams, each in a page of its own, and the TLB of many CPUs is smaller
     * than that. A hint: where the kernel has none to give, nothing changes. */
    bool huge = bytes >= HUGE_FROM;
    void *p = aligned_alloc(huge ? HUGE_PAGE : ALIGNMENT, bytes ? bytes : ALIGNMENT);
#if defined MADV_HUGEPAGE
    if (p && huge)
        madvise(p, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    if (p)
        memset(p, 0, bytes);
    return p;
}
