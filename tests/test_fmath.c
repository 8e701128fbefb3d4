/* base/fmath against the C library in long double, and against golden bits. */
#include "base/fmath.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static double ulps(double got, long double want)
{
    if (got == (double)want)
        return 0.0;
    int exponent;
    frexp((double)want, &exponent);
    return (double)(fabsl((long double)got - want) / ldexpl(1.0L, exponent - 53));
}

static double uniform(struct rng *rng, double low, double high)
{
    return low + (high - low) * ((double)rng_u32(rng) + (double)rng_u32(rng) * 0x1p-32) * 0x1p-32;
}

static void check(const char *name, double (*f)(double), long double (*want)(long double), double low, double high)
{
    struct rng rng = rng_stream(1, RNG_TEST, 0, 0);
    for (int i = 0; i < 100000; i++) {
        double x = uniform(&rng, low, high), error = ulps(f(x), want(x));
        cr_assert(error <= 1.5, "%s(%.17g) is off by %g ulp", name, x, error);
    }
}

Test(fmath, exp_is_near) { check("exp", fm_exp, expl, -700.0, 709.0); check("exp", fm_exp, expl, -1.0, 1.0); }
Test(fmath, log_is_near) { check("log", fm_log, logl, 1e-12, 4.0); check("log", fm_log, logl, 1e-300, 1e300); }
Test(fmath, sin_is_near) { check("sin", fm_sin, sinl, -1e5, 1e5); check("sin", fm_sin, sinl, -4.0, 4.0); }
Test(fmath, cos_is_near) { check("cos", fm_cos, cosl, -1e5, 1e5); check("cos", fm_cos, cosl, -4.0, 4.0); }

Test(fmath, pow_is_near)
{
    struct rng rng = rng_stream(2, RNG_TEST, 0, 0);
    for (int i = 0; i < 100000; i++) {
        double base = uniform(&rng, 0.5, 1.5), exponent = uniform(&rng, -500.0, 500.0);
        long double want = powl(base, exponent);
        cr_assert(fabsl(fm_pow(base, exponent) - want) <= 2e-13L * want, "pow(%.17g, %.17g)", base, exponent);
    }
    cr_assert_eq(fm_pow(0.999, 0.0), 1.0);
}

Test(fmath, edges)
{
    cr_assert_eq(fm_exp(0.0), 1.0);
    cr_assert_eq(fm_exp(-746.0), 0.0);
    cr_assert_eq(fm_exp(710.0), INFINITY);
    cr_assert_eq(fm_exp(-INFINITY), 0.0);
    cr_assert_eq(fm_exp(INFINITY), INFINITY);
    cr_assert(isnan(fm_exp(NAN)));
    cr_assert_eq(fm_exp(-745.0), 0x1p-1074);
    cr_assert_eq(fm_log(1.0), 0.0);
    cr_assert_eq(fm_log(0.0), -INFINITY);
    cr_assert(isnan(fm_log(-1.0)));
    cr_assert(ulps(fm_log(0x1p-1074), logl(0x1p-1074L)) <= 1.0);
    cr_assert_eq(fm_sin(0.0), 0.0);
    cr_assert_eq(fm_cos(0.0), 1.0);
}

/* FNV-1a over the bits of f at 1000 arguments: equal on every CPU and with every compiler, or training is not repeatable. */
static uint64_t fingerprint(double (*f)(double), double low, double high)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < 1000; i++) {
        double y = f(low + (high - low) * (i / 1000.0));
        uint64_t bits;
        memcpy(&bits, &y, sizeof bits);
        for (int byte = 0; byte < 64; byte += 8)
            hash = (hash ^ (bits >> byte & 0xff)) * 0x100000001b3u;
    }
    return hash;
}

Test(fmath, golden_bits)
{
    cr_expect_eq(fingerprint(fm_exp, -100.0, 100.0), 0x8468a9fdb7c405feu, "exp %016llx", (unsigned long long)fingerprint(fm_exp, -100, 100));
    cr_expect_eq(fingerprint(fm_log, 0.001, 100.0), 0x5f5c057086cf8989u, "log %016llx", (unsigned long long)fingerprint(fm_log, 0.001, 100));
    cr_expect_eq(fingerprint(fm_sin, -100.0, 100.0), 0xebbf5fd30e5b35c0u, "sin %016llx", (unsigned long long)fingerprint(fm_sin, -100, 100));
    cr_expect_eq(fingerprint(fm_cos, -100.0, 100.0), 0x300163f2fd6ed420u, "cos %016llx", (unsigned long long)fingerprint(fm_cos, -100, 100));
}
