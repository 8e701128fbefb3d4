/* Winograd's minimal filtering (Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016), nested: a transform of a
 * tile is a one-dimensional one down its columns, then along its rows, on VL channels at a time.
 *
 * The values between the two passes exceed the registers of every ISA but are in L1. What costs is memory: the points of a tile
 * lie `point` apart, and a power of two would put all of them into one set of L1; callers pad it by a cache line. */
#include "shared/shared.h"
#include "vec.h"

/* ---- One dimension. Tile of 4, 6 points: 0, 1, -1, 2, -2, infinity ---- */

/* B^T d */
ALWAYS_INLINE void input_6_to_6(vf *o, const vf *d)
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

/* A^T m */
ALWAYS_INLINE void output_6_to_4(vf *o, const vf *m)
{
    const vf even = vf_add(m[1], m[2]), odd = vf_sub(m[1], m[2]), even2 = vf_add(m[3], m[4]), odd2 = vf_sub(m[3], m[4]);
    o[0] = vf_add(m[0], vf_add(even, even2));
    o[1] = vf_fma(vf_set1(2.0f), odd2, odd);
    o[2] = vf_fma(vf_set1(4.0f), even2, even);
    o[3] = vf_add(m[5], vf_fma(vf_set1(8.0f), odd2, odd));
}

/* A y, for gradients of outputs. */
ALWAYS_INLINE void gradient_4_to_6(vf *o, const vf *y)
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

/* G g */
ALWAYS_INLINE void weights_3_to_6(vf *o, const vf *g)
{
    const vf minus_sixth = vf_set1(-1.0f / 6.0f), outer = vf_add(g[0], g[2]);
    const vf outer2 = vf_fma(vf_set1(4.0f), g[2], g[0]), twentyfourth = vf_set1(1.0f / 24.0f), middle2 = vf_add(g[1], g[1]);
    o[0] = vf_mul(vf_set1(0.25f), g[0]);
    o[1] = vf_mul(minus_sixth, vf_add(outer, g[1]));
    o[2] = vf_mul(minus_sixth, vf_sub(outer, g[1]));
    o[3] = vf_mul(twentyfourth, vf_add(outer2, middle2));
    o[4] = vf_mul(twentyfourth, vf_sub(outer2, middle2));
    o[5] = g[2];
}

/* G^T u, for gradients of weights. */
ALWAYS_INLINE void weights_gradient_6_to_3(vf *o, const vf *u)
{
    const vf sixth = vf_set1(1.0f / 6.0f), twelfth = vf_set1(1.0f / 12.0f), twentyfourth = vf_set1(1.0f / 24.0f);
    const vf even = vf_add(u[1], u[2]), odd = vf_sub(u[2], u[1]), even2 = vf_add(u[3], u[4]), odd2 = vf_sub(u[3], u[4]);
    o[0] = vf_fma(vf_set1(0.25f), u[0], vf_fnma(sixth, even, vf_mul(twentyfourth, even2)));
    o[1] = vf_fma(sixth, odd, vf_mul(twelfth, odd2));
    o[2] = vf_add(u[5], vf_fnma(sixth, even, vf_mul(sixth, even2)));
}

/* ---- 5 points: 0, 1, -1, 2, infinity; 3 outputs of 3 taps, or 4 outputs of 2 ---- */

ALWAYS_INLINE void input_5_to_5(vf *o, const vf *d)
{
    const vf two = vf_set1(2.0f), step = vf_sub(d[3], d[1]);
    o[0] = vf_fma(two, vf_sub(d[0], d[2]), step);
    o[1] = vf_fnma(two, d[1], vf_sub(d[3], d[2]));
    o[2] = vf_fma(two, d[1], vf_fnma(vf_set1(3.0f), d[2], d[3]));
    o[3] = step;
    o[4] = vf_fnma(two, step, vf_sub(d[4], d[2]));
}

ALWAYS_INLINE void output_5_to_3(vf *o, const vf *m)
{
    const vf even = vf_add(m[1], m[2]), odd = vf_sub(m[1], m[2]);
    o[0] = vf_add(vf_add(m[0], even), m[3]);
    o[1] = vf_fma(vf_set1(2.0f), m[3], odd);
    o[2] = vf_add(vf_fma(vf_set1(4.0f), m[3], even), m[4]);
}

ALWAYS_INLINE void output_5_to_4(vf *o, const vf *m)
{
    const vf even = vf_add(m[1], m[2]), odd = vf_sub(m[1], m[2]);
    o[0] = vf_add(vf_add(m[0], even), m[3]);
    o[1] = vf_fma(vf_set1(2.0f), m[3], odd);
    o[2] = vf_fma(vf_set1(4.0f), m[3], even);
    o[3] = vf_add(vf_fma(vf_set1(8.0f), m[3], odd), m[4]);
}

