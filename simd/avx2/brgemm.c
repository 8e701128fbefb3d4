/* Batch-reduce GEMM for AVX2 + FMA: tiles of 1 to 6 rows by 16 columns (or 8, where the panel is that narrow).
 *
 * Registers of 6 x 16: 12 accumulators, 2 vectors of B, 1 or 2 broadcasts of A = 16 ymm, none spilled. A step of k is 12 FMAs for
 * 8 loads, so two FMA ports stay busy with two load ports; twelve chains cover the latency of FMA. Six row pointers, B and the
 * counter fit the general registers. m is split evenly: 32 rows are 6+6+5+5+5+5, not five sixes and a slow pair. */
#include "shared/tile.h"

ALWAYS_INLINE void tile_of(int rows, const bool wide, const bool brief, const struct product *g, int i0)
{
    switch (rows) {
    case 1: tile(1, wide, brief, g, i0); break;
    case 2: tile(2, wide, brief, g, i0); break;
    case 3: tile(3, wide, brief, g, i0); break;
    case 4: tile(4, wide, brief, g, i0); break;
    case 5: tile(5, wide, brief, g, i0); break;
    default: tile(6, wide, brief, g, i0); break;
    }
}

ALWAYS_INLINE void tile_tn_of(int rows, const bool wide, const bool packing, const struct product *g, int i0)
{
    switch (rows) {
    case 1: tile_tn(1, wide, packing, g, i0); break;
    case 2: tile_tn(2, wide, packing, g, i0); break;
    case 3: tile_tn(3, wide, packing, g, i0); break;
    case 4: tile_tn(4, wide, packing, g, i0); break;
    case 5: tile_tn(5, wide, packing, g, i0); break;
    default: tile_tn(6, wide, packing, g, i0); break;
    }
}

void ISA_FN(brgemm)(float *c, const ptrdiff_t *c_row, const float *a, const ptrdiff_t *a_row, const ptrdiff_t *a_tap, const float *b,
                    int m, int n, int k, int taps, bool accumulate)
{
    const struct product g = {.c = c, .c_row = c_row, .a = a, .a_row = a_row, .a_tap = a_tap, .b = b, .m = m, .n = n, .k = k, .taps = taps,
                              .accumulate = accumulate};
    const bool brief = taps * (k / FETCH_STEPS) < GEMM_MR;
    const int tiles = (m + GEMM_MR - 1) / GEMM_MR, rows = m / tiles, extra = m % tiles;
    for (int t = 0, i0 = 0; t < tiles; i0 += rows + (t < extra), t++)
        if (brief && n > VL)
            tile_of(rows + (t < extra), true, true, &g, i0);
        else if (n > VL)
            tile_of(rows + (t < extra), true, false, &g, i0);
        else
            tile_of(rows + (t < extra), false, false, &g, i0);
}

void ISA_FN(brgemm_tn)(float *c, ptrdiff_t ldc, const float *a, const ptrdiff_t *a_row, const float *b, ptrdiff_t ldb,
                       float *packed, int m, int n, int k, bool accumulate, const float *soon, ptrdiff_t soon_row)
{
    if (packed && n < GEMM_NR) {
        ISA_FN(pack_b)(packed, b, ldb, k, n);
        b = packed;
        packed = NULL;
    }
    struct product g = {.c = c, .ldc = ldc, .a = a, .a_row = a_row, .b = b, .ldb = ldb, .packed = packed, .m = m, .n = n, .k = k,
                        .accumulate = accumulate, .soon = soon ? soon : a, .soon_row = soon ? soon_row : 0};
    const int tiles = (m + GEMM_MR - 1) / GEMM_MR, rows = m / tiles, extra = m % tiles;
    for (int t = 0, i0 = 0; t < tiles; i0 += rows + (t < extra), g.soon += soon ? LINE_FLOATS : 0, t++)
        if (packed && t == 0) {
            tile_tn_of(rows + (t < extra), true, true, &g, i0);
            g.b = packed;
        } else if (n > VL)
            tile_tn_of(rows + (t < extra), true, false, &g, i0);
        else
            tile_tn_of(rows + (t < extra), false, false, &g, i0);
}
