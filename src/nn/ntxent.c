#include "nn/ntxent.h"

#include "base/arena.h"
#include "base/fmath.h"
#include "base/par.h"
#include "simd/kernels.h"

#include <string.h>

enum { TILE = NTXENT_TILE };
#define UNIFORMITY_INV_TAU 4.0f /* exp(-2 |u_i - u_j|^2) = exp(4 (s - 1)) */

/* Everything is recomputed per call; R rows, d columns, tiles T of 64 rows. The panels are copies of u for the GEMM: `across` has
 * rows of u as columns (similarities), `along` has rows of u as rows (gradient). */
struct pass {
    const struct kernels *kernels;
    int rows, d, half, tiles;
    float inv_tau;
    const float *z;
    float *du;           /* (R, d): the caller's dz, or NULL */
    float *u, *norm;     /* (R, d), (R) */
    float *across;       /* (ceil(R / nr), d, nr) */
    float *along;        /* (T, ceil(d / nr), up to 64, nr) */
    float *positive;     /* (R) similarity to the other view */
    int *partner;        /* (R) its row */
    double *sum, *close; /* (R) sums of exp((s - 1) / tau) and of exp(4 (s - 1)) over the other rows */
    float *inv_sum;      /* (R) */
    int32_t *ahead;      /* (R) rows more similar than the positive */
    ptrdiff_t *u_row;    /* (64) offsets of consecutive rows of u, */
    ptrdiff_t *tile_row; /* (64) of a tile of similarities */
};

static size_t panels(int columns, int nr)
{
    return ((size_t)columns + (size_t)nr - 1) / (size_t)nr;
}

static void lay_out(struct pass *p, struct arena *arena, bool gradient)
{
    size_t rows = (size_t)p->rows, d = (size_t)p->d, nr = (size_t)p->kernels->nr;
    p->u = arena_alloc(arena, rows * d, sizeof *p->u);
    p->norm = arena_alloc(arena, rows, sizeof *p->norm);
    p->across = arena_alloc(arena, panels(p->rows, p->kernels->nr) * d * nr, sizeof *p->across);
    p->positive = arena_alloc(arena, rows, sizeof *p->positive);
    p->partner = arena_alloc(arena, rows, sizeof *p->partner);
    p->sum = arena_alloc(arena, rows, sizeof *p->sum);
    p->close = arena_alloc(arena, rows, sizeof *p->close);
    p->inv_sum = arena_alloc(arena, rows, sizeof *p->inv_sum);
    p->ahead = arena_alloc(arena, rows, sizeof *p->ahead);
    p->u_row = arena_alloc(arena, TILE, sizeof *p->u_row);
    p->tile_row = arena_alloc(arena, TILE, sizeof *p->tile_row);
    if (gradient)
        p->along = arena_alloc(arena, (size_t)p->tiles * panels(p->d, p->kernels->nr) * TILE * nr, sizeof *p->along);
}

static struct pass new_pass(const struct engine *engine, int rows, int d)
{
    return (struct pass){
        .kernels = engine->kernels, .rows = rows, .d = d, .half = rows / 2, .tiles = (rows + TILE - 1) / TILE};
}

size_t ntxent_scratch(const struct engine *engine, int rows, int d)
{
    struct pass p = new_pass(engine, rows, d);
    struct arena arena = {0};
    lay_out(&p, &arena, true);
    return arena.used;
}

static int tile_size(const struct pass *p, int tile)
{
    int left = p->rows - tile * TILE;
    return left < TILE ? left : TILE;
}

