#include "nn/ntxent.h"

#include "base/arena.h"
#include "base/fmath.h"
#include "base/par.h"
#include "nn/circulant.h"
#include "simd/kernels.h"

#include <string.h>

enum { TILE = NTXENT_TILE, LANES = 16 };
#define UNIFORMITY_INV_TAU 4.0f /* exp(-2 |u_i - u_j|^2) = exp(4 (s - 1)) */

/* Scratch grows up to here by similarities kept from the first pass to the second: all of them up to 4,096 rows of 128, where they save a
 * quarter of the time; of more rows what fits, and the others are computed again, to the same bits. */
#define ENOUGH_SCRATCH ((size_t)96000000)

/* R rows, d columns, T tiles of 64 rows. A tile of similarities serves its rows and, but on the diagonal, its columns: what rows and
 * columns collect is kept apart (see circulant.h). The panels are copies of u for the GEMM: `across` has rows of u as columns
 * (similarities), `along` has rows of u as rows (gradient). */
struct pass {
    const struct kernels *kernels;
    struct circulant schedule;
    int round;
    circulant_fn *visit; /* what is done with a pair of tiles in this pass */
    int rows, d, half, tiles;
    float inv_tau;
    const float *z;
    float *u, *norm;           /* (R, d), (R) */
    float *across;             /* (ceil(R / nr), d, nr) */
    float *along;              /* (T, ceil(d / nr), up to 64, nr) */
    float *positive, *below;   /* (R) similarity to the other view, and the next smaller float */
    float *row_sum, *col_sum;  /* (R, 16), (64 T) sums of exp((s - 1) / tau) */
    int32_t *row_ahead, *col_ahead; /* (R), (64 T) rows that come before the positive */
    double *close;             /* (T) sums of exp(4 (s - 1)) over the pairs that a tile of rows meets */
    double *loss;              /* (R) */
    float *weight;             /* (64 T) 1 / (R tau sum) */
    float *row_du, *col_du;    /* (R, d): the caller's dz, or NULL */
    ptrdiff_t *u_row;          /* (64) offsets of consecutive rows of u, */
    ptrdiff_t *tile_row;       /* (64) of a tile of similarities */
    ptrdiff_t *tile_bytes;     /* the same in bytes */
    size_t keep;               /* tiles (I, J) are kept where J - I mod T < keep: */
    float *kept;               /* (keep, T, 64, 64), at (J - I, I) */
};

static size_t panels(int columns, int nr)
{
    return ((size_t)columns + (size_t)nr - 1) / (size_t)nr;
}

static void lay_out(struct pass *p, struct arena *arena, bool gradient)
{
    size_t rows = (size_t)p->rows, d = (size_t)p->d, nr = (size_t)p->kernels->nr, tiles = (size_t)p->tiles;
    p->u = arena_alloc(arena, rows * d, sizeof *p->u);
    p->norm = arena_alloc(arena, rows, sizeof *p->norm);
    p->across = arena_alloc(arena, panels(p->rows, p->kernels->nr) * d * nr, sizeof *p->across);
    p->positive = arena_alloc(arena, rows, sizeof *p->positive);
    p->below = arena_alloc(arena, rows, sizeof *p->below);
    p->row_sum = arena_alloc(arena, rows * LANES, sizeof *p->row_sum);
    p->col_sum = arena_alloc(arena, tiles * TILE, sizeof *p->col_sum);
    p->row_ahead = arena_alloc(arena, rows, sizeof *p->row_ahead);
    p->col_ahead = arena_alloc(arena, tiles * TILE, sizeof *p->col_ahead);
    p->close = arena_alloc(arena, tiles, sizeof *p->close);
    p->loss = arena_alloc(arena, rows, sizeof *p->loss);
    p->u_row = arena_alloc(arena, TILE, sizeof *p->u_row);
    p->tile_row = arena_alloc(arena, TILE, sizeof *p->tile_row);
    p->tile_bytes = arena_alloc(arena, TILE, sizeof *p->tile_bytes);
    if (!gradient)
        return;
    p->weight = arena_alloc(arena, tiles * TILE, sizeof *p->weight);
    p->along = arena_alloc(arena, tiles * panels(p->d, p->kernels->nr) * TILE * nr, sizeof *p->along);
    p->col_du = arena_alloc(arena, rows * d, sizeof *p->col_du);
    size_t diagonal = tiles * TILE * TILE, left = arena->used < ENOUGH_SCRATCH ? ENOUGH_SCRATCH - arena->used : 0;
    p->keep = left / (diagonal * sizeof *p->kept);
    if (p->keep > (size_t)p->schedule.diagonals)
        p->keep = (size_t)p->schedule.diagonals;
    p->kept = arena_alloc(arena, p->keep * diagonal, sizeof *p->kept);
}

