/* simclr selftest: what this machine computes, against what every machine must. What it prints is what a report of a fault needs. */
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/selftest.h"

#include "base/par.h"
#include "base/status.h"
#include "simd/cpu.h"
#include "simd/dispatch.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#if defined __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

enum { MOST_ISAS = 8 };

struct tally {
    int passed, failed;
    double milliseconds;
};

struct selftest_run {
    struct engine engine;
    const struct kernels *isas[MOST_ISAS];
    size_t count;
    bool verbose;
};

/* ---- A case that kills the program is named before it does: an illegal instruction, most likely. ---- */

static const char *volatile running_case, *volatile running_isa;
static const int deadly[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE};
static struct sigaction before[4];

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; /* nothing is left to try */
}

static void name_case(int number)
{
    say("simclr: the selftest dies in case ");
    say(running_case);
    say(" with ");
    say(running_isa);
    say(" kernels; please report this with all it printed\n");
    for (int i = 0; i < 4; i++) /* the fault is met again, and then ends the program, or reaches a sanitizer */
        if (deadly[i] == number)
            sigaction(number, &before[i], NULL);
}

static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = name_case};
    for (int i = 0; i < 4; i++)
        sigaction(deadly[i], &action, &before[i]);
}

/* ---- Cases ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_case(struct tally *tally, const struct selftest_case *which, const struct engine *engine, bool verbose)
{
    uint64_t hash = 0, expected = 0;
    struct simclr_error err;
    running_case = which->name;
    running_isa = engine->kernels->name;
    double start = now();
    enum simclr_status status = selftest_run(&hash, which, engine, &err);
    double milliseconds = 1e3 * (now() - start);
    bool known = selftest_golden(&expected, which->name), good = status == SIMCLR_OK && known && hash == expected;
    tally->passed += good;
    tally->failed += !good;
    tally->milliseconds += milliseconds;
    if (good && !verbose)
        return;
    printf("%-8s%-28s%016" PRIx64 "  %-4s %9.2f ms", engine->kernels->name, which->name, hash, good ? "ok" : "FAIL", milliseconds);
    if (status != SIMCLR_OK)
        printf("  %s", err.text);
    else if (!known)
        printf("  it has no golden hash");
    else if (!good)
        printf("  expected %016" PRIx64, expected);
    printf("\n");
    fflush(stdout);
}

static void print_row(const char *name, size_t cases, const struct tally *tally, size_t isas)
{
    printf("%-30s%6zu", name, cases);
    for (size_t i = 0; i < isas; i++) {
        char cell[40];
        if (tally[i].failed)
            snprintf(cell, sizeof cell, "%d FAIL", tally[i].failed);
        else
            snprintf(cell, sizeof cell, "ok %.1f ms", tally[i].milliseconds);
        printf("%14s", cell);
    }
    printf("\n");
    fflush(stdout);
}

/* Prints a row a group, above it the cases that failed, or all; adds up in total. */
static void run_groups(struct tally total[MOST_ISAS], struct selftest_run *run)
{
    size_t groups, cases = 0;
    const struct selftest_group *const *group = selftest_groups(&groups);
    printf("%-30s%6s", "", "cases");
    for (size_t i = 0; i < run->count; i++)
        printf("%14s", run->isas[i]->name);
    printf("\n");
    for (size_t g = 0; g < groups; g++) {
        struct tally tally[MOST_ISAS] = {{0}};
        for (size_t i = 0; i < run->count; i++) {
            run->engine.kernels = run->isas[i];
            for (size_t c = 0; c < group[g]->count; c++)
                run_case(&tally[i], &group[g]->cases[c], &run->engine, run->verbose);
            total[i].passed += tally[i].passed;
            total[i].failed += tally[i].failed;
            total[i].milliseconds += tally[i].milliseconds;
        }
        cases += group[g]->count;
        print_row(group[g]->name, group[g]->count, tally, run->count);
    }
    print_row("all", cases, total, run->count);
}

/* ---- The machine ---- */

