/* Pooling: against plain loops, finite differences, PyTorch (fixtures_layers.py), other ISAs and thread counts. */
#include "io/safetensors.h"
#include "nn/pool.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int n, h, w, c;
} cases[] = {{1, 1, 1, 1}, {2, 2, 2, 3}, {1, 2, 1, 16}, {2, 5, 6, 20}, {3, 7, 7, 5}, {2, 8, 9, 37}};
enum { CASES = sizeof cases / sizeof *cases };
static const int thread_counts[] = {1, 2, 3, 5};
enum { THREAD_COUNTS = sizeof thread_counts / sizeof *thread_counts };

struct pooled {
    size_t in, out, means; /* floats of all images */
    float *max, *dx, *mean, *mean_dx;
    uint8_t *which;
};

static float *guarded(size_t count) { return guard_alloc(count * sizeof(float), 0); }

static struct pooled run(const struct kernels *kernels, int threads, const float *x, const float *dy, int n, int h, int w, int c)
{
    struct engine engine = {.kernels = kernels, .threads = threads};
    struct pooled p = {.in = (size_t)n * h * w * c, .out = (size_t)n * ((h + 1) / 2) * ((w + 1) / 2) * c, .means = (size_t)n * c};
    p.max = guarded(p.out);
    p.which = guard_alloc(p.out, 0);
    p.dx = guarded(p.in);
    p.mean = guarded(p.means);
    p.mean_dx = guarded(p.in);
    maxpool_forward(&engine, p.max, p.which, x, n, h, w, c);
    maxpool_backward(&engine, p.dx, dy, p.which, n, h, w, c);
    avgpool_forward(&engine, p.mean, x, n, h * w, c);
    avgpool_backward(&engine, p.mean_dx, dy, n, h * w, c);
    return p;
}

static void free_pooled(struct pooled *p)
{
    guard_free(p->max), guard_free(p->which), guard_free(p->dx), guard_free(p->mean), guard_free(p->mean_dx);
}

/* Values from few levels, so that windows have ties. */
static float *make_input(size_t i, size_t *in, float **dy, bool ties)
{
    *in = (size_t)cases[i].n * cases[i].h * cases[i].w * cases[i].c;
    float *x = guarded(*in);
    fill_random(x, *in, i);
    for (size_t j = 0; ties && j < *in; j++)
        x[j] = floorf(4 * x[j]) - 2;
    *dy = guarded(*in);
    fill_random(*dy, *in, i + 100);
    return x;
}

static void check_max_image(const struct pooled *p, const float *x, const float *dy, int image, int h, int w, int c)
{
    int ho = (h + 1) / 2, wo = (w + 1) / 2;
    x += (size_t)image * h * w * c;
    double *dx = calloc((size_t)h * w * c, sizeof *dx);
    for (int i = 0; i < ho * wo * c; i++) {
        int row = i / c / wo, col = i / c % wo, channel = i % c, best = -1;
        size_t at = (size_t)image * ho * wo * c + i;
        float max = 0;
        for (int tap = 0; tap < 9; tap++) {
            int y = 2 * row - 1 + tap / 3, z = 2 * col - 1 + tap % 3;
            if (y < 0 || y >= h || z < 0 || z >= w || (best >= 0 && !(x[(y * w + z) * c + channel] > max)))
                continue;
            best = tap;
            max = x[(y * w + z) * c + channel];
        }
        cr_assert(p->max[at] == max && p->which[at] == best, "(%d, %d) channel %d: %g at %d, should be %g at %d", row, col,
                  channel, (double)p->max[at], p->which[at], (double)max, best);
        dx[((2 * row - 1 + best / 3) * w + 2 * col - 1 + best % 3) * c + channel] += dy[at];
    }
    for (int i = 0; i < h * w * c; i++)
        cr_assert(fabs(p->dx[(size_t)image * h * w * c + i] - dx[i]) < 1e-6);
    free(dx);
}

Test(pool, computes_what_it_says)
{
    const struct kernels *isas[8];
    test_isas(isas);
    for (size_t i = 0; i < 2 * CASES; i++) {
        int n = cases[i / 2].n, h = cases[i / 2].h, w = cases[i / 2].w, c = cases[i / 2].c;
        size_t in;
        float *dy, *x = make_input(i / 2, &in, &dy, i % 2);
        struct pooled p = run(isas[0], 1, x, dy, n, h, w, c);
        for (int image = 0; image < n; image++) {
            check_max_image(&p, x, dy, image, h, w, c);
            for (int j = 0; j < c; j++) {
                double sum = 0;
                for (int q = 0; q < h * w; q++) {
                    size_t at = ((size_t)image * h * w + q) * c + j;
                    sum += x[at];
                    cr_assert_float_eq(p.mean_dx[at], dy[image * c + j] / (h * w), 1e-7);
                }
                cr_assert_float_eq(p.mean[image * c + j], sum / (h * w), 1e-6);
            }
        }
        free_pooled(&p);
        guard_free(x), guard_free(dy);
    }
}

