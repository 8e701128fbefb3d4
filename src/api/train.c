#include "api/handles.h"

#include "base/status.h"
#include "train/config.h"
#include "train/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct simclr_trainer {
    struct trainer t;
    const simclr_engine *engine;
};

struct simclr_progress {
    const struct train_progress *now;
    bool epoch_done;
};

/* A train_report_fn of a trainer in no folder: it has only sentences to tell. */
static int log_text(void *ctx, const struct train_progress *progress, bool epoch_done)
{
    (void)epoch_done;
    if (progress->text)
        engine_log(ctx, strcmp(progress->phase, "warning") == 0, progress->text);
    return 0;
}

/* ---- Step by step ---- */

static enum simclr_status open_data(struct trainer *t, struct dataset *set, struct simclr_error *err)
{
    struct train_config *c = &t->config;
    if (dataset_channels(set) != c->network.channels)
        return fail(err, SIMCLR_ERR_USAGE, "the set's images have %d channels, and channels is %d; give trainer and set the same",
                    dataset_channels(set), c->network.channels);
    enum simclr_status status = run_data_shape(c, set, err);
    if (status != SIMCLR_OK)
        return status;
    struct loader_config loading = {.image_size = c->network.image_size, .channels = c->network.channels, .augment = c->augment,
                                    .seed = c->seed};
    t->data.train_set = set;
    t->data.fingerprint = dataset_fingerprint(set);
    return loader_create(&t->data.train, set, NULL, dataset_size(set), &loading, t->engine, err);
}

static enum simclr_status set_up(struct trainer *t, struct dataset *set, struct simclr_error *err)
{
    char init[512];
    enum simclr_status status = open_data(t, set, err);
    if (status == SIMCLR_OK)
        status = trainer_plan_steps(t, err);
    if (status == SIMCLR_OK)
        status = trainer_prepare(t, SIZE_MAX, err);
    if (status == SIMCLR_OK)
        status = trainer_init(t, init, sizeof init, err);
    if (status == SIMCLR_OK && init[0])
        trainer_tell_user(t, false, init);
    return status;
}

enum simclr_status simclr_trainer_create(simclr_trainer **result, const simclr_engine *engine, const simclr_dataset *set,
                                         const char *const *settings, struct simclr_error *err)
{
    simclr_trainer *trainer = *result = NULL;
    trainer = calloc(1, sizeof *trainer);
    if (!trainer)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a trainer");
    trainer->engine = engine;
    struct trainer *t = &trainer->t;
    t->engine = &engine->engine;
    t->report = log_text;
    t->report_ctx = (void *)engine;
    t->folder.lock = -1;
    t->knn = t->effective_rank = t->state.knn_untrained = -1;
    enum simclr_status status = settings_read(&t->config, settings, err);
    t->config.limit = 0; /* the set's */
    if (status == SIMCLR_OK)
        status = set_up(t, set->set, err);
    if (status == SIMCLR_OK)
        *result = trainer;
    else
        simclr_trainer_free(trainer);
    return status;
}

void simclr_trainer_free(simclr_trainer *trainer)
{
    if (!trainer)
        return;
    loader_free(trainer->t.data.train);
    trainer_release(&trainer->t);
    free(trainer->t.settings);
    free(trainer);
}

enum simclr_status simclr_trainer_step(simclr_trainer *trainer, double *loss, struct simclr_error *err)
{
    struct trainer *t = &trainer->t;
    double value = NAN;
    if (t->state.step >= t->steps)
        return fail(err, SIMCLR_ERR_USAGE, "all %llu steps are done; train for more --epochs", (unsigned long long)t->steps);
    if (engine_stopped(t->engine))
        return fail(err, SIMCLR_ERR_CANCELLED, "stopped before step %llu", (unsigned long long)t->state.step + 1);
    enum simclr_status status = trainer_step(t, &value, err);
    if (status == SIMCLR_OK && trainer_epoch_ended(t))
        trainer_begin_epoch(t);
    if (loss)
        *loss = value;
    return status;
}

