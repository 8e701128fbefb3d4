#include "api/handles.h"

#include "base/status.h"
#include "eval/features.h"

#include <stdlib.h>
#include <string.h>

/* What a pass over a set writes to. */
struct output {
    const simclr_model *model;
    float *h, *z;
    bool *broken;
};

static void put(float *to, size_t first, const float *from, const struct features_pass *pass, int dim)
{
    size_t d = (size_t)dim;
    for (size_t i = 0; to && i < (size_t)pass->rows; i++)
        if (pass->labels[i] == LABEL_BROKEN)
            memset(to + (first + i) * d, 0, d * sizeof *to);
        else
            memcpy(to + (first + i) * d, from + i * d, d * sizeof *to);
}

/* A features_take_fn. */
static enum simclr_status take(void *ctx, const struct features_pass *pass, struct simclr_error *err)
{
    (void)err;
    const struct output *o = ctx;
    put(o->h, pass->first, pass->h, pass, simclr_model_feature_dim(o->model));
    put(o->z, pass->first, pass->z, pass, simclr_model_projection_dim(o->model));
    for (int i = 0; o->broken && i < pass->rows; i++)
        o->broken[pass->first + (size_t)i] = pass->labels[i] == LABEL_BROKEN;
    return SIMCLR_OK;
}

static enum simclr_status embed_set(simclr_model *model, const struct dataset *set, float *h, float *z, bool *broken, struct simclr_error *err)
{
    struct loader_config config = {.image_size = simclr_model_image_size(model), .channels = simclr_model_channels(model)};
    struct output output = {model, h, z, broken};
    struct loader *loader;
    enum simclr_status status = loader_create(&loader, set, NULL, dataset_size(set), &config, &model->engine->engine, err);
    if (status == SIMCLR_OK)
        status = features_walk(model->encoder.network, loader, model->batch, z != NULL, take, &output, NULL, err);
    loader_free(loader);
    return status;
}

enum simclr_status simclr_embed(simclr_model *model, const simclr_dataset *set, float *h, float *z, bool *broken, struct simclr_error *err)
{
    if (simclr_dataset_channels(set) != simclr_model_channels(model))
        return fail(err, SIMCLR_ERR_USAGE, "the set's images have %d channels, the model wants %d; open the set with channels=%d",
                    (int)simclr_dataset_channels(set), (int)simclr_model_channels(model), (int)simclr_model_channels(model));
    return embed_set(model, set->set, h, z, broken, err);
}

enum simclr_status simclr_embed_pixels(simclr_model *model, const uint8_t *pixels, size_t count, int32_t height, int32_t width,
                                       int32_t channels, float *h, float *z, struct simclr_error *err)
{
    struct dataset_options options = {.channels = simclr_model_channels(model), .stop = model->engine->engine.stop};
    struct dataset *set;
    enum simclr_status status = dataset_open_arrays(&set, pixels, NULL, count, height, width, channels, &options, err);
    if (status == SIMCLR_OK)
        status = embed_set(model, set, h, z, NULL, err);
    dataset_close(set);
    return status;
}

enum simclr_status simclr_embed_floats(simclr_model *model, const float *x, size_t count, float *h, float *z, struct simclr_error *err)
{
    size_t side = (size_t)simclr_model_image_size(model), floats = side * side * (size_t)simclr_model_channels(model);
    size_t h_dim = (size_t)simclr_model_feature_dim(model), z_dim = (size_t)simclr_model_projection_dim(model), batch = (size_t)model->batch;
    for (size_t first = 0; first < count; first += batch) {
        size_t rows = count - first < batch ? count - first : batch;
        const float *pass_h, *pass_z;
        if (engine_stopped(&model->engine->engine))
            return fail(err, SIMCLR_ERR_CANCELLED, "stopped after %zu of %zu images", first, count);
        network_forward(model->encoder.network, x + first * floats, (int)rows, false, &pass_h, z ? &pass_z : NULL);
        if (h)
            memcpy(h + first * h_dim, pass_h, rows * h_dim * sizeof *h);
        if (z)
            memcpy(z + first * z_dim, pass_z, rows * z_dim * sizeof *z);
    }
    return SIMCLR_OK;
}
