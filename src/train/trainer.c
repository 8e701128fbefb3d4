/* The training loop: both views of a batch go through the network, NT-Xent, one optimiser step; kNN now and then. */
#include "base/clock.h"
#include "base/status.h"
#include "eval/effective_rank.h"
#include "eval/features.h"
#include "eval/knn.h"
#include "io/tfevents.h"
#include "nn/ntxent.h"
#include "train/advice.h"
#include "train/broken.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/metrics.h"
#include "train/metrics_files.h"
#include "train/nonfinite.h"
#include "train/peak.h"
#include "train/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_SKIPS = 10, /* in a row */
    MOST_KEPT = 3,   /* skipped steps of a run that are written down for replay: they could fill a disk */
};

/* ---- telling ---- */

static double data_share(const struct trainer *t)
{
    return t->step_seconds > 0 ? t->data_seconds / (t->step_seconds * t->engine->threads) : 0;
}

/* Of training steps alone: evaluations and checkpoints do not count. */
static double images_per_second(const struct trainer *t)
{
    return t->step_seconds > 0 ? (double)t->timed_images / t->step_seconds : 0;
}

/* Means over this epoch so far, NaN if it has none yet, and between which values the loss lies. A short last batch (--keep-last) counts
 * by its images, and has fewer negatives. */
struct means {
    double loss, floor, ceiling, retrieval1, retrieval5, alignment, uniformity;
};

static struct means epoch_means(const struct trainer *t)
{
    const struct checkpoint_state *s = &t->state;
    int batch = t->config.batch_size;
    double n = (double)s->epoch_images / batch, tau = t->config.temperature, part = n - floor(n);
    struct means m = {.floor = ntxent_floor(2 * batch, tau), .ceiling = ntxent_ceiling(2 * batch)};
    if (part > 0) {
        int rows = 2 * (int)(s->epoch_images % (uint64_t)batch);
        m.floor += part / n * (ntxent_floor(rows, tau) - m.floor);
        m.ceiling += part / n * (ntxent_ceiling(rows) - m.ceiling);
    }
    n = n > 0 ? n : NAN;
    m.loss = s->loss / n;
    m.retrieval1 = s->retrieval1 / n;
    m.retrieval5 = s->retrieval5 / n;
    m.alignment = s->alignment / n;
    m.uniformity = s->uniformity / n;
    return m;
}

/* The last step of an epoch is done, and its evaluation and line of metrics are not. */
bool trainer_epoch_ended(const struct trainer *t)
{
    return t->state.epoch_steps == t->steps_per_epoch;
}

static int tell_text(struct trainer *t, const char *phase, const char *text, bool epoch_done)
{
    const struct train_config *c = &t->config;
    const struct checkpoint_state *s = &t->state;
    struct train_progress p = {
        .config = c, .epoch = 1, .epochs = c->epochs, .step = s->step, .steps = t->steps,
        .knn = t->knn, .knn_untrained = s->knn_untrained, .phase = phase, .text = text,
        .images_per_second = images_per_second(t), .data_share = data_share(t),
    };
    if (t->steps > 0) { /* the set is open */
        struct means means = epoch_means(t);
        p.images = loader_size(t->data.train);
        p.queries = t->data.test ? loader_size(t->data.test) : 0;
        p.classes = t->data.classes;
        p.steps_per_epoch = t->steps_per_epoch;
        p.loss = means.loss;
        p.floor = means.floor;
        p.ceiling = means.ceiling;
        p.retrieval1 = means.retrieval1;
    }
    if (s->step > 0)
        p.epoch = (int)((s->step - 1) / t->steps_per_epoch + 1);
    if (s->step > t->first_step)
        p.eta_seconds = (clock_seconds() - t->started) / (double)(s->step - t->first_step) * (double)(t->steps - s->step);
    bool stop = t->report && t->report(t->report_ctx, &p, epoch_done);
    return stop || engine_stopped(t->engine);
}

