#include "eval/neighbours.h"

#include "base/arena.h"
#include "base/par.h"
#include "base/status.h"
#include "eval/similarity.h"

#include <math.h>
#include <stdbool.h>

/* Queries are packed as columns, a tile of them for good, and the bank streams by as rows: it is never copied. */
enum { TILE = SIMILARITY_TILE };

/* What one thread works in. */
struct workspace {
    float *panels;           /* (64 / nr, d, nr) the queries, packed */
    struct neighbour *heaps; /* (64, k) */
};

struct search {
    const struct engine *engine;
    const float *bank, *query; /* normalised */
    const int *bank_labels;
    size_t bank_rows, query_rows;
    int d, k;
    neighbours_fn *take;
    void *ctx;
    struct workspace *workspaces;
};

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

static void search_tile(void *ctx, size_t tile, int thread)
{
    const struct search *s = ctx;
    struct workspace *work = &s->workspaces[thread];
    size_t first = tile * TILE, left = s->query_rows - first, d = (size_t)s->d;
    int queries = left < TILE ? (int)left : TILE;
    similarity_pack(s->engine->kernels, work->panels, s->query + first * d, queries, s->d);
    _Alignas(64) float similarity[TILE * TILE];
    float bound[TILE];
    int found[TILE] = {0};
    for (int q = 0; q < TILE; q++)
        bound[q] = -INFINITY;
    for (size_t row = 0; row < s->bank_rows; row += TILE) {
        if (engine_stopped(s->engine))
            return;
        int rows = s->bank_rows - row < TILE ? (int)(s->bank_rows - row) : TILE;
        similarity_tile(s->engine->kernels, similarity, s->bank + row * d, rows, work->panels, queries, s->d);
        for (int i = 0; i < rows; i++) {
            if (s->bank_labels && s->bank_labels[row + (size_t)i] < 0)
                continue;
            for (int q = 0; q < queries; q++)
                if (similarity[i * TILE + q] > bound[q])
                    bound[q] = insert(work->heaps + (size_t)q * (size_t)s->k, &found[q], s->k,
                                      (struct neighbour){similarity[i * TILE + q], (uint32_t)(row + (size_t)i)});
        }
    }
    for (int q = 0; q < queries; q++) {
        struct neighbour *heap = work->heaps + (size_t)q * (size_t)s->k;
        sort_heap(heap, found[q]);
        s->take(s->ctx, first + (size_t)q, heap, found[q], thread);
    }
}

static size_t tiles_of(size_t query_rows)
{
    return (query_rows + TILE - 1) / TILE;
}

static int workspaces_of(const struct search *s)
{
    size_t tiles = tiles_of(s->query_rows);
    return (size_t)s->engine->threads < tiles ? s->engine->threads : (int)tiles;
}

static void lay_out(struct search *s, struct arena *arena)
{
    int workspaces = workspaces_of(s);
    s->workspaces = arena_alloc(arena, (size_t)workspaces, sizeof *s->workspaces);
    for (int i = 0; i < workspaces; i++) {
        struct workspace work = {
            .panels = arena_alloc(arena, (size_t)s->d * TILE, sizeof *work.panels),
            .heaps = arena_alloc(arena, (size_t)s->k * TILE, sizeof *work.heaps),
        };
        if (s->workspaces)
            s->workspaces[i] = work;
    }
}

size_t neighbours_scratch(const struct engine *engine, size_t query_rows, int d, int k)
{
    struct search s = {.engine = engine, .query_rows = query_rows, .d = d, .k = k};
    struct arena arena = {0};
    lay_out(&s, &arena);
    return arena.overflow ? SIZE_MAX : aligned_bytes(arena.used);
}

enum simclr_status neighbours_find(const struct engine *engine, const float *bank, const int *bank_labels, size_t bank_rows,
                                   const float *query, size_t query_rows, int d, int k, neighbours_fn *take, void *ctx,
                                   struct simclr_error *err)
{
    if (bank_rows > UINT32_MAX)
        return fail(err, SIMCLR_ERR_USAGE, "a bank of %zu images is too large; use --limit", bank_rows);
    struct search s = {.engine = engine, .bank = bank, .query = query, .bank_labels = bank_labels, .bank_rows = bank_rows,
                       .query_rows = query_rows, .d = d, .k = (size_t)k < bank_rows ? k : (int)bank_rows, .take = take, .ctx = ctx};
    struct arena arena = {.allocator = engine->allocator};
    lay_out(&s, &arena);
    size_t bytes = arena.used;
    if (arena_commit(&arena))
        return fail(err, SIMCLR_ERR_MEMORY, "no %zu bytes of memory for %d neighbours of %d queries at a time; lower k", bytes, s.k,
                    workspaces_of(&s) * TILE);
    lay_out(&s, &arena);
    par_for(engine->threads, tiles_of(query_rows), search_tile, &s);
    arena_free(&arena);
    return engine_stopped(engine) ? fail(err, SIMCLR_ERR_CANCELLED, "stopped while neighbours were searched") : SIMCLR_OK;
}
