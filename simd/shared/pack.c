/* Packing of B into panels [k][GEMM_NR], columns from n on zero, so that micro-kernels read it without strides or tails. */
#include "shared/shared.h"
#include "vec.h"

void ISA_FN(pack_b)(float *dst, const float *src, ptrdiff_t ld, int k, int n)
{
    for (int p = 0; p < k; p++, src += ld, dst += GEMM_NR)
        for (int j = 0; j < GEMM_NR; j += VL)
            vf_store(dst + j, n - j >= VL ? vf_load(src + j) : n > j ? vf_load_n(src + j, n - j) : vf_zero());
}

/* Four lanes are in the baseline of every CPU that we know, and a 4 x 4 block is the same eight shuffles on each. */
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t four_int __attribute__((vector_size(16)));

#if defined __clang__
static inline four low_pairs(four a, four b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
static inline four high_pairs(four a, four b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
static inline four low_halves(four a, four b) { return __builtin_shufflevector(a, b, 0, 1, 4, 5); }
static inline four high_halves(four a, four b) { return __builtin_shufflevector(a, b, 2, 3, 6, 7); }
#else
static inline four low_pairs(four a, four b) { return __builtin_shuffle(a, b, (four_int){0, 4, 1, 5}); }
static inline four high_pairs(four a, four b) { return __builtin_shuffle(a, b, (four_int){2, 6, 3, 7}); }
static inline four low_halves(four a, four b) { return __builtin_shuffle(a, b, (four_int){0, 1, 4, 5}); }
static inline four high_halves(four a, four b) { return __builtin_shuffle(a, b, (four_int){2, 3, 6, 7}); }
#endif

static inline void transpose_four(float *dst, const float *src, ptrdiff_t ld)
{
    four a = *(const four *)src, b = *(const four *)(src + ld), c = *(const four *)(src + 2 * ld), d = *(const four *)(src + 3 * ld);
    four ab = low_pairs(a, b), cd = low_pairs(c, d), ab2 = high_pairs(a, b), cd2 = high_pairs(c, d);
    *(four *)dst = low_halves(ab, cd);
    *(four *)(dst + GEMM_NR) = high_halves(ab, cd);
    *(four *)(dst + 2 * GEMM_NR) = low_halves(ab2, cd2);
    *(four *)(dst + 3 * GEMM_NR) = high_halves(ab2, cd2);
}

/* Blocks of sixteen of k: a line of each row, read once, while the next block's are fetched, for rows lie pages apart. */
void ISA_FN(pack_bt)(float *dst, const float *src, ptrdiff_t ld, int k, int n)
{
    enum { BLOCK = 16, AHEAD = 2 * BLOCK };
    for (int p0 = 0; p0 < k; p0 += BLOCK, dst += (ptrdiff_t)BLOCK * GEMM_NR) {
        int depth = k - p0 < BLOCK ? k - p0 : BLOCK, j = 0;
        for (; depth == BLOCK && j + 4 <= n; j += 4) {
            const float *row = src + j * ld + p0;
            for (int i = 0; i < 4 && p0 + AHEAD < k; i++)
                __builtin_prefetch(row + i * ld + AHEAD);
            for (int p = 0; p < BLOCK; p += 4)
                transpose_four(dst + (ptrdiff_t)p * GEMM_NR + j, row + p, ld);
        }
        for (; j < GEMM_NR; j++)
            for (int p = 0; p < depth; p++)
                dst[(ptrdiff_t)p * GEMM_NR + j] = j < n ? src[j * ld + p0 + p] : 0.0f;
    }
}
