/* What every computation is handed: the kernels resolved for this CPU, how many threads it may use, what its caches hold, and whether
 * anybody still wants it. */
#ifndef BASE_ENGINE_H
#define BASE_ENGINE_H

#include "simd/cache.h"

#include <stdbool.h>

struct kernels; /* simd/kernels.h */

struct engine {
    const struct kernels *kernels;
    int threads;
    struct cache_sizes caches; /* choose blocking that cannot change bits; 0: what suits most machines */
    bool (*stop)(void);        /* true: leave off soon. Asked now and then, from any thread; NULL: never */
};

static inline bool engine_stopped(const struct engine *engine)
{
    return engine->stop && engine->stop();
}

#endif
