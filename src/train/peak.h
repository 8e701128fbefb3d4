/* What the machine gives at most, measured in milliseconds: what rates are compared with. No result depends on it. */
#ifndef TRAIN_PEAK_H
#define TRAIN_PEAK_H

struct kernels; /* simd/kernels.h */

struct peak_effort {
    double seconds; /* a sample */
    int samples;
};

/* What a run begins with: 15 ms for peak_fma. */
static const struct peak_effort PEAK_BRIEFLY = {.seconds = 0.0005, .samples = 3};

/* Does `rounds` rounds of work; threads run at once, and each has memory of its own. */
typedef void peak_fn(void *ctx, int thread, long rounds);

/* Units of work a second, the best of several samples, of all threads together; a round is so many units. A thread's time is what it
 * had of a processor: on a busy machine a probe that waits must not pass for a slow one, and elsewhere it is real time. */
double peak_rate(int threads, struct peak_effort effort, double units, peak_fn *fn, void *ctx);

/* FLOP/s of FMAs alone with these kernels. 0: no memory to measure it. */
double peak_fma(const struct kernels *kernels, int threads, struct peak_effort effort);

#endif
