/* Linear layers: finite differences, PyTorch (fixtures_layers.py), other ISAs and thread counts. */
#include "io/safetensors.h"
#include "nn/linear.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int rows, in, out;
    bool bias, relu;
} cases[] = {{1, 1, 1, true, true},     {2, 3, 5, false, false},  {64, 16, 20, true, false},
             {65, 20, 64, false, true}, {300, 37, 33, true, true}, {130, 64, 1, true, true}};
enum { CASES = sizeof cases / sizeof *cases };
static const int thread_counts[] = {1, 2, 3, 5};
enum { THREAD_COUNTS = sizeof thread_counts / sizeof *thread_counts };

struct layer {
    int rows, in, out;
    bool has_bias, relu;
    float *x, *w, *bias, *dy;
};

struct outcome {
    float *y, *dx, *dw, *dbias, *dy; /* dy: masked */
};

static float *guarded(size_t count) { return guard_alloc(count * sizeof(float), 0); }

static struct layer make_layer(int rows, int in, int out, bool bias, bool relu)
{
    struct layer l = {rows, in, out, bias, relu, guarded((size_t)rows * in), guarded((size_t)in * out), guarded(out),
                      guarded((size_t)rows * out)};
    fill_random(l.x, (size_t)rows * in, 1);
    fill_random(l.w, (size_t)in * out, 2);
    fill_random(l.bias, out, 3);
    fill_random(l.dy, (size_t)rows * out, 4);
    return l;
}

static void free_layer(struct layer *l) { guard_free(l->x), guard_free(l->w), guard_free(l->bias), guard_free(l->dy); }

static struct outcome run(const struct layer *l, const struct kernels *kernels, int threads)
{
    struct engine engine = {.kernels = kernels, .threads = threads};
    size_t outputs = (size_t)l->rows * l->out;
    struct outcome o = {guarded(outputs), guarded((size_t)l->rows * l->in), guarded((size_t)l->in * l->out), guarded(l->out),
                        guarded(outputs)};
    void *scratch = guard_alloc(linear_scratch(&engine, l->rows, l->in, l->out), 0);
    memcpy(o.dy, l->dy, outputs * sizeof(float));
    linear_forward(&engine, o.y, l->x, l->w, l->has_bias ? l->bias : NULL, l->relu, l->rows, l->in, l->out, scratch);
    linear_backward(&engine, o.dx, o.dw, l->has_bias ? o.dbias : NULL, o.dy, l->relu ? o.y : NULL, l->x, l->w, l->rows, l->in,
                    l->out, scratch);
    guard_free(scratch);
    return o;
}

static void free_outcome(struct outcome *o)
{
    guard_free(o->y), guard_free(o->dx), guard_free(o->dw), guard_free(o->dbias), guard_free(o->dy);
}

/* sum(y dy) in double, with one value of x, w or bias moved by step (the others: NULL). */
static double oracle_loss(const struct layer *l, const float *moved, double step, double *y)
{
    double loss = 0;
    for (int i = 0; i < l->rows; i++)
        for (int j = 0; j < l->out; j++) {
            double sum = l->has_bias ? l->bias[j] + (&l->bias[j] == moved ? step : 0) : 0;
            for (int p = 0; p < l->in; p++) {
                const float *x = &l->x[i * l->in + p], *w = &l->w[p * l->out + j];
                sum += (*x + (x == moved ? step : 0)) * (*w + (w == moved ? step : 0));
            }
            sum = l->relu && sum < 0 ? 0 : sum;
            if (y)
                y[i * l->out + j] = sum;
            loss += sum * l->dy[i * l->out + j];
        }
    return loss;
}

static void check_gradient(const struct layer *l, const float *got, const float *values, int count, const char *what)
{
    const double step = 1e-6;
    for (int i = 0; i < count; i += 1 + count / 13) {
        double want = (oracle_loss(l, values + i, step, NULL) - oracle_loss(l, values + i, -step, NULL)) / (2 * step);
        cr_assert(fabs(got[i] - want) <= 1e-5 * (1 + fabs(want)), "%s: element %d is %g, should be %g", what, i, (double)got[i],
                  want);
    }
}

