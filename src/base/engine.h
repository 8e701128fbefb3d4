/* What every computation is handed: the kernels resolved for this CPU, and how many threads it may use. */
#ifndef BASE_ENGINE_H
#define BASE_ENGINE_H

struct kernels; /* simd/kernels.h */

struct engine {
    const struct kernels *kernels;
    int threads;
};

#endif
