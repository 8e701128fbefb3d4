/* NT-Xent: its kernels, and the whole loss against a double oracle, PyTorch and itself on every ISA and thread count. */
#include "base/arena.h"
#include "base/rng.h"
#include "io/safetensors.h"
#include "nn/ntxent.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t count, size_t size)
{
    void *p = alloc_aligned(count, size);
    cr_assert_not_null(p);
    return p;
}

static float *random_floats(size_t count, uint64_t seed)
{
    float *p = allocate(count, sizeof *p);
    fill_random(p, count, seed);
    return p;
}

static struct ntxent_result run(const struct engine *engine, float *dz, const float *z, int rows, int d, float tau)
{
    struct ntxent_result result;
    size_t bytes = ntxent_scratch(engine, rows, d);
    void *scratch = allocate(bytes, 1);
    memset(scratch, 0xff, bytes);
    if (dz)
        memset(dz, 0xff, (size_t)rows * (size_t)d * sizeof *dz);
    ntxent(engine, &result, dz, z, rows, d, tau, scratch);
    free(scratch);
    return result;
}

/* ---- kernels ---- */

/* One call of each kernel on guarded copies of the same numbers; out receives everything that it wrote. */
struct kernel_case {
    int rows, d, m, n;
    bool at_start;
};

static float *guarded(const float *from, size_t count, bool at_start)
{
    float *p = guard_alloc(count * sizeof *p, at_start);
    if (from)
        memcpy(p, from, count * sizeof *p);
    return p;
}

static size_t append(float *out, size_t at, const void *from, size_t floats)
{
    memcpy(out + at, from, floats * sizeof *out);
    return at + floats;
}

static size_t run_kernels(const struct kernels *k, float *out, const struct kernel_case *c)
{
    enum { LD = NTXENT_TILE };
    size_t size = (size_t)c->rows * (size_t)c->d, tile = (size_t)(c->m - 1) * LD + (size_t)c->n, written = 0;
    float *numbers = random_floats(size + tile + LD * 4, 5);
    float *x = guarded(numbers, size, c->at_start), *u = guarded(NULL, size, c->at_start);
    float *norm = guarded(NULL, (size_t)c->rows, c->at_start), *dx = guarded(NULL, size, c->at_start);
    k->l2_normalize(u, norm, x, (size_t)c->rows, c->d);
    k->l2_normalize_backward(dx, x, u, norm, (size_t)c->rows, c->d);
    written = append(out, written, u, size);
    written = append(out, written, dx, size);
    written = append(out, written, norm, (size_t)c->rows);
    out[written++] = k->dot(x, dx, size);

    float *s = guarded(numbers + size, tile, c->at_start);
    float *inv_row = guarded(numbers, (size_t)c->m, c->at_start), *inv_col = guarded(numbers, (size_t)c->n, c->at_start);
    float *target = guarded(numbers + size + 2, (size_t)c->m, c->at_start); /* equal to some of s */
    double *sum = guard_alloc((size_t)c->m * sizeof *sum, c->at_start);
    int32_t *count = guard_alloc((size_t)c->m * sizeof *count, c->at_start);
    int *target_col = guard_alloc((size_t)c->m * sizeof *target_col, c->at_start);
    s[0] = NTXENT_MASKED;
    for (int i = 0; i < c->m; i++) {
        sum[i] = 0.25;
        count[i] = 3;
        target_col[i] = 100 + i * 7 % 80 - 5;
    }
    k->ntxent_row_sums(sum, s, LD, 10.0f, c->m, c->n);
    k->count_greater(count, s, LD, target, target_col, 100, c->m, c->n);
    k->ntxent_gradient_tile(s, LD, inv_row, inv_col, 10.0f, 0.125f, c->m, c->n);
    written = append(out, written, sum, (size_t)c->m * 2); /* doubles */
    written = append(out, written, count, (size_t)c->m);
    written = append(out, written, s, tile);
    void *blocks[] = {x, u, norm, dx, s, inv_row, inv_col, target, sum, count, target_col};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        guard_free(blocks[i]);
    free(numbers);
    return written;
}

