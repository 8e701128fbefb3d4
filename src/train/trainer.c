/* The training loop: both views of a batch go through the network at once, NT-Xent, one optimiser step; kNN now and then. */
#include "train/trainer.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "eval/features.h"
#include "eval/knn.h"
#include "nn/ntxent.h"
#include "train/broken.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/metrics.h"
#include "train/nonfinite.h"
#include "train/run_data.h"
#include "train/run_folder.h"
#include "train/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_SKIPS = 10, /* in a row */
    MOST_KEPT = 3,   /* skipped steps of a run that are written down for replay: they could fill a disk */
};

struct trainer {
    struct train_config config; /* resolved */
    const struct engine *engine;
    const char *run;
    struct run_folder folder;
    char *settings;             /* what a resumed run must share */
    struct run_data data;
    struct network *network;
    size_t param_count;
    const struct tensor_info *tensors;
    size_t tensor_count;
    float *optim[2];            /* (param_count) each */
    float *statistics;          /* (buffer_count): the running ones before a step, should it be undone */
    size_t buffer_count;
    struct step_memory step;
    struct arena memory;

    uint64_t steps_per_epoch, steps;
    double base_lr;
    struct checkpoint_state state;
    uint64_t first_step;        /* of this process */
    double started, epoch_started, last_checkpoint;
    double step_seconds, data_seconds; /* of this epoch's steps; data's are added up over threads */
    uint64_t epoch_images;
    double knn;
    size_t broken;              /* images listed as broken */

    train_report_fn *report;
    void *report_ctx;
};

/* ---- setting up ---- */

static void lay_out(struct trainer *t)
{
    const struct train_config *c = &t->config;
    size_t rows = 2 * (size_t)c->batch_size, side = (size_t)c->network.image_size;
    for (int i = 0; i < optim_state_arrays(c->optim.kind); i++)
        t->optim[i] = arena_alloc(&t->memory, t->param_count, sizeof(float));
    t->statistics = arena_alloc(&t->memory, t->buffer_count, sizeof(float));
    t->step = (struct step_memory){
        .engine = t->engine, .network = t->network, .out_dim = c->network.out_dim, .temperature = (float)c->temperature,
        .views = arena_alloc(&t->memory, rows * side * side * (size_t)c->network.channels, sizeof(float)),
        .dz = arena_alloc(&t->memory, rows * (size_t)c->network.out_dim, sizeof(float)),
        .loss_scratch = arena_alloc(&t->memory, ntxent_scratch(t->engine, (int)rows, c->network.out_dim), 1),
    };
}

static enum simclr_status plan_steps(struct trainer *t, struct simclr_error *err)
{
    struct train_config *c = &t->config;
    size_t images = loader_size(t->data.train), batch = (size_t)c->batch_size;
    if (batch > images)
        return fail(err, SIMCLR_ERR_USAGE, "--batch-size %zu is larger than the set's %zu images; use %zu or less", batch, images, images);
    t->steps_per_epoch = c->keep_last ? (images + batch - 1) / batch : images / batch;
    t->steps = t->steps_per_epoch * (uint64_t)c->epochs;
    t->base_lr = schedule_base(c->lr, c->lr_scaling, c->batch_size);
    return SIMCLR_OK;
}

static enum simclr_status set_up(struct trainer *t, struct simclr_error *err)
{
    enum simclr_status status = run_data_open(&t->data, &t->config, t->engine, err);
    if (status == SIMCLR_OK)
        status = plan_steps(t, err);
    if (status == SIMCLR_OK) {
        t->config.network.seed = t->config.seed;
        status = network_create(&t->network, &t->config.network, t->engine, 2 * t->config.batch_size, true, err);
    }
    if (status != SIMCLR_OK)
        return status;
    network_params(t->network, &t->param_count);
    network_buffers(t->network, &t->buffer_count);
    t->tensors = network_param_list(t->network, &t->tensor_count);
    lay_out(t);
    if (arena_commit(&t->memory))
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a batch of %d images; use a smaller --batch-size",
                    t->config.batch_size);
    lay_out(t);
    run_data_cache(&t->data, t->config.cache);
    t->settings = train_config_text(&t->config, true);
    if (!t->settings)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the settings");
    return SIMCLR_OK;
}

