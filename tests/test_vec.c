/* The vector vocabulary: its scalar form against libm, and what the other ISAs make of it, seen through kernels that expose it. */
#define ISA scalar
#include "simd/vec_math.h"

#include "tests/harness.h"

#include <float.h>
#include <math.h>

Test(vec, exp2_errs_by_little_more_than_one_ulp)
{
    double worst = 0;
    for (double x = -125.99; x < 127.49; x += 0.00037) {
        float f = (float)x;
        double want = exp2((double)f), ulp = ldexp(1, ilogb(want) - 23);
        double error = fabs((double)vf_exp2(f) - want) / ulp;
        worst = error > worst ? error : worst;
    }
    cr_assert(worst < 1.1, "vf_exp2 errs by %.3f ulp", worst);
}

Test(vec, exp2_has_exact_ends)
{
    for (int n = -126; n <= 127; n++)
        cr_assert(vf_exp2((float)n) == ldexpf(1.0f, n), "2^%d", n);
    cr_assert(vf_exp2(-0.0f) == 1.0f);
    cr_assert(vf_exp2(-127.0f) == 0.0f);
    cr_assert(vf_exp2(-1e32f) == 0.0f);
    cr_assert(vf_exp2(-INFINITY) == 0.0f);
    cr_assert(isnan(vf_exp2(NAN)));
}

Test(vec, max_and_min_give_the_second_operand_when_unordered)
{
    cr_assert(signbit(vf_max(0.0f, -0.0f)) && !signbit(vf_max(-0.0f, 0.0f)));
    cr_assert(signbit(vf_min(0.0f, -0.0f)) && !signbit(vf_min(-0.0f, 0.0f)));
    cr_assert(vf_max(NAN, 1.0f) == 1.0f && isnan(vf_max(1.0f, NAN)));
    cr_assert(vf_min(NAN, 1.0f) == 1.0f && isnan(vf_min(1.0f, NAN)));
}

/* A tile of one row: the sums over its columns are exponentials and nothing else. */
Test(vec, every_isa_has_scalar_exp2)
{
    enum { COUNT = 320 * NTXENT_TILE };
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    static float s[COUNT], expected[COUNT], got[COUNT];
    for (int i = 0; i < COUNT; i++)
        s[i] = 1.0f - 87.0f * (float)i / COUNT;
    for (int i = 0; i < COUNT; i++)
        expected[i] = vf_exp2(vf_fma(s[i], 1.44269504f, -1.44269504f));
    for (size_t isa = 0; isa < count; isa++) {
        float row[CANON] = {0};
        memset(got, 0, sizeof got);
        for (int i = 0; i < COUNT; i += NTXENT_TILE)
            isas[isa]->ntxent_sums(row, got + i, s + i, 1.0f, 1);
        expect_same_bits(expected, got, COUNT, "exp, %s", isas[isa]->name);
    }
}

/* The definition, written out: element i in lane i % 16, then lanes i and i + 8, i + 4, i + 2, i + 1. */
static float dot_by_definition(const float *a, const float *b, int count)
{
    float lane[16] = {0};
    for (int i = 0; i < count; i++)
        lane[i % 16] = fmaf(a[i], b[i], lane[i % 16]);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

Test(vec, every_isa_sums_in_canonical_lanes)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (int n = 1; n <= 150; n++)
        for (int at_start = 0; at_start <= 1; at_start++) {
            float *a = guard_alloc((size_t)n * sizeof *a, at_start), *b = guard_alloc((size_t)n * sizeof *b, at_start);
            fill_random(a, (size_t)n, 21);
            fill_random(b, (size_t)n, 22);
            float expected = dot_by_definition(a, b, n);
            for (size_t isa = 0; isa < count; isa++) {
                float got = isas[isa]->dot(a, b, (size_t)n);
                expect_same_bits(&expected, &got, 1, "dot of %d, %s", n, isas[isa]->name);
            }
            guard_free(a);
            guard_free(b);
        }
}

Test(vec, canon_sum_is_one_fixed_tree)
{
    float p[CANON], expected[CANON];
    fill_random(p, CANON, 4);
    for (int n = 0; n <= CANON; n++) {
        for (int i = 0; i < CANON; i++)
            expected[i] = i < n ? p[i] : 0.0f;
        for (int half = 8; half > 0; half /= 2)
            for (int i = 0; i < half; i++)
                expected[i] += expected[i + half];
        float got = canon_sum(canon_load_n(p, n));
        expect_same_bits(expected, &got, 1, "sum of %d lanes", n);
    }
}
