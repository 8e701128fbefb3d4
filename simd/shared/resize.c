/* Bytes to floats, and the two passes of a separable resize (any filter: the weights are the caller's). */
#include "shared/shared.h"
#include "transpose.h"
#include "vec.h"

/* The last vector of a row overlaps the one before: bytes have no masked loads on most ISAs. Rows shorter than a vector are copied. */
ALWAYS_INLINE vf load_bytes(const uint8_t *p, int lanes)
{
    if (lanes == VL)
        return vf_load_u8(p);
    uint8_t some[VL] = {0};
    for (int i = 0; i < lanes; i++)
        some[i] = p[i];
    return vf_load_u8(some);
}

void ISA_FN(u8_to_f32)(float *dst, const uint8_t *src, size_t count)
{
    const vf most = vf_set1(255.0f);
    if (count < VL) {
        vf_store_n(dst, vf_div(load_bytes(src, (int)count), most), (int)count);
        return;
    }
    for (size_t i = 0; i + VL <= count; i += VL)
        vf_store(dst + i, vf_div(vf_load_u8(src + i), most));
    vf_store(dst + count - VL, vf_div(vf_load_u8(src + count - VL), most));
}

/* (first ? 0 : dst) + the chain over `taps` rows. */
ALWAYS_INLINE vf add_taps(const float *dst, const uint8_t *src, ptrdiff_t ld, const float *weights, const int taps, const bool first, int lanes)
{
    vf sum = first ? vf_zero() : vf_load_lanes(dst, lanes);
    for (int t = 0; t < taps; t++)
        sum = vf_fma(vf_set1(weights[t]), load_bytes(src + t * ld, lanes), sum);
    return sum;
}

ALWAYS_INLINE void add_rows(float *dst, const uint8_t *src, ptrdiff_t ld, ptrdiff_t count, const float *weights, const int taps,
                            const bool first)
{
    if (count < VL) {
        vf_store_n(dst, add_taps(dst, src, ld, weights, taps, first, (int)count), (int)count);
        return;
    }
    ptrdiff_t last = count - VL;
    vf end = add_taps(dst + last, src + last, ld, weights, taps, first, VL); /* before dst changes under it */
    for (ptrdiff_t i = 0; i < last; i += VL)
        vf_store(dst + i, add_taps(dst + i, src + i, ld, weights, taps, first, VL));
    vf_store(dst + last, end);
}

enum { ROWS_AT_ONCE = 4 };

/* A photograph shrunk to a thumbnail has hundreds of taps: rows are read a few at a time, each from end to end as the prefetcher
 * likes it, and dst (which stays in L1) continues the chain. */
void ISA_FN(resize_rows)(float *dst, const uint8_t *src, ptrdiff_t ld, ptrdiff_t count, const float *weights, int taps)
{
    switch (taps) {
    case 1: add_rows(dst, src, ld, count, weights, 1, true); return;
    case 2: add_rows(dst, src, ld, count, weights, 2, true); return;
    case 3: add_rows(dst, src, ld, count, weights, 3, true); return;
    default: add_rows(dst, src, ld, count, weights, ROWS_AT_ONCE, true);
    }
    int t = ROWS_AT_ONCE;
    for (; t + ROWS_AT_ONCE <= taps; t += ROWS_AT_ONCE)
        add_rows(dst, src + t * ld, ld, count, weights + t, ROWS_AT_ONCE, false);
    for (; t < taps; t++)
        add_rows(dst, src + t * ld, ld, count, weights + t, 1, false);
}

void ISA_FN(transpose)(float *dst, ptrdiff_t ldd, const float *src, ptrdiff_t lds, int rows, int cols)
{
    transpose_all(dst, ldd, src, lds, rows, cols, false);
}

/* One column of output, `lanes` rows of it: all channels. */
ALWAYS_INLINE void filter_column(float *dst, ptrdiff_t h, const float *src, int c, const float *weights, const int taps, int lanes)
{
    for (int ch = 0; ch < c; ch++) {
        vf sum = vf_zero();
        for (int t = 0; t < taps; t++)
            sum = vf_fma(vf_set1(weights[t]), vf_load_lanes(src + ((ptrdiff_t)t * c + ch) * RESIZE_STRIP, lanes), sum);
        vf_store_lanes(dst + ch * h, vf_min(sum, vf_set1(1.0f)), lanes); /* rounded weights may add up to a little over one */
    }
}

ALWAYS_INLINE void filter_columns(float *dst, ptrdiff_t h, const float *src, const int c, int w_out, const int32_t *from,
                                  const int32_t *taps, const float *weights, ptrdiff_t ldw, int lanes)
{
    for (int x = 0; x < w_out; x++, dst += c * h, weights += ldw) {
        const float *column = src + (ptrdiff_t)from[x] * c * RESIZE_STRIP;
        if (taps[x] == 2) /* of every picture that is not shrunk */
            filter_column(dst, h, column, c, weights, 2, lanes);
        else
            filter_column(dst, h, column, c, weights, taps[x], lanes);
    }
}

void ISA_FN(resize_columns)(float *dst, ptrdiff_t h, const float *src, int c, int w_out, int rows, const int32_t *from,
                            const int32_t *taps, const float *weights, ptrdiff_t ldw)
{
    for (int i = 0; i < rows; i += VL) {
        if (rows - i < VL)
            filter_columns(dst + i, h, src + i, c, w_out, from, taps, weights, ldw, rows - i);
        else if (c == 3)
            filter_columns(dst + i, h, src + i, 3, w_out, from, taps, weights, ldw, VL);
        else
            filter_columns(dst + i, h, src + i, c, w_out, from, taps, weights, ldw, VL);
    }
}
