/* Batch-reduce GEMM for AArch64 NEON: tiles of 1 to 8 rows by 8 columns (or 4, where the panel is that narrow).
 *
 * In the lane-indexed form: four consecutive k of each row are one vector of A, whose lanes multiply four rows of B. Registers of
 * 8 x 8: 16 accumulators, 8 vectors of A, 2 of B = 26 of 32, none spilled (broadcasting A instead makes GCC spill). Four steps of
 * k are 64 FMAs for 16 loads. Eight row pointers and B fit the general registers easily.
 *
 * Small cores execute in order, so each load stands some FMAs before its first use, and the Makefile has GCC keep that order. By
 * tests/mca.sh a Cortex-A55 then reaches 78 % of its FMA bound, so 67 %; a Cortex-A72, which finds its own order, 100 %.
 * 4 x 16 and 5 x 16 gain nothing on either, 6 x 12 and 6 x 16 need more registers than the compiler finds, and 12 columns would
 * leave a tenth of every 64 channels' products to waste. */
#include "shared/tile.h"

/* acc + b * x[lane]; the instruction takes the lane as a constant, which it is at every call. */
ALWAYS_INLINE vf fma_lane(vf acc, vf b, vf x, const int lane)
{
    switch (lane) {
    case 0: return vfmaq_laneq_f32(acc, b, x, 0);
    case 1: return vfmaq_laneq_f32(acc, b, x, 1);
    case 2: return vfmaq_laneq_f32(acc, b, x, 2);
    default: return vfmaq_laneq_f32(acc, b, x, 3);
    }
}

/* Not with clang 14, which then copies accumulators from register to register. */
#if defined __clang__
enum { LOAD_AHEAD = false };
#else
enum { LOAD_AHEAD = true };
#endif

/* acc[i] += x[i][lane] b: one step of k. Behind the last FMA that wants them, unless NULL, come the next step's b and x. */
ALWAYS_INLINE void step_lane(vf acc[][2], vf x[], vf b[2], const int lane, const float *next_b, const float *const next_a[], ptrdiff_t p,
                             const int mr, const bool wide)
{
    UNROLL
    for (int j = 0; j <= wide; j++) {
        UNROLL
        for (int i = 0; i < mr; i++) {
            acc[i][j] = fma_lane(acc[i][j], b[j], x[i], lane);
            if (next_a && j == wide)
                x[i] = vf_load(next_a[i] + p);
        }
        if (next_b)
            b[j] = vf_load(next_b + j * VL);
    }
}

/* Four steps, whose x and first b are in registers. Then those are the next four's, from next_b and from p on in the rows a, unless
 * next_b is NULL. */
ALWAYS_INLINE void steps_lane(vf acc[][2], vf x[], vf bs[2], const float *b, const float *next_b, const float *const a[], ptrdiff_t p,
                              const int mr, const bool wide)
{
    step_lane(acc, x, bs, 0, b + GEMM_NR, NULL, 0, mr, wide);
    step_lane(acc, x, bs, 1, b + 2 * GEMM_NR, NULL, 0, mr, wide);
    step_lane(acc, x, bs, 2, b + 3 * GEMM_NR, NULL, 0, mr, wide);
    step_lane(acc, x, bs, 3, next_b, next_b ? a : NULL, p, mr, wide);
}

