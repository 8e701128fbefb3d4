/* The built-in set: the same bytes everywhere, and colour says nothing about the class. */
#include "data/shapes.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = SHAPES_SIZE * SHAPES_SIZE * 3, BANK = 2000, QUERIES = 500 };

static uint64_t fnv1a(uint64_t hash, const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

Test(shapes, golden_hash)
{
    uint8_t rgb[BYTES];
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint64_t i = 0; i < 100; i++) {
        cr_assert_eq(shapes_draw(0, i, rgb), (int)(i % SHAPES_CLASSES));
        hash = fnv1a(hash, rgb, sizeof rgb);
    }
    cr_expect_eq(hash, UINT64_C(0xcc42773cbb8993fc), "pictures 0 to 99 have hash %016" PRIx64, hash);
}

Test(shapes, differ_by_seed_and_index)
{
    uint8_t a[BYTES], b[BYTES], c[BYTES];
    shapes_draw(0, 0, a);
    shapes_draw(1, 0, b);
    shapes_draw(0, 10, c);
    cr_expect(memcmp(a, b, BYTES) && memcmp(a, c, BYTES));
    shapes_draw(0, 0, b);
    cr_expect_arr_eq(a, b, BYTES);
}

static void mean_colour(double mean[3], const uint8_t *rgb)
{
    for (int c = 0; c < 3; c++) {
        mean[c] = 0;
        for (int i = c; i < BYTES; i += 3)
            mean[c] += rgb[i];
        mean[c] /= BYTES / 3;
    }
}

static double distance(const double *a, const double *b)
{
    double d = 0;
    for (int c = 0; c < 3; c++)
        d += (a[c] - b[c]) * (a[c] - b[c]);
    return d;
}

/* The class of most of the k nearest pictures of the bank (index % 10 is a picture's class). */
static int vote(double means[][3], const double *query, int k)
{
    double nearest[32];
    int classes[32], found = 0, votes[SHAPES_CLASSES] = {0}, best = 0;
    for (int i = 0; i < BANK; i++) {
        double d = distance(means[i], query);
        if (found == k && d >= nearest[k - 1])
            continue;
        int at = found < k ? found++ : k - 1;
        for (; at > 0 && nearest[at - 1] > d; at--) {
            nearest[at] = nearest[at - 1];
            classes[at] = classes[at - 1];
        }
        nearest[at] = d;
        classes[at] = i % SHAPES_CLASSES;
    }
    for (int i = 0; i < k; i++)
        votes[classes[i]]++;
    for (int c = 1; c < SHAPES_CLASSES; c++)
        best = votes[c] > votes[best] ? c : best;
    return best;
}

Test(shapes, mean_colour_says_little)
{
    static double means[BANK + QUERIES][3], centres[SHAPES_CLASSES][3];
    uint8_t rgb[BYTES];
    for (int i = 0; i < BANK + QUERIES; i++) {
        shapes_draw(0, (uint64_t)i, rgb);
        mean_colour(means[i], rgb);
        for (int c = 0; c < 3 && i < BANK; c++)
            centres[i % SHAPES_CLASSES][c] += means[i][c] / (BANK / SHAPES_CLASSES);
    }
    int by_centre = 0, by_one = 0, by_twenty = 0;
    for (int q = BANK; q < BANK + QUERIES; q++) {
        int nearest = 0, truth = q % SHAPES_CLASSES;
        for (int c = 1; c < SHAPES_CLASSES; c++)
            nearest = distance(centres[c], means[q]) < distance(centres[nearest], means[q]) ? c : nearest;
        by_centre += nearest == truth;
        by_one += vote(means, means[q], 1) == truth;
        by_twenty += vote(means, means[q], 20) == truth;
    }
    cr_expect_lt(by_centre, QUERIES / 4, "nearest class mean: %d of %d", by_centre, QUERIES);
    cr_expect_lt(by_one, QUERIES / 4, "nearest picture: %d of %d", by_one, QUERIES);
    cr_expect_lt(by_twenty, QUERIES / 4, "twenty nearest: %d of %d", by_twenty, QUERIES);
}