static void tear_down(struct trainer *t)
{
    free(t->settings);
    arena_free(&t->memory);
    network_free(t->network);
    run_data_close(&t->data);
    run_folder_close(&t->folder);
}

static struct checkpoint_target checkpoint_of(struct trainer *t)
{
    struct checkpoint_target target = {.network = t->network, .optim_arrays = optim_state_arrays(t->config.optim.kind),
                                       .settings = t->settings, .fingerprint = t->data.fingerprint};
    for (int i = 0; i < target.optim_arrays; i++) {
        target.optim_names[i] = optim_state_name(t->config.optim.kind, i);
        target.optim[i] = t->optim[i];
    }
    return target;
}

/* ---- telling ---- */

static double data_share(const struct trainer *t)
{
    return t->step_seconds > 0 ? t->data_seconds / (t->step_seconds * t->engine->threads) : 0;
}

static int tell_text(struct trainer *t, const char *phase, const char *text, bool epoch_done)
{
    const struct train_config *c = &t->config;
    const struct checkpoint_state *s = &t->state;
    double passed = clock_seconds() - t->started;
    uint64_t done = s->step - t->first_step;
    struct train_progress p = {
        .epochs = c->epochs, .step = s->step, .steps = t->steps,
        .loss = s->epoch_steps ? s->loss / (double)s->epoch_steps : NAN,
        .retrieval1 = s->epoch_steps ? s->retrieval1 / (double)s->epoch_steps : 0,
        .floor = ntxent_floor(2 * c->batch_size, c->temperature), .ceiling = ntxent_ceiling(2 * c->batch_size),
        .knn = t->knn, .knn_untrained = s->knn_untrained, .phase = phase, .text = text, .data_share = data_share(t),
    };
    p.epoch = s->step && t->steps_per_epoch ? (int)((s->step - 1) / t->steps_per_epoch) + 1 : 1; /* told also before there is a plan */
    if (done > 0) {
        p.images_per_second = (double)done * c->batch_size / passed;
        p.eta_seconds = passed / (double)done * (double)(t->steps - s->step);
    }
    return t->report ? t->report(t->report_ctx, &p, epoch_done) : 0;
}

static int tell(struct trainer *t, const char *phase, bool epoch_done)
{
    return tell_text(t, phase, NULL, epoch_done);
}

/* A checkpoint_tell_fn; ctx is a struct trainer. */
static void tell_user(void *ctx, bool warning, const char *text)
{
    tell_text(ctx, warning ? "warning" : "notice", text, false);
}

/* ---- evaluating ---- */

/* kNN accuracy of the present encoder into *accuracy; < 0 when the set has no labels. */
static enum simclr_status evaluate(struct trainer *t, double *accuracy, struct simclr_error *err)
{
    *accuracy = -1;
    if (!t->data.test || !t->data.bank || t->config.knn_every == 0)
        return SIMCLR_OK;
    tell(t, "knn", false);
    size_t d = (size_t)network_feature_dim(t->network), bank = loader_size(t->data.bank), query = loader_size(t->data.test);
    float *features = alloc_aligned((bank + query) * d, sizeof *features);
    int *labels = malloc((bank + query) * sizeof *labels);
    enum simclr_status status = SIMCLR_OK;
    if (!features || !labels)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the features of %zu images; use --knn-every 0", bank + query);
    int batch = 2 * t->config.batch_size;
    if (status == SIMCLR_OK)
        status = features_compute(t->network, t->data.bank, features, labels, batch, err);
    if (status == SIMCLR_OK)
        status = features_compute(t->network, t->data.test, features + bank * d, labels + bank, batch, err);
    if (status == SIMCLR_OK)
        status = knn_classify(t->engine, accuracy, features, labels, bank, features + bank * d, labels + bank, query, (int)d,
                              t->data.classes, t->config.knn_k, t->config.knn_temperature, err);
    free(features);
    free(labels);
    return status;
}

