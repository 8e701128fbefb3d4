#include "train/finetune.h"

#include "base/clock.h"
#include "base/ints.h"
#include "base/rng.h"
#include "base/status.h"
#include "eval/features.h"
#include "train/finetune_folder.h"
#include "train/optim.h"
#include "train/tensor_file.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 1024, SUBSET = 2 /* of the streams of RNG_SPLIT */ };

static const struct optim_config sgd = {.kind = OPTIM_SGD, .momentum = 0.9, .nesterov = true};

/* ---- Which images ---- */

struct choice {
    size_t *left;    /* (classes) images still to be taken */
    uint32_t *order; /* (images) */
    uint32_t *items; /* those chosen, indices into the set */
    char *chosen;    /* (images) */
};

static int label_of(const struct finetune *f, size_t i)
{
    return dataset_label(f->data.bank_set, loader_item(f->data.bank, i));
}

/* Of each class its share, rounded, and at least one. */
static void share_out(struct finetune *f, const struct choice *c)
{
    size_t count = loader_size(f->data.bank);
    for (size_t i = 0; i < count; i++)
        if (label_of(f, i) >= 0)
            c->left[label_of(f, i)]++;
    for (int class = 0; class < f->classes; class++) {
        if (c->left[class] == 0)
            continue;
        size_t share = (size_t)floor((double)c->left[class] * f->options.labels / 100 + 0.5);
        c->left[class] = share > 0 ? share : 1;
        f->most = c->left[class] > f->most ? c->left[class] : f->most;
        f->fewest = f->fewest == 0 || c->left[class] < f->fewest ? c->left[class] : f->fewest;
    }
}

/* Each class's first in a random order of all. */
static void choose(struct finetune *f, const struct choice *c)
{
    size_t count = loader_size(f->data.bank);
    struct rng rng = rng_stream(f->settings.seed, RNG_SPLIT, SUBSET, 0);
    for (size_t i = 0; i < count; i++)
        c->order[i] = (uint32_t)i;
    rng_permutation(&rng, c->order, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        int label = label_of(f, c->order[i]);
        if (label >= 0 && c->left[label] > 0) {
            c->left[label]--;
            c->chosen[c->order[i]] = 1;
        }
    }
    for (size_t i = 0; i < count; i++)
        if (c->chosen[i])
            c->items[f->images++] = loader_item(f->data.bank, i);
}

/* The loader of the images chosen takes the place of those that the data came with. */
static enum simclr_status choose_images(struct finetune *f, struct simclr_error *err)
{
    size_t count = loader_size(f->data.bank);
    const struct loader_config config = {.image_size = f->settings.network.image_size, .channels = f->settings.network.channels,
                                         .augment = f->settings.augment, .one_view = true, .seed = f->settings.seed};
    struct loader *loader = NULL;
    struct choice c = {calloc((size_t)f->classes, sizeof *c.left), malloc(count * sizeof *c.order), malloc(count * sizeof *c.items),
                       calloc(count, sizeof *c.chosen)};
    enum simclr_status status = SIMCLR_OK;
    if (!c.left || !c.order || !c.items || !c.chosen)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory to choose among %zu images; use --limit", count);
    if (status == SIMCLR_OK) {
        share_out(f, &c);
        choose(f, &c);
        status = loader_create(&loader, f->data.bank_set, c.items, f->images, &config, f->engine, err);
    }
    if (status == SIMCLR_OK) {
        if (f->data.bank != f->data.train)
            loader_free(f->data.bank);
        loader_free(f->data.train);
        f->data.train = f->data.bank = loader;
    }
    free(c.left);
    free(c.order);
    free(c.items);
    free(c.chosen);
    return status;
}

static enum simclr_status name_classes(struct finetune *f, struct simclr_error *err)
{
    char name[NAME_BYTES];
    f->names = calloc((size_t)f->classes, sizeof *f->names);
    for (int i = 0; i < f->classes; i++)
        if (!f->names || !(f->names[i] = strdup(dataset_class_name(f->data.bank_set, i, name, sizeof name))))
            return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %d classes", f->classes);
    return SIMCLR_OK;
}

/* ---- The network ---- */

/* The encoder's tensors lie alike in both. */
static void take_encoder(struct finetune *f)
{
    struct tensor_group from[2], to[2], all[2];
    network_groups(from, f->encoder->network, false);
    network_groups(to, f->network, false);
    network_groups(all, f->network, true);
    for (int g = 0; g < 2 && !f->options.untrained; g++)
        for (size_t i = 0; i < to[g].count; i++) {
            const struct tensor_info *info = &to[g].list[i];
            memcpy(to[g].memory + info->offset, from[g].memory + info->offset, info->count * sizeof(float));
        }
    for (size_t i = to[0].count; i < all[0].count; i++)
        memset(all[0].memory + all[0].list[i].offset, 0, all[0].list[i].count * sizeof(float));
}

