#include "cli/cli.h"

#include "base/par.h"
#include "base/status.h"
#include "simd/cache.h"
#include "simd/dispatch.h"

#include <stdlib.h>
#include <string.h>

static enum simclr_status refuse(const char *source, const char *isa, struct simclr_error *err)
{
    char names[128];
    const struct isa_entry *entries;
    size_t count = isa_list(&entries);
    isa_supported_names(names, sizeof names);
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i].kernels->name, isa) == 0)
            return fail(err, SIMCLR_ERR_USAGE, "%s %s: this machine lacks what it needs (%s); it can run: auto %s", source, isa,
                        entries[i].requires, names);
    return fail(err, SIMCLR_ERR_USAGE, "%s %.40s: this build has no such instruction set; this machine can run: auto %s", source, isa,
                names);
}

enum simclr_status cli_engine(struct engine *engine, const char *isa, int threads, struct simclr_error *err)
{
    const char *source = "--isa";
    if (!isa) {
        isa = getenv("SIMCLR_ISA");
        source = "SIMCLR_ISA";
    }
    if (!isa || !isa[0])
        isa = "auto";
    engine->kernels = isa_resolve(isa);
    engine->threads = threads > 0 ? threads : par_default_threads();
    engine->caches = cache_sizes();
    engine->stop = NULL;
    return engine->kernels ? SIMCLR_OK : refuse(source, isa, err);
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
        engine->stop = cli_stopped;
    }
    return status;
}