static struct pass new_pass(const struct engine *engine, int rows, int d)
{
    int tiles = (rows + TILE - 1) / TILE;
    return (struct pass){.kernels = engine->kernels, .schedule = circulant_of(tiles), .rows = rows, .d = d, .half = rows / 2,
                         .tiles = tiles};
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

static int partner_of(const struct pass *p, int row)
{
    return row < p->half ? row + p->half : row - p->half;
}

static float *along_of(const struct pass *p, int tile)
{
    return p->along + (size_t)tile * panels(p->d, p->kernels->nr) * TILE * (size_t)p->kernels->nr;
}

/* ---- Before any similarity: a tile of rows normalised and packed, its sums zero; 64 is a multiple of every nr, so panels belong to
 * one tile ---- */

static void prepare_tile(void *ctx, size_t tile, int thread)
{
    (void)thread;
    const struct pass *p = ctx;
    const struct kernels *k = p->kernels;
    size_t first = tile * TILE, d = (size_t)p->d, n = (size_t)tile_size(p, (int)tile);
    float *u = p->u + first * d;
    k->l2_normalize(u, p->norm + first, p->z + first * d, n, p->d);
    for (int j = 0; j < (int)n; j += k->nr)
        k->pack_bt(p->across + (first + (size_t)j) * d, u + (size_t)j * d, p->d, p->d, (int)n - j < k->nr ? (int)n - j : k->nr);
    memset(p->row_sum + first * LANES, 0, n * LANES * sizeof *p->row_sum);
    memset(p->col_sum + first, 0, TILE * sizeof *p->col_sum);
    memset(p->row_ahead + first, 0, n * sizeof *p->row_ahead);
    memset(p->col_ahead + first, 0, TILE * sizeof *p->col_ahead);
    p->close[tile] = 0;
    if (!p->row_du)
        return;
    float *along = along_of(p, (int)tile);
    for (int c = 0; c < p->d; c += k->nr, along += n * (size_t)k->nr)
        k->pack_b(along, u + c, p->d, (int)n, p->d - c < k->nr ? p->d - c : k->nr);
    memset(p->row_du + first * d, 0, n * d * sizeof *p->row_du);
    memset(p->col_du + first * d, 0, n * d * sizeof *p->col_du);
}

/* ---- Similarities ---- */

static float next_smaller(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = x > 0 ? bits - 1 : x < 0 ? bits + 1 : INT32_MIN + 1; /* below 0: the smallest negative number */
    memcpy(&x, &bits, sizeof x);
    return x;
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
                  skip + m, p->d, 1, BRGEMM_WRITE);
        for (int r = 0; r < m; r++) {
            p->positive[i + r] = p->positive[partner + r] = s[r * TILE + skip + r];
            p->below[i + r] = p->below[partner + r] = next_smaller(s[r * TILE + skip + r]);
        }
    }
}

/* s (m, 64) of tiles (row, col), what is to be left out masked. An element is one chain over d whatever the ISA, and s_ij has the bits
 * of s_ji. */
static void similarity_tile(const struct pass *p, float *s, int row, int col)
{
    const struct kernels *k = p->kernels;
    static const ptrdiff_t tap = 0;
    int m = tile_size(p, row), n = tile_size(p, col);
    const float *a = p->u + (size_t)row * TILE * (size_t)p->d;
    for (int j = 0; j < n; j += k->nr)
        k->brgemm(s + j, p->tile_row, a, p->u_row, &tap, p->across + ((size_t)col * TILE + (size_t)j) * (size_t)p->d, m,
                  n - j < k->nr ? n - j : k->nr, p->d, 1, BRGEMM_WRITE);
    for (int i = 0; i < m; i++)
        for (int j = n; j < TILE; j++)
            s[i * TILE + j] = NTXENT_MASKED;
    if (row == col)
        for (int i = 0; i < n; i++)
            s[i * TILE + i] = NTXENT_MASKED;
}

