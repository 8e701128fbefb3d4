#include "train/forecast.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/ints.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/knn.h"
#include "train/memory_limit.h"
#include "train/peak.h"
#include "train/training.h"

#include <stdlib.h>
#include <string.h>

#define ALL_SECONDS 1.5  /* that steps are repeated for */
#define FEW_SECONDS 0.3
#define STEP_SECONDS 2.0 /* that one may take, as a few images say */
#define FEW_FLOP 1e11

enum { FEW_IMAGES = 8, BANK_SAMPLE = 4096, QUERY_SAMPLE = 512 };

enum simclr_status forecast_open(struct forecast *f, const struct train_config *config, const struct engine *engine,
                                 struct simclr_error *err)
{
    *f = (struct forecast){.config = *config, .engine = engine};
    enum simclr_status status = run_data_open(&f->data, &f->config, engine, err);
    if (status != SIMCLR_OK)
        return status;
    struct trainer t = {.config = f->config, .engine = engine, .data = f->data};
    status = trainer_plan_steps(&t, err);
    f->steps_per_epoch = t.steps_per_epoch;
    f->steps = t.steps;
    if (status == SIMCLR_OK)
        status = resnet_build(&f->net, &f->config.network, err);
    if (status == SIMCLR_OK)
        status = bill_begin(&f->basis, &f->data, err);
    if (status == SIMCLR_OK)
        status = memory_limit_apply(&f->config, false, &f->for_cache, &f->data, engine, err);
    int micro_batch = step_pass_images(&f->config, f->config.batch_size);
    if (status == SIMCLR_OK)
        status = bill_make(&f->bill, &f->basis, &f->config, &f->data, engine, micro_batch, err);
    return status;
}

void forecast_close(struct forecast *f)
{
    run_data_close(&f->data);
}

/* ---- Time ---- */

/* Of a step of some images, but for the last two: of an image. */
struct sample {
    double compute, optimizer;
    double decoding, data; /* making the views for the first time, and again */
    double clean, forward; /* loading an image for an evaluation, and its pass */
};

static double since(double began)
{
    return clock_seconds() - began;
}

static enum simclr_status measure_data(struct trainer *t, struct sample *s, struct simclr_error *err)
{
    double passes = (double)t->config.batch_size / t->step.micro, began = clock_seconds();
    enum simclr_status status = loader_batch(t->data.train, t->step.views, 0, 0, t->step.micro, err);
    s->decoding = since(began) * passes;
    began = clock_seconds();
    if (status == SIMCLR_OK)
        status = loader_batch(t->data.train, t->step.views, 0, 0, t->step.micro, err);
    s->data = since(began) * passes;
    return status;
}

/* For every pass those that are there: making views is timed by itself. */
static enum simclr_status same_views(void *ctx, float *out, int first, int count, struct simclr_error *err)
{
    (void)ctx, (void)out, (void)first, (void)count, (void)err;
    return SIMCLR_OK;
}

/* Means over so many seconds, or one step if that takes longer. */
static enum simclr_status measure_steps(struct trainer *t, struct sample *s, struct node_time *nodes, double seconds,
                                        struct simclr_error *err)
{
    const struct step_batch batch = {t->config.batch_size, same_views, NULL};
    struct ntxent_result ignored;
    bool finite;
    size_t count;
    double began = clock_seconds(), compute = 0, optimizer = 0;
    int steps = 0;
    network_time(t->network, nodes);
    do {
        double start = clock_seconds();
        enum simclr_status status = step_run(&t->step, &batch, &ignored, &finite, err);
        if (status != SIMCLR_OK)
            return status;
        compute += since(start);
        start = clock_seconds();
        optim_step(t->engine, &t->config.optim, t->tensors, t->tensor_count, network_params(t->network, &count),
                   network_grads(t->network), t->optim, 1, 0);
        optimizer += since(start);
        steps++;
        if (engine_stopped(t->engine))
            return fail(err, SIMCLR_ERR_CANCELLED, "stopped");
    } while (since(began) < seconds);
    network_time(t->network, NULL);
    for (int i = 0; i < RESNET_MAX_NODES; i++) {
        nodes[i].forward /= steps;
        nodes[i].backward /= steps;
    }
    s->compute = compute / steps;
    s->optimizer = optimizer / steps;
    return SIMCLR_OK;
}

