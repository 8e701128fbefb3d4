/* bench: every kernel of every ISA that this CPU runs, each beside the limit it meets on this machine. See README.md. */
#include "bench/html.h"
#include "bench/baseline.h"
#include "bench/chosen.h"
#include "bench/compare.h"
#include "bench/machine.h"
#include "bench/options.h"
#include "bench/peaks.h"
#include "bench/timing.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <set>
#include <stdexcept>

extern "C" {
#include "base/par.h"
#include "simd/dispatch.h"
}

#include "build_info.h" /* made by the Makefile: BENCH_COMPILER, BENCH_FLAGS, BENCH_COMMIT */

namespace {

enum { DONE = 0, FAILED = 1, MISUSED = 2 };
const double PROBE_TOLERANCE = 1.05, SPREAD_LIMIT = 5; /* percent */

struct Outcome {
    double seconds, percent, spread;
    std::string isa, limit;
    Work work;
    double footprint;
    bool peer;
    std::map<std::string, double> counters;
};

struct Session {
    Registered *current = nullptr;
    Job job;
    size_t calls_a_batch = 1;
    std::map<std::string, Outcome> outcomes;
    std::vector<std::string> failures;
    Report report;
    std::map<std::string, double> scalar_rates; /* of layers, without the number of images; and the best of a kernel */
    std::map<std::string, double> peer_seconds; /* of the fastest, by kernel and shape */
};
Session session;

void warn(const std::string &sentence)
{
    fprintf(stderr, "bench: %s\n", sentence.c_str());
    session.report.warnings.push_back(sentence);
}

/* To Google's reporters, and to the page. */
void tell(const std::string &key, const std::string &value)
{
    benchmark::AddCustomContext(key, value);
    session.report.context.push_back({key, value});
}

std::string layer_of(const Row &row)
{
    return row.kernel + "/" + without_batch(row.shape);
}

/* Scalar has fewer images, or for want of FLOPs not this shape at all: then its best rate in this kernel is what others are held to.
 * Peers run before our rows of a shape, scalar before other paths. */
void compare_rates(benchmark::State &state, const Registered &r, double seconds)
{
    const Work &work = session.job.work;
    double rate = (work.flops() > 0 ? work.flops() : work.bytes()) / seconds;
    std::string shape = r.row.kernel + "/" + r.row.shape;
    if (r.is_peer()) {
        double &best = session.peer_seconds.emplace(shape, seconds).first->second;
        best = std::min(best, seconds);
        return;
    }
    if (session.peer_seconds.count(shape))
        state.counters["x_best_peer"] = session.peer_seconds[shape] / seconds;
    if (r.path == "scalar") {
        session.scalar_rates[layer_of(r.row)] = rate;
        session.scalar_rates[r.row.kernel] = std::max(rate, session.scalar_rates[r.row.kernel]);
    }
    for (const std::string &name : {layer_of(r.row), r.row.kernel})
        if (session.scalar_rates.count(name)) {
            state.counters["x_scalar"] = rate / session.scalar_rates[name];
            break;
        }
}

void set_up(Registered &r)
{
    if (session.current == &r)
        return;
    session.current = nullptr;
    session.job = Job(); /* its memory goes before the next row's comes */
    session.job = r.row.make(r.engine);
    session.current = &r;
    session.calls_a_batch = calls_a_batch(session.job);
}

void run_row(benchmark::State &state, Registered &r)
{
    try {
        set_up(r);
    } catch (const std::exception &error) {
        session.failures.push_back(r.name + ": " + error.what());
        state.SkipWithError(error.what());
        return;
    }
    std::vector<double> samples; /* seconds a call */
    size_t calls = session.calls_a_batch;
    while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(calls)))
        samples.push_back(seconds_of(session.job, calls) / static_cast<double>(calls));
    std::sort(samples.begin(), samples.end());
    double seconds = quantile(samples, 0.5), spread = 100 * (quantile(samples, 0.75) - quantile(samples, 0.25)) / seconds;
    const Work &work = session.job.work;
    Limit limit = limit_of(*r.peaks, work, session.job.footprint);
    double percent = 100 * limit.seconds / seconds;
    state.counters["GFLOP/s"] = work.flops() / seconds * 1e-9;
    state.counters["GB/s"] = work.bytes() / seconds * 1e-9;
    state.counters["pct_peak"] = percent;
    state.counters["spread_pct"] = spread;
    if (session.job.effective > 0) {
        state.counters["effective_GFLOP/s"] = session.job.effective / seconds * 1e-9;
        state.counters["x_fma_peak"] = session.job.effective / seconds / r.peaks->fma;
    }
    if (session.job.counters)
        session.job.counters(state, seconds);
    compare_rates(state, r, seconds);
    state.SetLabel(limit.name);
    session.outcomes[r.name] = {seconds, percent, spread, r.path, limit.name, work, session.job.footprint, r.is_peer(), {}};
    for (const auto &[counter, value] : state.counters)
        session.outcomes[r.name].counters[counter] = value;
}

