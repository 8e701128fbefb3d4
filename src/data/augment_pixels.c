/* A view's pixels: crop and resize into planes that stay in L1 or L2, color and blur in place, then interleaved. */
#include "base/arena.h"
#include "base/fmath.h"
#include "data/augment.h"

enum { PAD = 16 }; /* columns of the resize tables are padded to this (simd/kernels.h) */

struct scratch {
    float *planes, *blurred; /* (c, size, size) */
    float *row;              /* (w, c): one row of the source, filtered vertically */
    float *window;           /* (taps): weights of one output */
    int32_t *at;             /* (padded size) */
    float *columns;          /* (taps, padded size) */
    float *blur_rows;        /* (BLUR_STRIP, size + taps - 1) */
    float *blur_weights;     /* (taps) */
};

/* One axis of a resize: `count` outputs are wanted, from `first` on, of those that `in` inputs would give in all. */
struct axis {
    int in, count;
    int64_t first;
    double scale;   /* inputs an output */
    double support; /* the triangle reaches one input to each side, or one output's width when shrinking */
    int taps;       /* the most inputs that any output reads */
};

static struct axis axis_of(int in, int64_t out, int64_t first, int count)
{
    struct axis a = {.in = in, .count = count, .first = first, .scale = (double)in / (double)out};
    a.support = a.scale > 1.0 ? a.scale : 1.0;
    a.taps = (int)(2.0 * a.support);
    a.taps += a.taps < 2.0 * a.support;
    a.taps = a.taps < in ? a.taps : in;
    return a;
}

static int padded(int size)
{
    return (size + PAD - 1) / PAD * PAD;
}

static struct scratch carve(struct arena *arena, int max_h, int max_w, int c, int size)
{
    size_t side = (size_t)size, plane = side * side, taps = (size_t)axis_of(max_h > max_w ? max_h : max_w, size, 0, size).taps;
    return (struct scratch){
        .planes = arena_alloc(arena, (size_t)c * plane, sizeof(float)),
        .blurred = arena_alloc(arena, (size_t)c * plane, sizeof(float)),
        .row = arena_alloc(arena, (size_t)max_w * (size_t)c, sizeof(float)),
        .window = arena_alloc(arena, taps, sizeof(float)),
        .at = arena_alloc(arena, (size_t)padded(size), sizeof(int32_t)),
        .columns = arena_alloc(arena, taps * (size_t)padded(size), sizeof(float)),
        .blur_rows = arena_alloc(arena, BLUR_STRIP * (side + 2 * side - 2), sizeof(float)),
        .blur_weights = arena_alloc(arena, 2 * side - 1, sizeof(float)),
    };
}

size_t augment_scratch(int max_h, int max_w, int channels, int size)
{
    struct arena measure = {0};
    carve(&measure, max_h, max_w, channels, size);
    return measure.overflow ? SIZE_MAX : measure.used;
}

/* Weights of output i of an axis, as PIL and torch's antialiased bilinear define them; they add up to one. Returns how many, the
 * first being for input *first. */
static int filter_window(float *weights, int *first, const struct axis *a, int i)
{
    double centre = ((double)(a->first + i) + 0.5) * a->scale, sharpness = 1.0 / a->support, total = 0.0;
    int low = (int)(centre - a->support + 0.5), high = (int)(centre + a->support + 0.5);
    low = low > 0 ? low : 0;
    high = high < a->in ? high : a->in;
    int taps = high - low < a->taps ? high - low : a->taps;
    for (int t = 0; t < taps; t++) {
        double distance = (low + t - centre + 0.5) * sharpness;
        double weight = distance < 0.0 ? 1.0 + distance : 1.0 - distance;
        weight = weight > 0.0 ? weight : 0.0;
        weights[t] = (float)weight;
        total += weight;
    }
    float normalize = (float)(1.0 / total);
    for (int t = 0; t < taps; t++)
        weights[t] *= normalize;
    *first = low;
    return taps;
}

/* Tables for resize_columns. A window at the right edge starts further left with weights of zero, so that no tap needs a bound;
 * a flip is the same table backwards; the bytes' 255 is divided out here. */
static int column_tables(const struct scratch *s, const struct axis *a, int c, int flip)
{
    int taps = a->taps, ld = padded(a->count);
    for (int i = 0; i < taps * ld; i++)
        s->columns[i] = 0.0f;
    for (int x = a->count; x < ld; x++)
        s->at[x] = 0;
    for (int i = 0; i < a->count; i++) {
        int first, n = filter_window(s->window, &first, a, i), x = flip ? a->count - 1 - i : i;
        int from = first < a->in - taps ? first : a->in - taps;
        s->at[x] = from * c;
        for (int t = 0; t < n; t++)
            s->columns[(first - from + t) * ld + x] = s->window[t] / 255.0f;
    }
    return taps;
}

