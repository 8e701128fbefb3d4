/* Philox against its published answers, and what is drawn from it. */
#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* Known answers of Random123 (kat_vectors, philox4x32 with 10 rounds). */
Test(rng, known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) {
        struct rng rng = {0};
        for (int i = 0; i < 4; i++)
            rng.counter[i] = vectors[v].counter[i];
        rng.key[0] = vectors[v].key[0];
        rng.key[1] = vectors[v].key[1];
        for (int i = 0; i < 4; i++)
            cr_expect_eq(rng_u32(&rng), vectors[v].want[i], "vector %zu, word %d", v, i);
    }
}

/* Every part of a stream's name reaches the generator: 64-bit seed, 32-bit a, 56-bit b, purpose. */
Test(rng, streams_differ)
{
    struct rng streams[] = {
        rng_stream(1, RNG_TEST, 2, 3),        rng_stream(1 + (1ull << 32), RNG_TEST, 2, 3), rng_stream(2, RNG_TEST, 2, 3),
        rng_stream(1, RNG_INIT, 2, 3),        rng_stream(1, RNG_TEST, 3, 3),                rng_stream(1, RNG_TEST, 2, 4),
        rng_stream(1, RNG_TEST, 2, 1ull << 55), rng_stream(1, RNG_TEST, 3, 2),
    };
    enum { COUNT = sizeof streams / sizeof *streams };
    uint32_t first[COUNT];
    for (int i = 0; i < COUNT; i++) {
        first[i] = rng_u32(&streams[i]);
        for (int j = 0; j < i; j++)
            cr_expect_neq(first[i], first[j], "streams %d and %d begin alike", i, j);
    }
    struct rng again = rng_stream(1, RNG_TEST, 2, 3);
    cr_expect_eq(rng_u32(&again), first[0]);
}

Test(rng, uniform_fills_its_range)
{
    struct rng rng = rng_stream(0, RNG_TEST, 0, 0);
    double sum = 0, squares = 0;
    enum { DRAWS = 200000 };
    for (int i = 0; i < DRAWS; i++) {
        float x = rng_float(&rng);
        cr_assert(x >= 0.0f && x < 1.0f);
        sum += x;
        squares += (double)x * x;
    }
    cr_expect_float_eq(sum / DRAWS, 0.5, 0.003);
    cr_expect_float_eq(squares / DRAWS, 1.0 / 3.0, 0.003);
    for (int i = 0; i < 1000; i++) {
        float x = rng_uniform(&rng, -2.0f, 3.0f);
        cr_assert(x >= -2.0f && x <= 3.0f);
    }
}

Test(rng, normal_has_its_moments)
{
    struct rng rng = rng_stream(0, RNG_TEST, 1, 0);
    double sum = 0, squares = 0, fourth = 0;
    enum { DRAWS = 200000 };
    for (int i = 0; i < DRAWS; i++) {
        double x = rng_normal(&rng);
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    cr_expect_float_eq(sum / DRAWS, 0.0, 0.01);
    cr_expect_float_eq(squares / DRAWS, 1.0, 0.015);
    cr_expect_float_eq(fourth / DRAWS, 3.0, 0.1);
}

Test(rng, below_is_unbiased)
{
    struct rng rng = rng_stream(0, RNG_TEST, 2, 0);
    enum { DRAWS = 90000 };
    int count[3] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint32_t x = rng_below(&rng, 3);
        cr_assert_lt(x, 3u);
        count[x]++;
    }
    for (int i = 0; i < 3; i++)
        cr_expect(abs(count[i] - DRAWS / 3) < 600, "%d of %d draws were %d", count[i], DRAWS, i);
    /* n = 3/4 of 2^32: without rejection a third of the values would come up twice as often, and the mean would move */
    double sum = 0;
    uint32_t n = 0xc0000000u;
    for (int i = 0; i < DRAWS; i++)
        sum += rng_below(&rng, n) % 3 == 0;
    cr_expect_float_eq(sum / DRAWS, 1.0 / 3.0, 0.01);
    cr_expect_eq(rng_below(&rng, 1), 0u);
}

Test(rng, permutation_holds_each_once_and_moves_all)
{
    enum { N = 5, DRAWS = 60000 };
    int at[N][N] = {{0}};
    struct rng rng = rng_stream(0, RNG_TEST, 3, 0);
    for (int t = 0; t < DRAWS; t++) {
        uint32_t order[N];
        int seen = 0;
        rng_permutation(&rng, order, N);
        for (int i = 0; i < N; i++) {
            seen |= 1 << order[i];
            at[i][order[i]]++;
        }
        cr_assert_eq(seen, (1 << N) - 1);
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            cr_expect(abs(at[i][j] - DRAWS / N) < 500, "%d came to %d in %d of %d", j, i, at[i][j], DRAWS);
    uint32_t one[1] = {7};
    rng_permutation(&rng, one, 1);
    cr_expect_eq(one[0], 0u);
}

/* The same on every machine: these feed initialisation and augmentation. */
Test(rng, golden_draws)
{
    struct rng rng = rng_stream(42, RNG_AUGMENT, 7, 123456789);
    float got[4] = {rng_float(&rng), rng_uniform(&rng, -1.0f, 1.0f), rng_normal(&rng), rng_normal(&rng)};
    static const float want[4] = {0x1.91a2fp-2f, -0x1.3bb54p-3f, -0x1.8684e4p-2f, 0x1.5d370ap-1f};
    for (int i = 0; i < 4; i++)
        cr_expect_eq(got[i], want[i], "draw %d is %a", i, (double)got[i]);
}