static void print_machine(const struct engine *engine)
{
    char model[128], features[512];
    struct utsname system;
    cpu_describe(model, sizeof model, features, sizeof features);
    printf("simclr %s, %zu bits, compiled by " COMPILER "\n", SIMCLR_VERSION, 8 * sizeof(void *));
    if (uname(&system) == 0)
        printf("system: %s %s %s\n", system.sysname, system.release, system.machine);
    printf("CPU: %s\nfeatures: %s\n", model, features[0] ? features : "none that a kernel is for");
    printf("caches: L1 %zu KiB, L2 %zu KiB\n", engine->caches.l1 / 1024, engine->caches.l2 / 1024);
    printf("threads: %d in this test, %d by default in training\n", engine->threads, par_default_threads());
    printf("chosen: %s kernels\n\n", engine->kernels->name);
}

static int print_golden(const struct engine *engine)
{
    size_t groups;
    const struct selftest_group *const *group = selftest_groups(&groups);
    for (size_t g = 0; g < groups; g++)
        for (size_t c = 0; c < group[g]->count; c++) {
            uint64_t hash;
            struct simclr_error err;
            enum simclr_status status = selftest_run(&hash, &group[g]->cases[c], engine, &err);
            if (status != SIMCLR_OK)
                return cli_fail(status, &err);
            printf("    {\"%s\", 0x%016" PRIx64 "},\n", group[g]->cases[c].name, hash);
        }
    return EXIT_DONE;
}

/* isa NULL: SIMCLR_ISA if it is set, else all that this machine can run. */
static int run_selftest(const char *isa, int threads, bool golden, bool verbose)
{
    const char *variable = getenv("SIMCLR_ISA");
    bool chosen = isa || (variable && variable[0]);
    struct selftest_run run = {.verbose = verbose};
    struct simclr_error err;
    struct tally total[MOST_ISAS] = {{0}}, sum = {0};
    const struct isa_entry *entries;
    size_t isas = isa_list(&entries);
    double start = now();
    enum simclr_status status = cli_engine(&run.engine, golden && !chosen ? "scalar" : isa, threads, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    if (golden)
        return print_golden(&run.engine);
    print_machine(&run.engine);
    if (chosen)
        run.isas[run.count++] = run.engine.kernels;
    for (size_t i = 0; !chosen && i < isas && run.count < MOST_ISAS; i++)
        if (entries[i].supported)
            run.isas[run.count++] = entries[i].kernels;
    watch_signals();
    run_groups(total, &run);
    for (size_t i = 0; i < run.count; i++) {
        sum.passed += total[i].passed;
        sum.failed += total[i].failed;
    }
    printf("selftest: %d passed, %d failed in %.2f s\n", sum.passed, sum.failed, now() - start);
    return sum.failed ? EXIT_FAILED : EXIT_DONE;
}

int cmd_selftest(int argc, char **argv)
{
    const char *isa = NULL, *rest[1];
    bool help = false, golden = false, verbose = false;
    int threads = 1;
    size_t rest_count;
    const struct option options[] = {
        {.name = "isa", .group = "Options", .value = "NAME", .set = option_text, .target = &isa,
         .help = "test one instruction set; default: SIMCLR_ISA, else all of this CPU"},
        {.name = "threads", .group = "Options", .value = "N", .set = option_int, .target = &threads,
         .data = &cli_threads_range, .help = "default: 1"},
        {.name = "verbose", .letter = 'v', .group = "Options", .set = option_switch, .target = &verbose,
         .help = "a line for every case, with its hash and time"},
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
        return run_selftest(isa, threads, golden, verbose);
    printf("Usage: simclr selftest [OPTION...]\n\nRuns every kernel and a few training steps on fixed inputs and compares the hashes of the\n"
           "results with those that every machine must give. Exit code 0: all are equal; 1: some are not.\n"
           "What it prints is what a report of a fault should hold.\n");
    options_help(stdout, options, count);
    return EXIT_DONE;
}
