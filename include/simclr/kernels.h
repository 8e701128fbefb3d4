/* Kernels by themselves, on arrays of the caller's.
 *
 * All of them: single precision; every element of a product is one chain of fused multiply-adds, or has its sums in a fixed order.
 * Sizes are checked (SIMCLR_ERR_USAGE); scratch comes from the engine's allocator and goes before they return (SIMCLR_ERR_MEMORY). They
 * use the engine's threads, and may be called from several threads at once. After an error outputs are as they were, or partly written.
 * NaN and infinity in, NaN and infinity out. */
#ifndef SIMCLR_KERNELS_H
#define SIMCLR_KERNELS_H

#include "simclr/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The loss ---- */

/* NT-Xent, the normalised temperature-scaled cross entropy of Chen et al. 2020, eq. 1, and its gradient: with u = z / |z| and
 * s_ij = u_i . u_j, loss = mean over rows i of -ln(exp(s_ip / tau) / sum over j != i of exp(s_ij / tau)), p the other view of i's image.
 *
 * z (rows, dim): row i and row i + rows / 2 are the two views of one image; rows even, 2 to 2^20, dim 1 to 65536.
 * A row of zeros has no direction: its length counts as 1e-12, and its gradient is as large as that makes it.
 * loss: receives the mean. dz (rows, dim): receives dloss / dz, or NULL: not wanted.
 * temperature: tau, 0.025 to 100 (less would underflow).
 * Scratch is O(rows dim), or up to 96 MB for similarities where that is more; none of rows x rows is ever in memory. */
SIMCLR_API enum simclr_status simclr_nt_xent(const simclr_engine *engine, double *loss, float *dz, const float *z, int32_t rows, int32_t dim,
                                             float temperature, struct simclr_error *err);

/* ---- Images ---- */

/* Gaussian blur of images (count, height, width, channels), values in [0, 1], as torchvision.transforms.GaussianBlur: a separable
 * filter of `taps` weights exp(-k^2 / (2 sigma^2)), normalised to sum 1; borders are reflected, their own pixels not repeated.
 * taps: odd, at most 2 side - 1 for each side; sigma: 0.01 to 100 pixels. Weights below 2^-27 of the largest are left out. What rounding
 * takes above 1 becomes 1. out (count, height, width, channels) may be in. channels 1 to 4, height x width
 * at most 2^28. */
SIMCLR_API enum simclr_status simclr_gaussian_blur(const simclr_engine *engine, float *out, const float *in, int32_t count, int32_t height,
                                                   int32_t width, int32_t channels, int32_t taps, float sigma, struct simclr_error *err);

/* ---- Convolution: 2-D, square kernels, without bias; torch.nn.functional.conv2d of NHWC activations and (R, S, C, K) weights ---- */

/* y (n, ho, wo, k) = x (n, h, w, c) * weights (r, r, c, k), ho = (h + 2 pad - r) / stride + 1, and so wo.
 * stride 1 to 4, r 1 to 15, pad 0 to r - 1; an image, the pixels of the batch, and the weights are at most 2^30 elements each. 3x3 kernels go through Winograd's algorithms (Lavin and Gray, "Fast Algorithms for
 * Convolutional Neural Networks", 2016), whose rounding errors are up to 6 times those of the direct one, in root mean square. */
SIMCLR_API enum simclr_status simclr_conv2d(const simclr_engine *engine, float *y, const float *x, const float *weights, int32_t n, int32_t h,
                                            int32_t w, int32_t c, int32_t k, int32_t r, int32_t stride, int32_t pad, struct simclr_error *err);

/* dx (n, h, w, c): the gradient by x, from dy (n, ho, wo, k). The sizes are those of the forward pass. */
SIMCLR_API enum simclr_status simclr_conv2d_backward_data(const simclr_engine *engine, float *dx, const float *dy, const float *weights,
                                                          int32_t n, int32_t h, int32_t w, int32_t c, int32_t k, int32_t r, int32_t stride,
                                                          int32_t pad, struct simclr_error *err);

/* dweights (r, r, c, k): the gradient by the weights. */
SIMCLR_API enum simclr_status simclr_conv2d_backward_weights(const simclr_engine *engine, float *dweights, const float *dy, const float *x,
                                                             int32_t n, int32_t h, int32_t w, int32_t c, int32_t k, int32_t r, int32_t stride,
                                                             int32_t pad, struct simclr_error *err);

/* ---- Matrices ---- */

/* C (m, n) = A B: the products that a linear layer and its gradients are. A_B: A (m, k), B (k, n). A_BT: A (m, k), B (n, k), by rows.
 * AT_B: A (k, m), B (k, n), summed over up to 8 stretches of k. Sizes 1 to 2^24; B, or for AT_B C,
 * of at most 2^30 elements. */
enum simclr_product { SIMCLR_A_B = 0, SIMCLR_A_BT, SIMCLR_AT_B };
SIMCLR_API enum simclr_status simclr_sgemm(const simclr_engine *engine, enum simclr_product product, float *c, const float *a, const float *b,
                                           int32_t m, int32_t n, int32_t k, struct simclr_error *err);

/* similarity (m, n): the cosines a_i . b_j / (|a_i| |b_j|) of rows a (m, dim) and b (n, dim), which may be one array. Lengths below 1e-12
 * count as that: rows of zeros have similarity 0. m and n 1 to 2^24, dim 1 to 65536. */
SIMCLR_API enum simclr_status simclr_cosine_similarity(const simclr_engine *engine, float *similarity, const float *a, const float *b,
                                                       int32_t m, int32_t n, int32_t dim, struct simclr_error *err);

#ifdef __cplusplus
}
#endif
#endif
