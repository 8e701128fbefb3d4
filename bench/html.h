/* One page that shows a run: rooflines, bars of paths, the table of all rows. It needs no network and no script to be read. */
#ifndef BENCH_HTML_H
#define BENCH_HTML_H

#include "bench/peaks.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

struct Result {
    std::string kernel, path, shape; /* of the row's name; a path is an ISA, or another library */
    std::string limit;               /* its label */
    double seconds;                  /* a call */
    std::map<std::string, double> counters;
    double get(const char *counter) const; /* 0 if it has none */
};

struct Report {
    std::vector<std::pair<std::string, std::string>> context;
    std::vector<std::string> warnings;
    std::vector<std::pair<std::string, Peaks>> peaks; /* by ISA, from the least to the best */
    int threads;
    std::vector<Result> rows;
};

std::string html_page(const Report &report);

#endif
