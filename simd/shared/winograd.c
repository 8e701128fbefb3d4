/* Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016), points 0, 1,
 * -1, 2, -2 and infinity: 36 products stand for 144 FMAs.
 *
 * Every transform is two passes of a one-dimensional one, down the columns and then along the rows of a tile, on VL channels at a
 * time. The 16 to 36 values between the passes exceed the registers of every ISA but are in L1. What costs is memory: the 36 points
 * lie `point` apart, and a point of any power of two would put all of them into one set of L1; callers pad it by a cache line. */
#include "shared/shared.h"
#include "vec.h"

/* B^T d: what of six samples reaches each of the six points. */
ALWAYS_INLINE void to_points(vf o[6], const vf d[6])
{
    const vf four = vf_set1(4.0f), five = vf_set1(5.0f);
    const vf even = vf_fnma(four, d[2], d[4]), odd = vf_fnma(four, d[1], d[3]);
    const vf even2 = vf_sub(d[4], d[2]), half = vf_sub(d[3], d[1]), odd2 = vf_add(half, half);
    o[0] = vf_fma(four, d[0], vf_fnma(five, d[2], d[4]));
    o[1] = vf_add(even, odd);
    o[2] = vf_sub(even, odd);
    o[3] = vf_add(even2, odd2);
    o[4] = vf_sub(even2, odd2);
    o[5] = vf_fma(four, d[1], vf_fnma(five, d[3], d[5]));
}

/* A^T m: four outputs of six points. */
ALWAYS_INLINE void from_points(vf o[4], const vf m[6])
{
    const vf even = vf_add(m[1], m[2]), odd = vf_sub(m[1], m[2]), even2 = vf_add(m[3], m[4]), odd2 = vf_sub(m[3], m[4]);
    o[0] = vf_add(m[0], vf_add(even, even2));
    o[1] = vf_fma(vf_set1(2.0f), odd2, odd);
    o[2] = vf_fma(vf_set1(4.0f), even2, even);
    o[3] = vf_add(m[5], vf_fma(vf_set1(8.0f), odd2, odd));
}

/* A y: the transpose of that, for gradients of outputs. */
ALWAYS_INLINE void gradient_to_points(vf o[6], const vf y[4])
{
    const vf four = vf_set1(4.0f), odd = vf_fma(four, y[3], y[1]), odd2 = vf_add(odd, odd);
    const vf even = vf_add(y[0], y[2]), sum = vf_add(y[1], y[3]), even2 = vf_fma(four, y[2], y[0]);
    o[0] = y[0];
    o[1] = vf_add(even, sum);
    o[2] = vf_sub(even, sum);
    o[3] = vf_add(even2, odd2);
    o[4] = vf_sub(even2, odd2);
    o[5] = y[3];
}

/* G g: three taps at the six points. */
ALWAYS_INLINE void taps_to_points(vf o[6], const vf g[3])
{
    const vf sixth = vf_set1(1.0f / 6.0f), outer = vf_add(g[0], g[2]);
    const vf outer2 = vf_fma(vf_set1(4.0f), g[2], g[0]), twentyfourth = vf_set1(1.0f / 24.0f), middle2 = vf_add(g[1], g[1]);
    o[0] = vf_mul(vf_set1(0.25f), g[0]);
    o[1] = vf_mul(vf_sub(vf_zero(), sixth), vf_add(outer, g[1]));
    o[2] = vf_mul(vf_sub(vf_zero(), sixth), vf_sub(outer, g[1]));
    o[3] = vf_mul(twentyfourth, vf_add(outer2, middle2));
    o[4] = vf_mul(twentyfourth, vf_sub(outer2, middle2));
    o[5] = g[2];
}

