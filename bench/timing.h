/* How long a job takes. */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

#include "bench/bench.h"

double seconds_of(const Job &job, size_t calls);
/* Short calls are timed in batches, so that neither the clock nor the start of threads is what is measured. Warms up. */
size_t calls_a_batch(const Job &job);
double median_seconds(const Job &job, double seconds_in_all); /* of a call */
double quantile(const std::vector<double> &sorted, double q);

#endif