/* Normalises and packs one tile of rows; 64 is a multiple of every nr, so panels belong to one tile. */
static void prepare_tile(void *ctx, size_t tile, int thread)
{
    (void)thread;
    const struct pass *p = ctx;
    const struct kernels *k = p->kernels;
    size_t first = tile * TILE, d = (size_t)p->d, nr = (size_t)k->nr;
    int n = tile_size(p, (int)tile);
    float *u = p->u + first * d;
    k->l2_normalize(u, p->norm + first, p->z + first * d, (size_t)n, p->d);
    for (int j = 0; j < n; j += k->nr)
        k->pack_bt(p->across + (first + (size_t)j) * d, u + (size_t)j * d, p->d, p->d, n - j < k->nr ? n - j : k->nr);
    if (!p->du)
        return;
    float *along = p->along + tile * panels(p->d, k->nr) * TILE * nr;
    for (int c = 0; c < p->d; c += k->nr, along += (size_t)n * nr)
        k->pack_b(along, u + c, p->d, n, p->d - c < k->nr ? p->d - c : k->nr);
}

/* s (m, n) of tiles (row, col), row stride 64, rows against themselves masked. An element is one chain over d whatever the ISA, and
 * s_ij has the bits of s_ji. */
static void similarity_tile(const struct pass *p, float *s, int row, int col, int m, int n)
{
    const struct kernels *k = p->kernels;
    static const ptrdiff_t tap = 0;
    const float *a = p->u + (size_t)row * TILE * (size_t)p->d;
    for (int j = 0; j < n; j += k->nr)
        k->brgemm(s + j, p->tile_row, a, p->u_row, &tap, p->across + ((size_t)col * TILE + (size_t)j) * (size_t)p->d, m,
                  n - j < k->nr ? n - j : k->nr, p->d, 1, false);
    if (row == col)
        for (int i = 0; i < n; i++)
            s[i * TILE + i] = NTXENT_MASKED;
}

/* Similarities of 64 rows to the rows `half` further on, read off the diagonal of small tiles: the same chains as in the big ones,
 * so that comparing with them is exact. */
static void positive_tile(void *ctx, size_t tile, int thread)
{
    (void)thread;
    const struct pass *p = ctx;
    const struct kernels *k = p->kernels;
    static const ptrdiff_t tap = 0;
    _Alignas(64) float s[TILE * TILE];
    int first = (int)tile * TILE, end = first + TILE < p->half ? first + TILE : p->half, next;
    for (int i = first; i < end; i = next) {
        /* up to the end of the panel that holds the partner of i */
        int partner = i + p->half, panel = partner / k->nr * k->nr, skip = partner - panel;
        next = i + k->nr - skip < end ? i + k->nr - skip : end;
        int m = next - i;
        k->brgemm(s, p->tile_row, p->u + (size_t)i * (size_t)p->d, p->u_row, &tap, p->across + (size_t)panel * (size_t)p->d, m,
                  skip + m, p->d, 1, false);
        for (int r = 0; r < m; r++) {
            p->positive[i + r] = p->positive[partner + r] = s[r * TILE + skip + r];
            p->partner[i + r] = partner + r;
            p->partner[partner + r] = i + r;
        }
    }
}

static void sums_of_tile(void *ctx, size_t tile, int thread)
{
    (void)thread;
    const struct pass *p = ctx;
    const struct kernels *k = p->kernels;
    _Alignas(64) float s[TILE * TILE];
    int row = (int)tile, m = tile_size(p, row);
    size_t first = tile * TILE;
    memset(p->sum + first, 0, (size_t)m * sizeof *p->sum);
    memset(p->close + first, 0, (size_t)m * sizeof *p->close);
    memset(p->ahead + first, 0, (size_t)m * sizeof *p->ahead);
    for (int col = 0; col < p->tiles; col++) {
        int n = tile_size(p, col);
        similarity_tile(p, s, row, col, m, n);
        k->ntxent_row_sums(p->sum + first, s, TILE, p->inv_tau, m, n);
        k->ntxent_row_sums(p->close + first, s, TILE, UNIFORMITY_INV_TAU, m, n);
        k->count_greater(p->ahead + first, s, TILE, p->positive + first, p->partner + first, col * TILE, m, n);
    }
    for (size_t i = first; i < first + (size_t)m; i++)
        p->inv_sum[i] = (float)(1.0 / p->sum[i]);
}

