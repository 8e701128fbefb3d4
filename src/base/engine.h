/* What every computation is handed: the kernels resolved for this CPU, how many threads it may use, and what its caches hold. */
#ifndef BASE_ENGINE_H
#define BASE_ENGINE_H

#include "simd/cache.h"

struct kernels; /* simd/kernels.h */

struct engine {
    const struct kernels *kernels;
    int threads;
    struct cache_sizes caches; /* choose blocking that cannot change bits; 0: what suits most machines */
};

#endif
