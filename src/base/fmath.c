#include "base/fmath.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The reductions and minimax coefficients are those of fdlibm (Copyright 1993 Sun Microsystems, Inc.: "Permission to use, copy,
 * modify, and distribute this software is freely granted, provided that this notice is preserved"). Nothing here may be contracted
 * into an FMA: the build forbids it. */

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 2^n for a normal result, -1022 <= n <= 1023 */
static double power_of_two(int n)
{
    return from_bits((uint64_t)(n + 1023) << 52);
}

static const double ln2_high = 6.93147180369123816490e-01; /* 32 bits: k * ln2_high is exact */
static const double ln2_low = 1.90821492927058770002e-10;

/* x = k ln 2 + (high - low), |r| <= ln 2 / 2; e^r = 1 + 2 r / (R(r^2) - r) rewritten so that the error of r is carried along. */
double fm_exp(double x)
{
    if (x != x)
        return x;
    if (x > 709.782712893383973096)
        return INFINITY;
    if (x < -745.13321910194110842)
        return 0.0;
    double k = floor(x * 1.44269504088896338700 + 0.5);
    double high = x - k * ln2_high, low = k * ln2_low, r = high - low, t = r * r;
    double c = r - t * (1.66666666666666019037e-01 +
                        t * (-2.77777777770155933842e-03 +
                             t * (6.61375632143793436117e-05 +
                                  t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
    double y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    /* in two factors: 2^k alone overflows at k = 1024 and is no normal number below -1022 */
    int n = (int)k, half = n / 2;
    return y * power_of_two(half) * power_of_two(n - half);
}

/* x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); ln(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)), s = f / (2 + f). */
double fm_log(double x)
{
    if (x != x || x < 0.0)
        return NAN;
    if (x == 0.0)
        return -INFINITY;
    if (x == INFINITY)
        return x;
    int k = 0;
    if (x < 2.2250738585072014e-308) { /* denormal */
        x *= 18014398509481984.0;      /* 2^54 */
        k = -54;
    }
    uint64_t bits = bits_of(x);
    k += (int)(bits >> 52) - 1023;
    double mantissa = from_bits((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
    if (mantissa >= 1.41421356237309504880) {
        mantissa *= 0.5;
        k++;
    }
    double f = mantissa - 1.0, s = f / (2.0 + f), z = s * s, w = z * z, dk = (double)k;
    double odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    double even = z * (6.666666666666735130e-01 +
                       w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    double half_square = 0.5 * f * f;
    return dk * ln2_high - ((half_square - (s * (half_square + (odd + even)) + dk * ln2_low)) - f);
}

double fm_pow(double base, double exponent)
{
    if (exponent == 0.0)
        return 1.0;
    return fm_exp(exponent * fm_log(base));
}

/* x = n pi/2 + high + low, |high| <= pi/4; the first two parts of pi/2 have 33 bits, so that n times them is exact. Returns n mod 4. */
static int reduce_half_pi(double *high, double *low, double x)
{
    double n = floor(x * 6.36619772367581382433e-01 + 0.5);
    double t = x - n * 1.57079632673412561417e+00;
    double w = n * 6.07710050630396597660e-11;
    double r = t - w;
    w = n * 2.02226624879595063154e-21 - ((t - r) - w);
    *high = r - w;
    *low = (r - *high) - w;
    return (int)((long long)n & 3);
}

static double sin_kernel(double x, double low)
{
    double z = x * x, v = z * x;
    double r = 8.33333333332248946124e-03 +
               z * (-1.98412698298579493134e-04 +
                    z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)));
    return x - ((z * (0.5 * low - v * r) - low) - v * -1.66666666666666324348e-01);
}

static double cos_kernel(double x, double low)
{
    double z = x * x;
    double r = z * (4.16666666666666019037e-02 +
                    z * (-1.38888888888741095749e-03 +
                         z * (2.48015872894767294178e-05 +
                              z * (-2.75573143513906633035e-07 +
                                   z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
    double half = 0.5 * z, w = 1.0 - half;
    return w + (((1.0 - w) - half) + (z * r - x * low));
}

/* sin(x + quarter pi/2) */
static double sin_of_quarter(double x, int quarter)
{
    double high, low;
    int n = (reduce_half_pi(&high, &low, x) + quarter) & 3;
    double y = n & 1 ? cos_kernel(high, low) : sin_kernel(high, low);
    return n & 2 ? -y : y;
}

double fm_sin(double x)
{
    return sin_of_quarter(x, 0);
}

double fm_cos(double x)
{
    return sin_of_quarter(x, 1);
}
