/* The plane of most variance of features: principal components. */
#ifndef EVAL_PCA_H
#define EVAL_PCA_H

#include "simclr/status.h"

#include <stddef.h>

enum { PCA_PLANE = 2 };

/* x (rows, d): places (rows, 2), each row's coordinates about the mean along the first two principal components, and their shares of the
 * variance. By orthogonal iteration in double from a fixed start; a component's largest coordinate is positive. The same bits everywhere. */
enum simclr_status pca_plane(double *places, double share[PCA_PLANE], const float *x, size_t rows, int d, struct simclr_error *err);

#endif
