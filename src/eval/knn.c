#include "eval/knn.h"

#include "base/arena.h"
#include "base/fmath.h"
#include "base/status.h"
#include "eval/neighbours.h"
#include "eval/similarity.h"

#include <stdbool.h>
#include <string.h>

struct vote {
    const int *bank_labels, *query_labels;
    int classes;
    const int *ks;          /* (k_count) ascending */
    const double *temperatures;
    int k_count, temperature_count;
    size_t *right;          /* (threads, k_count, temperature_count) */
    double *votes;          /* (threads, classes) */
};

static size_t cells(const struct vote *s) { return (size_t)s->k_count * (size_t)s->temperature_count; }

/* Equal votes go to the lower class. */
static int winner(const double *votes, int classes)
{
    int best = 0;
    for (int c = 1; c < classes; c++)
        if (votes[c] > votes[best])
            best = c;
    return best;
}

/* Votes exp(cos / T) in rank order, all divided by the best one's so that no T overflows. Those of the first k neighbours are counted on
 * the way to the next k. Adds to right (k_count, temperature_count). */
static void vote(const struct vote *s, size_t *right, const struct neighbour *ranked, int count, int label, double *votes)
{
    for (int t = 0; t < s->temperature_count; t++) {
        int i = 0;
        memset(votes, 0, (size_t)s->classes * sizeof *votes);
        for (int k = 0; k < s->k_count; k++) {
            for (; i < count && i < s->ks[k]; i++) {
                double behind_best = (double)ranked[i].similarity - (double)ranked[0].similarity;
                votes[s->bank_labels[ranked[i].index]] += fm_exp(behind_best / s->temperatures[t]);
            }
            right[k * s->temperature_count + t] += winner(votes, s->classes) == label;
        }
    }
}

/* A neighbours_fn. */
static void take(void *ctx, size_t query, const struct neighbour *ranked, int count, int thread)
{
    const struct vote *s = ctx;
    int label = s->query_labels[query];
    if (label >= 0)
        vote(s, s->right + (size_t)thread * cells(s), ranked, count, label, s->votes + (size_t)thread * (size_t)s->classes);
}

static enum simclr_status count_labels(size_t *labelled, const char *what, const int *labels, size_t rows, int classes,
                                       struct simclr_error *err)
{
    *labelled = 0;
    for (size_t i = 0; i < rows; i++) {
        if (labels[i] >= classes)
            return fail(err, SIMCLR_ERR_FORMAT, "kNN: label %d of %s %zu is not below the number of classes, %d", labels[i], what, i,
                        classes);
        *labelled += labels[i] >= 0;
    }
    if (*labelled == 0)
        return fail(err, SIMCLR_ERR_USAGE, "kNN needs labels, but no %s has one; switch it off with --knn-every 0", what);
    return SIMCLR_OK;
}

static void lay_out(struct vote *s, struct arena *arena, int threads)
{
    s->right = arena_alloc(arena, (size_t)threads, cells(s) * sizeof *s->right);
    s->votes = arena_alloc(arena, (size_t)threads, (size_t)s->classes * sizeof *s->votes);
}

static enum simclr_status check_grid(const int *ks, int k_count, const double *temperatures, int temperature_count,
                                     struct simclr_error *err)
{
    for (int k = 0; k < k_count; k++)
        for (int t = 0; t < temperature_count; t++)
            if (ks[k] < 1 || !(temperatures[t] > 0.0))
                return fail(err, SIMCLR_ERR_USAGE, "kNN: k = %d and temperature = %g must both be positive", ks[k], temperatures[t]);
    return SIMCLR_OK;
}

enum simclr_status knn_sweep(const struct engine *engine, double *accuracy, float *bank, const int *bank_labels, size_t bank_rows,
                             float *query, const int *query_labels, size_t query_rows, int d, int classes, const int *ks, int k_count,
                             const double *temperatures, int temperature_count, struct simclr_error *err)
{
    enum simclr_status status = check_grid(ks, k_count, temperatures, temperature_count, err);
    if (status)
        return status;
    size_t neighbours, queries;
    status = count_labels(&neighbours, "image of the bank", bank_labels, bank_rows, classes, err);
    if (!status)
        status = count_labels(&queries, "query image", query_labels, query_rows, classes, err);
    if (status)
        return status;

    struct vote s = {
        .bank_labels = bank_labels,
        .query_labels = query_labels,
        .classes = classes,
        .ks = ks,
        .temperatures = temperatures,
        .k_count = k_count,
        .temperature_count = temperature_count,
    };
    struct arena arena = {.allocator = engine->allocator};
    lay_out(&s, &arena, engine->threads);
    if (arena_commit(&arena))
        return fail(err, SIMCLR_ERR_MEMORY, "kNN: not enough memory for the votes of %d classes", classes);
    lay_out(&s, &arena, engine->threads);
    normalize_rows(engine, bank, bank_rows, d);
    normalize_rows(engine, query, query_rows, d);
    int most = ks[k_count - 1];
    status = neighbours_find(engine, bank, bank_labels, bank_rows, query, query_rows, d, (size_t)most < neighbours ? most : (int)neighbours,
                             take, &s, err);
    for (size_t cell = 0; cell < cells(&s); cell++) {
        size_t right = 0;
        for (int thread = 0; thread < engine->threads; thread++)
            right += s.right[(size_t)thread * cells(&s) + cell];
        accuracy[cell] = (double)right / (double)queries;
    }
    arena_free(&arena);
    return status;
}

size_t knn_scratch(const struct engine *engine, size_t query_rows, int d, int classes, int k)
{
    struct vote s = {.classes = classes, .k_count = 1, .temperature_count = 1};
    struct arena arena = {0};
    lay_out(&s, &arena, engine->threads);
    return arena.overflow ? SIZE_MAX : aligned_bytes(arena.used) + neighbours_scratch(engine, query_rows, d, k);
}

enum simclr_status knn_classify(const struct engine *engine, double *accuracy, float *bank, const int *bank_labels,
                                size_t bank_rows, float *query, const int *query_labels, size_t query_rows, int d, int classes,
                                int k, double temperature, struct simclr_error *err)
{
    return knn_sweep(engine, accuracy, bank, bank_labels, bank_rows, query, query_labels, query_rows, d, classes, &k, 1, &temperature, 1,
                     err);
}
