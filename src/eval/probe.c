#include "eval/probe.h"

#include "base/arena.h"
#include "base/fmath.h"
#include "base/ints.h"
#include "base/par.h"
#include "base/rng.h"
#include "base/status.h"
#include "eval/lbfgs.h"
#include "nn/linear.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 8192,  /* rows whose logits are in memory at a time; sums over blocks are in double */
    COLUMNS = 16,  /* features that a task standardises */
    HELD_OUT = 10, /* one in ten training images chooses lambda */
    LAMBDAS = 9,   /* 100 to 1e-6 */
};
static const double STRONGEST = 100;

/* As scikit-learn has it. While lambda is chosen fewer iterations do: only the order of accuracies counts. */
static const double TOLERANCE = 1e-4;
enum { CHOOSING_ITERATIONS = 200, ITERATIONS = 1000 };

/* The labelled training images, those held out last, and the objective over the first `rows` of them. Only classes that occur have a
 * column: nothing would hold the others' bias. */
struct fit {
    const struct engine *engine;
    int d, columns;
    size_t images, chosen_from; /* all; without those held out */
    float *x;                   /* (images, d) standardised */
    int *column;                /* (images) */
    double *mean, *deviation;   /* (d) */
    size_t rows;
    double lambda;
    double *params, *best;      /* (d, columns), then (columns) the bias */
    float *weight, *bias, *dweight, *dbias;
    float *logits;              /* (BLOCK, columns) */
    void *losses;               /* cross_entropy_scratch */
    void *scratch;              /* of the linear layer */
};

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t param_count(const struct fit *f) { return ((size_t)f->d + 1) * (size_t)f->columns; }

/* ---- The objective ---- */

static void use_params(const struct fit *f, const double *params)
{
    size_t weights = (size_t)f->d * (size_t)f->columns;
    for (size_t i = 0; i < weights; i++)
        f->weight[i] = (float)params[i];
    for (int c = 0; c < f->columns; c++)
        f->bias[c] = (float)params[weights + (size_t)c];
}

static void block_logits(const struct fit *f, size_t first, size_t rows)
{
    linear_forward(f->engine, f->logits, f->x + first * (size_t)f->d, f->weight, f->bias, false, (int)rows, f->d, f->columns, f->scratch);
}

/* Adds the block's gradient, and returns its loss. */
static double block_loss(const struct fit *f, double *gradient, size_t first, size_t rows)
{
    size_t weights = (size_t)f->d * (size_t)f->columns;
    block_logits(f, first, rows);
    double loss = cross_entropy(f->engine, f->logits, f->column + first, rows, f->columns, f->losses);
    linear_backward(f->engine, NULL, f->dweight, f->dbias, f->logits, NULL, f->x + first * (size_t)f->d, f->weight, (int)rows, f->d,
                    f->columns, f->scratch);
    for (size_t i = 0; i < weights; i++)
        gradient[i] += f->dweight[i];
    for (int c = 0; c < f->columns; c++)
        gradient[weights + (size_t)c] += f->dbias[c];
    return loss;
}

/* An lbfgs_fn. */
static double objective(void *ctx, double *gradient, const double *params)
{
    const struct fit *f = ctx;
    size_t weights = (size_t)f->d * (size_t)f->columns, count = param_count(f);
    double loss = 0, squares = 0, rows = (double)f->rows;
    use_params(f, params);
    memset(gradient, 0, count * sizeof *gradient);
    for (size_t first = 0; first < f->rows; first += BLOCK)
        loss += block_loss(f, gradient, first, least(BLOCK, f->rows - first));
    for (size_t i = 0; i < count; i++) {
        double decayed = i < weights ? params[i] : 0;
        gradient[i] = gradient[i] / rows + f->lambda * decayed;
        squares += decayed * decayed;
    }
    return loss / rows + f->lambda / 2 * squares;
}

static size_t count_right(const struct fit *f, size_t first, size_t end)
{
    size_t right = 0;
    use_params(f, f->params);
    for (size_t block = first; block < end; block += BLOCK) {
        size_t rows = least(BLOCK, end - block);
        block_logits(f, block, rows);
        for (size_t i = 0; i < rows; i++)
            right += class_rank(f->logits + i * (size_t)f->columns, f->column[block + i], f->columns) == 0;
    }
    return right;
}