static int tell(struct trainer *t, const char *phase, bool epoch_done)
{
    return tell_text(t, phase, NULL, epoch_done);
}

void trainer_tell_user(void *ctx, bool warning, const char *text)
{
    tell_text(ctx, warning ? "warning" : "notice", text, false);
}

/* ---- evaluating ---- */

static bool any_label(const int *labels, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (labels[i] >= 0)
            return true;
    return false;
}

/* kNN accuracy of the present encoder into *accuracy, and its features' effective rank; < 0 when the set has no labels, or none of its
 * labelled images can be read. */
static enum simclr_status evaluate(struct trainer *t, double *accuracy, struct simclr_error *err)
{
    *accuracy = -1;
    if (!t->data.test || !t->data.bank || t->config.knn_every == 0)
        return SIMCLR_OK;
    tell(t, "knn", false);
    size_t d = (size_t)network_feature_dim(t->network), bank = loader_size(t->data.bank), query = loader_size(t->data.test);
    float *features = allocator_alloc(t->engine->allocator, (bank + query) * d, sizeof *features);
    int *labels = malloc((bank + query) * sizeof *labels);
    enum simclr_status status = SIMCLR_OK;
    if (!features || !labels)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the features of %zu images; use --knn-every 0", bank + query);
    int batch = 2 * t->step.micro;
    if (status == SIMCLR_OK)
        status = features_compute(t->network, t->data.bank, features, NULL, labels, batch, NULL, err);
    if (status == SIMCLR_OK)
        status = features_compute(t->network, t->data.test, features + bank * d, NULL, labels + bank, batch, NULL, err);
    if (status == SIMCLR_OK && (!any_label(labels, bank) || !any_label(labels + bank, query)))
        trainer_tell_user(t, true, "no kNN this time: none of the images that it compares, or compares with, can be read");
    else if (status == SIMCLR_OK) {
        status = effective_rank(&t->effective_rank, features + bank * d, labels + bank, query, (int)d, err);
        if (status == SIMCLR_OK) /* last, for it normalises the features in their place */
            status = knn_classify(t->engine, accuracy, features, labels, bank, features + bank * d, labels + bank, query, (int)d,
                                  t->data.classes, t->config.knn_k, t->config.knn_temperature, err);
    }
    allocator_free(t->engine->allocator, features);
    free(labels);
    return status;
}

