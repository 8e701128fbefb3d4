/* NT-Xent: the loss against a double oracle, PyTorch and itself on every ISA and thread count. */
#include "base/arena.h"
#include "base/rng.h"
#include "io/safetensors.h"
#include "nn/ntxent.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static struct engine best_engine(void)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    return (struct engine){.kernels = isas[count - 1], .threads = 2};
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

/* Rows are unit vectors along the axes, so that similarities are exactly 0 or 1 and most ranks are decided by ties: among rows of the
 * same tile, of tiles before and of tiles after, on both sides of the partner. */
Test(ntxent, ties_are_counted_by_definition)
{
    enum { D = 16, REGULAR = 256, MOST = 300 };
    static const int sizes[] = {2, 10, 64, 128, 130, 190, REGULAR, 300};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        int rows = sizes[c], axis[MOST], first = 0, among_five = 0;
        float z[MOST * D] = {0}, chance[MOST];
        fill_random(chance, (size_t)rows, c);
        for (int i = 0; i < rows; i++) {
            /* Some axes are rare, so that some ranks are low; or all alike: then four rows tie in the tile before row 64, a partner. */
            axis[i] = rows == REGULAR ? i % D : i > 5 && i < rows - 5 ? 2 * (chance[i] > 0) : i % 3;
            z[i * D + axis[i]] = 1.0f;
        }
        for (int i = 0; i < rows; i++) {
            int partner = (i + rows / 2) % rows, ahead = 0;
            for (int j = 0; j < rows; j++) {
                bool same = axis[i] == axis[j], partner_same = axis[i] == axis[partner];
                ahead += j != i && j != partner && (same > partner_same || (same == partner_same && j < partner));
            }
            first += ahead < 1;
            among_five += ahead < 5;
        }
        for (size_t i = 0; i < count; i++) {
            struct engine engine = {.kernels = isas[i], .threads = 2};
            struct ntxent_result result = run(&engine, NULL, z, rows, D, 0.5f);
            cr_expect_eq(result.retrieval1, first / (double)rows, "%s, %d rows: %g, expected %d", isas[i]->name, rows,
                         result.retrieval1 * rows, first);
            cr_expect_eq(result.retrieval5, among_five / (double)rows, "%s, %d rows: %g, expected %d", isas[i]->name, rows,
                         result.retrieval5 * rows, among_five);
        }
    }
}

Test(ntxent, matches_double_oracle)
{
    static const struct {
        int rows, d;
        float tau;
    } cases[] = {{2, 1, 0.5f},   {2, 3, 0.5f},     {4, 5, 0.1f},    {64, 16, 0.5f},  {66, 7, 0.07f}, {128, 33, 0.5f},
                 {130, 3, 0.2f}, {200, 129, 0.1f}, {20, 8, 0.025f}, {320, 24, 100.0f}, {562, 10, 0.1f}};
    struct engine engine = scalar_engine();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int rows = cases[c].rows, d = cases[c].d;
        size_t count = (size_t)rows * (size_t)d;
        float *z = random_array(count, c), *dz = allocate(count, sizeof *dz), *want_dz = allocate(count, sizeof *want_dz);
        double *exact = allocate(count, sizeof *exact);
        for (size_t i = 0; i < count / 2; i++) /* views that resemble each other, so that retrieval is neither 0 nor 1 */
            z[count / 2 + i] = z[i] + 0.8f * z[count / 2 + i];
        struct ntxent_result want = oracle(exact, z, rows, d, (double)cases[c].tau);
        struct ntxent_result got = run(&engine, dz, z, rows, d, cases[c].tau);
        for (size_t i = 0; i < count; i++)
            want_dz[i] = (float)exact[i];
        /* errors of similarities, about 1e-7, grow by 1 / tau */
        double growth = fmax(1 / (double)cases[c].tau, 1), tolerance = 2e-6 * growth;
        cr_expect_float_eq(got.loss, want.loss, tolerance, "case %zu: loss %.9g, expected %.9g", c, got.loss, want.loss);
        cr_expect_float_eq(got.alignment, want.alignment, 2e-6, "case %zu", c);
        cr_expect_float_eq(got.uniformity, want.uniformity, 2e-6, "case %zu", c);
        cr_expect_float_eq(got.retrieval1, want.retrieval1, 1e-12, "case %zu: %g, expected %g", c, got.retrieval1, want.retrieval1);
        cr_expect_float_eq(got.retrieval5, want.retrieval5, 1e-12, "case %zu: %g, expected %g", c, got.retrieval5, want.retrieval5);
        if (rows > 2 && d > 1) {
            double error = relative_l2(dz, want_dz, count);
            cr_expect(error < 5e-6 * growth, "case %zu: gradient is off by %g", c, error);
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
    /* of 2,118 rows, two tiles make a block, and blocks and tiles are odd */
    static const int shapes[][2] = {{2, 1}, {4, 3}, {64, 16}, {126, 33}, {200, 128}, {322, 17}, {512, 8}, {2118, 3}};
    static const int threads[] = {1, 2, 3, 5};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
        int rows = shapes[c][0], d = shapes[c][1];
        size_t size = (size_t)rows * (size_t)d;
        float *z = random_array(size, c), *want = allocate(size, sizeof *want), *got = allocate(size, sizeof *got);
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
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t i = 0; i < count; i++) {
        struct engine engine = {.kernels = isas[i], .threads = 64};
        size_t some = ntxent_scratch(&engine, 32768, 128), many = ntxent_scratch(&engine, 1 << 17, 128);
        cr_expect(some < 100000000, "%zu bytes for 32,768 rows", some);
        cr_expect(ntxent_scratch(&engine, 1 << 18, 128) <= 2 * many, "%zu bytes for 131,072 rows", many);
    }
}