static enum simclr_status measure_evaluation(struct trainer *t, struct sample *s, struct simclr_error *err)
{
    size_t most = 2 * (size_t)t->step.micro, images = loader_size(t->data.train);
    int rows = (int)(images < most ? images : most);
    const float *h;
    double began = clock_seconds();
    enum simclr_status status = loader_clean(t->data.train, t->step.views, NULL, 0, rows, err);
    s->clean = since(began) / rows;
    began = clock_seconds();
    network_forward(t->network, t->step.views, rows, false, &h, NULL);
    s->forward = since(began) / rows;
    return status;
}

static enum simclr_status measure_neighbours(const struct forecast *f, double *seconds, struct simclr_error *err)
{
    size_t bank = loader_size(f->data.bank), queries = loader_size(f->data.test), d = (size_t)f->net.nodes[f->net.feature].shape.k;
    size_t some_bank = bank < BANK_SAMPLE ? bank : BANK_SAMPLE, some_queries = queries < QUERY_SAMPLE ? queries : QUERY_SAMPLE;
    size_t rows = some_bank + some_queries;
    float *features = alloc_aligned(rows * d, sizeof *features);
    int *labels = malloc(rows * sizeof *labels);
    double accuracy;
    struct rng rng = rng_stream(0, RNG_AUGMENT, 0, 0);
    enum simclr_status status = features && labels ? SIMCLR_OK : fail(err, SIMCLR_ERR_MEMORY, "not enough memory to measure kNN");
    for (size_t i = 0; i < rows * d && status == SIMCLR_OK; i++)
        features[i] = rng_float(&rng);
    for (size_t i = 0; i < rows && status == SIMCLR_OK; i++)
        labels[i] = (int)(i % (size_t)f->data.classes);
    double began = clock_seconds();
    if (status == SIMCLR_OK)
        status = knn_classify(f->engine, &accuracy, features, labels, some_bank, features + some_bank * d, labels + some_bank, some_queries,
                              (int)d, f->data.classes, f->config.knn_k, f->config.knn_temperature, err);
    *seconds = since(began) * ((double)bank / (double)some_bank) * ((double)queries / (double)some_queries);
    free(features);
    free(labels);
    return status;
}

/* Images of the steps to measure: as many as have time if `images` take so many seconds, and as the memory that is left has room for. */
static enum simclr_status choose_images(const struct forecast *f, int *images, double seconds, struct simclr_error *err)
{
    int few = *images;
    double fit = *images * STEP_SECONDS / seconds;
    *images = fit < f->config.batch_size ? max_int((int)fit, *images) : f->config.batch_size;
    for (;; *images /= 2) {
        struct bill bill;
        size_t left = memory_available();
        enum simclr_status status = bill_make(&bill, &f->basis, &f->config, &f->data, f->engine,
                                              step_pass_images(&f->config, *images), err);
        if (status != SIMCLR_OK || *images < 2 * few || !left ||
            bill_phase(&bill, BILL_TRAINING) - bill.bytes[BILL_CACHE] < left / 4 * 3)
            return status;
    }
}

/* Seconds that a batch computes. The first few images cost more than each further one: layers with large weights transform them for every
 * step, and short loops leave threads waiting. */
static double extrapolate(const struct forecast *f, int few_images, const struct sample *few, int images, const struct sample *s)
{
    double image = s->compute / images, more = images > few_images ? (s->compute - few->compute) / (images - few_images) : image;
    more = more > image ? image : more < 0.75 * image ? 0.75 * image : more; /* less would be noise */
    return s->compute + (f->config.batch_size - images) * more;
}

/* Then each image goes forward twice, and is made twice. */
static bool in_passes(const struct train_config *config)
{
    return step_pass_images(config, config->batch_size) < config->batch_size;
}

