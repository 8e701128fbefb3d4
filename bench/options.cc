#include "bench/options.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

const char help[] =
    "Usage: bench [OPTION...]\n\n"
    "Times every kernel of every instruction set that this CPU runs; rows are named kernel/isa/shape.\n\n"
    "      --filter REGEX   only rows whose name matches (the same as --benchmark_filter; a leading - excludes)\n"
    "      --html FILE      write a page of rooflines, bars and all rows: one file, which needs no network\n"
    "      --threads N      threads; default: all that this process may use\n"
    "      --peers          also rows of OpenBLAS, BLIS, oneDNN and OpenCV, of those that were here when bench was made\n"
    "      --compare-isa    instead: every path on the same rows; fails where results differ, or a path is slower than a lesser one\n"
    "      --markdown FILE, --json FILE  its table, written there as well\n"
    "      --baseline FILE  compare with the JSON of an earlier run, by percent of each run's limits; fails on regressions\n"
    "      --tolerance P    of both: 10% unless told\n"
    "      --quick          small shapes and short times: shows that everything runs, and no more\n"
    "      --help           show this\n\n"
    "Options of Google Benchmark: --benchmark_format=console|json, --benchmark_out=FILE, --benchmark_min_time=SECONDS,\n"
    "--benchmark_repetitions=N, --benchmark_list_tests ...\n"
    "Exit codes: 0 done, 1 failed (also when a row is faster than the limit measured for it), 2 misused.\n";

bool parse(Options &options, std::vector<std::string> &passed, int argc, char **argv)
{
    passed = {argv[0], "--benchmark_counters_tabular=true"};
    bool has_time = false;
    for (int i = 1; i < argc; i++) {
        std::string word = argv[i], value;
        auto takes = [&](const char *name) {
            std::string prefix = std::string(name) + "=";
            if (word.compare(0, prefix.size(), prefix) == 0)
                value = word.substr(prefix.size());
            else if (word == name && i + 1 < argc)
                value = argv[++i];
            else
                return false;
            return true;
        };
        if (word == "--quick") {
            options.quick = true;
        } else if (word == "--compare-isa") {
            options.compare_isa = true;
        } else if (word == "--peers") {
            options.peers = true;
        } else if (takes("--html")) {
            options.html = value;
        } else if (takes("--markdown")) {
            options.markdown = value;
        } else if (takes("--baseline")) {
            options.baseline = value;
        } else if (takes("--json")) {
            options.json = value;
        } else if (takes("--tolerance")) {
            char *end;
            options.tolerance = strtod(value.c_str(), &end) / 100;
            if (end == value.c_str() || (*end && strcmp(end, "%") != 0) || !(options.tolerance >= 0 && options.tolerance < 1)) {
                fprintf(stderr, "bench: --tolerance %s: give a percentage from 0 to 99, such as 10%%\n", value.c_str());
                return false;
            }
        } else if (takes("--threads")) {
            char *end;
            long threads = strtol(value.c_str(), &end, 10);
            if (*end || threads < 1 || threads > 1024) {
                fprintf(stderr, "bench: --threads %s: give a number from 1 to 1024\n", value.c_str());
                return false;
            }
            options.threads = static_cast<int>(threads);
        } else if (takes("--filter") || takes("--benchmark_filter")) {
            options.filter = value;
        } else {
            for (const char *name : {"--html", "--markdown", "--baseline", "--json", "--tolerance", "--threads", "--filter"})
                if (word == name) {
                    fprintf(stderr, "bench: %s: needs a value\n", name);
                    return false;
                }
            has_time = has_time || word.compare(0, 20, "--benchmark_min_time") == 0;
            passed.push_back(word);
        }
    }
    if (!options.compare_isa && !(options.markdown.empty() && options.json.empty())) {
        fprintf(stderr, "bench: --markdown and --json are for --compare-isa; rows as JSON: --benchmark_out=FILE\n");
        return false;
    }
    if (options.compare_isa && (options.peers || !options.html.empty() || !options.baseline.empty())) {
        fprintf(stderr, "bench: --compare-isa goes without --html, --peers and --baseline: run bench once more for those\n");
        return false;
    }
    if (!has_time)
        passed.push_back(options.quick ? "--benchmark_min_time=0.002" : "--benchmark_min_time=0.2");
    return true;
}

Filter::Filter(const std::string &text) : negative_(text.size() > 1 && text[0] == '-')
{
    std::string pattern = negative_ ? text.substr(1) : text.empty() || text == "all" ? "." : text;
    if (regcomp(&regex_, pattern.c_str(), REG_EXTENDED | REG_NOSUB))
        throw std::invalid_argument("--filter " + text + ": not a regular expression");
}
