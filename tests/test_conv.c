/* Convolution: against sums in double, against PyTorch (fixtures_layers.py), and itself on other ISAs and thread counts. */
#include "base/arena.h"
#include "io/safetensors.h"
#include "nn/conv_choice.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int n, h, w, c, k, r, stride, pad;
} cases[] = {
    {1, 1, 1, 1, 1, 1, 1, 0},   {3, 1, 1, 16, 5, 1, 1, 0},   {50, 1, 1, 20, 70, 1, 1, 0},  {2, 5, 7, 3, 5, 3, 1, 1},
    {2, 7, 5, 3, 64, 7, 2, 3},  {1, 2, 2, 20, 16, 3, 1, 1},  {2, 1, 1, 16, 20, 3, 1, 1},   {2, 2, 2, 5, 7, 3, 2, 1},
    {2, 9, 8, 16, 5, 3, 2, 1},  {3, 6, 6, 20, 33, 1, 2, 0},  {2, 7, 7, 3, 9, 1, 2, 0},     {2, 6, 5, 4, 6, 3, 1, 0},
    {2, 8, 7, 4, 6, 3, 2, 0},   {1, 5, 5, 2, 3, 3, 1, 3},    {1, 6, 7, 2, 3, 3, 2, 2},     {2, 4, 4, 3, 4, 1, 1, 1},
    {2, 5, 4, 3, 4, 1, 2, 1},   {1, 11, 9, 3, 4, 2, 3, 1},   {1, 13, 12, 2, 3, 3, 4, 0},   {3, 4, 4, 64, 64, 3, 1, 1},
    {17, 4, 4, 5, 16, 3, 1, 1}, /* several images a unit and a chunk */
    {1, 41, 40, 33, 8, 3, 1, 1}, /* an image larger than a unit: bands */
    {2, 40, 39, 32, 8, 3, 2, 1},
    {40, 30, 30, 1, 20, 1, 1, 0}, /* several rounds of chunks by weights */
    {1, 1, 300, 2, 3, 1, 1, 1},   /* a row longer than a chunk */
    {1, 5, 5, 256, 8, 3, 2, 1},   /* pixels of copies that would share sets of L1, and so lie apart */
    {25, 1, 1, 1024, 1100, 1, 1, 0}, /* rows that share sets of L1, read in place or copied; weights in groups */
    /* Winograd: whole tiles, others, many slices and units, channels beyond panels, and weights for which units are shared */
    {5, 8, 8, 16, 40, 3, 1, 1}, {3, 7, 6, 9, 33, 3, 1, 1}, {2, 36, 33, 8, 16, 3, 1, 1}, {90, 4, 4, 16, 16, 3, 1, 1},
    {3, 4, 4, 136, 130, 3, 1, 1}, {1, 6, 6, 257, 512, 3, 1, 1}, {20, 3, 3, 9, 12, 3, 1, 1}, {5, 8, 7, 9, 33, 3, 2, 1},
    {2, 33, 32, 8, 16, 3, 2, 1}, {1, 8, 8, 257, 512, 3, 2, 1}, {2, 7, 8, 129, 130, 3, 2, 1},
};
enum { CASES = sizeof cases / sizeof *cases };
static const int thread_counts[] = {1, 2, 3, 5};
enum { THREAD_COUNTS = sizeof thread_counts / sizeof *thread_counts };

struct problem {
    struct conv_shape s;
    size_t x_count, w_count, y_count;
    float *x, *w, *dy, *dx_before; /* dx_before: what the gradient by data is added to */
};

struct results {
    float *y, *dx, *dx_sum, *dw;
};

