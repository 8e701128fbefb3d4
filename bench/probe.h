/* What the hardware can do at most, per ISA: loops without any purpose but to fill the arithmetic units or a level of memory. */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include <stddef.h>

enum { PROBE_GRAIN = 64 }; /* counts of floats below are multiples of this */

/* A loop of additions and multiplications beside FMAs or without them; FMAs alone are train/peak.h's. data holds 2 * PROBE_GRAIN floats. */
struct probe_loop {
    void (*run)(float *data, long rounds);
    double flops; /* a round; an FMA counts two */
};

/* What a loop does to memory; an array that is written where it was read costs no fetch of its own. */
enum probe_traffic {
    PROBE_READ,   /* a, b */
    PROBE_TRIAD,  /* y = a + 3 b */
    PROBE_COPY,   /* y = a */
    PROBE_FILL,   /* y = constant */
    PROBE_UPDATE, /* y = y + 3 a */
    PROBE_SCALE,  /* y = 1 - y */
    PROBE_TRAFFICS,
};

/* One pass over arrays of `count` floats. Several streams may show the same traffic: the fastest counts. */
struct probe_stream {
    enum probe_traffic traffic;
    void (*pass)(float *y, const float *a, const float *b, size_t count);
};

struct probe {
    const char *isa;
    const struct probe_loop *loops;
    size_t loop_count;
    const struct probe_stream *streams;
    size_t stream_count;
};

/* Of the kernel table with this name; NULL: bench has none, which is a mistake in its Makefile rules. */
const struct probe *probe_of(const char *isa);

#endif