/* Broken images are listed with each checkpoint: a resumed run need not meet again those of the steps before. */
static enum simclr_status save_checkpoint(struct trainer *t, struct simclr_error *err)
{
    tell(t, "checkpoint", false);
    struct checkpoint_target target = trainer_checkpoint(t);
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

/* A step_views_fn; ctx is a struct trainer, before the step. */
static enum simclr_status load_views(void *ctx, float *out, int first, int count, struct simclr_error *err)
{
    struct trainer *t = ctx;
    uint32_t epoch = (uint32_t)(t->state.step / t->steps_per_epoch);
    double busy = loader_busy(t->data.train);
    enum simclr_status status = loader_batch(t->data.train, out, epoch, batch_place(t) + (size_t)first, count, err);
    t->data_seconds += loader_busy(t->data.train) - busy;
    return status;
}

static struct step_batch next_batch(struct trainer *t)
{
    size_t left = loader_size(t->data.train) - batch_place(t), size = (size_t)t->config.batch_size;
    return (struct step_batch){.images = (int)(left < size ? left : size), .views = load_views, .ctx = t};
}

/* ---- when numbers go wrong ---- */

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

/* Repeats the step to see where it went wrong, writes it down if there is a folder, and undoes what it did: the run is as it was before.
 * `what` becomes "step 7: the output of conv1 has 3 NaN ... (images a.png, b.png, ...); 'simclr replay F' repeats it". */
static enum simclr_status undo_step(struct trainer *t, const struct step_batch *batch, char what[400], struct simclr_error *err)
{
    char found[160], folder[4096], names[2][40];
    int images = batch->images;
    struct ntxent_result ignored;
    struct first_wrong first = {0};
    enum simclr_status status = step_watch(&t->step, batch, &ignored, see_first, &first, err);
    first_wrong_text(found, sizeof found, &first);
    struct checkpoint_target target = trainer_checkpoint(t);
    struct nonfinite_step step = {.run = t->run, .config = &t->config, .target = &target, .state = &t->state, .batch = batch,
                                  .found = found, .name = name_image, .name_ctx = t};
    folder[0] = 0;
    if (status == SIMCLR_OK && t->run)
        status = run_folder_check(&t->folder, err);
    if (status == SIMCLR_OK && t->run)
        status = nonfinite_write(folder, &step, t->config.on_nan == ON_NAN_SKIP ? MOST_KEPT : SIZE_MAX, err);
    for (int i = 0; i < 2; i++)
        name_image(t, i < images ? i : 0, names[i], sizeof names[i]);
    int n = snprintf(what, 400, "step %llu: %s (%d image%s: %s%s%s%s)", (unsigned long long)t->state.step + 1, found, images, images > 1 ? "s" : "",
                     names[0], images > 1 ? ", " : "", images > 1 ? names[1] : "", images > 2 ? ", ..." : "");
    if (status == SIMCLR_OK && folder[0])
        snprintf(what + n, 400 - (size_t)n, "; 'simclr replay %s' repeats it", folder);
    return status;
}

/* The batch is used up and the weights stay; the schedule goes on, the optimiser's own count of steps does not. */
static enum simclr_status skip_or_stop(struct trainer *t, const struct step_batch *batch, struct simclr_error *err)
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
    trainer_tell_user(t, true, text);
    t->state.step++;
    t->state.epoch_steps++;
    t->state.skipped++;
    t->state.skipped_in_a_row++;
    return SIMCLR_OK;
}

enum simclr_status trainer_step(struct trainer *t, double *loss, struct simclr_error *err)
{
    double began = clock_seconds();
    struct step_batch batch = next_batch(t);
    struct ntxent_result result;
    bool finite;
    enum simclr_status status = step_run(&t->step, &batch, &result, &finite, err);
    if (status != SIMCLR_OK)
        return status;
    if (loss)
        *loss = finite ? result.loss : NAN;
    if (!finite)
        return skip_or_stop(t, &batch, err);
    size_t params;
    optim_step(t->engine, &t->config.optim, t->tensors, t->tensor_count, network_params(t->network, &params),
               network_grads(t->network), t->optim, t->state.step + 1 - t->state.skipped, lr_of_step(t, t->state.step));

    double weight = (double)batch.images / t->config.batch_size;
    t->state.step++;
    t->state.epoch_steps++;
    t->state.epoch_images += (uint64_t)batch.images;
    t->state.skipped_in_a_row = 0;
    t->state.loss += weight * result.loss;
    t->state.retrieval1 += weight * result.retrieval1;
    t->state.retrieval5 += weight * result.retrieval5;
    t->state.alignment += weight * result.alignment;
    t->state.uniformity += weight * result.uniformity;
    t->timed_images += (uint64_t)batch.images;
    t->step_seconds += clock_seconds() - began;
    return SIMCLR_OK;
}

static enum simclr_status write_metrics(const struct trainer *t, struct simclr_error *err)
{
    const struct checkpoint_state *s = &t->state;
    struct means means = epoch_means(t);
    double flop_per_second = t->image_flop * images_per_second(t);
    uint64_t batch = (uint64_t)t->config.batch_size, trained = (s->epoch_images + batch - 1) / batch; /* steps */
    struct metrics m = {
        .epoch = (int)(s->step / t->steps_per_epoch), .step = s->step, .loss = means.loss, .loss_floor = means.floor,
        .loss_ceiling = means.ceiling, .loss_place = (means.ceiling - means.loss) / (means.ceiling - means.floor), .retrieval1 = means.retrieval1,
        .retrieval5 = means.retrieval5, .alignment = means.alignment, .uniformity = means.uniformity, .skipped = s->epoch_steps - trained,
        .lr = lr_of_step(t, s->step - 1), .knn = t->knn, .knn_untrained = s->knn_untrained,
        .effective_rank = t->effective_rank,
        .perf = {.time = clock_unix(), .seconds = t->step_seconds, .images_per_second = images_per_second(t),
                 .gflop_per_second = flop_per_second / 1e9, .data_share = data_share(t),
                 .percent_of_peak = t->fma_peak > 0 ? 100 * flop_per_second / t->fma_peak : NAN},
    };
    enum simclr_status status = metrics_append(t->run, &m, err);
    return status == SIMCLR_OK ? metrics_files_update(t->run, err) : status;
}

