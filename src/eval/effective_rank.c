#include "eval/effective_rank.h"

#include "base/fmath.h"
#include "base/status.h"
#include "data/loader.h"

#include <math.h>
#include <stdlib.h>

/* The singular values of the features F are the roots of the eigenvalues of F F' and of F' F: whichever is smaller, n by n, is made
 * tridiagonal by Householder's reflections, and its eigenvalues are found by bisection (Golub and Van Loan, Matrix Computations, 8.3
 * and 8.4). Plain double arithmetic in a fixed order; inner loops run over outputs, which the compiler can put into vectors. */
struct work {
    int n;
    double *a;                /* (n, n), symmetric */
    double *diagonal, *below; /* (n) of the tridiagonal matrix */
    double *v, *p;            /* (n) */
};

/* Adds x x'. */
static void add_square(struct work *w, const double *x)
{
    for (int i = 0; i < w->n; i++)
        for (int j = 0; j < w->n; j++)
            w->a[i * w->n + j] += x[i] * x[j];
}

/* F' F of features (rows, d), or F F', where that is smaller. */
static void make_gram(struct work *w, const float *const *features, int rows, int d)
{
    for (int r = 0; r < rows && d == w->n; r++) {
        for (int i = 0; i < d; i++)
            w->v[i] = (double)features[r][i];
        add_square(w, w->v);
    }
    for (int c = 0; c < d && d != w->n; c++) {
        for (int i = 0; i < rows; i++)
            w->v[i] = (double)features[i][c];
        add_square(w, w->v);
    }
}

/* Reflects rows and columns k + 1, ... so that column k is 0 below its first element there, which is returned. */
static double reflect(struct work *w, int k)
{
    int n = w->n;
    double *v = w->v, *p = w->p, square = 0, vp = 0;
    for (int i = k + 1; i < n; i++) {
        v[i] = w->a[k * n + i];
        square += v[i] * v[i];
        p[i] = 0;
    }
    double first = v[k + 1] > 0 ? -sqrt(square) : sqrt(square), vv = 2 * (square - v[k + 1] * first);
    if (!(vv > 0))
        return 0;
    v[k + 1] -= first;
    for (int i = k + 1; i < n; i++)
        for (int j = k + 1; j < n; j++)
            p[j] += v[i] * w->a[i * n + j];
    for (int i = k + 1; i < n; i++) {
        p[i] *= 2 / vv;
        vp += v[i] * p[i];
    }
    for (int i = k + 1; i < n; i++)
        p[i] -= vp / vv * v[i];
    for (int i = k + 1; i < n; i++)
        for (int j = k + 1; j < n; j++)
            w->a[i * n + j] -= v[i] * p[j] + p[i] * v[j];
    return first;
}

static void make_tridiagonal(struct work *w)
{
    for (int k = 0; k < w->n; k++) {
        w->below[k] = k + 2 < w->n ? reflect(w, k) : k + 1 < w->n ? w->a[k * w->n + k + 1] : 0;
        w->diagonal[k] = w->a[k * w->n + k];
    }
}

/* Eigenvalues less than x, by Sturm's sequence. */
static int count_below(const struct work *w, double x, double tiny)
{
    int count = 0;
    double q = 1;
    for (int i = 0; i < w->n; i++) {
        double e = i ? w->below[i - 1] : 0;
        q = w->diagonal[i] - x - e * e / q;
        if (fabs(q) < tiny)
            q = -tiny;
        count += q < 0;
    }
    return count;
}

/* The i-th eigenvalue from below; none is negative. */
static double eigenvalue(const struct work *w, int i, double most)
{
    double low = 0, high = most;
    for (int halving = 0; halving < 56; halving++) {
        double middle = (low + high) / 2;
        if (count_below(w, middle, 1e-300 + most * 1e-30) > i)
            high = middle;
        else
            low = middle;
    }
    return low;
}

static double rank_of(struct work *w)
{
    double trace = 0, sum = 0, entropy = 0;
    for (int i = 0; i < w->n; i++)
        trace += w->a[i * w->n + i];
    if (!isfinite(trace))
        return NAN;
    make_tridiagonal(w);
    for (int i = 0; i < w->n; i++) {
        w->v[i] = sqrt(eigenvalue(w, i, trace)); /* the largest is no more than their sum */
        sum += w->v[i];
    }
    for (int i = 0; i < w->n; i++)
        if (w->v[i] > 0)
            entropy -= w->v[i] / sum * fm_log(w->v[i] / sum);
    return sum > 0 ? fm_exp(entropy) : 0;
}

enum simclr_status effective_rank(double *rank, const float *features, const int *labels, size_t rows, int d, struct simclr_error *err)
{
    const float *taken[EFFECTIVE_RANK_ROWS];
    int count = 0;
    for (size_t r = 0; r < rows && count < EFFECTIVE_RANK_ROWS; r++)
        if (labels[r] != LABEL_BROKEN)
            taken[count++] = features + r * (size_t)d;
    size_t n = (size_t)(count < d ? count : d);
    double *memory = calloc(n * n + 4 * n + 1, sizeof *memory);
    if (!memory)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the effective rank of %d images' features; use --knn-every 0", count);
    double *vectors = memory + n * n;
    struct work w = {.n = (int)n, .a = memory, .diagonal = vectors, .below = vectors + n, .v = vectors + 2 * n, .p = vectors + 3 * n};
    make_gram(&w, taken, count, d);
    *rank = rank_of(&w);
    free(memory);
    return SIMCLR_OK;
}
