/* Separable blur of one plane with reflected borders, in strips of a few rows that never leave L1: vertical from the image into
 * padded rows, horizontal from those into dst. A strip, not a single row, so that the horizontal pass does not read words that
 * the vertical pass has only just written at other offsets (a store-forwarding stall each). */
#include "shared/shared.h"
#include "vec.h"

enum { VECS = 4 }; /* independent chains: hides the latency of FMA */

/* The row or column that stands for i outside [0, n): the edge itself is not repeated. -n < i < 2n - 1. */
static inline ptrdiff_t reflect(ptrdiff_t i, ptrdiff_t n)
{
    return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

/* dst[0..w) = chain over t of weights[t] * row y + t - taps / 2 of src. */
static void vertical(float *dst, const float *src, const float *weights, int taps, int y, int h, int w)
{
    int x = 0;
    for (; x + VECS * VL <= w; x += VECS * VL) {
        vf sum[VECS] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
        for (int t = 0; t < taps; t++) {
            const float *row = src + reflect((ptrdiff_t)y + t - taps / 2, h) * w + x;
            vf weight = vf_set1(weights[t]);
#pragma GCC unroll 4
            for (int j = 0; j < VECS; j++)
                sum[j] = vf_fma(weight, vf_load(row + j * VL), sum[j]);
        }
#pragma GCC unroll 4
        for (int j = 0; j < VECS; j++)
            vf_store(dst + x + j * VL, sum[j]);
    }
    for (; x < w; x += VL) {
        int lanes = w - x < VL ? w - x : VL;
        vf sum = vf_zero();
        for (int t = 0; t < taps; t++)
            sum = vf_fma(vf_set1(weights[t]), vf_load_n(src + reflect((ptrdiff_t)y + t - taps / 2, h) * w + x, lanes), sum);
        vf_store_n(dst + x, sum, lanes);
    }
}

/* dst[x] = min(chain over t of weights[t] * padded[x + t], 1), x < w: rounded weights may add up to a little over one. */
static void horizontal(float *dst, const float *padded, const float *weights, int taps, int w)
{
    int x = 0;
    for (; x + VECS * VL <= w; x += VECS * VL) {
        vf sum[VECS] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
        for (int t = 0; t < taps; t++) {
            vf weight = vf_set1(weights[t]);
#pragma GCC unroll 4
            for (int j = 0; j < VECS; j++)
                sum[j] = vf_fma(weight, vf_load(padded + x + t + j * VL), sum[j]);
        }
#pragma GCC unroll 4
        for (int j = 0; j < VECS; j++)
            vf_store(dst + x + j * VL, vf_min(sum[j], vf_set1(1.0f)));
    }
    for (; x < w; x += VL) {
        int lanes = w - x < VL ? w - x : VL;
        vf sum = vf_zero();
        for (int t = 0; t < taps; t++)
            sum = vf_fma(vf_set1(weights[t]), vf_load_n(padded + x + t, lanes), sum);
        vf_store_n(dst + x, vf_min(sum, vf_set1(1.0f)), lanes);
    }
}

void ISA_FN(blur)(float *dst, const float *src, float *tmp, const float *weights, int taps, int h, int w)
{
    int radius = taps / 2, width = w + taps - 1;
    for (int y0 = 0; y0 < h; y0 += BLUR_STRIP) {
        int rows = h - y0 < BLUR_STRIP ? h - y0 : BLUR_STRIP;
        for (int i = 0; i < rows; i++) {
            float *row = tmp + (ptrdiff_t)i * width + radius;
            vertical(row, src, weights, taps, y0 + i, h, w);
            for (int j = 1; j <= radius; j++) {
                row[-j] = row[j];
                row[w - 1 + j] = row[w - 1 - j];
            }
        }
        for (int i = 0; i < rows; i++)
            horizontal(dst + (ptrdiff_t)(y0 + i) * w, tmp + (ptrdiff_t)i * width, weights, taps, w);
    }
}
