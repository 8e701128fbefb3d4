/* The linear probe against scikit-learn (fixtures_probe.py) and a double-precision oracle, over ISAs, threads and labels of all kinds. */
#include "base/rng.h"
#include "eval/probe.h"
#include "io/safetensors.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct simclr_error err;
static struct probe probe;

static const struct kernels *best(void)
{
    const struct kernels *isas[8];
    return isas[test_isas(isas) - 1];
}

static enum simclr_status fit_on(const struct kernels *kernels, int threads, const float *x, const int *labels, size_t rows, int d,
                                 int classes, double lambda, uint64_t seed)
{
    struct engine engine = {.kernels = kernels, .threads = threads};
    return probe_fit(&probe, x, labels, rows, d, classes, lambda, seed, &engine, NULL, NULL, &err);
}

static void fit(const float *x, const int *labels, size_t rows, int d, int classes, double lambda)
{
    cr_assert_eq(fit_on(best(), 2, x, labels, rows, d, classes, lambda, 0), SIMCLR_OK, "%s", err.text);
}

static struct class_score test(const float *x, const int *labels, size_t rows, size_t *class_images, size_t *class_right)
{
    struct engine engine = {.kernels = best(), .threads = 2};
    struct class_score score;
    cr_assert_eq(probe_test(&probe, &score, class_images, class_right, x, labels, rows, &engine, &err), SIMCLR_OK, "%s", err.text);
    return score;
}

/* Classes around centres that are `apart`, each feature with a scale and place of its own. */
static void draw(float *x, int *labels, size_t rows, int d, int classes, float apart, uint64_t seed)
{
    struct rng centres = rng_stream(1, RNG_TEST, 20, 0), rng = rng_stream(seed, RNG_TEST, 21, 0);
    float *centre = allocate((size_t)(classes * d), sizeof *centre);
    for (int i = 0; i < classes * d; i++)
        centre[i] = apart * rng_normal(&centres);
    for (size_t i = 0; i < rows; i++) {
        labels[i] = (int)rng_below(&rng, (uint32_t)classes);
        for (int j = 0; j < d; j++)
            x[i * (size_t)d + (size_t)j] = (float)(1 << j % 5) * (centre[labels[i] * d + j] + rng_normal(&rng)) + (float)(j % 3 - 1) * 20;
    }
    free(centre);
}

/* ---- The optimum ---- */

static const void *tensor(const struct safetensors *file, const char *prefix, const char *name, size_t *count)
{
    char key[64];
    snprintf(key, sizeof key, "%s.%s", prefix, name);
    const struct safetensors_entry *entry = safetensors_find(file, key);
    cr_assert(entry, "%s", key);
    *count = entry->bytes / (entry->type == ST_I64 ? 8 : 4);
    return entry->data;
}

Test(probe, is_that_of_scikit_learn)
{
    static const char *const cases[] = {"small", "wide", "weak"};
    struct safetensors *file;
    cr_assert_eq(safetensors_open(&file, fixture_path("probe.safetensors"), &err), SIMCLR_OK, "%s", err.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t rows, classes, weights, one;
        int labels[400];
        const int64_t *y = tensor(file, cases[i], "labels", &rows);
        const float *right = tensor(file, cases[i], "right", &one), *x = tensor(file, cases[i], "x", &one);
        const float *lambda = tensor(file, cases[i], "lambda", &one);
        const float *loss = tensor(file, cases[i], "loss", &one), *weight = tensor(file, cases[i], "weight", &weights);
        const float *bias = tensor(file, cases[i], "bias", &classes), *deviation = tensor(file, cases[i], "deviation", &one);
        const float *mean = tensor(file, cases[i], "mean", &one);
        size_t d = weights / classes;
        for (size_t r = 0; r < rows; r++)
            labels[r] = (int)y[r];
        fit(x, labels, rows, (int)d, (int)classes, (double)lambda[0]);
        cr_expect(probe.converged && probe.rows == rows && probe.held_out == 0);
        cr_expect(fabs(probe.loss - loss[0]) <= 5e-6, "%s: loss %.9g, should be %.9g", cases[i], probe.loss, (double)loss[0]);
        double middle = 0, squares = 0, off = 0;
        for (size_t c = 0; c < classes; c++) {
            double unfolded = probe.bias[c];
            for (size_t j = 0; j < d; j++) {
                double got = (double)probe.weight[j * classes + c] * deviation[j], want = weight[j * classes + c];
                unfolded += (double)probe.weight[j * classes + c] * mean[j];
                squares += want * want;
                off += (got - want) * (got - want);
            }
            probe.bias[c] = (float)unfolded; /* only the differences of biases count */
            middle += unfolded / (double)classes;
        }
        cr_expect(sqrt(off / squares) < 1e-2, "%s: weights are %g off", cases[i], sqrt(off / squares));
        for (size_t c = 0; c < classes; c++)
            cr_expect(fabs(probe.bias[c] - middle - bias[c]) < 1e-2 * (1 + fabs(bias[c])), "%s: bias %zu is %g, should be %g", cases[i], c,
                      probe.bias[c] - middle, (double)bias[c]);
        probe_free(&probe);
        fit(x, labels, rows, (int)d, (int)classes, (double)lambda[0]);
        cr_expect_eq(test(x, labels, rows, NULL, NULL).right, (size_t)right[0]);
        probe_free(&probe);
    }
    safetensors_close(file);
}

