#include "eval/tsne.h"

#include "base/arena.h"
#include "base/fmath.h"
#include "base/par.h"
#include "base/status.h"
#include "eval/similarity.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { POINTS = TSNE_POINTS, TILE = SIMILARITY_TILE, STEPS = 1000, EARLY = 250, MOST_HALVINGS = 100 };
static const double PERPLEXITY = 30, EXAGGERATION = 12, TOLERANCE = 1e-5, BEGIN_DEVIATION = 1e-4, LEAST_RATE = 10, LEAST_GAIN = 0.01;
static const double LEAST_Z = 1e-7; /* less is lost beside a point's own 1 */

/* Point i's affinity to point j, and j's to i in the other panel. */
static float *affinity(const struct tsne *t, size_t i, size_t j)
{
    return t->p + (i / POINTS * t->rows + j) * POINTS + i % POINTS;
}

/* ---- Affinities ---- */

struct affinities {
    struct tsne *tsne;
    const float *features;
    int d;
    double entropy;  /* logarithm of the perplexity */
    float *packed;   /* (threads, TILE d) */
    double *squares; /* (threads, rows) */
};

/* Weights exp(-beta square) of a point's squared distances, other points alone: their entropy, and their sum. */
static double entropy_of(const double *squares, size_t count, double beta, double *sum)
{
    double weighted = 0;
    *sum = 0;
    for (size_t j = 0; j < count; j++) {
        double weight = fm_exp(-beta * squares[j]);
        *sum += weight;
        weighted += squares[j] * weight;
    }
    return fm_log(*sum) + beta * weighted / *sum;
}

/* The beta whose weights have the entropy, by doubling and bisection; what the least distance adds cancels in all of them. Of more copies
 * of a point than the perplexity asks for no beta is large enough. */
static double find_beta(double *squares, size_t count, double entropy, double *sum)
{
    double beta = 1, low = 0, high = INFINITY, least = INFINITY;
    for (size_t j = 0; j < count; j++)
        least = squares[j] < least ? squares[j] : least;
    for (size_t j = 0; j < count; j++)
        squares[j] -= least;
    for (int i = 0; i < MOST_HALVINGS; i++) {
        double over = entropy_of(squares, count, beta, sum) - entropy;
        if (fabs(over) <= TOLERANCE)
            break;
        if (over > 0)
            low = beta;
        else
            high = beta;
        beta = isinf(high) ? 2 * beta : (low + high) / 2;
    }
    return beta;
}

/* Point i's squared distances, in its column of a panel, become the affinities that it has to others: 1 in all. */
static void condition(const struct affinities *a, size_t i, double *squares)
{
    size_t rows = a->tsne->rows, count = 0;
    double beta, sum;
    for (size_t j = 0; j < rows; j++)
        if (j != i)
            squares[count++] = (double)*affinity(a->tsne, i, j);
    beta = find_beta(squares, count, a->entropy, &sum);
    count = 0;
    for (size_t j = 0; j < rows; j++)
        *affinity(a->tsne, i, j) = j == i ? 0 : (float)(fm_exp(-beta * squares[count++]) / sum);
}

/* Points of one tile: |a - b|^2 = 2 - 2 a . b of rows of length 1. */
static void condition_tile(void *ctx, size_t tile, int thread)
{
    const struct affinities *a = ctx;
    const struct tsne *t = a->tsne;
    const struct kernels *k = t->engine->kernels;
    _Alignas(64) float similarity[TILE * TILE];
    size_t first = tile * TILE, d = (size_t)a->d, count = t->rows - first < TILE ? t->rows - first : TILE;
    float *packed = a->packed + (size_t)thread * TILE * d;
    if (engine_stopped(t->engine))
        return;
    similarity_pack(k, packed, a->features + first * d, (int)count, a->d);
    for (size_t row = 0; row < t->rows; row += TILE) {
        size_t rows = t->rows - row < TILE ? t->rows - row : TILE;
        similarity_tile(k, similarity, a->features + row * d, (int)rows, packed, (int)count, a->d);
        for (size_t j = 0; j < rows; j++)
            for (size_t i = 0; i < count; i++) {
                float square = 2 - 2 * similarity[j * TILE + i];
                *affinity(t, first + i, row + j) = square > 0 ? square : 0;
            }
    }
    for (size_t i = 0; i < count; i++)
        condition(a, first + i, a->squares + (size_t)thread * t->rows);
}