ALWAYS_INLINE void gradient_3_to_5(vf *o, const vf *y)
{
    const vf outer = vf_add(y[0], y[2]);
    o[0] = y[0];
    o[1] = vf_add(outer, y[1]);
    o[2] = vf_sub(outer, y[1]);
    o[3] = vf_fma(vf_set1(2.0f), y[1], vf_fma(vf_set1(4.0f), y[2], y[0]));
    o[4] = y[2];
}

ALWAYS_INLINE void gradient_4_to_5(vf *o, const vf *y)
{
    const vf four = vf_set1(4.0f), even = vf_add(y[0], y[2]), odd = vf_add(y[1], y[3]);
    o[0] = y[0];
    o[1] = vf_add(even, odd);
    o[2] = vf_sub(even, odd);
    o[3] = vf_fma(vf_set1(2.0f), vf_fma(four, y[3], y[1]), vf_fma(four, y[2], y[0]));
    o[4] = y[3];
}

ALWAYS_INLINE void weights_3_to_5(vf *o, const vf *g)
{
    const vf outer = vf_add(g[0], g[2]), sixth = vf_set1(1.0f / 6.0f);
    o[0] = vf_mul(vf_set1(0.5f), g[0]);
    o[1] = vf_mul(vf_set1(-0.5f), vf_add(outer, g[1]));
    o[2] = vf_mul(sixth, vf_sub(g[1], outer));
    o[3] = vf_mul(sixth, vf_fma(vf_set1(2.0f), g[1], vf_fma(vf_set1(4.0f), g[2], g[0])));
    o[4] = g[2];
}

ALWAYS_INLINE void weights_gradient_5_to_3(vf *o, const vf *u)
{
    const vf half = vf_set1(0.5f), sixth = vf_set1(1.0f / 6.0f), third = vf_set1(1.0f / 3.0f);
    o[0] = vf_fma(half, vf_sub(u[0], u[1]), vf_mul(sixth, vf_sub(u[3], u[2])));
    o[1] = vf_fma(third, u[3], vf_fnma(half, u[1], vf_mul(sixth, u[2])));
    o[2] = vf_add(u[4], vf_fma(vf_set1(2.0f / 3.0f), u[3], vf_fnma(half, u[1], vf_mul(vf_set1(-1.0f / 6.0f), u[2]))));
}

/* ---- Stride 2, 4 outputs: the middle tap meets the four even inputs, a product each; the outer two are a filter of stride 1 over the
 * five odd inputs, at 5 points. The even inputs come first in what is transformed. ---- */

ALWAYS_INLINE void strided_input_9_to_9(vf *o, const vf *d)
{
    const vf odd[5] = {d[0], d[2], d[4], d[6], d[8]};
    UNROLL
    for (int i = 0; i < 4; i++)
        o[i] = d[2 * i + 1];
    input_5_to_5(o + 4, odd);
}

ALWAYS_INLINE void strided_output_9_to_4(vf *o, const vf *m)
{
    output_5_to_4(o, m + 4);
    UNROLL
    for (int i = 0; i < 4; i++)
        o[i] = vf_add(m[i], o[i]);
}

ALWAYS_INLINE void strided_gradient_4_to_9(vf *o, const vf *y)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        o[i] = y[i];
    gradient_4_to_5(o + 4, y);
}

/* By data: even gradients are the middle tap's, odd ones a filter of the outer two over five of dy. */
ALWAYS_INLINE void strided_data_input_5_to_9(vf *o, const vf *d)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        o[i] = d[i];
    input_5_to_5(o + 4, d);
}

ALWAYS_INLINE void strided_data_output_9_to_8(vf *o, const vf *m)
{
    vf odd[4];
    output_5_to_4(odd, m + 4);
    UNROLL
    for (int i = 0; i < 4; i++) {
        o[2 * i] = m[i];
        o[2 * i + 1] = odd[i];
    }
}

ALWAYS_INLINE void strided_weights_3_to_6(vf *o, const vf *g)
{
    const vf sixth = vf_set1(1.0f / 6.0f);
    o[0] = g[1];
    o[1] = vf_mul(vf_set1(0.5f), g[0]);
    o[2] = vf_mul(vf_set1(-0.5f), vf_add(g[0], g[2]));
    o[3] = vf_mul(sixth, vf_sub(g[2], g[0]));
    o[4] = vf_mul(sixth, vf_fma(vf_set1(2.0f), g[2], g[0]));
    o[5] = g[2];
}

