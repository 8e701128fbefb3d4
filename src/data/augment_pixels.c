/* A view's pixels: cropped and resized into columns (simd/kernels.h) that stay in L1 or L2, color in place, then blurred or turned
 * into the network's input. */
#include "base/arena.h"
#include "base/fmath.h"
#include "data/augment.h"

#include <math.h>

struct scratch {
    float *columns;       /* (size, c, size): the view, column by column */
    float *rows, *strip;  /* (RESIZE_STRIP, w, c) and (w, c, RESIZE_STRIP): filtered vertically */
    float *window;        /* (taps): weights of one row */
    int32_t *from, *taps; /* (size): which columns of the source each column reads */
    float *weights;       /* (size, taps) */
    float *blur_panel;    /* (size + 2 radius, BLUR_PANEL) */
    float *blur_weights;  /* (radius + 1) */
};

/* One axis of a resize: `count` outputs are wanted, from `first` on, of those that `in` inputs would give in all. */
struct axis {
    int in, count;
    int64_t first;
    double scale;     /* inputs an output */
    double support;   /* the triangle reaches one input to each side, or one output's width when shrinking */
    double sharpness; /* 1 / support */
    int taps;         /* the most inputs that any output reads */
};

static struct axis axis_of(int in, int64_t out, int64_t first, int count)
{
    struct axis a = {.in = in, .count = count, .first = first, .scale = (double)in / (double)out};
    a.support = a.scale > 1.0 ? a.scale : 1.0;
    a.sharpness = 1.0 / a.support;
    a.taps = (int)(2.0 * a.support);
    a.taps += a.taps < 2.0 * a.support;
    a.taps = a.taps < in ? a.taps : in;
    return a;
}

static struct scratch carve(struct arena *arena, int max_h, int max_w, int c, int size)
{
    size_t side = (size_t)size, width = (size_t)max_w * (size_t)c;
    size_t taps = (size_t)axis_of(max_h > max_w ? max_h : max_w, size, 0, size).taps;
    return (struct scratch){
        .columns = arena_alloc(arena, (size_t)c * side * side, sizeof(float)),
        .rows = arena_alloc(arena, RESIZE_STRIP * width, sizeof(float)),
        .strip = arena_alloc(arena, RESIZE_STRIP * width, sizeof(float)),
        .window = arena_alloc(arena, taps, sizeof(float)),
        .from = arena_alloc(arena, side, sizeof(int32_t)),
        .taps = arena_alloc(arena, side, sizeof(int32_t)),
        .weights = arena_alloc(arena, side * taps, sizeof(float)),
        .blur_panel = arena_alloc(arena, BLUR_PANEL * (side + 2 * (side - 1)), sizeof(float)),
        .blur_weights = arena_alloc(arena, side, sizeof(float)),
    };
}

size_t augment_scratch(int max_h, int max_w, int channels, int size)
{
    struct arena measure = {0};
    carve(&measure, max_h, max_w, channels, size);
    return measure.overflow ? SIZE_MAX : measure.used;
}

/* Weights of output i of an axis, as PIL and torch's antialiased bilinear define them; they add up to `sum`. Returns how many, the
 * first being for input *first. */
static int filter_window(float *weights, int *first, const struct axis *a, int i, double sum)
{
    double centre = ((double)(a->first + i) + 0.5) * a->scale, total = 0.0;
    int low = (int)(centre - a->support + 0.5), high = (int)(centre + a->support + 0.5);
    low = low > 0 ? low : 0;
    high = high < a->in ? high : a->in;
    int taps = high - low < a->taps ? high - low : a->taps;
    double distance = (low - centre + 0.5) * a->sharpness;
    for (int t = 0; t < taps; t++) {
        double weight = 1.0 - fabs(distance);
        weight = weight > 0.0 ? weight : 0.0;
        weights[t] = (float)weight;
        total += weight;
        distance += a->sharpness;
    }
    float normalize = (float)(sum / total);
    for (int t = 0; t < taps; t++)
        weights[t] *= normalize;
    *first = low;
    return taps;
}