/* ---- Exactness ---- */

Test(probe, gives_the_same_bits_on_every_isa_and_thread_count)
{
    enum { ROWS = 8300, FEW = 200, D = 5, CLASSES = 3 }; /* more rows than are in memory at a time */
    static float x[ROWS * D];
    static int labels[ROWS];
    static const int threads[] = {1, 2, 3, 5};
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    draw(x, labels, ROWS, D, CLASSES, 0.8f, 3);
    for (int chosen = 0; chosen < 2; chosen++) {
        float weight[D * CLASSES], bias[CLASSES];
        double lambda = 0, loss = 0;
        for (size_t i = 0; i < isa_count; i++)
            for (size_t t = 0; t < (i ? 4 : 1); t++) {
                cr_assert_eq(fit_on(isas[i], threads[t], x, labels, chosen ? FEW : ROWS, D, CLASSES, chosen ? 0 : 0.1, 0), SIMCLR_OK, "%s",
                             err.text);
                if (i == 0) {
                    memcpy(weight, probe.weight, sizeof weight);
                    memcpy(bias, probe.bias, sizeof bias);
                    lambda = probe.lambda;
                    loss = probe.loss;
                }
                expect_same_bits(weight, probe.weight, D * CLASSES, "%s, %d threads: weight", isas[i]->name, threads[t]);
                expect_same_bits(bias, probe.bias, CLASSES, "%s, %d threads: bias", isas[i]->name, threads[t]);
                cr_expect(lambda == probe.lambda && loss == probe.loss);
                probe_free(&probe);
            }
    }
}

/* ---- The choice of lambda ---- */

Test(probe, regularises_as_suits_held_out_training_images)
{
    enum { ROWS = 120, D = 40, CLASSES = 4 };
    float *x = allocate(ROWS * D, sizeof *x);
    int labels[ROWS];
    draw(x, labels, ROWS, D, CLASSES, 0.0f, 5); /* nothing to learn: the strongest that is as good */
    fit(x, labels, ROWS, D, CLASSES, 0);
    double noise = probe.lambda;
    size_t count[CLASSES] = {0}, held_out = 0;
    for (int i = 0; i < ROWS; i++)
        count[labels[i]]++;
    for (int c = 0; c < CLASSES; c++)
        held_out += (count[c] + 8) / 10;
    cr_expect_eq(probe.held_out, held_out, "%zu of %zu", probe.held_out, held_out);
    cr_expect(probe.held_out_right <= held_out && probe.rows == ROWS);
    probe_free(&probe);
    draw(x, labels, ROWS, D, CLASSES, 3.0f, 5); /* plain to see: all are right at once, and the strongest of equals is taken */
    fit(x, labels, ROWS, D, CLASSES, 0);
    cr_expect_eq(probe.held_out_right, probe.held_out);
    cr_expect(probe.lambda >= 0.1, "%g", probe.lambda);
    probe_free(&probe);
    cr_expect(noise <= 100 && noise >= 1e-6, "%g", noise);
    free(x);
}

struct told {
    int fits[16], count, of;
    double lambda[16];
};

static void note(void *ctx, int number, int fits, double lambda)
{
    struct told *t = ctx;
    t->fits[t->count] = number;
    t->of = fits;
    t->lambda[t->count++] = lambda;
}

