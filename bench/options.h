/* The command line. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <regex.h>
#include <string>
#include <vector>

struct Options {
    bool quick = false;
    int threads = 0;
    std::string filter, html;
    double tolerance = 0.1; /* of --compare-isa and --baseline */
    bool compare_isa = false, peers = false;
    std::string markdown, json; /* files for its table; empty: none */
    std::string baseline;       /* an earlier run's JSON; empty: none */
};

extern const char help[];

/* Takes our own options out of argv; what Google's library needs to hear is in passed. Says what is wrong, and returns false. */
bool parse(Options &options, std::vector<std::string> &passed, int argc, char **argv);

/* Registering only what is wanted lets peaks be measured for the ISAs in use alone. */
class Filter {
public:
    explicit Filter(const std::string &text); /* throws std::invalid_argument */
    ~Filter() { regfree(&regex_); }
    Filter(const Filter &) = delete;
    Filter &operator=(const Filter &) = delete;
    bool wants(const std::string &name) const { return (regexec(&regex_, name.c_str(), 0, nullptr, 0) == 0) != negative_; }

private:
    bool negative_;
    regex_t regex_;
};

#endif
