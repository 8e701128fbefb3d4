/* Bytes to floats and back, and the two passes of a separable resize (any filter: the weights are the caller's). */
#include "shared/shared.h"
#include "vec.h"

enum { ROWS_AT_ONCE = 4 };

static inline void to_planar(float *dst, const uint8_t *src, ptrdiff_t ld, int h, int w, int c, bool flip)
{
    for (int ch = 0; ch < c; ch++)
        for (int y = 0; y < h; y++) {
            float *to = dst + ((ptrdiff_t)ch * h + y) * w;
            const uint8_t *from = src + y * ld + ch;
            for (int x = 0; x < w; x++)
                to[x] = (float)from[(ptrdiff_t)x * c] / 255.0f;
            /* Turned afterwards: strided bytes read backwards compile to an insertion each instead of shuffles. */
            for (int x = 0, last = w - 1; flip && x < last; x++, last--) {
                float left = to[x];
                to[x] = to[last];
                to[last] = left;
            }
        }
}

/* Constant channel counts let the compiler turn the strided bytes into shuffles. */
void ISA_FN(u8_to_planar)(float *dst, const uint8_t *src, ptrdiff_t ld, int h, int w, int c, bool flip)
{
    if (c == 3)
        to_planar(dst, src, ld, h, w, 3, flip);
    else
        to_planar(dst, src, ld, h, w, c, flip);
}

void ISA_FN(planar_to_nhwc)(float *dst, const float *src, int pixels, int c)
{
    if (c == 3)
        for (ptrdiff_t i = 0; i < pixels; i++) {
            dst[3 * i] = src[i];
            dst[3 * i + 1] = src[i + pixels];
            dst[3 * i + 2] = src[i + 2 * (ptrdiff_t)pixels];
        }
    else
        for (ptrdiff_t i = 0; i < pixels; i++)
            for (int ch = 0; ch < c; ch++)
                dst[i * c + ch] = src[i + ch * (ptrdiff_t)pixels];
}

/* VL bytes as floats, or the first `left` of them. */
static inline vf load_bytes(const uint8_t *p, ptrdiff_t left)
{
    if (left >= VL)
        return vf_load_u8(p);
    uint8_t some[VL] = {0};
    for (ptrdiff_t i = 0; i < left; i++)
        some[i] = p[i];
    return vf_load_u8(some);
}

/* dst = (first ? 0 : dst) + the chain over `taps` rows. */
static inline void add_rows(float *dst, const uint8_t *src, ptrdiff_t ld, ptrdiff_t count, const float *weights, int taps,
                            bool first)
{
    for (ptrdiff_t i = 0; i < count; i += VL) {
        ptrdiff_t left = count - i;
        int lanes = left < VL ? (int)left : VL;
        vf sum = first ? vf_zero() : vf_load_n(dst + i, lanes);
        for (int t = 0; t < taps; t++)
            sum = vf_fma(vf_set1(weights[t]), load_bytes(src + t * ld + i, left), sum);
        if (lanes == VL)
            vf_store(dst + i, sum);
        else
            vf_store_n(dst + i, sum, lanes);
    }
}

/* A photograph shrunk to a thumbnail has hundreds of taps: rows are read a few at a time, each from end to end as the prefetcher
 * likes it, and dst (which stays in L1) continues the chain. */
void ISA_FN(resize_rows)(float *dst, const uint8_t *src, ptrdiff_t ld, ptrdiff_t count, const float *weights, int taps)
{
    int t = 0;
    do {
        const uint8_t *rows = src + t * ld;
        switch (taps - t) {
        case 1: add_rows(dst, rows, ld, count, weights + t, 1, t == 0); break;
        case 2: add_rows(dst, rows, ld, count, weights + t, 2, t == 0); break;
        case 3: add_rows(dst, rows, ld, count, weights + t, 3, t == 0); break;
        default: add_rows(dst, rows, ld, count, weights + t, ROWS_AT_ONCE, t == 0); break;
        }
        t += ROWS_AT_ONCE;
    } while (t < taps);
}

static inline void filter_columns(float *dst, ptrdiff_t plane, const float *src, int c, int w_out, const int32_t *at,
                                  const float *weights, ptrdiff_t ldw, int taps)
{
    for (int x = 0; x < w_out; x += VL) {
        vi from = vi_load(at + x);
        int lanes = w_out - x < VL ? w_out - x : VL;
        for (int ch = 0; ch < c; ch++) {
            vf sum = vf_zero();
            for (int t = 0; t < taps; t++)
                sum = vf_fma(vf_load(weights + t * ldw + x), vf_gather(src + (ptrdiff_t)t * c + ch, from), sum);
            /* rounded weights may add up to a little over one */
            vf_store_n(dst + ch * plane + x, vf_min(sum, vf_set1(1.0f)), lanes);
        }
    }
}

void ISA_FN(resize_columns)(float *dst, ptrdiff_t plane, const float *src, int c, int w_out, const int32_t *at,
                            const float *weights, ptrdiff_t ldw, int taps)
{
    if (c == 3 && taps == 2)
        filter_columns(dst, plane, src, 3, w_out, at, weights, ldw, 2);
    else
        filter_columns(dst, plane, src, c, w_out, at, weights, ldw, taps);
}
