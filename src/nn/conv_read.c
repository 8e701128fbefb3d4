/* How a convolution reads its input: padded, strided, and through the norm and ReLU that lie before it. */
#include "nn/conv_internal.h"

#include <string.h>

/* count pixels of an image, `at` being the first one's channel. Together where both sides are dense; a pixel at a time otherwise. */
static void read_pixels(const struct kernels *kernels, float *dst, ptrdiff_t pitch, const struct conv_input *input, size_t at,
                        size_t count, const struct conv_grid *g)
{
    size_t together = pitch == g->c && g->channels == g->c && g->step == 1 ? count : 1, channels = g->channels;
    for (size_t i = 0; i < count; i += together, dst += pitch, at += (size_t)g->step * g->c)
        if (input->mean)
            kernels->norm_apply(dst, input->x + at, NULL, input->mean + g->channel, input->scale + g->channel,
                                input->shift + g->channel, input->relu, together, g->channels);
        else
            memcpy(dst, input->x + at, together * channels * sizeof *dst);
}

void conv_read_grid(const struct kernels *kernels, float *dst, ptrdiff_t pitch, const struct conv_input *input, int image,
                    const struct conv_grid *g)
{
    size_t base = (size_t)image * g->h;
    if (g->step == 1 && g->col0 == 0 && g->cols == g->w && g->row0 >= 0 && g->row0 + g->rows <= g->h) { /* nothing outside */
        read_pixels(kernels, dst, pitch, input, (base + g->row0) * g->w * g->c + g->channel, (size_t)g->rows * g->w, g);
        return;
    }
    /* Columns left .. end of the grid are inside. */
    int left = g->col0 < 0 ? (-g->col0 + g->step - 1) / g->step : 0, end = g->w > g->col0 ? (g->w - 1 - g->col0) / g->step + 1 : 0;
    left = left < g->cols ? left : g->cols;
    end = end < left ? left : end < g->cols ? end : g->cols;
    for (int i = 0; i < g->rows; i++, dst += g->cols * pitch) {
        int row = g->row0 + i * g->step;
        if (row < 0 || row >= g->h) {
            memset(dst, 0, (size_t)g->cols * pitch * sizeof *dst);
            continue;
        }
        memset(dst, 0, (size_t)left * pitch * sizeof *dst);
        if (end > left) {
            size_t at = ((base + row) * g->w + g->col0 + (size_t)left * g->step) * g->c + g->channel;
            read_pixels(kernels, dst + left * pitch, pitch, input, at, end - left, g);
        }
        memset(dst + end * pitch, 0, (size_t)(g->cols - end) * pitch * sizeof *dst);
    }
}

void conv_read_padded(const struct kernels *kernels, float *dst, const struct conv_input *input, int image, int h, int w, int c,
                      int row0, int rows, int col0, int cols)
{
    struct conv_grid grid = {h, w, c, row0, rows, col0, cols, 1, 0, c};
    conv_read_grid(kernels, dst, c, input, image, &grid);
}

enum { LINE_BYTES = 64, RUN_BYTES = 512 };

struct conv_fetch conv_fetch_floats(const float *first, size_t count, int shares)
{
    int runs = (int)((count * sizeof *first + RUN_BYTES - 1) / RUN_BYTES); /* the last may reach beyond: a hint does no harm */
    return (struct conv_fetch){(const void *)first, RUN_BYTES, RUN_BYTES, 0, runs, runs > 0, 0, runs / shares + 1};
}

struct conv_fetch conv_fetch_grid(const struct conv_input *input, int image, int images, const struct conv_grid *g, int shares)
{
    int row0 = g->row0, end = g->row0 + (g->rows - 1) * g->step + 1;
    if (row0 < 0)
        row0 = 0;
    if (end > g->h)
        end = g->h;
    if (end <= row0)
        return (struct conv_fetch){0};
    const float *first = input->x + ((size_t)image * g->h + row0) * g->w * g->c + g->channel;
    size_t row_floats = (size_t)g->w * g->c;
    if (g->step == 1 && g->channels == g->c)
        return conv_fetch_floats(first, ((size_t)(images - 1) * g->h + end - row0) * row_floats, shares);
    /* Images of a height that the step does not divide follow each other a row off: what is fetched needlessly is a hint. */
    int rows = images * ((end - row0 + g->step - 1) / g->step), runs = (g->w + g->step - 1) / g->step;
    ptrdiff_t pixel = g->c * (ptrdiff_t)sizeof *first, channels = g->channels * (ptrdiff_t)sizeof *first;
    return (struct conv_fetch){(const void *)first, channels, pixel * g->step, (ptrdiff_t)(row_floats * sizeof *first) * g->step,
                               runs, rows, 0, (int)((int64_t)rows * runs / shares) + 1};
}

void conv_fetch_share(struct conv_fetch *f)
{
    for (int i = 0; i < f->share && f->rows; i++) {
        const char *at = f->row + f->next * f->step;
        for (ptrdiff_t line = 0; line < f->run; line += LINE_BYTES)
            __builtin_prefetch(at + line, 0, 2);
        if (++f->next == f->runs) {
            f->next = 0;
            f->row += f->row_step;
            f->rows--;
        }
    }
}
