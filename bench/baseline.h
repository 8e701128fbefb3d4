/* An earlier run's JSON, to compare with by percent of each run's own limits. */
#ifndef BENCH_BASELINE_H
#define BENCH_BASELINE_H

#include <map>
#include <string>

struct Baseline {
    std::string path, cpu, threads; /* of the context; empty: unknown */
    std::map<std::string, double> percents; /* by row; the median where a row was repeated */
};

Baseline read_baseline(const std::string &path); /* throws std::invalid_argument */

#endif
