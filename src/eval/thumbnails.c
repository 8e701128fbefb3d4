#include "eval/thumbnails.h"

#include "base/arena.h"
#include "base/par.h"
#include "base/status.h"
#include "data/loader.h"
#include "io/picture.h"

#include <stdlib.h>

enum { BATCH = 64, QUALITY = 85 };

struct making {
    struct buffer *jpegs; /* of this batch */
    const float *x;       /* (batch, side, side, channels) in [0, 1] */
    uint8_t *pixels;      /* the same, rounded */
    const int *labels;
    int side, channels;
};

static void make_one(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct making *m = ctx;
    size_t values = (size_t)m->side * (size_t)m->side * (size_t)m->channels;
    if (m->labels[i] == LABEL_BROKEN)
        return;
    augment_round(m->pixels + i * values, m->x + i * values, values);
    picture_jpeg(&m->jpegs[i], m->pixels + i * values, m->side, m->side, m->channels, QUALITY);
}

static enum simclr_status make_all(struct buffer *jpegs, struct loader *loader, int side, int channels, const struct engine *engine,
                                   struct simclr_error *err)
{
    size_t count = loader_size(loader), values = loader_image_floats(loader);
    int labels[BATCH];
    float *x = alloc_aligned(BATCH, values * sizeof *x);
    uint8_t *pixels = alloc_aligned(BATCH, values);
    enum simclr_status status = x && pixels ? SIMCLR_OK : fail(err, SIMCLR_ERR_MEMORY, "not enough memory for thumbnails");
    for (size_t first = 0; first < count && status == SIMCLR_OK; first += BATCH) {
        int rows = count - first < BATCH ? (int)(count - first) : BATCH;
        struct making making = {.jpegs = jpegs + first, .x = x, .pixels = pixels, .labels = labels, .side = side, .channels = channels};
        status = loader_clean(loader, x, labels, first, rows, err);
        if (status == SIMCLR_OK)
            par_for(engine->threads, (size_t)rows, make_one, &making);
    }
    free(x);
    free(pixels);
    return status;
}

enum simclr_status thumbnails_make(struct buffer *jpegs, const struct dataset *set, const uint32_t *items, size_t count, int side,
                                   const struct engine *engine, struct simclr_error *err)
{
    struct loader *loader;
    struct loader_config config = {.image_size = side, .channels = dataset_channels(set)};
    if (count == 0)
        return SIMCLR_OK;
    enum simclr_status status = loader_create(&loader, set, items, count, &config, engine, err);
    if (status == SIMCLR_OK)
        status = make_all(jpegs, loader, side, config.channels, engine, err);
    loader_free(loader);
    return status;
}
