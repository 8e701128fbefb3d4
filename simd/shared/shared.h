/* The functions that fill one ISA's table (../kernels.h, where each slot's contract stands). simd/<isa>/ defines the micro-kernels
 * by hand; simd/shared/ defines the rest once over vec.h and is compiled once per ISA. Sections follow kernels.h. */
#ifndef SIMD_SHARED_H
#define SIMD_SHARED_H

#include "isa.h"
#include "kernels.h"

extern const struct kernels ISA_FN(kernels);

/* ---- GEMM: simd/<isa>/brgemm.c, pack.c ---- */

/* What lies so many bytes behind p. */
static inline const float *behind(const float *p, ptrdiff_t bytes) { return (const void *)((const char *)(const void *)p + bytes); }

/* The micro-tile. Each brgemm.c has its register budget; widths are chosen so that no accumulator ever leaves the registers. */
#if defined ISA_IS_AVX512
enum { GEMM_MR = 12, GEMM_NR = 32 };
#elif defined ISA_IS_AVX2
enum { GEMM_MR = 6, GEMM_NR = 16 };
#elif defined ISA_IS_NEON
enum { GEMM_MR = 8, GEMM_NR = 8 };
#else
enum { GEMM_MR = 4, GEMM_NR = 8 };
#endif

void ISA_FN(brgemm)(float *c, const ptrdiff_t *c_row, const float *a, const ptrdiff_t *a_row, const ptrdiff_t *a_tap, const float *b,
                    int m, int n, int k, int taps, enum brgemm_mode mode);
void ISA_FN(brgemm_tn)(float *c, ptrdiff_t ldc, const float *a, const ptrdiff_t *a_bytes, const float *b, ptrdiff_t ldb,
                       float *packed, int m, int n, int k, bool accumulate, const float *soon, ptrdiff_t soon_row);
void ISA_FN(pack_b)(float *dst, const float *src, ptrdiff_t ld, int k, int n);
void ISA_FN(pack_bt)(float *dst, const float *src, ptrdiff_t ld, int k, int n);

/* ---- Winograd: winograd.c ---- */

void ISA_FN(winograd_input)(enum winograd kind, float *v, ptrdiff_t v_tile, ptrdiff_t panel, ptrdiff_t point, const float *x,
                            ptrdiff_t row, ptrdiff_t col, int tiles, int c);
void ISA_FN(winograd_output)(enum winograd kind, float *y, ptrdiff_t row, ptrdiff_t col, bool accumulate, const float *m,
                             ptrdiff_t point, int k);
void ISA_FN(winograd_gradient)(enum winograd kind, float *m, ptrdiff_t m_tile, ptrdiff_t panel, ptrdiff_t point, const float *dy,
                               ptrdiff_t row, ptrdiff_t col, int tiles, int k);
void ISA_FN(winograd_weights)(enum winograd kind, float *u, ptrdiff_t point, const float *w, ptrdiff_t tap, size_t count);
void ISA_FN(winograd_weights_gradient)(enum winograd kind, float *dw, ptrdiff_t tap, const float *u, ptrdiff_t point, ptrdiff_t slice,
                                       int slices, size_t count);

/* ---- Batch norm: norm.c ---- */

void ISA_FN(norm_stats)(float *mean, float *m2, const float *x, size_t rows, int c);
void ISA_FN(norm_apply)(float *y, const float *x, const float *residual, const float *mean, const float *scale, const float *shift,
                        bool relu, size_t rows, int c);
void ISA_FN(norm_backward_sums)(float *sum_g, float *sum_gx, const float *dy, const float *out, const float *x, const float *mean,
                                const float *invstd, const float *scale, const float *shift, size_t rows, int c);
void ISA_FN(norm_backward_apply)(float *dx, float *dres, bool accumulate_res, const float *dy, const float *out, const float *x,
                                 const float *mean, const float *invstd, const float *scale, const float *shift, const float *a,
                                 const float *b, size_t rows, int c);