/* ---- The images ---- */

struct labels {
    size_t *count;   /* (classes) images of each */
    int *column;     /* (classes) or -1 */
    char *held_out;  /* (rows) */
    uint32_t *order; /* (rows) scratch */
};

static enum simclr_status count_labels(struct fit *f, struct labels *l, const int *labels, size_t rows, int classes,
                                       struct simclr_error *err)
{
    for (size_t i = 0; i < rows; i++) {
        if (labels[i] >= classes)
            return fail(err, SIMCLR_ERR_FORMAT, "probe: label %d of image %zu is not below the number of classes, %d", labels[i], i,
                        classes);
        if (labels[i] >= 0) {
            l->count[labels[i]]++;
            f->images++;
        }
    }
    for (int c = 0; c < classes; c++)
        l->column[c] = l->count[c] > 0 ? f->columns++ : -1;
    if (f->columns < 2)
        return fail(err, SIMCLR_ERR_USAGE, "a linear probe needs labelled images of two classes, but those to train it on have %d",
                    f->columns);
    return SIMCLR_OK;
}

/* The second of each class in a random order, and every tenth from there on. */
static enum simclr_status hold_out(struct fit *f, struct labels *l, const int *labels, size_t rows, int classes, uint64_t seed,
                                   struct simclr_error *err)
{
    struct rng rng = rng_stream(seed, RNG_SPLIT, 1, 0);
    for (size_t i = 0; i < rows; i++)
        l->order[i] = (uint32_t)i;
    rng_permutation(&rng, l->order, (uint32_t)rows);
    memset(l->count, 0, (size_t)classes * sizeof *l->count);
    for (size_t i = 0; i < rows; i++) {
        int label = labels[l->order[i]];
        if (label >= 0 && l->count[label]++ % HELD_OUT == 1) {
            l->held_out[l->order[i]] = 1;
            f->chosen_from--;
        }
    }
    if (f->chosen_from == f->images)
        return fail(err, SIMCLR_ERR_USAGE, "a linear probe needs two labelled images of a class to choose its regularisation by");
    return SIMCLR_OK;
}

static void copy_images(struct fit *f, const struct labels *l, const float *x, const int *labels, size_t rows)
{
    size_t d = (size_t)f->d, at[2] = {0, f->chosen_from};
    for (size_t i = 0; i < rows; i++) {
        if (labels[i] < 0)
            continue;
        size_t to = at[(int)l->held_out[i]]++;
        memcpy(f->x + to * d, x + i * d, d * sizeof *x);
        f->column[to] = l->column[labels[i]];
    }
}

/* A feature that never changes stays 0, as in scikit-learn's. */
static void standardize_columns(void *ctx, size_t chunk, int thread)
{
    (void)thread;
    const struct fit *f = ctx;
    int first = (int)chunk * COLUMNS, count = min_int(COLUMNS, f->d - first);
    double sum[COLUMNS] = {0}, squares[COLUMNS] = {0}, rows = (double)f->images;
    for (size_t i = 0; i < f->images; i++)
        for (int j = 0; j < count; j++)
            sum[j] += f->x[i * (size_t)f->d + (size_t)(first + j)];
    for (size_t i = 0; i < f->images; i++)
        for (int j = 0; j < count; j++) {
            double from_mean = f->x[i * (size_t)f->d + (size_t)(first + j)] - sum[j] / rows;
            squares[j] += from_mean * from_mean;
        }
    for (int j = 0; j < count; j++) {
        double deviation = sqrt(squares[j] / rows);
        f->mean[first + j] = sum[j] / rows;
        f->deviation[first + j] = deviation > 1e-12 * fabs(sum[j] / rows) ? deviation : 1;
    }
    for (size_t i = 0; i < f->images; i++)
        for (int j = 0; j < count; j++) {
            float *value = &f->x[i * (size_t)f->d + (size_t)(first + j)];
            *value = (float)((*value - f->mean[first + j]) / f->deviation[first + j]);
        }
}