Test(ntxent, kernels_agree_on_every_isa)
{
    static const struct kernel_case cases[] = {{1, 1, 1, 1, false},    {3, 7, 2, 3, true},    {5, 16, 5, 16, false},
                                               {4, 33, 9, 37, true},   {2, 129, 3, 63, false}, {7, 128, 64, 64, true},
                                               {3, 15, 64, 17, false}, {3, 31, 8, 48, true}};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    float *want = allocate(16384, sizeof *want), *got = allocate(16384, sizeof *got);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        size_t size = run_kernels(isas[0], want, &cases[c]);
        for (size_t i = 1; i < count; i++) {
            run_kernels(isas[i], got, &cases[c]);
            cr_expect(!memcmp(want, got, size * sizeof *got), "%s differs from scalar in case %zu", isas[i]->name, c);
        }
    }
    free(want);
    free(got);
}

Test(ntxent, scalar_kernels_compute_their_contract)
{
    const struct kernels *isas[8];
    test_isas(isas);
    enum { M = 5, N = 37, LD = 64, D = 45 };
    float s[M * LD], x[M * D], u[M * D], norm[M];
    fill_random(s, M * LD, 1);
    fill_random(x, M * D, 2);
    memset(x + D, 0, D * sizeof *x); /* a row of zeros stays zeros, with the norm clamped */
    isas[0]->l2_normalize(u, norm, x, M, D);
    for (int i = 0; i < M; i++) {
        double squares = 0;
        for (int j = 0; j < D; j++)
            squares += (double)x[i * D + j] * x[i * D + j];
        double want = fmax(sqrt(squares), 1e-12);
        cr_expect_float_eq(norm[i] / want, 1.0, 1e-6);
        for (int j = 0; j < D; j++)
            cr_expect(fabs(u[i * D + j] - x[i * D + j] / want) <= 1e-6);
    }
    s[1] = NTXENT_MASKED;
    double sum[M] = {0};
    int32_t count[M] = {0};
    int target_col[M] = {3, 4, 5, 60, -1};
    float target[M], inv_row[M], inv_col[N], g[M * LD];
    fill_random(inv_row, M, 3);
    fill_random(inv_col, N, 4);
    for (int i = 0; i < M; i++)
        target[i] = s[i * LD + 3]; /* ties with column 3 */
    isas[0]->ntxent_row_sums(sum, s, LD, 14.0f, M, N);
    isas[0]->count_greater(count, s, LD, target, target_col, 0, M, N);
    memcpy(g, s, sizeof g);
    isas[0]->ntxent_gradient_tile(g, LD, inv_row, inv_col, 14.0f, 0.5f, M, N);
    for (int i = 0; i < M; i++) {
        double want = 0;
        int ahead = 0;
        for (int j = 0; j < N; j++) {
            double e = exp(14.0 * ((double)s[i * LD + j] - 1.0));
            want += e;
            ahead += s[i * LD + j] > target[i] || (s[i * LD + j] == target[i] && j < target_col[i]);
            double weight = e * ((double)inv_row[i] + inv_col[j]) * 0.5;
            cr_expect(fabs(g[i * LD + j] - weight) <= 1e-5 * (fabs(weight) + e), "gradient %d, %d", i, j);
        }
        cr_expect(fabs(sum[i] - want) <= 1e-5 * want, "row %d: %g, expected %g", i, sum[i], want);
        cr_expect_eq(count[i], ahead, "row %d: %d ahead, expected %d", i, count[i], ahead);
        for (int j = N; j < LD; j++)
            cr_expect_eq(g[i * LD + j], s[i * LD + j], "column %d lies outside of the tile", j);
    }
}

/* ---- the loss ---- */

