/* Batch norm over (rows, c): sums per channel, and the element-wise passes. Lanes are channels, so a channel's sum is one chain
 * in row order whatever the vector width. */
#include "shared/shared.h"
#include "vec.h"

/* Sums walk ROW_BLOCK rows at a time and keep their accumulators in memory between blocks: with many channels a column of
 * blocks over all rows would stride through memory, and the prefetchers would lose it. */
enum { ROW_BLOCK = 16, NARROW = 64, LINE = 16 }; /* floats of a cache line */

/* How many of the `left` channels the next block takes: four or two whole vectors, to hide the latency of the add, or one. */
static inline int next_vectors(int left) { return left >= 4 * VL ? 4 : left >= 2 * VL ? 2 : 1; }
static inline int next_lanes(int left) { return left < VL ? left : VL; }

static inline size_t block_rows(size_t rows, size_t first) { return rows - first < ROW_BLOCK ? rows - first : ROW_BLOCK; }

/* Element-wise passes take so many rows at once: blocks of narrow rows lie together, so that what belongs to the channels can stay in
 * registers; wide rows are streamed one by one, since columns of several would be more streams than a prefetcher follows. */
static inline size_t rows_at_once(size_t left, int c)
{
    size_t most = c <= NARROW ? ROW_BLOCK : 1;
    return left < most ? left : most;
}

ALWAYS_INLINE void add_block(float *sum, const float *x, size_t rows, int c, const int vectors, int lanes)
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

ALWAYS_INLINE void m2_block(float *m2, const float *mean, const float *x, size_t rows, int c, const int vectors, int lanes)
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

struct apply_channels {
    const float *mean, *scale, *shift; /* (c) each */
};

ALWAYS_INLINE void apply_block(float *y, const float *x, const float *residual, const struct apply_channels *ch, int j,
                               const bool has_residual, const bool relu, size_t rows, int c, const int vectors, int lanes)
{
    vf mean[4], scale[4], shift[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        mean[v] = vf_load_lanes(ch->mean + j + v * VL, lanes);
        scale[v] = vf_load_lanes(ch->scale + j + v * VL, lanes);
        shift[v] = vf_load_lanes(ch->shift + j + v * VL, lanes);
    }
    for (size_t r = 0; r < rows; r++) {
        size_t row = r * (size_t)c + (size_t)j;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            size_t at = row + (size_t)(v * VL);
            vf value = vf_fma(vf_sub(vf_load_lanes(x + at, lanes), mean[v]), scale[v], shift[v]);
            if (has_residual)
                value = vf_add(value, vf_load_lanes(residual + at, lanes));
            if (relu)
                value = vf_relu(value);
            vf_store_lanes(y + at, value, lanes);
        }
    }
}

static inline void apply_rows(float *y, const float *x, const float *residual, const struct apply_channels *ch,
                              const bool has_residual, const bool relu, size_t rows, int c)
{
    for (size_t first = 0, n; first < rows; first += n) {
        size_t at = first * (size_t)c;
        n = rows_at_once(rows - first, c);
        const float *res = has_residual ? residual + at : x;
        for (int j = 0, vectors; j < c; j += vectors * VL) {
            vectors = next_vectors(c - j);
            if (vectors == 4)
                apply_block(y + at, x + at, res, ch, j, has_residual, relu, n, c, 4, VL);
            else if (vectors == 2)
                apply_block(y + at, x + at, res, ch, j, has_residual, relu, n, c, 2, VL);
            else
                apply_block(y + at, x + at, res, ch, j, has_residual, relu, n, c, 1, next_lanes(c - j));
        }
    }
}

void ISA_FN(norm_apply)(float *y, const float *x, const float *residual, const float *mean, const float *scale,
                        const float *shift, bool relu, size_t rows, int c)
{
    struct apply_channels ch = {mean, scale, shift};
    if (residual && relu)
        apply_rows(y, x, residual, &ch, true, true, rows, c);
    else if (residual)
        apply_rows(y, x, residual, &ch, true, false, rows, c);
    else if (relu)
        apply_rows(y, x, NULL, &ch, false, true, rows, c);
    else
        apply_rows(y, x, NULL, &ch, false, false, rows, c);
}

/* What says where the ReLU let pass. */
enum mask { MASK_NONE, MASK_OUT, MASK_NORM };

static inline enum mask mask_of(const float *out, const float *shift) { return out ? MASK_OUT : shift ? MASK_NORM : MASK_NONE; }

/* dy where the mask lets pass, else +0. The norm's mask is in the arithmetic of norm_apply, so that it equals that of its output. */
static inline vf masked(vf dy, const float *out, vf centered, vf scale, vf shift, const enum mask mask, int lanes)
{
    if (mask == MASK_NONE)
        return dy;
    vf y = mask == MASK_OUT ? vf_load_lanes(out, lanes) : vf_fma(centered, scale, shift);
    return vf_select(vf_gt(y, vf_zero()), dy, vf_zero());
}

