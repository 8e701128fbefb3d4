/* Batch norm and the element-wise kernels: against double, finite differences, PyTorch (fixtures_layers.py), other ISAs and
 * thread counts. */
#include "io/safetensors.h"
#include "nn/norm.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double EPSILON = 1e-5;
static const int row_counts[] = {1, 2, 15, 17, 100}, channel_counts[] = {1, 3, 16, 20, 37, 64, 130};
enum { ROW_COUNTS = sizeof row_counts / sizeof *row_counts, CHANNEL_COUNTS = sizeof channel_counts / sizeof *channel_counts };
static const int thread_counts[] = {1, 2, 3, 5};
enum { THREAD_COUNTS = sizeof thread_counts / sizeof *thread_counts };

static float *guarded(size_t count) { return guard_alloc(count * sizeof(float), 0); }

static float *guarded_copy(const float *src, size_t count)
{
    float *p = guarded(count);
    memcpy(p, src, count * sizeof *p);
    return p;
}

/* ---- Kernels ---- */

/* Every kernel of norm.c and elementwise.c on one ISA; what they write lies one after the other. */
enum { FULL_OUTPUTS = 28, CHANNEL_OUTPUTS = 9 };
static float *run_kernels(const struct kernels *k, const float *x, const float *dy, const float *channels, int rows, int c)
{
    size_t count = (size_t)rows * c;
    const float *mean = channels, *scale = channels + c, *shift = channels + 2 * c, *a = channels + 3 * c, *b = channels + 4 * c;
    float *all = calloc(FULL_OUTPUTS * count + CHANNEL_OUTPUTS * (size_t)c, sizeof *all), *to = all;
    float *y = guarded(count), *res = guarded(count), *sum = guarded(c), *sum2 = guarded(c);

    for (int relu = 0; relu < 2; relu++)
        for (int has = 0; has < 2; has++) {
            k->norm_apply(y, x, has ? dy : NULL, mean, scale, shift, relu, rows, c);
            memcpy(to, y, count * sizeof *y), to += count;
            k->bias_act(y, x, has ? shift : NULL, relu, rows, c);
            memcpy(to, y, count * sizeof *y), to += count;
        }
    for (int res_kind = 0; res_kind < 3; res_kind++) /* none, stored, added */
        for (int mask = 0; mask < 3; mask++) {       /* none, the output's, the norm's */
            memcpy(res, x, count * sizeof *res);
            memcpy(y, dy, count * sizeof *y); /* in place */
            k->norm_backward_apply(y, res_kind ? res : NULL, res_kind == 2, y, mask == 1 ? x : NULL, x, mean, scale, shift,
                                   mask == 2 ? b : NULL, a, b, rows, c);
            memcpy(to, y, count * sizeof *y), to += count;
            memcpy(to, res, count * sizeof *y), to += count;
        }
    k->relu_backward(y, dy, x, count);
    memcpy(to, y, count * sizeof *y), to += count;
    k->add(y, x, count);
    memcpy(to, y, count * sizeof *y), to += count;

    k->norm_stats(sum, sum2, x, rows, c);
    memcpy(to, sum, c * sizeof *sum), to += c;
    memcpy(to, sum2, c * sizeof *sum), to += c;
    for (int mask = 0; mask < 3; mask++) {
        k->norm_backward_sums(sum, sum2, dy, mask == 1 ? x : NULL, x, mean, scale, a, mask == 2 ? b : NULL, rows, c);
        memcpy(to, sum, c * sizeof *sum), to += c;
        memcpy(to, sum2, c * sizeof *sum), to += c;
    }
    k->column_sums(sum, x, rows, c);
    memcpy(to, sum, c * sizeof *sum);
    guard_free(y), guard_free(res), guard_free(sum), guard_free(sum2);
    return all;
}