static void combine(const struct forecast *f, struct forecast_times *times, int few_images, const struct sample *few,
                    const struct sample *s, double neighbours)
{
    const struct train_config *c = &f->config;
    double batch = c->batch_size, steps = (double)f->steps_per_epoch;
    size_t all = run_data_cached(&f->data, CACHE_AUTO, &f->basis.images, SIZE_MAX);
    double kept = all ? (double)f->bill.bytes[BILL_CACHE] / (double)all : 1; /* raw images are not kept, and cost the same again */
    double decoding = s->decoding / times->images * batch, again = s->data / times->images * batch;
    bool evaluated = f->bill.bytes[BILL_EVALUATION] > 0; /* which decodes all before the first epoch */
    int evaluations = evaluated ? 1 + (c->epochs + c->knn_every - 1) / c->knn_every : 0;
    times->compute = extrapolate(f, few_images, few, times->images, s);
    times->optimizer = s->optimizer;
    double once = decoding + (again - decoding) * kept;
    times->data = once * (in_passes(c) ? 2 : 1);
    double step = times->compute + times->optimizer + times->data;
    times->flop_per_second = batch * resnet_image_flop(&f->net) / step;
    times->fma_peak = peak_fma(f->engine->kernels, f->engine->threads, PEAK_BRIEFLY);
    times->epoch = steps * step;
    times->first_epoch = times->epoch + (evaluated ? 0 : steps * (decoding - once));
    if (evaluated)
        times->evaluation = (double)(loader_size(f->data.bank) + loader_size(f->data.test)) * (s->clean + s->forward) + neighbours;
    times->total = times->first_epoch + (c->epochs - 1) * times->epoch + evaluations * times->evaluation;
    for (int i = 0; i < f->net.count; i++) {
        times->nodes[i].forward *= times->compute / s->compute;
        times->nodes[i].backward *= times->compute / s->compute;
    }
}

/* A step of some images, into sample and nodes. */
static enum simclr_status measure(const struct forecast *f, struct sample *s, struct node_time *nodes, int images, double seconds,
                                  struct simclr_error *err)
{
    struct trainer t = {.config = f->config, .engine = f->engine, .data = f->data};
    t.config.batch_size = images;
    memset(nodes, 0, RESNET_MAX_NODES * sizeof *nodes);
    enum simclr_status status = trainer_allocate(&t, err);
    if (status == SIMCLR_OK)
        status = measure_data(&t, s, err);
    if (status == SIMCLR_OK)
        status = measure_steps(&t, s, nodes, seconds, err);
    if (status == SIMCLR_OK && f->bill.bytes[BILL_EVALUATION] > 0)
        status = measure_evaluation(&t, s, err);
    trainer_release(&t);
    return status;
}

/* A few images first, and once more where the first step was short: then the program's code, threads and caches were cold. They tell how
 * many a long enough step has, and what each step costs however small it is; where they took long, they are all. */
enum simclr_status forecast_measure(struct forecast *f, struct forecast_times *times, struct simclr_error *err)
{
    struct sample first = {0}, few = {0}, s = {0};
    double neighbours = 0, decoding, image_flop = resnet_image_flop(&f->net);
    int few_images = min_int(f->config.batch_size, max_int(2, (int)(FEW_FLOP / image_flop)));
    few_images = in_passes(&f->config) ? min_int(2 * f->config.micro_batch, f->config.batch_size) : min_int(few_images, FEW_IMAGES);
    times->images = few_images;
    run_data_cache(&f->data, f->config.cache, f->for_cache);
    enum simclr_status status = measure(f, &first, times->nodes, few_images, 0, err);
    decoding = first.decoding;
    few = s = first;
    if (status == SIMCLR_OK && first.compute < STEP_SECONDS / 4)
        status = measure(f, &few, times->nodes, few_images, FEW_SECONDS, err);
    if (status == SIMCLR_OK && few.compute < STEP_SECONDS / 2)
        status = choose_images(f, &times->images, few.compute, err);
    if (status == SIMCLR_OK && times->images > few_images) {
        status = measure(f, &s, times->nodes, times->images, ALL_SECONDS, err);
    } else {
        s = few;
        s.decoding = decoding; /* the second time it found them in memory */
    }
    if (status == SIMCLR_OK && f->bill.bytes[BILL_EVALUATION] > 0)
        status = measure_neighbours(f, &neighbours, err);
    if (status == SIMCLR_OK)
        combine(f, times, few_images, &few, &s, neighbours);
    return status;
}
