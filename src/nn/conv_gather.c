/* The gather of conv_internal.h: forward, and backward by data. Nothing here can change a bit: how the work is cut only decides
 * which rows and panels a brgemm call gets. */
#include "base/par.h"
#include "nn/conv_internal.h"

#include <string.h>

enum {
    UNIT_FLOATS = 48 * 1024, /* of source in a unit: 192 KB, so that it stays in L2 while every panel reads it */
    UNIT_CELLS = 1024,       /* bounds the index arrays, 16 bytes a pixel, where channels are few */
    MIN_CELLS = 48,          /* fewer, and packed weights are read too often for the work they do */
};

static int min_int(int a, int b) { return a < b ? a : b; }
static int max_int(int a, int b) { return a > b ? a : b; }
static int divide_up(int a, int b) { return a / b + (a % b != 0); }

static int span(const struct conv_gather *g, int cells) { return (cells - 1) * g->step + g->window; }

/* Units as large as fit, but enough of them for every thread; several images where maps are small, bands of rows where large. */
static void choose_units(struct conv_gather *g)
{
    size_t row_floats = (size_t)(g->copy ? span(g, g->cols) : g->w) * g->c;
    size_t image_floats = row_floats * (g->copy ? span(g, g->rows) : g->h);
    int wanted = g->threads > 1 ? 4 * g->threads : 1;
    int image_cells = g->rows * g->cols;
    g->unit_images = 1;
    g->unit_rows = g->rows;
    if (image_floats <= UNIT_FLOATS && image_cells <= UNIT_CELLS) {
        int fit = min_int((int)(UNIT_FLOATS / image_floats), UNIT_CELLS / image_cells);
        int spread = max_int(divide_up(g->n, wanted), divide_up(MIN_CELLS, image_cells));
        g->unit_images = max_int(1, min_int(g->n, min_int(fit, spread)));
    } else {
        size_t halo = (size_t)(g->window - g->step > 0 ? g->window - g->step : 0) * row_floats;
        size_t room = UNIT_FLOATS > halo ? (UNIT_FLOATS - halo) / (row_floats * g->step) : 0;
        g->unit_rows = min_int(g->rows, min_int((int)room, UNIT_CELLS / g->cols));
    }
    if (g->unit_images == 1) {
        int spread = max_int(divide_up(g->rows, divide_up(wanted, g->n)), divide_up(MIN_CELLS, g->cols));
        g->unit_rows = max_int(1, min_int(g->unit_rows, spread));
    }
    g->bands = divide_up(g->rows, g->unit_rows);
    g->units = (size_t)divide_up(g->n, g->unit_images) * g->bands;
    g->panels = divide_up(g->k, g->kernels->nr);
    g->groups = 1;
    if (g->threads > 1 && g->units < 2 * (size_t)g->threads)
        g->groups = min_int(g->panels, divide_up(2 * g->threads, (int)g->units));
}

/* Rows and columns of cells, up to `cells` of them from `first`, whose pixel of class ci is inside the output. */
static int class_cells(const struct conv_gather *g, int ci, int size, int first, int cells)
{
    int all = (size - ci + g->out_step - 1) / g->out_step;
    return max_int(0, min_int(cells, all - first));
}

void conv_gather_plan(struct conv_gather *g, struct arena *arena)
{
    g->copy = g->copy || g->low != 0 || span(g, g->rows) > g->h || span(g, g->cols) > g->w;
    choose_units(g);
    int copy_rows = span(g, g->unit_rows), copy_cols = span(g, g->cols);
    g->row_stride = (ptrdiff_t)(g->copy ? copy_cols : g->w) * g->c;
    g->image_stride = g->row_stride * (g->copy ? copy_rows : g->h);
    g->copy_size = g->copy ? ((size_t)g->unit_images * copy_rows * copy_cols * g->c + 15) / 16 * 16 : 0;

    size_t weights = 0;
    for (int id = 0; id < g->out_step * g->out_step; id++) {
        struct conv_class *class = &g->classes[id];
        *class = (struct conv_class){.row = id / g->out_step, .column = id % g->out_step, .weights = weights};
        size_t rows = class_cells(g, class->row, g->ho, 0, g->unit_rows);
        size_t cols = class_cells(g, class->column, g->wo, 0, g->cols);
        size_t pixels = g->unit_images * rows * cols;
        class->a_row = arena_alloc(arena, pixels, sizeof *class->a_row);
        class->c_row = arena_alloc(arena, pixels, sizeof *class->c_row);
        class->a_tap = arena_alloc(arena, g->r, sizeof *class->a_tap);
        size_t taps = (size_t)g->axis[class->row].taps * g->axis[class->column].taps;
        weights += taps * g->c * g->panels * g->kernels->nr;
    }
    g->packed = arena_alloc(arena, weights, sizeof *g->packed);
    g->copies = arena_alloc(arena, g->copy_size * g->threads, sizeof *g->copies);
}

