/* What every computation is handed: the kernels resolved for this CPU, how many threads it may use, what its caches hold, where large
 * memory comes from, and whether anybody still wants it. */
#ifndef BASE_ENGINE_H
#define BASE_ENGINE_H

#include "simclr/status.h"
#include "simd/cache.h"

#include <stdbool.h>

struct kernels;   /* simd/kernels.h */
struct allocator; /* base/arena.h */

/* A wish to leave off soon: asked for now and then, from any thread. */
struct stop {
    bool (*wanted)(void *ctx); /* NULL: never */
    void *ctx;
};

static inline bool stop_wanted(const struct stop *stop)
{
    return stop->wanted && stop->wanted(stop->ctx);
}

struct engine {
    const struct kernels *kernels;
    int threads;
    struct cache_sizes caches; /* choose blocking that cannot change bits; 0: what suits most machines */
    struct stop stop;
    const struct allocator *allocator; /* NULL: the C library */
};

/* Kernels by isa: NULL or "auto" for the best, or a name; one that is unknown or cannot run here is SIMCLR_ERR_USAGE, with those that can.
 * threads 0: what affinity and quota allow. label: what isa came from, for the error. */
enum simclr_status engine_init(struct engine *engine, const char *isa, int threads, const char *label, struct simclr_error *err);

static inline bool engine_stopped(const struct engine *engine)
{
    return stop_wanted(&engine->stop);
}

#endif