/* ---- What is run ---- */

std::string describe(const Peaks &peaks)
{
    std::string text = format("FMA %.4g GFLOP/s, any mix %.4g", peaks.fma * 1e-9, peaks.flops * 1e-9);
    for (const LevelPeak &l : peaks.levels)
        text += format("; %s read %.4g triad %.4g copy %.4g fill %.4g update %.4g scale %.4g GB/s", l.name.c_str(),
                       l.bandwidth[PROBE_READ] * 1e-9, l.bandwidth[PROBE_TRIAD] * 1e-9, l.bandwidth[PROBE_COPY] * 1e-9,
                       l.bandwidth[PROBE_FILL] * 1e-9, l.bandwidth[PROBE_UPDATE] * 1e-9, l.bandwidth[PROBE_SCALE] * 1e-9);
    return text;
}

/* Limits of every ISA that has rows, on one thread (to be read) and on all (to be compared with). */
std::map<std::string, Peaks> measure_all(const RegisteredRows &rows, const Options &options)
{
    std::map<std::string, Peaks> peaks;
    for (const auto &r : rows) {
        const char *isa = r->engine.kernels->name;
        if (peaks.count(isa))
            continue;
        peaks[isa] = measure_peaks(isa, options.threads, options.quick);
        auto report = [&](const char *threads, const Peaks &measured) {
            benchmark::AddCustomContext(format("peak.%s.%s", isa, threads), describe(measured));
            session.report.peaks.push_back({isa, measured});
        };
        report(format("%d_threads", options.threads).c_str(), peaks[isa]);
        if (options.threads > 1 && !options.quick)
            report("1_thread", measure_peaks(isa, 1, false));
    }
    return peaks;
}

void add_context(const Options &options, bool emulated)
{
    char model[128], features[512];
    cpu_describe(model, sizeof model, features, sizeof features);
    tell("cpu", model);
    tell("features", features);
    bool assumed;
    std::string caches, have, missing;
    for (const CacheLevel &c : machine_caches(assumed))
        caches += format("%s%s %.0f KiB shared by %d", caches.empty() ? "" : ", ", c.name.c_str(), c.bytes / 1024, c.shared_by);
    tell("caches", caches + (assumed ? " (assumed: the system does not tell)" : ""));
    const struct isa_entry *entries;
    size_t count = isa_list(&entries);
    for (size_t i = 0; i < count; i++) {
        std::string &list = entries[i].supported ? have : missing;
        list += (list.empty() ? "" : " ") + std::string(entries[i].kernels->name);
    }
    tell("isas", have);
    tell("isas_missing", missing.empty() ? "none" : missing);
    tell("threads", std::to_string(options.threads));
    tell("compiler", BENCH_COMPILER);
    tell("flags", BENCH_FLAGS);
    tell("commit", BENCH_COMMIT);
    std::string load = machine_load_warning();
    if (emulated)
        load = "this CPU is emulated: times mean nothing";
    if (!load.empty()) {
        tell("warning", load);
        warn(load);
    }
}

/* ---- What came out ---- */

/* The short probes of a quick run, which is for tests, are easily disturbed: they have a second, longer chance. */
bool exceeds_longer_probe(const Outcome &o, const Options &options)
{
    static std::map<std::string, Peaks> longer;
    if (!longer.count(o.isa))
        longer[o.isa] = measure_peaks(o.isa.c_str(), options.threads, false);
    return limit_of(longer[o.isa], o.work, o.footprint).seconds > PROBE_TOLERANCE * o.seconds;
}