/* p = (p + p') / (2 rows), of one panel and those after it. */
static void symmetrise_panel(void *ctx, size_t panel, int thread)
{
    (void)thread;
    const struct tsne *t = ctx;
    size_t last = (panel + 1) * POINTS < t->rows ? (panel + 1) * POINTS : t->rows;
    for (size_t i = panel * POINTS; i < last; i++)
        for (size_t j = i + 1; j < t->rows; j++) {
            float *a = affinity(t, i, j), *b = affinity(t, j, i);
            *a = *b = (float)(((double)*a + (double)*b) / (2 * (double)t->rows));
        }
}

enum simclr_status tsne_begin(struct tsne *t, const float *x, size_t rows, int d, double perplexity, const struct engine *engine,
                              struct simclr_error *err)
{
    size_t panels = (rows + POINTS - 1) / POINTS, tiles = (rows + TILE - 1) / TILE, threads = (size_t)engine->threads;
    struct affinities a = {.tsne = t, .features = x, .d = d, .entropy = fm_log(perplexity)};
    *t = (struct tsne){.engine = engine, .rows = rows, .panels = panels};
    t->x = alloc_aligned(panels * POINTS, sizeof *t->x);
    t->y = alloc_aligned(panels * POINTS, sizeof *t->y);
    t->p = alloc_aligned(panels * rows, POINTS * sizeof *t->p);
    t->forces = alloc_aligned(panels, TSNE_SUMS * POINTS * sizeof *t->forces);
    a.packed = alloc_aligned(threads * (size_t)d, TILE * sizeof *a.packed);
    a.squares = alloc_aligned(threads * rows, sizeof *a.squares);
    enum simclr_status status = SIMCLR_OK;
    if (!t->x || !t->y || !t->p || !t->forces || !a.packed || !a.squares) {
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a map of %zu images; use --limit", rows);
    } else {
        par_for(engine->threads, tiles, condition_tile, &a);
        par_for(engine->threads, panels, symmetrise_panel, t);
    }
    free(a.packed);
    free(a.squares);
    return status;
}

void tsne_free(struct tsne *t)
{
    free(t->x);
    free(t->y);
    free(t->p);
    free(t->forces);
}

/* ---- The map ---- */

static void add_forces(void *ctx, size_t panel, int thread)
{
    (void)thread;
    const struct tsne *t = ctx;
    t->engine->kernels->tsne_forces(t->forces + panel * TSNE_SUMS * POINTS, t->x, t->y, t->p + panel * t->rows * POINTS, panel * POINTS, t->rows);
}

/* One of a point's sums. */
static double force_on(const struct tsne *t, size_t i, int sum)
{
    return (double)t->forces[(i / POINTS * TSNE_SUMS + (size_t)sum) * POINTS + i % POINTS];
}

/* What divides the q of all pairs, so that they add up to 1. */
static double normalisation(const struct tsne *t)
{
    double z = 0;
    for (size_t i = 0; i < t->rows; i++)
        z += force_on(t, i, 4) - 1;
    return z > LEAST_Z ? z : LEAST_Z;
}

void tsne_gradient(double *gradient, struct tsne *t, double exaggeration)
{
    par_for(t->engine->threads, t->panels, add_forces, t);
    double z = normalisation(t);
    for (size_t i = 0; i < t->rows; i++)
        for (int c = 0; c < TSNE_PLANE; c++)
            gradient[i * TSNE_PLANE + (size_t)c] = 4 * (exaggeration * force_on(t, i, c) - force_on(t, i, 2 + c) / z);
}

struct divergence {
    const struct tsne *tsne;
    double z, *parts; /* parts (panels) */
};

static void diverge(void *ctx, size_t panel, int thread)
{
    (void)thread;
    const struct divergence *v = ctx;
    const struct tsne *t = v->tsne;
    size_t last = (panel + 1) * POINTS < t->rows ? (panel + 1) * POINTS : t->rows;
    double sum = 0;
    for (size_t i = panel * POINTS; i < last; i++)
        for (size_t j = 0; j < t->rows; j++) {
            double p = (double)*affinity(t, i, j), dx = (double)t->x[i] - (double)t->x[j], dy = (double)t->y[i] - (double)t->y[j];
            if (p >= 1e-30) /* what adds nothing, and fm_log does not take */
                sum += p * fm_log(p * v->z * (1 + dx * dx + dy * dy));
        }
    v->parts[panel] = sum;
}

