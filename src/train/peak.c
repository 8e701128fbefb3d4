#include "train/peak.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/par.h"
#include "simd/kernels.h"

#include <stddef.h>
#include <stdlib.h>

struct sampling {
    peak_fn *fn;
    void *ctx;
    long rounds;
    double *seconds; /* (threads) */
};

static double seconds_of(const struct sampling *s, int thread)
{
    double start = clock_thread_seconds();
    s->fn(s->ctx, thread, s->rounds);
    double seconds = clock_thread_seconds() - start;
    return seconds > 1e-7 ? seconds : 1e-7;
}

static void sample(void *ctx, size_t chunk, int thread)
{
    (void)thread;
    const struct sampling *s = ctx;
    s->seconds[chunk] = seconds_of(s, (int)chunk);
}

double peak_rate(int threads, struct peak_effort effort, double units, peak_fn *fn, void *ctx)
{
    struct sampling s = {fn, ctx, 1, malloc((size_t)threads * sizeof *s.seconds)};
    double best = 0, seconds;
    if (!s.seconds)
        return 0;
    while ((seconds = seconds_of(&s, 0)) < effort.seconds / 2 && s.rounds < 1L << 24) {
        double more = effort.seconds / seconds;
        s.rounds = (long)((double)s.rounds * (more < 100 ? more : 100)) + 1;
    }
    for (int i = 0; i < effort.samples; i++) {
        double rate = 0;
        par_for(threads, (size_t)threads, sample, &s);
        for (int thread = 0; thread < threads; thread++)
            rate += (double)s.rounds * units / s.seconds[thread];
        best = rate > best ? rate : best;
    }
    free(s.seconds);
    return best;
}

enum { FLOATS = FMA_MOST_CHAINS * LINE_FLOATS };

struct fma_probe {
    const struct kernels *kernels;
    float *x; /* (threads, 2 FLOATS): some cache lines between those of one and another */
    int chains;
};

/* The factor and the term keep every value near 1. */
static void repeat_fma(void *ctx, int thread, long rounds)
{
    const struct fma_probe *p = ctx;
    p->kernels->fma_repeat(p->x + (size_t)thread * 2 * FLOATS, 0.5f, 0.5f, (size_t)(p->chains * LINE_FLOATS), rounds, p->chains);
}

double peak_fma(const struct kernels *kernels, int threads, struct peak_effort effort)
{
    static const int chains[] = {1, 4, 8, 12, 16, FMA_MOST_CHAINS};
    struct fma_probe p = {.kernels = kernels, .x = alloc_aligned((size_t)threads * 2 * FLOATS, sizeof *p.x)};
    double best = 0;
    for (size_t i = 0; i < sizeof chains / sizeof *chains && p.x; i++) {
        p.chains = chains[i];
        double rate = peak_rate(threads, effort, 2.0 * chains[i] * LINE_FLOATS, repeat_fma, &p);
        best = rate > best ? rate : best;
    }
    free(p.x);
    return best;
}
