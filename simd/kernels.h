/* The kernels: one immutable table per ISA, chosen once by dispatch.h and passed down by pointer.
 *
 * Every kernel is a single-threaded pure function, returns void and cannot fail. Class E: bit-equal to the scalar table on every
 * ISA. Strides and offsets are in elements. Pointers need no alignment unless said. Sizes may be any positive number. */
#ifndef SIMD_KERNELS_H
#define SIMD_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINE_FLOATS = 16 }; /* of a cache line, on every CPU that we know */

/* Kinds of Winograd transforms. Inputs, points and outputs of a tile along one dimension, and how far apart tiles' inputs begin: */
enum winograd {
    WINOGRAD_4X4,          /* stride 1: 6 -> 6 -> 4, 4 apart; 36 products for 144 */
    WINOGRAD_3X3,          /* stride 1: 5 -> 5 -> 3, 3 apart; 25 products for 81: for small maps that 4x4 fits badly */
    WINOGRAD_STRIDED,      /* stride 2: 9 -> 9 -> 4, 8 apart; 81 products for 144. Points 0 to 3 of a dimension share the first of the
                              weights' 6 points, points 4 to 8 have the others */
    WINOGRAD_STRIDED_DATA, /* its gradient by data: 5 (of dy) -> 9 -> 8, 4 apart */
};

/* What becomes of C in brgemm. ADD costs less than CONTINUE, which must wait for C before it can begin. */
enum brgemm_mode {
    BRGEMM_WRITE,    /* C = the chain from +0 */
    BRGEMM_CONTINUE, /* C = the chain that begins with C */
    BRGEMM_ADD,      /* C = C + the chain from +0 */
};

struct kernels {
    const char *name; /* "scalar", "avx2", "avx512", "neon" */

    /* ---- Batch-reduce GEMM (Georganas et al. 2020): the block under convolution, linear layers and similarities ---- */

    int mr, nr; /* micro-tile: rows, and the columns of a packed panel of B */

    /* C[m x n] (+)= sum_{t < taps} A_t[m x k] B_t[k x n]
     * Row i of C is at c + c_row[i], row i of A_t at a + a_row[i] + a_tap[t]; b is a packed panel [taps][k][nr], of whose columns the
     * first n <= nr count, whatever the others hold; any m >= 1 (split evenly over tile variants). Each element is one chain of FMAs
     * in (t, k) order. 2 m n k taps FLOPs. */
    void (*brgemm)(float *c, const ptrdiff_t *c_row, const float *a, const ptrdiff_t *a_row, const ptrdiff_t *a_tap,
                   const float *b, int m, int n, int k, int taps, enum brgemm_mode mode);

    /* C[m x n] (+)= sum_{p < k} A[p][0..m)^T B[p][0..n): weight gradients, the reduction runs over pixels.
     * Row p of A is m consecutive floats, a_bytes[p] bytes behind a (in floats, NEON would need an instruction a row to scale it); b is a
     * packed panel [k][nr], of whose columns the first n count, whatever the others hold; row i of C is at c + i * ldc. One chain from +0
     * in p order, then one addition to C, or to +0 when not accumulating.
     * packed, unless NULL, becomes such a panel of a B whose rows, n floats each, are at b + p ldb.
     * soon, unless NULL, is memory to be fetched into L2 meanwhile, which changes no result: while tile t of up to mr rows passes
     * over p, the cache lines at soon + LINE_FLOATS t + p soon_row. */
    void (*brgemm_tn)(float *c, ptrdiff_t ldc, const float *a, const ptrdiff_t *a_bytes, const float *b, ptrdiff_t ldb,
                      float *packed, int m, int n, int k, bool accumulate, const float *soon, ptrdiff_t soon_row);

    /* dst[k][nr] = src[k][0..n) at row stride ld, columns from n on zero. */
    void (*pack_b)(float *dst, const float *src, ptrdiff_t ld, int k, int n);
    /* dst[k][nr] = the transpose of src[n][0..k) at row stride ld, columns from n on zero. */
    void (*pack_bt)(float *dst, const float *src, ptrdiff_t ld, int k, int n);

    /* ---- Winograd (Lavin and Gray 2016), for 3x3 convolutions: enum winograd says of what kind. A tile's points lie `point` apart,
     * row by row; pixel (i, j) of a tile is at + i row + j col, c or k channels contiguous. ---- */

