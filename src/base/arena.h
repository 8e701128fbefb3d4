/* Planned memory: sizes are summed first, then one 64-byte aligned block is handed out piece by piece.
 *
 * The same function lays out and allocates: run it once on an arena whose base is NULL to learn the size (arena_alloc then
 * returns NULL), create the block, and run it again. Nothing is freed but the whole. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

/* Who gives large memory, where it is not the C library. Called from the thread that began the work, or from any of its threads. */
struct allocator {
    void *(*alloc)(void *ctx, size_t bytes, size_t alignment); /* NULL: there is none */
    void (*free)(void *ctx, void *p);
    void *ctx;
};

struct arena {
    char *base;      /* NULL while measuring */
    size_t used;     /* bytes handed out so far, each piece rounded up to 64 */
    size_t capacity; /* bytes at base; 0 while measuring */
    int overflow;    /* set once a size did not fit size_t, or capacity was exceeded */
    const struct allocator *allocator; /* of arena_commit; NULL: the C library */
    size_t *tally;   /* where what is handed out is added up, beside `used`; NULL: nowhere */
};

/* count * size bytes, 64-byte aligned; zeroed in a block of arena_commit. NULL while measuring or on overflow. */
void *arena_alloc(struct arena *arena, size_t count, size_t size);

/* Gives a measured arena its zeroed block and rewinds it. Returns 0, or -1 when a size overflowed or memory is short. */
int arena_commit(struct arena *arena);

void arena_free(struct arena *arena);

/* Zeroed 64-byte aligned memory outside of any plan, or NULL; freed with allocator_free of the same allocator. */
void *allocator_alloc(const struct allocator *allocator, size_t count, size_t size);
void allocator_free(const struct allocator *allocator, void *p);

/* The same of the C library, freed with free(). Blocks of megabytes are refused where they are more
 * than memory_available(), for the system would grant them, and kill the process that uses them. */
void *alloc_aligned(size_t count, size_t size);

/* The memory that alloc_aligned takes for so many bytes: all of it is touched. SIZE_MAX: more than there can be. */
size_t aligned_bytes(size_t bytes);

#endif