/* du_I = sum over J of G_IJ u_J in the order of J, G_ij = (P_ij + P_ji - 2 Y_ij) / (R tau), then through the normalisation. */
static void gradient_of_tile(void *ctx, size_t tile, int thread)
{
    (void)thread;
    const struct pass *p = ctx;
    const struct kernels *k = p->kernels;
    static const ptrdiff_t tap = 0;
    _Alignas(64) float g[TILE * TILE];
    int row = (int)tile, m = tile_size(p, row);
    size_t first = tile * TILE, d = (size_t)p->d, nr = (size_t)k->nr;
    float factor = p->inv_tau / (float)p->rows, *du = p->du + first * d;
    for (int col = 0; col < p->tiles; col++) {
        int n = tile_size(p, col);
        similarity_tile(p, g, row, col, m, n);
        k->ntxent_gradient_tile(g, TILE, p->inv_sum + first, p->inv_sum + col * TILE, p->inv_tau, factor, m, n);
        for (int i = 0; i < m; i++) {
            int j = p->partner[first + (size_t)i] - col * TILE;
            if (j >= 0 && j < n)
                g[i * TILE + j] -= 2.0f * factor;
        }
        const float *along = p->along + (size_t)col * panels(p->d, k->nr) * TILE * nr;
        for (int c = 0; c < p->d; c += k->nr, along += (size_t)n * nr)
            k->brgemm(du + c, p->u_row, g, p->tile_row, &tap, along, m, p->d - c < k->nr ? p->d - c : k->nr, n, 1, col > 0);
    }
    k->l2_normalize_backward(du, du, p->u + first * d, p->norm + first, (size_t)m, p->d);
}

/* Means over the rows, in double and in row order. */
static struct ntxent_result reduce(const struct pass *p)
{
    double loss = 0, distance = 0, close = 0, inv_tau = (double)p->inv_tau, rows = p->rows;
    int first = 0, among_five = 0;
    for (int i = 0; i < p->rows; i++) {
        double gap = 1.0 - (double)p->positive[i];
        loss += fm_log(p->sum[i]) + gap * inv_tau; /* log-sum-exp, shifted by 1 / tau, minus the positive's logit */
        distance += 2.0 * gap;
        close += p->close[i];
        first += p->ahead[i] < 1;
        among_five += p->ahead[i] < 5;
    }
    return (struct ntxent_result){
        .loss = loss / rows,
        .retrieval1 = first / rows,
        .retrieval5 = among_five / rows,
        .alignment = distance / rows,
        .uniformity = fm_log(close / (rows * (rows - 1.0))),
    };
}

void ntxent(const struct engine *engine, struct ntxent_result *result, float *dz, const float *z, int rows, int d, float tau,
            void *scratch)
{
    struct pass p = new_pass(engine, rows, d);
    struct arena arena = {.base = scratch, .capacity = ntxent_scratch(engine, rows, d)};
    lay_out(&p, &arena, dz != NULL);
    p.z = z;
    p.du = dz;
    p.inv_tau = 1.0f / tau;
    for (int i = 0; i < TILE; i++) {
        p.u_row[i] = (ptrdiff_t)i * d;
        p.tile_row[i] = (ptrdiff_t)i * TILE;
    }
    size_t tiles = (size_t)p.tiles;
    par_for(engine->threads, tiles, prepare_tile, &p);
    par_for(engine->threads, ((size_t)p.half + TILE - 1) / TILE, positive_tile, &p);
    par_for(engine->threads, tiles, sums_of_tile, &p);
    if (dz)
        par_for(engine->threads, tiles, gradient_of_tile, &p);
    *result = reduce(&p);
}

double ntxent_ceiling(int rows)
{
    return fm_log((double)rows - 1.0);
}

double ntxent_floor(int rows, double tau)
{
    return fm_log(1.0 + ((double)rows - 2.0) * fm_exp(-1.0 / tau));
}