static void lay_out(struct finetune *f)
{
    size_t batch = (size_t)f->settings.batch_size;
    f->x = arena_alloc(&f->memory, batch * loader_image_floats(f->data.train), sizeof *f->x);
    f->logits = arena_alloc(&f->memory, batch * (size_t)f->classes, sizeof *f->logits);
    f->momentum = arena_alloc(&f->memory, network_sizes(f->network)->params, sizeof *f->momentum);
    f->labels = arena_alloc(&f->memory, batch, sizeof *f->labels);
    f->scratch = arena_alloc(&f->memory, cross_entropy_scratch(batch), 1);
}

static enum simclr_status make_network(struct finetune *f, struct simclr_error *err)
{
    enum simclr_status status = network_create(&f->network, &f->settings.network, f->engine, f->settings.batch_size, true, err);
    if (status != SIMCLR_OK)
        return status;
    lay_out(f);
    if (arena_commit(&f->memory))
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a batch of %d images; use a smaller --batch-size", f->settings.batch_size);
    lay_out(f);
    take_encoder(f);
    return SIMCLR_OK;
}

/* The run's own settings become those of this training: what has been held out stays so, and its crops and flips alone are made. */
static void settle(struct finetune *f, const struct finetune_options *options)
{
    struct train_config *s = &f->settings;
    s->seed = options->seed;
    s->batch_size = options->batch_size;
    s->epochs = options->epochs ? options->epochs : options->labels < 10 ? 60 : 30;
    s->optim = sgd;
    s->lr = options->lr;
    s->lr_scaling = LR_LINEAR;
    s->warmup_epochs = 0;
    s->augment.jitter_p = s->augment.grey_p = s->augment.blur_p = s->augment.solarize_p = 0;
    s->network.classifier = true;
    s->network.head_layers = 1;
    s->network.out_dim = f->classes;
}

enum simclr_status finetune_open(struct finetune *f, const struct encoder *encoder, const struct image_source *source,
                                 const struct finetune_options *options, const struct engine *engine, struct simclr_error *err)
{
    *f = (struct finetune){.options = *options, .encoder = encoder, .engine = engine};
    enum simclr_status status = encoder_run_data(&f->data, &f->settings, encoder, source, engine, err);
    f->classes = f->data.classes;
    if (status == SIMCLR_OK && f->classes < 2)
        status = fail(err, SIMCLR_ERR_USAGE, "all labels are the same, and a classifier tells two classes apart; name DATA with more");
    settle(f, options);
    if (status == SIMCLR_OK)
        status = name_classes(f, err);
    if (status == SIMCLR_OK)
        status = choose_images(f, err);
    if (status != SIMCLR_OK)
        return status;
    f->settings.batch_size = min_int(options->batch_size, (int)(f->images < INT_MAX ? f->images : INT_MAX));
    f->steps_per_epoch = f->images / (size_t)f->settings.batch_size;
    f->steps = f->steps_per_epoch * (uint64_t)f->settings.epochs;
    status = make_network(f, err);
    if (status == SIMCLR_OK)
        run_data_cache(&f->data, CACHE_AUTO, SIZE_MAX);
    return status;
}

void finetune_close(struct finetune *f)
{
    for (int i = 0; f->names && i < f->classes; i++)
        free(f->names[i]);
    free(f->names);
    arena_free(&f->memory);
    network_free(f->network);
    run_data_close(&f->data);
    *f = (struct finetune){.names = NULL};
}

/* ---- A step ---- */

static enum simclr_status not_finite(const struct finetune *f, struct simclr_error *err)
{
    return fail(err, SIMCLR_ERR_NONFINITE, "step %llu: the loss, its gradient or a norm's statistics are no finite numbers; use a smaller "
                "--lr than %g", (unsigned long long)f->step + 1, f->settings.lr);
}

/* Loss and gradients of the next batch, the loss of its images added to *loss, and how many were right to *right. */
static enum simclr_status gradients(struct finetune *f, double *loss, size_t *right, struct simclr_error *err)
{
    int batch = f->settings.batch_size;
    size_t logits = (size_t)batch * (size_t)f->classes, place = (size_t)(f->step % f->steps_per_epoch) * (size_t)batch, count;
    const float *h, *z;
    enum simclr_status status = loader_batch(f->data.train, f->x, (uint32_t)(f->step / f->steps_per_epoch), place, batch, err);
    if (status != SIMCLR_OK)
        return status;
    network_forward(f->network, f->x, batch, true, &h, &z);
    memcpy(f->logits, z, logits * sizeof *z);
    for (int i = 0; i < batch; i++) {
        f->labels[i] = loader_label(f->data.train, place + (size_t)i);
        *right += class_rank(z + (size_t)i * (size_t)f->classes, f->labels[i], f->classes) == 0;
    }
    double sum = cross_entropy(f->engine, f->logits, f->labels, (size_t)batch, f->classes, f->scratch);
    if (!isfinite(sum) || !network_statistics_are_finite(f->network))
        return not_finite(f, err);
    for (size_t i = 0; i < logits; i++) /* of the mean */
        f->logits[i] *= 1.0f / (float)batch;
    network_backward(f->network, f->x, f->logits, batch);
    const struct tensor_info *tensors = network_param_list(f->network, &count);
    if (!optim_gradient_is_finite(f->engine, tensors, count, network_grads(f->network)))
        return not_finite(f, err);
    *loss += sum;
    return SIMCLR_OK;
}

