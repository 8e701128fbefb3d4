#include "nn/conv_internal.h"
#include "nn/winograd_internal.h"

static int divide_up(int a, int b) { return a / b + (a % b != 0); }

struct tiling tiling_of(int n, int h, int w)
{
    struct tiling t = {.h = h, .w = w, .cols = divide_up(w, TILE), .slices = slices_of(n, h, w)};
    t.slice_tiles = t.slices.images * divide_up(t.slices.lines, TILE) * t.cols;
    return t;
}

struct area slice_area(const struct tiling *t, size_t slice)
{
    const struct slices *s = &t->slices;
    struct area a = {.image = (int)(slice / s->bands) * s->images, .line = (int)(slice % s->bands) * s->lines};
    a.images = s->n - a.image < s->images ? s->n - a.image : s->images;
    a.lines = t->h - a.line < s->lines ? t->h - a.line : s->lines;
    a.tile_rows = divide_up(a.lines, TILE);
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

size_t tiling_copy_floats(const struct tiling *t, int c)
{
    size_t lines = (size_t)divide_up(t->slices.lines, TILE) * TILE + 2;
    return lines * (t->cols * TILE + 2) * c;
}

void tiling_input(const struct kernels *kernels, float *v, ptrdiff_t v_tile, ptrdiff_t panel, ptrdiff_t point, const struct tiling *t,
                  const struct area *area, const struct conv_input *input, int c, float *copy)
{
    int cols = t->cols * TILE + 2;
    ptrdiff_t row = (ptrdiff_t)cols * c;
    for (int image = 0; image < area->images; image++) {
        conv_read_padded(kernels, copy, input, area->image + image, t->h, t->w, c, area->line - 1, area->tile_rows * TILE + 2, -1,
                         cols);
        for (int i = 0; i < area->tile_rows; i++, v += t->cols * v_tile)
            kernels->winograd_input(v, v_tile, panel, point, copy + i * TILE * row, row, c, t->cols, c);
    }
}

void tiling_prefetch(const struct tiling *t, size_t slice, const float *pixels, int c, int part, int parts)
{
    size_t first, count = slice_pixels(&t->slices, slice, &first) * c, begin = count * part / parts, end = count * (part + 1) / parts;
    for (size_t i = begin / CACHE_LINE * CACHE_LINE; i < end; i += CACHE_LINE)
        __builtin_prefetch(pixels + first * c + i, 0, 2);
}

void tiling_gradient(const struct kernels *kernels, float *m, ptrdiff_t m_tile, ptrdiff_t panel, ptrdiff_t point,
                     const struct tiling *t, const struct area *area, const float *dy, int k, float *copy)
{
    bool whole = t->h % TILE == 0 && t->w % TILE == 0; /* no tile reaches beyond the image */
    ptrdiff_t row = (ptrdiff_t)(whole ? t->w : t->cols * TILE) * k;
    for (int image = area->image; image < area->image + area->images; image++) {
        const float *from = dy + ((ptrdiff_t)image * t->h + area->line) * t->w * k;
        if (!whole) {
            conv_read_padded(kernels, copy, &(struct conv_input){.x = dy}, image, t->h, t->w, k, area->line, area->tile_rows * TILE, 0,
                             t->cols * TILE);
            from = copy;
        }
        for (int i = 0; i < area->tile_rows; i++, m += t->cols * m_tile)
            kernels->winograd_gradient(m, m_tile, panel, point, from + i * TILE * row, row, k, t->cols, k);
    }
}

ptrdiff_t point_stride(size_t floats)
{
    size_t lines = (floats + CACHE_LINE - 1) / CACHE_LINE;
    return (ptrdiff_t)((lines | 1) * CACHE_LINE);
}
