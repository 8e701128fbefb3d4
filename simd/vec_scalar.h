/* vec.h in plain C: one lane. The reference that every other ISA must equal. */
#ifndef SIMD_VEC_SCALAR_H
#define SIMD_VEC_SCALAR_H

enum { VL = 1 };
typedef float vf;
typedef int32_t vi;
typedef int vm;

static inline vf vf_load(const float *p) { return *p; }
static inline void vf_store(float *p, vf a) { *p = a; }
static inline vf vf_load_n(const float *p, int n) { return n > 0 ? *p : 0.0f; }
static inline void vf_store_n(float *p, vf a, int n) { if (n > 0) *p = a; }
static inline vf vf_set1(float x) { return x; }
static inline vf vf_zero(void) { return 0.0f; }
static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
static inline vf vf_fma(vf a, vf b, vf c) { return fmaf(a, b, c); }
static inline vf vf_fnma(vf a, vf b, vf c) { return fmaf(-a, b, c); }
static inline vf vf_sqrt(vf a) { return sqrtf(a); }
static inline vf vf_max(vf a, vf b) { return a > b ? a : b; }
static inline vf vf_min(vf a, vf b) { return a < b ? a : b; }
static inline vf vf_abs(vf a) { return fabsf(a); }

static inline vm vf_lt(vf a, vf b) { return a < b; }
static inline vm vf_le(vf a, vf b) { return a <= b; }
static inline vm vf_gt(vf a, vf b) { return a > b; }
static inline vm vf_ge(vf a, vf b) { return a >= b; }
static inline vm vf_eq(vf a, vf b) { return a == b; }
static inline vf vf_select(vm m, vf a, vf b) { return m ? a : b; }
static inline int vm_count(vm m) { return m; }

static inline vi vi_load(const int32_t *p) { return *p; }
static inline void vi_store(int32_t *p, vi a) { *p = a; }
static inline vi vi_inc(vi a, vm m) { return a + m; }
static inline vi vi_shl23(vi a) { return (int32_t)((uint32_t)a << 23); }
static inline vi vf_to_int(vf a) { return (int32_t)a; }
static inline vi vf_as_int(vf a) { vi r; memcpy(&r, &a, sizeof r); return r; }
static inline vf vi_as_float(vi a) { vf r; memcpy(&r, &a, sizeof r); return r; }

static inline vf vf_load_u8(const uint8_t *p) { return (float)*p; }
static inline void vf_transpose(vf r[1]) { (void)r; }

#endif
