/* NT-Xent over one tile of similarities, and the normalisation around it. */
#include "shared/shared.h"
#include "vec_math.h"

static float dot(const float *a, const float *b, size_t count)
{
    struct canon sum = canon_zero();
    size_t i = 0;
    for (; i + CANON <= count; i += CANON)
        sum = canon_fma(canon_load(a + i), canon_load(b + i), sum);
    if (i < count)
        sum = canon_fma(canon_load_n(a + i, (int)(count - i)), canon_load_n(b + i, (int)(count - i)), sum);
    return canon_sum(sum);
}

float ISA_FN(dot)(const float *a, const float *b, size_t count)
{
    return dot(a, b, count);
}

void ISA_FN(l2_normalize)(float *u, float *norm, const float *x, size_t rows, int d)
{
    for (size_t row = 0; row < rows; row++, x += d, u += d) {
        float length = sqrtf(dot(x, x, (size_t)d));
        length = length > 1e-12f ? length : 1e-12f;
        if (norm)
            norm[row] = length;
        vf divisor = vf_set1(length);
        int i = 0;
        for (; i + VL <= d; i += VL)
            vf_store(u + i, vf_div(vf_load(x + i), divisor));
        if (i < d)
            vf_store_n(u + i, vf_div(vf_load_n(x + i, d - i), divisor), d - i);
    }
}

void ISA_FN(l2_normalize_backward)(float *dx, const float *du, const float *u, const float *norm, size_t rows, int d)
{
    for (size_t row = 0; row < rows; row++, dx += d, du += d, u += d) {
        vf radial = vf_set1(dot(u, du, (size_t)d)), divisor = vf_set1(norm[row]);
        int i = 0;
        for (; i + VL <= d; i += VL)
            vf_store(dx + i, vf_div(vf_fnma(vf_load(u + i), radial, vf_load(du + i)), divisor));
        if (i < d)
            vf_store_n(dx + i, vf_div(vf_fnma(vf_load_n(u + i, d - i), radial, vf_load_n(du + i, d - i)), divisor), d - i);
    }
}

static inline vf shifted_exp(vf s, vf inv_tau)
{
    return vf_exp(vf_mul(vf_sub(s, vf_set1(1.0f)), inv_tau));
}

static inline struct canon add_exp(struct canon sum, const float *s, vf inv_tau)
{
    for (int j = 0; j < CANON_VECS; j++)
        sum.v[j] = vf_add(sum.v[j], shifted_exp(vf_load(s + j * VL), inv_tau));
    return sum;
}

void ISA_FN(ntxent_row_sums)(double *sum, const float *s, ptrdiff_t ld, float inv_tau, int m, int n)
{
    vf scale = vf_set1(inv_tau);
    for (int i = 0; i < m; i++, s += ld) {
        struct canon lanes = canon_zero();
        int j = 0;
        for (; j + CANON <= n; j += CANON)
            lanes = add_exp(lanes, s + j, scale);
        if (j < n) {
            float tail[CANON];
            for (int t = 0; t < CANON; t++)
                tail[t] = j + t < n ? s[j + t] : NTXENT_MASKED;
            lanes = add_exp(lanes, tail, scale);
        }
        sum[i] += (double)canon_sum(lanes);
    }
}

static inline vf gradient(vf s, vf inv_row, vf inv_col, vf inv_tau, vf factor)
{
    return vf_mul(vf_mul(shifted_exp(s, inv_tau), vf_add(inv_row, inv_col)), factor);
}

void ISA_FN(ntxent_gradient_tile)(float *s, ptrdiff_t ld, const float *inv_row, const float *inv_col, float inv_tau, float factor,
                                  int m, int n)
{
    vf scale = vf_set1(inv_tau), weight = vf_set1(factor);
    for (int i = 0; i < m; i++, s += ld) {
        vf row = vf_set1(inv_row[i]);
        int j = 0;
        for (; j + VL <= n; j += VL)
            vf_store(s + j, gradient(vf_load(s + j), row, vf_load(inv_col + j), scale, weight));
        if (j < n)
            vf_store_n(s + j, gradient(vf_load_n(s + j, n - j), row, vf_load_n(inv_col + j, n - j), scale, weight), n - j);
    }
}

/* How many of s[0..n) exceed target, or reach it if ties. Ones are added as floats: exact, so any order will do. */
static int count_above(const float *s, int n, float target, bool ties)
{
    vf bound = vf_set1(target), ones = vf_zero();
    int j = 0;
    for (; j + VL <= n; j += VL) {
        vf v = vf_load(s + j);
        ones = vf_add(ones, vf_select(ties ? vf_ge(v, bound) : vf_gt(v, bound), vf_set1(1.0f), vf_zero()));
    }
    float lanes[VL];
    vf_store(lanes, ones);
    int count = 0;
    for (int i = 0; i < VL; i++)
        count += (int)lanes[i];
    for (; j < n; j++)
        count += ties ? s[j] >= target : s[j] > target;
    return count;
}

void ISA_FN(count_greater)(int32_t *count, const float *s, ptrdiff_t ld, const float *target, const int *target_col, int col0, int m,
                           int n)
{
    for (int i = 0; i < m; i++, s += ld) {
        int before = target_col[i] - col0; /* columns up to here win ties */
        before = before < 0 ? 0 : before < n ? before : n;
        count[i] += count_above(s, before, target[i], true) + count_above(s + before, n - before, target[i], false);
    }
}