ALWAYS_INLINE void strided_weights_gradient_6_to_3(vf *o, const vf *u)
{
    const vf half = vf_set1(0.5f), sixth = vf_set1(1.0f / 6.0f), third = vf_set1(1.0f / 3.0f);
    o[0] = vf_fma(half, vf_sub(u[1], u[2]), vf_mul(sixth, vf_sub(u[4], u[3])));
    o[1] = u[0];
    o[2] = vf_add(u[5], vf_fma(third, u[4], vf_fnma(half, u[2], vf_mul(sixth, u[3]))));
}

/* ---- Two dimensions ---- */

typedef void transform(vf *o, const vf *d);

/* Where the values of a tile lie, for the vector of channels that is worked on. */
struct plane {
    float *at;
    ptrdiff_t row, col;
};
struct source {
    const float *at;
    ptrdiff_t row, col;
    ptrdiff_t slice; /* the sum of `slices` planes that begin so far apart */
    int slices;
};

enum { MOST = 9 };

/* One whole vector of n x n values -> m x m values. n, m, f and accumulate are constants at every call. */
ALWAYS_INLINE void nested_vector(const struct plane *to, const bool accumulate, const struct source *from, const int n, const int m,
                                 transform *const f)
{
    vf half[MOST][MOST];
    UNROLL
    for (int j = 0; j < n; j++) {
        vf d[MOST], o[MOST];
        UNROLL
        for (int i = 0; i < n; i++) {
            const float *p = from->at + i * from->row + j * from->col;
            d[i] = vf_load(p);
            for (int s = 1; s < from->slices; s++)
                d[i] = vf_add(d[i], vf_load(p + s * from->slice));
        }
        f(o, d);
        UNROLL
        for (int i = 0; i < m; i++)
            half[i][j] = o[i];
    }
    UNROLL
    for (int i = 0; i < m; i++) {
        vf o[MOST];
        f(o, half[i]);
        UNROLL
        for (int j = 0; j < m; j++) {
            float *p = to->at + i * to->row + j * to->col;
            vf_store(p, accumulate ? vf_add(vf_load(p), o[j]) : o[j]);
        }
    }
}

/* n x n times the first `lanes` floats: a plane to a plane of whole vectors, or back. */
static void copy_lanes(const struct plane *to, const struct source *from, int n, int lanes)
{
    for (int i = 0; i < n * n; i++) {
        float *t = to->at + i / n * to->row + i % n * to->col;
        const float *f = from->at + i / n * from->row + i % n * from->col;
        memcpy(t, f, (size_t)lanes * sizeof *t);
        for (int s = 1; s < from->slices; s++)
            for (int j = 0; j < lanes; j++)
                t[j] += f[s * from->slice + j];
    }
}

/* The same for `lanes` channels. The last, partial vector goes through copies of whole ones. */
ALWAYS_INLINE void nested(const struct plane *to, const bool accumulate, const struct source *from, const int n, const int m,
                          transform *const f, size_t lanes)
{
    if (lanes >= VL) {
        nested_vector(to, accumulate, from, n, m, f);
        return;
    }
    float in[MOST * MOST * VL] = {0}, out[MOST * MOST * VL] = {0};
    const struct plane in_plane = {in, n * VL, VL}, out_plane = {out, m * VL, VL};
    copy_lanes(&in_plane, from, n, (int)lanes);
    if (accumulate)
        copy_lanes(&out_plane, &(struct source){to->at, to->row, to->col, 0, 1}, m, (int)lanes);
    nested_vector(&out_plane, accumulate, &(struct source){in, n * VL, VL, 0, 1}, n, m, f);
    copy_lanes(to, &(struct source){out, m * VL, VL, 0, 1}, m, (int)lanes);
}

/* `tiles` tiles side by side, `step` pixels apart, to panels of points. */
ALWAYS_INLINE void tiles_to_points(float *v, ptrdiff_t v_tile, ptrdiff_t panel, ptrdiff_t point, const float *x, ptrdiff_t row,
                                   ptrdiff_t col, int tiles, int c, const int n, const int points, const int step, transform *const f)
{
    for (int t = 0; t < tiles; t++, v += v_tile, x += step * col)
        for (int j = 0; j < c; j += VL) {
            const struct plane to = {v + j / GEMM_NR * panel + j % GEMM_NR, points * point, point};
            const struct source from = {x + j, row, col, 0, 1};
            nested(&to, false, &from, n, points, f, (size_t)(c - j));
        }
}

void ISA_FN(winograd_input)(enum winograd kind, float *v, ptrdiff_t v_tile, ptrdiff_t panel, ptrdiff_t point, const float *x,
                            ptrdiff_t row, ptrdiff_t col, int tiles, int c)
{
    switch (kind) {
    case WINOGRAD_4X4: tiles_to_points(v, v_tile, panel, point, x, row, col, tiles, c, 6, 6, 4, input_6_to_6); break;
    case WINOGRAD_3X3: tiles_to_points(v, v_tile, panel, point, x, row, col, tiles, c, 5, 5, 3, input_5_to_5); break;
    case WINOGRAD_STRIDED: tiles_to_points(v, v_tile, panel, point, x, row, col, tiles, c, 9, 9, 8, strided_input_9_to_9); break;
    case WINOGRAD_STRIDED_DATA:
        tiles_to_points(v, v_tile, panel, point, x, row, col, tiles, c, 5, 9, 4, strided_data_input_5_to_9);
        break;
    }
}

