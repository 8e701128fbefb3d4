#include "cli/cli.h"

#include <stdlib.h>

enum simclr_status cli_engine(struct engine *engine, const char *isa, int threads, struct simclr_error *err)
{
    const char *source = "--isa";
    if (!isa) {
        isa = getenv("SIMCLR_ISA");
        source = "SIMCLR_ISA";
    }
    return engine_init(engine, isa && isa[0] ? isa : "auto", threads, source, err);
}

const struct option_range cli_threads_range = {1, 1024};

size_t cli_common_options(struct option options[CLI_COMMON_OPTIONS], const char *group, int *threads, const char **isa, bool *help)
{
    options[0] = (struct option){.name = "threads", .group = group, .value = "N", .set = option_int, .target = threads,
                                 .data = &cli_threads_range,
                                 .help = "default: what CPU affinity and quota allow; never changes a result"};
    options[1] = (struct option){.name = "isa", .group = group, .value = "NAME", .set = option_text, .target = isa,
                                 .help = "auto, scalar, avx2, avx512 or neon; default: SIMCLR_ISA, else auto"};
    options[2] = (struct option){.name = "help", .letter = 'h', .group = group, .set = option_switch, .target = help, .help = "show this"};
    return CLI_COMMON_OPTIONS;
}

enum simclr_status cli_engine_until_stopped(struct engine *engine, const char *isa, int threads, struct simclr_error *err)
{
    enum simclr_status status = cli_engine(engine, isa, threads, err);
    if (status == SIMCLR_OK) {
        cli_catch_stop();
        engine->stop.wanted = cli_stopped;
    }
    return status;
}
