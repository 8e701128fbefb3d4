/* Softmax and cross-entropy: against libm in double, at the ends of their range, on any number of threads. */
#include "nn/cross_entropy.h"

#include "simd/dispatch.h"
#include "tests/harness.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 150, CLASSES = 7 };

static int labels[ROWS];

static struct engine engine_of(int threads)
{
    return (struct engine){.kernels = isa_resolve("scalar"), .threads = threads};
}

static float *make_logits(float scale)
{
    float *z = random_array(ROWS * CLASSES, 3);
    for (int i = 0; i < ROWS * CLASSES; i++)
        z[i] *= scale;
    for (int i = 0; i < ROWS; i++)
        labels[i] = (3 * i + i / 5) % CLASSES;
    return z;
}

static double loss_of(float *z, int threads)
{
    const struct engine engine = engine_of(threads);
    void *scratch = guard_alloc(cross_entropy_scratch(ROWS), 0);
    double loss = cross_entropy(&engine, z, labels, ROWS, CLASSES, scratch);
    guard_free(scratch);
    return loss;
}

Test(cross_entropy, is_that_of_libm)
{
    const float scales[] = {0, 1, 30, 1e4f};
    for (int s = 0; s < 4; s++) {
        float *z = make_logits(scales[s]), *gradient = make_logits(scales[s]);
        double expected = 0, loss = loss_of(gradient, 1);
        for (int i = 0; i < ROWS; i++) {
            const float *row = z + i * CLASSES;
            double sum = 0, most = (double)row[0];
            for (int c = 1; c < CLASSES; c++)
                most = fmax(most, (double)row[c]);
            for (int c = 0; c < CLASSES; c++)
                sum += exp((double)row[c] - most);
            expected += log(sum) + most - (double)row[labels[i]];
            for (int c = 0; c < CLASSES; c++) {
                double want = exp((double)row[c] - most) / sum - (c == labels[i]);
                cr_expect(fabs((double)gradient[i * CLASSES + c] - want) < 2e-7, "row %d, class %d: %.9g, not %.9g", i, c,
                          (double)gradient[i * CLASSES + c], want);
            }
        }
        cr_expect(fabs(loss - expected) <= 1e-12 * expected, "logits of %g: %.15g, not %.15g", (double)scales[s], loss, expected);
        free(z);
        free(gradient);
    }
}

Test(cross_entropy, is_the_same_on_any_number_of_threads)
{
    float *z = make_logits(5);
    double loss = loss_of(z, 1);
    for (int threads = 2; threads <= 5; threads++) {
        float *other = make_logits(5);
        double again = loss_of(other, threads);
        cr_expect_eq(memcmp(&loss, &again, sizeof loss), 0);
        expect_same_bits(z, other, ROWS * CLASSES, "%d threads", threads);
        free(other);
    }
    free(z);
}

Test(cross_entropy, of_what_is_not_finite_is_not_finite)
{
    const float wrong[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++)
        for (int at = 0; at < CLASSES; at += CLASSES - 1) {
            float *z = make_logits(1);
            z[99 * CLASSES + at] = wrong[i];
            cr_expect(!isfinite(loss_of(z, 1)), "%g at %d", (double)wrong[i], at);
            free(z);
        }
}

Test(cross_entropy, ranks_ties_by_class_and_nan_first)
{
    const float z[] = {1, 3, 3, 2, NAN};
    cr_expect_eq(class_rank(z, 1, 4), 0);
    cr_expect_eq(class_rank(z, 2, 4), 1);
    cr_expect_eq(class_rank(z, 0, 4), 3);
    cr_expect_eq(class_rank(z, 1, 5), 1);
    struct class_score score = {0};
    class_score_add(&score, 0);
    class_score_add(&score, 4);
    class_score_add(&score, 5);
    cr_expect(score.images == 3 && score.right == 1 && score.in_five == 2);
}