static enum simclr_status standardize(const struct fit *f, struct simclr_error *err)
{
    par_for(f->engine->threads, ((size_t)f->d + COLUMNS - 1) / COLUMNS, standardize_columns, (void *)f);
    for (int j = 0; j < f->d; j++)
        if (!isfinite(f->mean[j]) || !isfinite(f->deviation[j]))
            return fail(err, SIMCLR_ERR_NONFINITE, "feature %d of an image is not a finite number: the encoder's weights are of no use", j);
    return SIMCLR_OK;
}

/* ---- Fitting ---- */

static enum simclr_status choose_lambda(struct fit *f, struct probe *p, probe_report_fn *report, void *ctx, struct simclr_error *err)
{
    struct lbfgs_result result;
    double lambda = STRONGEST;
    f->rows = f->chosen_from;
    for (int i = 0; i < LAMBDAS; i++) { /* each begins where a stronger one ended */
        if (report)
            report(ctx, i + 1, LAMBDAS + 1, lambda);
        f->lambda = lambda;
        enum simclr_status status = lbfgs_minimize(f->params, param_count(f), TOLERANCE, CHOOSING_ITERATIONS, objective, f,
                                                   f->engine, &result, err);
        if (status != SIMCLR_OK)
            return status;
        size_t right = count_right(f, f->chosen_from, f->images);
        if (i == 0 || right > p->held_out_right) {
            p->held_out_right = right;
            p->lambda = lambda;
            memcpy(f->best, f->params, param_count(f) * sizeof *f->best);
        }
        lambda /= 10;
    }
    memcpy(f->params, f->best, param_count(f) * sizeof *f->best);
    p->held_out = f->images - f->chosen_from;
    return SIMCLR_OK;
}

static enum simclr_status fit_all(struct fit *f, struct probe *p, probe_report_fn *report, void *ctx, struct simclr_error *err)
{
    struct lbfgs_result result;
    int fits = p->held_out > 0 ? LAMBDAS + 1 : 1;
    if (report)
        report(ctx, fits, fits, p->lambda);
    f->rows = f->images;
    f->lambda = p->lambda;
    enum simclr_status status = lbfgs_minimize(f->params, param_count(f), TOLERANCE, ITERATIONS, objective, f, f->engine, &result, err);
    p->rows = f->images;
    p->loss = result.value;
    p->iterations = result.iterations;
    p->converged = result.converged;
    return status;
}

/* w . (x - mean) / deviation + b as weights of x itself. */
static void fold(struct probe *p, const struct fit *f, const int *column)
{
    size_t columns = (size_t)f->columns, classes = (size_t)p->classes;
    for (size_t c = 0; c < classes; c++) {
        p->bias[c] = -FLT_MAX;
        if (column[c] < 0)
            continue;
        const double *w = f->params + column[c];
        double bias = w[(size_t)p->d * columns];
        for (size_t j = 0; j < (size_t)p->d; j++) {
            double weight = w[j * columns] / f->deviation[j];
            p->weight[j * classes + c] = (float)weight;
            bias -= weight * f->mean[j];
        }
        p->bias[c] = (float)bias;
    }
}

static void lay_out_fit(struct fit *f, struct arena *arena)
{
    size_t d = (size_t)f->d, columns = (size_t)f->columns, block = least(BLOCK, f->images);
    f->x = arena_alloc(arena, f->images, d * sizeof *f->x);
    f->column = arena_alloc(arena, f->images, sizeof *f->column);
    f->mean = arena_alloc(arena, d, sizeof *f->mean);
    f->deviation = arena_alloc(arena, d, sizeof *f->deviation);
    f->params = arena_alloc(arena, param_count(f), sizeof *f->params);
    f->best = arena_alloc(arena, param_count(f), sizeof *f->best);
    f->weight = arena_alloc(arena, d * columns, sizeof *f->weight);
    f->dweight = arena_alloc(arena, d * columns, sizeof *f->dweight);
    f->bias = arena_alloc(arena, columns, sizeof *f->bias);
    f->dbias = arena_alloc(arena, columns, sizeof *f->dbias);
    f->logits = arena_alloc(arena, block * columns, sizeof *f->logits);
    f->losses = arena_alloc(arena, cross_entropy_scratch(block), 1);
    f->scratch = arena_alloc(arena, linear_scratch(f->engine, (int)block, f->d, f->columns), 1);
}