/* s->planes = the box of image at (top, left) that the axes describe, resized. Vertically first, a row at a time: that pass runs
 * over interleaved bytes as they lie, and only one row of the source's width is ever kept. */
static void resize(const struct kernels *k, const struct scratch *s, const struct image *image, int top, int left,
                   const struct axis *rows, const struct axis *columns, int flip)
{
    int c = image->c, size = columns->count;
    ptrdiff_t ld = (ptrdiff_t)image->w * c, plane = (ptrdiff_t)size * size;
    if (rows->scale == 1.0 && columns->scale == 1.0) {
        const uint8_t *corner = image->pixels + (top + (ptrdiff_t)rows->first) * ld + (left + (ptrdiff_t)columns->first) * c;
        k->u8_to_planar(s->planes, corner, ld, size, size, c, flip);
        return;
    }
    int taps = column_tables(s, columns, c, flip);
    for (int y = 0; y < size; y++) {
        int first, n = filter_window(s->window, &first, rows, y);
        const uint8_t *src = image->pixels + (ptrdiff_t)(top + first) * ld + (ptrdiff_t)left * c;
        k->resize_rows(s->row, src, ld, (ptrdiff_t)columns->in * c, s->window, n);
        k->resize_columns(s->planes + (ptrdiff_t)y * size, plane, s->row, c, size, s->at, s->columns, padded(size), taps);
    }
}

/* Factors that change nothing are left out, so that a strength of 0 is exactly no operation. */
static void jitter(const struct kernels *k, float *x, int c, int pixels, const struct augment_params *p)
{
    size_t count = (size_t)c * (size_t)pixels;
    for (int i = 0; i < 4; i++)
        switch (p->order[i]) {
        case 0:
            if (p->brightness != 1.0f)
                k->brightness(x, p->brightness, count);
            break;
        case 1:
            if (p->contrast != 1.0f)
                k->contrast(x, k->grey_mean(x, pixels, c), p->contrast, count);
            break;
        case 2:
            if (p->saturation != 1.0f && c == 3)
                k->saturation(x, p->saturation, pixels);
            break;
        default:
            if (p->hue != 0.0f && c == 3)
                k->hue(x, p->hue, pixels);
        }
}

/* e^(-x^2 / 2 sigma^2), normalized; returns the number of taps, which a reflected border limits to 2 size - 1. */
static int gaussian(float *weights, float sigma, int kernel, int size)
{
    int radius = (kernel > 0 ? kernel : size / 10) / 2;
    radius = radius < size ? radius : size - 1;
    double total = 0.0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = -radius; i <= radius; i++) {
            double z = i / (double)sigma, weight = fm_exp(-0.5 * z * z);
            if (pass == 0)
                total += weight;
            else
                weights[i + radius] = (float)(weight / total);
        }
    return 2 * radius + 1;
}

void augment_apply(const struct kernels *k, float *out, const struct image *image, const struct augment_params *params,
                   const struct augment_config *config, int size, void *scratch)
{
    int c = image->c, pixels = size * size;
    size_t plane = (size_t)pixels;
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct scratch s = carve(&arena, params->height, params->width, c, size);
    struct axis rows = axis_of(params->height, size, 0, size), columns = axis_of(params->width, size, 0, size);
    resize(k, &s, image, params->top, params->left, &rows, &columns, params->flip);
    if (params->jitter)
        jitter(k, s.planes, c, pixels, params);
    if (params->grey && c == 3)
        k->saturation(s.planes, 0.0f, pixels);
    float *view = s.planes;
    if (params->blur && params->sigma > 0.0f) {
        int taps = gaussian(s.blur_weights, params->sigma, config->blur_kernel, size);
        for (int ch = 0; ch < c; ch++)
            k->blur(s.blurred + (size_t)ch * plane, s.planes + (size_t)ch * plane, s.blur_rows, s.blur_weights, taps, size, size);
        view = s.blurred;
    }
    if (params->solarize)
        k->solarize(view, config->solarize_threshold, (size_t)c * plane);
    k->planar_to_nhwc(out, view, pixels, c);
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
    k->planar_to_nhwc(out, s.planes, size * size, image->c);
}
