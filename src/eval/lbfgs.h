/* L-BFGS (Nocedal and Wright 2006, algorithm 7.5): minimises a smooth function of many variables. */
#ifndef EVAL_LBFGS_H
#define EVAL_LBFGS_H

#include "base/engine.h"
#include "simclr/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Returns the function's value at x (n), and its gradient (n). */
typedef double lbfgs_fn(void *ctx, double *gradient, const double *x);

struct lbfgs_result {
    double value;
    double steepest; /* largest component of the gradient, in magnitude */
    int iterations;
    bool converged;  /* steepest is within the tolerance */
};

/* From x (n) to where no component of the gradient exceeds tolerance, or nothing lower is found along a line, or most_iterations are
 * done; x becomes the best point. A function that is not finite where it begins is SIMCLR_ERR_NONFINITE. SIMCLR_ERR_CANCELLED when the
 * engine is to stop. All sums are in index order: equal values and gradients give equal bits. */
enum simclr_status lbfgs_minimize(double *x, size_t n, double tolerance, int most_iterations, lbfgs_fn *function, void *ctx,
                                  const struct engine *engine, struct lbfgs_result *result, struct simclr_error *err);

#endif