/* After the last step of an epoch: kNN if due, and a line of metrics. */
static enum simclr_status end_epoch(struct trainer *t, struct simclr_error *err)
{
    uint64_t epoch = t->state.step / t->steps_per_epoch;
    enum simclr_status status = SIMCLR_OK;
    t->knn = t->effective_rank = -1;
    if (t->config.knn_every && (epoch % (uint64_t)t->config.knn_every == 0 || t->state.step == t->steps))
        status = evaluate(t, &t->knn, err);
    if (status == SIMCLR_OK)
        status = run_folder_check(&t->folder, err);
    if (status == SIMCLR_OK)
        status = broken_list(t->run, &t->data, &t->broken, err);
    if (status == SIMCLR_OK)
        status = write_metrics(t, err);
    return status;
}

static void advise(struct trainer *t)
{
    char text[ADVICE_COLUMNS + 1];
    const char *advice;
    for (int at = 0; (advice = advice_next(&t->config, &at));) {
        snprintf(text, sizeof text, "advice: %s", advice);
        trainer_tell_user(t, false, text);
    }
}

/* Once is enough. */
static void warn_of_collapse(struct trainer *t)
{
    struct means m = epoch_means(t);
    double warm = (double)t->state.step - t->config.warmup_epochs * (double)t->steps_per_epoch;
    struct epoch_figures figures = {m.loss, m.floor, m.ceiling, m.uniformity, t->state.epoch_images, warm > 0 ? (uint64_t)warm : 0};
    const char *advice = t->collapse_told ? NULL : advice_on_collapse(&figures);
    if (advice)
        trainer_tell_user(t, true, advice);
    t->collapse_told |= advice != NULL;
}

