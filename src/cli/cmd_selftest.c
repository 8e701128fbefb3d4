/* simclr selftest: what this machine computes, against what every machine must. */
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/selftest.h"

#include "base/status.h"
#include "simd/dispatch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct totals {
    int passed, failed;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_case(struct totals *totals, const struct selftest_case *which, const struct engine *engine)
{
    uint64_t hash = 0, expected = 0;
    struct simclr_error err;
    double start = now();
    enum simclr_status status = selftest_run(&hash, which, engine, &err);
    double milliseconds = 1e3 * (now() - start);
    bool known = selftest_golden(&expected, which->name), good = status == SIMCLR_OK && known && hash == expected;
    printf("%-8s%-28s%016" PRIx64 "  %-4s %9.2f ms", engine->kernels->name, which->name, hash, good ? "ok" : "FAIL", milliseconds);
    if (status != SIMCLR_OK)
        printf("  %s", err.text);
    else if (!known)
        printf("  it has no golden hash");
    else if (!good)
        printf("  expected %016" PRIx64, expected);
    printf("\n");
    fflush(stdout); /* if a case dies of an illegal instruction, the last line shows which was before it */
    totals->passed += good;
    totals->failed += !good;
}

static void run_all(struct totals *totals, const struct engine *engine)
{
    size_t count;
    const struct selftest_case *cases = selftest_cases(&count);
    for (size_t i = 0; i < count; i++)
        run_case(totals, &cases[i], engine);
}

static int print_golden(const struct engine *engine)
{
    size_t count;
    const struct selftest_case *cases = selftest_cases(&count);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash;
        struct simclr_error err;
        enum simclr_status status = selftest_run(&hash, &cases[i], engine, &err);
        if (status != SIMCLR_OK)
            return cli_fail(status, &err);
        printf("    {\"%s\", 0x%016" PRIx64 "},\n", cases[i].name, hash);
    }
    return EXIT_DONE;
}

/* isa NULL: SIMCLR_ISA if it is set, else all that this machine can run. */
static int run(const char *isa, int threads, bool golden)
{
    const char *variable = getenv("SIMCLR_ISA");
    bool chosen = isa || (variable && variable[0]);
    struct engine engine;
    struct simclr_error err;
    struct totals totals = {0, 0};
    const struct isa_entry *entries;
    size_t isas = isa_list(&entries);
    enum simclr_status status = cli_engine(&engine, golden && !chosen ? "scalar" : isa, threads, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    if (golden)
        return print_golden(&engine);
    if (chosen)
        run_all(&totals, &engine);
    for (size_t i = 0; !chosen && i < isas; i++)
        if (entries[i].supported) {
            engine.kernels = entries[i].kernels;
            run_all(&totals, &engine);
        }
    printf("selftest: %d passed, %d failed\n", totals.passed, totals.failed);
    return totals.failed ? EXIT_FAILED : EXIT_DONE;
}

int cmd_selftest(int argc, char **argv)
{
    const char *isa = NULL, *rest[1];
    bool help = false, golden = false;
    int threads = 1;
    size_t rest_count;
    const struct option options[] = {
        {.name = "isa", .group = "Options", .value = "NAME", .set = option_text, .target = &isa,
         .help = "test one instruction set; default: SIMCLR_ISA, else all of this CPU"},
        {.name = "threads", .group = "Options", .value = "N", .set = option_int, .target = &threads,
         .data = &cli_threads_range, .help = "default: 1"},
        {.name = "print-golden", .group = "Options", .set = option_switch, .target = &golden,
         .help = "print the hashes as src/cli/selftest_golden.h holds them"},
        {.name = "help", .letter = 'h', .group = "Options", .set = option_switch, .target = &help, .help = "show this"},
    };
    const size_t count = sizeof options / sizeof options[0];
    struct simclr_error err;
    enum simclr_status status = options_parse(argc, argv, options, count, "simclr selftest", rest, 0, &rest_count, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    if (!help)
        return run(isa, threads, golden);
    printf("Usage: simclr selftest [OPTION...]\n\nRuns every kernel and a few training steps on fixed inputs and compares the hashes of the\n"
           "results with those that every machine must give.\n");
    options_help(stdout, options, count);
    return EXIT_DONE;
}