/* Scratch cannot keep all similarities of 7,200 rows: some are computed again for the gradient. Some rows of it against sums in double. */
Test(ntxent, similarities_that_are_not_kept_are_recomputed)
{
    enum { ROWS = 7200, D = 3, STEP = 97 };
    struct engine engine = best_engine();
    cr_assert(ntxent_scratch(&engine, ROWS, D) < sizeof(float) * ROWS * ROWS / 2);
    float *z = random_array(ROWS * D, 8), *dz = allocate(ROWS * D, sizeof *dz);
    double *u = allocate(ROWS * D, sizeof *u), *norm = allocate(ROWS, sizeof *norm), *sum = allocate(ROWS, sizeof *sum);
    for (int i = 0; i < ROWS; i++) {
        const float *row = z + i * D;
        norm[i] = sqrt((double)row[0] * row[0] + (double)row[1] * row[1] + (double)row[2] * row[2]);
        for (int c = 0; c < D; c++)
            u[i * D + c] = row[c] / norm[i];
    }
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < i; j++) {
            double e = exp(2.0 * (u[i * D] * u[j * D] + u[i * D + 1] * u[j * D + 1] + u[i * D + 2] * u[j * D + 2]));
            sum[i] += e;
            sum[j] += e;
        }
    run(&engine, dz, z, ROWS, D, 0.5f);
    for (int i = 0; i < ROWS; i += STEP) {
        double du[D] = {0}, radial = 0, size = 0, error = 0;
        for (int j = 0; j < ROWS; j++) {
            if (j == i)
                continue;
            double e = exp(2.0 * (u[i * D] * u[j * D] + u[i * D + 1] * u[j * D + 1] + u[i * D + 2] * u[j * D + 2]));
            double g = (e / sum[i] + e / sum[j] - 2.0 * (j == (i + ROWS / 2) % ROWS)) * 2.0 / ROWS;
            for (int c = 0; c < D; c++)
                du[c] += g * u[j * D + c];
        }
        for (int c = 0; c < D; c++)
            radial += du[c] * u[i * D + c];
        for (int c = 0; c < D; c++) {
            double want = (du[c] - u[i * D + c] * radial) / norm[i];
            size += want * want;
            error += (dz[i * D + c] - want) * (dz[i * D + c] - want);
        }
        cr_expect(error <= 1e-10 * size, "row %d is off by %g", i, sqrt(error / size));
    }
    free(z);
    free(dz);
    free(u);
    free(norm);
    free(sum);
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
