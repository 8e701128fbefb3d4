#include "bench/compare.h"

#include "bench/peaks.h"
#include "bench/rows_kernels.h"
#include "bench/timing.h"

#include <algorithm>
#include <cstring>
#include <map>

extern "C" {
#include "simd/dispatch.h"
}

namespace {

const double LONG_CALL = 0.05;         /* seconds: one is sample enough, for paths whose calls are as long are far behind */
const double ROW_SECONDS = 0.1;        /* of samples, for all paths */
const size_t ROUNDS = 15, FEWEST = 3;
const int REPETITIONS = 3;             /* of a row that looks slow */
const double WIDEST_GAIN = 3;          /* of AVX-512 over AVX2: the widest measured is 2.4 */

struct Path {
    struct engine engine;
    const Peaks *peaks;
    Job job;
    size_t calls = 0; /* a sample; 0: a long call, which is not repeated */
    std::vector<double> samples;
};

std::string row_name(const Row &row, const struct engine &engine)
{
    return row.kernel + "/" + engine.kernels->name + "/" + row.shape;
}

size_t first_difference(const Bytes &a, const Bytes &b)
{
    size_t at = 0;
    while (at < a.size() && at < b.size() && a[at] == b[at])
        at++;
    return at;
}

/* One call on every path, each from the same fresh buffers. */
void compare_results(ComparedRow &compared, const Row &row, std::vector<Path> &paths)
{
    Bytes expected;
    for (Path &path : paths) {
        path.job = row.make(path.engine);
        double seconds = seconds_of(path.job, 1);
        if (seconds > LONG_CALL)
            path.samples.push_back(seconds);
        Bytes results = path.job.results();
        if (&path == &paths[0])
            expected.swap(results);
        else if (results != expected)
            compared.failures.push_back(format("%s is wrong: its results are not %s's, from byte %zu of %zu on",
                                               row_name(row, path.engine).c_str(), paths[0].engine.kernels->name,
                                               first_difference(results, expected), expected.size()));
    }
}

/* Samples of all paths in turns, so that other work on the machine meets all of them. */
void sample(std::vector<Path> &paths, double seconds_in_all)
{
    double spent = 0;
    for (size_t round = 0; round < ROUNDS && (round < FEWEST || spent < seconds_in_all); round++)
        for (Path &path : paths) {
            if (path.calls == 0)
                continue;
            if (path.calls > 1)
                path.job.run(1); /* another path has had the caches */
            double seconds = seconds_of(path.job, path.calls);
            spent += seconds;
            path.samples.push_back(seconds / static_cast<double>(path.calls));
        }
}

void take_medians(ComparedRow &compared, std::vector<Path> &paths)
{
    compared.paths.clear();
    for (Path &path : paths) {
        std::sort(path.samples.begin(), path.samples.end());
        PathTime time;
        time.work = path.job.work;
        time.seconds = quantile(path.samples, 0.5);
        Limit limit = limit_of(*path.peaks, path.job.work, path.job.footprint);
        time.percent = 100 * limit.seconds / time.seconds;
        time.limit = limit.name;
        compared.paths.push_back(time);
    }
}

/* Sentences on each path of a row that is too slow. */
std::vector<std::string> slow_paths(const ComparedRow &row, const Comparison &c)
{
    std::vector<std::string> slow;
    auto name = [&](size_t i) { return row.kernel + "/" + c.isas[i] + "/" + row.shape; };
    for (size_t better = 1; better < row.paths.size(); better++)
        for (size_t lesser = 0; lesser < better; lesser++) {
            double ratio = row.paths[lesser].seconds / row.paths[better].seconds;
            bool by_memory = row.paths[better].limit != "compute";
            if (ratio < 1 - std::min(c.tolerance * (by_memory ? MEMORY_FACTOR : 1), 0.9))
                slow.push_back(format("%s is slow: %.2f times as fast as %s, which is the lesser path", name(better).c_str(), ratio,
                                      c.isas[lesser].c_str()));
            else if (lesser == 0 && !by_memory && c.scalar_is_slow && ratio < 1 + c.tolerance)
                slow.push_back(format("%s gains nothing: %.2f times as fast as scalar", name(better).c_str(), ratio));
            else if (lesser > 0 && ratio > WIDEST_GAIN)
                slow.push_back(format("%s is slow: %s is %.1f times as fast, with vectors twice as wide", name(lesser).c_str(),
                                      c.isas[better].c_str(), ratio));
        }
    return slow;
}

/* A row that looks slow is timed anew, in other buffers, which may lie better, and fails only if it looks slow each time. */
void time_row(ComparedRow &compared, const Row &row, std::vector<Path> &paths, const Comparison &c)
{
    for (Path &path : paths)
        path.calls = path.samples.empty() ? calls_a_batch(path.job) : 0;
    sample(paths, ROW_SECONDS);
    take_medians(compared, paths);
    std::vector<std::string> slow = slow_paths(compared, c);
    for (int i = 0; i < REPETITIONS && !slow.empty(); i++) {
        for (Path &path : paths) {
            path.job = row.make(path.engine);
            path.calls = calls_a_batch(path.job);
            path.samples.clear();
        }
        sample(paths, 3 * ROW_SECONDS);
        take_medians(compared, paths);
        slow = slow_paths(compared, c);
    }
    compared.failures.insert(compared.failures.end(), slow.begin(), slow.end());
}

/* A path without a kernel of its own would pass for one that is as fast as the lesser path. */
void find_borrowed_kernels(Comparison &c, const std::vector<Path> &paths)
{
    for (const KernelSlot &slot : kernel_slots())
        for (size_t better = 1; better < paths.size(); better++)
            for (size_t lesser = 0; lesser < better; lesser++) {
                auto function = [&](size_t i) { return reinterpret_cast<const char *>(paths[i].engine.kernels) + slot.offset; };
                if (memcmp(function(better), function(lesser), sizeof(void (*)())) == 0)
                    c.failures.push_back(format("kernel %s of %s is that of %s: it has none of its own", slot.name, c.isas[better].c_str(),
                                                c.isas[lesser].c_str()));
            }
}

} // namespace