/* G^T u: the transpose of that, for gradients of taps. */
ALWAYS_INLINE void gradient_of_taps(vf o[3], const vf u[6])
{
    const vf sixth = vf_set1(1.0f / 6.0f), twelfth = vf_set1(1.0f / 12.0f), twentyfourth = vf_set1(1.0f / 24.0f);
    const vf even = vf_add(u[1], u[2]), odd = vf_sub(u[2], u[1]), even2 = vf_add(u[3], u[4]), odd2 = vf_sub(u[3], u[4]);
    o[0] = vf_fma(vf_set1(0.25f), u[0], vf_fnma(sixth, even, vf_mul(twentyfourth, even2)));
    o[1] = vf_fma(sixth, odd, vf_mul(twelfth, odd2));
    o[2] = vf_add(u[5], vf_fnma(sixth, even, vf_mul(sixth, even2)));
}

ALWAYS_INLINE void input_vector(float *v, ptrdiff_t point, const float *x, ptrdiff_t row, ptrdiff_t col, int lanes)
{
    vf w[6][6];
    UNROLL
    for (int j = 0; j < 6; j++) {
        vf d[6], o[6];
        UNROLL
        for (int i = 0; i < 6; i++)
            d[i] = vf_load_lanes(x + i * row + j * col, lanes);
        to_points(o, d);
        UNROLL
        for (int i = 0; i < 6; i++)
            w[i][j] = o[i];
    }
    UNROLL
    for (int i = 0; i < 6; i++) {
        vf o[6];
        to_points(o, w[i]);
        UNROLL
        for (int j = 0; j < 6; j++)
            vf_store_lanes(v + (6 * i + j) * point, o[j], lanes);
    }
}

void ISA_FN(winograd_input)(float *v, ptrdiff_t v_tile, ptrdiff_t panel, ptrdiff_t point, const float *x, ptrdiff_t row, ptrdiff_t col,
                            int tiles, int c)
{
    for (int t = 0; t < tiles; t++, v += v_tile, x += 4 * col)
        for (int j = 0; j < c; j += VL) {
            float *to = v + j / GEMM_NR * panel + j % GEMM_NR;
            if (c - j >= VL)
                input_vector(to, point, x + j, row, col, VL);
            else
                input_vector(to, point, x + j, row, col, c - j);
        }
}

ALWAYS_INLINE void output_vector(float *y, ptrdiff_t row, ptrdiff_t col, const bool accumulate, const float *m, ptrdiff_t point,
                                 int lanes)
{
    vf w[4][6];
    UNROLL
    for (int j = 0; j < 6; j++) {
        vf p[6], o[4];
        UNROLL
        for (int i = 0; i < 6; i++)
            p[i] = vf_load_lanes(m + (6 * i + j) * point, lanes);
        from_points(o, p);
        UNROLL
        for (int i = 0; i < 4; i++)
            w[i][j] = o[i];
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        vf o[4];
        from_points(o, w[i]);
        UNROLL
        for (int j = 0; j < 4; j++) {
            float *to = y + i * row + j * col;
            vf_store_lanes(to, accumulate ? vf_add(vf_load_lanes(to, lanes), o[j]) : o[j], lanes);
        }
    }
}

void ISA_FN(winograd_output)(float *y, ptrdiff_t row, ptrdiff_t col, bool accumulate, const float *m, ptrdiff_t point, int k)
{
    int j = 0;
    if (accumulate)
        for (; j + VL <= k; j += VL)
            output_vector(y + j, row, col, true, m + j, point, VL);
    else
        for (; j + VL <= k; j += VL)
            output_vector(y + j, row, col, false, m + j, point, VL);
    if (j < k)
        output_vector(y + j, row, col, accumulate, m + j, point, k - j);
}

