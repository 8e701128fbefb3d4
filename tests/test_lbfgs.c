/* L-BFGS on functions whose minimum is known. */
#include "eval/lbfgs.h"
#include "tests/harness.h"

#include <math.h>
#include <string.h>

static struct simclr_error err;
static struct lbfgs_result result;

static enum simclr_status minimize(double *x, size_t n, double tolerance, int most, lbfgs_fn *function, bool (*stop)(void *))
{
    struct engine engine = {.threads = 1, .stop = {stop, NULL}};
    return lbfgs_minimize(x, n, tolerance, most, function, NULL, &engine, &result, &err);
}

enum { N = 30 };

/* sum of 2^(i / 3) (x_i - i)^2 / 2: curvatures from 1 to 512 */
static double valley(void *ctx, double *gradient, const double *x)
{
    double value = 0;
    (void)ctx;
    for (int i = 0; i < N; i++) {
        double curvature = (double)(1 << i / 3);
        gradient[i] = curvature * (x[i] - i);
        value += curvature * (x[i] - i) * (x[i] - i) / 2;
    }
    return value;
}

static double rosenbrock(void *ctx, double *gradient, const double *x)
{
    double off = x[1] - x[0] * x[0], left = 1 - x[0];
    (void)ctx;
    gradient[0] = -400 * x[0] * off - 2 * left;
    gradient[1] = 200 * off;
    return 100 * off * off + left * left;
}

static double broken(void *ctx, double *gradient, const double *x)
{
    (void)ctx;
    gradient[0] = 1;
    return x[0] / 0.0;
}

/* Its gradient points uphill: nothing lower is ever found along it. */
static double liar(void *ctx, double *gradient, const double *x)
{
    (void)ctx;
    gradient[0] = -2 * x[0];
    return x[0] * x[0];
}

static bool at_once(void *ctx) { (void)ctx; return true; }

Test(lbfgs, finds_the_minimum)
{
    double x[N] = {0}, curve[2] = {-1.2, 1};
    cr_assert_eq(minimize(x, N, 1e-7, 500, valley, NULL), SIMCLR_OK, "%s", err.text);
    cr_expect(result.converged && result.steepest <= 1e-7 && result.iterations < 200, "%d iterations", result.iterations);
    for (int i = 0; i < N; i++)
        cr_expect(fabs(x[i] - i) <= 1e-7, "x[%d] = %.9g", i, x[i]);
    cr_assert_eq(minimize(curve, 2, 1e-8, 200, rosenbrock, NULL), SIMCLR_OK, "%s", err.text);
    cr_expect(result.converged && fabs(curve[0] - 1) < 1e-6 && fabs(curve[1] - 1) < 1e-6, "%.9g %.9g", curve[0], curve[1]);
    cr_expect(result.iterations < 80, "%d iterations", result.iterations);
}

Test(lbfgs, stays_at_a_minimum)
{
    double x[2] = {1, 1};
    cr_assert_eq(minimize(x, 2, 1e-8, 100, rosenbrock, NULL), SIMCLR_OK);
    cr_expect(result.converged && result.iterations == 0 && x[0] == 1 && x[1] == 1);
}

Test(lbfgs, ends_where_it_must)
{
    double x[N] = {0}, one[1] = {1};
    cr_assert_eq(minimize(x, N, 1e-7, 5, valley, NULL), SIMCLR_OK);
    cr_expect(!result.converged && result.iterations == 5);
    cr_assert_eq(minimize(one, 1, 1e-7, 100, liar, NULL), SIMCLR_OK);
    cr_expect(!result.converged && one[0] == 1);
    cr_expect_eq(minimize(one, 1, 1e-7, 100, broken, NULL), SIMCLR_ERR_NONFINITE);
    cr_expect_eq(minimize(x, N, 1e-7, 100, valley, at_once), SIMCLR_ERR_CANCELLED);
}