/* Says which rows were faster than their limit; false if there is one. */
bool judge_limits(const Options &options)
{
    bool good = true;
    for (const auto &[name, o] : session.outcomes)
        if (!o.peer && o.percent > 100 * PROBE_TOLERANCE && !(options.quick && !exceeds_longer_probe(o, options))) {
            warn(format("%s ran at %.0f %% of the limit measured for it (%s): the probe was disturbed or is wrong, and no percentage "
                        "of this run counts; run again on a quiet machine", name.c_str(), o.percent, o.limit.c_str()));
            good = false;
        }
    return good;
}

void judge_spread()
{
    size_t spread = 0;
    const std::pair<const std::string, Outcome> *worst = nullptr;
    for (const auto &outcome : session.outcomes)
        if (outcome.second.spread > SPREAD_LIMIT) {
            spread++;
            if (!worst || outcome.second.spread > worst->second.spread)
                worst = &outcome;
        }
    if (worst)
        warn(format("%zu of %zu rows spread over %.0f %% (worst: %s, %.0f %%): see bench/README.md on quiet machines", spread,
                    session.outcomes.size(), SPREAD_LIMIT, worst->first.c_str(), worst->second.spread));
}

/* The best of a few more measurements, in other buffers, of a row that looks slow. */
double percent_again(Registered &r, double enough)
{
    double best = 0;
    for (int i = 0; i < 3 && best < enough; i++) {
        session.current = nullptr;
        set_up(r);
        double seconds = median_seconds(session.job, 0.1);
        best = std::max(best, 100 * limit_of(*r.peaks, session.job.work, session.job.footprint).seconds / seconds);
    }
    return best;
}

/* Lists what is slower and faster than in an earlier run; false if anything is slower. */
bool judge_against(const Baseline &baseline, const RegisteredRows &rows, const Options &options)
{
    char cpu[128], features[512];
    cpu_describe(cpu, sizeof cpu, features, sizeof features);
    if (baseline.cpu != cpu || baseline.threads != std::to_string(options.threads))
        warn(format("%s is of %s threads on %s, this run of %d on %s: percentages tell how well kernels suit each", baseline.path.c_str(),
                    baseline.threads.c_str(), baseline.cpu.c_str(), options.threads, cpu));
    size_t compared = 0, new_rows = 0, slower = 0, faster = 0;
    for (const auto &r : rows) {
        auto outcome = session.outcomes.find(r->name);
        auto before = baseline.percents.find(r->name);
        if (outcome == session.outcomes.end() || r->is_peer())
            continue;
        if (before == baseline.percents.end()) {
            new_rows++;
            continue;
        }
        compared++;
        double was = before->second, least = was * (1 - options.tolerance), is = outcome->second.percent;
        if (is < least)
            is = std::max(is, percent_again(*r, least));
        bool lost = is < least, gained = is > was * (1 + options.tolerance);
        slower += lost;
        faster += gained;
        if (lost || gained)
            fprintf(stderr, "%-10s  %-50s %5.1f %% of its limit, was %5.1f %%: %.2f times\n", lost ? "REGRESSION" : "gain", r->name.c_str(),
                    is, was, is / was);
    }
    warn(format("%zu rows compared with %s by percent of each run's limits, tolerance %.0f %%: %zu regressions, %zu gains; %zu rows are "
                "not in it, %zu of it not here", compared, baseline.path.c_str(), 100 * options.tolerance, slower, faster, new_rows,
                baseline.percents.size() - compared));
    if (compared == 0)
        warn("no row of this run is in " + baseline.path + ": nothing was compared");
    return slower == 0 && compared > 0;
}

bool judge(const Options &options, bool emulated)
{
    for (const std::string &failure : session.failures)
        warn(failure);
    judge_spread();
    return (emulated || judge_limits(options)) && session.failures.empty();
}

/* ---- The page ---- */

using File = std::unique_ptr<FILE, int (*)(FILE *)>;

/* Opened before the run, so that minutes are not lost to a name that cannot be written. */
File open_page(const std::string &path)
{
    FILE *file = fopen(path.c_str(), "w");
    if (!file)
        throw std::invalid_argument("--html " + path + ": cannot be written: " + strerror(errno));
    return File(file, fclose);
}