Test(norm, kernels_give_the_same_bits_on_every_isa)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (int test = 0; test < ROW_COUNTS * CHANNEL_COUNTS * 2; test++) {
        int rows = row_counts[test / 2 % ROW_COUNTS], c = channel_counts[test / 2 / ROW_COUNTS];
        size_t count = (size_t)rows * c;
        float *x = guarded(count), *dy = guarded(count), *channels = guarded(5 * (size_t)c);
        void (*fill)(float *, size_t, uint64_t) = test % 2 ? fill_patterns : fill_random;
        fill(x, count, test);
        fill(dy, count, test + 1000);
        fill(channels, 5 * (size_t)c, test + 2000);
        float *want = run_kernels(isas[0], x, dy, channels, rows, c);
        for (size_t isa = 1; isa < isa_count; isa++) {
            float *got = run_kernels(isas[isa], x, dy, channels, rows, c);
            expect_same_bits(want, got, FULL_OUTPUTS * count + CHANNEL_OUTPUTS * (size_t)c, "%s, %d rows, %d channels",
                             isas[isa]->name, rows, c);
            free(got);
        }
        free(want);
        guard_free(x), guard_free(dy), guard_free(channels);
    }
}

Test(norm, element_wise_kernels_compute_what_they_say)
{
    const struct kernels *isas[8];
    test_isas(isas);
    const float x[6] = {1, -2, 3, -4, 0, 6}, bias[3] = {0.5f, 1, -3}, dy[6] = {1, 2, 3, 4, 5, 6};
    float y[6];
    isas[0]->bias_act(y, x, bias, true, 2, 3);
    expect_same_bits((const float[]){1.5f, 0, 0, 0, 1, 3}, y, 6, "bias and ReLU");
    isas[0]->bias_act(y, x, bias, false, 2, 3);
    expect_same_bits((const float[]){1.5f, -1, 0, -3.5f, 1, 3}, y, 6, "bias");
    isas[0]->relu_backward(y, dy, x, 6);
    expect_same_bits((const float[]){1, 0, 3, 0, 0, 6}, y, 6, "ReLU backward");
    isas[0]->add(y, x, 6);
    expect_same_bits((const float[]){2, -2, 6, -4, 0, 12}, y, 6, "add");
    isas[0]->column_sums(y, x, 2, 3);
    expect_same_bits((const float[]){-3, -2, 9}, y, 3, "column sums");
}

Test(norm, relu_makes_zeros_positive_and_lets_nan_pass)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    enum { C = 20 };
    const float zero[C] = {0}, one[C] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    float x[C], shift[C], want[C], y[C];
    for (int j = 0; j < C; j++) {
        const float from[4] = {NAN, -0.0f, -1e-40f, 1e-40f}, to[4] = {NAN, 0, 0, 1e-40f};
        x[j] = from[j % 4];
        shift[j] = -0.0f;
        want[j] = to[j % 4];
    }
    for (size_t isa = 0; isa < isa_count; isa++) {
        isas[isa]->bias_act(y, x, NULL, true, 1, C);
        expect_same_bits(want, y, C, "bias_act, %s", isas[isa]->name);
        isas[isa]->norm_apply(y, x, NULL, zero, one, shift, true, 1, C);
        expect_same_bits(want, y, C, "norm_apply, %s", isas[isa]->name);
    }
}

