#include "eval/evaluate.h"

#include "base/arena.h"
#include "base/status.h"
#include "eval/features.h"
#include "eval/knn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct images {
    struct loader *loader;
    size_t count;
    float *features[2]; /* h (count, h_dim), z (count, z_dim) */
    int *labels;        /* (count) */
};

struct work {
    const struct evaluate_options *options;
    const struct engine *engine;
    struct images train, test;
};

static void tell(const struct work *w, const char *what, const struct evaluation_part *part, double done)
{
    char phase[64];
    snprintf(phase, sizeof phase, "%s of %s", what, part->name);
    if (w->options->report)
        w->options->report(w->options->ctx, phase, done);
}

/* ---- Features ---- */

static bool allocate_images(struct images *images, struct loader *loader, const struct evaluation *e)
{
    images->loader = loader;
    images->count = loader_size(loader);
    for (int i = 0; i < 2; i++)
        images->features[i] = alloc_aligned(images->count, (size_t)e->part[i].d * sizeof(float));
    images->labels = alloc_aligned(images->count, sizeof *images->labels);
    return images->features[0] && images->features[1] && images->labels;
}

static void free_images(struct images *images)
{
    free(images->features[0]);
    free(images->features[1]);
    free(images->labels);
}

static enum simclr_status compute_features(struct work *w, struct evaluation *e, struct network *network, struct simclr_error *err)
{
    struct images *const parts[] = {&w->train, &w->test};
    size_t *const labelled[] = {&e->train_images, &e->test_images};
    struct image_progress progress = image_progress_begin(w->options->report_images, w->options->ctx, w->train.count + w->test.count);
    for (int i = 0; i < 2; i++) {
        enum simclr_status status = features_compute(network, parts[i]->loader, parts[i]->features[0], parts[i]->features[1],
                                                     parts[i]->labels, w->options->batch, &progress, err);
        if (status != SIMCLR_OK)
            return status;
        for (size_t j = 0; j < parts[i]->count; j++) {
            *labelled[i] += parts[i]->labels[j] >= 0;
            e->broken += parts[i]->labels[j] == LABEL_BROKEN;
        }
    }
    return SIMCLR_OK;
}

/* ---- One representation ---- */

struct probe_phase {
    const struct work *work;
    const struct evaluation_part *part;
};

/* A probe_report_fn. */
static void tell_fit(void *ctx, int fit, int fits, double lambda)
{
    (void)lambda;
    const struct probe_phase *p = ctx;
    tell(p->work, "linear probe", p->part, (double)(fit - 1) / fits);
}

static enum simclr_status run_probe(struct work *w, struct evaluation *e, int which, struct simclr_error *err)
{
    struct evaluation_part *part = &e->part[which];
    struct probe_phase phase = {w, part};
    const struct images *train = &w->train, *test = &w->test;
    enum simclr_status status = probe_fit(&part->probe, train->features[which], train->labels, train->count, part->d, e->classes, 0,
                                          w->options->seed, w->engine, tell_fit, &phase, err);
    if (status == SIMCLR_OK)
        status = probe_test(&part->probe, &part->train, NULL, NULL, train->features[which], train->labels, train->count, w->engine, err);
    if (status == SIMCLR_OK)
        status = probe_test(&part->probe, &part->test, which == 0 ? e->class_images : NULL, part->class_right, test->features[which],
                            test->labels, test->count, w->engine, err);
    probe_free(&part->probe);
    return status;
}

/* Last, for it normalises the features in their place. */
static enum simclr_status run_knn(struct work *w, struct evaluation *e, int which, struct simclr_error *err)
{
    struct evaluation_part *part = &e->part[which];
    double accuracy[EVALUATE_MOST_K * EVALUATE_MOST_T];
    tell(w, "kNN", part, 0);
    enum simclr_status status = knn_sweep(w->engine, accuracy, w->train.features[which], w->train.labels, w->train.count,
                                          w->test.features[which], w->test.labels, w->test.count, part->d, e->classes, e->ks, e->k_count,
                                          e->temperatures, e->temperature_count, err);
    for (int k = 0; k < e->k_count && status == SIMCLR_OK; k++)
        for (int t = 0; t < e->temperature_count; t++)
            part->knn_sweep[k][t] = accuracy[k * e->temperature_count + t];
    part->knn = part->knn_sweep[e->k_at][e->temperature_at];
    return status;
}

