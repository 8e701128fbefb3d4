/* Batch-reduce GEMM in plain C: the reference whose bits every other ISA must give.
 *
 * One C element is one chain of fmaf in (t, k) order. A small tile in local arrays keeps B's row in L1 and lets a compiler that has
 * FMA in its baseline vectorise over columns; where fmaf is a library call, that call is what costs. */
#include "shared/shared.h"

#include <math.h>

void ISA_FN(brgemm)(float *c, const ptrdiff_t *c_row, const float *a, const ptrdiff_t *a_row, const ptrdiff_t *a_tap, const float *b,
                    int m, int n, int k, int taps, enum brgemm_mode mode)
{
    for (int i0 = 0; i0 < m; i0 += GEMM_MR) {
        int rows = m - i0 < GEMM_MR ? m - i0 : GEMM_MR;
        float acc[GEMM_MR][GEMM_NR] = {{0.0f}};
        for (int i = 0; mode == BRGEMM_CONTINUE && i < rows; i++)
            for (int j = 0; j < n; j++)
                acc[i][j] = c[c_row[i0 + i] + j];

        const float *b_row = b;
        for (int t = 0; t < taps; t++)
            for (int p = 0; p < k; p++, b_row += GEMM_NR)
                for (int i = 0; i < rows; i++) {
                    float x = a[a_row[i0 + i] + a_tap[t] + p];
                    for (int j = 0; j < n; j++)
                        acc[i][j] = fmaf(x, b_row[j], acc[i][j]);
                }

        for (int i = 0; i < rows; i++)
            for (int j = 0; j < n; j++)
                c[c_row[i0 + i] + j] = mode == BRGEMM_ADD ? c[c_row[i0 + i] + j] + acc[i][j] : acc[i][j];
    }
}

void ISA_FN(brgemm_tn)(float *c, ptrdiff_t ldc, const float *a, const ptrdiff_t *a_bytes, const float *b, ptrdiff_t ldb,
                       float *packed, int m, int n, int k, bool accumulate, const float *soon, ptrdiff_t soon_row)
{
    (void)soon, (void)soon_row;
    if (packed) {
        ISA_FN(pack_b)(packed, b, ldb, k, n);
        b = packed;
    }
    for (int i0 = 0; i0 < m; i0 += GEMM_MR) {
        int rows = m - i0 < GEMM_MR ? m - i0 : GEMM_MR;
        float acc[GEMM_MR][GEMM_NR] = {{0.0f}};
        for (int p = 0; p < k; p++)
            for (int i = 0; i < rows; i++) {
                float x = behind(a, a_bytes[p])[i0 + i];
                for (int j = 0; j < n; j++)
                    acc[i][j] = fmaf(x, b[(ptrdiff_t)p * GEMM_NR + j], acc[i][j]);
            }
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < n; j++)
                c[(i0 + i) * ldc + j] = (accumulate ? c[(i0 + i) * ldc + j] : 0.0f) + acc[i][j];
    }
}
