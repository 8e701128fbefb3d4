#include "eval/pca.h"

#include "base/rng.h"
#include "base/status.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* More directions than are wanted: the first two then settle as fast as they differ from the last. */
enum { BLOCK = 4, MOST_TURNS = 300 };
static const double SETTLED = 1e-9;

struct pca {
    double *x, *scores;       /* (rows, d) centred; (rows, BLOCK) */
    double *basis, *image;    /* (BLOCK, d) */
    double variance[BLOCK];   /* sums of squares */
    size_t rows, d;
};

static double inner(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void centre(struct pca *p, const float *x)
{
    for (size_t j = 0; j < p->d; j++) {
        double mean = 0;
        for (size_t i = 0; i < p->rows; i++)
            mean += (double)x[i * p->d + j] / (double)p->rows;
        for (size_t i = 0; i < p->rows; i++)
            p->x[i * p->d + j] = (double)x[i * p->d + j] - mean;
    }
}

/* Gram-Schmidt, twice for accuracy; what has no direction of its own becomes zero. */
static void orthonormalise(double *basis, size_t d)
{
    for (size_t b = 0; b < BLOCK; b++) {
        double *v = basis + b * d, before = sqrt(inner(v, v, d));
        for (size_t o = 0; o < 2 * b; o++) {
            const double *other = basis + o % b * d;
            double along = inner(v, other, d);
            for (size_t j = 0; j < d; j++)
                v[j] -= along * other[j];
        }
        double length = sqrt(inner(v, v, d));
        double scale = length > 1e-12 * before ? 1 / length : 0;
        for (size_t j = 0; j < d; j++)
            v[j] *= scale;
    }
}

/* scores = x basis', variance their sums of squares; image = scores' x. */
static void apply(struct pca *p)
{
    memset(p->image, 0, BLOCK * p->d * sizeof *p->image);
    memset(p->variance, 0, sizeof p->variance);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t b = 0; b < BLOCK; b++) {
            const double *row = p->x + i * p->d;
            double score = inner(row, p->basis + b * p->d, p->d), *image = p->image + b * p->d;
            p->scores[i * BLOCK + b] = score;
            p->variance[b] += score * score;
            for (size_t j = 0; j < p->d; j++)
                image[j] += score * row[j];
        }
}

static bool settled(const struct pca *p, const double before[BLOCK])
{
    for (int b = 0; b < PCA_PLANE; b++)
        if (fabs(p->variance[b] - before[b]) > SETTLED * p->variance[b])
            return false;
    return true;
}

static void iterate(struct pca *p)
{
    struct rng rng = rng_stream(0, RNG_INIT, 0, 0);
    double before[BLOCK];
    for (size_t i = 0; i < BLOCK * p->d; i++)
        p->basis[i] = (double)rng_uniform(&rng, -1, 1);
    orthonormalise(p->basis, p->d);
    apply(p);
    for (int turn = 0; turn < MOST_TURNS; turn++) {
        memcpy(before, p->variance, sizeof before);
        memcpy(p->basis, p->image, BLOCK * p->d * sizeof *p->basis);
        orthonormalise(p->basis, p->d);
        apply(p);
        if (settled(p, before))
            break;
    }
}

static double sign_of(const double *v, size_t d)
{
    size_t most = 0;
    for (size_t j = 1; j < d; j++)
        if (fabs(v[j]) > fabs(v[most]))
            most = j;
    return v[most] < 0 ? -1 : 1;
}

enum simclr_status pca_plane(double *places, double share[PCA_PLANE], const float *x, size_t rows, int d, struct simclr_error *err)
{
    struct pca p = {.rows = rows, .d = (size_t)d};
    p.x = calloc(rows * p.d + 1, sizeof *p.x);
    p.scores = malloc((rows * BLOCK + 1) * sizeof *p.scores);
    p.basis = calloc(2 * BLOCK * p.d, sizeof *p.basis);
    enum simclr_status status = p.x && p.scores && p.basis
                                    ? SIMCLR_OK : fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the map of %zu images; use --limit", rows);
    if (status == SIMCLR_OK) {
        p.image = p.basis + BLOCK * p.d;
        centre(&p, x);
        double total = inner(p.x, p.x, rows * p.d);
        iterate(&p);
        for (size_t c = 0; c < PCA_PLANE; c++) {
            double sign = sign_of(p.basis + c * p.d, p.d);
            share[c] = total > 0 ? p.variance[c] / total : 0;
            for (size_t i = 0; i < rows; i++)
                places[i * PCA_PLANE + c] = sign * p.scores[i * BLOCK + c];
        }
    }
    free(p.x);
    free(p.scores);
    free(p.basis);
    return status;
}