static struct problem make_problem(size_t i)
{
    struct problem p;
    p.s = conv_shape(cases[i].n, cases[i].h, cases[i].w, cases[i].c, cases[i].k, cases[i].r, cases[i].stride, cases[i].pad);
    p.x_count = (size_t)p.s.n * p.s.h * p.s.w * p.s.c;
    p.w_count = (size_t)p.s.r * p.s.r * p.s.c * p.s.k;
    p.y_count = (size_t)p.s.n * p.s.ho * p.s.wo * p.s.k;
    p.x = guard_alloc(p.x_count * sizeof(float), 0);
    p.w = guard_alloc(p.w_count * sizeof(float), 0);
    p.dy = guard_alloc(p.y_count * sizeof(float), 0);
    p.dx_before = malloc(p.x_count * sizeof(float));
    fill_random(p.x, p.x_count, 4 * i);
    fill_random(p.w, p.w_count, 4 * i + 1);
    fill_random(p.dy, p.y_count, 4 * i + 2);
    fill_random(p.dx_before, p.x_count, 4 * i + 3);
    return p;
}

static void free_problem(struct problem *p)
{
    guard_free(p->x);
    guard_free(p->w);
    guard_free(p->dy);
    free(p->dx_before);
}

/* Of machines with small, large and unknown caches. */
static const struct cache_sizes caches[] = {{0, 0, 0}, {8 * 1024, 64 * 1024, 8}, {128 * 1024, 8 * 1024 * 1024, 12}};
enum { CACHES = sizeof caches / sizeof *caches };

static struct results run(const struct problem *p, const struct kernels *kernels, int threads, size_t cache)
{
    struct engine engine = {.kernels = kernels, .threads = threads, .caches = caches[cache % CACHES]};
    void *scratch = guard_alloc(conv_scratch(&engine, &p->s), 0);
    struct results r = {
        .y = guard_alloc(p->y_count * sizeof(float), 0),
        .dx = guard_alloc(p->x_count * sizeof(float), 0),
        .dx_sum = guard_alloc(p->x_count * sizeof(float), 0),
        .dw = guard_alloc(p->w_count * sizeof(float), 0),
    };
    struct conv_input input = {.x = p->x};
    memcpy(r.dx_sum, p->dx_before, p->x_count * sizeof(float));
    conv_forward(&engine, r.y, NULL, &input, p->w, &p->s, scratch);
    conv_backward_data(&engine, r.dx, false, p->dy, p->w, &p->s, scratch);
    conv_backward_data(&engine, r.dx_sum, true, p->dy, p->w, &p->s, scratch);
    conv_backward_weights(&engine, r.dw, &input, p->dy, &p->s, scratch);
    guard_free(scratch);
    return r;
}

static void free_results(struct results *r)
{
    guard_free(r->y);
    guard_free(r->dx);
    guard_free(r->dx_sum);
    guard_free(r->dw);
}

/* Sums in double, and sums of absolute values, to which rounding errors are proportional. */
struct oracle {
    double *y, *dx, *dw, *y_abs, *dx_abs, *dw_abs;
};

static struct oracle make_oracle(const struct problem *p)
{
    const struct conv_shape *s = &p->s;
    struct oracle o = {
        .y = calloc(p->y_count, sizeof(double)), .y_abs = calloc(p->y_count, sizeof(double)),
        .dx = calloc(p->x_count, sizeof(double)), .dx_abs = calloc(p->x_count, sizeof(double)),
        .dw = calloc(p->w_count, sizeof(double)), .dw_abs = calloc(p->w_count, sizeof(double)),
    };
    for (int n = 0; n < s->n; n++)
        for (int i = 0; i < s->ho * s->wo; i++)
            for (int tap = 0; tap < s->r * s->r; tap++) {
                int row = i / s->wo * s->stride + tap / s->r - s->pad, col = i % s->wo * s->stride + tap % s->r - s->pad;
                if (row < 0 || row >= s->h || col < 0 || col >= s->w)
                    continue;
                size_t x = ((size_t)n * s->h * s->w + (size_t)row * s->w + col) * s->c;
                size_t y = ((size_t)n * s->ho * s->wo + i) * s->k, w = (size_t)tap * s->c * s->k;
                for (int c = 0; c < s->c; c++)
                    for (int k = 0; k < s->k; k++) {
                        double xv = p->x[x + c], wv = p->w[w + c * s->k + k], gv = p->dy[y + k];
                        o.y[y + k] += xv * wv;
                        o.y_abs[y + k] += fabs(xv * wv);
                        o.dx[x + c] += gv * wv;
                        o.dx_abs[x + c] += fabs(gv * wv);
                        o.dw[w + c * s->k + k] += xv * gv;
                        o.dw_abs[w + c * s->k + k] += fabs(xv * gv);
                    }
            }
    return o;
}