/* Broken images are listed with each checkpoint: a resumed run need not meet again those of the steps before. */
static enum simclr_status save_checkpoint(struct trainer *t, struct simclr_error *err)
{
    tell(t, "checkpoint", false);
    struct checkpoint_target target = checkpoint_of(t);
    t->last_checkpoint = clock_seconds();
    enum simclr_status status = run_folder_check(&t->folder, err);
    if (status == SIMCLR_OK)
        status = broken_list(t->run, &t->data, &t->broken, err);
    return status == SIMCLR_OK ? checkpoint_write(t->run, t->config.keep, &target, &t->state, err) : status;
}

/* ---- training ---- */

/* step counts from 0. */
static double lr_of_step(const struct trainer *t, uint64_t step)
{
    uint64_t warmup = (uint64_t)floor(t->config.warmup_epochs * (double)t->steps_per_epoch + 0.5);
    return schedule_lr(t->base_lr, step, warmup, t->steps);
}

/* Where the next step's batch begins in its epoch's order. */
static size_t batch_place(const struct trainer *t)
{
    return (size_t)(t->state.step % t->steps_per_epoch) * (size_t)t->config.batch_size;
}

static enum simclr_status load_views(struct trainer *t, int *batch, struct simclr_error *err)
{
    int size = t->config.batch_size;
    uint32_t epoch = (uint32_t)(t->state.step / t->steps_per_epoch);
    size_t first = batch_place(t), left = loader_size(t->data.train) - first;
    *batch = left < (size_t)size ? (int)left : size;
    double busy = loader_busy(t->data.train);
    enum simclr_status status = loader_batch(t->data.train, t->step.views, epoch, first, *batch, err);
    t->data_seconds += loader_busy(t->data.train) - busy;
    return status;
}

/* ---- when numbers go wrong ---- */

static void restore_statistics(struct trainer *t)
{
    memcpy(network_buffers(t->network, &t->buffer_count), t->statistics, t->buffer_count * sizeof *t->statistics);
}

/* ctx is a struct trainer, before the step of the image. */
static void name_image(void *ctx, int image, char *text, size_t size)
{
    const struct trainer *t = ctx;
    loader_name(t->data.train, batch_place(t) + (size_t)image, text, size);
}

static void see_first(void *ctx, const struct watched *tensor)
{
    first_wrong_see(ctx, tensor);
}

/* Repeats the step to see where it went wrong, writes it down, and undoes what it did: the run is as it was before. `what` becomes
 * "step 7: the output of conv1 has 3 NaN ... (images a.png, b.png, ...); 'simclr replay F' repeats it". */
static enum simclr_status undo_step(struct trainer *t, int batch, char what[400], struct simclr_error *err)
{
    char found[160], folder[4096], names[2][40];
    struct ntxent_result ignored;
    struct first_wrong first = {0};
    restore_statistics(t);
    step_watch(&t->step, 2 * batch, &ignored, see_first, &first);
    restore_statistics(t);
    first_wrong_text(found, sizeof found, &first);
    struct checkpoint_target target = checkpoint_of(t);
    struct nonfinite_step step = {.run = t->run, .config = &t->config, .target = &target, .state = &t->state, .memory = &t->step,
                                  .rows = 2 * batch, .found = found, .name = name_image, .name_ctx = t};
    enum simclr_status status = run_folder_check(&t->folder, err);
    if (status == SIMCLR_OK)
        status = nonfinite_write(folder, &step, t->config.on_nan == ON_NAN_SKIP ? MOST_KEPT : SIZE_MAX, err);
    for (int i = 0; i < 2; i++)
        name_image(t, i < batch ? i : 0, names[i], sizeof names[i]);
    int n = snprintf(what, 400, "step %llu: %s (%d images: %s, %s, ...)", (unsigned long long)t->state.step + 1, found, batch, names[0], names[1]);
    if (status == SIMCLR_OK && folder[0])
        snprintf(what + n, 400 - (size_t)n, "; 'simclr replay %s' repeats it", folder);
    return status;
}

