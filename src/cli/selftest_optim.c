/* The selftest's optimisers. */
#include "cli/selftest_cases.h"

enum { WEIGHTS = 1003 };

static void sgd(struct selftest *t)
{
    float *w = selftest_random(t, WEIGHTS), *v = selftest_random(t, WEIGHTS);
    for (int step = 0; step < 3; step++)
        t->k->sgd(w, v, selftest_random(t, WEIGHTS), 0.06f, 0.9f, 5e-4f, step == 2, WEIGHTS);
    selftest_absorb_floats(t, w, WEIGHTS);
    selftest_absorb_floats(t, v, WEIGHTS);
}

static void lars(struct selftest *t)
{
    float *w = selftest_random(t, WEIGHTS), *v = selftest_random(t, WEIGHTS);
    for (int step = 0; step < 2; step++)
        t->k->lars(w, v, selftest_random(t, WEIGHTS), 0.01f, 0.9f, 1e-6f, WEIGHTS);
    selftest_absorb_floats(t, w, WEIGHTS);
    selftest_absorb_floats(t, v, WEIGHTS);
}

static void adam(struct selftest *t)
{
    float *w = selftest_random(t, WEIGHTS), *m = selftest_random(t, WEIGHTS), *v = selftest_unit(t, WEIGHTS);
    for (int step = 0; step < 2; step++)
        t->k->adam(w, m, v, selftest_random(t, WEIGHTS), 0.1f, 0.001f, step ? 0 : 1e-4f, step ? 1e-5f : 0, 3e-3f, 0.0316f, 1e-8f, WEIGHTS);
    selftest_absorb_floats(t, w, WEIGHTS);
    selftest_absorb_floats(t, m, WEIGHTS);
    selftest_absorb_floats(t, v, WEIGHTS);
}

static void sum_squares(struct selftest *t)
{
    enum { COUNT = 9001 }; /* more than two blocks of 4096 */
    float *g = selftest_random(t, COUNT), *w = selftest_random(t, COUNT);
    double sums[2] = {t->k->sum_squares(g, NULL, 0, COUNT), t->k->sum_squares(g, w, 1e-2f, COUNT)};
    selftest_absorb(t, sums, sizeof sums);
}

static const struct selftest_case cases[] = {{"sgd", sgd}, {"lars", lars}, {"adam", adam}, {"sum_squares", sum_squares}};
const struct selftest_group selftest_optimisers = {"optimisers", cases, sizeof cases / sizeof cases[0]};