/* Keeps values ascending, and each once. */
static int add_value(double *values, int count, double value)
{
    int at = count;
    while (at > 0 && values[at - 1] > value)
        at--;
    if (at > 0 && values[at - 1] == value)
        return count;
    memmove(values + at + 1, values + at, (size_t)(count - at) * sizeof *values);
    values[at] = value;
    return count + 1;
}

static int place_of(const double *values, double value)
{
    int at = 0;
    while (values[at] != value)
        at++;
    return at;
}

/* The usual values, and the options' own. */
static void choose_grid(struct evaluation *e, const struct evaluate_options *options)
{
    static const int ks[] = {1, 5, 10, 20, 50, 100, 200};
    static const double temperatures[] = {0.05, 0.07, 0.1, 0.2, 0.5};
    double chosen[EVALUATE_MOST_K], most = (double)e->train_images, k = options->k < most ? options->k : most;
    e->k_count = add_value(chosen, 0, k);
    e->temperature_count = add_value(e->temperatures, 0, options->temperature);
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
        if (ks[i] <= most)
            e->k_count = add_value(chosen, e->k_count, ks[i]);
    for (size_t i = 0; i < sizeof temperatures / sizeof *temperatures; i++)
        e->temperature_count = add_value(e->temperatures, e->temperature_count, temperatures[i]);
    for (int i = 0; i < e->k_count; i++)
        e->ks[i] = (int)chosen[i];
    e->k_at = place_of(chosen, k);
    e->temperature_at = place_of(e->temperatures, options->temperature);
}

/* ---- All of it ---- */

static enum simclr_status prepare(struct work *w, struct evaluation *e, const struct network *network, struct loader *train,
                                  struct loader *test, struct simclr_error *err)
{
    bool room = true;
    e->part[0] = (struct evaluation_part){.name = "h", .d = network_feature_dim(network)};
    e->part[1] = (struct evaluation_part){.name = "z", .d = network_out_dim(network)};
    e->class_images = alloc_aligned((size_t)e->classes, sizeof *e->class_images);
    for (int i = 0; i < 2; i++) {
        e->part[i].class_right = alloc_aligned((size_t)e->classes, sizeof *e->class_images);
        room &= e->part[i].class_right != NULL;
    }
    room &= allocate_images(&w->train, train, e) && allocate_images(&w->test, test, e) && e->class_images;
    return room ? SIMCLR_OK : fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the features of %zu images; use --limit",
                                   loader_size(train) + loader_size(test));
}

enum simclr_status evaluate(struct evaluation *evaluation, struct network *network, struct loader *train, struct loader *test, int classes,
                            const struct evaluate_options *options, const struct engine *engine, struct simclr_error *err)
{
    struct evaluation *e = evaluation;
    struct work w = {.options = options, .engine = engine};
    *e = (struct evaluation){.classes = classes};
    enum simclr_status status = prepare(&w, e, network, train, test, err);
    if (status == SIMCLR_OK)
        status = compute_features(&w, e, network, err);
    if (status == SIMCLR_OK && (e->train_images == 0 || e->test_images == 0))
        status = fail(err, SIMCLR_ERR_USAGE, "no image %s has a label and can be read",
                      e->train_images == 0 ? "to train classifiers on" : "to test them on");
    if (status == SIMCLR_OK)
        choose_grid(e, options);
    for (int i = 0; i < 2 && status == SIMCLR_OK; i++) {
        status = run_probe(&w, e, i, err);
        if (status == SIMCLR_OK)
            status = run_knn(&w, e, i, err);
    }
    free_images(&w.train);
    free_images(&w.test);
    if (status != SIMCLR_OK)
        evaluation_free(e);
    return status;
}

void evaluation_free(struct evaluation *evaluation)
{
    free(evaluation->class_images);
    free(evaluation->part[0].class_right);
    free(evaluation->part[1].class_right);
    *evaluation = (struct evaluation){.classes = 0};
}