/* Backward may know the ReLU from the output, or from what norm_apply made it of: the same, for NaN and on the edge too. */
Test(norm, a_recomputed_mask_is_that_of_the_output)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    enum { ROWS = 40, C = 37, COUNT = ROWS * C };
    float x[COUNT], dy[COUNT], out[COUNT], channels[6][C], got[2][COUNT], sums[2][2 * C];
    for (size_t test = 0; test < 8; test++) {
        const struct kernels *k = isas[test % isa_count];
        (test / isa_count % 2 ? fill_patterns : fill_random)(x, COUNT, test);
        fill_random(dy, COUNT, test + 100);
        fill_random(channels[0], 6 * C, test + 200);
        const float *mean = channels[0], *invstd = channels[1], *scale = channels[2], *shift = channels[3], *a = channels[4], *b = channels[5];
        x[3] = NAN;
        x[4] = mean[4];
        channels[3][4] = -0.0f;
        k->norm_apply(out, x, NULL, mean, scale, shift, true, ROWS, C);
        for (int way = 0; way < 2; way++) {
            const float *mask = way ? out : NULL, *or_shift = way ? NULL : shift;
            k->norm_backward_apply(got[way], NULL, false, dy, mask, x, mean, invstd, scale, or_shift, a, b, ROWS, C);
            k->norm_backward_sums(sums[way], sums[way] + C, dy, mask, x, mean, invstd, scale, or_shift, ROWS, C);
        }
        expect_same_bits(got[1], got[0], COUNT, "gradient, %s", k->name);
        expect_same_bits(sums[1], sums[0], 2 * C, "sums, %s", k->name);
        int masked = 0;
        for (int i = 0; i < COUNT; i++)
            masked += !(out[i] > 0);
        cr_assert(masked > COUNT / 10 && masked < COUNT, "%d of %d masked", masked, COUNT);
    }
}

/* ---- The layer ---- */

struct layer {
    size_t rows;
    int c;
    bool relu, has_residual;
    float *x, *residual, *gain, *bias, *dy, *running; /* running: mean, then variance */
};

static struct layer make_layer(size_t rows, int c, bool relu, bool has_residual, uint64_t seed)
{
    size_t count = rows * (size_t)c;
    struct layer l = {rows, c, relu, has_residual, guarded(count), guarded(count), guarded(c), guarded(c), guarded(count),
                      malloc(2 * (size_t)c * sizeof(float))};
    float *all[] = {l.x, l.residual, l.gain, l.bias, l.dy};
    size_t counts[] = {count, count, c, c, count};
    for (int i = 0; i < 5; i++)
        fill_random(all[i], counts[i], 10 * seed + i);
    fill_random(l.running, 2 * (size_t)c, 10 * seed + 5);
    for (int j = 0; j < c; j++)
        l.running[c + j] = fabsf(l.running[c + j]);
    return l;
}

static void free_layer(struct layer *l)
{
    float *all[] = {l->x, l->residual, l->gain, l->bias, l->dy};
    for (int i = 0; i < 5; i++)
        guard_free(all[i]);
    free(l->running);
}

struct outcome {
    float *y, *mean, *invstd, *running, *inference, *dx, *dres, *dgain, *dbias;
};

/* dx lies over dy, and dres is added to the residual where there is ReLU, so that both ways of dres are seen. */
static struct outcome run_layer(const struct layer *l, const struct kernels *kernels, int threads)
{
    struct engine engine = {.kernels = kernels, .threads = threads};
    size_t count = l->rows * l->c;
    struct outcome o = {guarded(count), guarded(l->c), guarded(l->c), guarded_copy(l->running, 2 * (size_t)l->c), guarded(count),
                        guarded_copy(l->dy, count), guarded_copy(l->residual, count), guarded(l->c), guarded(l->c)};
    struct slices slices = slices_of((int)l->rows, 1, 1);
    void *scratch = guard_alloc(norm_scratch(&slices, l->c), 0);
    float *scale = guarded(l->c);
    struct norm_params params = {l->gain, l->bias, o.running, o.running + l->c};
    struct conv_input input = {l->x, params.running_mean, scale, l->bias, l->relu}, residual = {.x = l->residual};
    norm_running_scale(scale, &params, l->c);
    norm_forward(&engine, o.inference, &input, l->has_residual ? &residual : NULL, &slices, l->c);
    input.mean = o.mean;
    norm_sum(&engine, l->x, &slices, l->c, scratch);
    norm_statistics(&engine, o.mean, o.invstd, scale, &params, &slices, l->c, scratch);
    norm_forward(&engine, o.y, &input, l->has_residual ? &residual : NULL, &slices, l->c);
    norm_backward(&engine, o.dx, l->has_residual ? o.dres : NULL, l->relu, o.dgain, o.dbias, o.dx, l->has_residual ? o.y : NULL,
                  &input, o.invstd, &slices, l->c, scratch);
    guard_free(scratch), guard_free(scale);
    return o;
}