Test(probe, tries_weaker_and_weaker_and_fits_all_with_the_best)
{
    enum { ROWS = 90, D = 3, CLASSES = 2 };
    float x[ROWS * D];
    int labels[ROWS];
    struct told told = {.count = 0};
    struct engine engine = {.kernels = best(), .threads = 1};
    draw(x, labels, ROWS, D, CLASSES, 0.5f, 8);
    cr_assert_eq(probe_fit(&probe, x, labels, ROWS, D, CLASSES, 0, 0, &engine, note, &told, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(told.count == 10 && told.of == 10);
    for (int i = 0; i < told.count; i++)
        cr_expect_eq(told.fits[i], i + 1);
    cr_expect_eq(told.lambda[0], 100);
    for (int i = 1; i < 9; i++)
        cr_expect(fabs(told.lambda[i] / told.lambda[i - 1] - 0.1) < 1e-9);
    cr_expect_eq(told.lambda[9], probe.lambda);
    struct probe chosen = probe;
    cr_assert_eq(fit_on(best(), 1, x, labels, ROWS, D, CLASSES, chosen.lambda, 0), SIMCLR_OK);
    cr_expect(fabs(chosen.loss - probe.loss) < 1e-5, "%.9g, by itself %.9g", chosen.loss, probe.loss);
    probe_free(&chosen);
    probe_free(&probe);
}

/* ---- Labels and features of all kinds ---- */

Test(probe, leaves_out_images_without_labels)
{
    enum { ROWS = 100, D = 6, CLASSES = 3 };
    float x[ROWS * D], weight[D * CLASSES];
    int labels[ROWS];
    draw(x, labels, ROWS, D, CLASSES, 0.7f, 9);
    fit(x, labels, 70, D, CLASSES, 0.01);
    memcpy(weight, probe.weight, sizeof weight);
    probe_free(&probe);
    for (int i = 70; i < ROWS; i++)
        labels[i] = i % 2 ? -1 : -2;
    x[80 * D] = NAN;
    fit(x, labels, ROWS, D, CLASSES, 0.01);
    expect_same_bits(weight, probe.weight, D * CLASSES, "weight");
    cr_expect_eq(test(x, labels, ROWS, NULL, NULL).images, 70);
    probe_free(&probe);
}

Test(probe, never_answers_with_a_class_that_it_was_not_shown)
{
    enum { ROWS = 80, D = 4, CLASSES = 5 };
    float x[ROWS * D];
    int labels[ROWS];
    size_t images[CLASSES] = {0}, right[CLASSES] = {0};
    draw(x, labels, ROWS, D, 2, 2.0f, 10);
    for (int i = 0; i < ROWS; i++)
        labels[i] = 1 + 2 * labels[i]; /* 1 and 3 of 0 to 4 */
    fit(x, labels, ROWS, D, CLASSES, 0.01);
    for (int i = 0; i < 30; i++)
        labels[i] = 4;
    labels[30] = 7; /* a class of the test images alone */
    struct class_score score = test(x, labels, ROWS, images, right);
    cr_expect(images[4] == 30 && right[4] == 0 && right[1] + right[3] == score.right && score.right > 30, "%zu right", score.right);
    cr_expect(score.images == ROWS && score.in_five == ROWS - 1);
    probe_free(&probe);
}

Test(probe, takes_features_that_never_change)
{
    enum { ROWS = 60, D = 3, CLASSES = 2 };
    float x[ROWS * D];
    int labels[ROWS];
    draw(x, labels, ROWS, D, CLASSES, 1.0f, 11);
    for (int i = 0; i < ROWS; i++)
        x[i * D + 1] = 0.1f;
    fit(x, labels, ROWS, D, CLASSES, 0.001);
    cr_expect(probe.weight[1 * CLASSES] == 0 && probe.weight[1 * CLASSES + 1] == 0 && isfinite(probe.loss));
    probe_free(&probe);
}

Test(probe, ranks_classes_by_their_logits)
{
    /* Two classes far apart, then queries on either side, in the middle of nowhere, and of no number. */
    float x[8] = {-2, -1, -1.5f, -1, 1, 2, 1.5f, 1}, queries[4] = {-3, 3, -3, NAN};
    int labels[8] = {0, 0, 0, 0, 1, 1, 1, 1}, answers[4] = {0, 1, 1, 0};
    fit(x, labels, 8, 1, 2, 0.1);
    struct class_score score = test(queries, answers, 4, NULL, NULL);
    cr_expect(score.images == 4 && score.right == 2 && score.in_five == 4, "%zu, %zu right", score.images, score.right);
    probe_free(&probe);
}

static bool at_once(void *ctx) { (void)ctx; return true; }

Test(probe, refusals_are_sentences)
{
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    int one[4] = {2, 2, -1, 2}, high[4] = {0, 1, 0, 5}, single[4] = {0, 1, 2, -1}, two[4] = {0, 1, 0, 1};
    cr_expect_eq(fit_on(best(), 1, x, one, 4, 2, 3, 0.1, 0), SIMCLR_ERR_USAGE);
    cr_expect(strstr(err.text, "two classes") && !probe.weight, "%s", err.text);
    cr_expect_eq(fit_on(best(), 1, x, high, 4, 2, 3, 0.1, 0), SIMCLR_ERR_FORMAT);
    cr_expect(strstr(err.text, "label 5"), "%s", err.text);
    cr_expect_eq(fit_on(best(), 1, x, single, 4, 2, 3, 0, 0), SIMCLR_ERR_USAGE);
    cr_expect(strstr(err.text, "two labelled images of a class"), "%s", err.text);
    cr_expect_eq(fit_on(best(), 1, x, single, 4, 2, 3, 0.1, 0), SIMCLR_OK, "%s", err.text);
    probe_free(&probe);
    struct engine engine = {.kernels = best(), .threads = 1, .stop = {at_once, NULL}};
    cr_expect_eq(probe_fit(&probe, x, two, 4, 2, 2, 0.1, 0, &engine, NULL, NULL, &err), SIMCLR_ERR_CANCELLED);
    x[3] = NAN;
    cr_expect_eq(fit_on(best(), 1, x, two, 4, 2, 2, 0.1, 0), SIMCLR_ERR_NONFINITE);
    cr_expect(strstr(err.text, "feature 1"), "%s", err.text);
}
