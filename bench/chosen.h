/* Which rows a run has: those of every ISA that match the filter, and those of other libraries. */
#ifndef BENCH_CHOSEN_H
#define BENCH_CHOSEN_H

#include "bench/options.h"
#include "bench/peaks.h"

/* One benchmark that Google's library calls several times, each with more iterations; its buffers are made once. */
struct Registered {
    std::string name;
    Row row;
    struct engine engine;
    const Peaks *peaks;
    std::string path; /* an ISA, or the peer whose row this is */
    bool is_peer() const { return path != engine.kernels->name; }
};
using RegisteredRows = std::vector<std::unique_ptr<Registered>>;

/* Every row for every ISA that runs here. */
RegisteredRows choose_rows(const Options &options, bool emulated);

/* Rows of peers for every shape that they can do, each in front of ours of that shape, so that other work meets both. Returns which
 * peers there are. */
std::string add_peers(RegisteredRows &chosen, const Options &options);

#endif