Test(pool, gives_the_same_bits_on_every_isa_and_thread_count)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t i = 0; i < CASES; i++) {
        size_t in;
        float *dy, *x = make_input(i, &in, &dy, i % 2);
        struct pooled want = run(isas[0], 1, x, dy, cases[i].n, cases[i].h, cases[i].w, cases[i].c);
        for (size_t isa = 0; isa < isa_count; isa++)
            for (size_t t = isa ? 0 : 1; t < THREAD_COUNTS; t++) {
                struct pooled got = run(isas[isa], thread_counts[t], x, dy, cases[i].n, cases[i].h, cases[i].w, cases[i].c);
                const char *label = "case %zu, %s, %d threads: %s", *name = isas[isa]->name;
                expect_same_bits(want.max, got.max, want.out, label, i, name, thread_counts[t], "max");
                expect_same_bits(want.dx, got.dx, want.in, label, i, name, thread_counts[t], "max backward");
                expect_same_bits(want.mean, got.mean, want.means, label, i, name, thread_counts[t], "average");
                expect_same_bits(want.mean_dx, got.mean_dx, want.in, label, i, name, thread_counts[t], "average backward");
                cr_assert_arr_eq(want.which, got.which, want.out, "case %zu, %s: which", i, name);
                free_pooled(&got);
            }
        free_pooled(&want);
        guard_free(x), guard_free(dy);
    }
}

static double weighted(const float *y, const float *dy, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)y[i] * dy[i];
    return sum;
}

/* Both are piecewise linear: differences are exact up to rounding where no maximum changes. Values lie 2^-6 apart. */
Test(pool, gradients_agree_with_finite_differences)
{
    const struct kernels *isas[8];
    test_isas(isas);
    enum { H = 5, W = 6, C = 3, COUNT = H * W * C };
    float x[COUNT], dy[COUNT];
    const float step = 0x1p-8f;
    for (int i = 0; i < COUNT; i++)
        x[i] = (float)(i * 37 % COUNT) * 0x1p-6f;
    fill_random(dy, COUNT, 1);
    struct pooled p = run(isas[0], 1, x, dy, 1, H, W, C);
    for (int i = 0; i < COUNT; i++) {
        float at = x[i];
        x[i] = at + step;
        struct pooled above = run(isas[0], 1, x, dy, 1, H, W, C);
        x[i] = at - step;
        struct pooled below = run(isas[0], 1, x, dy, 1, H, W, C);
        x[i] = at;
        double max = (weighted(above.max, dy, p.out) - weighted(below.max, dy, p.out)) / (2 * (double)step);
        double mean = (weighted(above.mean, dy, p.means) - weighted(below.mean, dy, p.means)) / (2 * (double)step);
        cr_expect_float_eq(p.dx[i], max, 1e-5);
        cr_expect_float_eq(p.mean_dx[i], mean, 1e-4);
        free_pooled(&above);
        free_pooled(&below);
    }
    free_pooled(&p);
}

static const struct safetensors_entry *find(const struct safetensors *file, const char *name)
{
    const struct safetensors_entry *entry = safetensors_find(file, name);
    cr_assert(entry && entry->type == ST_F32, "%s is missing", name);
    return entry;
}

Test(pool, agrees_with_pytorch)
{
    struct simclr_error err;
    struct safetensors *file;
    cr_assert(!safetensors_open(&file, fixture_path("layers_pool.safetensors"), &err), "%s", err.text);
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t isa = 0; isa < isa_count; isa++) {
        for (int average = 0; average < 2; average++) {
            const char *const names[2][4] = {{"max.x", "max.dy", "max.y", "max.dx"},
                                             {"average.x", "average.dy", "average.y", "average.dx"}};
            const struct safetensors_entry *x = find(file, names[average][0]), *dy = find(file, names[average][1]);
            const struct safetensors_entry *y = find(file, names[average][2]), *dx = find(file, names[average][3]);
            float *grad = calloc(x->bytes, 1); /* run() wants one for both poolings, as large as x */
            memcpy(grad, dy->data, dy->bytes);
            int n = (int)x->dims[0], h = (int)x->dims[1], w = (int)x->dims[2], c = (int)x->dims[3];
            struct pooled p = run(isas[isa], 2, x->data, grad, n, h, w, c);
            double error = relative_l2(average ? p.mean : p.max, y->data, y->bytes / sizeof(float));
            double dx_error = relative_l2(average ? p.mean_dx : p.dx, dx->data, dx->bytes / sizeof(float));
            cr_expect(error < 1e-6 && dx_error < 1e-6, "%s: relative error %g, %s: %g", names[average][2], error, names[average][3],
                      dx_error);
            free(grad);
            free_pooled(&p);
        }
    }
    safetensors_close(file);
}