/* Everything in double from the definition, with an N x N matrix. */
static struct ntxent_result oracle(double *dz, const float *z, int rows, int d, double tau)
{
    size_t count = (size_t)rows;
    double *u = allocate(count * (size_t)d, sizeof *u), *norm = allocate(count, sizeof *norm), *lse = allocate(count, sizeof *lse);
    double *s = allocate(count * count, sizeof *s);
    struct ntxent_result result = {0};
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < d; j++)
            norm[i] += (double)z[i * d + j] * z[i * d + j];
        norm[i] = fmax(sqrt(norm[i]), 1e-12);
        for (int j = 0; j < d; j++)
            u[i * d + j] = z[i * d + j] / norm[i];
    }
    double close = 0;
    for (int i = 0; i < rows; i++) {
        int partner = (i + rows / 2) % rows, ahead = 0;
        double sum = 0;
        for (int j = 0; j < rows; j++) {
            for (int c = 0; c < d; c++)
                s[i * rows + j] += u[i * d + c] * u[j * d + c];
            if (j != i) {
                sum += exp(s[i * rows + j] / tau);
                close += exp(-2.0 * (2.0 - 2.0 * s[i * rows + j]));
            }
        }
        double positive = s[i * rows + partner];
        for (int j = 0; j < rows; j++)
            ahead += j != i && j != partner && s[i * rows + j] > positive;
        lse[i] = log(sum);
        result.loss += (lse[i] - positive / tau) / rows;
        result.alignment += (2.0 - 2.0 * positive) / rows;
        result.retrieval1 += (ahead < 1) / (double)rows;
        result.retrieval5 += (ahead < 5) / (double)rows;
    }
    result.uniformity = log(close / (rows * (rows - 1.0)));
    for (int i = 0; i < rows; i++) {
        double *out = dz + i * d, radial = 0;
        memset(out, 0, (size_t)d * sizeof *out);
        for (int j = 0; j < rows; j++) {
            if (j == i)
                continue;
            double both = exp(s[i * rows + j] / tau - lse[i]) + exp(s[i * rows + j] / tau - lse[j]);
            double g = (both - 2.0 * (j == (i + rows / 2) % rows)) / (rows * tau);
            for (int c = 0; c < d; c++)
                out[c] += g * u[j * d + c];
        }
        for (int c = 0; c < d; c++)
            radial += out[c] * u[i * d + c];
        for (int c = 0; c < d; c++)
            out[c] = (out[c] - u[i * d + c] * radial) / norm[i];
    }
    free(u);
    free(norm);
    free(lse);
    free(s);
    return result;
}

static struct engine scalar_engine(void)
{
    const struct kernels *isas[8];
    test_isas(isas);
    return (struct engine){.kernels = isas[0], .threads = 1};
}

Test(ntxent, known_values)
{
    struct engine engine = scalar_engine();
    static const float two[8] = {1, 0, 0, 1, 1, 0, 0, 1}; /* views in order a, b, a, b */
    cr_expect_float_eq(run(&engine, NULL, two, 4, 2, 0.5f).loss, 0.239545, 1e-6);

    float equal[140 * 3], dz[140 * 3];
    for (int i = 0; i < 140; i++)
        for (int c = 0; c < 3; c++)
            equal[i * 3 + c] = (float)(c + 1);
    struct ntxent_result result = run(&engine, dz, equal, 140, 3, 0.5f);
    cr_expect_float_eq(result.loss, log(139.0), 1e-6);
    cr_expect_float_eq(ntxent_ceiling(140), log(139.0), 1e-12);
    cr_expect_float_eq(result.alignment, 0.0, 1e-6);
    cr_expect_float_eq(result.uniformity, 0.0, 1e-6);
    for (int i = 0; i < 140 * 3; i++)
        cr_expect(fabsf(dz[i]) < 1e-7f);

    cr_expect_float_eq(ntxent_floor(512, 0.5), log(1.0 + 510.0 * exp(-2.0)), 1e-12);
    cr_expect_float_eq(run(&engine, NULL, two, 2, 2, 0.5f).loss, 0.0, 1e-6); /* one pair has no negative */
}

/* All similarities are equal, so that only the lower index decides: of 8 rows, row 4 alone finds row 0 first; rows 0, 1, 4..7 have at
 * most four rows before theirs. */
