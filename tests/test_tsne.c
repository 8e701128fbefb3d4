/* t-SNE: its kernel against the contract, affinities and gradient against double oracles, and maps over ISAs and threads. */
#include "base/arena.h"
#include "eval/pca.h"
#include "eval/similarity.h"
#include "eval/tsne.h"
#include "simd/kernels.h"
#include "tests/harness.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static struct simclr_error err;

static struct engine engine_of(const struct kernels *kernels, int threads)
{
    return (struct engine){.kernels = kernels, .threads = threads};
}

static struct engine best_engine(int threads)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    return engine_of(isas[count - 1], threads);
}

/* Rows of length 1 around as many centres as there are classes. */
static float *clustered(size_t rows, int d, int classes, float spread)
{
    float *x = random_array(rows * (size_t)d, 3), *centres = random_array((size_t)classes * (size_t)d, 4);
    struct engine engine = best_engine(1);
    for (size_t i = 0; i < rows; i++)
        for (int j = 0; j < d; j++)
            x[i * (size_t)d + (size_t)j] = centres[(int)i % classes * d + j] + spread * x[i * (size_t)d + (size_t)j];
    normalize_rows(&engine, x, rows, d);
    free(centres);
    return x;
}

/* ---- The kernel ---- */

Test(tsne, the_kernel_computes_its_contract_on_every_isa)
{
    static const size_t sizes[] = {1, 2, 15, 16, 17, 45};
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s], padded = (n + TSNE_POINTS - 1) / TSNE_POINTS * TSNE_POINTS, first = padded - TSNE_POINTS;
        float *x = guard_alloc(padded * sizeof *x, s % 2), *y = guard_alloc(padded * sizeof *y, s % 2);
        float *p = guard_alloc(n * TSNE_POINTS * sizeof *p, s % 2), *forces = guard_alloc(TSNE_SUMS * TSNE_POINTS * sizeof *forces, s % 2);
        float want[TSNE_SUMS * TSNE_POINTS];
        fill_random(x, padded, 1);
        fill_random(y, padded, 2);
        fill_random(p, n * TSNE_POINTS, 3);
        for (size_t isa = 0; isa < isa_count; isa++) {
            isas[isa]->tsne_forces(forces, x, y, p, first, n);
            if (isa == 0)
                memcpy(want, forces, sizeof want);
            expect_same_bits(want, forces, TSNE_SUMS * TSNE_POINTS, "%s, %zu points", isas[isa]->name, n);
        }
        for (size_t i = 0; i < TSNE_POINTS; i++) {
            double sums[TSNE_SUMS] = {0};
            for (size_t j = 0; j < n; j++) {
                double dx = (double)x[first + i] - (double)x[j], dy = (double)y[first + i] - (double)y[j], q = 1 / (1 + dx * dx + dy * dy);
                double parts[TSNE_SUMS] = {(double)p[j * TSNE_POINTS + i] * q * dx, (double)p[j * TSNE_POINTS + i] * q * dy, q * q * dx, q * q * dy, q};
                for (int c = 0; c < TSNE_SUMS; c++)
                    sums[c] += parts[c];
            }
            for (size_t c = 0; c < TSNE_SUMS; c++)
                cr_expect(fabs((double)want[c * TSNE_POINTS + i] - sums[c]) <= 1e-6 * (double)n, "%zu points: sum %zu of point %zu", n, c, first + i);
        }
        guard_free(x);
        guard_free(y);
        guard_free(p);
        guard_free(forces);
    }
}

/* ---- Oracles ---- */

enum { ROWS = 41, D = 7 };

/* p (ROWS, ROWS) of features in double and by libm, bisected further than is asked. */
static void oracle_affinities(double *p, const float *x, double perplexity)
{
    static double conditional[ROWS][ROWS];
    for (int i = 0; i < ROWS; i++) {
        double low = 0, high = 1e6, square[ROWS] = {0};
        for (int j = 0; j < ROWS; j++)
            for (int k = 0; k < D; k++)
                square[j] += pow((double)x[i * D + k] - (double)x[j * D + k], 2);
        for (int halving = 0; halving < 200; halving++) {
            double beta = (low + high) / 2, sum = 0, entropy = 0;
            for (int j = 0; j < ROWS; j++)
                sum += conditional[i][j] = j == i ? 0 : exp(-beta * square[j]);
            for (int j = 0; j < ROWS; j++) {
                conditional[i][j] /= sum;
                entropy -= conditional[i][j] > 0 ? conditional[i][j] * log(conditional[i][j]) : 0;
            }
            if (entropy > log(perplexity))
                low = beta;
            else
                high = beta;
        }
    }
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < ROWS; j++)
            p[i * ROWS + j] = (conditional[i][j] + conditional[j][i]) / (2 * ROWS);
}

