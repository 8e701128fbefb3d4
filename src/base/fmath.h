/* Elementary functions with the same bits on every CPU, compiler and libc, in double.
 *
 * glibc's exp, log, cos and pow choose variants by CPU, so nothing that feeds state or metrics may call them. These use only
 * + - * /, floor and integer operations in a fixed order. Relative error under 4 ulp over the stated ranges (tests/test_fmath.c). */
#ifndef BASE_FMATH_H
#define BASE_FMATH_H

double fm_exp(double x);                 /* e^x; 0 below -745, +inf above 709.78 */
double fm_log(double x);                 /* ln x, x > 0 finite and normal; -inf at 0 */
double fm_pow(double base, double exponent); /* base > 0: exp(exponent * ln base), about 1e-13 relative */
double fm_cos(double x);                 /* |x| <= 1e5 */
double fm_sin(double x);                 /* |x| <= 1e5 */

#endif
