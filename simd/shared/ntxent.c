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

/* exp((s - 1) inv_tau) is 2^(scale s - scale). */
static inline float exp2_scale(float inv_tau)
{
    return inv_tau * 1.44269504088896341f;
}

static inline vf shifted_exp(const float *s, vf scale, vf minus_scale)
{
    return vf_exp2(vf_fma(vf_load(s), scale, minus_scale));
}

/* Tiles are walked in strips of columns that leave their sums, thresholds and the constants of exp in registers. */
enum { STRIP_VECS = VL == 1 ? 16 : VL == 4 ? 8 : 4, STRIP = STRIP_VECS * VL };
_Static_assert(STRIP % CANON == 0 && NTXENT_TILE % STRIP == 0, "strips are whole canonical rows");

void ISA_FN(ntxent_sums)(float *row, float *col, const float *s, float inv_tau, int m)
{
    vf scale = vf_set1(exp2_scale(inv_tau)), minus_scale = vf_set1(-exp2_scale(inv_tau));
    for (int j = 0; j < NTXENT_TILE; j += STRIP) {
        vf sum[STRIP_VECS];
        for (int v = 0; v < STRIP_VECS; v++)
            sum[v] = vf_zero();
        for (int i = 0; i < m; i++) {
            struct canon lanes = canon_load(row + i * CANON);
            for (int v = 0; v < STRIP_VECS; v++) {
                vf e = shifted_exp(s + i * NTXENT_TILE + j + v * VL, scale, minus_scale);
                lanes.v[v % CANON_VECS] = vf_add(lanes.v[v % CANON_VECS], e);
                sum[v] = vf_add(sum[v], e);
            }
            for (int v = 0; v < CANON_VECS; v++)
                vf_store(row + i * CANON + v * VL, lanes.v[v]);
        }
        if (col)
            for (int v = 0; v < STRIP_VECS; v++)
                vf_store(col + j + v * VL, vf_add(vf_load(col + j + v * VL), sum[v]));
    }
}

float ISA_FN(ntxent_total)(const float *s, float inv_tau, int m)
{
    vf scale = vf_set1(exp2_scale(inv_tau)), minus_scale = vf_set1(-exp2_scale(inv_tau));
    struct canon total = canon_zero();
    for (int j = 0; j < NTXENT_TILE; j += CANON) {
        struct canon sum = canon_zero();
        for (int i = 0; i < m; i++)
            for (int v = 0; v < CANON_VECS; v++)
                sum.v[v] = vf_add(sum.v[v], shifted_exp(s + i * NTXENT_TILE + j + v * VL, scale, minus_scale));
        total = canon_add(total, sum);
    }
    return canon_sum(total);
}

void ISA_FN(ntxent_gradient)(float *s, const float *row, const float *col, float inv_tau, int m)
{
    vf scale = vf_set1(exp2_scale(inv_tau)), minus_scale = vf_set1(-exp2_scale(inv_tau));
    for (int i = 0; i < m; i++, s += NTXENT_TILE) {
        vf weight = vf_set1(row[i]);
        for (int j = 0; j < NTXENT_TILE; j += VL)
            vf_store(s + j, vf_mul(shifted_exp(s + j, scale, minus_scale), vf_add(weight, vf_load(col + j))));
    }
}

void ISA_FN(ntxent_ahead)(int32_t *row, int32_t *col, const float *s, const float *row_bound, const float *col_bound, int m)
{
    for (int j = 0; j < NTXENT_TILE; j += STRIP) {
        vf bound[STRIP_VECS];
        vi count[STRIP_VECS];
        for (int v = 0; v < STRIP_VECS; v++) {
            bound[v] = vf_load(col_bound + j + v * VL);
            count[v] = vi_load(col + j + v * VL);
        }
        for (int i = 0; i < m; i++) {
            vf of_row = vf_set1(row_bound[i]);
            int above = 0;
            for (int v = 0; v < STRIP_VECS; v++) {
                vf x = vf_load(s + i * NTXENT_TILE + j + v * VL);
                above += vm_count(vf_gt(x, of_row));
                count[v] = vi_inc(count[v], vf_gt(x, bound[v]));
            }
            row[i] += above;
        }
        for (int v = 0; v < STRIP_VECS; v++)
            vi_store(col + j + v * VL, count[v]);
    }
}