static void free_outcome(struct outcome *o)
{
    float *all[] = {o->y, o->mean, o->invstd, o->running, o->inference, o->dx, o->dres, o->dgain, o->dbias};
    for (int i = 0; i < 9; i++)
        guard_free(all[i]);
}

/* One channel in double: its outputs into y, and the loss sum(y dy). */
static double oracle_channel(const struct layer *l, int j, const double *x, const double *residual, double gain, double bias,
                             double *y)
{
    double mean = 0, var = 0, loss = 0;
    for (size_t r = 0; r < l->rows; r++)
        mean += x[r];
    mean /= (double)l->rows;
    for (size_t r = 0; r < l->rows; r++)
        var += (x[r] - mean) * (x[r] - mean);
    var /= (double)l->rows;
    for (size_t r = 0; r < l->rows; r++) {
        y[r] = gain * (x[r] - mean) / sqrt(var + EPSILON) + bias + (l->has_residual ? residual[r] : 0);
        if (l->relu && y[r] < 0)
            y[r] = 0;
        loss += y[r] * l->dy[r * l->c + j];
    }
    return loss;
}

static void expect_close(double got, double want, double tolerance, const char *what, size_t row, int channel)
{
    cr_assert(fabs(got - want) <= tolerance * (1 + fabs(want)), "%s, row %zu, channel %d: %.9g, should be %.9g", what, row,
              channel, got, want);
}

static double central_difference(const struct layer *l, int j, double *x, double *residual, double *gain, double *bias,
                                 double *varied, double *y)
{
    const double step = 1e-6, at = *varied;
    *varied = at + step;
    double above = oracle_channel(l, j, x, residual, *gain, *bias, y);
    *varied = at - step;
    double below = oracle_channel(l, j, x, residual, *gain, *bias, y);
    *varied = at;
    return (above - below) / (2 * step);
}

static void check_channel(const struct layer *l, const struct outcome *o, int j)
{
    double *x = malloc(l->rows * sizeof *x), *residual = malloc(l->rows * sizeof *x), *y = malloc(l->rows * sizeof *x);
    double gain = l->gain[j], bias = l->bias[j];
    for (size_t r = 0; r < l->rows; r++) {
        x[r] = l->x[r * l->c + j];
        residual[r] = l->residual[r * l->c + j];
    }
    oracle_channel(l, j, x, residual, gain, bias, y);
    for (size_t r = 0; r < l->rows; r++)
        expect_close(o->y[r * l->c + j], y[r], 2e-6, "forward", r, j);
    expect_close(o->dgain[j], central_difference(l, j, x, residual, &gain, &bias, &gain, y), 1e-5, "dgain", 0, j);
    expect_close(o->dbias[j], central_difference(l, j, x, residual, &gain, &bias, &bias, y), 1e-5, "dbias", 0, j);
    for (size_t r = 0; r < l->rows; r += 1 + l->rows / 7) {
        expect_close(o->dx[r * l->c + j], central_difference(l, j, x, residual, &gain, &bias, &x[r], y), 1e-5, "dx", r, j);
        if (!l->has_residual)
            continue;
        double want = central_difference(l, j, x, residual, &gain, &bias, &residual[r], y);
        expect_close(o->dres[r * l->c + j], want + (l->relu ? residual[r] : 0), 1e-6, "dres", r, j);
    }
    free(x), free(residual), free(y);
}

