#include "eval/views.h"

#include "base/arena.h"
#include "base/par.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

struct making {
    uint8_t *pixels;
    struct views_original *originals;
    const struct dataset *set;
    const uint32_t *items;
    const struct views_config *config;
    const struct engine *engine;
    enum simclr_status *status; /* (count): only want of memory, or a wish to stop */
};

static size_t view_values(const struct views_config *c)
{
    return (size_t)c->side * (size_t)c->side * (size_t)c->channels;
}

static enum simclr_status make_image(const struct making *m, size_t i, const struct image *image)
{
    const struct views_config *c = m->config;
    const struct kernels *kernels = m->engine->kernels;
    struct views_original *whole = &m->originals[i];
    size_t values = view_values(c);
    uint8_t *out = m->pixels + i * (size_t)(1 + c->views) * values;
    float *x = alloc_aligned(values, sizeof *x);
    void *scratch = alloc_aligned(augment_scratch(image->h, image->w, c->channels, c->side), 1);
    if (x && scratch) {
        augment_whole(kernels, x, &whole->h, &whole->w, image, c->side, scratch);
        augment_round(out, x, (size_t)whole->h * (size_t)whole->w * (size_t)c->channels);
    }
    for (int v = 0; v < c->views && x && scratch; v++) {
        struct augment_params params;
        struct rng rng = rng_stream(c->seed, RNG_AUGMENT, (uint32_t)v / 2, 2 * (uint64_t)m->items[i] + (uint64_t)v % 2);
        augment_draw(&params, &c->augment, image->h, image->w, &rng);
        augment_apply(kernels, x, image, &params, &c->augment, c->side, scratch);
        augment_round(out + (size_t)(1 + v) * values, x, values);
    }
    enum simclr_status status = x && scratch ? SIMCLR_OK : SIMCLR_ERR_MEMORY;
    free(x);
    free(scratch);
    return status;
}

static void make_one(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct making *m = ctx;
    struct image image;
    struct simclr_error ignored;
    if (engine_stopped(m->engine)) {
        m->status[i] = SIMCLR_ERR_CANCELLED;
        return;
    }
    enum simclr_status status = dataset_read(m->set, m->items[i], &image, &ignored);
    m->status[i] = status == SIMCLR_ERR_MEMORY ? status : SIMCLR_OK;
    if (status != SIMCLR_OK)
        return;
    m->status[i] = make_image(m, i, &image);
    image_release(&image);
}

enum simclr_status views_make(uint8_t *pixels, struct views_original *originals, const struct dataset *set, const uint32_t *items, size_t count,
                              const struct views_config *config, const struct engine *engine, struct simclr_error *err)
{
    struct making m = {.pixels = pixels, .originals = originals, .set = set, .items = items, .config = config, .engine = engine,
                       .status = calloc(count + 1, sizeof *m.status)};
    if (!m.status)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the views of %zu images", count);
    memset(originals, 0, count * sizeof *originals);
    memset(pixels, 0, count * (size_t)(1 + config->views) * view_values(config));
    par_for(engine->threads, count, make_one, &m);
    enum simclr_status status = SIMCLR_OK;
    for (size_t i = 0; i < count && status == SIMCLR_OK; i++)
        status = m.status[i];
    free(m.status);
    if (status == SIMCLR_ERR_CANCELLED)
        return fail(err, status, "stopped");
    return status == SIMCLR_OK ? status : fail(err, status, "not enough memory for the views of %zu images", count);
}

size_t views_spread(uint32_t *items, size_t count, size_t size)
{
    if (count > size)
        count = size;
    for (size_t i = 0; i < count; i++)
        items[i] = (uint32_t)(i * size / count);
    return count;
}
