/* Forward, and by data, which is forward of dy with the weights turned and transposed: Y = A^T [sum over c of U V] A.
 *
 * A unit of work is a few slices: their tiles are transformed, each of their points is one matrix product (tiles x c) (c x k), and
 * its outputs are transformed back. V and M of a unit stay in L2 where it is a thread's own; where the weights are large a unit is
 * shared by all threads instead, so that each part of U is read from memory once for many tiles. Nothing here can change a bit: an
 * element of M is one chain over c. */
#include "base/ints.h"
#include "base/par.h"
#include "nn/conv_internal.h"
#include "nn/winograd_internal.h"

#include <stdint.h>
#include <string.h>

enum {
    OWN_POINTS = 24 * 36,     /* of a unit: two or three of a micro-kernel's tiles for each */
    SHARED_POINTS = 256 * 36,
    SHARED_WEIGHTS = 256 * 512, /* c x k from which a unit is shared: U takes 18 MB */
};

struct pass {
    const struct kernels *kernels;
    int threads;
    struct tiling tiling;
    int c, k;             /* source channels, output channels */
    bool turned;          /* by data: w is (3, 3, k, c) of this struct */
    int panels;
    bool shared;
    int unit_slices, unit_tiles;
    size_t units;
    ptrdiff_t u_point, v_tile, v_point, m_tile, m_point;
    float *u;             /* [point][panel][c][nr] */
    float *v, *m;         /* a unit: [point][tile][c], [point][tile][k]; of each thread, or shared */
    ptrdiff_t *v_row, *m_row; /* of a unit's tiles */
    float *copies, *edges;    /* per thread: a slice's input; outputs of one tile */
    float *transposed;    /* turned: w as [tap][panel][c][nr] */

    float *y;
    bool accumulate;
    const struct conv_sums *sums;
    const struct conv_input *input;
    const float *w;
    size_t unit;          /* the shared one that is worked on */
};

static struct pass plan(const struct engine *engine, const struct conv_shape *s, bool turned, struct arena *arena)
{
    struct pass g = {.kernels = engine->kernels, .threads = engine->threads, .tiling = tiling_of(s, turned),
                         .c = turned ? s->k : s->c, .k = turned ? s->c : s->k, .turned = turned};
    int nr = g.kernels->nr, slice_tiles = g.tiling.slice_tiles;
    size_t slices = g.tiling.slices.count;
    g.panels = divide_up(g.k, nr);
    g.shared = (size_t)g.c * g.k >= SHARED_WEIGHTS;
    g.unit_slices = divide_up((g.shared ? SHARED_POINTS : OWN_POINTS) / g.tiling.points, slice_tiles);
    if ((size_t)g.unit_slices > slices)
        g.unit_slices = (int)slices;
    g.unit_tiles = g.unit_slices * slice_tiles;
    g.units = (slices + g.unit_slices - 1) / g.unit_slices;
    g.u_point = point_stride((size_t)g.panels * nr * g.c);
    g.v_tile = g.c + CACHE_LINE;
    g.m_tile = g.k + CACHE_LINE;
    g.v_point = point_stride((size_t)g.unit_tiles * g.v_tile);
    g.m_point = point_stride((size_t)g.unit_tiles * g.m_tile);
    size_t buffers = g.shared ? 1 : g.threads;
    g.u = arena_alloc(arena, weight_points(g.tiling.kind) * (size_t)g.u_point, sizeof *g.u);
    g.v = arena_alloc(arena, buffers * g.tiling.points * g.v_point, sizeof *g.v);
    g.m = arena_alloc(arena, buffers * g.tiling.points * g.m_point, sizeof *g.m);
    g.v_row = arena_alloc(arena, g.unit_tiles, sizeof *g.v_row);
    g.m_row = arena_alloc(arena, g.unit_tiles, sizeof *g.m_row);
    g.copies = arena_alloc(arena, g.threads * tiling_copy_floats(&g.tiling, g.c), sizeof *g.copies);
    g.edges = arena_alloc(arena, (size_t)g.threads * g.tiling.out * g.tiling.out * g.k, sizeof *g.edges);
    if (turned)
        g.transposed = arena_alloc(arena, 9 * (size_t)g.panels * nr * g.c, sizeof *g.transposed);
    return g;
}

size_t winograd_scratch(const struct engine *engine, const struct conv_shape *shape)
{
    struct arena forward = {0}, data = {0}, weights = {0};
    plan(engine, shape, false, &forward);
    plan(engine, shape, true, &data);
    winograd_weights_measure(engine, shape, &weights);
    if (forward.overflow || data.overflow || weights.overflow)
        return SIZE_MAX;
    size_t most = forward.used > data.used ? forward.used : data.used;
    return most > weights.used ? most : weights.used;
}

