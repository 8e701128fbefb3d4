#include "nn/norm.h"

#include "base/arena.h"
#include "base/par.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdint.h>

/* torch.nn.BatchNorm2d's defaults. */
static const double EPSILON = 1e-5, MOMENTUM = 0.1;

enum {
    CHANNEL_BLOCK = 64,       /* channels in a task that combines slices */
    BUFFER_FLOATS = 2 * 1024, /* 8 KB of L1 for a residual, beside x and y */
};

/* Two sums per slice and channel: mean and M2 forward, those of g and of g xhat backward. */
struct sums {
    float *first, *second; /* (slices, c) */
    float *a, *b;          /* (c): what backward makes of its own */
};

static struct sums take_sums(const struct slices *slices, int c, struct arena *arena)
{
    struct sums s;
    s.first = arena_alloc(arena, slices->count * c, sizeof *s.first);
    s.second = arena_alloc(arena, slices->count * c, sizeof *s.second);
    s.a = arena_alloc(arena, c, sizeof *s.a);
    s.b = arena_alloc(arena, c, sizeof *s.b);
    return s;
}

static struct sums sums_in(const struct slices *slices, int c, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    return take_sums(slices, c, &arena);
}

size_t norm_scratch(const struct slices *slices, int c)
{
    struct arena arena = {0};
    take_sums(slices, c, &arena);
    return arena.overflow ? SIZE_MAX : arena.used;
}

struct conv_sums norm_sums(const struct slices *slices, int c, void *scratch)
{
    struct sums s = sums_in(slices, c, scratch);
    return (struct conv_sums){s.first, s.second};
}

/* Rows of a slice, and the offset of the first one's floats. */
static size_t slice_at(const struct slices *slices, int c, size_t slice, size_t *at)
{
    size_t rows = slice_pixels(slices, slice, at);
    *at *= (size_t)c;
    return rows;
}

static size_t rows_of(const struct slices *slices, size_t slice)
{
    size_t first;
    return slice_pixels(slices, slice, &first);
}

static double all_rows(const struct slices *s) { return (double)((size_t)s->n * s->h * s->w); }

static size_t channel_blocks(int c) { return ((size_t)c + CHANNEL_BLOCK - 1) / CHANNEL_BLOCK; }

static int block_end(int c, size_t block)
{
    size_t end = (block + 1) * CHANNEL_BLOCK;
    return end < (size_t)c ? (int)end : c;
}

/* ---- Statistics ---- */

struct statistics {
    struct slices slices;
    int c;
    struct sums sums;
    float *mean, *invstd, *scale;
    const struct norm_params *params;
};

void norm_sum(const struct engine *engine, const float *x, const struct slices *slices, int c, void *scratch)
{
    struct conv_sums sums = norm_sums(slices, c, scratch);
    conv_sum(engine, &sums, x, slices, c);
}

/* The batch's mean and M2 from those of the slices (Chan et al. 1979, for all slices at once), in double and in slice order. */
static void combine_statistics(void *ctx, size_t block, int thread)
{
    (void)thread;
    const struct statistics *p = ctx;
    int begin = (int)(block * CHANNEL_BLOCK), end = block_end(p->c, block);
    double mean[CHANNEL_BLOCK] = {0}, m2[CHANNEL_BLOCK] = {0}, rows = all_rows(&p->slices);
    for (size_t s = 0; s < p->slices.count; s++) {
        double n = (double)rows_of(&p->slices, s);
        for (int j = begin; j < end; j++)
            mean[j - begin] += n * p->sums.first[s * p->c + j];
    }
    for (int j = begin; j < end; j++)
        mean[j - begin] /= rows;
    for (size_t s = 0; s < p->slices.count; s++) {
        double n = (double)rows_of(&p->slices, s);
        for (int j = begin; j < end; j++) {
            double d = p->sums.first[s * p->c + j] - mean[j - begin];
            m2[j - begin] += p->sums.second[s * p->c + j] + n * (d * d);
        }
    }
    const struct norm_params *params = p->params;
    for (int j = begin; j < end; j++) {
        double mu = mean[j - begin], unbiased = rows > 1 ? m2[j - begin] / (rows - 1) : 0;
        p->mean[j] = (float)mu;
        p->invstd[j] = (float)(1 / sqrt(m2[j - begin] / rows + EPSILON));
        p->scale[j] = params->gain[j] * p->invstd[j];
        params->running_mean[j] = (float)((1 - MOMENTUM) * params->running_mean[j] + MOMENTUM * mu);
        params->running_var[j] = (float)((1 - MOMENTUM) * params->running_var[j] + MOMENTUM * unbiased);
    }
}

void norm_statistics(const struct engine *engine, float *mean, float *invstd, float *scale, const struct norm_params *params,
                     const struct slices *slices, int c, void *scratch)
{
    struct statistics p = {.slices = *slices, .c = c, .sums = sums_in(slices, c, scratch),
                           .mean = mean, .invstd = invstd, .scale = scale, .params = params};
    par_for(engine->threads, channel_blocks(c), combine_statistics, &p);
}

void norm_running_scale(float *scale, const struct norm_params *params, int c)
{
    for (int j = 0; j < c; j++)
        scale[j] = params->gain[j] * (float)(1 / sqrt(params->running_var[j] + EPSILON));
}

/* ---- Forward ---- */

struct application {
    const struct kernels *kernels;
    struct slices slices;
    int c;
    float *y;
    const struct conv_input *input, *residual;
};

