/* Blocks of a transpose: what lies in memory as rows passes through registers and leaves as columns. */
#ifndef SIMD_TRANSPOSE_H
#define SIMD_TRANSPOSE_H

#include "vec.h"

/* VL x VL floats: dst[j * ldd + i] = src[i * lds + j]. A function of its own, for inlined into loops the addresses of its rows are all
 * made loop variables, which have no registers to live in. */
static __attribute__((noinline)) void transpose_block(float *dst, ptrdiff_t ldd, const float *src, ptrdiff_t lds)
{
    vf r[VL];
    UNROLL
    for (int i = 0; i < VL; i++, src += lds)
        r[i] = vf_load(src);
    vf_transpose(r);
    UNROLL
    for (int i = 0; i < VL; i++, dst += ldd)
        vf_store(dst, r[i]);
}

/* The same at an edge, rows and cols <= VL. With fill, the lanes of dst beyond rows are zeroed, else they are left as they are. */
static __attribute__((noinline)) void transpose_edge(float *dst, ptrdiff_t ldd, const float *src, ptrdiff_t lds, int rows, int cols,
                                                     bool fill)
{
    vf r[VL];
    for (int i = 0; i < VL; i++)
        r[i] = i < rows ? vf_load_n(src + i * lds, cols) : vf_zero();
    vf_transpose(r);
    for (int j = 0; j < cols; j++)
        vf_store_n(dst + j * ldd, r[j], fill ? VL : rows);
}

/* rows x cols floats, of any size. */
static inline void transpose_all(float *dst, ptrdiff_t ldd, const float *src, ptrdiff_t lds, int rows, int cols, bool fill)
{
    for (int i = 0; i < rows; i += VL)
        for (int j = 0; j < cols; j += VL) {
            float *to = dst + j * ldd + i;
            const float *from = src + i * lds + j;
            int height = rows - i < VL ? rows - i : VL, width = cols - j < VL ? cols - j : VL;
            if (height == VL && width == VL)
                transpose_block(to, ldd, from, lds);
            else
                transpose_edge(to, ldd, from, lds, height, width, fill);
        }
}

#endif