static void fill_indices(const struct conv_gather *g, const struct conv_class *class)
{
    const struct conv_axis *vertical = &g->axis[class->row], *horizontal = &g->axis[class->column];
    int rows = class_cells(g, class->row, g->ho, 0, g->unit_rows), cols = class_cells(g, class->column, g->wo, 0, g->cols);
    size_t p = 0;
    for (int image = 0; image < g->unit_images; image++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++, p++) {
                ptrdiff_t out_row = (ptrdiff_t)image * g->ho + i * g->out_step + class->row;
                class->a_row[p] = image * g->image_stride + (ptrdiff_t)(i * g->step + vertical->offset) * g->row_stride +
                                  (ptrdiff_t)(j * g->step + horizontal->offset) * g->c;
                class->c_row[p] = (out_row * g->wo + j * g->out_step + class->column) * g->k;
            }
    for (int t = 0; t < vertical->taps; t++)
        class->a_tap[t] = t * g->row_stride;
}

struct pack_context {
    const struct conv_gather *g;
    const float *w;
};

/* One panel of one class. */
static void pack_panel(void *ctx, size_t chunk, int thread)
{
    (void)thread;
    const struct pack_context *pack = ctx;
    const struct conv_gather *g = pack->g;
    const struct conv_class *class = &g->classes[chunk / g->panels];
    const struct conv_axis *vertical = &g->axis[class->row], *horizontal = &g->axis[class->column];
    int panel = (int)(chunk % g->panels), nr = g->kernels->nr, first = panel * nr, n = min_int(nr, g->k - first);
    float *dst = g->packed + class->weights + (size_t)panel * vertical->taps * horizontal->taps * g->c * nr;
    for (int i = 0; i < vertical->taps; i++)
        for (int j = 0; j < horizontal->taps; j++, dst += (ptrdiff_t)g->c * nr) {
            int tap = (vertical->first + i * vertical->step) * g->r + horizontal->first + j * horizontal->step;
            const float *w = pack->w + (ptrdiff_t)tap * g->c * g->k;
            if (g->transposed)
                g->kernels->pack_bt(dst, w + (ptrdiff_t)first * g->c, g->c, g->c, n);
            else
                g->kernels->pack_b(dst, w + first, g->k, g->c, n);
        }
}

struct gather_context {
    const struct conv_gather *g;
    float *out;
    bool accumulate;
    const struct conv_input *input;
};

static const float *unit_source(const struct conv_gather *g, const struct conv_input *input, int image, int images, int row, int rows,
                                int thread)
{
    if (!g->copy)
        return input->x + (ptrdiff_t)image * g->h * g->w * g->c + (ptrdiff_t)row * g->step * g->row_stride;
    float *copy = g->copies + (size_t)thread * g->copy_size;
    for (int i = 0; i < images; i++)
        conv_read_padded(g->kernels, copy + i * g->image_stride, input, image + i, g->h, g->w, g->c, row * g->step + g->low,
                         span(g, rows), g->low, span(g, g->cols));
    return copy;
}

static void run_class(const struct conv_gather *g, const struct conv_class *class, float *out, bool accumulate, const float *a,
                      int m, int panel_begin, int panel_end)
{
    int nr = g->kernels->nr, taps = g->axis[class->row].taps, depth = g->axis[class->column].taps * g->c;
    for (int panel = panel_begin; panel < panel_end; panel++) {
        int first = panel * nr, n = min_int(nr, g->k - first);
        if (taps && depth)
            g->kernels->brgemm(out + first, class->c_row, a, class->a_row, class->a_tap,
                               g->packed + class->weights + (size_t)panel * taps * depth * nr, m, n, depth, taps, accumulate);
        else if (!accumulate)
            for (int p = 0; p < m; p++)
                memset(out + first + class->c_row[p], 0, (size_t)n * sizeof *out);
    }
}

static void run_unit(void *ctx, size_t chunk, int thread)
{
    const struct gather_context *run = ctx;
    const struct conv_gather *g = run->g;
    size_t unit = chunk / g->groups;
    int group = (int)(chunk % g->groups);
    int image = (int)(unit / g->bands) * g->unit_images, images = min_int(g->unit_images, g->n - image);
    int row = (int)(unit % g->bands) * g->unit_rows, rows = min_int(g->unit_rows, g->rows - row);
    const float *a = unit_source(g, run->input, image, images, row, rows, thread);
    float *out = run->out + ((ptrdiff_t)image * g->ho + (ptrdiff_t)row * g->out_step) * g->wo * g->k;
    int panel_begin = (int)((size_t)g->panels * group / g->groups);
    int panel_end = (int)((size_t)g->panels * (group + 1) / g->groups);
    for (int id = 0; id < g->out_step * g->out_step; id++) {
        const struct conv_class *class = &g->classes[id];
        int m = images * class_cells(g, class->row, g->ho, row, rows) * class_cells(g, class->column, g->wo, 0, g->cols);
        if (m)
            run_class(g, class, out, run->accumulate, a, m, panel_begin, panel_end);
    }
}

void conv_gather_run(struct conv_gather *g, float *out, bool accumulate, const struct conv_input *input, const float *w)
{
    int classes = g->out_step * g->out_step;
    for (int id = 0; id < classes; id++)
        fill_indices(g, &g->classes[id]);
    struct pack_context pack = {g, w};
    par_for(g->threads, (size_t)classes * g->panels, pack_panel, &pack);
    struct gather_context run = {g, out, accumulate, input};
    par_for(g->threads, g->units * g->groups, run_unit, &run);
}