/* Rows i0 .. i0 + mr of brgemm; mr and wide are constants at every call. */
ALWAYS_INLINE void tile_by_lane(const int mr, const bool wide, const struct product *g, int i0)
{
    const ptrdiff_t *c_row = g->c_row + i0, *a_row = g->a_row + i0;
    vf acc[GEMM_MR][2];
    UNROLL
    for (int i = 0; i < mr; i++)
        acc[i][0] = acc[i][1] = vf_zero();
    if (g->mode == BRGEMM_CONTINUE) {
        UNROLL
        for (int i = 0; i < mr; i++)
            load_columns(acc[i], g->c + c_row[i], wide, g->n);
    }

    const float *b = g->b;
    const ptrdiff_t k = g->k;
    for (int t = 0; t < g->taps; t++) {
        const float *a[GEMM_MR];
        UNROLL
        for (int i = 0; i < mr; i++)
            a[i] = g->a + g->a_tap[t] + a_row[i];
        ptrdiff_t p = 0;
        if (LOAD_AHEAD && k >= 4) {
            vf x[GEMM_MR], bs[2] = {vf_load(b), wide ? vf_load(b + VL) : vf_zero()};
            UNROLL
            for (int i = 0; i < mr; i++)
                x[i] = vf_load(a[i]);
            for (p = 4; p + 4 <= k; p += 4, b += 4 * GEMM_NR)
                steps_lane(acc, x, bs, b, b + 4 * GEMM_NR, a, p, mr, wide);
            steps_lane(acc, x, bs, b, NULL, a, 0, mr, wide);
            b += 4 * GEMM_NR;
        }
        for (; !LOAD_AHEAD && p + 4 <= k; p += 4) {
            vf x[GEMM_MR], bs[2] = {vf_load(b), wide ? vf_load(b + VL) : vf_zero()};
            UNROLL
            for (int i = 0; i < mr; i++)
                x[i] = vf_load(a[i] + p);
            steps_lane(acc, x, bs, b, NULL, a, 0, mr, wide);
            b += 4 * GEMM_NR;
        }
#pragma GCC unroll 1
        for (; p < k; p++, b += GEMM_NR)
            step(acc, a, p, b, mr, wide);
    }

    finish_rows(mr, wide, g, c_row, acc);
}

/* A step of brgemm_tn: mr consecutive floats of A, whole vectors by lane and the rest by broadcast, and one or two vectors of B. */
struct operands {
    vf x[2], b[2];
    const float *a;
};

ALWAYS_INLINE void load_operands(struct operands *o, const float *a, const float *b, const int mr, const bool wide)
{
    o->a = a;
    if (mr >= 4)
        o->x[0] = vf_load(a);
    if (mr >= 8)
        o->x[1] = vf_load(a + 4);
    o->b[0] = vf_load(b);
    if (wide)
        o->b[1] = vf_load(b + VL);
}

ALWAYS_INLINE void fma_operands(vf acc[][2], const struct operands *o, const int j, const int mr)
{
    UNROLL
    for (int i = 0; i < mr; i++) {
        const bool by_lane = i < mr / 4 * 4;
        acc[i][j] = fma_lane(acc[i][j], o->b[j], by_lane ? o->x[i / 4] : vf_set1(o->a[i]), by_lane ? i % 4 : 0);
    }
}

/* One step, from `now`. The operands of the step after it, row_after floats from a, are loaded half-way, when the offset, read at the
 * step's begin, has come. */
ALWAYS_INLINE void step_tn(vf acc[][2], const struct operands *now, struct operands *after, const float *a, const ptrdiff_t *row_after,
                           const float *b_after, const int mr, const bool wide)
{
    const ptrdiff_t offset = *row_after;
    fma_operands(acc, now, 0, mr);
    const float *row = a + offset;
    __asm__("" : "+r"(row)); /* one register to load from, not a sum for each load */
    load_operands(after, row, b_after, mr, wide);
    if (wide)
        fma_operands(acc, now, 1, mr);
}

/* Rows i0 .. i0 + mr of brgemm_tn. Four steps a turn, or what a step needs beside its FMAs would be nearly as many instructions. */
ALWAYS_INLINE void tile_tn_by_lane(const int mr, const bool wide, const struct product *g, int i0)
{
    vf acc[GEMM_MR][2];
    UNROLL
    for (int i = 0; i < mr; i++)
        acc[i][0] = acc[i][1] = vf_zero();

    const float *b = g->b, *soon = g->soon, *const a = g->a + i0;
    const ptrdiff_t *a_row = g->a_row, soon_step = g->soon_row;
    ptrdiff_t left = g->k - 1; /* steps behind that of `now` */
    struct operands now, after;
    load_operands(&now, a + *a_row++, b, mr, wide);
    __builtin_prefetch(soon, 0, 2);
    for (b += GEMM_NR, soon += soon_step; left >= 4; left -= 4, b += 4 * GEMM_NR, a_row += 4, soon += 4 * soon_step) {
        __builtin_prefetch(soon, 0, 2);
        step_tn(acc, &now, &after, a, a_row, b, mr, wide);
        __builtin_prefetch(soon + soon_step, 0, 2);
        step_tn(acc, &after, &now, a, a_row + 1, b + GEMM_NR, mr, wide);
        __builtin_prefetch(soon + 2 * soon_step, 0, 2);
        step_tn(acc, &now, &after, a, a_row + 2, b + 2 * GEMM_NR, mr, wide);
        __builtin_prefetch(soon + 3 * soon_step, 0, 2);
        step_tn(acc, &after, &now, a, a_row + 3, b + 3 * GEMM_NR, mr, wide);
    }
#pragma GCC unroll 1
    for (; left > 0; left--, b += GEMM_NR, a_row++, soon += soon_step) {
        __builtin_prefetch(soon, 0, 2);
        step_tn(acc, &now, &after, a, a_row, b, mr, wide);
        now = after;
    }
    fma_operands(acc, &now, 0, mr);
    if (wide)
        fma_operands(acc, &now, 1, mr);

    UNROLL
    for (int i = 0; i < mr; i++) {
        float *c = g->c + (i0 + i) * g->ldc;
        vf old[2] = {vf_zero(), vf_zero()};
        if (g->accumulate)
            load_columns(old, c, wide, g->n);
        acc[i][0] = vf_add(old[0], acc[i][0]);
        acc[i][1] = vf_add(old[1], acc[i][1]);
        store_columns(c, acc[i], wide, g->n);
    }
}

