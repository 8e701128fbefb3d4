/* Functions over vec.h: exp, and sums over canonical lanes. */
#ifndef SIMD_VEC_MATH_H
#define SIMD_VEC_MATH_H

#include "vec.h"

/* Sixteen canonical lanes: element i of a row belongs to lane i % 16 on every ISA, and lanes are added by one fixed tree. */
enum { CANON = 16, CANON_VECS = CANON / VL };
struct canon {
    vf v[CANON_VECS];
};

static inline struct canon canon_zero(void)
{
    struct canon s;
    for (int j = 0; j < CANON_VECS; j++)
        s.v[j] = vf_zero();
    return s;
}

/* Sixteen floats, or the first n of them with +0 for the rest. */
static inline struct canon canon_load(const float *p)
{
    struct canon s;
    for (int j = 0; j < CANON_VECS; j++)
        s.v[j] = vf_load(p + j * VL);
    return s;
}

static inline struct canon canon_load_n(const float *p, int n)
{
    struct canon s;
    for (int j = 0; j < CANON_VECS; j++) {
        int lanes = n - j * VL;
        s.v[j] = lanes >= VL ? vf_load(p + j * VL) : lanes > 0 ? vf_load_n(p + j * VL, lanes) : vf_zero();
    }
    return s;
}

static inline struct canon canon_add(struct canon a, struct canon b)
{
    for (int j = 0; j < CANON_VECS; j++)
        a.v[j] = vf_add(a.v[j], b.v[j]);
    return a;
}

static inline struct canon canon_fma(struct canon a, struct canon b, struct canon c)
{
    for (int j = 0; j < CANON_VECS; j++)
        c.v[j] = vf_fma(a.v[j], b.v[j], c.v[j]);
    return c;
}

/* The tree: lanes i and i+8, then i+4, i+2, i+1. */
static inline float canon_sum(struct canon s)
{
    float t[CANON];
    for (int j = 0; j < CANON_VECS; j++)
        vf_store(t + j * VL, s.v[j]);
    for (int half = CANON / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] = t[i] + t[i + half];
    return t[0];
}

/* e^x for x <= 88, relative error under 2 ulp; exactly 0 below -87.33 (no denormals come out). Range reduction by ln 2 in two
 * parts and a degree-6 polynomial (the constants are Cephes' expf, S. Moshier). */
static inline vf vf_exp(vf x)
{
    const vf ln2_high = vf_set1(0.693359375f), ln2_low = vf_set1(-2.12194440e-4f);
    vf clamped = vf_max(x, vf_set1(-87.33f));
    vf n = vf_floor(vf_fma(clamped, vf_set1(1.44269504088896341f), vf_set1(0.5f)));
    vf r = vf_fnma(n, ln2_low, vf_fnma(n, ln2_high, clamped));
    vf p = vf_set1(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set1(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set1(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set1(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set1(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set1(5.0000001201e-1f));
    vf y = vf_add(vf_fma(p, vf_mul(r, r), r), vf_set1(1.0f));
    vf scale = vi_as_float(vi_shl23(vi_add(vf_to_int(n), vi_set1(127))));
    return vf_select(vf_lt(x, vf_set1(-87.33f)), vf_zero(), vf_mul(y, scale));
}

#endif