uint64_t simclr_trainer_steps_done(const simclr_trainer *trainer) { return trainer->t.state.step; }
uint64_t simclr_trainer_steps(const simclr_trainer *trainer) { return trainer->t.steps; }
uint64_t simclr_trainer_steps_per_epoch(const simclr_trainer *trainer) { return trainer->t.steps_per_epoch; }

enum simclr_status simclr_trainer_model(const simclr_trainer *trainer, simclr_model **model, int32_t batch, struct simclr_error *err)
{
    const struct trainer *t = &trainer->t;
    enum simclr_status status = model_new(model, trainer->engine, &t->config, batch, err);
    if (status != SIMCLR_OK)
        return status;
    struct encoder *encoder = &(*model)->encoder;
    size_t count;
    float *to = network_params(encoder->network, &count);
    memcpy(to, network_params(t->network, &count), count * sizeof *to);
    to = network_buffers(encoder->network, &count);
    memcpy(to, network_buffers(t->network, &count), count * sizeof *to);
    encoder->step = t->state.step;
    encoder->batches = t->state.step - t->state.skipped;
    return SIMCLR_OK;
}

/* ---- Checkpoints ---- */

enum simclr_status simclr_trainer_save(simclr_trainer *trainer, const char *folder, struct simclr_error *err)
{
    struct trainer *t = &trainer->t;
    struct checkpoint_target target = trainer_checkpoint(t);
    return checkpoint_write(folder, t->config.keep, &target, &t->state, err);
}

enum simclr_status simclr_trainer_restore(simclr_trainer *trainer, const char *folder, struct simclr_error *err)
{
    struct trainer *t = &trainer->t;
    struct checkpoint_target target = trainer_checkpoint(t);
    bool found;
    target.advice = "restore a trainer on the same images";
    enum simclr_status status = checkpoint_resume(folder, t->config.keep, &target, &t->state, &found, trainer_tell_user, t, err);
    if (status == SIMCLR_OK && !found)
        return fail(err, SIMCLR_ERR_IO, "there is no checkpoint in %s", folder);
    if (status == SIMCLR_OK && trainer_epoch_ended(t)) /* a run's, whose evaluation was to come */
        trainer_begin_epoch(t);
    return status;
}

/* ---- A whole run ---- */

struct run {
    const simclr_engine *engine;
    simclr_progress_fn *progress;
    void *ctx;
};

/* A train_report_fn. */
static int report(void *ctx, const struct train_progress *now, bool epoch_done)
{
    const struct run *run = ctx;
    const simclr_progress progress = {now, epoch_done};
    if (now->text)
        return log_text((void *)run->engine, now, epoch_done);
    return run->progress && run->progress(run->ctx, &progress);
}

enum simclr_status simclr_run(const simclr_engine *engine, const char *folder, bool resume, const char *const *settings,
                              simclr_progress_fn *progress, void *ctx, struct simclr_error *err)
{
    struct run run = {engine, progress, ctx};
    struct train_config config;
    struct train_result result;
    enum simclr_status status = settings_read(&config, settings, err);
    return status == SIMCLR_OK ? train_run(&config, folder, resume, &engine->engine, report, &run, &result, err) : status;
}

const char *simclr_progress_phase(const simclr_progress *progress) { return progress->now->phase; }
uint64_t simclr_progress_step(const simclr_progress *progress) { return progress->now->step; }
uint64_t simclr_progress_steps(const simclr_progress *progress) { return progress->now->steps; }
int32_t simclr_progress_epoch(const simclr_progress *progress) { return progress->now->epoch; }
bool simclr_progress_epoch_done(const simclr_progress *progress) { return progress->epoch_done; }
double simclr_progress_loss(const simclr_progress *progress) { return progress->now->loss; }
double simclr_progress_knn(const simclr_progress *progress) { return progress->now->knn; }
double simclr_progress_images_per_second(const simclr_progress *progress) { return progress->now->images_per_second; }
double simclr_progress_seconds_left(const simclr_progress *progress) { return progress->now->eta_seconds; }