Test(ntxent, ties_go_to_the_lower_index)
{
    struct engine engine = scalar_engine();
    float equal[16];
    for (int i = 0; i < 16; i++)
        equal[i] = 0.3f;
    struct ntxent_result result = run(&engine, NULL, equal, 8, 2, 0.5f);
    cr_expect_eq(result.retrieval1, 1.0 / 8.0);
    cr_expect_eq(result.retrieval5, 6.0 / 8.0);
}

Test(ntxent, matches_double_oracle)
{
    static const struct {
        int rows, d;
        float tau;
    } cases[] = {{2, 1, 0.5f}, {2, 3, 0.5f}, {4, 5, 0.1f}, {64, 16, 0.5f}, {66, 7, 0.07f}, {128, 33, 0.5f}, {130, 3, 0.2f},
                 {200, 129, 0.1f}, {20, 8, 0.025f}};
    struct engine engine = scalar_engine();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int rows = cases[c].rows, d = cases[c].d;
        size_t count = (size_t)rows * (size_t)d;
        float *z = random_floats(count, c), *dz = allocate(count, sizeof *dz), *want_dz = allocate(count, sizeof *want_dz);
        double *exact = allocate(count, sizeof *exact);
        for (size_t i = 0; i < count / 2; i++) /* views that resemble each other, so that retrieval is neither 0 nor 1 */
            z[count / 2 + i] = z[i] + 0.8f * z[count / 2 + i];
        struct ntxent_result want = oracle(exact, z, rows, d, (double)cases[c].tau);
        struct ntxent_result got = run(&engine, dz, z, rows, d, cases[c].tau);
        for (size_t i = 0; i < count; i++)
            want_dz[i] = (float)exact[i];
        /* errors of similarities, about 1e-7, grow by 1 / tau */
        double tolerance = 2e-6 / (double)cases[c].tau;
        cr_expect_float_eq(got.loss, want.loss, tolerance, "case %zu: loss %.9g, expected %.9g", c, got.loss, want.loss);
        cr_expect_float_eq(got.alignment, want.alignment, 2e-6, "case %zu", c);
        cr_expect_float_eq(got.uniformity, want.uniformity, 2e-6, "case %zu", c);
        cr_expect_float_eq(got.retrieval1, want.retrieval1, 1e-12, "case %zu: %g, expected %g", c, got.retrieval1, want.retrieval1);
        cr_expect_float_eq(got.retrieval5, want.retrieval5, 1e-12, "case %zu: %g, expected %g", c, got.retrieval5, want.retrieval5);
        if (rows > 2 && d > 1) {
            double error = relative_l2(dz, want_dz, count);
            cr_expect(error < 5e-6 / (double)cases[c].tau, "case %zu: gradient is off by %g", c, error);
        } else { /* nothing to learn from one pair, or on a line */
            for (size_t i = 0; i < count; i++)
                cr_expect(fabsf(dz[i]) < 2e-5f, "case %zu: gradient %g", c, (double)dz[i]);
        }
        free(z);
        free(dz);
        free(want_dz);
        free(exact);
    }
}

Test(ntxent, gradient_matches_finite_differences)
{
    enum { ROWS = 10, D = 6, COUNT = ROWS * D };
    struct engine engine = scalar_engine();
    float z[COUNT], dz[COUNT], differences[COUNT];
    fill_random(z, COUNT, 9);
    run(&engine, dz, z, ROWS, D, 0.5f);
    for (int i = 0; i < COUNT; i++) {
        float kept = z[i], step = 0.0078125f;
        z[i] = kept + step;
        double above = run(&engine, NULL, z, ROWS, D, 0.5f).loss;
        z[i] = kept - step;
        double below = run(&engine, NULL, z, ROWS, D, 0.5f).loss;
        z[i] = kept;
        differences[i] = (float)((above - below) / (2.0 * (double)step));
    }
    double error = relative_l2(dz, differences, COUNT);
    cr_expect(error < 1e-3, "relative error %g", error);
}