    /* V = B^T d B of `tiles` tiles side by side. Channels lie in panels of nr: channel j of tile t's point p at
     * v + p point + t v_tile + j / nr panel + j % nr; with panel = nr they are contiguous. */
    void (*winograd_input)(enum winograd kind, float *v, ptrdiff_t v_tile, ptrdiff_t panel, ptrdiff_t point, const float *x,
                           ptrdiff_t row, ptrdiff_t col, int tiles, int c);
    /* Y = or += A^T M A: the outputs of one tile, whose point p, k floats, is at m + p point. */
    void (*winograd_output)(enum winograd kind, float *y, ptrdiff_t row, ptrdiff_t col, bool accumulate, const float *m,
                            ptrdiff_t point, int k);
    /* M = A dY A^T of the outputs of `tiles` tiles side by side, laid out as V is. */
    void (*winograd_gradient)(enum winograd kind, float *m, ptrdiff_t m_tile, ptrdiff_t panel, ptrdiff_t point, const float *dy,
                              ptrdiff_t row, ptrdiff_t col, int tiles, int k);
    /* U = G g G^T, element-wise over count filters: tap t of filter i is w[t tap + i] (tap < 0 and w at the last tap turn them by 180
     * degrees), its point p goes to u[p point + i]. */
    void (*winograd_weights)(enum winograd kind, float *u, ptrdiff_t point, const float *w, ptrdiff_t tap, size_t count);
    /* dw = G^T U G of count filters, U the sum of `slices` that begin `slice` apart, added in their order. */
    void (*winograd_weights_gradient)(enum winograd kind, float *dw, ptrdiff_t tap, const float *u, ptrdiff_t point, ptrdiff_t slice,
                                      int slices, size_t count);

    /* ---- Batch norm and element-wise, over rows of c channels, (rows, c) contiguous; lanes are channels ---- */

    /* mean[c], m2[c] of this slice: mean = (chain of x in row order) / rows, m2 = chain of fma(d, d, .), d = x - mean. */
    void (*norm_stats)(float *mean, float *m2, const float *x, size_t rows, int c);
    /* y = fma(x - mean, scale, shift), then + residual if not NULL, then ReLU (0 where <= 0; NaN stays) if relu. y may be x. */
    void (*norm_apply)(float *y, const float *x, const float *residual, const float *mean, const float *scale,
                       const float *shift, bool relu, size_t rows, int c);
    /* g = dy where the ReLU behind the norm let pass, else 0: where out > 0; out NULL: where fma(x - mean, scale, shift) > 0, what
     * norm_apply made of x; shift NULL as well: everywhere. sum_g = chain of g; sum_gx = chain of fma(g, (x - mean) * invstd, .). */
    void (*norm_backward_sums)(float *sum_g, float *sum_gx, const float *dy, const float *out, const float *x, const float *mean,
                               const float *invstd, const float *scale, const float *shift, size_t rows, int c);
    /* dx = scale * (g - a - xhat * b), g as above, xhat = (x - mean) * invstd, a = sum_g / M, b = sum_gx / M given per channel;
     * if dres: dres = g, or dres += g when accumulate_res. dx may be dy. */
    void (*norm_backward_apply)(float *dx, float *dres, bool accumulate_res, const float *dy, const float *out, const float *x,
                                const float *mean, const float *invstd, const float *scale, const float *shift, const float *a,
                                const float *b, size_t rows, int c);
    /* y = x + bias (bias may be NULL), then the same ReLU if relu; y may be x. */
    void (*bias_act)(float *y, const float *x, const float *bias, bool relu, size_t rows, int c);
    /* dx = dy where out > 0, else 0; dx may be dy. */
    void (*relu_backward)(float *dx, const float *dy, const float *out, size_t count);
    /* y += x */
    void (*add)(float *y, const float *x, size_t count);
    /* sum[c] = chain of x over rows. */
    void (*column_sums)(float *sum, const float *x, size_t rows, int c);

    /* ---- Pooling, one image, NHWC ---- */

