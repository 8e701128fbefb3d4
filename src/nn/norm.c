#include "nn/norm.h"

#include "base/arena.h"
#include "base/par.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdint.h>

/* torch.nn.BatchNorm2d's defaults. */
static const double EPSILON = 1e-5, MOMENTUM = 0.1;

enum {
    CHANNEL_BLOCK = 64, /* channels in a task that combines slices */
};

struct norm_pass {
    const struct kernels *kernels;
    struct slices slices;
    size_t rows; /* pixels in all */
    int c;
    float *first, *second;           /* (slices, c): mean and M2, or the two sums of backward */
    float *scale, *a, *b;            /* (c) */

    float *y, *mean, *invstd;
    const float *x, *residual;
    const struct norm_params *params;
    bool relu;

    float *dx, *dres, *dgain, *dbias;
    bool accumulate_res;
    const float *dy, *out, *gain, *batch_mean, *batch_invstd;
};

static struct norm_pass plan(const struct slices *slices, int c, struct arena *arena)
{
    struct norm_pass p = {.slices = *slices, .rows = (size_t)slices->n * slices->h * slices->w, .c = c};
    p.first = arena_alloc(arena, slices->count * c, sizeof *p.first);
    p.second = arena_alloc(arena, slices->count * c, sizeof *p.second);
    p.scale = arena_alloc(arena, c, sizeof *p.scale);
    p.a = arena_alloc(arena, c, sizeof *p.a);
    p.b = arena_alloc(arena, c, sizeof *p.b);
    return p;
}

size_t norm_scratch(const struct slices *slices, int c)
{
    struct arena arena = {0};
    plan(slices, c, &arena);
    return arena.overflow ? SIZE_MAX : arena.used;
}

/* Rows of a slice, and the offset of the first one's floats. */
static size_t slice_at(const struct norm_pass *p, size_t slice, size_t *at)
{
    size_t rows = slice_pixels(&p->slices, slice, at);
    *at *= (size_t)p->c;
    return rows;
}

static size_t rows_of(const struct norm_pass *p, size_t slice)
{
    size_t first;
    return slice_pixels(&p->slices, slice, &first);
}

static size_t channel_blocks(int c) { return ((size_t)c + CHANNEL_BLOCK - 1) / CHANNEL_BLOCK; }

static int block_end(const struct norm_pass *p, size_t block)
{
    size_t end = (block + 1) * CHANNEL_BLOCK;
    return end < (size_t)p->c ? (int)end : p->c;
}

static void slice_stats(void *ctx, size_t slice, int thread)
{
    (void)thread;
    const struct norm_pass *p = ctx;
    size_t sums = slice * p->c, at, rows = slice_at(p, slice, &at);
    p->kernels->norm_stats(p->first + sums, p->second + sums, p->x + at, rows, p->c);
}

/* The batch's mean and M2 from those of the slices (Chan et al. 1979, for all slices at once), in double and in slice order. */
static void combine_stats(void *ctx, size_t block, int thread)
{
    (void)thread;
    const struct norm_pass *p = ctx;
    int begin = (int)(block * CHANNEL_BLOCK), end = block_end(p, block);
    double mean[CHANNEL_BLOCK] = {0}, m2[CHANNEL_BLOCK] = {0}, rows = (double)p->rows;
    for (size_t s = 0; s < p->slices.count; s++) {
        double n = (double)rows_of(p, s);
        for (int j = begin; j < end; j++)
            mean[j - begin] += n * p->first[s * p->c + j];
    }
    for (int j = begin; j < end; j++)
        mean[j - begin] /= rows;
    for (size_t s = 0; s < p->slices.count; s++) {
        double n = (double)rows_of(p, s);
        for (int j = begin; j < end; j++) {
            double d = p->first[s * p->c + j] - mean[j - begin];
            m2[j - begin] += p->second[s * p->c + j] + n * (d * d);
        }
    }
    const struct norm_params *params = p->params;
    for (int j = begin; j < end; j++) {
        double mu = mean[j - begin], unbiased = p->rows > 1 ? m2[j - begin] / (rows - 1) : 0;
        p->mean[j] = (float)mu;
        p->invstd[j] = (float)(1 / sqrt(m2[j - begin] / rows + EPSILON));
        p->scale[j] = params->gain[j] * p->invstd[j];
        params->running_mean[j] = (float)((1 - MOMENTUM) * params->running_mean[j] + MOMENTUM * mu);
        params->running_var[j] = (float)((1 - MOMENTUM) * params->running_var[j] + MOMENTUM * unbiased);
    }
}

