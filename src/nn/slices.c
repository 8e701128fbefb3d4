#include "nn/slices.h"

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

size_t slice_pixels(const struct slices *s, size_t i, size_t *first)
{
    size_t image = i / s->bands * s->images, line = i % s->bands * s->lines, pixels = (size_t)s->h * s->w;
    size_t images = (size_t)s->n - image, lines = (size_t)s->h - line;
    if (images > (size_t)s->images)
        images = s->images;
    if (lines > (size_t)s->lines)
        lines = s->lines;
    *first = image * pixels + line * s->w;
    return s->bands > 1 ? lines * s->w : images * pixels;
}
