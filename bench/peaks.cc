#include "bench/peaks.h"

#include "bench/machine.h"

extern "C" {
#include "simd/dispatch.h"
#include "train/peak.h"
}

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#if defined __x86_64__
extern "C" const struct probe probe_scalar, probe_avx2, probe_avx512;
static const struct probe *const probes[] = {&probe_scalar, &probe_avx2, &probe_avx512};
#elif defined __aarch64__
extern "C" const struct probe probe_scalar, probe_neon;
static const struct probe *const probes[] = {&probe_scalar, &probe_neon};
#else
extern "C" const struct probe probe_scalar;
static const struct probe *const probes[] = {&probe_scalar};
#endif

const struct probe *probe_of(const char *isa)
{
    for (const struct probe *probe : probes)
        if (strcmp(probe->isa, isa) == 0)
            return probe;
    return nullptr;
}

namespace {

/* peak_rate of a body(thread, rounds). */
double best_rate(int threads, const peak_effort &effort, double units, const std::function<void(size_t, long)> &body)
{
    return peak_rate(threads, effort, units,
                     [](void *ctx, int thread, long rounds) {
                         (*static_cast<const std::function<void(size_t, long)> *>(ctx))(static_cast<size_t>(thread), rounds);
                     },
                     const_cast<std::function<void(size_t, long)> *>(&body));
}

void measure_arithmetic(Peaks &peaks, const struct probe &probe, const peak_effort &effort)
{
    peaks.fma = peaks.flops = peak_fma(isa_resolve(probe.isa), peaks.threads, effort);
    Memory memory;
    std::vector<float *> data;
    for (int i = 0; i < peaks.threads; i++) {
        data.push_back(memory.unit(4 * PROBE_GRAIN)); /* a cache line or two between threads */
        data.back()[0] = data.back()[1] = 0.5f;
    }
    for (size_t i = 0; i < probe.loop_count; i++) {
        const struct probe_loop &loop = probe.loops[i];
        double rate = best_rate(peaks.threads, effort, loop.flops, [&](size_t thread, long rounds) { loop.run(data[thread], rounds); });
        peaks.flops = std::max(peaks.flops, rate);
    }
}

/* Arrays that a pass touches, and how often it reads or writes one. */
const int arrays_of[PROBE_TRAFFICS] = {2, 3, 2, 1, 2, 1}, accesses_of[PROBE_TRAFFICS] = {2, 3, 2, 1, 3, 2};

/* bytes: what a thread's arrays take together. */
void measure_level(LevelPeak &level, int threads, const struct probe &probe, double bytes, const peak_effort &effort)
{
    struct Buffers { float *y, *a, *b; };
    Memory memory;
    std::vector<float *> blocks;
    for (int thread = 0; thread < threads; thread++)
        blocks.push_back(memory.unit(static_cast<size_t>(bytes / sizeof(float)) + 8 * PROBE_GRAIN));
    for (size_t i = 0; i < probe.stream_count; i++) {
        const struct probe_stream &stream = probe.streams[i];
        int arrays = arrays_of[stream.traffic];
        size_t count = std::max<size_t>(1, static_cast<size_t>(bytes / sizeof(float) / arrays / PROBE_GRAIN)) * PROBE_GRAIN;
        size_t apart = count + PROBE_GRAIN; /* not a multiple of a page, where loads and stores would alias */
        std::vector<Buffers> buffers;
        for (float *block : blocks) {
            float *first = block + PROBE_GRAIN; /* y of a stream that only reads lies before it; a of one that only writes too */
            if (stream.traffic == PROBE_READ)
                buffers.push_back({block, first, first + apart});
            else if (arrays == 1)
                buffers.push_back({first, block, block});
            else
                buffers.push_back({first, first + apart, first + (arrays - 1) * apart});
        }
        double units = static_cast<double>(count) * sizeof(float) * accesses_of[stream.traffic];
        double rate = best_rate(threads, effort, units, [&](size_t thread, long rounds) {
            const Buffers &b = buffers[thread];
            for (long round = 0; round < rounds; round++)
                stream.pass(b.y, b.a, b.b, count);
        });
        level.bandwidth[stream.traffic] = std::max(level.bandwidth[stream.traffic], rate);
    }
}

/* Seconds a byte when `share` of the bytes are written: between the two probes on either side. */
double seconds_a_byte(const LevelPeak &level, double share, bool in_place)
{
    static const double shares[] = {0, 1.0 / 3, 0.5, 1};
    double rate[] = {level.bandwidth[PROBE_READ], level.bandwidth[PROBE_TRIAD], level.bandwidth[PROBE_COPY], level.bandwidth[PROBE_FILL]};
    if (in_place) {
        rate[1] = std::max(rate[1], level.bandwidth[PROBE_UPDATE]);
        rate[2] = std::max(rate[2], level.bandwidth[PROBE_SCALE]);
    }
    int i = share <= shares[1] ? 0 : share <= shares[2] ? 1 : 2;
    double t = (share - shares[i]) / (shares[i + 1] - shares[i]);
    return (1 - t) / rate[i] + t / rate[i + 1];
}

} // namespace

Peaks measure_peaks(const char *isa, int threads, bool quick)
{
    const struct probe *probe = probe_of(isa);
    if (!probe)
        throw std::runtime_error(format("there is no probe for %s: its limits cannot be measured", isa));
    /* Many short samples: some of them fall between two interruptions. */
    peak_effort effort = quick ? peak_effort{0.001, 5} : peak_effort{0.002, 20};
    Peaks peaks{};
    peaks.threads = threads;
    measure_arithmetic(peaks, *probe, effort);

    bool assumed;
    double above = 0, largest = 0;
    for (const CacheLevel &cache : machine_caches(assumed)) {
        int instances = (threads + cache.shared_by - 1) / cache.shared_by;
        double total = cache.bytes * instances, upper = above;
        above += total; /* victim caches hold what the level above does not */
        largest = total;
        LevelPeak level{cache.name, above, {}};
        /* Half of it, and at least beyond what the level above holds. */
        measure_level(level, threads, *probe, std::max(total / 2, std::min(1.5 * upper, 0.9 * total)) / threads, effort);
        peaks.levels.push_back(level);
    }
    LevelPeak dram{"DRAM", INFINITY, {}};
    double bytes = std::min(std::max(4 * largest, quick ? 32e6 : 128e6), machine_available_memory() / 4);
    measure_level(dram, threads, *probe, bytes / threads, quick ? peak_effort{0.005, 2} : peak_effort{0.02, 6});
    peaks.levels.push_back(dram);
    return peaks;
}

/* The roofline, with one refinement: of a footprint somewhat larger than a cache, that cache can hold a part, and that part of the
 * bytes may come at its speed. */
Limit limit_of(const Peaks &peaks, const Work &work, double footprint)
{
    Limit limit{std::max(2 * work.fma / peaks.fma, work.flops() / peaks.flops), "compute"};
    if (work.bytes() <= 0)
        return limit;
    double seconds = 0, held = 0, share = work.written / work.bytes();
    const LevelPeak *level = nullptr;
    for (const LevelPeak &l : peaks.levels) {
        double part = std::min(footprint, l.capacity) - held;
        seconds += part / footprint * work.bytes() * seconds_a_byte(l, share, work.in_place);
        held += part;
        level = &l;
        if (held >= footprint)
            break;
    }
    if (seconds > limit.seconds)
        limit = {seconds, level->name};
    return limit;
}
