#include "base/ints.h"
#include "nn/conv_choice.h"
#include "nn/conv_internal.h"
#include "nn/winograd_internal.h"

/* ---- Kinds ---- */

static enum winograd kind_of(const struct conv_shape *shape, bool data)
{
    switch (conv_algorithm(shape)) {
    case CONV_WINOGRAD_3X3: return WINOGRAD_3X3;
    case CONV_WINOGRAD_STRIDED: return data ? WINOGRAD_STRIDED_DATA : WINOGRAD_STRIDED;
    default: return WINOGRAD_4X4;
    }
}

int weight_points(enum winograd kind) { return kind == WINOGRAD_3X3 ? 25 : 36; }

int weight_point(enum winograd kind, int p)
{
    if (kind < WINOGRAD_STRIDED)
        return p;
    int i = p / 9 - 3, j = p % 9 - 3; /* points 0 to 3 share one */
    return (i < 0 ? 0 : i) * 6 + (j < 0 ? 0 : j);
}

struct meeting tile_points(enum winograd kind, int q)
{
    if (kind < WINOGRAD_STRIDED)
        return (struct meeting){q, 1, 1, 0};
    int i = q / 6, j = q % 6;
    return (struct meeting){(i ? i + 3 : 0) * 9 + (j ? j + 3 : 0), i ? 1 : 4, j ? 1 : 4, 9};
}

/* ---- Tiles ---- */

struct tiling tiling_of(const struct conv_shape *s, bool data)
{
    struct tiling t = {.kind = kind_of(s, data), .h = s->ho, .w = s->wo, .cells = 4};
    switch (t.kind) {
    case WINOGRAD_4X4: t.points = 36, t.in = 6, t.step = 4, t.before = 1, t.out = 4; break;
    case WINOGRAD_3X3: t.points = 25, t.in = 5, t.step = 3, t.before = 1, t.out = 3, t.cells = 3; break;
    case WINOGRAD_STRIDED: t.points = 81, t.in = 9, t.step = 8, t.before = 1, t.out = 4; break;
    case WINOGRAD_STRIDED_DATA: t.points = 81, t.in = 5, t.step = 4, t.before = 0, t.out = 8; break;
    }
    t.source_h = data ? s->ho : s->h;
    t.source_w = data ? s->wo : s->w;
    t.target_h = data ? s->h : s->ho;
    t.target_w = data ? s->w : s->wo;
    t.cols = divide_up(t.w, t.cells);
    t.slices = slices_of(s->n, t.h, t.w);
    t.slice_tiles = t.slices.images * divide_up(t.slices.lines, t.cells) * t.cols;
    return t;
}

struct area slice_area(const struct tiling *t, size_t slice)
{
    struct slice_part p = slice_part(&t->slices, slice);
    struct area a = {.image = p.image, .images = p.images, .line = p.line, .lines = p.lines};
    a.tile_rows = divide_up(a.lines, t->cells);
    a.tiles = a.images * a.tile_rows * t->cols;
    return a;
}

int tiles_of(const struct tiling *t, size_t begin, size_t end)
{
    int tiles = 0;
    for (size_t slice = begin; slice < end; slice++)
        tiles += slice_area(t, slice).tiles;
    return tiles;
}

static int input_extent(const struct tiling *t, int tiles) { return (tiles - 1) * t->step + t->in; }

size_t tiling_copy_floats(const struct tiling *t, int c)
{
    int rows = divide_up(t->slices.lines, t->cells);
    size_t input = (size_t)input_extent(t, rows) * input_extent(t, t->cols), gradient = (size_t)rows * t->cells * t->cols * t->cells;
    return (input > gradient ? input : gradient) * c;
}

void tiling_input(const struct kernels *kernels, float *v, ptrdiff_t v_tile, ptrdiff_t panel, ptrdiff_t point, const struct tiling *t,
                  const struct area *area, const struct conv_input *input, int c, float *copy)
{
    int rows = input_extent(t, area->tile_rows), cols = input_extent(t, t->cols);
    ptrdiff_t row = (ptrdiff_t)cols * c;
    for (int image = 0; image < area->images; image++) {
        conv_read_padded(kernels, copy, input, area->image + image, t->source_h, t->source_w, c,
                         area->line / t->cells * t->step - t->before, rows, -t->before, cols);
        for (int i = 0; i < area->tile_rows; i++, v += t->cols * v_tile)
            kernels->winograd_input(t->kind, v, v_tile, panel, point, copy + i * t->step * row, row, c, t->cols, c);
    }
}

void tiling_prefetch(const struct tiling *t, size_t begin, size_t end, const float *pixels, int h, int w, int c, int part, int parts)
{
    if (begin >= end)
        return;
    /* The slices' share of the images, whatever their scale. */
    struct area first = slice_area(t, begin), last = slice_area(t, end - 1);
    size_t image = (size_t)h * w * c, line = (size_t)w * c;
    size_t from = first.image * image + (size_t)first.line * h / t->h * line;
    size_t to = (last.image + last.images - 1) * image + (size_t)(last.line + last.lines) * h / t->h * line;
    size_t count = to - from, i = from + count * part / parts, stop = from + count * (part + 1) / parts;
    for (; i < stop; i += CACHE_LINE)
        __builtin_prefetch(pixels + i, 0, 2);
}

void tiling_gradient(const struct kernels *kernels, float *m, ptrdiff_t m_tile, ptrdiff_t panel, ptrdiff_t point,
                     const struct tiling *t, const struct area *area, const float *dy, int k, float *copy)
{
    bool whole = t->h % t->cells == 0 && t->w % t->cells == 0; /* no tile reaches beyond the image */
    ptrdiff_t row = (ptrdiff_t)(whole ? t->w : t->cols * t->cells) * k;
    for (int image = area->image; image < area->image + area->images; image++) {
        const float *from = dy + ((ptrdiff_t)image * t->h + area->line) * t->w * k;
        if (!whole) {
            conv_read_padded(kernels, copy, &(struct conv_input){.x = dy}, image, t->h, t->w, k, area->line,
                             area->tile_rows * t->cells, 0, t->cols * t->cells);
            from = copy;
        }
        for (int i = 0; i < area->tile_rows; i++, m += t->cols * m_tile)
            kernels->winograd_gradient(t->kind, m, m_tile, panel, point, from + i * t->cells * row, row, k, t->cols, k);
    }
}

ptrdiff_t point_stride(size_t floats)
{
    size_t lines = (floats + CACHE_LINE - 1) / CACHE_LINE;
    return (ptrdiff_t)((lines | 1) * CACHE_LINE);
}