/* The batch is used up and the weights stay; the schedule goes on, the optimiser's own count of steps does not. */
static enum simclr_status skip_or_stop(struct trainer *t, int batch, struct simclr_error *err)
{
    char what[400], text[512];
    enum simclr_status status = undo_step(t, batch, what, err);
    if (status != SIMCLR_OK)
        return status;
    if (t->config.on_nan == ON_NAN_STOP)
        return fail(err, SIMCLR_ERR_NONFINITE, "%s; train anew with a lower --lr, or go on with --resume --on-nan skip", what);
    if (t->state.skipped_in_a_row + 1 >= MOST_SKIPS)
        return fail(err, SIMCLR_ERR_NONFINITE, "%s; that makes %d in a row, and skipping more would not help: train anew with a lower --lr", what, MOST_SKIPS);
    snprintf(text, sizeof text, "%s; skipped", what);
    tell_user(t, true, text);
    t->state.step++;
    t->state.skipped++;
    t->state.skipped_in_a_row++;
    return SIMCLR_OK;
}

static enum simclr_status train_step(struct trainer *t, struct simclr_error *err)
{
    double began = clock_seconds();
    int batch;
    struct ntxent_result result;
    enum simclr_status status = load_views(t, &batch, err);
    if (status != SIMCLR_OK)
        return status;
    memcpy(t->statistics, network_buffers(t->network, &t->buffer_count), t->buffer_count * sizeof *t->statistics);
    if (!step_run(&t->step, 2 * batch, &result))
        return skip_or_stop(t, batch, err);
    optim_step(t->engine, &t->config.optim, t->tensors, t->tensor_count, network_params(t->network, &t->param_count),
               network_grads(t->network), t->optim, t->state.step + 1 - t->state.skipped, lr_of_step(t, t->state.step));

    t->state.step++;
    t->state.epoch_steps++;
    t->state.skipped_in_a_row = 0;
    t->state.loss += result.loss;
    t->state.retrieval1 += result.retrieval1;
    t->state.alignment += result.alignment;
    t->state.uniformity += result.uniformity;
    t->epoch_images += (uint64_t)batch;
    t->step_seconds += clock_seconds() - began;
    return SIMCLR_OK;
}

static enum simclr_status write_metrics(const struct trainer *t, double seconds, struct simclr_error *err)
{
    const struct checkpoint_state *s = &t->state;
    double n = (double)s->epoch_steps, loss = s->loss / n;
    double floor_loss = ntxent_floor(2 * t->config.batch_size, t->config.temperature);
    double ceiling = ntxent_ceiling(2 * t->config.batch_size);
    struct metrics m = {
        .epoch = (int)(s->step / t->steps_per_epoch), .step = s->step, .loss = loss,
        .loss_place = (ceiling - loss) / (ceiling - floor_loss), .retrieval1 = s->retrieval1 / n, .alignment = s->alignment / n,
        .uniformity = s->uniformity / n, .skipped = t->steps_per_epoch - s->epoch_steps, .lr = lr_of_step(t, s->step - 1), .knn = t->knn, .knn_untrained = s->knn_untrained,
        .perf = {.seconds = seconds, .images_per_second = seconds > 0 ? (double)t->epoch_images / seconds : 0,
                 .data_share = data_share(t)},
    };
    return metrics_append(t->run, &m, err);
}

/* After the last step of an epoch: kNN if due, a line of metrics, fresh sums. */
static enum simclr_status end_epoch(struct trainer *t, struct simclr_error *err)
{
    uint64_t epoch = t->state.step / t->steps_per_epoch;
    double seconds = clock_seconds() - t->epoch_started;
    enum simclr_status status = SIMCLR_OK;
    t->knn = -1;
    if (t->config.knn_every && (epoch % (uint64_t)t->config.knn_every == 0 || t->state.step == t->steps))
        status = evaluate(t, &t->knn, err);
    if (status == SIMCLR_OK)
        status = run_folder_check(&t->folder, err);
    if (status == SIMCLR_OK)
        status = broken_list(t->run, &t->data, &t->broken, err);
    if (status == SIMCLR_OK)
        status = write_metrics(t, seconds, err);
    return status;
}

static void begin_epoch(struct trainer *t)
{
    t->state.epoch_steps = 0;
    t->state.loss = t->state.retrieval1 = t->state.alignment = t->state.uniformity = 0;
    t->epoch_images = 0;
    t->step_seconds = t->data_seconds = 0;
    t->epoch_started = clock_seconds();
}