    /* y (ho, wo, c) = max over 3x3 windows, stride 2, padding 1; which = index 0..8 of the first maximum in row-major order. */
    void (*maxpool)(float *y, uint8_t *which, const float *x, int h, int w, int c);
    /* dx (h, w, c) = dy sent to the maxima; dx is overwritten. Windows that overlap add in row-major order of the windows. */
    void (*maxpool_backward)(float *dx, const float *dy, const uint8_t *which, int h, int w, int c);
    /* y[c] = (chain of x over pixels) / pixels. */
    void (*avgpool)(float *y, const float *x, int pixels, int c);
    /* dx (pixels, c) = dy[c] / pixels. */
    void (*avgpool_backward)(float *dx, const float *dy, int pixels, int c);

    /* ---- NT-Xent (Chen et al. 2020, eq. 1); tiles s (m, NTXENT_TILE) of cosine similarities, contiguous, m <= NTXENT_TILE. Elements
     * that are to be left out, a row against itself or columns beyond the last, hold NTXENT_MASKED: exp makes it 0, and it exceeds
     * nothing. 1 / inv_tau >= 0.025, so that no other exp vanishes. ---- */

    /* u = x / max(|x|, 1e-12) per row; norm[row] = max(|x|, 1e-12), or norm is NULL; u may be x. Squares in canonical lanes. */
    void (*l2_normalize)(float *u, float *norm, const float *x, size_t rows, int d);
    /* dx = (du - u (u . du)) / norm per row; the product in canonical lanes; dx may be du. */
    void (*l2_normalize_backward)(float *dx, const float *du, const float *u, const float *norm, size_t rows, int d);
    /* e = exp((s - 1) inv_tau). row (m, 16): lane j % 16 of row[i] += e[i][j], j ascending. col[j] += the chain of e[i][j] over i from
     * +0; col may be NULL. */
    void (*ntxent_sums)(float *row, float *col, const float *s, float inv_tau, int m);
    /* The sum of e over the tile: a chain per column, canonical lanes over columns. */
    float (*ntxent_total)(const float *s, float inv_tau, int m);
    /* row[i] += how many of s[i] exceed row_bound[i]; col[j] += how many of column j exceed col_bound[j]. */
    void (*ntxent_ahead)(int32_t *row, int32_t *col, const float *s, const float *row_bound, const float *col_bound, int m);
    /* In place s -> e (row[i] + col[j]). With 1 / (R tau sum) of the sums of e of R rows, those are both softmax terms of dL/ds. */
    void (*ntxent_gradient)(float *s, const float *row, const float *col, float inv_tau, int m);
    /* a . b, canonical lanes. */
    float (*dot)(const float *a, const float *b, size_t count);

    /* ---- t-SNE (van der Maaten and Hinton 2008) in the plane: points (x[j], y[j]), j < n, which arrays hold up to a multiple of
     * TSNE_POINTS ---- */

    /* What all points do to each of TSNE_POINTS from `first` on, p (n, TSNE_POINTS) their affinities to these. With (dx, dy) from
     * point j and q = 1 / (1 + dx^2 + dy^2), forces (TSNE_SUMS, TSNE_POINTS) are the sums, chains over j without FMA, of p q dx, p q dy,
     * q^2 dx, q^2 dy, and q, a point's own 1 included. */
    void (*tsne_forces)(float *forces, const float *x, const float *y, const float *p, size_t first, size_t n);

    /* ---- Optimisers, element-wise over one tensor; scalars come ready from base/fmath. Moments smaller than the smallest normal
     * number become 0: those of parameters without gradient would decay into denormals and stay there, slow. ---- */

    /* g' = g + wd w; v = momentum v + g'; w -= lr (nesterov ? g' + momentum v : v). */
    void (*sgd)(float *w, float *v, const float *g, float lr, float momentum, float wd, bool nesterov, size_t count);
    /* Google's LARS after the trust ratio: v = momentum v + lr_trust (g + wd w); w -= v. */
    void (*lars)(float *w, float *v, const float *g, float lr_trust, float momentum, float wd, size_t count);
    /* Adam as PyTorch: g' = g + l2 w; m += rate1 (g' - m); v += rate2 (g'^2 - v); w -= lr_decay w;
     * w -= step m / (sqrt(v) / sqrt_bias2 + eps). rate = 1 - beta, step = lr / (1 - beta1^t), sqrt_bias2 = sqrt(1 - beta2^t);
     * Adam has lr_decay = 0, AdamW l2 = 0 and lr_decay = lr weight_decay. */
    void (*adam)(float *w, float *m, float *v, const float *g, float rate1, float rate2, float l2, float lr_decay, float step,
                 float sqrt_bias2, float eps, size_t count);
    /* sum of (g + wd w)^2 in canonical lanes, in double per 4096 elements; w may be NULL with wd = 0. */
    double (*sum_squares)(const float *g, const float *w, float wd, size_t count);

