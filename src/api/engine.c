#include "api/handles.h"

#include "base/status.h"
#include "simd/dispatch.h"

#include <stdlib.h>

enum { MOST_THREADS = 1024 };

const char *simclr_version(void)
{
    return SIMCLR_VERSION;
}

/* NULL beyond the last. */
static const struct isa_entry *isa_at(size_t index)
{
    const struct isa_entry *entries;
    return index < isa_list(&entries) ? &entries[index] : NULL;
}

size_t simclr_isa_count(void)
{
    const struct isa_entry *entries;
    return isa_list(&entries);
}

const char *simclr_isa_name(size_t index)
{
    const struct isa_entry *isa = isa_at(index);
    return isa ? isa->kernels->name : NULL;
}

const char *simclr_isa_needs(size_t index)
{
    const struct isa_entry *isa = isa_at(index);
    return isa ? isa->requires : NULL;
}

bool simclr_isa_supported(size_t index)
{
    const struct isa_entry *isa = isa_at(index);
    return isa && isa->supported;
}

enum simclr_status simclr_engine_create(simclr_engine **result, const char *isa, int32_t threads, struct simclr_error *err)
{
    *result = NULL;
    if (threads < 0 || threads > MOST_THREADS)
        return fail(err, SIMCLR_ERR_USAGE, "%d threads: use 1 to %d, or 0 for what this process may use", (int)threads, MOST_THREADS);
    simclr_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for an engine");
    enum simclr_status status = engine_init(&engine->engine, isa ? isa : "auto", threads, "isa", err);
    if (status == SIMCLR_OK)
        *result = engine;
    else
        free(engine);
    return status;
}

void simclr_engine_free(simclr_engine *engine)
{
    free(engine);
}

const char *simclr_engine_isa(const simclr_engine *engine)
{
    return engine->engine.kernels->name;
}

int32_t simclr_engine_threads(const simclr_engine *engine)
{
    return engine->engine.threads;
}

enum simclr_status simclr_engine_set_allocator(simclr_engine *engine, simclr_alloc_fn *alloc, simclr_free_fn *release, void *ctx,
                                               struct simclr_error *err)
{
    if (!alloc != !release)
        return fail(err, SIMCLR_ERR_USAGE, "an allocator has both functions, or neither");
    engine->allocator = (struct allocator){alloc, release, ctx};
    engine->engine.allocator = alloc ? &engine->allocator : NULL;
    return SIMCLR_OK;
}

void simclr_engine_set_log(simclr_engine *engine, simclr_log_fn *log, void *ctx)
{
    engine->log = log;
    engine->log_ctx = ctx;
}

void simclr_engine_set_stop(simclr_engine *engine, simclr_stop_fn *stop, void *ctx)
{
    engine->engine.stop = (struct stop){stop, ctx};
}

void engine_log(void *ctx, bool warning, const char *text)
{
    const simclr_engine *engine = ctx;
    if (engine->log)
        engine->log(engine->log_ctx, warning ? SIMCLR_LOG_WARNING : SIMCLR_LOG_NOTICE, text);
}
