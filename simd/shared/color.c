/* Color operations on floats in [0, 1], as torchvision defines them for tensors, clamped after each. Where the arithmetic itself
 * cannot leave [0, 1] the clamps, which would cost as much as the rest, are left out: no bit changes. */
#include "shared/shared.h"
#include "vec_math.h"

static inline vf clamp01(vf x)
{
    return vf_min(vf_max(x, vf_zero()), vf_set1(1.0f));
}

/* ITU-R 601 luma with the rounding of the weights that PIL and torchvision use: they add up to 0.9999. */
static inline vf luma(vf r, vf g, vf b)
{
    return vf_fma(vf_set1(0.114f), b, vf_fma(vf_set1(0.587f), g, vf_mul(vf_set1(0.2989f), r)));
}

/* ---- Value by value ---- */

ALWAYS_INLINE void scale(float *x, float factor, int lanes)
{
    vf_store_lanes(x, vf_min(vf_mul(vf_load_lanes(x, lanes), vf_set1(factor)), vf_set1(1.0f)), lanes);
}

void ISA_FN(brightness)(float *x, float factor, size_t count)
{
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        scale(x + i, factor, VL);
    if (i < count)
        scale(x + i, factor, (int)(count - i));
}

/* a + factor (x - a). With a and x in [0, 1] and a factor up to 1 it stays there: it grows with x, rounding included, is a - factor a
 * >= 0 for x = 0, and at most a + (1 - a), which rounds to 1, for x = 1. */
ALWAYS_INLINE vf blend(vf factor, vf x, vf a, const bool beyond)
{
    vf y = vf_fma(factor, vf_sub(x, a), a);
    return beyond ? clamp01(y) : y;
}

ALWAYS_INLINE void contrast_of(float *x, float mean, float factor, size_t count, const bool beyond)
{
    vf m = vf_set1(mean), f = vf_set1(factor);
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        vf_store(x + i, blend(f, vf_load(x + i), m, beyond));
    if (i < count) {
        int lanes = (int)(count - i);
        vf_store_n(x + i, blend(f, vf_load_n(x + i, lanes), m, beyond), lanes);
    }
}

void ISA_FN(contrast)(float *x, float mean, float factor, size_t count)
{
    if (factor > 1.0f)
        contrast_of(x, mean, factor, count, true);
    else
        contrast_of(x, mean, factor, count, false);
}

ALWAYS_INLINE void invert_above(float *x, vf limit, int lanes)
{
    vf v = vf_load_lanes(x, lanes);
    vf_store_lanes(x, vf_select(vf_ge(v, limit), vf_sub(vf_set1(1.0f), v), v), lanes);
}

void ISA_FN(solarize)(float *x, float threshold, size_t count)
{
    vf limit = vf_set1(threshold);
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        invert_above(x + i, limit, VL);
    if (i < count)
        invert_above(x + i, limit, (int)(count - i));
}

/* ---- Pixel by pixel: columns of h, one of red, one of green, one of blue ---- */

static inline struct canon grey_load(const float *x, int h, int n, int c)
{
    struct canon r = n == CANON ? canon_load(x) : canon_load_n(x, n);
    if (c != 3)
        return r;
    struct canon g = n == CANON ? canon_load(x + h) : canon_load_n(x + h, n);
    struct canon b = n == CANON ? canon_load(x + 2 * (ptrdiff_t)h) : canon_load_n(x + 2 * (ptrdiff_t)h, n);
    for (int j = 0; j < CANON_VECS; j++)
        r.v[j] = luma(r.v[j], g.v[j], b.v[j]);
    return r;
}

/* Sums in float over at most so many pixels, these in double: the error does not grow with the picture. */
enum { GREY_BLOCK = 4096 };

float ISA_FN(grey_mean)(const float *x, int w, int c, int h)
{
    double total = 0.0;
    int at_once = h < GREY_BLOCK ? GREY_BLOCK / h : 1;
    for (int from = 0; from < w; from += at_once) {
        int to = w - from < at_once ? w : from + at_once;
        struct canon sum = canon_zero();
        for (int column = from; column < to; column++) {
            const float *p = x + (ptrdiff_t)column * c * h;
            int i = 0;
            for (; i + CANON <= h; i += CANON)
                sum = canon_add(sum, grey_load(p + i, h, CANON, c));
            if (i < h)
                sum = canon_add(sum, grey_load(p + i, h, h - i, c));
        }
        total += (double)canon_sum(sum);
    }
    return (float)(total / ((double)w * h));
}

struct rgb {
    vf r, g, b;
};