struct backward_channels {
    const float *mean, *invstd, *scale, *shift, *a, *b; /* (c) each */
};

static inline void fetch(const float *line) { __builtin_prefetch(line, 0, 2); }

/* While it sums, it fetches the next block of wide rows into L2, line after line as they lie: the strides across a block are nothing
 * that a CPU's own prefetchers follow, and from memory the sums take twice as long without. What this asks for behind the last row
 * does no harm. */
ALWAYS_INLINE void backward_sums_block(float *sum_g, float *sum_gx, const float *dy, const float *out, const float *x,
                                       const struct backward_channels *ch, int j, const enum mask mask, const bool wide, size_t rows,
                                       int c, const int vectors, int lanes)
{
    vf g_acc[4], gx_acc[4], center[4], inv[4], scale[4], shift[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        int at = j + v * VL;
        g_acc[v] = vf_load_lanes(sum_g + at, lanes);
        gx_acc[v] = vf_load_lanes(sum_gx + at, lanes);
        center[v] = vf_load_lanes(ch->mean + at, lanes);
        inv[v] = vf_load_lanes(ch->invstd + at, lanes);
        scale[v] = mask == MASK_NORM ? vf_load_lanes(ch->scale + at, lanes) : vf_zero();
        shift[v] = mask == MASK_NORM ? vf_load_lanes(ch->shift + at, lanes) : vf_zero();
    }
    for (size_t r = 0; r < rows; r++) {
        size_t row = r * (size_t)c + (size_t)j;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            size_t at = row + (size_t)(v * VL);
            vf centered = vf_sub(vf_load_lanes(x + at, lanes), center[v]);
            vf g = masked(vf_load_lanes(dy + at, lanes), mask == MASK_OUT ? out + at : dy, centered, scale[v], shift[v], mask, lanes);
            g_acc[v] = vf_add(g_acc[v], g);
            gx_acc[v] = vf_fma(g, vf_mul(centered, inv[v]), gx_acc[v]);
            if (wide && v * VL % LINE == 0) {
                size_t next = ROW_BLOCK * (size_t)c + (size_t)j * ROW_BLOCK + (r * (size_t)vectors + (size_t)v) * VL;
                fetch(x + next), fetch(dy + next);
                if (mask == MASK_OUT)
                    fetch(out + next);
            }
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        vf_store_lanes(sum_g + j + v * VL, g_acc[v], lanes);
        vf_store_lanes(sum_gx + j + v * VL, gx_acc[v], lanes);
    }
}

ALWAYS_INLINE void backward_sums_rows(float *sum_g, float *sum_gx, const float *dy, const float *out, const float *x,
                                      const struct backward_channels *ch, const enum mask mask, const bool wide, size_t rows, int c)
{
    memset(sum_g, 0, (size_t)c * sizeof *sum_g);
    memset(sum_gx, 0, (size_t)c * sizeof *sum_gx);
    for (size_t first = 0; first < rows; first += ROW_BLOCK) {
        size_t n = block_rows(rows, first), at = first * (size_t)c;
        const float *o = mask == MASK_OUT ? out + at : NULL;
        for (int j = 0, vectors; j < c; j += vectors * VL) {
            vectors = next_vectors(c - j);
            if (vectors == 4)
                backward_sums_block(sum_g, sum_gx, dy + at, o, x + at, ch, j, mask, wide, n, c, 4, VL);
            else if (vectors == 2)
                backward_sums_block(sum_g, sum_gx, dy + at, o, x + at, ch, j, mask, wide, n, c, 2, VL);
            else
                backward_sums_block(sum_g, sum_gx, dy + at, o, x + at, ch, j, mask, wide, n, c, 1, next_lanes(c - j));
        }
    }
}

static inline void backward_sums(float *sum_g, float *sum_gx, const float *dy, const float *out, const float *x,
                                 const struct backward_channels *ch, const enum mask mask, size_t rows, int c)
{
    if (c > NARROW)
        backward_sums_rows(sum_g, sum_gx, dy, out, x, ch, mask, true, rows, c);
    else
        backward_sums_rows(sum_g, sum_gx, dy, out, x, ch, mask, false, rows, c);
}

