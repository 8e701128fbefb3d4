#include "nn/slices.h"

#include "base/ints.h"

enum { SLICE_PIXELS = 128, LINES = 4 }; /* few enough for L2 with 2,048 channels; bounds the rounding error of a chain */

struct slices slices_of(int n, int h, int w)
{
    struct slices s = {.n = n, .h = h, .w = w, .images = 1, .lines = h, .bands = 1};
    if ((size_t)h * (size_t)w <= SLICE_PIXELS)
        s.images = SLICE_PIXELS / (h * w);
    else {
        int lines = (SLICE_PIXELS + w - 1) / w;
        lines = (lines + LINES - 1) / LINES * LINES;
        if (lines < h) {
            s.lines = lines;
            s.bands = (h + lines - 1) / lines;
        }
    }
    s.count = ((size_t)n + s.images - 1) / s.images * s.bands;
    return s;
}

struct slice_part slice_part(const struct slices *s, size_t i)
{
    struct slice_part p = {.image = (int)(i / s->bands) * s->images, .line = (int)(i % s->bands) * s->lines};
    p.images = min_int(s->n - p.image, s->images);
    p.lines = min_int(s->h - p.line, s->lines);
    return p;
}

size_t slice_pixels(const struct slices *s, size_t i, size_t *first)
{
    struct slice_part p = slice_part(s, i);
    *first = ((size_t)p.image * s->h + p.line) * s->w;
    return (size_t)p.images * p.lines * s->w;
}
