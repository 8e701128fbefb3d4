/* simclr isa: this CPU, the kernels chosen for it and why, and which kernel each instruction set has. */
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/slots.h"

#include "simd/dispatch.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *cell(const struct isa_entry *entries, size_t isa, const struct slot *slot)
{
    slot_fn *fn = slot_of(entries[isa].kernels, slot);
    if (!fn)
        return "-";
    return isa > 0 && fn == slot_of(entries[0].kernels, slot) ? "scalar" : "yes";
}

static void print_matrix(const struct isa_entry *entries, size_t count)
{
    printf("%-28s", "kernel");
    for (size_t i = 0; i < count; i++)
        printf("%-10s", entries[i].kernels->name);
    printf("\n%-28s", "micro-tile (rows x cols)");
    for (size_t i = 0; i < count; i++) {
        char tile[24];
        snprintf(tile, sizeof tile, "%dx%d", entries[i].kernels->mr, entries[i].kernels->nr);
        printf("%-10s", tile);
    }
    printf("\n");
    size_t slot_count;
    const struct slot *slots = kernel_slots(&slot_count);
    for (size_t s = 0; s < slot_count; s++) {
        printf("%-28s", slots[s].name);
        for (size_t i = 0; i < count; i++)
            printf("%-10s", cell(entries, i, &slots[s]));
        printf("\n");
    }
}

static void explain_choice(const struct kernels *chosen, const char *option)
{
    const char *variable = getenv("SIMCLR_ISA");
    const char *given = option ? option : variable && variable[0] ? variable : "auto";
    const char *source = option ? "--isa" : variable && variable[0] ? "SIMCLR_ISA" : "the default";
    printf("chosen: %s (%s is %s%s)\n", chosen->name, source, given,
           strcmp(given, "auto") == 0 ? ": the best this machine can run" : "");
}

int cmd_isa(int argc, char **argv)
{
    const char *isa = NULL, *rest[1];
    bool help = false;
    size_t rest_count;
    const struct option options[] = {
        {.name = "isa", .group = "Options", .value = "NAME", .set = option_text, .target = &isa,
         .help = "as for the other commands; default: SIMCLR_ISA, else auto"},
        {.name = "help", .letter = 'h', .group = "Options", .set = option_switch, .target = &help, .help = "show this"},
    };
    const size_t count = sizeof options / sizeof options[0];
    struct simclr_error err;
    enum simclr_status status = options_parse(argc, argv, options, count, "simclr isa", rest, 0, &rest_count, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    if (help) {
        printf("Usage: simclr isa [OPTION...]\n\nShows this CPU, the kernels chosen for it, and what each instruction set has.\n");
        options_help(stdout, options, count);
        return EXIT_DONE;
    }
    struct engine engine;
    status = cli_engine(&engine, isa, 0, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    char model[128], features[512];
    cpu_describe(model, sizeof model, features, sizeof features);
    printf("CPU: %s\nfeatures: %s\nthreads: %d\n", model, features, engine.threads);
    const struct isa_entry *entries;
    size_t isas = isa_list(&entries);
    for (size_t i = 0; i < isas; i++)
        printf("%s: %s (needs %s)\n", entries[i].kernels->name, entries[i].supported ? "this machine can run it" : "not on this machine",
               entries[i].requires);
    explain_choice(engine.kernels, isa);
    printf("\n");
    print_matrix(entries, isas);
    printf("\nyes: a kernel of its own; scalar: the scalar one serves\n");
    return EXIT_DONE;
}
