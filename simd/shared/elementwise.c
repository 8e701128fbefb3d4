/* Element-wise kernels. column_sums, which shares its loop with the statistics, is in norm.c. */
#include "shared/shared.h"
#include "vec.h"

static inline void bias_act_vector(float *y, const float *x, const float *bias, const bool has_bias, const bool relu, int lanes)
{
    vf v = vf_load_lanes(x, lanes);
    if (has_bias)
        v = vf_add(v, vf_load_lanes(bias, lanes));
    if (relu)
        v = vf_relu(v);
    vf_store_lanes(y, v, lanes);
}

static inline void bias_act_rows(float *y, const float *x, const float *bias, const bool has_bias, const bool relu, size_t rows,
                                 int c)
{
    for (size_t r = 0; r < rows; r++, x += c, y += c) {
        int j = 0;
        for (; j + VL <= c; j += VL)
            bias_act_vector(y + j, x + j, has_bias ? bias + j : NULL, has_bias, relu, VL);
        if (j < c)
            bias_act_vector(y + j, x + j, has_bias ? bias + j : NULL, has_bias, relu, c - j);
    }
}

void ISA_FN(bias_act)(float *y, const float *x, const float *bias, bool relu, size_t rows, int c)
{
    if (bias && relu)
        bias_act_rows(y, x, bias, true, true, rows, c);
    else if (bias)
        bias_act_rows(y, x, bias, true, false, rows, c);
    else if (relu)
        bias_act_rows(y, x, NULL, false, true, rows, c);
    else if (y != x)
        memcpy(y, x, rows * (size_t)c * sizeof *y);
}

static inline void relu_backward_vector(float *dx, const float *dy, const float *out, int lanes)
{
    vm on = vf_gt(vf_load_lanes(out, lanes), vf_zero());
    vf_store_lanes(dx, vf_select(on, vf_load_lanes(dy, lanes), vf_zero()), lanes);
}

void ISA_FN(relu_backward)(float *dx, const float *dy, const float *out, size_t count)
{
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        relu_backward_vector(dx + i, dy + i, out + i, VL);
    if (i < count)
        relu_backward_vector(dx + i, dy + i, out + i, (int)(count - i));
}

void ISA_FN(add)(float *y, const float *x, size_t count)
{
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        vf_store(y + i, vf_add(vf_load(y + i), vf_load(x + i)));
    if (i < count) {
        int lanes = (int)(count - i);
        vf_store_n(y + i, vf_add(vf_load_n(y + i, lanes), vf_load_n(x + i, lanes)), lanes);
    }
}
