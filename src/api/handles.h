/* What the handles of include/simclr are. Private to src/api. */
#ifndef API_HANDLES_H
#define API_HANDLES_H

#include "base/arena.h"
#include "base/engine.h"
#include "data/dataset.h"
#include "simclr/simclr.h"
#include "train/encoder.h"
#include "train/trainer.h"

struct simclr_engine {
    struct engine engine;
    struct allocator allocator;
    simclr_log_fn *log;
    void *log_ctx;
};

struct simclr_dataset {
    struct dataset *set;
};

struct simclr_model {
    struct encoder encoder;
    const simclr_engine *engine;
    int batch;
};

/* A checkpoint_tell_fn; ctx is a simclr_engine. */
void engine_log(void *ctx, bool warning, const char *text);

/* The defaults, then the caller's texts "name=value", settled. */
enum simclr_status settings_read(struct train_config *config, const char *const *settings, struct simclr_error *err);

/* *model gets a network of config for `batch` images at once. */
enum simclr_status model_new(simclr_model **model, const simclr_engine *engine, const struct train_config *config, int32_t batch,
                             struct simclr_error *err);

#endif
