/* Batch norm over (rows, c): sums per channel, and the element-wise passes. Lanes are channels, so a channel's sum is one chain
 * in row order whatever the vector width. */
#include "shared/shared.h"
#include "vec.h"

/* Sums walk ROW_BLOCK rows at a time and keep their accumulators in memory between blocks: with many channels a column of
 * blocks over all rows would stride through memory, and the prefetchers would lose it. */
enum { ROW_BLOCK = 16 };

/* How many of the `left` channels the next block takes: four or two whole vectors, to hide the latency of the add, or one. */
static inline int next_vectors(int left) { return left >= 4 * VL ? 4 : left >= 2 * VL ? 2 : 1; }
static inline int next_lanes(int left) { return left < VL ? left : VL; }

static inline size_t block_rows(size_t rows, size_t first) { return rows - first < ROW_BLOCK ? rows - first : ROW_BLOCK; }

static inline void add_block(float *sum, const float *x, size_t rows, int c, const int vectors, int lanes)
{
    vf acc[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        acc[v] = vf_load_lanes(sum + v * VL, lanes);
    for (size_t r = 0; r < rows; r++, x += c)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            acc[v] = vf_add(acc[v], vf_load_lanes(x + v * VL, lanes));
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        vf_store_lanes(sum + v * VL, acc[v], lanes);
}

void ISA_FN(column_sums)(float *sum, const float *x, size_t rows, int c)
{
    memset(sum, 0, (size_t)c * sizeof *sum);
    for (size_t first = 0; first < rows; first += ROW_BLOCK) {
        size_t n = block_rows(rows, first);
        const float *block = x + first * (size_t)c;
        for (int j = 0, vectors; j < c; j += vectors * VL) {
            vectors = next_vectors(c - j);
            if (vectors == 4)
                add_block(sum + j, block + j, n, c, 4, VL);
            else if (vectors == 2)
                add_block(sum + j, block + j, n, c, 2, VL);
            else
                add_block(sum + j, block + j, n, c, 1, next_lanes(c - j));
        }
    }
}

static inline void m2_block(float *m2, const float *mean, const float *x, size_t rows, int c, const int vectors, int lanes)
{
    vf acc[4], center[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        acc[v] = vf_load_lanes(m2 + v * VL, lanes);
        center[v] = vf_load_lanes(mean + v * VL, lanes);
    }
    for (size_t r = 0; r < rows; r++, x += c)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            vf d = vf_sub(vf_load_lanes(x + v * VL, lanes), center[v]);
            acc[v] = vf_fma(d, d, acc[v]);
        }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        vf_store_lanes(m2 + v * VL, acc[v], lanes);
}

void ISA_FN(norm_stats)(float *mean, float *m2, const float *x, size_t rows, int c)
{
    ISA_FN(column_sums)(mean, x, rows, c);
    vf count = vf_set1((float)rows);
    for (int j = 0; j < c; j += VL) {
        int lanes = next_lanes(c - j);
        vf_store_lanes(mean + j, vf_div(vf_load_lanes(mean + j, lanes), count), lanes);
    }
    memset(m2, 0, (size_t)c * sizeof *m2);
    for (size_t first = 0; first < rows; first += ROW_BLOCK) {
        size_t n = block_rows(rows, first);
        const float *block = x + first * (size_t)c;
        for (int j = 0, vectors; j < c; j += vectors * VL) {
            vectors = next_vectors(c - j);
            if (vectors == 4)
                m2_block(m2 + j, mean + j, block + j, n, c, 4, VL);
            else if (vectors == 2)
                m2_block(m2 + j, mean + j, block + j, n, c, 2, VL);
            else
                m2_block(m2 + j, mean + j, block + j, n, c, 1, next_lanes(c - j));
        }
    }
}

