/* Every path of this CPU on the same rows: equal results, and no path slower than a lesser one. See README.md. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "bench/bench.h"

const double MEMORY_FACTOR = 3; /* of the tolerance where memory is the limit: there, width is not what counts */

/* What a row took on one path. */
struct PathTime {
    Work work; /* panels differ in width, and with them what a kernel reads */
    double seconds = 0, percent = 0; /* of the nearer limit; 0: not timed */
    std::string limit;
};

struct ComparedRow {
    std::string kernel, shape;
    std::vector<PathTime> paths; /* as in Comparison::isas */
    std::vector<std::string> failures; /* sentences */
};

struct Comparison {
    std::vector<std::string> isas; /* scalar first, best last */
    int threads;
    double tolerance; /* 0.1: a path may be so much slower than a lesser one */
    bool timed;       /* false under an emulator */
    bool scalar_is_slow = false; /* the compiler makes no vectors of it: its FMAs are calls */
    std::vector<std::string> failures; /* of whole kernels */
    std::vector<ComparedRow> rows;

    std::vector<std::string> all_failures() const;
};

struct CompareOptions {
    int threads;
    double tolerance;
    bool quick, emulated;
    std::function<bool(const std::string &)> wants; /* of kernel/isa/shape */
};

/* Prints the table while it grows. */
Comparison compare_isas(const CompareOptions &options);

/* compare_report.cc */
void print_header(const Comparison &c);
void print_row(const Comparison &c, const ComparedRow &row);
void print_verdict(const Comparison &c);
void write_markdown(const Comparison &c, const std::string &path); /* these throw std::runtime_error */
void write_json(const Comparison &c, const std::string &path);

#endif
