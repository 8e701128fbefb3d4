/* Packing of B into panels [k][GEMM_NR], columns from n on zero, so that micro-kernels read it without strides or tails. */
#include "shared/shared.h"
#include "vec.h"

void ISA_FN(pack_b)(float *dst, const float *src, ptrdiff_t ld, int k, int n)
{
    for (int p = 0; p < k; p++, src += ld, dst += GEMM_NR)
        for (int j = 0; j < GEMM_NR; j += VL)
            vf_store(dst + j, n - j >= VL ? vf_load(src + j) : n > j ? vf_load_n(src + j, n - j) : vf_zero());
}

/* Weights are packed once a step and used by every pixel, so plain strided reads do; a block of sixteen of k keeps the lines that
 * its nr rows touch in L1. */
void ISA_FN(pack_bt)(float *dst, const float *src, ptrdiff_t ld, int k, int n)
{
    enum { BLOCK = 16 };
    for (int p0 = 0; p0 < k; p0 += BLOCK) {
        int depth = k - p0 < BLOCK ? k - p0 : BLOCK;
        for (int j = 0; j < GEMM_NR; j++)
            for (int p = p0; p < p0 + depth; p++)
                dst[(ptrdiff_t)p * GEMM_NR + j] = j < n ? src[j * ld + p] : 0.0f;
    }
}
