/* Effective rank against matrices whose singular values are known. */
#include "eval/effective_rank.h"

#include "data/loader.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static struct simclr_error err;

static double rank_of(const float *features, const int *labels, size_t rows, int d)
{
    double rank;
    cr_assert_eq(effective_rank(&rank, features, labels, rows, d, &err), SIMCLR_OK, "%s", err.text);
    return rank;
}

/* f (rows, d) = diag(values), then rotated from the left and the right by a Householder reflection, which keeps singular values. */
static void make(float *f, int rows, int d, const double *values, int count)
{
    double *m = calloc((size_t)(rows * d), sizeof *m), s = 0;
    for (int i = 0; i < count; i++)
        m[i * d + i] = values[i];
    for (int c = 0; c < d; c++, s = 0) { /* (1, ..., 1) is the vector of both */
        for (int r = 0; r < rows; r++)
            s += m[r * d + c];
        for (int r = 0; r < rows; r++)
            m[r * d + c] -= 2 * s / rows;
    }
    for (int r = 0; r < rows; r++, s = 0) {
        for (int c = 0; c < d; c++)
            s += m[r * d + c];
        for (int c = 0; c < d; c++)
            f[r * d + c] = (float)(m[r * d + c] - 2 * s / d);
    }
    free(m);
}

Test(effective_rank, known_singular_values)
{
    static float f[70 * 70];
    int labels[70] = {0};
    const int sizes[][2] = {{3, 3}, {40, 17}, {17, 40}, {64, 64}, {70, 1}, {1, 70}};
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        int rows = sizes[c][0], d = sizes[c][1], n = rows < d ? rows : d;
        for (int used = 1; used <= n; used++) {
            double values[70], sum = 0, entropy = 0;
            for (int i = 0; i < used; i++)
                sum += values[i] = 1.0 / (1 + i % 5);
            for (int i = 0; i < used; i++)
                entropy -= values[i] / sum * log(values[i] / sum);
            make(f, rows, d, values, used);
            double rank = rank_of(f, labels, (size_t)rows, d);
            cr_expect_float_eq(rank, exp(entropy), 1e-3, "%d x %d, %d values: %.9g, expected %.9g", rows, d, used, rank, exp(entropy));
        }
    }
}

Test(effective_rank, broken_images_and_those_over_the_limit_do_not_count)
{
    enum { ROWS = EFFECTIVE_RANK_ROWS + 9, D = 8 };
    static float f[ROWS * D];
    static int labels[ROWS];
    for (int r = 0; r < ROWS; r++) { /* four directions, equally often, in the rows that count */
        f[r * D + r % 4] = 1;
        labels[r] = LABEL_NONE;
    }
    cr_expect_float_eq(rank_of(f, labels, EFFECTIVE_RANK_ROWS, D), 4, 1e-6);
    f[EFFECTIVE_RANK_ROWS * D + 7] = 100;
    cr_expect_float_eq(rank_of(f, labels, ROWS, D), 4, 1e-6);
    f[7] = NAN;
    cr_expect(isnan(rank_of(f, labels, ROWS, D)));
    labels[0] = LABEL_BROKEN;
    cr_expect_gt(rank_of(f, labels, ROWS, D), 1.5, "the row with 100 takes the place of the broken one");
    for (int i = 0; i < ROWS * D; i++)
        f[i] = 0;
    cr_expect_eq(rank_of(f, labels, ROWS, D), 0);
    cr_expect_eq(rank_of(f, labels, 1, D), 0, "no image is left");
}