static void lay_out_labels(struct labels *l, struct arena *arena, size_t rows, int classes)
{
    l->count = arena_alloc(arena, (size_t)classes, sizeof *l->count);
    l->column = arena_alloc(arena, (size_t)classes, sizeof *l->column);
    l->held_out = arena_alloc(arena, rows, sizeof *l->held_out);
    l->order = arena_alloc(arena, rows, sizeof *l->order);
}

enum simclr_status probe_fit(struct probe *probe, const float *x, const int *labels, size_t rows, int d, int classes, double lambda,
                             uint64_t seed, const struct engine *engine, probe_report_fn *report, void *ctx, struct simclr_error *err)
{
    struct fit f = {.engine = engine, .d = d};
    struct labels l;
    struct arena label_memory = {0}, memory = {0};
    *probe = (struct probe){.d = d, .classes = classes, .lambda = lambda};
    lay_out_labels(&l, &label_memory, rows, classes);
    if (rows > UINT32_MAX || arena_commit(&label_memory))
        return fail(err, SIMCLR_ERR_MEMORY, "probe: not enough memory for the labels of %zu images; use --limit", rows);
    lay_out_labels(&l, &label_memory, rows, classes);
    enum simclr_status status = count_labels(&f, &l, labels, rows, classes, err);
    f.chosen_from = f.images;
    if (status == SIMCLR_OK && lambda == 0)
        status = hold_out(&f, &l, labels, rows, classes, seed, err);
    if (status == SIMCLR_OK) {
        lay_out_fit(&f, &memory);
        size_t bytes = memory.used;
        probe->weight = alloc_aligned((size_t)d * (size_t)classes, sizeof *probe->weight);
        probe->bias = alloc_aligned((size_t)classes, sizeof *probe->bias);
        if (!probe->weight || !probe->bias || arena_commit(&memory))
            status = fail(err, SIMCLR_ERR_MEMORY, "probe: no %zu bytes of memory for the features of %zu images; use --limit", bytes, rows);
    }
    if (status == SIMCLR_OK) {
        lay_out_fit(&f, &memory);
        copy_images(&f, &l, x, labels, rows);
        status = standardize(&f, err);
    }
    if (status == SIMCLR_OK && lambda == 0)
        status = choose_lambda(&f, probe, report, ctx, err);
    if (status == SIMCLR_OK)
        status = fit_all(&f, probe, report, ctx, err);
    if (status == SIMCLR_OK)
        fold(probe, &f, l.column);
    else
        probe_free(probe);
    arena_free(&memory);
    arena_free(&label_memory);
    return status;
}

void probe_free(struct probe *probe)
{
    free(probe->weight);
    free(probe->bias);
    probe->weight = probe->bias = NULL;
}

/* ---- Testing ---- */

enum simclr_status probe_test(const struct probe *probe, struct class_score *score, size_t *class_images, size_t *class_right,
                              const float *x, const int *labels, size_t rows, const struct engine *engine, struct simclr_error *err)
{
    size_t d = (size_t)probe->d, classes = (size_t)probe->classes, block = least(BLOCK, rows);
    float *logits = alloc_aligned(block * classes, sizeof *logits);
    void *scratch = alloc_aligned(linear_scratch(engine, (int)block, probe->d, probe->classes), 1);
    enum simclr_status status = SIMCLR_OK;
    *score = (struct class_score){.images = 0};
    if (!logits || !scratch)
        status = fail(err, SIMCLR_ERR_MEMORY, "probe: not enough memory for the logits of %zu images", block);
    for (size_t first = 0; first < rows && status == SIMCLR_OK; first += BLOCK) {
        size_t count = least(BLOCK, rows - first);
        linear_forward(engine, logits, x + first * d, probe->weight, probe->bias, false, (int)count, probe->d, probe->classes, scratch);
        for (size_t i = 0; i < count; i++) {
            int label = labels[first + i];
            if (label < 0)
                continue;
            int rank = label < probe->classes ? class_rank(logits + i * classes, label, probe->classes) : probe->classes;
            class_score_add(score, rank);
            if (class_images && label < probe->classes)
                class_images[label]++;
            if (class_right && rank == 0)
                class_right[label]++;
        }
    }
    free(logits);
    free(scratch);
    return status;
}