/* Where tile (row, col) is kept, or NULL. */
static float *kept_tile(const struct pass *p, int row, int col)
{
    size_t diagonal = (size_t)(col < row ? col - row + p->tiles : col - row);
    return diagonal < p->keep ? p->kept + (diagonal * (size_t)p->tiles + (size_t)row) * TILE * TILE : NULL;
}

/* ---- Ranks of the positives: ties go to the lower index, so that those before the partner count as ahead of it ---- */

/* What similarities of `row` with the rows [first, first + n) must exceed to be ahead, ties left out if its partner is among them. */
static float bound_of(const struct pass *p, int row, int first, int n)
{
    return partner_of(p, row) >= first + n ? p->below[row] : p->positive[row];
}

/* Adds the ties left out: rows of [first, first + n), `step` floats apart in s, before the partner. */
static void count_ties(const struct pass *p, int32_t *ahead, const float *s, ptrdiff_t step, int row, int first, int n)
{
    int before = partner_of(p, row) - first;
    if (before < n)
        for (int j = 0; j < before; j++)
            *ahead += s[j * step] == p->positive[row];
}

static void count_ahead(const struct pass *p, const float *s, int row, int col)
{
    int i0 = row * TILE, j0 = col * TILE, m = tile_size(p, row), n = tile_size(p, col);
    float row_bound[TILE], col_bound[TILE] = {0};
    int32_t nobody[TILE] = {0};
    for (int i = 0; i < m; i++)
        row_bound[i] = bound_of(p, i0 + i, j0, n);
    for (int j = 0; j < n; j++)
        col_bound[j] = bound_of(p, j0 + j, i0, m);
    p->kernels->ntxent_ahead(p->row_ahead + i0, row == col ? nobody : p->col_ahead + j0, s, row_bound, col_bound, m);
    for (int i = 0; i < m; i++)
        count_ties(p, &p->row_ahead[i0 + i], s + i * TILE, 1, i0 + i, j0, n);
    if (row != col)
        for (int j = 0; j < n; j++)
            count_ties(p, &p->col_ahead[j0 + j], s + j, TILE, j0 + j, i0, m);
}

/* ---- First pass over the tiles: sums and ranks ---- */

static void sums_of_tile(void *ctx, int row, int col)
{
    const struct pass *p = ctx;
    const struct kernels *k = p->kernels;
    _Alignas(64) float passing[TILE * TILE];
    float *s = kept_tile(p, row, col);
    int m = tile_size(p, row);
    if (!s)
        s = passing;
    similarity_tile(p, s, row, col);
    k->ntxent_sums(p->row_sum + row * TILE * LANES, row == col ? NULL : p->col_sum + col * TILE, s, p->inv_tau, m);
    p->close[row] += (row == col ? 1.0 : 2.0) * (double)k->ntxent_total(s, UNIFORMITY_INV_TAU, m);
    count_ahead(p, s, row, col);
}

/* ---- Between the passes: the losses of a tile of rows, and the weights of their exponentials in the gradient ---- */

static void losses_of_tile(void *ctx, size_t tile, int thread)
{
    (void)thread;
    const struct pass *p = ctx;
    double scale = (double)p->inv_tau / p->rows;
    int first = (int)tile * TILE, n = tile_size(p, (int)tile);
    for (int i = first; i < first + n; i++) {
        double sum = (double)p->col_sum[i];
        for (int lane = 0; lane < LANES; lane++)
            sum += (double)p->row_sum[i * LANES + lane];
        /* log-sum-exp, shifted by 1 / tau, minus the positive's logit */
        p->loss[i] = fm_log(sum) + (1.0 - (double)p->positive[i]) * (double)p->inv_tau;
        if (p->row_du)
            p->weight[i] = (float)(scale / sum);
    }
    if (p->row_du)
        for (int i = first + n; i < first + TILE; i++)
            p->weight[i] = 0;
}

/* ---- Second pass: du_I += G_IJ u_J and du_J += G_IJ^T u_I, G_ij = (P_ij + P_ji - 2 Y_ij) / (R tau) ---- */