static double lr_of_step(const struct finetune *f, uint64_t step)
{
    return schedule_lr(schedule_base(f->settings.lr, LR_LINEAR, f->settings.batch_size), step, 0, f->steps);
}

static void update(struct finetune *f)
{
    size_t count, floats;
    const struct tensor_info *tensors = network_param_list(f->network, &count);
    float *const state[2] = {f->momentum, NULL};
    double lr = lr_of_step(f, f->step++);
    optim_step(f->engine, &sgd, tensors, count, network_params(f->network, &floats), network_grads(f->network), state, f->step, lr);
}

/* ---- All of them ---- */

/* A features_take_fn; ctx is a struct finetune_result. */
static enum simclr_status score(void *ctx, const struct features_pass *pass, struct simclr_error *err)
{
    (void)err;
    struct finetune_result *result = ctx;
    for (int i = 0; i < pass->rows; i++)
        if (pass->labels[i] >= 0)
            class_score_add(&result->test, class_rank(pass->z + (size_t)i * (size_t)result->classes, pass->labels[i], result->classes));
    return SIMCLR_OK;
}

static enum simclr_status test(struct finetune *f, const struct finetune_report *report, struct finetune_result *result,
                               struct simclr_error *err)
{
    struct image_progress progress = image_progress_begin(report->images, report->ctx, loader_size(f->data.test));
    enum simclr_status status = features_walk(f->network, f->data.test, f->settings.batch_size, true, score, result, &progress, err);
    if (status == SIMCLR_OK && result->test.images == 0)
        status = fail(err, SIMCLR_ERR_FORMAT, "none of the labelled images to test on can be read");
    return status;
}

static enum simclr_status train_epoch(struct finetune *f, const struct finetune_report *report, struct finetune_progress *p, double started,
                                      struct simclr_error *err)
{
    double loss = 0, began = clock_seconds();
    size_t right = 0;
    p->epoch++;
    for (uint64_t i = 1; i <= f->steps_per_epoch; i++) {
        double images = (double)i * f->settings.batch_size;
        enum simclr_status status = gradients(f, &loss, &right, err);
        if (status == SIMCLR_OK && engine_stopped(f->engine))
            status = SIMCLR_ERR_CANCELLED;
        if (status != SIMCLR_OK)
            return status;
        p->lr = lr_of_step(f, f->step);
        update(f);
        double time = clock_seconds();
        p->step = f->step;
        p->loss = loss / images;
        p->accuracy = (double)right / images;
        p->images_per_second = time > began ? images / (time - began) : 0;
        p->eta_seconds = (time - started) / (double)f->step * (double)(f->steps - f->step);
        if (report->step)
            report->step(report->ctx, p, i == f->steps_per_epoch);
    }
    return SIMCLR_OK;
}

enum simclr_status finetune_train(struct finetune *f, const char *output, const struct finetune_report *report,
                                  struct finetune_result *result, struct simclr_error *err)
{
    struct finetune_folder folder;
    *result = (struct finetune_result){.classes = f->classes, .last = {.epochs = f->settings.epochs, .steps = f->steps}};
    enum simclr_status status = finetune_folder_begin(&folder, output, err);
    if (status != SIMCLR_OK)
        return status;
    double started = clock_seconds();
    while (status == SIMCLR_OK && f->step < f->steps) {
        double began = clock_seconds();
        status = train_epoch(f, report, &result->last, started, err);
        if (status == SIMCLR_OK && f->step == f->steps)
            status = test(f, report, result, err);
        if (status == SIMCLR_OK)
            status = finetune_folder_epoch(&folder, result, clock_seconds() - began, err);
    }
    if (status == SIMCLR_OK)
        status = finetune_folder_commit(&folder, f, result, err);
    if (status == SIMCLR_ERR_CANCELLED)
        fail(err, status, "stopped after step %llu of %llu; nothing was written", (unsigned long long)f->step, (unsigned long long)f->steps);
    if (status != SIMCLR_OK)
        finetune_folder_abandon(&folder);
    return status;
}