ALWAYS_INLINE void tile_of(int rows, const bool wide, const struct product *g, int i0)
{
    switch (rows) {
    case 1: tile_by_lane(1, wide, g, i0); break;
    case 2: tile_by_lane(2, wide, g, i0); break;
    case 3: tile_by_lane(3, wide, g, i0); break;
    case 4: tile_by_lane(4, wide, g, i0); break;
    case 5: tile_by_lane(5, wide, g, i0); break;
    case 6: tile_by_lane(6, wide, g, i0); break;
    case 7: tile_by_lane(7, wide, g, i0); break;
    default: tile_by_lane(8, wide, g, i0); break;
    }
}

ALWAYS_INLINE void tile_tn_of(int rows, const bool wide, const struct product *g, int i0)
{
    switch (rows) {
    case 1: tile_tn_by_lane(1, wide, g, i0); break;
    case 2: tile_tn_by_lane(2, wide, g, i0); break;
    case 3: tile_tn_by_lane(3, wide, g, i0); break;
    case 4: tile_tn_by_lane(4, wide, g, i0); break;
    case 5: tile_tn_by_lane(5, wide, g, i0); break;
    case 6: tile_tn_by_lane(6, wide, g, i0); break;
    case 7: tile_tn_by_lane(7, wide, g, i0); break;
    default: tile_tn_by_lane(8, wide, g, i0); break;
    }
}

void ISA_FN(brgemm)(float *c, const ptrdiff_t *c_row, const float *a, const ptrdiff_t *a_row, const ptrdiff_t *a_tap, const float *b,
                    int m, int n, int k, int taps, enum brgemm_mode mode)
{
    const struct product g = {.c = c, .c_row = c_row, .a = a, .a_row = a_row, .a_tap = a_tap, .b = b, .m = m, .n = n, .k = k, .taps = taps,
                              .mode = mode};
    const int tiles = (m + GEMM_MR - 1) / GEMM_MR, rows = m / tiles, extra = m % tiles;
    for (int t = 0, i0 = 0; t < tiles; i0 += rows + (t < extra), t++)
        if (n > VL)
            tile_of(rows + (t < extra), true, &g, i0);
        else
            tile_of(rows + (t < extra), false, &g, i0);
}

void ISA_FN(brgemm_tn)(float *c, ptrdiff_t ldc, const float *a, const ptrdiff_t *a_row, const float *b, ptrdiff_t ldb,
                       float *packed, int m, int n, int k, bool accumulate, const float *soon, ptrdiff_t soon_row)
{
    if (packed)
        ISA_FN(pack_b)(packed, b, ldb, k, n);
    struct product g = {.c = c, .ldc = ldc, .a = a, .a_row = a_row, .b = packed ? packed : b, .m = m, .n = n, .k = k,
                        .accumulate = accumulate, .soon = soon ? soon : a, .soon_row = soon ? soon_row : 0};
    const int tiles = (m + GEMM_MR - 1) / GEMM_MR, rows = m / tiles, extra = m % tiles;
    for (int t = 0, i0 = 0; t < tiles; i0 += rows + (t < extra), g.soon += soon ? LINE_FLOATS : 0, t++)
        if (n > VL)
            tile_tn_of(rows + (t < extra), true, &g, i0);
        else
            tile_tn_of(rows + (t < extra), false, &g, i0);
}