enum simclr_status tsne_divergence(double *divergence, const struct tsne *t, struct simclr_error *err)
{
    struct divergence v = {.tsne = t, .z = normalisation(t), .parts = malloc(t->panels * sizeof *v.parts)};
    if (!v.parts)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a map of %zu images; use --limit", t->rows);
    par_for(t->engine->threads, t->panels, diverge, &v);
    *divergence = 0;
    for (size_t i = 0; i < t->panels; i++)
        *divergence += v.parts[i];
    free(v.parts);
    return SIMCLR_OK;
}

/* Where the points begin: as they lie along the first component, with a small deviation there. */
static void place(struct tsne *t, const double *places)
{
    double mean = 0, square = 0;
    for (size_t i = 0; i < t->rows; i++)
        mean += places[TSNE_PLANE * i] / (double)t->rows;
    for (size_t i = 0; i < t->rows; i++)
        square += (places[TSNE_PLANE * i] - mean) * (places[TSNE_PLANE * i] - mean) / (double)t->rows;
    double scale = square > 0 ? BEGIN_DEVIATION / sqrt(square) : 0;
    for (size_t i = 0; i < t->rows; i++) {
        t->x[i] = (float)(scale * places[TSNE_PLANE * i]);
        t->y[i] = (float)(scale * places[TSNE_PLANE * i + 1]);
    }
}

/* Gains (Jacobs 1988) grow while a coordinate goes on downhill. They begin at 1, velocities at 0. */
static void move(struct tsne *t, const double *gradient, double *velocity, double *gain, double momentum, double rate)
{
    for (size_t i = 0; i < t->rows * TSNE_PLANE; i++) {
        gain[i] = velocity[i] * gradient[i] < 0 ? gain[i] + 0.2 : gain[i] * 0.8;
        gain[i] = gain[i] < LEAST_GAIN ? LEAST_GAIN : gain[i];
        velocity[i] = momentum * velocity[i] - rate * gain[i] * gradient[i];
        float *at = i % TSNE_PLANE ? t->y : t->x;
        at[i / TSNE_PLANE] = (float)((double)at[i / TSNE_PLANE] + velocity[i]);
    }
}

/* scikit-learn's least rate is 50, which throws few points apart: 50 images end at a divergence of 0.20 with it, at 0.14 with 10. */
static enum simclr_status descend(struct tsne *t, struct simclr_error *err)
{
    size_t numbers = t->rows * TSNE_PLANE;
    if (numbers == 0)
        return SIMCLR_OK;
    double *gradient = calloc(3 * numbers, sizeof *gradient);
    double rate = fmax((double)t->rows / EXAGGERATION / 4, LEAST_RATE);
    if (!gradient)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a map of %zu images; use --limit", t->rows);
    double *velocity = gradient + numbers, *gain = velocity + numbers;
    for (size_t i = 0; i < numbers; i++)
        gain[i] = 1;
    for (int step = 0; step < STEPS && !engine_stopped(t->engine); step++) {
        tsne_gradient(gradient, t, step < EARLY ? EXAGGERATION : 1);
        move(t, gradient, velocity, gain, step < EARLY ? 0.5 : 0.8, rate);
    }
    tsne_gradient(gradient, t, 1);
    free(gradient);
    return engine_stopped(t->engine) ? fail(err, SIMCLR_ERR_CANCELLED, "stopped while the map was made") : SIMCLR_OK;
}

enum simclr_status tsne_plane(double *places, double *divergence, const float *x, size_t rows, int d, const struct engine *engine,
                              struct simclr_error *err)
{
    struct tsne t;
    double perplexity = fmax(1, fmin(PERPLEXITY, (double)(rows - 1) / 3));
    if (divergence)
        *divergence = 0;
    if (rows < 2)
        return SIMCLR_OK;
    enum simclr_status status = tsne_begin(&t, x, rows, d, perplexity, engine, err);
    if (status == SIMCLR_OK) {
        place(&t, places);
        status = descend(&t, err);
    }
    if (status == SIMCLR_OK && divergence)
        status = tsne_divergence(divergence, &t, err);
    for (size_t i = 0; i < rows && status == SIMCLR_OK; i++) {
        places[TSNE_PLANE * i] = (double)t.x[i];
        places[TSNE_PLANE * i + 1] = (double)t.y[i];
    }
    tsne_free(&t);
    return status;
}