    /* ---- Augmentation of one image. It is kept as columns (w, c, h), x outermost and the h pixels of a channel side by side: its
     * neighbours along x are then whole vectors, and resize and blur never reach across lanes. Values are in [0, 1]. ---- */

    /* dst = src / 255 */
    void (*u8_to_f32)(float *dst, const uint8_t *src, size_t count);
    /* Vertical filter, one row of output: dst[i] = chain over t < taps (>= 1) of weights[t] * src[t * ld + i], i < count. Interleaved
     * bytes serve as they lie: count = w * c. */
    void (*resize_rows)(float *dst, const uint8_t *src, ptrdiff_t ld, ptrdiff_t count, const float *weights, int taps);
    /* dst[j * ldd + i] = src[i * lds + j], i < rows, j < cols. */
    void (*transpose)(float *dst, ptrdiff_t ldd, const float *src, ptrdiff_t lds, int rows, int cols);
    /* Horizontal filter of a strip of rows <= RESIZE_STRIP that is held as columns, src (w, c, RESIZE_STRIP):
     * dst[(x * c + ch) * h + i] = min(chain over t < taps[x] (>= 1) of weights[x * ldw + t] * src[((from[x] + t) * c + ch) *
     * RESIZE_STRIP + i], 1), x < w_out, i < rows. */
    void (*resize_columns)(float *dst, ptrdiff_t h, const float *src, int c, int w_out, int rows, const int32_t *from,
                           const int32_t *taps, const float *weights, ptrdiff_t ldw);
    /* x = clamp(x * factor), factor >= 0 */
    void (*brightness)(float *x, float factor, size_t count);
    /* Mean of the grey image of (w, c, h), c = 3 or 1: canonical lanes along h, in double per 4096 pixels or a column. */
    float (*grey_mean)(const float *x, int w, int c, int h);
    /* x = clamp(fma(factor, x - mean, mean)), factor >= 0, mean in [0, 1] */
    void (*contrast)(float *x, float mean, float factor, size_t count);
    /* (w, 3, h): x = clamp(fma(factor, x - grey, grey)), factor >= 0; 0 is greyscale. */
    void (*saturation)(float *x, float factor, int w, int h);
    /* (w, 3, h): hue turned by shift in [-0.5, 0.5] through HSV, by selects. */
    void (*hue)(float *x, float shift, int w, int h);
    /* x = x >= threshold ? 1 - x : x */
    void (*solarize)(float *x, float threshold, size_t count);
    /* Symmetric filter along the first axis of (n, c, count), border reflected (the edge not repeated), radius < n: with lines
     * i - k and i + k of the same channel, dst line i = min(chain of weights[0] * line i and, over k = 1 .. radius, of
     * weights[k] * (line i - k + line i + k), 1). If transposed, src is (count, n, c) and is not dst, else dst may be src.
     * tmp holds BLUR_PANEL * (n + 2 * radius) * c floats.
     * Two calls with transposed, (n, c, count) = (w, c, h) and then (h, 1, w * c), blur an interleaved image along x and y. */
    void (*blur)(float *dst, const float *src, float *tmp, const float *weights, int radius, int n, int c, int count, bool transposed);

    /* ---- Arithmetic alone: the peak that rates are compared with ---- */

    /* x[i] = fma(x[i], a, b), `rounds` times over. `chains`, 1, 4, 8, 12, 16 or FMA_MOST_CHAINS, says how many vectors are on their way
     * at once, which changes no result; count is a multiple of LINE_FLOATS chains. 2 count rounds FLOPs. */
    void (*fma_repeat)(float *x, float a, float b, size_t count, long rounds, int chains);
};

enum { NTXENT_TILE = 64 };
enum { TSNE_POINTS = 16, TSNE_SUMS = 5 };
enum { FMA_MOST_CHAINS = 24 };
enum { RESIZE_STRIP = 16, BLUR_PANEL = 16 };
#define NTXENT_MASKED (-1e30f) /* (s - 1) / tau stays finite for every tau allowed */

#endif