Test(norm, layer_agrees_with_double_and_finite_differences)
{
    const struct kernels *isas[8];
    test_isas(isas);
    for (int kind = 0; kind < 4; kind++)
        for (int test = 0; test < 3; test++) {
            static const int rows[] = {9, 200, 900}, channels[] = {5, 19, 70};
            struct layer l = make_layer((size_t)rows[test], channels[test], kind & 1, kind & 2, kind);
            struct outcome o = run_layer(&l, isas[0], 1);
            for (int j = 0; j < l.c; j += 1 + l.c / 8)
                check_channel(&l, &o, j);
            free_outcome(&o);
            free_layer(&l);
        }
}

Test(norm, layer_gives_the_same_bits_on_every_isa_and_thread_count)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    static const struct {
        size_t rows;
        int c;
    } shapes[] = {{1, 3}, {50, 20}, {200, 600}, {5000, 20}, {300, 130}};
    for (int test = 0; test < 20; test++) {
        struct layer l = make_layer(shapes[test / 4].rows, shapes[test / 4].c, test & 1, test & 2, test);
        struct outcome want = run_layer(&l, isas[0], 1);
        size_t count = l.rows * l.c;
        for (size_t isa = 0; isa < isa_count; isa++)
            for (size_t t = isa ? 0 : 1; t < THREAD_COUNTS; t++) {
                struct outcome got = run_layer(&l, isas[isa], thread_counts[t]);
                const float *a[] = {want.y, want.inference, want.dx, want.dres, want.mean, want.invstd, want.dgain, want.dbias,
                                    want.running};
                const float *b[] = {got.y, got.inference, got.dx, got.dres, got.mean, got.invstd, got.dgain, got.dbias,
                                    got.running};
                for (int i = 0; i < 9; i++)
                    expect_same_bits(a[i], b[i], i < 4 ? count : i < 8 ? (size_t)l.c : 2 * (size_t)l.c,
                                     "%zu rows, %d channels, %s, %d threads, output %d", l.rows, l.c, isas[isa]->name,
                                     thread_counts[t], i);
                free_outcome(&got);
            }
        free_outcome(&want);
        free_layer(&l);
    }
}

/* E[x^2] - E[x]^2 in floats would lose the variance of such data altogether. */
Test(norm, variance_survives_a_large_mean)
{
    const struct kernels *isas[8];
    test_isas(isas);
    struct layer l = make_layer(40000, 3, false, false, 7);
    double mean[3] = {0}, var[3] = {0};
    for (size_t i = 0; i < l.rows * 3; i++)
        l.x[i] = 1000 + l.x[i];
    for (size_t i = 0; i < l.rows * 3; i++)
        mean[i % 3] += l.x[i] / (double)l.rows;
    for (size_t i = 0; i < l.rows * 3; i++)
        var[i % 3] += (l.x[i] - mean[i % 3]) * (l.x[i] - mean[i % 3]) / (double)l.rows;
    struct outcome o = run_layer(&l, isas[0], 1);
    for (int j = 0; j < 3; j++)
        expect_close(o.invstd[j], 1 / sqrt(var[j] + EPSILON), 2e-6, "invstd", 0, j);
    free_outcome(&o);
    free_layer(&l);
}

