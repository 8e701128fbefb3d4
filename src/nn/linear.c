#include "nn/linear.h"

#include "base/arena.h"
#include "base/par.h"
#include "nn/conv.h"
#include "simd/kernels.h"

#include <stdint.h>

enum { SLICE_ROWS = 64 }; /* rows of a bias gradient that make one chain; slices are added in double */

/* The bias gradient's sums lie behind what the convolution wants. */
struct linear_scratch {
    void *conv;
    float *sums; /* (slices, out) */
};

static size_t slices(size_t rows) { return (rows + SLICE_ROWS - 1) / SLICE_ROWS; }

static struct linear_scratch plan(const struct engine *engine, int rows, int in, int out, struct arena *arena)
{
    struct conv_shape shape = conv_shape(rows, 1, 1, in, out, 1, 1, 0);
    struct linear_scratch s;
    s.conv = arena_alloc(arena, conv_scratch(engine, &shape), 1);
    s.sums = arena_alloc(arena, slices(rows) * out, sizeof *s.sums);
    return s;
}

size_t linear_scratch(const struct engine *engine, int rows, int in, int out)
{
    struct arena arena = {0};
    plan(engine, rows, in, out, &arena);
    return arena.overflow ? SIZE_MAX : arena.used;
}

struct linear_pass {
    const struct kernels *kernels;
    size_t rows;
    int out;
    float *y;
    const float *bias, *relu_out;
    bool relu;
    float *sums;
};

static size_t rows_of(const struct linear_pass *p, size_t slice)
{
    size_t left = p->rows - slice * SLICE_ROWS;
    return left < SLICE_ROWS ? left : SLICE_ROWS;
}

static void slice_bias_act(void *ctx, size_t slice, int thread)
{
    (void)thread;
    const struct linear_pass *p = ctx;
    float *y = p->y + slice * SLICE_ROWS * p->out;
    p->kernels->bias_act(y, y, p->bias, p->relu, rows_of(p, slice), p->out);
}

void linear_forward(const struct engine *engine, float *y, const float *x, const float *w, const float *bias, bool relu, int rows,
                    int in, int out, void *scratch)
{
    struct conv_shape shape = conv_shape(rows, 1, 1, in, out, 1, 1, 0);
    conv_forward(engine, y, NULL, &(struct conv_input){.x = x}, w, &shape, scratch);
    if (!bias && !relu)
        return;
    struct linear_pass p = {.kernels = engine->kernels, .rows = rows, .out = out, .y = y, .bias = bias, .relu = relu};
    par_for(engine->threads, slices(rows), slice_bias_act, &p);
}

static void slice_backward(void *ctx, size_t slice, int thread)
{
    (void)thread;
    const struct linear_pass *p = ctx;
    size_t at = slice * SLICE_ROWS * p->out, n = rows_of(p, slice);
    if (p->relu_out)
        p->kernels->relu_backward(p->y + at, p->y + at, p->relu_out + at, n * p->out);
    if (p->sums)
        p->kernels->column_sums(p->sums + slice * p->out, p->y + at, n, p->out);
}

void linear_backward(const struct engine *engine, float *dx, float *dw, float *dbias, float *dy, const float *relu_out,
                     const float *x, const float *w, int rows, int in, int out, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct linear_scratch s = plan(engine, rows, in, out, &arena);
    struct linear_pass p = {.kernels = engine->kernels, .rows = rows, .out = out, .y = dy, .relu_out = relu_out,
                            .sums = dbias ? s.sums : NULL};
    if (dbias || relu_out)
        par_for(engine->threads, slices(rows), slice_backward, &p);
    for (int j = 0; dbias && j < out; j++) {
        double sum = 0;
        for (size_t slice = 0; slice < slices(rows); slice++)
            sum += s.sums[slice * out + j];
        dbias[j] = (float)sum;
    }
    struct conv_shape shape = conv_shape(rows, 1, 1, in, out, 1, 1, 0);
    if (dx)
        conv_backward_data(engine, dx, false, dy, w, &shape, s.conv);
    conv_backward_weights(engine, dw, &(struct conv_input){.x = x}, dy, &shape, s.conv);
}
