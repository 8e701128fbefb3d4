/* Color operations on planar floats in [0, 1], as torchvision defines them for tensors, clamped after each. */
#include "shared/shared.h"
#include "vec_math.h"

static inline vf load_upto(const float *p, size_t left)
{
    return left >= VL ? vf_load(p) : vf_load_n(p, (int)left);
}

static inline void store_upto(float *p, vf a, size_t left)
{
    if (left >= VL)
        vf_store(p, a);
    else
        vf_store_n(p, a, (int)left);
}

static inline vf clamp01(vf x)
{
    return vf_min(vf_max(x, vf_zero()), vf_set1(1.0f));
}

/* ITU-R 601 luma with the rounding of the weights that PIL and torchvision use: they add up to 0.9999. */
static inline vf luma(vf r, vf g, vf b)
{
    return vf_fma(vf_set1(0.114f), b, vf_fma(vf_set1(0.587f), g, vf_mul(vf_set1(0.2989f), r)));
}

void ISA_FN(brightness)(float *x, float factor, size_t count)
{
    for (size_t i = 0; i < count; i += VL)
        store_upto(x + i, clamp01(vf_mul(load_upto(x + i, count - i), vf_set1(factor))), count - i);
}

/* Sums in float over blocks of this many pixels, blocks in double: the error does not grow with the picture. */
enum { GREY_BLOCK = 4096 };

static inline struct canon grey_load(const float *x, ptrdiff_t pixels, ptrdiff_t i, int n, int c)
{
    struct canon r = canon_load_n(x + i, n);
    if (c != 3)
        return r;
    struct canon g = canon_load_n(x + pixels + i, n), b = canon_load_n(x + 2 * pixels + i, n);
    for (int j = 0; j < CANON_VECS; j++)
        r.v[j] = luma(r.v[j], g.v[j], b.v[j]);
    return r;
}

float ISA_FN(grey_mean)(const float *x, int pixels, int c)
{
    double total = 0.0;
    for (ptrdiff_t block = 0; block < pixels; block += GREY_BLOCK) {
        ptrdiff_t end = block + GREY_BLOCK < pixels ? block + GREY_BLOCK : pixels;
        struct canon sum = canon_zero();
        for (ptrdiff_t i = block; i < end; i += CANON)
            sum = canon_add(sum, grey_load(x, pixels, i, end - i < CANON ? (int)(end - i) : CANON, c));
        total += (double)canon_sum(sum);
    }
    return (float)(total / pixels);
}

void ISA_FN(contrast)(float *x, float mean, float factor, size_t count)
{
    vf m = vf_set1(mean), f = vf_set1(factor);
    for (size_t i = 0; i < count; i += VL)
        store_upto(x + i, clamp01(vf_fma(f, vf_sub(load_upto(x + i, count - i), m), m)), count - i);
}

void ISA_FN(saturation)(float *x, float factor, int pixels)
{
    size_t n = (size_t)pixels;
    float *red = x, *green = x + n, *blue = x + 2 * n;
    vf f = vf_set1(factor);
    for (size_t i = 0; i < n; i += VL) {
        vf r = load_upto(red + i, n - i), g = load_upto(green + i, n - i), b = load_upto(blue + i, n - i);
        vf grey = luma(r, g, b);
        store_upto(red + i, clamp01(vf_fma(f, vf_sub(r, grey), grey)), n - i);
        store_upto(green + i, clamp01(vf_fma(f, vf_sub(g, grey), grey)), n - i);
        store_upto(blue + i, clamp01(vf_fma(f, vf_sub(b, grey), grey)), n - i);
    }
}

/* One channel of HSV -> RGB without a branch per sextant: value - chroma * clamp(min(k, 4 - k)), k = (hue + n) mod 6, with
 * n = 5, 3, 1 for red, green, blue. hue is in [0, 6]. */
static inline vf hue_channel(vf value, vf chroma, vf hue, float n)
{
    vf k = vf_add(hue, vf_set1(n));
    k = vf_select(vf_ge(k, vf_set1(6.0f)), vf_sub(k, vf_set1(6.0f)), k);
    return vf_fnma(chroma, clamp01(vf_min(k, vf_sub(vf_set1(4.0f), k))), value);
}

/* Hue is kept in sextants, and chroma = max - min stands for value * saturation, which needs no division. */
void ISA_FN(hue)(float *x, float shift, int pixels)
{
    size_t n = (size_t)pixels;
    float *red = x, *green = x + n, *blue = x + 2 * n;
    vf turn = vf_set1(6.0f * shift), one = vf_set1(1.0f);
    for (size_t i = 0; i < n; i += VL) {
        vf r = load_upto(red + i, n - i), g = load_upto(green + i, n - i), b = load_upto(blue + i, n - i);
        vf value = vf_max(r, vf_max(g, b)), chroma = vf_sub(value, vf_min(r, vf_min(g, b)));
        vm red_most = vf_eq(value, r), green_most = vf_eq(value, g);
        vf across = vf_select(red_most, vf_sub(g, b), vf_select(green_most, vf_sub(b, r), vf_sub(r, g)));
        vf sextant = vf_select(red_most, vf_zero(), vf_select(green_most, vf_set1(2.0f), vf_set1(4.0f)));
        /* a grey pixel has no hue, and chroma 0 makes any hue do */
        vf h = vf_add(vf_add(sextant, vf_div(across, vf_select(vf_gt(chroma, vf_zero()), chroma, one))), turn);
        h = vf_fnma(vf_set1(6.0f), vf_floor(vf_mul(h, vf_set1(1.0f / 6.0f))), h);
        store_upto(red + i, hue_channel(value, chroma, h, 5.0f), n - i);
        store_upto(green + i, hue_channel(value, chroma, h, 3.0f), n - i);
        store_upto(blue + i, hue_channel(value, chroma, h, 1.0f), n - i);
    }
}

void ISA_FN(solarize)(float *x, float threshold, size_t count)
{
    vf limit = vf_set1(threshold), one = vf_set1(1.0f);
    for (size_t i = 0; i < count; i += VL) {
        vf v = load_upto(x + i, count - i);
        store_upto(x + i, vf_select(vf_ge(v, limit), vf_sub(one, v), v), count - i);
    }
}