void trainer_begin_epoch(struct trainer *t)
{
    t->state.epoch_steps = t->state.epoch_images = 0;
    t->state.loss = t->state.retrieval1 = t->state.retrieval5 = t->state.alignment = t->state.uniformity = 0;
    t->timed_images = 0;
    t->step_seconds = t->data_seconds = 0;
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

static enum simclr_status stopped(const struct trainer *t, struct simclr_error *err)
{
    if (t->state.step == 0)
        return fail(err, SIMCLR_ERR_CANCELLED, "stopped before the first step; nothing was lost");
    return fail(err, SIMCLR_ERR_CANCELLED, "stopped after step %llu of %llu; go on with --resume -o %s",
                (unsigned long long)t->state.step, (unsigned long long)t->steps, t->run);
}

/* Stopped in its evaluation, an epoch ends where the run is resumed: the checkpoint holds its sums. */
static enum simclr_status train_loop(struct trainer *t, struct train_result *result, struct simclr_error *err)
{
    t->fma_peak = peak_fma(t->engine->kernels, t->engine->threads, PEAK_BRIEFLY);
    t->started = t->last_checkpoint = clock_seconds();
    t->first_step = t->state.step;
    while (t->state.step < t->steps || trainer_epoch_ended(t)) {
        enum simclr_status status = SIMCLR_OK;
        if (!trainer_epoch_ended(t)) {
            status = trainer_step(t, NULL, err);
            result->trained += status == SIMCLR_OK;
        }
        if (status == SIMCLR_OK && !t->begun)
            status = trainer_note_begun(t, err);
        bool epoch_done = trainer_epoch_ended(t);
        if (t->state.epoch_images)
            result->loss = epoch_means(t).loss;
        if (status == SIMCLR_OK && epoch_done)
            status = end_epoch(t, err);
        if (status == SIMCLR_ERR_CANCELLED)
            return (status = save_checkpoint(t, err)) == SIMCLR_OK ? stopped(t, err) : status;
        if (status != SIMCLR_OK)
            return status;
        bool stop = tell(t, "train", epoch_done);
        if (epoch_done) {
            if (t->knn >= 0)
                result->knn = t->knn;
            warn_of_collapse(t);
            trainer_begin_epoch(t);
        }
        if ((stop || checkpoint_due(t, epoch_done)) && (status = save_checkpoint(t, err)) != SIMCLR_OK)
            return status;
        if (stop && t->state.step < t->steps)
            return stopped(t, err);
    }
    return SIMCLR_OK;
}

/* ---- the run folder ---- */

static enum simclr_status open_folder(struct trainer *t, bool resume, struct simclr_error *err)
{
    enum simclr_status status = run_folder_open(&t->folder, t->run, resume, err);
    if (status == SIMCLR_OK && t->folder.lock < 0)
        trainer_tell_user(t, true, "the run's folder is on a file system without locks: see to it that no other run uses it");
    return status;
}

/* A resumed run goes on; a new one evaluates the encoder it begins with. */
static enum simclr_status begin(struct trainer *t, bool resume, struct simclr_error *err)
{
    enum simclr_status status = SIMCLR_OK;
    t->knn = t->state.knn_untrained = -1;
    if (resume)
        status = trainer_restore(t, &t->begun, err);
    if (status == SIMCLR_OK && t->begun)
        status = broken_list(t->run, &t->data, &t->broken, err);
    char init[512] = "";
    if (status == SIMCLR_OK && !t->begun)
        status = trainer_init(t, init, sizeof init, err);
    if (status == SIMCLR_OK) /* an epoch that has yet to end writes its line again */
        status = metrics_rewind(t->run, t->steps_per_epoch, t->state.step - trainer_epoch_ended(t), err);
    if (status == SIMCLR_OK && t->begun)
        status = metrics_files_update(t->run, err);
    if (status != SIMCLR_OK)
        return status;
    tell(t, "begin", false);
    if (!tfevents_supported())
        trainer_tell_user(t, false, "no file for TensorBoard: this simclr was built without protobuf-c; " METRICS_CSV " has the same figures");
    if (t->begun) {
        t->begun = trainer_has_config(t); /* one that was lost is written again */
        return SIMCLR_OK;
    }
    if (resume)
        trainer_tell_user(t, false, "no checkpoint there yet: beginning");
    if (init[0])
        trainer_tell_user(t, false, init);
    advise(t);
    broken_clear(t->run);
    status = evaluate(t, &t->state.knn_untrained, err);
    return status == SIMCLR_ERR_CANCELLED ? stopped(t, err) : status;
}

enum simclr_status train_run(const struct train_config *config, const char *run, bool resume, const struct engine *engine,
                             train_report_fn *report, void *ctx, struct train_result *result, struct simclr_error *err)
{
    struct trainer t = {.config = *config, .engine = engine, .run = run, .report = report, .report_ctx = ctx};
    *result = (struct train_result){.knn = -1, .knn_untrained = -1};
    enum simclr_status status = open_folder(&t, resume, err);
    if (status == SIMCLR_OK)
        tell(&t, "data", false);
    if (status == SIMCLR_OK)
        status = trainer_set_up(&t, err);
    if (status == SIMCLR_OK)
        status = begin(&t, resume, err);
    if (status == SIMCLR_OK)
        status = train_loop(&t, result, err);
    result->broken = t.broken;
    result->steps = t.state.step;
    result->skipped = t.state.skipped;
    result->knn_untrained = t.state.knn_untrained;
    trainer_tear_down(&t);
    return status;
}
