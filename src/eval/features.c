#include "eval/features.h"

#include "base/arena.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

enum simclr_status features_walk(struct network *network, struct loader *loader, int batch, bool with_z, features_take_fn *take, void *ctx,
                                 struct image_progress *progress, struct simclr_error *err)
{
    size_t total = loader_size(loader);
    const struct allocator *allocator = loader_engine(loader)->allocator;
    float *x = allocator_alloc(allocator, (size_t)batch, loader_image_floats(loader) * sizeof *x); /* (batch, S, S, C) */
    int *labels = malloc((size_t)batch * sizeof *labels);
    enum simclr_status status = SIMCLR_OK;
    if (!x || !labels)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %d images; use a smaller --batch-size", batch);
    for (size_t first = 0; first < total && status == SIMCLR_OK; first += (size_t)batch) {
        int rows = total - first < (size_t)batch ? (int)(total - first) : batch;
        struct features_pass pass = {.first = first, .rows = rows, .labels = labels};
        status = loader_clean(loader, x, labels, first, rows, err);
        if (status != SIMCLR_OK)
            break;
        network_forward(network, x, rows, false, &pass.h, with_z ? &pass.z : NULL);
        status = take(ctx, &pass, err);
        if (status == SIMCLR_OK && progress && image_progress_add(progress, (size_t)rows))
            status = fail(err, SIMCLR_ERR_CANCELLED, "stopped after %zu of %zu images", progress->done, progress->total);
    }
    allocator_free(allocator, x);
    free(labels);
    return status;
}

struct gathered {
    float *h, *z;
    size_t h_dim, z_dim;
    int *labels;
};

static enum simclr_status gather(void *ctx, const struct features_pass *pass, struct simclr_error *err)
{
    (void)err;
    const struct gathered *g = ctx;
    size_t rows = (size_t)pass->rows;
    if (g->h)
        memcpy(g->h + pass->first * g->h_dim, pass->h, rows * g->h_dim * sizeof *g->h);
    if (g->z)
        memcpy(g->z + pass->first * g->z_dim, pass->z, rows * g->z_dim * sizeof *g->z);
    memcpy(g->labels + pass->first, pass->labels, rows * sizeof *g->labels);
    return SIMCLR_OK;
}

enum simclr_status features_compute(struct network *network, struct loader *loader, float *h, float *z, int *labels, int batch,
                                    struct image_progress *progress, struct simclr_error *err)
{
    struct gathered g = {.h = h, .z = z, .h_dim = (size_t)network_feature_dim(network), .z_dim = (size_t)network_out_dim(network),
                         .labels = labels};
    return features_walk(network, loader, batch, z != NULL, gather, &g, progress, err);
}

enum simclr_status features_none_readable(struct loader *loader, struct simclr_error *err)
{
    const char *const *messages;
    size_t n = loader_broken(loader, &messages);
    return fail(err, SIMCLR_ERR_FORMAT, "none of the images can be read; %s", n && messages ? messages[0] : "");
}
