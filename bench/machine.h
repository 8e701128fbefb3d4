/* The machine that the figures are of. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <string>
#include <vector>

struct CacheLevel {
    std::string name;   /* "L1", "L2" ... */
    double bytes;       /* of one instance */
    int shared_by;      /* CPUs on an instance */
};

/* Data and unified caches from the kernel's files, else from the C library; assumed is set when neither knows them. */
std::vector<CacheLevel> machine_caches(bool &assumed);
double machine_available_memory(); /* bytes */

/* Empty: the machine is quiet. Otherwise a sentence on what runs beside us. */
std::string machine_load_warning();
/* Running under an emulator of another CPU: times mean nothing. */
bool machine_is_emulated();

/* The largest resident set of this process, in bytes, since the last reset (or the start, where a reset is not allowed). */
double machine_peak_rss();
void machine_reset_peak_rss();

#endif
