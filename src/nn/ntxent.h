/* NT-Xent (Chen et al. 2020, eq. 1) forward and backward, streaming over tiles of similarities. */
#ifndef NN_NTXENT_H
#define NN_NTXENT_H

#include "base/engine.h"
#include "simclr/status.h"

#include <stddef.h>

struct ntxent_result {
    double loss;         /* mean over the rows */
    double retrieval1;   /* share of rows whose positive is the most similar other row */
    double retrieval5;   /* ... among the five most similar */
    double alignment;    /* mean |u_i - u_pos|^2 (Wang and Isola 2020) */
    double uniformity;   /* ln of mean over pairs i != j of exp(-2 |u_i - u_j|^2) */
};

/* Bytes of scratch for rows x d. */
size_t ntxent_scratch(const struct engine *engine, int rows, int d);

/* z (rows, d), rows even: row i and row i + rows/2 are the two views of one image. Overwrites dz (rows, d) with dL/dz if not NULL.
 * rows >= 2, tau >= 0.025 (the caller refuses less: sums of exp((s - 1) / tau) would underflow). dz may not be z. Memory
 * is O(rows d), or what similarities are kept in, up to 96 MB, where that is more. A NaN in z makes the loss NaN. */
void ntxent(const struct engine *engine, struct ntxent_result *result, float *dz, const float *z, int rows, int d, float tau,
            void *scratch);

/* Where a loss can lie: ceiling ln(rows - 1) (all equal), floor ln(1 + (rows - 2) exp(-1/tau)) (positives 1, negatives 0). */
double ntxent_ceiling(int rows);
double ntxent_floor(int rows, double tau);

#endif