static void slice_apply(void *ctx, size_t slice, int thread)
{
    (void)thread;
    const struct norm_pass *p = ctx;
    size_t at, rows = slice_at(p, slice, &at);
    p->kernels->norm_apply(p->y + at, p->x + at, p->residual ? p->residual + at : NULL, p->mean, p->scale, p->params->bias,
                           p->relu, rows, p->c);
}

void norm_forward(const struct engine *engine, float *y, float *mean, float *invstd, const float *x, const float *residual,
                  const struct norm_params *params, bool relu, const struct slices *slices, int c, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct norm_pass p = plan(slices, c, &arena);
    p.kernels = engine->kernels;
    p.y = y;
    p.mean = mean;
    p.invstd = invstd;
    p.x = x;
    p.residual = residual;
    p.params = params;
    p.relu = relu;
    par_for(engine->threads, p.slices.count, slice_stats, &p);
    par_for(engine->threads, channel_blocks(c), combine_stats, &p);
    par_for(engine->threads, p.slices.count, slice_apply, &p);
}

void norm_inference(const struct engine *engine, float *y, const float *x, const float *residual,
                    const struct norm_params *params, bool relu, const struct slices *slices, int c, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct norm_pass p = plan(slices, c, &arena);
    p.kernels = engine->kernels;
    p.y = y;
    p.mean = params->running_mean;
    p.x = x;
    p.residual = residual;
    p.params = params;
    p.relu = relu;
    for (int j = 0; j < c; j++)
        p.scale[j] = params->gain[j] * (float)(1 / sqrt(params->running_var[j] + EPSILON));
    par_for(engine->threads, p.slices.count, slice_apply, &p);
}

static void slice_backward_sums(void *ctx, size_t slice, int thread)
{
    (void)thread;
    const struct norm_pass *p = ctx;
    size_t sums = slice * p->c, at, rows = slice_at(p, slice, &at);
    p->kernels->norm_backward_sums(p->first + sums, p->second + sums, p->dy + at, p->out ? p->out + at : NULL, p->x + at,
                                   p->batch_mean, p->batch_invstd, rows, p->c);
}

static void combine_backward_sums(void *ctx, size_t block, int thread)
{
    (void)thread;
    const struct norm_pass *p = ctx;
    int begin = (int)(block * CHANNEL_BLOCK), end = block_end(p, block);
    double sum_g[CHANNEL_BLOCK] = {0}, sum_gx[CHANNEL_BLOCK] = {0}, rows = (double)p->rows;
    for (size_t s = 0; s < p->slices.count; s++)
        for (int j = begin; j < end; j++) {
            sum_g[j - begin] += p->first[s * p->c + j];
            sum_gx[j - begin] += p->second[s * p->c + j];
        }
    for (int j = begin; j < end; j++) {
        p->dbias[j] = (float)sum_g[j - begin];
        p->dgain[j] = (float)sum_gx[j - begin];
        p->a[j] = (float)(sum_g[j - begin] / rows);
        p->b[j] = (float)(sum_gx[j - begin] / rows);
        p->scale[j] = p->gain[j] * p->batch_invstd[j];
    }
}

static void slice_backward_apply(void *ctx, size_t slice, int thread)
{
    (void)thread;
    const struct norm_pass *p = ctx;
    size_t at, rows = slice_at(p, slice, &at);
    p->kernels->norm_backward_apply(p->dx + at, p->dres ? p->dres + at : NULL, p->accumulate_res, p->dy + at,
                                    p->out ? p->out + at : NULL, p->x + at, p->batch_mean, p->batch_invstd, p->scale, p->a, p->b,
                                    rows, p->c);
}

void norm_backward(const struct engine *engine, float *dx, float *dres, bool accumulate_res, float *dgain, float *dbias,
                   const float *dy, const float *out, const float *x, const float *gain, const float *mean,
                   const float *invstd, const struct slices *slices, int c, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct norm_pass p = plan(slices, c, &arena);
    p.kernels = engine->kernels;
    p.dx = dx;
    p.dres = dres;
    p.accumulate_res = accumulate_res;
    p.dgain = dgain;
    p.dbias = dbias;
    p.dy = dy;
    p.out = out;
    p.x = x;
    p.gain = gain;
    p.batch_mean = mean;
    p.batch_invstd = invstd;
    par_for(engine->threads, p.slices.count, slice_backward_sums, &p);
    par_for(engine->threads, channel_blocks(c), combine_backward_sums, &p);
    par_for(engine->threads, p.slices.count, slice_backward_apply, &p);
}