/* Which columns of the source the outputs read, with which weights; a flip is the same table backwards. */
static void column_tables(const struct scratch *s, const struct axis *a, int flip, double sum)
{
    for (int i = 0; i < a->count; i++) {
        int x = flip ? a->count - 1 - i : i;
        s->taps[x] = filter_window(s->weights + (ptrdiff_t)x * a->taps, &s->from[x], a, i, sum);
    }
}

/* s->columns (columns->count, c, rows->count) = the box of image at (top, left) that the axes describe, resized. A strip of rows at a
 * time, vertically first: that pass runs over interleaved bytes as they lie, and only a strip of the source's width is ever kept. The
 * bytes' 255 is divided out with the horizontal weights; of every byte, which rounds once, where nothing is resized. */
static void resize(const struct kernels *k, const struct scratch *s, const struct image *image, int top, int left,
                   const struct axis *rows, const struct axis *columns, int flip)
{
    int c = image->c, height = rows->count, width = columns->in * c;
    ptrdiff_t ld = (ptrdiff_t)image->w * c;
    bool unchanged = rows->scale == 1.0 && columns->scale == 1.0;
    const uint8_t *corner = image->pixels + top * ld + (ptrdiff_t)left * c;
    column_tables(s, columns, flip, unchanged ? 1.0 : 1.0 / 255.0);
    for (int y0 = 0; y0 < height; y0 += RESIZE_STRIP) {
        int count = height - y0 < RESIZE_STRIP ? height - y0 : RESIZE_STRIP;
        for (int i = 0; i < count; i++) {
            int first, n = filter_window(s->window, &first, rows, y0 + i, 1.0);
            float *row = s->rows + (ptrdiff_t)i * width;
            if (unchanged)
                k->u8_to_f32(row, corner + first * ld, (size_t)width);
            else
                k->resize_rows(row, corner + first * ld, ld, width, s->window, n);
        }
        k->transpose(s->strip, RESIZE_STRIP, s->rows, width, count, width);
        k->resize_columns(s->columns + y0, height, s->strip, c, columns->count, count, s->from, s->taps, s->weights, columns->taps);
    }
}

/* Factors that change nothing are left out, so that a strength of 0 is exactly no operation. */
static void jitter(const struct kernels *k, float *x, int c, int size, const struct augment_params *p)
{
    size_t count = (size_t)c * (size_t)size * (size_t)size;
    for (int i = 0; i < 4; i++)
        switch (p->order[i]) {
        case 0:
            if (p->brightness != 1.0f)
                k->brightness(x, p->brightness, count);
            break;
        case 1:
            if (p->contrast != 1.0f)
                k->contrast(x, k->grey_mean(x, size, c, size), p->contrast, count);
            break;
        case 2:
            if (p->saturation != 1.0f && c == 3)
                k->saturation(x, p->saturation, size, size);
            break;
        default:
            if (p->hue != 0.0f && c == 3)
                k->hue(x, p->hue, size, size);
        }
}

/* weights[k] of the pixels k away, e^(-k^2 / 2 sigma^2), normalized. Returns the radius: half the kernel, or less where a reflected
 * border or sigma limit it. From the first weight below 2^-27 on, all together are less than half a unit in the last place of 1. */
static int gaussian(float *weights, float sigma, int kernel, int size)
{
    int most = (kernel > 0 ? kernel : size / 10) / 2, radius = 0;
    double total = 1.0, exponent = -0.5 / ((double)sigma * (double)sigma);
    most = most < size ? most : size - 1;
    weights[0] = 1.0f;
    for (int k = 1; k <= most; k++) {
        double weight = fm_exp((double)k * k * exponent);
        if (weight < 0x1p-27)
            break;
        weights[k] = (float)weight;
        total += 2.0 * (double)weights[k];
        radius = k;
    }
    for (int k = 0; k <= radius; k++)
        weights[k] = (float)((double)weights[k] / total);
    return radius;
}