Test(ntxent, same_bits_on_every_isa_and_thread_count)
{
    static const int shapes[][2] = {{2, 1}, {4, 3}, {64, 16}, {126, 33}, {200, 128}, {322, 17}};
    static const int threads[] = {1, 2, 3, 5};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        int rows = shapes[c][0], d = shapes[c][1];
        size_t size = (size_t)rows * (size_t)d;
        float *z = random_floats(size, c), *want = allocate(size, sizeof *want), *got = allocate(size, sizeof *got);
        struct ntxent_result first = {0};
        for (size_t i = 0; i < count; i++)
            for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
                struct engine engine = {.kernels = isas[i], .threads = threads[t]};
                bool reference = i == 0 && t == 0;
                struct ntxent_result result = run(&engine, reference ? want : got, z, rows, d, 0.1f);
                if (reference) {
                    first = result;
                    continue;
                }
                expect_same_bits(want, got, size, "%s, %d threads, %d x %d", isas[i]->name, threads[t], rows, d);
                cr_expect(!memcmp(&first, &result, sizeof result), "%s, %d threads, %d x %d: loss %a, expected %a", isas[i]->name,
                          threads[t], rows, d, result.loss, first.loss);
            }
        free(z);
        free(want);
        free(got);
    }
}

/* A diverged run must show: one NaN among the projections makes the loss NaN. */
Test(ntxent, nan_shows_in_the_loss)
{
    struct engine engine = scalar_engine();
    float z[12];
    fill_random(z, 12, 1);
    z[4] = NAN;
    cr_expect(isnan(run(&engine, NULL, z, 6, 2, 0.5f).loss));
}

Test(ntxent, memory_grows_with_rows_only)
{
    struct engine engine = scalar_engine();
    size_t small = ntxent_scratch(&engine, 1024, 128), large = ntxent_scratch(&engine, 8192, 128);
    cr_expect(large <= 8 * small + 65536, "%zu bytes for 1024 rows, %zu for 8192", small, large);
    cr_expect(large < 8192u * 128u * sizeof(float) * 4);
}

Test(ntxent, matches_pytorch)
{
    struct engine engine = scalar_engine();
    struct safetensors *file;
    struct simclr_error err;
    cr_assert_eq(safetensors_open(&file, fixture_path("training.safetensors"), &err), SIMCLR_OK, "%s", err.text);
    static const char *const names[] = {"small", "wide", "tiles"};
    for (size_t c = 0; c < 3; c++) {
        const struct safetensors_entry *entry[4];
        static const char *const parts[] = {"z", "tau", "loss", "dz"};
        for (int i = 0; i < 4; i++) {
            char name[64];
            snprintf(name, sizeof name, "ntxent.%s.%s", names[c], parts[i]);
            entry[i] = safetensors_find(file, name);
            cr_assert_not_null(entry[i], "%s is not in the fixture", name);
        }
        int rows = (int)entry[0]->dims[0], d = (int)entry[0]->dims[1];
        size_t bytes = entry[0]->bytes, count = bytes / sizeof(float);
        float *z = allocate(count, sizeof *z), *dz = allocate(count, sizeof *dz), *want = allocate(count, sizeof *want), tau, loss;
        memcpy(z, entry[0]->data, bytes);
        memcpy(&tau, entry[1]->data, sizeof tau);
        memcpy(&loss, entry[2]->data, sizeof loss);
        memcpy(want, entry[3]->data, bytes);
        struct ntxent_result result = run(&engine, dz, z, rows, d, tau);
        cr_expect(fabs(result.loss - (double)loss) <= 1e-5 * (double)loss, "%s: loss %.9g, PyTorch's %.9g", names[c], result.loss,
                  (double)loss);
        double error = relative_l2(dz, want, count);
        cr_expect(error < 1e-5, "%s: gradient is off by %g", names[c], error);
        free(z);
        free(dz);
        free(want);
    }
    safetensors_close(file);
}
