#include "train/memory_limit.h"

#include "base/ints.h"
#include "base/status.h"
#include "train/bill.h"
#include "train/step.h"

#include <stdint.h>

/* What a prediction may be wrong by is kept free: one part of so many. */
enum { SLACK = 20 };

/* What the program takes is rounded up to this, twice it at least: a few pages more or less, as each start has them, must not change
 * the micro-batch. */
#define PROGRAM_STEP ((size_t)4 << 20)

struct search {
    struct train_config config; /* without a cache that would give way */
    struct bill_basis basis;
    const struct run_data *data;
    const struct engine *engine;
};

static enum simclr_status search_begin(struct search *s, const struct train_config *config, const struct run_data *data,
                                       const struct engine *engine, struct simclr_error *err)
{
    *s = (struct search){.config = *config, .data = data, .engine = engine};
    if (s->config.cache == CACHE_AUTO)
        s->config.cache = CACHE_NONE;
    enum simclr_status status = bill_begin(&s->basis, data, err);
    size_t steps = (s->basis.resident + PROGRAM_STEP - 1) / PROGRAM_STEP;
    s->basis.resident = PROGRAM_STEP * (steps > 2 ? steps : 2);
    s->basis.available = 0; /* --cache ram counts with all images, whatever is free */
    return status;
}

/* What must be there for it; as a run begins, with the slack. */
static enum simclr_status needed(size_t *bytes, const struct search *s, int micro_batch, bool settled, struct simclr_error *err)
{
    struct bill bill;
    enum simclr_status status = bill_make(&bill, &s->basis, &s->config, s->data, s->engine, micro_batch, err);
    size_t peak = status == SIMCLR_OK ? bill_peak(&bill) : 0;
    *bytes = settled ? peak : peak + peak / (SLACK - 1);
    return status;
}

static double megabytes(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* The largest that fits, by halving: more images never need less. */
static enum simclr_status largest(int *micro_batch, const struct search *s, struct simclr_error *err)
{
    int fits = 0, over = s->config.batch_size + 1;
    size_t bytes = 0, least = 0;
    while (over - fits > 1) {
        int middle = over > s->config.batch_size ? s->config.batch_size : fits + (over - fits) / 2;
        enum simclr_status status = needed(&bytes, s, middle, false, err);
        if (status != SIMCLR_OK)
            return status;
        if (bytes <= s->config.memory)
            fits = middle;
        else
            over = middle, least = bytes;
    }
    if (!fits)
        return fail(err, SIMCLR_ERR_USAGE, "--memory %.1fM is too little: even with micro-batches of one image this run needs %.1fM%s",
                    megabytes(s->config.memory), megabytes(least),
                    s->config.knn_every ? "; raise it, choose a smaller --arch or --width, or try --knn-every 0"
                                        : "; raise it, or choose a smaller --arch or --width");
    *micro_batch = fits;
    return SIMCLR_OK;
}

enum simclr_status memory_limit_apply(struct train_config *config, bool settled, size_t *for_cache, const struct run_data *data,
                                      const struct engine *engine, struct simclr_error *err)
{
    struct search s;
    size_t bytes;
    *for_cache = SIZE_MAX;
    if (!config->memory)
        return SIMCLR_OK;
    int batch = config->batch_size, micro_batch = step_pass_images(config, batch);
    enum simclr_status status = search_begin(&s, config, data, engine, err);
    if (status == SIMCLR_OK && !settled && !config->micro_batch) {
        status = largest(&micro_batch, &s, err);
        if (status == SIMCLR_OK)
            micro_batch = divide_up(batch, divide_up(batch, micro_batch));
    }
    if (status == SIMCLR_OK)
        status = needed(&bytes, &s, micro_batch, settled, err);
    if (status != SIMCLR_OK)
        return status;
    if (bytes > config->memory)
        return fail(err, SIMCLR_ERR_USAGE, "--memory %.1fM is too little: %s of this run needs %.1fM, and what a run began with it keeps",
                    megabytes(config->memory), micro_batch < batch ? "the micro-batch" : "the batch", megabytes(bytes));
    config->micro_batch = micro_batch < batch ? micro_batch : 0;
    *for_cache = config->memory - bytes;
    return SIMCLR_OK;
}
