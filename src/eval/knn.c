#include "eval/knn.h"

#include "base/arena.h"
#include "base/fmath.h"
#include "base/par.h"
#include "base/status.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Queries are packed as columns, a tile of them for good, and the bank streams by as rows: it is never copied. */
enum { QUERIES = 64, BANK = 64 };

struct neighbour {
    float similarity;
    uint32_t index; /* row of the bank */
};

/* What one thread works in. */
struct workspace {
    float *panels;           /* (64 / nr, d, nr) the queries, packed */
    struct neighbour *heaps; /* (64, k) */
    double *votes;           /* (classes) */
};

struct search {
    const struct engine *engine;
    const float *bank, *query; /* normalised */
    const int *bank_labels, *query_labels;
    size_t bank_rows, query_rows;
    int d, classes;
    int k;                  /* neighbours wanted: the largest of ks, cut to the bank */
    const int *ks;          /* (k_count) ascending */
    const double *temperatures;
    int k_count, temperature_count;
    size_t *right;          /* (query tiles, k_count, temperature_count) */
    struct workspace *workspaces;
};

static size_t cells(const struct search *s) { return (size_t)s->k_count * (size_t)s->temperature_count; }

/* Whether a ranks behind b: less similar, or as similar with the higher index. */
static bool behind(struct neighbour a, struct neighbour b)
{
    return a.similarity < b.similarity || (a.similarity == b.similarity && a.index > b.index);
}