std::vector<std::string> Comparison::all_failures() const
{
    std::vector<std::string> all = failures;
    for (const ComparedRow &row : rows)
        all.insert(all.end(), row.failures.begin(), row.failures.end());
    return all;
}

Comparison compare_isas(const CompareOptions &options)
{
    Comparison c{};
    c.threads = options.threads;
    c.tolerance = options.tolerance;
    c.timed = !options.emulated;
#if defined __x86_64__
    c.scalar_is_slow = true;
#endif
    std::map<std::string, Peaks> peaks;
    std::vector<Path> paths;
    const struct isa_entry *entries;
    size_t count = isa_list(&entries);
    for (size_t i = 0; i < count; i++) {
        const char *isa = entries[i].kernels->name;
        if (!entries[i].supported)
            continue;
        c.isas.push_back(isa);
        if (c.timed)
            peaks[isa] = measure_peaks(isa, options.threads, options.quick);
        paths.push_back({{entries[i].kernels, options.threads, cache_sizes(), {nullptr, nullptr}, nullptr}, &peaks[isa], Job(), 0, {}});
    }
    find_borrowed_kernels(c, paths);
    print_header(c);
    bool quick = options.quick || options.emulated;
    for (const Row &row : all_rows({quick, quick ? QUICK_FLOPS : SLOW_FLOPS})) {
        if (std::none_of(paths.begin(), paths.end(), [&](const Path &path) { return options.wants(row_name(row, path.engine)); }))
            continue;
        ComparedRow compared{row.kernel, row.shape, {}, {}};
        compare_results(compared, row, paths);
        if (c.timed)
            time_row(compared, row, paths, c);
        print_row(c, compared);
        c.rows.push_back(compared);
        for (Path &path : paths) {
            path.job = Job();
            path.samples.clear();
        }
    }
    return c;
}
