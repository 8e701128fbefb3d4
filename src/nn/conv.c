#include "base/par.h"
#include "nn/conv_choice.h"
#include "nn/conv_internal.h"
#include "nn/winograd.h"

#include <limits.h>

struct conv_shape conv_shape(int n, int h, int w, int c, int k, int r, int stride, int pad)
{
    return (struct conv_shape){
        .n = n, .h = h, .w = w, .c = c, .k = k, .r = r, .stride = stride, .pad = pad,
        .ho = (h + 2 * pad - r) / stride + 1,
        .wo = (w + 2 * pad - r) / stride + 1,
    };
}

struct conv_shape conv_flatten(const struct conv_shape *shape)
{
    int64_t pixels = (int64_t)shape->n * shape->h * shape->w;
    if (!conv_is_product(shape) || pixels > INT_MAX)
        return *shape;
    return conv_shape(1, (int)pixels, 1, shape->c, shape->k, 1, 1, 0);
}

static struct conv_gather forward_gather(const struct engine *engine, const struct conv_shape *shape, bool normalised)
{
    struct conv_shape s = conv_flatten(shape);
    bool sparse = s.r == 1 && s.stride > 1; /* only the pixels that are wanted are read: then they lie side by side */
    return (struct conv_gather){
        .kernels = engine->kernels, .threads = engine->threads, .caches = engine->caches,
        .n = s.n, .h = s.h, .w = s.w, .c = s.c, .ho = s.ho, .wo = s.wo, .k = s.k, .r = s.r,
        .copy = normalised, .rows = s.ho, .cols = s.wo, .low = -s.pad, .window = s.r, .out_step = 1,
        .step = sparse ? 1 : s.stride, .read_step = sparse ? s.stride : 1,
        .axis = {{.taps = s.r, .offset = 0, .first = 0, .step = 1}},
    };
}

/* Input row y = stride * a + ci gets row i of dy through tap t where i * stride + t = y + pad, so t = t0 + stride * u with
 * t0 = (ci + pad) mod stride, and i = a + (ci + pad - t0) / stride - u. In the order of the source u runs down from taps - 1. */
static struct conv_gather data_gather(const struct engine *engine, const struct conv_shape *shape)
{
    struct conv_shape s = conv_flatten(shape);
    struct conv_gather g = {
        .kernels = engine->kernels, .threads = engine->threads, .caches = engine->caches,
        .n = s.n, .h = s.ho, .w = s.wo, .c = s.k, .ho = s.h, .wo = s.w, .k = s.c, .r = s.r, .transposed = true,
        .rows = (s.h + s.stride - 1) / s.stride, .cols = (s.w + s.stride - 1) / s.stride, .step = 1, .read_step = 1,
        .out_step = s.stride,
    };
    int low = INT_MAX, high = INT_MIN;
    for (int ci = 0; ci < s.stride; ci++) {
        int t0 = (ci + s.pad) % s.stride;
        int taps = t0 < s.r ? (s.r - t0 + s.stride - 1) / s.stride : 0;
        int last = (ci + s.pad - t0) / s.stride; /* source row of u = 0, for a = 0 */
        g.axis[ci] = (struct conv_axis){
            .taps = taps, .offset = last - (taps - 1), .first = t0 + s.stride * (taps - 1), .step = -s.stride};
        if (taps && last - (taps - 1) < low)
            low = last - (taps - 1);
        if (taps && last > high)
            high = last;
    }
    for (int ci = 0; ci < s.stride; ci++)
        g.axis[ci].offset -= low;
    g.low = low;
    g.window = high - low + 1;
    return g;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

size_t conv_scratch(const struct engine *engine, const struct conv_shape *shape)
{
    if (conv_algorithm(shape) != CONV_DIRECT)
        return winograd_scratch(engine, shape);
    size_t most = 0;
    for (int pass = 0; pass < 5; pass++) {
        struct arena arena = {0};
        if (pass < 3) {
            struct conv_gather g = pass == 2 ? data_gather(engine, shape) : forward_gather(engine, shape, pass);
            conv_gather_plan(&g, &arena);
        } else {
            conv_weights_measure(engine, shape, pass == 4, &arena);
        }
        most = larger(most, arena.overflow ? SIZE_MAX : arena.used);
    }
    return most;
}

void conv_sum_slice(const struct kernels *kernels, const struct conv_sums *sums, const float *y, const struct slices *slices,
                    size_t slice, int k)
{
    size_t first, rows = slice_pixels(slices, slice, &first), at = slice * k;
    kernels->norm_stats(sums->mean + at, sums->m2 + at, y + first * k, rows, k);
}

struct sums_pass {
    const struct kernels *kernels;
    const struct conv_sums *sums;
    const float *y;
    const struct slices *slices;
    int k;
};

static void sum_slice(void *ctx, size_t slice, int thread)
{
    (void)thread;
    const struct sums_pass *p = ctx;
    conv_sum_slice(p->kernels, p->sums, p->y, p->slices, slice, p->k);
}

void conv_sum(const struct engine *engine, const struct conv_sums *sums, const float *y, const struct slices *slices, int k)
{
    struct sums_pass p = {engine->kernels, sums, y, slices, k};
    par_for(engine->threads, slices->count, sum_slice, &p);
}

void conv_forward(const struct engine *engine, float *y, const struct conv_sums *sums, const struct conv_input *input, const float *w,
                  const struct conv_shape *shape, void *scratch)
{
    if (conv_algorithm(shape) != CONV_DIRECT) {
        winograd_forward(engine, y, sums, input, w, shape, scratch);
        return;
    }
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct conv_gather g = forward_gather(engine, shape, input->mean);
    conv_gather_plan(&g, &arena);
    struct slices slices = slices_of(shape->n, shape->ho, shape->wo);
    if (!conv_gather_run(&g, y, false, input, w, sums, &slices))
        conv_sum(engine, sums, y, &slices, shape->k);
}

void conv_backward_data(const struct engine *engine, float *dx, bool accumulate, const float *dy, const float *w,
                        const struct conv_shape *shape, void *scratch)
{
    if (conv_algorithm(shape) != CONV_DIRECT) {
        winograd_backward_data(engine, dx, accumulate, dy, w, shape, scratch);
        return;
    }
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct conv_gather g = data_gather(engine, shape);
    conv_gather_plan(&g, &arena);
    conv_gather_run(&g, dx, accumulate, &(struct conv_input){.x = dy}, w, NULL, NULL);
}