void ISA_FN(winograd_gradient)(enum winograd kind, float *m, ptrdiff_t m_tile, ptrdiff_t panel, ptrdiff_t point, const float *dy,
                               ptrdiff_t row, ptrdiff_t col, int tiles, int k)
{
    switch (kind) {
    case WINOGRAD_4X4: tiles_to_points(m, m_tile, panel, point, dy, row, col, tiles, k, 4, 6, 4, gradient_4_to_6); break;
    case WINOGRAD_3X3: tiles_to_points(m, m_tile, panel, point, dy, row, col, tiles, k, 3, 5, 3, gradient_3_to_5); break;
    default: tiles_to_points(m, m_tile, panel, point, dy, row, col, tiles, k, 4, 9, 4, strided_gradient_4_to_9); break;
    }
}

ALWAYS_INLINE void points_to_tile(float *y, ptrdiff_t row, ptrdiff_t col, const bool accumulate, const float *m, ptrdiff_t point, int k,
                                  const int points, const int n, transform *const f)
{
    for (int j = 0; j < k; j += VL) {
        const struct plane to = {y + j, row, col};
        const struct source from = {m + j, points * point, point, 0, 1};
        nested(&to, accumulate, &from, points, n, f, (size_t)(k - j));
    }
}

ALWAYS_INLINE void output_of(enum winograd kind, float *y, ptrdiff_t row, ptrdiff_t col, const bool accumulate, const float *m,
                             ptrdiff_t point, int k)
{
    switch (kind) {
    case WINOGRAD_4X4: points_to_tile(y, row, col, accumulate, m, point, k, 6, 4, output_6_to_4); break;
    case WINOGRAD_3X3: points_to_tile(y, row, col, accumulate, m, point, k, 5, 3, output_5_to_3); break;
    case WINOGRAD_STRIDED: points_to_tile(y, row, col, accumulate, m, point, k, 9, 4, strided_output_9_to_4); break;
    case WINOGRAD_STRIDED_DATA: points_to_tile(y, row, col, accumulate, m, point, k, 9, 8, strided_data_output_9_to_8); break;
    }
}

void ISA_FN(winograd_output)(enum winograd kind, float *y, ptrdiff_t row, ptrdiff_t col, bool accumulate, const float *m,
                             ptrdiff_t point, int k)
{
    if (accumulate)
        output_of(kind, y, row, col, true, m, point, k);
    else
        output_of(kind, y, row, col, false, m, point, k);
}

ALWAYS_INLINE void filters(float *to_at, ptrdiff_t to_row, ptrdiff_t to_col, const struct source *source, size_t count, const int n,
                           const int m, transform *const f)
{
    for (size_t j = 0; j < count; j += VL) {
        const struct plane to = {to_at + j, to_row, to_col};
        struct source from = *source;
        from.at += j;
        nested(&to, false, &from, n, m, f, count - j);
    }
}

void ISA_FN(winograd_weights)(enum winograd kind, float *u, ptrdiff_t point, const float *w, ptrdiff_t tap, size_t count)
{
    const struct source from = {w, 3 * tap, tap, 0, 1};
    switch (kind) {
    case WINOGRAD_4X4: filters(u, 6 * point, point, &from, count, 3, 6, weights_3_to_6); break;
    case WINOGRAD_3X3: filters(u, 5 * point, point, &from, count, 3, 5, weights_3_to_5); break;
    default: filters(u, 6 * point, point, &from, count, 3, 6, strided_weights_3_to_6); break;
    }
}

void ISA_FN(winograd_weights_gradient)(enum winograd kind, float *dw, ptrdiff_t tap, const float *u, ptrdiff_t point, ptrdiff_t slice,
                                       int slices, size_t count)
{
    const struct source from = {u, (kind == WINOGRAD_3X3 ? 5 : 6) * point, point, slice, slices};
    switch (kind) {
    case WINOGRAD_4X4: filters(dw, 3 * tap, tap, &from, count, 6, 3, weights_gradient_6_to_3); break;
    case WINOGRAD_3X3: filters(dw, 3 * tap, tap, &from, count, 5, 3, weights_gradient_5_to_3); break;
    default: filters(dw, 3 * tap, tap, &from, count, 6, 3, strided_weights_gradient_6_to_3); break;
    }
}
