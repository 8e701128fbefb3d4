/* The kernels of NT-Xent: against their contracts in double, and on every ISA against scalar. */
#include "base/arena.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One call of each kernel on guarded copies of the same numbers; out receives everything that it wrote. */
struct kernel_case {
    int rows, d, m;
    bool at_start;
};

static float *guarded(const float *from, size_t count, bool at_start)
{
    float *p = guard_alloc(count * sizeof *p, at_start);
    if (from)
        memcpy(p, from, count * sizeof *p);
    return p;
}

static size_t append(float *out, size_t at, const void *from, size_t floats)
{
    memcpy(out + at, from, floats * sizeof *out);
    return at + floats;
}

static size_t run_kernels(const struct kernels *k, float *out, const struct kernel_case *c)
{
    size_t size = (size_t)c->rows * (size_t)c->d, m = (size_t)c->m, tile = m * NTXENT_TILE, written = 0;
    float *numbers = random_array(size + tile + m * 16 + 4 * NTXENT_TILE, 5);
    float *x = guarded(numbers, size, c->at_start), *u = guarded(NULL, size, c->at_start);
    float *norm = guarded(NULL, (size_t)c->rows, c->at_start), *dx = guarded(NULL, size, c->at_start);
    k->l2_normalize(u, norm, x, (size_t)c->rows, c->d);
    k->l2_normalize_backward(dx, x, u, norm, (size_t)c->rows, c->d);
    written = append(out, written, u, size);
    written = append(out, written, dx, size);
    written = append(out, written, norm, (size_t)c->rows);
    out[written++] = k->dot(x, dx, size);

    float *s = guarded(numbers + size, tile, c->at_start);
    s[0] = NTXENT_MASKED;
    s[tile - 1] = NTXENT_MASKED;
    float *row = guarded(numbers + size + tile, m * 16, c->at_start), *col = guarded(numbers, NTXENT_TILE, c->at_start);
    float *row_bound = guarded(s + tile / 2, m, c->at_start), *col_bound = guarded(s, NTXENT_TILE, c->at_start); /* equal to some of s */
    int32_t *row_ahead = guard_alloc(m * sizeof *row_ahead, c->at_start), *col_ahead = guard_alloc(NTXENT_TILE * sizeof *col_ahead, c->at_start);
    for (size_t i = 0; i < m; i++)
        row_ahead[i] = 3;
    for (int j = 0; j < NTXENT_TILE; j++)
        col_ahead[j] = -j;
    k->ntxent_sums(row, NULL, s, 10.0f, c->m);
    k->ntxent_sums(row, col, s, 2.0f, c->m);
    out[written++] = k->ntxent_total(s, 4.0f, c->m);
    k->ntxent_ahead(row_ahead, col_ahead, s, row_bound, col_bound, c->m);
    written = append(out, written, row, m * 16);
    written = append(out, written, col, NTXENT_TILE);
    written = append(out, written, row_ahead, m);
    written = append(out, written, col_ahead, NTXENT_TILE);
    k->ntxent_gradient(s, row_bound, col, 10.0f, c->m);
    written = append(out, written, s, tile);
    void *blocks[] = {x, u, norm, dx, s, row, col, row_bound, col_bound, row_ahead, col_ahead};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        guard_free(blocks[i]);
    free(numbers);
    return written;
}

Test(ntxent_kernels, kernels_agree_on_every_isa)
{
    static const struct kernel_case cases[] = {{1, 1, 1, false},    {3, 7, 2, true},   {5, 16, 5, false},  {4, 33, 9, true},
                                               {2, 129, 3, false},  {7, 128, 64, true}, {3, 15, 63, false}, {3, 31, 8, true}};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    float *want = allocate(16384, sizeof *want), *got = allocate(16384, sizeof *got);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        size_t size = run_kernels(isas[0], want, &cases[c]);
        for (size_t i = 1; i < count; i++) {
            run_kernels(isas[i], got, &cases[c]);
            cr_expect(!memcmp(want, got, size * sizeof *got), "%s differs from scalar in case %zu", isas[i]->name, c);
        }
    }
    free(want);
    free(got);
}