/* ---- Weights ---- */

/* All panels of one source channel. */
static void transform_weights(void *ctx, size_t channel, int thread)
{
    (void)thread;
    const struct pass *g = ctx;
    int nr = g->kernels->nr;
    ptrdiff_t tap = (ptrdiff_t)g->c * g->k;
    for (int panel = 0; panel < g->panels; panel++) {
        int n = g->k - panel * nr < nr ? g->k - panel * nr : nr;
        g->kernels->winograd_weights(g->tiling.kind, g->u + ((size_t)panel * g->c + channel) * nr, g->u_point,
                                     g->w + channel * g->k + panel * nr, tap, n);
    }
}

/* One panel, whose filters lie one after the other once each tap is transposed. */
static void transform_turned_weights(void *ctx, size_t panel, int thread)
{
    (void)thread;
    const struct pass *g = ctx;
    int nr = g->kernels->nr, n = g->k - (int)panel * nr < nr ? g->k - (int)panel * nr : nr;
    size_t filters = (size_t)g->c * nr;
    ptrdiff_t tap = (ptrdiff_t)(g->panels * filters);
    for (int t = 0; t < 9; t++)
        g->kernels->pack_bt(g->transposed + t * tap + panel * filters, g->w + ((size_t)t * g->k + panel * nr) * g->c, g->c, g->c, n);
    g->kernels->winograd_weights(g->tiling.kind, g->u + panel * filters, g->u_point, g->transposed + 8 * tap + panel * filters, -tap,
                                 filters);
}

/* ---- The three steps of a unit ---- */

static size_t unit_end(const struct pass *g, size_t unit)
{
    size_t end = (unit + 1) * g->unit_slices;
    return end < g->tiling.slices.count ? end : g->tiling.slices.count;
}

static int unit_tiles(const struct pass *g, size_t unit) { return tiles_of(&g->tiling, unit * g->unit_slices, unit_end(g, unit)); }

/* Where a slice's first tile lies in its unit. */
static size_t first_tile(const struct pass *g, size_t slice)
{
    return (size_t)tiles_of(&g->tiling, slice / g->unit_slices * g->unit_slices, slice);
}

static void transform_input(const struct pass *g, size_t slice, float *v, int thread)
{
    struct area area = slice_area(&g->tiling, slice);
    tiling_input(g->kernels, v + first_tile(g, slice) * g->v_tile, g->v_tile, g->kernels->nr, g->v_point, &g->tiling, &area,
                 g->input, g->c, g->copies + thread * tiling_copy_floats(&g->tiling, g->c));
}

/* Panels begin .. end of one point. */
static void multiply(const struct pass *g, int point, const float *v, float *m, int tiles, int begin, int end)
{
    static const ptrdiff_t tap = 0;
    int nr = g->kernels->nr;
    const float *u = g->u + weight_point(g->tiling.kind, point) * g->u_point;
    for (int panel = begin; panel < end; panel++)
        g->kernels->brgemm(m + point * g->m_point + panel * nr, g->m_row, v + point * g->v_point, g->v_row, &tap,
                           u + (size_t)panel * g->c * nr, tiles, g->k - panel * nr < nr ? g->k - panel * nr : nr, g->c, 1, BRGEMM_WRITE);
}

/* A tile of which only rows x cols lie inside the image. */
static void output_edge(const struct pass *g, float *y, const float *m, int rows, int cols, float *edge)
{
    ptrdiff_t k = g->k, row = g->tiling.target_w * k, edge_row = g->tiling.out * k;
    g->kernels->winograd_output(g->tiling.kind, edge, edge_row, k, false, m, g->m_point, g->k);
    for (int i = 0; i < rows; i++)
        if (g->accumulate)
            g->kernels->add(y + i * row, edge + i * edge_row, cols * k);
        else
            memcpy(y + i * row, edge + i * edge_row, cols * k * sizeof *y);
}