void ISA_FN(norm_backward_sums)(float *sum_g, float *sum_gx, const float *dy, const float *out, const float *x, const float *mean,
                                const float *invstd, const float *scale, const float *shift, size_t rows, int c)
{
    struct backward_channels ch = {.mean = mean, .invstd = invstd, .scale = scale, .shift = shift};
    switch (mask_of(out, shift)) {
    case MASK_NONE:
        backward_sums(sum_g, sum_gx, dy, NULL, x, &ch, MASK_NONE, rows, c);
        break;
    case MASK_OUT:
        backward_sums(sum_g, sum_gx, dy, out, x, &ch, MASK_OUT, rows, c);
        break;
    case MASK_NORM:
        backward_sums(sum_g, sum_gx, dy, NULL, x, &ch, MASK_NORM, rows, c);
        break;
    }
}

enum residual_gradient { RES_NONE, RES_STORE, RES_ADD };

ALWAYS_INLINE void backward_block(float *dx, float *dres, const float *dy, const float *out, const float *x,
                                  const struct backward_channels *ch, int j, const enum mask mask, const enum residual_gradient res,
                                  size_t rows, int c, const int vectors, int lanes)
{
    vf mean[4], invstd[4], scale[4], shift[4], a[4], b[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        int at = j + v * VL;
        mean[v] = vf_load_lanes(ch->mean + at, lanes);
        invstd[v] = vf_load_lanes(ch->invstd + at, lanes);
        scale[v] = vf_load_lanes(ch->scale + at, lanes);
        shift[v] = mask == MASK_NORM ? vf_load_lanes(ch->shift + at, lanes) : vf_zero();
        a[v] = vf_load_lanes(ch->a + at, lanes);
        b[v] = vf_load_lanes(ch->b + at, lanes);
    }
    for (size_t r = 0; r < rows; r++) {
        size_t row = r * (size_t)c + (size_t)j;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            size_t at = row + (size_t)(v * VL);
            vf centered = vf_sub(vf_load_lanes(x + at, lanes), mean[v]);
            vf g = masked(vf_load_lanes(dy + at, lanes), mask == MASK_OUT ? out + at : dy, centered, scale[v], shift[v], mask, lanes);
            vf rest = vf_fnma(vf_mul(centered, invstd[v]), b[v], vf_sub(g, a[v]));
            if (res == RES_STORE)
                vf_store_lanes(dres + at, g, lanes);
            else if (res == RES_ADD)
                vf_store_lanes(dres + at, vf_add(vf_load_lanes(dres + at, lanes), g), lanes);
            vf_store_lanes(dx + at, vf_mul(scale[v], rest), lanes);
        }
    }
}

static inline void backward_rows(float *dx, float *dres, const float *dy, const float *out, const float *x,
                                 const struct backward_channels *ch, const enum mask mask, const enum residual_gradient res,
                                 size_t rows, int c)
{
    for (size_t first = 0, n; first < rows; first += n) {
        size_t at = first * (size_t)c;
        n = rows_at_once(rows - first, c);
        float *to = res ? dres + at : NULL;
        const float *o = mask == MASK_OUT ? out + at : NULL;
        for (int j = 0, vectors; j < c; j += vectors * VL) {
            vectors = next_vectors(c - j);
            if (vectors == 4)
                backward_block(dx + at, to, dy + at, o, x + at, ch, j, mask, res, n, c, 4, VL);
            else if (vectors == 2)
                backward_block(dx + at, to, dy + at, o, x + at, ch, j, mask, res, n, c, 2, VL);
            else
                backward_block(dx + at, to, dy + at, o, x + at, ch, j, mask, res, n, c, 1, next_lanes(c - j));
        }
    }
}

static inline void backward_masked(float *dx, float *dres, bool accumulate_res, const float *dy, const float *out, const float *x,
                                   const struct backward_channels *ch, const enum mask mask, size_t rows, int c)
{
    if (!dres)
        backward_rows(dx, NULL, dy, out, x, ch, mask, RES_NONE, rows, c);
    else if (accumulate_res)
        backward_rows(dx, dres, dy, out, x, ch, mask, RES_ADD, rows, c);
    else
        backward_rows(dx, dres, dy, out, x, ch, mask, RES_STORE, rows, c);
}

void ISA_FN(norm_backward_apply)(float *dx, float *dres, bool accumulate_res, const float *dy, const float *out, const float *x,
                                 const float *mean, const float *invstd, const float *scale, const float *shift, const float *a,
                                 const float *b, size_t rows, int c)
{
    struct backward_channels ch = {mean, invstd, scale, shift, a, b};
    switch (mask_of(out, shift)) {
    case MASK_NONE:
        backward_masked(dx, dres, accumulate_res, dy, NULL, x, &ch, MASK_NONE, rows, c);
        break;
    case MASK_OUT:
        backward_masked(dx, dres, accumulate_res, dy, out, x, &ch, MASK_OUT, rows, c);
        break;
    case MASK_NORM:
        backward_masked(dx, dres, accumulate_res, dy, NULL, x, &ch, MASK_NORM, rows, c);
        break;
    }
}
