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

/* 2^x for x in [-126, 127.5), error under 1.1 ulp; exactly 0 at -127 and below, and NaN stays NaN. The exponent n is taken by
 * adding a number so large that the sum's last bit is worth 1: its low bits are then n + 127, and shifted into place 2^n, or 0 where
 * n = -127. What remains, in [-1/2, 1/2], goes through a polynomial fitted for the least largest relative error, 2.6e-9, with p(0) = 1. */
static inline vf vf_exp2(vf x)
{
    const vf rounder = vf_set1(12582912.0f + 127.0f); /* 1.5 * 2^23 + 127 */
    vf clamped = vf_max(vf_set1(-127.0f), x);
    vf n = vf_add(clamped, rounder);
    vf r = vf_sub(clamped, vf_sub(n, rounder));
    vf p = vf_set1(1.559467782e-4f);
    p = vf_fma(p, r, vf_set1(1.340664341e-3f));
    p = vf_fma(p, r, vf_set1(9.617692791e-3f));
    p = vf_fma(p, r, vf_set1(5.550310388e-2f));
    p = vf_fma(p, r, vf_set1(2.402265221e-1f));
    p = vf_fma(p, r, vf_set1(6.931472421e-1f));
    p = vf_fma(p, r, vf_set1(1.0f));
    return vf_mul(p, vi_as_float(vi_shl23(vf_as_int(n))));
}

#endif