static bool checkpoint_due(const struct trainer *t, bool epoch_done)
{
    const struct train_config *c = &t->config;
    if (t->state.step == t->steps)
        return true;
    if (c->checkpoint_every)
        return t->state.step % c->checkpoint_every == 0;
    if (c->checkpoint_minutes > 0)
        return clock_seconds() - t->last_checkpoint >= 60 * c->checkpoint_minutes;
    return epoch_done;
}

static enum simclr_status train_loop(struct trainer *t, struct train_result *result, struct simclr_error *err)
{
    t->started = t->last_checkpoint = t->epoch_started = clock_seconds();
    t->first_step = t->state.step;
    while (t->state.step < t->steps) {
        enum simclr_status status = train_step(t, err);
        if (status != SIMCLR_OK)
            return status;
        bool epoch_done = t->state.step % t->steps_per_epoch == 0;
        result->trained++;
        if (t->state.epoch_steps)
            result->loss = t->state.loss / (double)t->state.epoch_steps;
        if (epoch_done && (status = end_epoch(t, err)) != SIMCLR_OK)
            return status;
        int stop = tell(t, "train", epoch_done);
        if (epoch_done) {
            if (t->knn >= 0)
                result->knn = t->knn;
            begin_epoch(t);
        }
        if ((stop || checkpoint_due(t, epoch_done)) && (status = save_checkpoint(t, err)) != SIMCLR_OK)
            return status;
        if (stop && t->state.step < t->steps)
            return fail(err, SIMCLR_ERR_CANCELLED, "stopped after step %llu of %llu; go on with --resume -o %s",
                        (unsigned long long)t->state.step, (unsigned long long)t->steps, t->run);
    }
    return SIMCLR_OK;
}

/* ---- the run folder ---- */

static enum simclr_status open_folder(struct trainer *t, bool resume, struct simclr_error *err)
{
    enum simclr_status status = run_folder_open(&t->folder, t->run, resume, err);
    if (status == SIMCLR_OK && t->folder.lock < 0)
        tell_user(t, true, "the run's folder is on a file system without locks: see to it that no other run uses it");
    return status;
}

/* A resumed run restores its newest whole checkpoint; a new one writes config.json and evaluates the untrained encoder. */
static enum simclr_status begin(struct trainer *t, bool resume, struct simclr_error *err)
{
    char path[4096];
    bool found = false;
    enum simclr_status status = SIMCLR_OK;
    t->knn = t->state.knn_untrained = -1;
    if (resume) {
        struct checkpoint_target target = checkpoint_of(t);
        status = checkpoint_resume(t->run, t->config.keep, &target, &t->state, &found, tell_user, t, err);
        if (status == SIMCLR_OK && found)
            status = broken_list(t->run, &t->data, &t->broken, err);
        if (status == SIMCLR_OK && found)
            status = metrics_rewind(t->run, t->state.step, err);
    }
    if (status != SIMCLR_OK || found)
        return status;
    if (resume)
        tell_user(t, false, "no checkpoint there yet: beginning");
    snprintf(path, sizeof path, "%s/config.json", t->run);
    broken_clear(t->run);
    status = train_config_save(&t->config, path, err);
    if (status == SIMCLR_OK)
        status = metrics_rewind(t->run, 0, err);
    if (status == SIMCLR_OK)
        status = evaluate(t, &t->state.knn_untrained, err);
    return status;
}

enum simclr_status train_run(const struct train_config *config, const char *run, bool resume, const struct engine *engine,
                             train_report_fn *report, void *ctx, struct train_result *result, struct simclr_error *err)
{
    struct trainer t = {.config = *config, .engine = engine, .run = run, .report = report, .report_ctx = ctx};
    *result = (struct train_result){.knn = -1, .knn_untrained = -1};
    enum simclr_status status = open_folder(&t, resume, err);
    if (status == SIMCLR_OK)
        status = set_up(&t, err);
    if (status == SIMCLR_OK)
        status = begin(&t, resume, err);
    if (status == SIMCLR_OK)
        status = train_loop(&t, result, err);
    result->broken = t.broken;
    result->steps = t.state.step;
    result->skipped = t.state.skipped;
    result->knn_untrained = t.state.knn_untrained;
    tear_down(&t);
    return status;
}
