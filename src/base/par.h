/* Parallel loops: the only place in the program that knows OpenMP. */
#ifndef BASE_PAR_H
#define BASE_PAR_H

#include <stddef.h>

/* Work on one chunk. thread is in [0, threads) and names private scratch; it must never influence a result. */
typedef void par_fn(void *ctx, size_t chunk, int thread);

/* Calls fn(ctx, i, thread) once for every i in [0, chunks), in any order, on at most `threads` threads; returns when all are
 * done. Chunks must write disjoint memory. With one thread or one chunk it is a plain loop. Does not nest. */
void par_for(int threads, size_t chunks, par_fn *fn, void *ctx);

/* Threads worth starting: what CPU affinity and the cgroup's CPU quota allow, at least 1. */
int par_default_threads(void);

/* The second, from the files below root ("": the system's own): whole CPUs, at least 1; INT_MAX without a quota. */
int par_quota_below(const char *root);

#endif
