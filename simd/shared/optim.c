/* Optimiser updates, element by element; every formula is the whole loop body. */
#include "shared/shared.h"
#include "vec_math.h"

static inline vf flush_denormal(vf a)
{
    return vf_select(vf_lt(vf_abs(a), vf_set1(1.17549435e-38f)), vf_zero(), a);
}

static inline void sgd_vector(float *w, float *v, const float *g, vf lr, vf momentum, vf wd, bool nesterov, int n)
{
    vf weight = vf_load_lanes(w, n);
    vf gradient = vf_fma(wd, weight, vf_load_lanes(g, n));
    vf velocity = flush_denormal(vf_fma(momentum, vf_load_lanes(v, n), gradient));
    vf update = nesterov ? vf_fma(momentum, velocity, gradient) : velocity;
    vf_store_lanes(v, velocity, n);
    vf_store_lanes(w, vf_fnma(lr, update, weight), n);
}

void ISA_FN(sgd)(float *w, float *v, const float *g, float lr, float momentum, float wd, bool nesterov, size_t count)
{
    vf rate = vf_set1(lr), mu = vf_set1(momentum), decay = vf_set1(wd);
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        sgd_vector(w + i, v + i, g + i, rate, mu, decay, nesterov, VL);
    if (i < count)
        sgd_vector(w + i, v + i, g + i, rate, mu, decay, nesterov, (int)(count - i));
}

static inline void lars_vector(float *w, float *v, const float *g, vf rate, vf momentum, vf wd, int n)
{
    vf weight = vf_load_lanes(w, n);
    vf gradient = vf_fma(wd, weight, vf_load_lanes(g, n));
    vf velocity = flush_denormal(vf_fma(rate, gradient, vf_mul(momentum, vf_load_lanes(v, n))));
    vf_store_lanes(v, velocity, n);
    vf_store_lanes(w, vf_sub(weight, velocity), n);
}

void ISA_FN(lars)(float *w, float *v, const float *g, float lr_trust, float momentum, float wd, size_t count)
{
    vf rate = vf_set1(lr_trust), mu = vf_set1(momentum), decay = vf_set1(wd);
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        lars_vector(w + i, v + i, g + i, rate, mu, decay, VL);
    if (i < count)
        lars_vector(w + i, v + i, g + i, rate, mu, decay, (int)(count - i));
}

struct adam_scalars {
    vf rate1, rate2, l2, lr_decay, step, sqrt_bias2, eps;
};

static inline void adam_vector(float *w, float *m, float *v, const float *g, struct adam_scalars k, int n)
{
    vf weight = vf_load_lanes(w, n), mean = vf_load_lanes(m, n), square = vf_load_lanes(v, n);
    vf gradient = vf_fma(k.l2, weight, vf_load_lanes(g, n));
    mean = flush_denormal(vf_fma(k.rate1, vf_sub(gradient, mean), mean));
    square = flush_denormal(vf_fma(k.rate2, vf_sub(vf_mul(gradient, gradient), square), square));
    vf root = vf_add(vf_div(vf_sqrt(square), k.sqrt_bias2), k.eps);
    weight = vf_fnma(k.lr_decay, weight, weight);
    vf_store_lanes(m, mean, n);
    vf_store_lanes(v, square, n);
    vf_store_lanes(w, vf_fnma(k.step, vf_div(mean, root), weight), n);
}

void ISA_FN(adam)(float *w, float *m, float *v, const float *g, float rate1, float rate2, float l2, float lr_decay, float step,
                  float sqrt_bias2, float eps, size_t count)
{
    struct adam_scalars k = {vf_set1(rate1), vf_set1(rate2),      vf_set1(l2), vf_set1(lr_decay),
                             vf_set1(step),  vf_set1(sqrt_bias2), vf_set1(eps)};
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        adam_vector(w + i, m + i, v + i, g + i, k, VL);
    if (i < count)
        adam_vector(w + i, m + i, v + i, g + i, k, (int)(count - i));
}

static inline struct canon add_square(struct canon sum, const float *g, const float *w, vf wd, int n)
{
    struct canon x = n == CANON ? canon_load(g) : canon_load_n(g, n);
    if (w) {
        struct canon weight = n == CANON ? canon_load(w) : canon_load_n(w, n);
        for (int j = 0; j < CANON_VECS; j++)
            x.v[j] = vf_fma(wd, weight.v[j], x.v[j]);
    }
    return canon_fma(x, x, sum);
}

double ISA_FN(sum_squares)(const float *g, const float *w, float wd, size_t count)
{
    enum { BLOCK = 4096 };
    vf decay = vf_set1(wd);
    double total = 0.0;
    for (size_t first = 0; first < count; first += BLOCK) {
        size_t end = count - first < BLOCK ? count : first + BLOCK, i = first;
        struct canon sum = canon_zero();
        for (; i + CANON <= end; i += CANON)
            sum = add_square(sum, g + i, w ? w + i : NULL, decay, CANON);
        if (i < end)
            sum = add_square(sum, g + i, w ? w + i : NULL, decay, (int)(end - i));
        total += (double)canon_sum(sum);
    }
    return total;
}