static void free_oracle(struct oracle *o)
{
    double *all[] = {o->y, o->dx, o->dw, o->y_abs, o->dx_abs, o->dw_abs};
    for (size_t i = 0; i < 6; i++)
        free(all[i]);
}

/* A chain of n roundings errs by at most about n 2^-24 of the sum of absolute values (Higham, theorem 4.1). */
static void expect_within(const float *got, const double *want, const double *abs_sum, const float *before, size_t count,
                          double roundings, const char *what, size_t test)
{
    for (size_t i = 0; i < count; i++) {
        double add = before ? before[i] : 0;
        double bound = 1.01 * roundings * 0x1p-24 * (abs_sum[i] + fabs(add));
        cr_assert(fabs(got[i] - (want[i] + add)) <= bound, "case %zu, %s: element %zu is %.9g, should be %.9g +- %.2g", test,
                  what, i, (double)got[i], want[i] + add, bound);
    }
}

Test(conv, is_within_the_rounding_bound_of_sums_in_double)
{
    const struct kernels *isas[8];
    test_isas(isas);
    for (size_t i = 0; i < CASES; i++) {
        struct problem p = make_problem(i);
        if (conv_algorithm(&p.s) != CONV_DIRECT) { /* other bounds: test_winograd.c */
            free_problem(&p);
            continue;
        }
        struct results r = run(&p, isas[0], 1, 0);
        struct oracle o = make_oracle(&p);
        int taps = p.s.r * p.s.r, pixels = p.s.n * p.s.ho * p.s.wo;
        expect_within(r.y, o.y, o.y_abs, NULL, p.y_count, taps * p.s.c, "forward", i);
        expect_within(r.dx, o.dx, o.dx_abs, NULL, p.x_count, taps * p.s.k, "by data", i);
        expect_within(r.dx_sum, o.dx, o.dx_abs, p.dx_before, p.x_count, taps * p.s.k + 1, "by data, added", i);
        expect_within(r.dw, o.dw, o.dw_abs, NULL, p.w_count, pixels < 512 ? pixels + 2 : 512 + pixels / 128, "by weights", i);
        for (size_t j = 0; j < p.x_count; j++) /* +0, not -0, where no tap reaches */
            cr_assert(o.dx_abs[j] != 0 || (r.dx[j] == 0 && !signbit(r.dx[j]) && r.dx_sum[j] == p.dx_before[j]));
        free_oracle(&o);
        free_results(&r);
        free_problem(&p);
    }
}

Test(conv, gives_the_same_bits_on_every_isa_and_thread_count)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t i = 0; i < CASES; i++) {
        struct problem p = make_problem(i);
        struct results want = run(&p, isas[0], 1, 0);
        for (size_t isa = 0; isa < isa_count; isa++)
            for (size_t t = isa ? 0 : 1; t < THREAD_COUNTS; t++) {
                int threads = thread_counts[t];
                struct results got = run(&p, isas[isa], threads, isa + t);
                const char *label = "case %zu, %s, %d threads: %s";
                expect_same_bits(want.y, got.y, p.y_count, label, i, isas[isa]->name, threads, "forward");
                expect_same_bits(want.dx, got.dx, p.x_count, label, i, isas[isa]->name, threads, "by data");
                expect_same_bits(want.dx_sum, got.dx_sum, p.x_count, label, i, isas[isa]->name, threads, "by data, added");
                expect_same_bits(want.dw, got.dw, p.w_count, label, i, isas[isa]->name, threads, "by weights");
                free_results(&got);
            }
        free_results(&want);
        free_problem(&p);
    }
}