static void transform_output(const struct pass *g, size_t slice, const float *m, int thread)
{
    const struct tiling *t = &g->tiling;
    struct area area = slice_area(t, slice);
    ptrdiff_t k = g->k, row = t->target_w * k;
    m += first_tile(g, slice) * g->m_tile;
    for (int tile = 0; tile < area.tiles; tile++, m += g->m_tile) {
        int image = area.image + tile / (area.tile_rows * t->cols);
        int i = (area.line / t->cells + tile / t->cols % area.tile_rows) * t->out, j = tile % t->cols * t->out;
        int rows = min_int(t->out, t->target_h - i), cols = min_int(t->out, t->target_w - j);
        float *y = g->y + ((ptrdiff_t)image * t->target_h + i) * row + j * k;
        if (rows == t->out && cols == t->out)
            g->kernels->winograd_output(t->kind, y, row, k, g->accumulate, m, g->m_point, g->k);
        else
            output_edge(g, y, m, rows, cols, g->edges + thread * t->out * t->out * k);
    }
    if (g->sums)
        conv_sum_slice(g->kernels, g->sums, g->y, &t->slices, slice, g->k);
}

/* ---- Units of one thread, or of all ---- */

/* Part of what the next unit will read, and of what this one will write. */
static void prefetch(const struct pass *g, size_t unit, size_t next, int part, int parts)
{
    const struct tiling *t = &g->tiling;
    if (next < g->units)
        tiling_prefetch(t, next * g->unit_slices, unit_end(g, next), g->input->x, t->source_h, t->source_w, g->c, part, parts);
    tiling_prefetch(t, unit * g->unit_slices, unit_end(g, unit), g->y, t->target_h, t->target_w, g->k, part, parts);
}

static void run_own_unit(void *ctx, size_t unit, int thread)
{
    const struct pass *g = ctx;
    float *v = g->v + (size_t)thread * g->tiling.points * g->v_point, *m = g->m + (size_t)thread * g->tiling.points * g->m_point;
    int tiles = unit_tiles(g, unit);
    for (size_t slice = unit * g->unit_slices; slice < unit_end(g, unit); slice++)
        transform_input(g, slice, v, thread);
    for (int point = 0; point < g->tiling.points; point++) {
        prefetch(g, unit, unit + g->threads, point, g->tiling.points); /* most likely this thread's next */
        multiply(g, point, v, m, tiles, 0, g->panels);
    }
    for (size_t slice = unit * g->unit_slices; slice < unit_end(g, unit); slice++)
        transform_output(g, slice, m, thread);
}

static void shared_input(void *ctx, size_t slice, int thread)
{
    const struct pass *g = ctx;
    transform_input(g, g->unit * g->unit_slices + slice, g->v, thread);
}

enum { PANEL_GROUPS = 4 }; /* tasks of a point */

static void shared_multiply(void *ctx, size_t task, int thread)
{
    (void)thread;
    const struct pass *g = ctx;
    int group = (int)(task % PANEL_GROUPS);
    prefetch(g, g->unit, g->unit + 1, (int)task, g->tiling.points * PANEL_GROUPS);
    multiply(g, (int)(task / PANEL_GROUPS), g->v, g->m, unit_tiles(g, g->unit), g->panels * group / PANEL_GROUPS,
             g->panels * (group + 1) / PANEL_GROUPS);
}

static void shared_output(void *ctx, size_t slice, int thread)
{
    const struct pass *g = ctx;
    transform_output(g, g->unit * g->unit_slices + slice, g->m, thread);
}

static void run(struct pass *g)
{
    for (int i = 0; i < g->unit_tiles; i++) {
        g->v_row[i] = i * g->v_tile;
        g->m_row[i] = i * g->m_tile;
    }
    if (g->turned)
        par_for(g->threads, g->panels, transform_turned_weights, g);
    else
        par_for(g->threads, g->c, transform_weights, g);
    if (!g->shared) {
        par_for(g->threads, g->units, run_own_unit, g);
        return;
    }
    for (g->unit = 0; g->unit < g->units; g->unit++) {
        size_t slices = unit_end(g, g->unit) - g->unit * g->unit_slices;
        par_for(g->threads, slices, shared_input, g);
        par_for(g->threads, (size_t)g->tiling.points * PANEL_GROUPS, shared_multiply, g);
        par_for(g->threads, slices, shared_output, g);
    }
}

void winograd_forward(const struct engine *engine, float *y, const struct conv_sums *sums, const struct conv_input *input,
                      const float *w, const struct conv_shape *shape, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct pass g = plan(engine, shape, false, &arena);
    g.y = y;
    g.sums = sums;
    g.input = input;
    g.w = w;
    run(&g);
}

void winograd_backward_data(const struct engine *engine, float *dx, bool accumulate, const float *dy, const float *w,
                            const struct conv_shape *shape, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct pass g = plan(engine, shape, true, &arena);
    g.y = dx;
    g.accumulate = accumulate;
    g.input = &(struct conv_input){.x = dy};
    g.w = w;
    run(&g);
}