ALWAYS_INLINE void gradient_vector(float *m, ptrdiff_t point, const float *dy, ptrdiff_t row, ptrdiff_t col, int lanes)
{
    vf w[6][4];
    UNROLL
    for (int j = 0; j < 4; j++) {
        vf y[4], o[6];
        UNROLL
        for (int i = 0; i < 4; i++)
            y[i] = vf_load_lanes(dy + i * row + j * col, lanes);
        gradient_to_points(o, y);
        UNROLL
        for (int i = 0; i < 6; i++)
            w[i][j] = o[i];
    }
    UNROLL
    for (int i = 0; i < 6; i++) {
        vf o[6];
        gradient_to_points(o, w[i]);
        UNROLL
        for (int j = 0; j < 6; j++)
            vf_store_lanes(m + (6 * i + j) * point, o[j], lanes);
    }
}

void ISA_FN(winograd_gradient)(float *m, ptrdiff_t m_tile, ptrdiff_t panel, ptrdiff_t point, const float *dy, ptrdiff_t row,
                               ptrdiff_t col, int tiles, int k)
{
    for (int t = 0; t < tiles; t++, m += m_tile, dy += 4 * col)
        for (int j = 0; j < k; j += VL) {
            float *to = m + j / GEMM_NR * panel + j % GEMM_NR;
            if (k - j >= VL)
                gradient_vector(to, point, dy + j, row, col, VL);
            else
                gradient_vector(to, point, dy + j, row, col, k - j);
        }
}

ALWAYS_INLINE void weights_vector(float *u, ptrdiff_t point, const float *w, ptrdiff_t tap, int lanes)
{
    vf t[6][3];
    UNROLL
    for (int s = 0; s < 3; s++) {
        vf g[3], o[6];
        UNROLL
        for (int r = 0; r < 3; r++)
            g[r] = vf_load_lanes(w + (3 * r + s) * tap, lanes);
        taps_to_points(o, g);
        UNROLL
        for (int i = 0; i < 6; i++)
            t[i][s] = o[i];
    }
    UNROLL
    for (int i = 0; i < 6; i++) {
        vf o[6];
        taps_to_points(o, t[i]);
        UNROLL
        for (int j = 0; j < 6; j++)
            vf_store_lanes(u + (6 * i + j) * point, o[j], lanes);
    }
}

void ISA_FN(winograd_weights)(float *u, ptrdiff_t point, const float *w, ptrdiff_t tap, size_t count)
{
    size_t j = 0;
    for (; j + VL <= count; j += VL)
        weights_vector(u + j, point, w + j, tap, VL);
    if (j < count)
        weights_vector(u + j, point, w + j, tap, (int)(count - j));
}

ALWAYS_INLINE void weights_gradient_vector(float *dw, ptrdiff_t tap, const float *u, ptrdiff_t point, ptrdiff_t slice, int slices,
                                           int lanes)
{
    vf t[3][6];
    UNROLL
    for (int j = 0; j < 6; j++) {
        vf p[6], o[3];
        UNROLL
        for (int i = 0; i < 6; i++) {
            const float *from = u + (6 * i + j) * point;
            p[i] = vf_load_lanes(from, lanes);
            for (int s = 1; s < slices; s++)
                p[i] = vf_add(p[i], vf_load_lanes(from + s * slice, lanes));
        }
        gradient_of_taps(o, p);
        UNROLL
        for (int r = 0; r < 3; r++)
            t[r][j] = o[r];
    }
    UNROLL
    for (int r = 0; r < 3; r++) {
        vf o[3];
        gradient_of_taps(o, t[r]);
        UNROLL
        for (int s = 0; s < 3; s++)
            vf_store_lanes(dw + (3 * r + s) * tap, o[s], lanes);
    }
}

void ISA_FN(winograd_weights_gradient)(float *dw, ptrdiff_t tap, const float *u, ptrdiff_t point, ptrdiff_t slice, int slices,
                                       size_t count)
{
    size_t j = 0;
    for (; j + VL <= count; j += VL)
        weights_gradient_vector(dw + j, tap, u + j, point, slice, slices, VL);
    if (j < count)
        weights_gradient_vector(dw + j, tap, u + j, point, slice, slices, (int)(count - j));
}
