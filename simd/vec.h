/* The vector vocabulary: one set of inline functions, four implementations. vf is VL floats, vi is VL int32, vm a mask of VL.
 *
 * Contract, same bits lane by lane on every ISA:
 *   vf_fma(a,b,c) = a*b+c with one rounding; vf_fnma(a,b,c) = c-a*b with one rounding
 *   vf_max(a,b) = a > b ? a : b; vf_min(a,b) = a < b ? a : b (so the second operand wins for NaN and for equal zeros)
 *   comparisons are ordered and quiet; vf_select(m,a,b) = m ? a : b
 *   vf_to_int truncates toward zero; the argument must be inside int32 (clamp first)
 *   vm_count(m) = how many lanes are on; vi_inc(a, m) = m ? a + 1 : a; vf_as_int and vi_as_float keep the bits
 *   vf_load_n / vf_store_n touch only the first n lanes of memory, 0 <= n <= VL; the other lanes load as +0
 *   vf_load_u8 converts VL bytes to float, exactly
 *   vf_transpose: row i of r becomes column i
 * What lanes compute is always outputs; where lanes must be reduced see vec_math.h: sixteen canonical lanes and one tree. */
#ifndef SIMD_VEC_H
#define SIMD_VEC_H

#include "isa.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined ISA_IS_AVX512
#include "vec_avx512.h"
#elif defined ISA_IS_AVX2
#include "vec_avx2.h"
#elif defined ISA_IS_NEON
#include "vec_neon.h"
#else
#include "vec_scalar.h"
#endif

/* +0 where a <= 0, else a: NaN passes, as it does in PyTorch. vf_max would make it 0, and a diverged network look healthy. */
static inline vf vf_relu(vf a) { return vf_select(vf_le(a, vf_zero()), vf_zero(), a); }

/* The first n lanes, 1 <= n <= VL; a whole vector by an ordinary access, which a constant n folds to. */
static inline vf vf_load_lanes(const float *p, int n) { return n == VL ? vf_load(p) : vf_load_n(p, n); }

static inline void vf_store_lanes(float *p, vf a, int n)
{
    if (n == VL)
        vf_store(p, a);
    else
        vf_store_n(p, a, n);
}

#endif
