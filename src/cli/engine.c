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