ALWAYS_INLINE struct rgb load_rgb(const float *x, ptrdiff_t h, int lanes)
{
    return (struct rgb){vf_load_lanes(x, lanes), vf_load_lanes(x + h, lanes), vf_load_lanes(x + 2 * h, lanes)};
}

ALWAYS_INLINE void store_rgb(float *x, ptrdiff_t h, struct rgb p, int lanes)
{
    vf_store_lanes(x, p.r, lanes);
    vf_store_lanes(x + h, p.g, lanes);
    vf_store_lanes(x + 2 * h, p.b, lanes);
}

ALWAYS_INLINE void saturate(float *x, ptrdiff_t h, vf f, const bool beyond, int lanes)
{
    struct rgb p = load_rgb(x, h, lanes);
    vf grey = luma(p.r, p.g, p.b);
    store_rgb(x, h, (struct rgb){blend(f, p.r, grey, beyond), blend(f, p.g, grey, beyond), blend(f, p.b, grey, beyond)}, lanes);
}

ALWAYS_INLINE void saturation_of(float *x, float factor, int w, int h, const bool beyond)
{
    for (ptrdiff_t column = 0; column < w; column++, x += 3 * (ptrdiff_t)h) {
        int i = 0;
        for (; i + VL <= h; i += VL)
            saturate(x + i, h, vf_set1(factor), beyond, VL);
        if (i < h)
            saturate(x + i, h, vf_set1(factor), beyond, h - i);
    }
}

void ISA_FN(saturation)(float *x, float factor, int w, int h)
{
    if (factor > 1.0f)
        saturation_of(x, factor, w, h, true);
    else
        saturation_of(x, factor, w, h, false);
}

/* The new hue in sextants, 0 <= hue < 8, if the largest channel is red, green or blue and both others are equal. */
struct turned {
    float red, green, blue;
};

static inline float into_one_to_seven(float hue)
{
    return hue < 1.0f ? hue + 6.0f : hue >= 7.0f ? hue - 6.0f : hue;
}

/* HSV and back without its division: hue is kept in sextants times chroma (the largest less the smallest channel), so the sextant's
 * number is multiplied where its fraction would have been divided. A channel then is a trapezoid over the hue: |hue - 3| - 1 for
 * red, 2 - |hue - 2| for green and 2 - |hue - 4| for blue, times chroma and between the smallest and the largest. */
ALWAYS_INLINE void turn_hue(float *x, ptrdiff_t h, const struct turned *turned, int lanes)
{
    struct rgb p = load_rgb(x, h, lanes);
    vf most = vf_max(p.r, vf_max(p.g, p.b)), least = vf_min(p.r, vf_min(p.g, p.b)), chroma = vf_sub(most, least);
    vm red_most = vf_eq(most, p.r), green_most = vf_eq(most, p.g);
    vf across = vf_select(red_most, vf_sub(p.g, p.b), vf_select(green_most, vf_sub(p.b, p.r), vf_sub(p.r, p.g)));
    vf sextant = vf_select(red_most, vf_set1(turned->red), vf_select(green_most, vf_set1(turned->green), vf_set1(turned->blue)));
    vf hue = vf_fma(sextant, chroma, across), circle = vf_mul(vf_set1(6.0f), chroma);
    hue = vf_select(vf_ge(hue, circle), vf_sub(hue, circle), hue);
    vf low = vf_sub(least, chroma), high = vf_fma(vf_set1(2.0f), chroma, least);
    vf r = vf_add(low, vf_abs(vf_fnma(vf_set1(3.0f), chroma, hue)));
    vf g = vf_sub(high, vf_abs(vf_fnma(vf_set1(2.0f), chroma, hue)));
    vf b = vf_sub(high, vf_abs(vf_fnma(vf_set1(4.0f), chroma, hue)));
    store_rgb(x, h, (struct rgb){vf_min(vf_max(r, least), most), vf_min(vf_max(g, least), most), vf_min(vf_max(b, least), most)}, lanes);
}

void ISA_FN(hue)(float *x, float shift, int w, int h)
{
    float turn = 6.0f * shift;
    const struct turned turned = {into_one_to_seven(turn), into_one_to_seven(2.0f + turn), into_one_to_seven(4.0f + turn)};
    for (ptrdiff_t column = 0; column < w; column++, x += 3 * (ptrdiff_t)h) {
        int i = 0;
        for (; i + VL <= h; i += VL)
            turn_hue(x + i, h, &turned, VL);
        if (i < h)
            turn_hue(x + i, h, &turned, h - i);
    }
}