/* Heap of the best so far, the last of them at the root. */
static void sift_down(struct neighbour *heap, int count, int at)
{
    struct neighbour moved = heap[at];
    for (int child = 2 * at + 1; child < count; at = child, child = 2 * at + 1) {
        if (child + 1 < count && behind(heap[child + 1], heap[child]))
            child++;
        if (!behind(heap[child], moved))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void sift_up(struct neighbour *heap, int at)
{
    struct neighbour moved = heap[at];
    while (at > 0 && behind(moved, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moved;
}

/* The similarity a newcomer must exceed. Rows come in index order, so an equal one ranks behind; NaN never enters. */
static float insert(struct neighbour *heap, int *count, int k, struct neighbour newcomer)
{
    if (*count < k) {
        heap[*count] = newcomer;
        sift_up(heap, (*count)++);
    } else {
        heap[0] = newcomer;
        sift_down(heap, k, 0);
    }
    return *count < k ? -INFINITY : heap[0].similarity;
}

/* Heap to rank order, best first. */
static void sort_heap(struct neighbour *heap, int count)
{
    for (int last = count - 1; last > 0; last--) {
        struct neighbour worst = heap[0];
        heap[0] = heap[last];
        heap[last] = worst;
        sift_down(heap, last, 0);
    }
}

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
static void vote(const struct search *s, size_t *right, const struct neighbour *ranked, int count, int label, double *votes)
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

/* similarity (rows, 64) of bank rows from `first` on to the packed queries. */
static void similarities(const struct search *s, float *similarity, const float *panels, size_t first, int rows, int queries)
{
    const struct kernels *k = s->engine->kernels;
    static const ptrdiff_t tap = 0;
    ptrdiff_t c_row[BANK], a_row[BANK];
    for (int i = 0; i < rows; i++) {
        c_row[i] = (ptrdiff_t)i * QUERIES;
        a_row[i] = (ptrdiff_t)i * s->d;
    }
    const float *a = s->bank + first * (size_t)s->d;
    for (int q = 0; q < queries; q += k->nr)
        k->brgemm(similarity + q, c_row, a, a_row, &tap, panels + (size_t)q * (size_t)s->d, rows,
                  queries - q < k->nr ? queries - q : k->nr, s->d, 1, false);
}

static void search_tile(void *ctx, size_t tile, int thread)
{
    const struct search *s = ctx;
    const struct kernels *k = s->engine->kernels;
    struct workspace *work = &s->workspaces[thread];
    size_t first = tile * QUERIES, left = s->query_rows - first;
    int queries = left < QUERIES ? (int)left : QUERIES;
    for (int q = 0; q < queries; q += k->nr)
        k->pack_bt(work->panels + (size_t)q * (size_t)s->d, s->query + (first + (size_t)q) * (size_t)s->d, s->d, s->d,
                   queries - q < k->nr ? queries - q : k->nr);
    _Alignas(64) float similarity[BANK * QUERIES];
    float bound[QUERIES];
    int found[QUERIES] = {0};
    for (int q = 0; q < QUERIES; q++)
        bound[q] = -INFINITY;
    for (size_t row = 0; row < s->bank_rows; row += BANK) {
        if (engine_stopped(s->engine))
            return;
        int rows = s->bank_rows - row < BANK ? (int)(s->bank_rows - row) : BANK;
        similarities(s, similarity, work->panels, row, rows, queries);
        for (int i = 0; i < rows; i++) {
            if (s->bank_labels[row + (size_t)i] < 0)
                continue;
            for (int q = 0; q < queries; q++)
                if (similarity[i * QUERIES + q] > bound[q])
                    bound[q] = insert(work->heaps + (size_t)q * (size_t)s->k, &found[q], s->k,
                                      (struct neighbour){similarity[i * QUERIES + q], (uint32_t)(row + (size_t)i)});
        }
    }
    for (int q = 0; q < queries; q++) {
        struct neighbour *heap = work->heaps + (size_t)q * (size_t)s->k;
        int label = s->query_labels[first + (size_t)q];
        if (label < 0)
            continue;
        sort_heap(heap, found[q]);
        vote(s, s->right + tile * cells(s), heap, found[q], label, work->votes);
    }
}

struct normalisation {
    const struct kernels *kernels;
    float *x;
    size_t rows;
    int d;
};

static void normalize_rows(void *ctx, size_t chunk, int thread)
{
    (void)thread;
    const struct normalisation *n = ctx;
    size_t first = chunk * BANK, left = n->rows - first;
    float *x = n->x + first * (size_t)n->d;
    n->kernels->l2_normalize(x, NULL, x, left < BANK ? left : BANK, n->d);
}

static void normalize(const struct engine *engine, float *x, size_t rows, int d)
{
    struct normalisation n = {engine->kernels, x, rows, d};
    par_for(engine->threads, (rows + BANK - 1) / BANK, normalize_rows, &n);
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

static void lay_out(struct search *s, struct arena *arena, int workspaces)
{
    size_t tiles = (s->query_rows + QUERIES - 1) / QUERIES;
    s->right = arena_alloc(arena, tiles, cells(s) * sizeof *s->right);
    s->workspaces = arena_alloc(arena, (size_t)workspaces, sizeof *s->workspaces);
    for (int i = 0; i < workspaces; i++) {
        struct workspace work = {
            .panels = arena_alloc(arena, (size_t)s->d * QUERIES, sizeof *work.panels),
            .heaps = arena_alloc(arena, (size_t)s->k * QUERIES, sizeof *work.heaps),
            .votes = arena_alloc(arena, (size_t)s->classes, sizeof *work.votes),
        };
        if (s->workspaces)
            s->workspaces[i] = work;
    }
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
    if (bank_rows > UINT32_MAX)
        return fail(err, SIMCLR_ERR_USAGE, "kNN: a bank of %zu images is too large; use --limit", bank_rows);
    size_t neighbours, queries;
    status = count_labels(&neighbours, "image of the bank", bank_labels, bank_rows, classes, err);
    if (!status)
        status = count_labels(&queries, "query image", query_labels, query_rows, classes, err);
    if (status)
        return status;

    int most = ks[k_count - 1];
    struct search s = {
        .engine = engine,
        .bank = bank,
        .query = query,
        .bank_labels = bank_labels,
        .query_labels = query_labels,
        .bank_rows = bank_rows,
        .query_rows = query_rows,
        .d = d,
        .classes = classes,
        .k = (size_t)most < neighbours ? most : (int)neighbours,
        .ks = ks,
        .temperatures = temperatures,
        .k_count = k_count,
        .temperature_count = temperature_count,
    };
    size_t tiles = (query_rows + QUERIES - 1) / QUERIES;
    int workspaces = (size_t)engine->threads < tiles ? engine->threads : (int)tiles;
    struct arena arena = {0};
    lay_out(&s, &arena, workspaces);
    size_t bytes = arena.used;
    if (arena_commit(&arena))
        return fail(err, SIMCLR_ERR_MEMORY, "kNN: no %zu bytes of memory for %d neighbours of %d queries at a time; lower k", bytes,
                    s.k, workspaces * QUERIES);
    lay_out(&s, &arena, workspaces);
    normalize(engine, bank, bank_rows, d);
    normalize(engine, query, query_rows, d);
    par_for(engine->threads, tiles, search_tile, &s);
    if (engine_stopped(engine))
        status = fail(err, SIMCLR_ERR_CANCELLED, "stopped while neighbours were searched");
    for (size_t cell = 0; cell < cells(&s); cell++) {
        size_t right = 0;
        for (size_t i = 0; i < tiles; i++)
            right += s.right[i * cells(&s) + cell];
        accuracy[cell] = (double)right / (double)queries;
    }
    arena_free(&arena);
    return status;
}

enum simclr_status knn_classify(const struct engine *engine, double *accuracy, float *bank, const int *bank_labels,
                                size_t bank_rows, float *query, const int *query_labels, size_t query_rows, int d, int classes,
                                int k, double temperature, struct simclr_error *err)
{
    return knn_sweep(engine, accuracy, bank, bank_labels, bank_rows, query, query_labels, query_rows, d, classes, &k, 1, &temperature, 1,
                     err);
}