Test(linear, agrees_with_double_and_finite_differences)
{
    const struct kernels *isas[8];
    test_isas(isas);
    for (size_t i = 0; i < CASES; i++) {
        struct layer l = make_layer(cases[i].rows, cases[i].in, cases[i].out, cases[i].bias, cases[i].relu);
        struct outcome o = run(&l, isas[0], 1);
        double *y = malloc((size_t)l.rows * l.out * sizeof *y);
        oracle_loss(&l, NULL, 0, y);
        for (int j = 0; j < l.rows * l.out; j++)
            cr_assert(fabs(o.y[j] - y[j]) <= (l.in + 2) * 0x1p-24 * l.in, "case %zu: %g, should be %g", i, (double)o.y[j], y[j]);
        check_gradient(&l, o.dx, l.x, l.rows * l.in, "dx");
        check_gradient(&l, o.dw, l.w, l.in * l.out, "dw");
        if (l.has_bias)
            check_gradient(&l, o.dbias, l.bias, l.out, "dbias");
        free(y);
        free_outcome(&o);
        free_layer(&l);
    }
}

Test(linear, gives_the_same_bits_on_every_isa_and_thread_count)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t i = 0; i < CASES; i++) {
        struct layer l = make_layer(cases[i].rows, cases[i].in, cases[i].out, cases[i].bias, cases[i].relu);
        struct outcome want = run(&l, isas[0], 1);
        for (size_t isa = 0; isa < isa_count; isa++)
            for (size_t t = isa ? 0 : 1; t < THREAD_COUNTS; t++) {
                struct outcome got = run(&l, isas[isa], thread_counts[t]);
                const char *label = "case %zu, %s, %d threads: %s", *name = isas[isa]->name;
                expect_same_bits(want.y, got.y, (size_t)l.rows * l.out, label, i, name, thread_counts[t], "y");
                expect_same_bits(want.dx, got.dx, (size_t)l.rows * l.in, label, i, name, thread_counts[t], "dx");
                expect_same_bits(want.dw, got.dw, (size_t)l.in * l.out, label, i, name, thread_counts[t], "dw");
                expect_same_bits(want.dbias, got.dbias, l.out, label, i, name, thread_counts[t], "dbias");
                free_outcome(&got);
            }
        free_outcome(&want);
        free_layer(&l);
    }
}

static const float *tensor(const struct safetensors *file, const char *prefix, const char *name, size_t count)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", prefix, name);
    const struct safetensors_entry *entry = safetensors_find(file, key);
    cr_assert(entry && entry->type == ST_F32 && entry->bytes == count * sizeof(float), "%s: missing or misshapen", key);
    return entry->data;
}

Test(linear, agrees_with_pytorch)
{
    struct simclr_error err;
    struct safetensors *file;
    cr_assert(!safetensors_open(&file, fixture_path("layers_linear.safetensors"), &err), "%s", err.text);
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (int relu = 0; relu < 2; relu++) {
        const char *prefix = relu ? "relu" : "plain";
        char key[32];
        snprintf(key, sizeof key, "%s.x", prefix);
        const struct safetensors_entry *x = safetensors_find(file, key);
        snprintf(key, sizeof key, "%s.w", prefix);
        const struct safetensors_entry *w = safetensors_find(file, key);
        cr_assert(x && w);
        struct layer l = make_layer((int)x->dims[0], (int)x->dims[1], (int)w->dims[1], true, relu);
        size_t ins = (size_t)l.rows * l.in, outs = (size_t)l.rows * l.out, weights = (size_t)l.in * l.out;
        memcpy(l.x, tensor(file, prefix, "x", ins), ins * sizeof(float));
        memcpy(l.w, tensor(file, prefix, "w", weights), weights * sizeof(float));
        memcpy(l.bias, tensor(file, prefix, "bias", l.out), l.out * sizeof(float));
        memcpy(l.dy, tensor(file, prefix, "dy", outs), outs * sizeof(float));
        for (size_t isa = 0; isa < isa_count; isa++) {
            struct outcome o = run(&l, isas[isa], 2);
            cr_expect_lt(relative_l2(o.y, tensor(file, prefix, "y", outs), outs), 1e-6, "%s y", prefix);
            cr_expect_lt(relative_l2(o.dx, tensor(file, prefix, "dx", ins), ins), 1e-6, "%s dx", prefix);
            cr_expect_lt(relative_l2(o.dw, tensor(file, prefix, "dw", weights), weights), 1e-6, "%s dw", prefix);
            cr_expect_lt(relative_l2(o.dbias, tensor(file, prefix, "dbias", l.out), l.out), 1e-6, "%s dbias", prefix);
            free_outcome(&o);
        }
        free_layer(&l);
    }
    safetensors_close(file);
}
