#include "bench/timing.h"

#include <algorithm>
#include <chrono>

static const double BATCH_SECONDS = 200e-6;

double seconds_of(const Job &job, size_t calls)
{
    auto start = std::chrono::steady_clock::now();
    job.run(calls);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

size_t calls_a_batch(const Job &job)
{
    size_t calls = 1;
    double seconds = seconds_of(job, 1);
    if (seconds < 100 * BATCH_SECONDS) /* the first call warms up, and may have been interrupted */
        while ((seconds = std::min(seconds_of(job, calls), seconds_of(job, calls))) < BATCH_SECONDS / 2)
            calls = static_cast<size_t>(static_cast<double>(calls) * std::min(100.0, BATCH_SECONDS / std::max(seconds, 1e-7))) + 1;
    return calls;
}

double median_seconds(const Job &job, double seconds_in_all)
{
    size_t calls = calls_a_batch(job);
    std::vector<double> samples;
    for (double spent = 0; samples.size() < 3 || spent < seconds_in_all; spent += samples.back() * static_cast<double>(calls))
        samples.push_back(seconds_of(job, calls) / static_cast<double>(calls));
    std::sort(samples.begin(), samples.end());
    return quantile(samples, 0.5);
}

double quantile(const std::vector<double> &sorted, double q)
{
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
}
