#include "base/engine.h"

#include "base/par.h"
#include "base/status.h"
#include "simd/dispatch.h"

#include <string.h>

static enum simclr_status refuse(const char *label, const char *isa, struct simclr_error *err)
{
    char names[128];
    const struct isa_entry *entries;
    size_t count = isa_list(&entries);
    isa_supported_names(names, sizeof names);
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i].kernels->name, isa) == 0)
            return fail(err, SIMCLR_ERR_USAGE, "%s %s: this machine lacks what it needs (%s); it can run: auto %s", label, isa,
                        entries[i].requires, names);
    return fail(err, SIMCLR_ERR_USAGE, "%s %.40s: this build has no such instruction set; this machine can run: auto %s", label, isa,
                names);
}

enum simclr_status engine_init(struct engine *engine, const char *isa, int threads, const char *label, struct simclr_error *err)
{
    *engine = (struct engine){.kernels = isa_resolve(isa), .threads = threads > 0 ? threads : par_default_threads(), .caches = cache_sizes()};
    return engine->kernels ? SIMCLR_OK : refuse(label, isa, err);
}
