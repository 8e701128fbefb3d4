/* Batch-reduce GEMM for AArch64 NEON: tiles of 1 to 8 rows by 8 columns (or 4, where the panel is that narrow).
 *
 * In the lane-indexed form: four consecutive k of each row are one vector of A, whose lanes multiply four rows of B. Registers of
 * 8 x 8: 16 accumulators, 8 vectors of A, 2 of B = 26 of 32, none spilled (broadcasting A instead makes GCC spill). Four steps of
 * k are 64 FMAs for 16 loads. Eight row pointers and B fit the general registers easily. */
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

/* acc[i] += x[i][lane] b: one step of k. */
ALWAYS_INLINE void step_lane(vf acc[][2], const vf x[], const int lane, const float *b, const int mr, const bool wide)
{
    const vf b0 = vf_load(b), b1 = wide ? vf_load(b + VL) : vf_zero();
    UNROLL
    for (int i = 0; i < mr; i++) {
        acc[i][0] = fma_lane(acc[i][0], b0, x[i], lane);
        if (wide)
            acc[i][1] = fma_lane(acc[i][1], b1, x[i], lane);
    }
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
        for (; p + 4 <= k; p += 4, b += 4 * GEMM_NR) {
            vf x[GEMM_MR];
            UNROLL
            for (int i = 0; i < mr; i++)
                x[i] = vf_load(a[i] + p);
            step_lane(acc, x, 0, b, mr, wide);
            step_lane(acc, x, 1, b + GEMM_NR, mr, wide);
            step_lane(acc, x, 2, b + 2 * GEMM_NR, mr, wide);
            step_lane(acc, x, 3, b + 3 * GEMM_NR, mr, wide);
        }
#pragma GCC unroll 1
        for (; p < k; p++, b += GEMM_NR)
            step(acc, a, p, b, mr, wide);
    }

    finish_rows(mr, wide, g, c_row, acc);
}

/* Rows i0 .. i0 + mr of brgemm_tn. A step reads mr consecutive floats: whole vectors by lane, the rest by broadcast. */
ALWAYS_INLINE void tile_tn_by_lane(const int mr, const bool wide, const struct product *g, int i0)
{
    vf acc[GEMM_MR][2];
    UNROLL
    for (int i = 0; i < mr; i++)
        acc[i][0] = acc[i][1] = vf_zero();

    const float *b = g->b, *soon = g->soon;
    for (ptrdiff_t p = 0; p < g->k; p++, b += GEMM_NR, soon += g->soon_row) {
        __builtin_prefetch(soon, 0, 2);
        const float *a = g->a + g->a_row[p] + i0;
        const vf b0 = vf_load(b), b1 = wide ? vf_load(b + VL) : vf_zero();
        const vf x[2] = {mr >= 4 ? vf_load(a) : vf_zero(), mr >= 8 ? vf_load(a + 4) : vf_zero()};
        UNROLL
        for (int i = 0; i < mr; i++) {
            const bool by_lane = i < mr / 4 * 4;
            const vf xi = by_lane ? x[i / 4] : vf_set1(a[i]);
            acc[i][0] = fma_lane(acc[i][0], b0, xi, by_lane ? i % 4 : 0);
            if (wide)
                acc[i][1] = fma_lane(acc[i][1], b1, xi, by_lane ? i % 4 : 0);
        }
    }

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