/* Rows in the order in which they were run. */
void write_page(File file, const Options &options, const RegisteredRows &rows, int argc, char **argv)
{
    Report &report = session.report;
    char date[32];
    time_t now = time(nullptr);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime(&now));
    std::string command;
    for (int i = 0; i < argc; i++)
        command += (i ? " " : "") + std::string(argv[i]);
    report.context.push_back({"date", date});
    report.context.push_back({"command", command});
    report.threads = options.threads;
    for (const auto &r : rows) {
        auto found = session.outcomes.find(r->name);
        if (found == session.outcomes.end())
            continue;
        const auto &[name, o] = *found;
        size_t path = name.find('/') + 1, shape = name.find('/', path) + 1;
        report.rows.push_back({name.substr(0, path - 1), name.substr(path, shape - path - 1), name.substr(shape), o.limit, o.seconds, o.counters});
    }
    std::string page = html_page(report);
    bool written = fwrite(page.data(), 1, page.size(), file.get()) == page.size();
    if (fclose(file.release()) || !written)
        throw std::runtime_error("--html " + options.html + ": could not be written: " + strerror(errno));
}

int compare(const Options &options, bool emulated)
{
    Filter filter(options.filter);
    std::string load = machine_load_warning();
    if (!load.empty() && !emulated)
        warn(load);
    Comparison c = compare_isas({options.threads, options.tolerance, options.quick, emulated,
                                 [&](const std::string &name) { return filter.wants(name); }});
    if (c.rows.empty()) {
        warn("no row matches --filter " + options.filter);
        return FAILED;
    }
    print_verdict(c);
    if (!options.markdown.empty())
        write_markdown(c, options.markdown);
    if (!options.json.empty())
        write_json(c, options.json);
    return c.all_failures().empty() ? DONE : FAILED;
}

int run(int argc, char **argv)
{
    Options options;
    std::vector<std::string> passed;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0)
            return fputs(help, stdout), DONE;
    if (!parse(options, passed, argc, argv))
        return MISUSED;
    if (options.threads == 0)
        options.threads = par_default_threads();
    std::vector<char *> arguments;
    for (std::string &word : passed)
        arguments.push_back(&word[0]);
    int count = static_cast<int>(arguments.size());
    bool list = std::any_of(passed.begin(), passed.end(),
                            [](const std::string &word) { return word.compare(0, 22, "--benchmark_list_tests") == 0; });
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
        return MISUSED;

    bool emulated = machine_is_emulated();
    Baseline baseline;
    if (!options.baseline.empty())
        baseline = read_baseline(options.baseline); /* what is wrong with it is said before the wait */
    if (options.compare_isa)
        return compare(options, emulated);
    auto rows = choose_rows(options, emulated);
    if (rows.empty()) {
        warn("no row matches --filter " + options.filter);
        return FAILED;
    }
    File page(nullptr, fclose);
    if (!options.html.empty() && !list)
        page = open_page(options.html);
    std::map<std::string, Peaks> peaks;
    if (!list) {
        add_context(options, emulated); /* before the probes: they are a load themselves */
        if (options.peers)
            tell("peers", add_peers(rows, options));
        peaks = measure_all(rows, options);
    }
    for (auto &r : rows) {
        r->peaks = list ? nullptr : &peaks[r->engine.kernels->name];
        Registered *row = r.get();
        /* Without UseRealTime, which would append to the name. Rates are from real time all the same (run_row), and the main thread's
         * time, by which the library chooses iterations, is close to it: that thread works like the others. */
        benchmark::RegisterBenchmark(row->name.c_str(), [row](benchmark::State &state) { run_row(state, *row); })
            ->Unit(benchmark::kMicrosecond);
    }
    benchmark::RunSpecifiedBenchmarks();
    bool good = list || judge(options, emulated);
    if (!list && !emulated && !options.baseline.empty())
        good = judge_against(baseline, rows, options) && good;
    session.job = Job();
    if (page)
        write_page(std::move(page), options, rows, argc, argv);
    return good ? DONE : FAILED;
}

} // namespace

int main(int argc, char **argv)
{
    try {
        return run(argc, argv);
    } catch (const std::invalid_argument &error) {
        warn(error.what());
        return MISUSED;
    } catch (const std::exception &error) {
        warn(error.what());
        return FAILED;
    }
}