Test(ntxent_kernels, l2_normalize_computes_its_contract)
{
    const struct kernels *isas[8];
    test_isas(isas);
    enum { M = 5, D = 45 };
    float x[M * D], u[M * D], norm[M];
    fill_random(x, M * D, 2);
    memset(x + D, 0, D * sizeof *x); /* a row of zeros stays zeros, with the norm clamped */
    isas[0]->l2_normalize(u, norm, x, M, D);
    for (int i = 0; i < M; i++) {
        double squares = 0;
        for (int j = 0; j < D; j++)
            squares += (double)x[i * D + j] * x[i * D + j];
        double want = fmax(sqrt(squares), 1e-12);
        cr_expect_float_eq(norm[i] / want, 1.0, 1e-6);
        for (int j = 0; j < D; j++)
            cr_expect(fabs(u[i * D + j] - x[i * D + j] / want) <= 1e-6);
    }
}

/* At the lowest temperature exponentials span 35 decades; at the highest they are all nearly 1. */
Test(ntxent_kernels, tile_kernels_compute_their_contracts)
{
    enum { M = 5, N = NTXENT_TILE };
    static const double temperatures[] = {0.025, 0.07, 0.5, 100.0};
    const struct kernels *isas[8];
    test_isas(isas);
    for (size_t t = 0; t < sizeof temperatures / sizeof *temperatures; t++) {
        double tau = temperatures[t], row_want[M * 16] = {0}, col_want[N] = {0}, total_want = 0;
        float s[M * N], g[M * N], row[M * 16], col[N], inv_row[M], inv_col[N], row_bound[M], col_bound[N];
        int32_t row_ahead[M] = {0}, col_ahead[N] = {0}, row_ahead_want[M] = {0}, col_ahead_want[N] = {0};
        fill_random(s, M * N, 1);
        s[1] = s[2 * N + 63] = NTXENT_MASKED;
        s[4] = 1.0f;
        s[5] = -1.0f;
        fill_random(inv_row, M, 3);
        fill_random(inv_col, N, 4);
        for (int i = 0; i < M; i++)
            row_bound[i] = s[i * N + 3];
        for (int j = 0; j < N; j++)
            col_bound[j] = s[j % M * N + j];
        for (int i = 0; i < M * 16; i++)
            row_want[i] = row[i] = 0.25f;
        for (int j = 0; j < N; j++)
            col_want[j] = col[j] = 0.5f;
        memcpy(g, s, sizeof g);
        isas[0]->ntxent_sums(row, col, s, 1.0f / (float)tau, M);
        double total = isas[0]->ntxent_total(s, 1.0f / (float)tau, M);
        isas[0]->ntxent_ahead(row_ahead, col_ahead, s, row_bound, col_bound, M);
        isas[0]->ntxent_gradient(g, inv_row, inv_col, 1.0f / (float)tau, M);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double e = exp(((double)s[i * N + j] - 1.0) / tau), weight = e * ((double)inv_row[i] + inv_col[j]);
                row_want[i * 16 + j % 16] += e;
                col_want[j] += e;
                total_want += e;
                row_ahead_want[i] += s[i * N + j] > row_bound[i];
                col_ahead_want[j] += s[i * N + j] > col_bound[j];
                cr_expect(fabs(g[i * N + j] - weight) <= 1e-5 * (fabs(weight) + e), "tau %g: gradient %d, %d", tau, i, j);
            }
        for (int i = 0; i < M * 16; i++)
            cr_expect(fabs(row[i] - row_want[i]) <= 1e-5 * row_want[i], "tau %g: lane %d", tau, i);
        for (int j = 0; j < N; j++)
            cr_expect(fabs(col[j] - col_want[j]) <= 1e-5 * col_want[j], "tau %g: column %d", tau, j);
        cr_expect(fabs(total - total_want) <= 1e-5 * total_want, "tau %g: total %g, expected %g", tau, total, total_want);
        cr_expect(!memcmp(row_ahead, row_ahead_want, sizeof row_ahead) && !memcmp(col_ahead, col_ahead_want, sizeof col_ahead));
    }
}