/* sum p log(p / q), the attracting half of it times `exaggeration`: of p without its own logarithm, which no place changes. */
static double oracle_divergence(const double *p, const double *places, double exaggeration)
{
    double z = 0, sum = 0;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < ROWS; j++)
            z += i == j ? 0 : 1 / (1 + pow(places[2 * i] - places[2 * j], 2) + pow(places[2 * i + 1] - places[2 * j + 1], 2));
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < ROWS; j++)
            if (i != j)
                sum += p[i * ROWS + j] * (log(p[i * ROWS + j]) + log(z) +
                                          exaggeration * log(1 + pow(places[2 * i] - places[2 * j], 2) + pow(places[2 * i + 1] - places[2 * j + 1], 2)));
    return sum;
}

static void begin_at_random(struct tsne *t, double *places, const float *x, double perplexity, const struct engine *engine)
{
    float *at = random_array(2 * ROWS, 9);
    cr_assert_eq(tsne_begin(t, x, ROWS, D, perplexity, engine, &err), SIMCLR_OK, "%s", err.text);
    for (int i = 0; i < ROWS; i++) {
        t->x[i] = 2 * at[2 * i];
        t->y[i] = 2 * at[2 * i + 1];
        places[2 * i] = (double)t->x[i];
        places[2 * i + 1] = (double)t->y[i];
    }
    free(at);
}

Test(tsne, affinities_have_the_perplexity)
{
    static const double perplexities[] = {2, 5, 13, 13};
    static double want[ROWS * ROWS];
    float *x = clustered(ROWS, D, 3, 0.5f);
    struct engine engine = best_engine(2);
    struct tsne t;
    for (int i = 0; i < 4; i++) {
        for (size_t row = 1; row < 20 && i == 3; row++) /* copies that no perplexity of 13 tells apart, among others */
            memcpy(x + 2 * row * D, x, D * sizeof *x);
        oracle_affinities(want, x, perplexities[i]);
        cr_assert_eq(tsne_begin(&t, x, ROWS, D, perplexities[i], &engine, &err), SIMCLR_OK);
        for (size_t a = 0; a < ROWS; a++)
            for (size_t b = 0; b < ROWS; b++) {
                double got = (double)t.p[(a / TSNE_POINTS * ROWS + b) * TSNE_POINTS + a % TSNE_POINTS];
                cr_expect(fabs(got - want[a * ROWS + b]) <= 1e-7 + 5e-4 * want[a * ROWS + b], "perplexity %g: %zu, %zu: %g for %g", perplexities[i],
                          a, b, got, want[a * ROWS + b]);
            }
        tsne_free(&t);
    }
    free(x);
}

Test(tsne, the_gradient_is_that_of_the_divergence)
{
    static const double exaggerations[] = {1, 12};
    static double p[ROWS * ROWS], places[2 * ROWS], gradient[2 * ROWS];
    const double step = 1e-5;
    float *x = clustered(ROWS, D, 3, 0.5f);
    struct engine engine = best_engine(2);
    struct tsne t;
    oracle_affinities(p, x, 5);
    begin_at_random(&t, places, x, 5, &engine);
    for (int e = 0; e < 2; e++) {
        tsne_gradient(gradient, &t, exaggerations[e]);
        for (int i = 0; i < 2 * ROWS; i++) {
            double at = places[i];
            places[i] = at + step;
            double above = oracle_divergence(p, places, exaggerations[e]);
            places[i] = at - step;
            double below = oracle_divergence(p, places, exaggerations[e]), want = (above - below) / (2 * step);
            places[i] = at;
            cr_expect(fabs(gradient[i] - want) <= 2e-5 * exaggerations[e], "exaggeration %g, coordinate %d: %g for %g", exaggerations[e], i,
                      gradient[i], want);
        }
    }
    double got, want = oracle_divergence(p, places, 1);
    cr_assert_eq(tsne_divergence(&got, &t, &err), SIMCLR_OK);
    cr_expect(fabs(got - want) <= 1e-4 * want, "%g for %g", got, want);
    tsne_free(&t);
    free(x);
}

