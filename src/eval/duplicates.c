#include "eval/duplicates.h"

#include "base/arena.h"
#include "base/par.h"
#include "base/status.h"
#include "eval/similarity.h"

#include <stdbool.h>
#include <stdlib.h>

enum { TILE = SIMILARITY_TILE };

/* Each thread joins what it finds in a forest of its own (rows that point towards a lower one of their group), which are joined at the
 * end: the groups depend on no order. */
struct search {
    const struct engine *engine;
    const float *x;
    size_t rows;
    int d;
    float threshold;
    float *panels;    /* (threads, 64, d) */
    uint32_t *forest; /* (threads, rows) */
};

static uint32_t root_of(uint32_t *forest, uint32_t row)
{
    while (forest[row] != row) {
        forest[row] = forest[forest[row]]; /* halves the way of all that come later */
        row = forest[row];
    }
    return row;
}

static void join(uint32_t *forest, uint32_t a, uint32_t b)
{
    a = root_of(forest, a);
    b = root_of(forest, b);
    if (a < b)
        forest[b] = a;
    else
        forest[a] = b;
}

/* The rows of a tile against those of its own and of all later ones. */
static void search_tile(void *ctx, size_t tile, int thread)
{
    const struct search *s = ctx;
    size_t first = tile * TILE, d = (size_t)s->d;
    int count = s->rows - first < TILE ? (int)(s->rows - first) : TILE;
    float *panels = s->panels + (size_t)thread * TILE * d;
    uint32_t *forest = s->forest + (size_t)thread * s->rows;
    _Alignas(64) float similarity[TILE * TILE];
    similarity_pack(s->engine->kernels, panels, s->x + first * d, count, s->d);
    for (size_t row = first; row < s->rows; row += TILE) {
        if (engine_stopped(s->engine))
            return;
        int rows = s->rows - row < TILE ? (int)(s->rows - row) : TILE;
        similarity_tile(s->engine->kernels, similarity, s->x + row * d, rows, panels, count, s->d);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < count; j++)
                if (similarity[i * TILE + j] >= s->threshold && row + (size_t)i > first + (size_t)j)
                    join(forest, (uint32_t)(row + (size_t)i), (uint32_t)(first + (size_t)j));
    }
}

enum simclr_status duplicates_find(const struct engine *engine, uint32_t *group, const float *x, size_t rows, int d, float threshold,
                                   struct simclr_error *err)
{
    if (rows > UINT32_MAX)
        return fail(err, SIMCLR_ERR_USAGE, "%zu images are too many; use --limit", rows);
    size_t threads = (size_t)engine->threads, tiles = (rows + TILE - 1) / TILE;
    struct search s = {.engine = engine, .x = x, .rows = rows, .d = d, .threshold = threshold,
                       .panels = alloc_aligned(threads * TILE, (size_t)d * sizeof *s.panels),
                       .forest = alloc_aligned(threads, (rows + 1) * sizeof *s.forest)};
    enum simclr_status status = SIMCLR_OK;
    if (!s.panels || !s.forest)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory to compare %zu images; use fewer --threads", rows);
    for (size_t i = 0; i < threads * rows && status == SIMCLR_OK; i++)
        s.forest[i] = (uint32_t)(i % rows);
    if (status == SIMCLR_OK)
        par_for(engine->threads, tiles, search_tile, &s);
    if (status == SIMCLR_OK && engine_stopped(engine))
        status = fail(err, SIMCLR_ERR_CANCELLED, "stopped while duplicates were searched");
    for (size_t thread = 1; thread < threads && status == SIMCLR_OK; thread++)
        for (uint32_t i = 0; i < rows; i++)
            join(s.forest, i, s.forest[thread * rows + i]);
    for (uint32_t i = 0; i < rows && status == SIMCLR_OK; i++)
        group[i] = root_of(s.forest, i);
    free(s.panels);
    free(s.forest);
    return status;
}
