/* Limits, measured: what arithmetic and each level of memory give at most, and which of them a row meets first. */
#ifndef BENCH_PEAKS_H
#define BENCH_PEAKS_H

#include "bench/bench.h"
#include "bench/probe.h"

struct LevelPeak {
    std::string name;
    double capacity;                  /* bytes of this level and those above it, over all threads */
    double bandwidth[PROBE_TRAFFICS]; /* bytes a second */
};

struct Peaks {
    int threads;
    double fma;   /* FLOP/s of FMAs alone */
    double flops; /* FLOP/s of any mix of + * and FMAs; never less */
    std::vector<LevelPeak> levels; /* the last is DRAM */
};

/* quick: a tenth of the time, for tests. */
Peaks measure_peaks(const char *isa, int threads, bool quick);

struct Limit {
    double seconds; /* no call can be faster */
    std::string name;
};
Limit limit_of(const Peaks &peaks, const Work &work, double footprint);

#endif