void augment_apply(const struct kernels *k, float *out, const struct image *image, const struct augment_params *params,
                   const struct augment_config *config, int size, void *scratch)
{
    int c = image->c;
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct scratch s = carve(&arena, params->height, params->width, c, size);
    struct axis rows = axis_of(params->height, size, 0, size), columns = axis_of(params->width, size, 0, size);
    resize(k, &s, image, params->top, params->left, &rows, &columns, params->flip);
    if (params->jitter)
        jitter(k, s.columns, c, size, params);
    if (params->grey && c == 3)
        k->saturation(s.columns, 0.0f, size, size);
    int radius = params->blur && params->sigma > 0.0f ? gaussian(s.blur_weights, params->sigma, config->blur_kernel, size) : 0;
    if (radius > 0) {
        k->blur(s.columns, s.columns, s.blur_panel, s.blur_weights, radius, size, 1, c * size, false);
        k->blur(out, s.columns, s.blur_panel, s.blur_weights, radius, size, 1, size * c, true);
    } else {
        k->transpose(out, (ptrdiff_t)size * c, s.columns, size, size * c, size);
    }
    if (params->solarize)
        k->solarize(out, config->solarize_threshold, (size_t)c * (size_t)size * (size_t)size);
}

struct blur_scratch {
    float *columns; /* (w, c, h) */
    float *panel, *weights;
};

static struct blur_scratch carve_blur(struct arena *arena, int h, int w, int c)
{
    size_t longer = (size_t)(h > w ? h : w), channels = (size_t)c;
    return (struct blur_scratch){
        .columns = arena_alloc(arena, (size_t)h * (size_t)w * channels, sizeof(float)),
        .panel = arena_alloc(arena, BLUR_PANEL * 3 * longer * channels, sizeof(float)),
        .weights = arena_alloc(arena, longer, sizeof(float)),
    };
}

size_t augment_blur_scratch(int h, int w, int c)
{
    struct arena measure = {0};
    carve_blur(&measure, h, w, c);
    return measure.overflow ? SIZE_MAX : measure.used;
}

void augment_blur(const struct kernels *k, float *out, const float *in, int h, int w, int c, float sigma, int kernel, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct blur_scratch s = carve_blur(&arena, h, w, c);
    int radius = gaussian(s.weights, sigma, kernel, h < w ? h : w);
    k->blur(s.columns, in, s.panel, s.weights, radius, w, c, h, true);
    k->blur(out, s.columns, s.panel, s.weights, radius, h, 1, w * c, true);
}

/* torchvision's CenterCrop rounds halves to even. */
static int64_t centre_offset(int64_t surplus)
{
    int64_t half = surplus / 2;
    return surplus % 2 && half % 2 ? half + 1 : half;
}

void augment_clean(const struct kernels *k, float *out, const struct image *image, int size, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct scratch s = carve(&arena, image->h, image->w, image->c, size);
    int shorter = image->h < image->w ? image->h : image->w;
    int64_t h = (int64_t)size * image->h / shorter, w = (int64_t)size * image->w / shorter;
    struct axis rows = axis_of(image->h, h, centre_offset(h - size), size);
    struct axis columns = axis_of(image->w, w, centre_offset(w - size), size);
    resize(k, &s, image, 0, 0, &rows, &columns, 0);
    k->transpose(out, (ptrdiff_t)size * image->c, s.columns, size, size * image->c, size);
}

/* Rounded up, so that no output reads more inputs than scratch has room for. */
static int fitted(int side, int longer, int size)
{
    return (int)(((int64_t)size * side + longer - 1) / longer);
}

void augment_whole(const struct kernels *k, float *out, int *h, int *w, const struct image *image, int size, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct scratch s = carve(&arena, image->h, image->w, image->c, size);
    int longer = image->h > image->w ? image->h : image->w;
    *h = fitted(image->h, longer, size);
    *w = fitted(image->w, longer, size);
    struct axis rows = axis_of(image->h, *h, 0, *h), columns = axis_of(image->w, *w, 0, *w);
    resize(k, &s, image, 0, 0, &rows, &columns, 0);
    k->transpose(out, (ptrdiff_t)*w * image->c, s.columns, *h, *w * image->c, *h);
}

void augment_round(uint8_t *bytes, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(int)(x[i] * 255.0f + 0.5f);
}
