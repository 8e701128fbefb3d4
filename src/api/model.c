#include "api/handles.h"

#include "base/status.h"
#include "train/export.h"
#include "train/init.h"
#include "train/run_data.h"

#include <stdlib.h>

enum { MOST_BATCH = 65536 };

/* A handle without a network. */
static enum simclr_status begin(simclr_model **result, const simclr_engine *engine, int32_t batch, struct simclr_error *err)
{
    *result = NULL;
    if (batch < 1 || batch > MOST_BATCH)
        return fail(err, SIMCLR_ERR_USAGE, "a batch of %d images: use 1 to %d", (int)batch, MOST_BATCH);
    *result = calloc(1, sizeof **result);
    if (!*result)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a model");
    (*result)->engine = engine;
    (*result)->batch = batch;
    return SIMCLR_OK;
}

static enum simclr_status end(simclr_model **result, enum simclr_status status)
{
    if (status != SIMCLR_OK) {
        simclr_model_free(*result);
        *result = NULL;
    }
    return status;
}

enum simclr_status model_new(simclr_model **result, const simclr_engine *engine, const struct train_config *config, int32_t batch,
                             struct simclr_error *err)
{
    enum simclr_status status = begin(result, engine, batch, err);
    if (status != SIMCLR_OK)
        return status;
    struct encoder *encoder = &(*result)->encoder;
    encoder->config = *config;
    return end(result, network_create(&encoder->network, &config->network, &engine->engine, batch, false, err));
}

static enum simclr_status take_init(simclr_model *model, struct simclr_error *err)
{
    struct init_file init;
    if (!model->encoder.config.init[0])
        return SIMCLR_OK;
    enum simclr_status status = init_open(&init, model->encoder.config.init, model->encoder.network, err);
    if (status == SIMCLR_OK)
        init_take(&init, model->encoder.network);
    init_close(&init);
    return status;
}

enum simclr_status simclr_model_create(simclr_model **model, const simclr_engine *engine, const char *const *settings,
                                       struct simclr_error *err)
{
    struct train_config config;
    *model = NULL;
    enum simclr_status status = settings_read(&config, settings, err);
    if (status == SIMCLR_OK)
        status = run_data_shape(&config, NULL, err);
    if (status == SIMCLR_OK)
        status = model_new(model, engine, &config, config.batch_size, err);
    return status == SIMCLR_OK ? end(model, take_init(*model, err)) : status;
}

enum simclr_status simclr_model_load(simclr_model **model, const simclr_engine *engine, const char *path, int32_t batch,
                                     struct simclr_error *err)
{
    enum simclr_status status = begin(model, engine, batch, err);
    if (status != SIMCLR_OK)
        return status;
    return end(model, encoder_open(&(*model)->encoder, path, batch, &engine->engine, engine_log, (void *)engine, err));
}

void simclr_model_free(simclr_model *model)
{
    if (model)
        encoder_close(&model->encoder);
    free(model);
}

enum simclr_status simclr_model_save(simclr_model *model, const char *path, bool head, struct simclr_error *err)
{
    return export_encoder(path, &model->encoder, head, err);
}

int32_t simclr_model_feature_dim(const simclr_model *model) { return network_feature_dim(model->encoder.network); }
int32_t simclr_model_projection_dim(const simclr_model *model) { return network_out_dim(model->encoder.network); }
int32_t simclr_model_image_size(const simclr_model *model) { return model->encoder.config.network.image_size; }
int32_t simclr_model_channels(const simclr_model *model) { return model->encoder.config.network.channels; }
uint64_t simclr_model_steps(const simclr_model *model) { return model->encoder.step; }
uint64_t simclr_model_hash(const simclr_model *model) { return encoder_hash(&model->encoder); }
