#include "eval/lbfgs.h"

#include "base/arena.h"
#include "base/status.h"

#include <math.h>
#include <string.h>

enum { PAIRS = 10, MOST_HALVINGS = 20 };

/* Of the decrease that the slope promises, what a step must reach (Armijo). */
static const double SUFFICIENT = 1e-4;
/* Values closer than this, relatively, are equal: functions are computed in fp32. */
static const double ROUNDING = 1e-8;

/* The last steps and how the gradient changed along each; pair i of the search is at i % PAIRS. */
struct memory {
    size_t n;
    double *step[PAIRS], *change[PAIRS]; /* (n) */
    double curvature[PAIRS];             /* step . change, positive */
    int first, end;
};

struct search {
    double *gradient, *next, *next_gradient, *direction; /* (n) */
    struct memory memory;
};

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add_scaled(double *y, double scale, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += scale * x[i];
}

static double largest(const double *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabs(x[i]) > most ? fabs(x[i]) : most;
    return most;
}

/* The two loops: minus the inverse Hessian, as the memory has it, times the gradient. Without memory, a step of length 1. */
static void choose_direction(double *direction, const double *gradient, const struct memory *m)
{
    size_t n = m->n;
    double weight[PAIRS], scale = 1 / sqrt(dot(gradient, gradient, n));
    for (size_t i = 0; i < n; i++)
        direction[i] = -gradient[i];
    for (int i = m->end - 1; i >= m->first; i--) {
        int at = i % PAIRS;
        weight[at] = dot(m->step[at], direction, n) / m->curvature[at];
        add_scaled(direction, -weight[at], m->change[at], n);
    }
    if (m->end > m->first) {
        int last = (m->end - 1) % PAIRS;
        scale = m->curvature[last] / dot(m->change[last], m->change[last], n);
    }
    for (size_t i = 0; i < n; i++)
        direction[i] *= scale;
    for (int i = m->first; i < m->end; i++) {
        int at = i % PAIRS;
        add_scaled(direction, weight[at] - dot(m->change[at], direction, n) / m->curvature[at], m->step[at], n);
    }
}

/* Without positive curvature, which only rounding explains where the function is convex, the pair is left out. */
static void remember(struct memory *m, const double *x, const struct search *s)
{
    int at = m->end % PAIRS;
    if (m->end - m->first == PAIRS)
        m->first++;
    for (size_t i = 0; i < m->n; i++) {
        m->step[at][i] = s->next[i] - x[i];
        m->change[at][i] = s->next_gradient[i] - s->gradient[i];
    }
    m->curvature[at] = dot(m->step[at], m->change[at], m->n);
    if (m->curvature[at] > 1e-12 * dot(m->change[at], m->change[at], m->n))
        m->end++;
}

/* Along the direction, half as far each time, until the function is low enough there: next and next_gradient. */
static bool search_line(struct search *s, double *value, const double *x, lbfgs_fn *function, void *ctx)
{
    size_t n = s->memory.n;
    double slope = dot(s->gradient, s->direction, n), length = 1;
    if (!(slope < 0))
        return false;
    for (int i = 0; i < MOST_HALVINGS; i++) {
        memcpy(s->next, x, n * sizeof *x);
        add_scaled(s->next, length, s->direction, n);
        double next = function(ctx, s->next_gradient, s->next);
        if (next <= *value + SUFFICIENT * length * slope + ROUNDING * fabs(*value)) {
            *value = next;
            return true;
        }
        length /= 2;
    }
    return false;
}

static void lay_out(struct search *s, struct arena *arena, size_t n)
{
    s->memory.n = n;
    s->gradient = arena_alloc(arena, n, sizeof(double));
    s->next = arena_alloc(arena, n, sizeof(double));
    s->next_gradient = arena_alloc(arena, n, sizeof(double));
    s->direction = arena_alloc(arena, n, sizeof(double));
    for (int i = 0; i < PAIRS; i++) {
        s->memory.step[i] = arena_alloc(arena, n, sizeof(double));
        s->memory.change[i] = arena_alloc(arena, n, sizeof(double));
    }
}

static enum simclr_status minimize(struct search *s, double *x, double tolerance, int most_iterations, lbfgs_fn *function, void *ctx,
                                   const struct engine *engine, struct lbfgs_result *r, struct simclr_error *err)
{
    struct memory *m = &s->memory;
    *r = (struct lbfgs_result){.value = function(ctx, s->gradient, x)};
    if (!isfinite(r->value))
        return fail(err, SIMCLR_ERR_NONFINITE, "the function to minimise is not finite where the search begins");
    for (;;) {
        r->steepest = largest(s->gradient, m->n);
        r->converged = r->steepest <= tolerance;
        if (r->converged || r->iterations == most_iterations)
            return SIMCLR_OK;
        if (engine_stopped(engine))
            return fail(err, SIMCLR_ERR_CANCELLED, "stopped while a function was minimised");
        choose_direction(s->direction, s->gradient, m);
        if (!search_line(s, &r->value, x, function, ctx)) {
            if (m->first == m->end)
                return SIMCLR_OK;
            m->first = m->end; /* the curvature remembered misleads: begin anew from here */
            continue;
        }
        remember(m, x, s);
        memcpy(x, s->next, m->n * sizeof *x);
        memcpy(s->gradient, s->next_gradient, m->n * sizeof *x);
        r->iterations++;
    }
}

enum simclr_status lbfgs_minimize(double *x, size_t n, double tolerance, int most_iterations, lbfgs_fn *function, void *ctx,
                                  const struct engine *engine, struct lbfgs_result *result, struct simclr_error *err)
{
    struct search s = {0};
    struct arena arena = {0};
    lay_out(&s, &arena, n);
    size_t bytes = arena.used;
    if (arena_commit(&arena))
        return fail(err, SIMCLR_ERR_MEMORY, "no %zu bytes of memory to fit %zu weights", bytes, n);
    lay_out(&s, &arena, n);
    enum simclr_status status = minimize(&s, x, tolerance, most_iterations, function, ctx, engine, result, err);
    arena_free(&arena);
    return status;
}