/* What a layer reads through a norm and ReLU is what the norm would have written, and its sums are those of norm_stats. */
Test(conv, reads_through_a_norm_and_sums_its_output)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t i = 0; i < CASES; i++) {
        struct problem p = make_problem(i);
        const struct conv_shape *s = &p.s;
        struct engine engine = {.kernels = isas[i % isa_count], .threads = 1 + (int)(i / 2 % 3)};
        float *channels = guard_alloc(3 * (size_t)s->c * sizeof(float), 0), *x = guard_alloc(p.x_count * sizeof(float), 0);
        fill_random(channels, 3 * (size_t)s->c, i);
        struct conv_input input = {p.x, channels, channels + s->c, channels + 2 * (size_t)s->c, i / isa_count % 2};
        isas[0]->norm_apply(x, p.x, NULL, input.mean, input.scale, input.shift, input.relu, p.x_count / s->c, s->c);
        struct slices slices = slices_of(s->n, s->ho, s->wo);
        size_t sum_count = slices.count * s->k;
        float *y[2], *dw[2], *mean[2], *m2[2];
        for (int way = 0; way < 2; way++) {
            void *scratch = guard_alloc(conv_scratch(&engine, s), 0);
            y[way] = guard_alloc(p.y_count * sizeof(float), 0);
            dw[way] = guard_alloc(p.w_count * sizeof(float), 0);
            mean[way] = guard_alloc(sum_count * sizeof(float), 0);
            m2[way] = guard_alloc(sum_count * sizeof(float), 0);
            struct conv_sums sums = {mean[way], m2[way]};
            const struct conv_input *in = way ? &input : &(struct conv_input){.x = x};
            conv_forward(&engine, y[way], way ? &sums : NULL, in, p.w, s, scratch);
            conv_backward_weights(&engine, dw[way], in, p.dy, s, scratch);
            guard_free(scratch);
        }
        for (size_t j = 0; j < slices.count; j++) {
            size_t first, rows = slice_pixels(&slices, j, &first);
            isas[0]->norm_stats(mean[0] + j * s->k, m2[0] + j * s->k, y[0] + first * s->k, rows, s->k);
        }
        expect_same_bits(y[0], y[1], p.y_count, "case %zu, %s: forward", i, engine.kernels->name);
        expect_same_bits(dw[0], dw[1], p.w_count, "case %zu, %s: by weights", i, engine.kernels->name);
        expect_same_bits(mean[0], mean[1], sum_count, "case %zu, %s: means", i, engine.kernels->name);
        expect_same_bits(m2[0], m2[1], sum_count, "case %zu, %s: M2", i, engine.kernels->name);
        for (int way = 0; way < 2; way++) {
            guard_free(y[way]);
            guard_free(dw[way]);
            guard_free(mean[way]);
            guard_free(m2[way]);
        }
        guard_free(channels);
        guard_free(x);
        free_problem(&p);
    }
}

Test(conv, slices_cover_every_pixel_once_in_order)
{
    static const int sizes[][3] = {{1, 1, 1}, {300, 1, 1}, {7, 4, 4}, {5, 32, 32}, {3, 24, 24}, {2, 12, 12}, {2, 112, 112}, {2, 5, 300}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct slices slices = slices_of(sizes[i][0], sizes[i][1], sizes[i][2]);
        size_t next = 0;
        for (size_t j = 0; j < slices.count; j++) {
            size_t first, rows = slice_pixels(&slices, j, &first);
            cr_assert(first == next && rows > 0, "case %zu, slice %zu", i, j);
            next += rows;
        }
        cr_assert(next == (size_t)sizes[i][0] * sizes[i][1] * sizes[i][2], "case %zu", i);
    }
}