static inline void apply_vector(float *y, const float *x, const float *residual, const float *mean, const float *scale,
                                const float *shift, const bool has_residual, const bool relu, int lanes)
{
    vf centered = vf_sub(vf_load_lanes(x, lanes), vf_load_lanes(mean, lanes));
    vf v = vf_fma(centered, vf_load_lanes(scale, lanes), vf_load_lanes(shift, lanes));
    if (has_residual)
        v = vf_add(v, vf_load_lanes(residual, lanes));
    if (relu)
        v = vf_relu(v);
    vf_store_lanes(y, v, lanes);
}

static inline void apply_rows(float *y, const float *x, const float *residual, const float *mean, const float *scale,
                              const float *shift, const bool has_residual, const bool relu, size_t rows, int c)
{
    for (size_t r = 0; r < rows; r++) {
        size_t row = r * (size_t)c;
        int j = 0;
        for (; j + VL <= c; j += VL)
            apply_vector(y + row + j, x + row + j, has_residual ? residual + row + j : x, mean + j, scale + j, shift + j,
                         has_residual, relu, VL);
        if (j < c)
            apply_vector(y + row + j, x + row + j, has_residual ? residual + row + j : x, mean + j, scale + j, shift + j,
                         has_residual, relu, c - j);
    }
}

void ISA_FN(norm_apply)(float *y, const float *x, const float *residual, const float *mean, const float *scale,
                        const float *shift, bool relu, size_t rows, int c)
{
    if (residual && relu)
        apply_rows(y, x, residual, mean, scale, shift, true, true, rows, c);
    else if (residual)
        apply_rows(y, x, residual, mean, scale, shift, true, false, rows, c);
    else if (relu)
        apply_rows(y, x, NULL, mean, scale, shift, false, true, rows, c);
    else
        apply_rows(y, x, NULL, mean, scale, shift, false, false, rows, c);
}

/* dy where out > 0, else +0. */
static inline vf masked(const float *dy, const float *out, const bool relu, int lanes)
{
    vf g = vf_load_lanes(dy, lanes);
    return relu ? vf_select(vf_gt(vf_load_lanes(out, lanes), vf_zero()), g, vf_zero()) : g;
}

static inline void backward_sums_block(float *sum_g, float *sum_gx, const float *dy, const float *out, const float *x,
                                       const float *mean, const float *invstd, const bool relu, size_t rows, int c,
                                       const int vectors, int lanes)
{
    vf g_acc[4], gx_acc[4], center[4], inv[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        g_acc[v] = vf_load_lanes(sum_g + v * VL, lanes);
        gx_acc[v] = vf_load_lanes(sum_gx + v * VL, lanes);
        center[v] = vf_load_lanes(mean + v * VL, lanes);
        inv[v] = vf_load_lanes(invstd + v * VL, lanes);
    }
    for (size_t r = 0; r < rows; r++) {
        size_t row = r * (size_t)c;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            vf g = masked(dy + row + v * VL, relu ? out + row + v * VL : dy, relu, lanes);
            vf xhat = vf_mul(vf_sub(vf_load_lanes(x + row + v * VL, lanes), center[v]), inv[v]);
            g_acc[v] = vf_add(g_acc[v], g);
            gx_acc[v] = vf_fma(g, xhat, gx_acc[v]);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        vf_store_lanes(sum_g + v * VL, g_acc[v], lanes);
        vf_store_lanes(sum_gx + v * VL, gx_acc[v], lanes);
    }
}

static inline void backward_sums(float *sum_g, float *sum_gx, const float *dy, const float *out, const float *x,
                                 const float *mean, const float *invstd, const bool relu, size_t rows, int c)
{
    memset(sum_g, 0, (size_t)c * sizeof *sum_g);
    memset(sum_gx, 0, (size_t)c * sizeof *sum_gx);
    for (size_t first = 0; first < rows; first += ROW_BLOCK) {
        size_t n = block_rows(rows, first), at = first * (size_t)c;
        for (int j = 0, vectors; j < c; j += vectors * VL, at += (size_t)(vectors * VL)) {
            vectors = next_vectors(c - j);
            const float *o = relu ? out + at : NULL;
            if (vectors == 4)
                backward_sums_block(sum_g + j, sum_gx + j, dy + at, o, x + at, mean + j, invstd + j, relu, n, c, 4, VL);
            else if (vectors == 2)
                backward_sums_block(sum_g + j, sum_gx + j, dy + at, o, x + at, mean + j, invstd + j, relu, n, c, 2, VL);
            else
                backward_sums_block(sum_g + j, sum_gx + j, dy + at, o, x + at, mean + j, invstd + j, relu, n, c, 1,
                                    next_lanes(c - j));
        }
    }
}