/* ---- Element-wise: elementwise.c ---- */

void ISA_FN(bias_act)(float *y, const float *x, const float *bias, bool relu, size_t rows, int c);
void ISA_FN(relu_backward)(float *dx, const float *dy, const float *out, size_t count);
void ISA_FN(add)(float *y, const float *x, size_t count);
void ISA_FN(column_sums)(float *sum, const float *x, size_t rows, int c);

/* ---- Pooling: pool.c ---- */

void ISA_FN(maxpool)(float *y, uint8_t *which, const float *x, int h, int w, int c);
void ISA_FN(maxpool_backward)(float *dx, const float *dy, const uint8_t *which, int h, int w, int c);
void ISA_FN(avgpool)(float *y, const float *x, int pixels, int c);
void ISA_FN(avgpool_backward)(float *dx, const float *dy, int pixels, int c);

/* ---- NT-Xent: ntxent.c ---- */

void ISA_FN(l2_normalize)(float *u, float *norm, const float *x, size_t rows, int d);
void ISA_FN(l2_normalize_backward)(float *dx, const float *du, const float *u, const float *norm, size_t rows, int d);
void ISA_FN(ntxent_sums)(float *row, float *col, const float *s, float inv_tau, int m);
float ISA_FN(ntxent_total)(const float *s, float inv_tau, int m);
void ISA_FN(ntxent_ahead)(int32_t *row, int32_t *col, const float *s, const float *row_bound, const float *col_bound, int m);
void ISA_FN(ntxent_gradient)(float *s, const float *row, const float *col, float inv_tau, int m);
float ISA_FN(dot)(const float *a, const float *b, size_t count);

/* ---- t-SNE: tsne.c ---- */

void ISA_FN(tsne_forces)(float *forces, const float *x, const float *y, const float *p, size_t first, size_t n);

/* ---- Optimisers: optim.c ---- */

void ISA_FN(sgd)(float *w, float *v, const float *g, float lr, float momentum, float wd, bool nesterov, size_t count);
void ISA_FN(lars)(float *w, float *v, const float *g, float lr_trust, float momentum, float wd, size_t count);
void ISA_FN(adam)(float *w, float *m, float *v, const float *g, float rate1, float rate2, float l2, float lr_decay, float step,
                  float sqrt_bias2, float eps, size_t count);
double ISA_FN(sum_squares)(const float *g, const float *w, float wd, size_t count);

/* ---- Augmentation: resize.c (u8_to_f32 to resize_columns), color.c (brightness to solarize), blur.c ---- */

void ISA_FN(u8_to_f32)(float *dst, const uint8_t *src, size_t count);
void ISA_FN(resize_rows)(float *dst, const uint8_t *src, ptrdiff_t ld, ptrdiff_t count, const float *weights, int taps);
void ISA_FN(transpose)(float *dst, ptrdiff_t ldd, const float *src, ptrdiff_t lds, int rows, int cols);
void ISA_FN(resize_columns)(float *dst, ptrdiff_t h, const float *src, int c, int w_out, int rows, const int32_t *from,
                            const int32_t *taps, const float *weights, ptrdiff_t ldw);
void ISA_FN(brightness)(float *x, float factor, size_t count);
float ISA_FN(grey_mean)(const float *x, int w, int c, int h);
void ISA_FN(contrast)(float *x, float mean, float factor, size_t count);
void ISA_FN(saturation)(float *x, float factor, int w, int h);
void ISA_FN(hue)(float *x, float shift, int w, int h);
void ISA_FN(solarize)(float *x, float threshold, size_t count);
void ISA_FN(blur)(float *dst, const float *src, float *tmp, const float *weights, int radius, int n, int c, int count, bool transposed);

/* ---- Arithmetic alone: peak.c ---- */

void ISA_FN(fma_repeat)(float *x, float a, float b, size_t count, long rounds, int chains);

#endif
