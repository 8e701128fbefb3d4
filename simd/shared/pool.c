/* Max pooling 3x3 stride 2 padding 1 and global average pooling of one NHWC image. Lanes are channels. */
#include "shared/shared.h"
#include "vec.h"

/* One output pixel's channels: rows i0..i1 and columns j0..j1 (inclusive) of the window whose corner is (top, left). */
static inline void max_vector(float *y, uint8_t *which, const float *x, int w, int c, int top, int left, int i0, int i1, int j0,
                              int j1, int lanes)
{
    vf best = vf_zero(), index = vf_zero();
    for (int i = i0; i <= i1; i++)
        for (int j = j0; j <= j1; j++) {
            vf v = vf_load_lanes(x + ((ptrdiff_t)i * w + j) * c, lanes);
            vf tap = vf_set1((float)((i - top) * 3 + (j - left)));
            bool first = i == i0 && j == j0;
            vm greater = vf_gt(v, best);
            best = first ? v : vf_select(greater, v, best);
            index = first ? tap : vf_select(greater, tap, index);
        }
    vf_store_lanes(y, best, lanes);
    int32_t taps[VL];
    vi_store(taps, vf_to_int(index));
    for (int l = 0; l < lanes; l++)
        which[l] = (uint8_t)taps[l];
}

void ISA_FN(maxpool)(float *y, uint8_t *which, const float *x, int h, int w, int c)
{
    int ho = (h + 1) / 2, wo = (w + 1) / 2;
    for (int oi = 0; oi < ho; oi++)
        for (int oj = 0; oj < wo; oj++, y += c, which += c) {
            int top = 2 * oi - 1, left = 2 * oj - 1;
            int i0 = top < 0 ? 0 : top, i1 = top + 2 < h ? top + 2 : h - 1;
            int j0 = left < 0 ? 0 : left, j1 = left + 2 < w ? left + 2 : w - 1;
            int l = 0;
            for (; l + VL <= c; l += VL)
                max_vector(y + l, which + l, x + l, w, c, top, left, i0, i1, j0, j1, VL);
            if (l < c)
                max_vector(y + l, which + l, x + l, w, c, top, left, i0, i1, j0, j1, c - l);
        }
}

static inline vf load_taps(const uint8_t *which, int lanes)
{
    if (lanes == VL)
        return vf_load_u8(which);
    uint8_t bytes[VL] = {0};
    memcpy(bytes, which, (size_t)lanes);
    return vf_load_u8(bytes);
}

/* One input pixel gathers from the windows oi0..oi1 x oj0..oj1 that hold it: no zeroing pass, and no scatter. */
static inline void max_gather(float *dx, const float *dy, const uint8_t *which, int i, int j, int wo, int c, int oi0, int oi1,
                              int oj0, int oj1, int lanes)
{
    vf sum = vf_zero();
    for (int oi = oi0; oi <= oi1; oi++)
        for (int oj = oj0; oj <= oj1; oj++) {
            ptrdiff_t at = ((ptrdiff_t)oi * wo + oj) * c;
            vf tap = vf_set1((float)((i - (2 * oi - 1)) * 3 + (j - (2 * oj - 1))));
            vf g = vf_select(vf_eq(load_taps(which + at, lanes), tap), vf_load_lanes(dy + at, lanes), vf_zero());
            sum = vf_add(sum, g);
        }
    vf_store_lanes(dx, sum, lanes);
}

void ISA_FN(maxpool_backward)(float *dx, const float *dy, const uint8_t *which, int h, int w, int c)
{
    int ho = (h + 1) / 2, wo = (w + 1) / 2;
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++, dx += c) {
            int oi0 = i / 2, oi1 = (i + 1) / 2 < ho ? (i + 1) / 2 : ho - 1;
            int oj0 = j / 2, oj1 = (j + 1) / 2 < wo ? (j + 1) / 2 : wo - 1;
            int l = 0;
            for (; l + VL <= c; l += VL)
                max_gather(dx + l, dy + l, which + l, i, j, wo, c, oi0, oi1, oj0, oj1, VL);
            if (l < c)
                max_gather(dx + l, dy + l, which + l, i, j, wo, c, oi0, oi1, oj0, oj1, c - l);
        }
}

static inline void average_vector(float *y, const float *x, int pixels, int c, int lanes)
{
    vf sum = vf_zero();
    for (int p = 0; p < pixels; p++)
        sum = vf_add(sum, vf_load_lanes(x + (ptrdiff_t)p * c, lanes));
    vf_store_lanes(y, vf_div(sum, vf_set1((float)pixels)), lanes);
}

void ISA_FN(avgpool)(float *y, const float *x, int pixels, int c)
{
    int j = 0;
    for (; j + VL <= c; j += VL)
        average_vector(y + j, x + j, pixels, c, VL);
    if (j < c)
        average_vector(y + j, x + j, pixels, c, c - j);
}

void ISA_FN(avgpool_backward)(float *dx, const float *dy, int pixels, int c)
{
    vf count = vf_set1((float)pixels);
    for (int j = 0; j < c; j += VL) {
        int lanes = c - j < VL ? c - j : VL;
        vf_store_lanes(dx + j, vf_div(vf_load_lanes(dy + j, lanes), count), lanes);
    }
    for (int p = 1; p < pixels; p++)
        memcpy(dx + (ptrdiff_t)p * c, dx, (size_t)c * sizeof *dx);
}