static void gradient_of_tile(void *ctx, int row, int col)
{
    const struct pass *p = ctx;
    const struct kernels *k = p->kernels;
    static const ptrdiff_t tap = 0;
    _Alignas(64) float passing[TILE * TILE];
    float *g = kept_tile(p, row, col);
    int m = tile_size(p, row), n = tile_size(p, col);
    if (!g)
        similarity_tile(p, g = passing, row, col);
    k->ntxent_gradient(g, p->weight + row * TILE, p->weight + col * TILE, p->inv_tau, m);
    for (int i = 0; i < m; i++) {
        int j = partner_of(p, row * TILE + i) - col * TILE;
        if (j >= 0 && j < n)
            g[i * TILE + j] -= 2.0f * p->inv_tau / (float)p->rows;
    }
    size_t d = (size_t)p->d;
    float *row_du = p->row_du + (size_t)row * TILE * d, *col_du = p->col_du + (size_t)col * TILE * d;
    const float *row_u = along_of(p, row), *col_u = along_of(p, col);
    for (int c = 0; c < p->d; c += k->nr, row_u += m * k->nr, col_u += n * k->nr) {
        int width = p->d - c < k->nr ? p->d - c : k->nr;
        k->brgemm(row_du + c, p->u_row, g, p->tile_row, &tap, col_u, m, width, n, 1, BRGEMM_ADD);
        if (row != col)
            k->brgemm_tn(col_du + c, p->d, g, p->tile_bytes, row_u, 0, NULL, n, width, m, true, NULL, 0);
    }
}

/* Both sides together, then through the normalisation. */
static void finish_tile(void *ctx, size_t tile, int thread)
{
    (void)thread;
    const struct pass *p = ctx;
    size_t first = tile * TILE, d = (size_t)p->d, n = (size_t)tile_size(p, (int)tile);
    float *du = p->row_du + first * d;
    p->kernels->add(du, p->col_du + first * d, n * d);
    p->kernels->l2_normalize_backward(du, du, p->u + first * d, p->norm + first, n, p->d);
}

/* Means over the rows, in double and in row order. */
static struct ntxent_result reduce(const struct pass *p)
{
    double loss = 0, distance = 0, close = 0, rows = p->rows;
    int first = 0, among_five = 0;
    for (int i = 0; i < p->rows; i++) {
        int ahead = p->row_ahead[i] + p->col_ahead[i];
        loss += p->loss[i];
        distance += 2.0 * (1.0 - (double)p->positive[i]);
        first += ahead < 1;
        among_five += ahead < 5;
    }
    for (int tile = 0; tile < p->tiles; tile++)
        close += p->close[tile];
    return (struct ntxent_result){
        .loss = loss / rows,
        .retrieval1 = first / rows,
        .retrieval5 = among_five / rows,
        .alignment = distance / rows,
        .uniformity = fm_log(close / (rows * (rows - 1.0))),
    };
}

static void visit_chunk(void *ctx, size_t chunk, int thread)
{
    (void)thread;
    struct pass *p = ctx;
    circulant_visit(&p->schedule, p->round, chunk, p->visit, p);
}

static void for_all_pairs(struct pass *p, int threads, circulant_fn *visit)
{
    p->visit = visit;
    for (p->round = 0; p->round < p->schedule.rounds; p->round++)
        par_for(threads, circulant_chunks(&p->schedule, p->round), visit_chunk, p);
}

void ntxent(const struct engine *engine, struct ntxent_result *result, float *dz, const float *z, int rows, int d, float tau,
            void *scratch)
{
    struct pass p = new_pass(engine, rows, d);
    struct arena arena = {.base = scratch, .capacity = ntxent_scratch(engine, rows, d)};
    lay_out(&p, &arena, dz != NULL);
    p.z = z;
    p.row_du = dz;
    p.inv_tau = 1.0f / tau;
    for (int i = 0; i < TILE; i++) {
        p.u_row[i] = (ptrdiff_t)i * d;
        p.tile_row[i] = (ptrdiff_t)i * TILE;
        p.tile_bytes[i] = p.tile_row[i] * (ptrdiff_t)sizeof(float);
    }
    size_t tiles = (size_t)p.tiles;
    par_for(engine->threads, tiles, prepare_tile, &p);
    par_for(engine->threads, ((size_t)p.half + TILE - 1) / TILE, positive_tile, &p);
    for_all_pairs(&p, engine->threads, sums_of_tile);
    par_for(engine->threads, tiles, losses_of_tile, &p);
    if (dz) {
        for_all_pairs(&p, engine->threads, gradient_of_tile);
        par_for(engine->threads, tiles, finish_tile, &p);
    }
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