/* A sum whose residual is read through a norm of its own, in place of x and wider than the buffer it waits in. */
Test(norm, a_residual_is_read_through_its_norm)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    static const struct {
        int rows, c;
    } shapes[] = {{3, 5}, {300, 64}, {130, 600}, {9, 2048}, {5, 5000}};
    for (int test = 0; test < 10; test++) {
        int rows = shapes[test / 2].rows, c = shapes[test / 2].c;
        size_t count = (size_t)rows * c;
        struct engine engine = {.kernels = isas[test % isa_count], .threads = 1 + test / 2 % 3};
        float *x = guarded(count), *residual = guarded(count), *want = guarded(count), *channels = guarded(6 * (size_t)c);
        fill_random(x, count, test);
        fill_random(residual, count, test + 100);
        fill_random(channels, 6 * (size_t)c, test + 200);
        const float *own = channels + 3 * (size_t)c;
        struct conv_input input = {x, channels, channels + c, channels + 2 * c, true}, r = {residual, own, own + c, own + 2 * c, test / (int)isa_count % 2};
        isas[0]->norm_apply(want, residual, NULL, r.mean, r.scale, r.shift, r.relu, rows, c);
        isas[0]->norm_apply(want, x, want, input.mean, input.scale, input.shift, true, rows, c);
        struct slices slices = slices_of(rows, 1, 1);
        norm_forward(&engine, x, &input, &r, &slices, c);
        expect_same_bits(want, x, count, "%d rows, %d channels, %s", rows, c, engine.kernels->name);
        guard_free(x), guard_free(residual), guard_free(want), guard_free(channels);
    }
}

/* ---- PyTorch ---- */

static const float *tensor(const struct safetensors *file, const char *prefix, const char *name, size_t *count)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", prefix, name);
    const struct safetensors_entry *entry = safetensors_find(file, key);
    cr_assert(entry && entry->type == ST_F32, "%s is missing", key);
    if (count)
        *count = entry->bytes / sizeof(float);
    return entry->data;
}

static void load(float *dst, const struct safetensors *file, const char *prefix, const char *name)
{
    size_t count;
    const float *src = tensor(file, prefix, name, &count);
    memcpy(dst, src, count * sizeof *dst);
}

static void expect_equal_to(const float *got, const struct safetensors *file, const char *prefix, const char *name, double limit)
{
    size_t count;
    const float *want = tensor(file, prefix, name, &count);
    double error = relative_l2(got, want, count);
    cr_expect(error < limit, "%s.%s: relative error %g", prefix, name, error);
}

Test(norm, agrees_with_pytorch)
{
    struct simclr_error err;
    struct safetensors *file;
    cr_assert(!safetensors_open(&file, fixture_path("layers_norm.safetensors"), &err), "%s", err.text);
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    static const char *const prefixes[] = {"plain", "relu", "residual"};
    for (int i = 0; i < 3; i++) {
        size_t count, c;
        tensor(file, prefixes[i], "x", &count);
        tensor(file, prefixes[i], "gain", &c);
        struct layer l = make_layer(count / c, (int)c, i > 0, i == 2, 0);
        static const char *const names[] = {"x", "gain", "bias", "dy", "residual"};
        float *const to[] = {l.x, l.gain, l.bias, l.dy, l.residual};
        for (int j = 0; j < (l.has_residual ? 5 : 4); j++)
            load(to[j], file, prefixes[i], names[j]);
        load(l.running, file, prefixes[i], "running_mean");
        load(l.running + c, file, prefixes[i], "running_var");
        for (size_t isa = 0; isa < isa_count; isa++) {
            struct outcome o = run_layer(&l, isas[isa], 2);
            expect_equal_to(o.y, file, prefixes[i], "y", 1e-5);
            expect_equal_to(o.inference, file, prefixes[i], "inference", 1e-5);
            expect_equal_to(o.running, file, prefixes[i], "mean_after", 1e-6);
            expect_equal_to(o.running + c, file, prefixes[i], "var_after", 1e-6);
            expect_equal_to(o.dx, file, prefixes[i], "dx", 1e-4);
            expect_equal_to(o.dgain, file, prefixes[i], "dgain", 1e-5);
            expect_equal_to(o.dbias, file, prefixes[i], "dbias", 1e-5);
            for (size_t j = 0; l.has_residual && j < count; j++)
                o.dres[j] -= l.residual[j]; /* what it was added to */
            if (l.has_residual)
                expect_equal_to(o.dres, file, prefixes[i], "dres", 1e-5);
            free_outcome(&o);
        }
        free_layer(&l);
    }
    safetensors_close(file);
}