/* A network plans scratch for its largest batch and then runs smaller ones. */
Test(conv, scratch_of_a_batch_serves_every_smaller_one)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t i = 0; i < CASES; i++)
        for (int threads = 1; threads <= 64; threads *= 4) {
            struct engine engine = {.kernels = isas[isa_count - 1], .threads = threads};
            size_t before = 0;
            for (int n = 1; n <= 1000; n += n < 70 ? 1 : 31) {
                struct conv_shape s = conv_shape(n, cases[i].h, cases[i].w, cases[i].c, cases[i].k, cases[i].r, cases[i].stride,
                                                 cases[i].pad);
                size_t bytes = conv_scratch(&engine, &s);
                cr_assert(bytes >= before, "case %zu, %d threads: %zu bytes for %d images, %zu for fewer", i, threads,
                          bytes, n, before);
                before = bytes;
            }
        }
}

/* Outputs and scratch are NaN beforehand: nothing of them may be read. */
Test(conv, overwrites_whatever_was_there)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t i = 0; i < CASES; i++) {
        struct problem p = make_problem(i);
        struct results r = run(&p, isas[isa_count - 1], 2, 0);
        for (size_t j = 0; j < p.y_count; j++)
            cr_assert(isfinite(r.y[j]));
        for (size_t j = 0; j < p.x_count; j++)
            cr_assert(isfinite(r.dx[j]));
        for (size_t j = 0; j < p.w_count; j++)
            cr_assert(isfinite(r.dw[j]));
        free_results(&r);
        free_problem(&p);
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

Test(conv, agrees_with_pytorch)
{
    struct simclr_error err;
    struct safetensors *file;
    cr_assert(!safetensors_open(&file, fixture_path("layers_conv.safetensors"), &err), "%s", err.text);
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas), cases_found = 0;
    for (size_t e = 0; e < safetensors_count(file); e++) {
        const struct safetensors_entry *x = safetensors_at(file, e);
        char prefix[64];
        int h, w, c, k, r, stride, pad, n;
        if (sscanf(x->name, "n%d_h%d_w%d_c%d_k%d_r%d_s%d_p%d.x", &n, &h, &w, &c, &k, &r, &stride, &pad) != 8 ||
            strcmp(strchr(x->name, '.'), ".x"))
            continue;
        cases_found++;
        snprintf(prefix, sizeof prefix, "%.*s", (int)(strchr(x->name, '.') - x->name), x->name);
        struct conv_shape s = conv_shape(n, h, w, c, k, r, stride, pad);
        struct problem p = {.s = s, .x_count = (size_t)n * h * w * c, .w_count = (size_t)r * r * c * k,
                            .y_count = (size_t)n * s.ho * s.wo * k};
        p.x = (float *)tensor(file, prefix, "x", p.x_count);
        p.w = (float *)tensor(file, prefix, "w", p.w_count);
        p.dy = (float *)tensor(file, prefix, "dy", p.y_count);
        p.dx_before = p.x;
        for (size_t isa = 0; isa < isa_count; isa++) {
            struct results got = run(&p, isas[isa], 2, isa);
            cr_expect_lt(relative_l2(got.y, tensor(file, prefix, "y", p.y_count), p.y_count), 1e-6, "%s forward", prefix);
            cr_expect_lt(relative_l2(got.dx, tensor(file, prefix, "dx", p.x_count), p.x_count), 1e-6, "%s by data", prefix);
            cr_expect_lt(relative_l2(got.dw, tensor(file, prefix, "dw", p.w_count), p.w_count), 1e-6, "%s by weights", prefix);
            free_results(&got);
        }
    }
    cr_assert_eq(cases_found, 5);
    safetensors_close(file);
}