/* n rows of channels j to j + width; residual: NULL, or of the same shape. */
static void apply(const struct kernels *kernels, float *y, const struct conv_input *input, const float *residual, size_t at, int j,
                  size_t n, int width)
{
    kernels->norm_apply(y, input->x + at + j, residual, input->mean + j, input->scale + j, input->shift + j, input->relu, n, width);
}

/* A residual that is read through a norm of its own waits in a buffer, few rows at a time so that it stays in L1; y cannot hold it,
 * since it may be input's x. Layers wider than the buffer go by parts of a row. */
static void apply_two_norms(const struct application *p, size_t at, size_t rows)
{
    float buffer[BUFFER_FLOATS];
    int width = p->c < BUFFER_FLOATS ? p->c : BUFFER_FLOATS;
    size_t step = (size_t)(BUFFER_FLOATS / width);
    for (size_t n; rows; rows -= n, at += n * (size_t)p->c) {
        n = rows < step ? rows : step;
        for (int j = 0; j < p->c; j += width) {
            int part = p->c - j < width ? p->c - j : width;
            apply(p->kernels, buffer, p->residual, NULL, at, j, n, part);
            apply(p->kernels, p->y + at + j, p->input, buffer, at, j, n, part);
        }
    }
}

static void apply_slice(void *ctx, size_t slice, int thread)
{
    (void)thread;
    const struct application *p = ctx;
    size_t at, rows = slice_at(&p->slices, p->c, slice, &at);
    if (p->residual && p->residual->mean)
        apply_two_norms(p, at, rows);
    else
        apply(p->kernels, p->y + at, p->input, p->residual ? p->residual->x + at : NULL, at, 0, rows, p->c);
}

void norm_forward(const struct engine *engine, float *y, const struct conv_input *input, const struct conv_input *residual,
                  const struct slices *slices, int c)
{
    struct application p = {engine->kernels, *slices, c, y, input, residual};
    par_for(engine->threads, slices->count, apply_slice, &p);
}

/* ---- Backward ---- */

struct backward {
    const struct kernels *kernels;
    struct slices slices;
    int c;
    struct sums sums;
    float *dx, *dres, *dgain, *dbias;
    bool accumulate_res;
    const float *dy, *out, *invstd;
    const struct conv_input *input;
    const float *mask_shift; /* NULL: no ReLU */
};

static void sum_backward_slice(void *ctx, size_t slice, int thread)
{
    (void)thread;
    const struct backward *p = ctx;
    const struct conv_input *in = p->input;
    size_t sums = slice * p->c, at, rows = slice_at(&p->slices, p->c, slice, &at);
    p->kernels->norm_backward_sums(p->sums.first + sums, p->sums.second + sums, p->dy + at, p->out ? p->out + at : NULL, in->x + at,
                                   in->mean, p->invstd, in->scale, p->mask_shift, rows, p->c);
}

static void combine_backward(void *ctx, size_t block, int thread)
{
    (void)thread;
    const struct backward *p = ctx;
    int begin = (int)(block * CHANNEL_BLOCK), end = block_end(p->c, block);
    double sum_g[CHANNEL_BLOCK] = {0}, sum_gx[CHANNEL_BLOCK] = {0}, rows = all_rows(&p->slices);
    for (size_t s = 0; s < p->slices.count; s++)
        for (int j = begin; j < end; j++) {
            sum_g[j - begin] += p->sums.first[s * p->c + j];
            sum_gx[j - begin] += p->sums.second[s * p->c + j];
        }
    for (int j = begin; j < end; j++) {
        p->dbias[j] = (float)sum_g[j - begin];
        p->dgain[j] = (float)sum_gx[j - begin];
        p->sums.a[j] = (float)(sum_g[j - begin] / rows);
        p->sums.b[j] = (float)(sum_gx[j - begin] / rows);
    }
}

/* From the last slice to the first: the sums read those last, so that a cache may still have them. */
static void apply_backward_slice(void *ctx, size_t task, int thread)
{
    (void)thread;
    const struct backward *p = ctx;
    const struct conv_input *in = p->input;
    size_t at, rows = slice_at(&p->slices, p->c, p->slices.count - 1 - task, &at);
    p->kernels->norm_backward_apply(p->dx + at, p->dres ? p->dres + at : NULL, p->accumulate_res, p->dy + at,
                                    p->out ? p->out + at : NULL, in->x + at, in->mean, p->invstd, in->scale, p->mask_shift, p->sums.a,
                                    p->sums.b, rows, p->c);
}

void norm_backward(const struct engine *engine, float *dx, float *dres, bool accumulate_res, float *dgain, float *dbias,
                   const float *dy, const float *out, const struct conv_input *input, const float *invstd,
                   const struct slices *slices, int c, void *scratch)
{
    struct backward p = {
        .kernels = engine->kernels, .slices = *slices, .c = c, .sums = sums_in(slices, c, scratch),
        .dx = dx, .dres = dres, .dgain = dgain, .dbias = dbias, .accumulate_res = accumulate_res,
        .dy = dy, .out = input->relu ? out : NULL, .invstd = invstd, .input = input, .mask_shift = input->relu ? input->shift : NULL,
    };
    par_for(engine->threads, slices->count, sum_backward_slice, &p);
    par_for(engine->threads, channel_blocks(c), combine_backward, &p);
    par_for(engine->threads, slices->count, apply_backward_slice, &p);
}
