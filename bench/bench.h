/* A row is one kernel, or one layer, at one shape: how to set it up, how to run it, and what work its contract asks for. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

extern "C" {
#include "base/engine.h"
#include "simd/kernels.h"
}

/* Of one call, on all threads together. Compares, selects and conversions are not counted; every byte that the contract must
 * read or write is, however often it must be. */
struct Work {
    double fma = 0;   /* fused multiply-adds: two FLOPs each */
    double other = 0; /* + - * / sqrt */
    double read = 0, written = 0; /* bytes */
    bool in_place = false;        /* what is written was read before: it need not be fetched to be written */
    double flops() const { return 2 * fma + other; }
    double bytes() const { return read + written; }
};

Work operator*(double times, const Work &work);
Work operator+(const Work &a, const Work &b);

using Bytes = std::vector<unsigned char>;

/* A row's buffers. What is counted is the footprint: it tells which level of memory can hold the row. */
class Memory {
public:
    float *floats(size_t count); /* random in [-1, 1) */
    float *unit(size_t count);   /* random in [0, 1) */
    uint8_t *bytes(size_t count);
    template <class T> T *zeros(size_t count) { return static_cast<T *>(take(count * sizeof(T), true)); }
    /* For columns in panels of nr, each [k][nr]; `times` such sets, that begin `apart` floats from another. */
    float *panels(int nr, size_t k, size_t columns, size_t times, size_t apart);
    void *scratch(size_t bytes) { return take(bytes, false); } /* an implementation's own: not counted */
    size_t footprint() const { return footprint_; }
    Bytes contents() const; /* of all but scratch, panels in the order of columns: the same on every ISA */

private:
    struct Block {
        std::unique_ptr<void, void (*)(void *)> data;
        size_t bytes; /* that count */
        size_t nr, k, columns, times, apart; /* of panels; nr = 0: there are none */
    };
    void *take(size_t bytes, bool counted); /* throws std::bad_alloc */
    std::vector<Block> blocks_;
    size_t footprint_ = 0;
};

struct Job {
    std::function<void(size_t calls)> run;
    Work work;           /* a call */
    double footprint = 0; /* bytes over all threads */
    double effective = 0; /* FLOPs to quote a rate by where it is not that of the work above: see README.md */
    std::function<void(benchmark::State &, double seconds)> counters; /* more of them, from a call's time; may be empty */
    std::function<Bytes()> results; /* after as many calls the same on every ISA, bit by bit */
};

struct Peer; /* peers/peer.h */

struct Row {
    std::string kernel, shape;
    double flops; /* a call, roughly: rows beyond the limit are left out where arithmetic is slow */
    std::function<Job(const struct engine &)> make;
    std::function<bool(const Peer &)> peer_can = {}; /* empty: no other library does this */
    std::function<Job(const struct engine &, const Peer &)> make_peer = {};
};

/* How large rows may be. */
struct Scale {
    bool quick;        /* for tests: a small network, everything under a few milliseconds */
    double most_flops; /* a call */
};
const double SLOW_FLOPS = 0.5e9, QUICK_FLOPS = 0.01e9; /* scalar FMAs run at about a thousand million a second */
using Rows = std::vector<Row>;

std::string without_batch(const std::string &shape); /* "r18.l1.b256" -> "r18.l1": scalar rows have fewer images */

Rows all_rows(const Scale &scale);

void add_kernel_rows(Rows &rows, const Scale &scale); /* every slot of struct kernels (rows_kernels.cc, rows_pixels.cc) */
void add_layer_rows(Rows &rows, const Scale &scale);  /* the layers of real networks (rows_layers.cc) */
void add_step_rows(Rows &rows, const Scale &scale);   /* losses, optimisers, views and training steps (rows_steps.cc) */

/* A job of the whole engine: call() uses the threads by itself. */
Job engine_job(std::shared_ptr<Memory> memory, const Work &work, std::function<void()> call);

/* A job of a kernel, which is single-threaded: every thread calls it on buffers of its own. */
using Call = std::function<void()>;
using MakeCall = std::function<Call(const struct kernels *, Memory &)>;
Job kernel_job(const struct engine &engine, const Work &work_of_one, const MakeCall &make);

void parallel(int threads, size_t chunks, const std::function<void(size_t)> &body);
std::string format(const char *text, ...) __attribute__((format(printf, 1, 2)));

#endif