/* ---- Maps ---- */

/* The divergence where the map begins, from pca_plane's places; descends to the map's places and divergence. */
static double *map_of(const float *x, size_t rows, int d, double *divergence, const struct engine *engine)
{
    double *places = allocate(rows * TSNE_PLANE, sizeof *places), share[PCA_PLANE];
    cr_assert_eq(pca_plane(places, share, x, rows, d, &err), SIMCLR_OK);
    cr_assert_eq(tsne_plane(places, divergence, x, rows, d, engine, &err), SIMCLR_OK, "%s", err.text);
    return places;
}

Test(tsne, clusters_lie_apart_and_the_divergence_falls)
{
    enum { POINTS = 150, CLASSES = 5, DIM = 32 };
    float *x = clustered(POINTS, DIM, CLASSES, 0.3f);
    struct engine engine = best_engine(2);
    struct tsne begin;
    static double gradient[2 * POINTS];
    double before, after, *places = map_of(x, POINTS, DIM, &after, &engine);
    cr_assert_eq(tsne_begin(&begin, x, POINTS, DIM, 30, &engine, &err), SIMCLR_OK);
    tsne_gradient(gradient, &begin, 1); /* all points in one place, nearly where maps begin */
    cr_assert_eq(tsne_divergence(&before, &begin, &err), SIMCLR_OK);
    cr_expect(after > 0 && after < before / 2, "%g at first, %g at last", before, after);
    for (int i = 0; i < POINTS; i++) {
        double same = 0, other = INFINITY;
        for (int j = 0; j < POINTS; j++) {
            double apart = hypot(places[2 * i] - places[2 * j], places[2 * i + 1] - places[2 * j + 1]);
            if (i % CLASSES == j % CLASSES)
                same = fmax(same, apart);
            else
                other = fmin(other, apart);
        }
        cr_expect(same < other, "point %d: %g to its own, %g to others", i, same, other);
    }
    tsne_free(&begin);
    free(places);
    free(x);
}

Test(tsne, maps_have_the_same_bits_everywhere)
{
    enum { POINTS = 131, DIM = 19 };
    static const int threads[] = {1, 2, 3, 5};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    float *x = clustered(POINTS, DIM, 4, 0.4f);
    struct engine engine = engine_of(isas[0], 1);
    double divergence, *want = map_of(x, POINTS, DIM, &divergence, &engine);
    for (size_t isa = 0; isa < count; isa++)
        for (int n = 0; n < 4; n++) {
            engine = engine_of(isas[isa], threads[n]);
            double other, *got = map_of(x, POINTS, DIM, &other, &engine);
            cr_expect(memcmp(got, want, 2 * POINTS * sizeof *got) == 0 && memcmp(&divergence, &other, sizeof other) == 0, "%s, %d threads",
                      isas[isa]->name, threads[n]);
            free(got);
        }
    free(want);
    free(x);
}

Test(tsne, few_images_and_equal_ones_have_a_map)
{
    struct engine engine = best_engine(2);
    for (size_t rows = 1; rows <= 6; rows++)
        for (int equal = 0; equal < 2; equal++) {
            float *x = clustered(rows, D, equal ? 1 : 3, equal ? 0 : 0.5f);
            double divergence, *places = map_of(x, rows, D, &divergence, &engine);
            cr_expect(isfinite(divergence), "%zu rows", rows);
            for (size_t i = 0; i < 2 * rows; i++)
                cr_expect(isfinite(places[i]), "%zu rows", rows);
            free(places);
            free(x);
        }
}

static bool stopped(void *ctx)
{
    (void)ctx;
    return true;
}

Test(tsne, it_stops_when_asked)
{
    float *x = clustered(ROWS, D, 3, 0.5f);
    static double places[2 * ROWS];
    struct engine engine = best_engine(1);
    engine.stop.wanted = stopped;
    cr_expect_eq(tsne_plane(places, NULL, x, ROWS, D, &engine, &err), SIMCLR_ERR_CANCELLED);
    free(x);
}
