/* brgemm and brgemm_tn for x86: m divided evenly among tiles. Included once, behind the tile_of and tile_tn_of of an ISA, which know how
 * many rows its registers hold. */
#ifndef SIMD_BRGEMM_ENTRY_H
#define SIMD_BRGEMM_ENTRY_H

void ISA_FN(brgemm)(float *c, const ptrdiff_t *c_row, const float *a, const ptrdiff_t *a_row, const ptrdiff_t *a_tap, const float *b,
                    int m, int n, int k, int taps, enum brgemm_mode mode)
{
    const struct product g = {.c = c, .c_row = c_row, .a = a, .a_row = a_row, .a_tap = a_tap, .b = b, .m = m, .n = n, .k = k, .taps = taps,
                              .mode = mode};
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

void ISA_FN(brgemm_tn)(float *c, ptrdiff_t ldc, const float *a, const ptrdiff_t *a_bytes, const float *b, ptrdiff_t ldb,
                       float *packed, int m, int n, int k, bool accumulate, const float *soon, ptrdiff_t soon_row)
{
    if (packed && n < GEMM_NR) {
        ISA_FN(pack_b)(packed, b, ldb, k, n);
        b = packed;
        packed = NULL;
    }
    struct product g = {.c = c, .ldc = ldc, .a = a, .a_bytes = a_bytes, .b = b, .ldb = ldb, .packed = packed, .m = m, .n = n, .k = k,
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

#endif