void ISA_FN(norm_backward_sums)(float *sum_g, float *sum_gx, const float *dy, const float *out, const float *x, const float *mean,
                                const float *invstd, size_t rows, int c)
{
    if (out)
        backward_sums(sum_g, sum_gx, dy, out, x, mean, invstd, true, rows, c);
    else
        backward_sums(sum_g, sum_gx, dy, NULL, x, mean, invstd, false, rows, c);
}

enum residual_gradient { RES_NONE, RES_STORE, RES_ADD };

struct backward_channels {
    const float *mean, *invstd, *scale, *a, *b; /* (c) each */
};

static inline void backward_vector(float *dx, float *dres, const float *dy, const float *out, const float *x,
                                   const struct backward_channels *ch, int j, const bool relu, const enum residual_gradient res,
                                   int lanes)
{
    vf g = masked(dy, out, relu, lanes);
    vf xhat = vf_mul(vf_sub(vf_load_lanes(x, lanes), vf_load_lanes(ch->mean + j, lanes)), vf_load_lanes(ch->invstd + j, lanes));
    vf centered = vf_fnma(xhat, vf_load_lanes(ch->b + j, lanes), vf_sub(g, vf_load_lanes(ch->a + j, lanes)));
    if (res == RES_STORE)
        vf_store_lanes(dres, g, lanes);
    else if (res == RES_ADD)
        vf_store_lanes(dres, vf_add(vf_load_lanes(dres, lanes), g), lanes);
    vf_store_lanes(dx, vf_mul(vf_load_lanes(ch->scale + j, lanes), centered), lanes);
}

static inline void backward_rows(float *dx, float *dres, const float *dy, const float *out, const float *x,
                                 const struct backward_channels *ch, const bool relu, const enum residual_gradient res,
                                 size_t rows, int c)
{
    for (size_t r = 0; r < rows; r++) {
        size_t at = r * (size_t)c;
        int j = 0;
        for (; j + VL <= c; j += VL)
            backward_vector(dx + at + j, res ? dres + at + j : NULL, dy + at + j, relu ? out + at + j : NULL, x + at + j, ch, j,
                            relu, res, VL);
        if (j < c)
            backward_vector(dx + at + j, res ? dres + at + j : NULL, dy + at + j, relu ? out + at + j : NULL, x + at + j, ch, j,
                            relu, res, c - j);
    }
}

void ISA_FN(norm_backward_apply)(float *dx, float *dres, bool accumulate_res, const float *dy, const float *out, const float *x,
                                 const float *mean, const float *invstd, const float *scale, const float *a, const float *b,
                                 size_t rows, int c)
{
    struct backward_channels ch = {mean, invstd, scale, a, b};
    enum residual_gradient res = !dres ? RES_NONE : accumulate_res ? RES_ADD : RES_STORE;
    if (out && res == RES_NONE)
        backward_rows(dx, NULL, dy, out, x, &ch, true, RES_NONE, rows, c);
    else if (out && res == RES_STORE)
        backward_rows(dx, dres, dy, out, x, &ch, true, RES_STORE, rows, c);
    else if (out)
        backward_rows(dx, dres, dy, out, x, &ch, true, RES_ADD, rows, c);
    else if (res == RES_NONE)
        backward_rows(dx, NULL, dy, NULL, x, &ch, false, RES_NONE, rows, c);
    else if (res == RES_STORE)
        backward_rows(dx, dres, dy, NULL, x, &ch, false, RES_STORE, rows, c);
    else
        backward_rows(dx, dres, dy, NULL, x, &ch, false, RES_ADD, rows, c);
}
