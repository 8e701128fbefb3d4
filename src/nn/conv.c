#include "nn/conv_internal.h"

#include <limits.h>
#include <string.h>

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
    if (shape->r != 1 || shape->stride != 1 || shape->pad != 0 || pixels > INT_MAX)
        return *shape;
    return conv_shape((int)pixels, 1, 1, shape->c, shape->k, 1, 1, 0);
}

void conv_copy_padded(float *dst, const float *src, int h, int w, int c, int row0, int rows, int col0, int cols)
{
    int left = col0 < 0 ? (-col0 < cols ? -col0 : cols) : 0;
    int end = w - col0 < cols ? w - col0 : cols; /* first column right of the source */
    if (end < left)
        end = left;
    for (int i = row0; i < row0 + rows; i++, dst += (ptrdiff_t)cols * c) {
        if (i < 0 || i >= h) {
            memset(dst, 0, (size_t)cols * c * sizeof *dst);
            continue;
        }
        memset(dst, 0, (size_t)left * c * sizeof *dst);
        memcpy(dst + (ptrdiff_t)left * c, src + ((ptrdiff_t)i * w + col0 + left) * c, (size_t)(end - left) * c * sizeof *dst);
        memset(dst + (ptrdiff_t)end * c, 0, (size_t)(cols - end) * c * sizeof *dst);
    }
}

static struct conv_gather forward_gather(const struct engine *engine, const struct conv_shape *shape)
{
    struct conv_shape s = conv_flatten(shape);
    return (struct conv_gather){
        .kernels = engine->kernels, .threads = engine->threads,
        .n = s.n, .h = s.h, .w = s.w, .c = s.c, .ho = s.ho, .wo = s.wo, .k = s.k, .r = s.r,
        .rows = s.ho, .cols = s.wo, .step = s.stride, .low = -s.pad, .window = s.r, .out_step = 1,
        .axis = {{.taps = s.r, .offset = 0, .first = 0, .step = 1}},
    };
}

/* Input row y = stride * a + ci gets row i of dy through tap t where i * stride + t = y + pad, so t = t0 + stride * u with
 * t0 = (ci + pad) mod stride, and i = a + (ci + pad - t0) / stride - u. In the order of the source u runs down from taps - 1. */
static struct conv_gather data_gather(const struct engine *engine, const struct conv_shape *shape)
{
    struct conv_shape s = conv_flatten(shape);
    struct conv_gather g = {
        .kernels = engine->kernels, .threads = engine->threads,
        .n = s.n, .h = s.ho, .w = s.wo, .c = s.k, .ho = s.h, .wo = s.w, .k = s.c, .r = s.r, .transposed = true,
        .rows = (s.h + s.stride - 1) / s.stride, .cols = (s.w + s.stride - 1) / s.stride, .step = 1, .out_step = s.stride,
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

size_t conv_scratch(const struct engine *engine, const struct conv_shape *shape)
{
    struct arena forward = {0}, data = {0}, weights = {0};
    struct conv_gather g = forward_gather(engine, shape);
    conv_gather_plan(&g, &forward);
    g = data_gather(engine, shape);
    conv_gather_plan(&g, &data);
    conv_weights_measure(engine, shape, &weights);
    if (forward.overflow || data.overflow || weights.overflow)
        return SIZE_MAX;
    size_t most = forward.used > data.used ? forward.used : data.used;
    return most > weights.used ? most : weights.used;
}

void conv_forward(const struct engine *engine, float *y, const float *x, const float *w, const struct conv_shape *shape,
                  void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct conv_gather g = forward_gather(engine, shape);
    conv_gather_plan(&g, &arena);
    conv_gather_run(&g, y, false, x, w);
}

void conv_backward_data(const struct engine *engine, float *dx, bool accumulate, const float *dy, const float *w,
                        const struct conv_shape *shape, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct conv_gather g = data_gather(engine, shape);
    conv_gather_plan(&g, &arena);
    conv_gather_run(&g, dx, accumulate, dy, w);
}
