/* Winograd: its kernels against each other on every ISA; the three passes against sums in double, within the bound that its
 * arithmetic has. test_conv.c has its shapes over ISAs and threads. */
#include "nn/conv_choice.h"
#include "nn/winograd.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Kernels: every ISA against scalar, in memory that ends where the last float does ---- */

static float *random_guarded(size_t count, uint64_t seed)
{
    float *p = guard_alloc(count * sizeof *p, 0);
    fill_random(p, count, seed);
    return p;
}

enum { KINDS = 4, TILES = 3, OUTPUTS = 7 };
static const char *const output_names[OUTPUTS] = {"input", "output", "output added", "gradient", "weights", "weights' gradient", "of 8 slices"};
/* Of each kind: inputs, points and outputs of a tile along one dimension, pixels from tile to tile, weights' points. */
static const struct {
    int in, points, out, step, filter;
} sizes[KINDS] = {{6, 6, 4, 4, 6}, {5, 5, 3, 3, 5}, {9, 9, 4, 8, 6}, {5, 9, 8, 4, 6}};

/* Panels of points -> [point][tile][c]. */
static float *unpacked(const float *packed, int points, int nr, int c)
{
    int panels = (c + nr - 1) / nr;
    float *to = guard_alloc((size_t)points * TILES * c * sizeof *to, 0);
    for (int p = 0; p < points; p++)
        for (int t = 0; t < TILES; t++)
            for (int j = 0; j < c; j++)
                to[(p * TILES + t) * c + j] = packed[((p * panels + j / nr) * TILES + t) * nr + j % nr];
    return to;
}

static void run_kernels(const struct kernels *k, enum winograd kind, int c, float *out[OUTPUTS], size_t counts[OUTPUTS])
{
    int in = sizes[kind].in, points = sizes[kind].points * sizes[kind].points, n = sizes[kind].out, filter = sizes[kind].filter * sizes[kind].filter;
    int cols = (TILES - 1) * sizes[kind].step + in, nr = k->nr;
    ptrdiff_t panel = TILES * nr, point = (c + nr - 1) / nr * panel;
    counts[0] = counts[3] = (size_t)points * TILES * c;
    counts[1] = counts[2] = (size_t)n * n * c;
    counts[4] = (size_t)filter * c;
    counts[5] = counts[6] = 9 * (size_t)c;
    float *x = random_guarded((size_t)in * cols * c, 1), *m = random_guarded((size_t)points * c, 2), *w = random_guarded(9 * (size_t)c, 4);
    float *dy = random_guarded((size_t)n * TILES * n * c, 3), *packed = calloc((size_t)(points * point), sizeof *packed);
    float *u = random_guarded(8 * (size_t)filter * c, 5);
    k->winograd_input(kind, packed, nr, panel, point, x, cols * c, c, TILES, c);
    out[0] = unpacked(packed, points, nr, c);
    for (int i = 1; i < OUTPUTS; i++)
        out[i] = i == 3 ? NULL : random_guarded(counts[i], 10 + i);
    k->winograd_output(kind, out[1], n * c, c, false, m, c, c);
    k->winograd_output(kind, out[2], n * c, c, true, m, c, c);
    if (kind != WINOGRAD_STRIDED_DATA) /* by weights there is one strided kind */
        k->winograd_gradient(kind, packed, nr, panel, point, dy, TILES * n * c, c, TILES, c);
    out[3] = unpacked(packed, points, nr, c);
    k->winograd_weights(kind, out[4], c, w, c, c);
    k->winograd_weights_gradient(kind, out[5], c, u, c, 0, 1, c);
    k->winograd_weights_gradient(kind, out[6], c, u, c, filter * c, 8, c);
    float *guarded[] = {x, m, w, dy, u};
    for (int i = 0; i < 5; i++)
        guard_free(guarded[i]);
    free(packed);
}

Test(winograd, kernels_give_the_same_bits_on_every_isa)
{
    static const int channels[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 64, 97};
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t i = 0; i < KINDS * sizeof channels / sizeof *channels; i++) {
        float *want[OUTPUTS], *got[OUTPUTS];
        size_t counts[OUTPUTS];
        enum winograd kind = i % KINDS;
        int c = channels[i / KINDS];
        run_kernels(isas[0], kind, c, want, counts);
        for (size_t isa = 1; isa < isa_count; isa++) {
            run_kernels(isas[isa], kind, c, got, counts);
            for (int j = 0; j < OUTPUTS; j++) {
                expect_same_bits(want[j], got[j], counts[j], "%s of kind %d, %d channels, %s", output_names[j], kind, c, isas[isa]->name);
                guard_free(got[j]);
            }
        }
        for (int j = 0; j < OUTPUTS; j++)
            guard_free(want[j]);
    }
}

/* ---- The passes. Y = A^T [sum over c of (G g G^T) (B^T d B)] A, and the same of magnitudes: what n roundings on the way of each term
 * can do is at most n 2^-24 of those (Higham, lemma 3.1, on each linear step). ---- */

/* Rows of 1-D transforms: input B^T (points, in), output A^T (out, points), weights G (points, 3) as each point of a tile meets them. */
static const double BT6[] = {4, 0, -5, 0, 1, 0, 0, -4, -4, 1, 1, 0, 0, 4, -4, -1, 1, 0, 0, -2, -1, 2, 1, 0, 0, 2, -1, -2, 1, 0, 0, 4, 0, -5, 0, 1};
static const double AT6[] = {1, 1, 1, 1, 1, 0, 0, 1, -1, 2, -2, 0, 0, 1, 1, 4, 4, 0, 0, 1, -1, 8, -8, 1};
static const double G6[] = {1 / 4., 0, 0, 1 / 6., 1 / 6., 1 / 6., 1 / 6., 1 / 6., 1 / 6., 1 / 24., 1 / 12., 1 / 6., 1 / 24., 1 / 12., 1 / 6., 0, 0, 1};
static const double BT5[] = {2, -1, -2, 1, 0, 0, -2, -1, 1, 0, 0, 2, -3, 1, 0, 0, -1, 0, 1, 0, 0, 2, -1, -2, 1};
static const double AT5[] = {1, 1, 1, 1, 0, 0, 1, -1, 2, 0, 0, 1, 1, 4, 1};
static const double G5[] = {1 / 2., 0, 0, 1 / 2., 1 / 2., 1 / 2., 1 / 6., 1 / 6., 1 / 6., 1 / 6., 1 / 3., 2 / 3., 0, 0, 1};
static const double AT54[] = {1, 1, 1, 1, 0, 0, 1, -1, 2, 0, 0, 1, 1, 4, 0, 0, 1, -1, 8, 1};
static const double G52[] = {1 / 2., 0, 0, 1 / 2., 0, 1 / 2., 1 / 6., 0, 1 / 6., 1 / 6., 0, 1 / 3., 0, 0, 1};

enum { MOST = 9, MOST_POINTS = 81 };
struct matrices {
    double bt[MOST * MOST], at[MOST * MOST], g[MOST * 3];
};

static struct matrices matrices_of(enum winograd kind)
{
    struct matrices m = {0};
    if (kind == WINOGRAD_4X4) {
        memcpy(m.bt, BT6, sizeof BT6), memcpy(m.at, AT6, sizeof AT6), memcpy(m.g, G6, sizeof G6);
    } else if (kind == WINOGRAD_3X3) {
        memcpy(m.bt, BT5, sizeof BT5), memcpy(m.at, AT5, sizeof AT5), memcpy(m.g, G5, sizeof G5);
    } else {
        bool data = kind == WINOGRAD_STRIDED_DATA;
        int in = sizes[kind].in;
        for (int i = 0; i < 4; i++) {
            m.bt[i * in + (data ? i : 2 * i + 1)] = 1;
            m.at[(data ? 2 * i : i) * 9 + i] = 1;
            m.g[3 * i + 1] = 1;
        }
        for (int p = 0; p < 5; p++) {
            for (int i = 0; i < 5; i++)
                m.bt[(4 + p) * in + (data ? i : 2 * i)] = BT5[5 * p + i];
            for (int i = 0; i < 4; i++)
                m.at[(data ? 2 * i + 1 : i) * 9 + 4 + p] = AT54[5 * i + p];
            memcpy(m.g + 3 * (4 + p), G52 + 3 * p, 3 * sizeof *m.g);
        }
    }
    return m;
}

/* to (m x m) = |M| |from| |M|^T, M (m x n) with element (i, j) at i row + j col. */
static void magnitudes(double *to, const double *matrix, int m, int n, int row, int col, const double *from)
{
    double half[MOST_POINTS];
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            half[i * n + j] = 0;
            for (int q = 0; q < n; q++)
                half[i * n + j] += fabs(matrix[i * row + q * col] * from[q * n + j]);
        }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < m; j++) {
            to[i * m + j] = 0;
            for (int q = 0; q < n; q++)
                to[i * m + j] += half[i * n + q] * fabs(matrix[j * row + q * col]);
        }
}

/* An image batch. */
struct images {
    const float *at;
    int n, h, w, c;
};

static double pixel(const struct images *x, int n, int i, int j, int c)
{
    return i < 0 || j < 0 || i >= x->h || j >= x->w ? 0 : x->at[(((size_t)n * x->h + i) * x->w + j) * x->c + c];
}

struct grid {
    int rows, cols, tiles;
};

/* [tile][c][points] of tiles that begin step apart, `before` pixels outside. */
static double *tile_magnitudes(const struct images *x, struct grid grid, const double *matrix, int points, int size, int row, int col,
                               int step, int before)
{
    double *v = malloc((size_t)grid.tiles * x->c * points * points * sizeof *v), d[MOST_POINTS];
    for (int t = 0; t < grid.tiles; t++)
        for (int c = 0; c < x->c; c++) {
            int n = t / (grid.rows * grid.cols), i0 = t / grid.cols % grid.rows * step - before, j0 = t % grid.cols * step - before;
            for (int i = 0; i < size * size; i++)
                d[i] = pixel(x, n, i0 + i / size, j0 + i % size, c);
            magnitudes(v + ((size_t)t * x->c + c) * points * points, matrix, points, size, row, col, d);
        }
    return v;
}

static void expect_within(double got, double want, double bound, const char *what, size_t index)
{
    cr_assert(fabs(got - want) <= bound, "%s: element %zu is %.9g, should be %.9g +- %.2g", what, index, got, want, bound);
}

/* Roundings of the transforms that one term goes through: at most 8 a dimension, forth and back, and the weights'. */
enum { TRANSFORMS = 48 };

struct problem {
    struct conv_shape s;
    enum winograd kind;
    struct grid grid;
    struct images x, dy;
    const float *w;
    const double *want; /* of the pass, without what it is added to */
};

/* Outputs of forward (target y) or by data (target dx) from `source`; before: what was added to. */
static void check_outputs(const struct problem *p, const float *got, const float *before, bool data)
{
    enum winograd kind = data && p->kind == WINOGRAD_STRIDED ? WINOGRAD_STRIDED_DATA : p->kind;
    struct matrices m = matrices_of(kind);
    int points = sizes[kind].points, n = sizes[kind].out, all = points * points, in = sizes[kind].in;
    const struct images *source = data ? &p->dy : &p->x;
    int from = source->c, to = data ? p->s.c : p->s.k, h = data ? p->s.h : p->s.ho, w = data ? p->s.w : p->s.wo;
    double *v = tile_magnitudes(source, p->grid, m.bt, points, in, in, 1, sizes[kind].step, kind != WINOGRAD_STRIDED_DATA);
    double *u = malloc((size_t)from * to * all * sizeof *u), g[9], sum[MOST_POINTS], bound[MOST_POINTS];
    for (int i = 0; i < from * to; i++) {
        for (int tap = 0; tap < 9; tap++)
            g[tap] = p->w[(data ? 8 - tap : tap) * from * to + (data ? i % to * from + i / to : i)];
        magnitudes(u + (size_t)i * all, m.g, points, 3, 3, 1, g);
    }
    for (int t = 0; t < p->grid.tiles; t++)
        for (int o = 0; o < to; o++) {
            memset(sum, 0, sizeof sum);
            for (int i = 0; i < from; i++)
                for (int q = 0; q < all; q++)
                    sum[q] += v[((size_t)t * from + i) * all + q] * u[((size_t)i * to + o) * all + q];
            magnitudes(bound, m.at, n, points, points, 1, sum);
            int image = t / (p->grid.rows * p->grid.cols), row = t / p->grid.cols % p->grid.rows * n, col = t % p->grid.cols * n;
            for (int i = row; i < row + n && i < h; i++)
                for (int j = col; j < col + n && j < w; j++) {
                    size_t at = (((size_t)image * h + i) * w + j) * to + o;
                    double add = before ? before[at] : 0;
                    expect_within(got[at], p->want[at] + add,
                                  (from + TRANSFORMS) * 0x1p-24 * (bound[(i - row) * n + j - col] + fabs(add)),
                                  data ? "by data" : "forward", at);
                }
        }
    free(u);
    free(v);
}

static void check_weights(const struct problem *p, const float *got)
{
    struct matrices m = matrices_of(p->kind);
    int points = sizes[p->kind].points, n = sizes[p->kind].out, all = points * points, in = sizes[p->kind].in;
    double *v = tile_magnitudes(&p->x, p->grid, m.bt, points, in, in, 1, sizes[p->kind].step, 1);
    double *g = tile_magnitudes(&p->dy, p->grid, m.at, points, n, 1, points, n, 0), sum[MOST_POINTS], bound[9];
    int meet = p->kind == WINOGRAD_STRIDED ? 16 : 1; /* the most points of a tile that meet one of the weights' */
    for (int c = 0; c < p->s.c; c++)
        for (int k = 0; k < p->s.k; k++) {
            memset(sum, 0, sizeof sum);
            for (int t = 0; t < p->grid.tiles; t++)
                for (int q = 0; q < all; q++)
                    sum[q] += v[((size_t)t * p->s.c + c) * all + q] * g[((size_t)t * p->s.k + k) * all + q];
            magnitudes(bound, m.g, 3, points, 1, 3, sum);
            for (int tap = 0; tap < 9; tap++) {
                size_t at = ((size_t)tap * p->s.c + c) * p->s.k + k;
                expect_within(got[at], p->want[at], (meet * p->grid.tiles + TRANSFORMS) * 0x1p-24 * bound[tap], "by weights", at);
            }
        }
    free(v);
    free(g);
}

/* Plain sums of the three passes. */
static void direct(const struct problem *p, double *y, double *dx, double *dw)
{
    const struct conv_shape *s = &p->s;
    for (int i = 0; i < s->n * s->ho * s->wo * 9; i++) {
        int tap = i % 9, col = i / 9 % s->wo, row = i / 9 / s->wo % s->ho, n = i / 9 / s->wo / s->ho;
        int in_row = row * s->stride + tap / 3 - 1, in_col = col * s->stride + tap % 3 - 1;
        if (in_row < 0 || in_row >= s->h || in_col < 0 || in_col >= s->w)
            continue;
        for (int c = 0; c < s->c; c++)
            for (int k = 0; k < s->k; k++) {
                size_t yi = (((size_t)n * s->ho + row) * s->wo + col) * s->k + k, wi = ((size_t)tap * s->c + c) * s->k + k;
                size_t xi = (((size_t)n * s->h + in_row) * s->w + in_col) * s->c + c;
                y[yi] += (double)p->x.at[xi] * p->w[wi];
                dx[xi] += (double)p->dy.at[yi] * p->w[wi];
                dw[wi] += (double)p->x.at[xi] * p->dy.at[yi];
            }
    }
}

static void check_shape(const int shape[6], enum winograd kind, const struct engine *engine, uint64_t seed)
{
    struct problem p = {.s = conv_shape(shape[0], shape[1], shape[2], shape[3], shape[4], 3, shape[5], 1), .kind = kind};
    const struct conv_shape *s = &p.s;
    cr_assert(conv_algorithm(s) != CONV_DIRECT, "%d x %d x %d -> %d, stride %d is not a shape for Winograd", s->h, s->w, s->c, s->k, s->stride);
    int n = sizes[kind].out;
    p.grid = (struct grid){(s->ho + n - 1) / n, (s->wo + n - 1) / n, s->n * ((s->ho + n - 1) / n) * ((s->wo + n - 1) / n)};
    cr_assert(conv_products(s) * s->n == sizes[kind].points * sizes[kind].points * p.grid.tiles, "another kind was chosen");
    size_t x_count = (size_t)s->n * s->h * s->w * s->c, y_count = (size_t)s->n * s->ho * s->wo * s->k, w_count = 9 * (size_t)s->c * s->k;
    float *x = random_guarded(x_count, seed), *w = random_guarded(w_count, seed + 1), *dy = random_guarded(y_count, seed + 2);
    float *y = random_guarded(y_count, seed + 3), *dx = random_guarded(x_count, seed + 4), *dw = random_guarded(w_count, seed + 5);
    p.x = (struct images){x, s->n, s->h, s->w, s->c};
    p.dy = (struct images){dy, s->n, s->ho, s->wo, s->k};
    p.w = w;
    double *want_y = calloc(y_count, sizeof *want_y), *want_dx = calloc(x_count, sizeof *want_dx), *want_dw = calloc(w_count, sizeof *want_dw);
    direct(&p, want_y, want_dx, want_dw);
    void *scratch = guard_alloc(winograd_scratch(engine, s), 0);
    struct conv_input input = {.x = x};
    winograd_forward(engine, y, NULL, &input, w, s, scratch);
    p.want = want_y;
    check_outputs(&p, y, NULL, false);
    winograd_backward_data(engine, dx, false, dy, w, s, scratch);
    p.want = want_dx;
    check_outputs(&p, dx, NULL, true);
    float *before = malloc(x_count * sizeof *before);
    memcpy(before, dx, x_count * sizeof *before);
    winograd_backward_data(engine, dx, true, dy, w, s, scratch);
    check_outputs(&p, dx, before, true);
    winograd_backward_weights(engine, dw, &input, dy, s, scratch);
    p.want = want_dw;
    check_weights(&p, dw);
    float *guarded[] = {x, w, dy, y, dx, dw};
    for (int i = 0; i < 6; i++)
        guard_free(guarded[i]);
    guard_free(scratch);
    free(before);
    free(want_y);
    free(want_dx);
    free(want_dw);
}

Test(winograd, is_within_the_rounding_bound_of_sums_in_double)
{
    /* n, h, w, c, k, stride: whole tiles; maps that are no multiple of them; one tile; slices that end within an image, units of
     * several; by weights, parts of several chunks, and several chunks of one part. */
    static const int four[][6] = {{1, 4, 4, 8, 8, 1}, {2, 8, 8, 9, 17, 1}, {3, 4, 11, 10, 12, 1}, {1, 40, 36, 8, 9, 1}, {40, 4, 4, 16, 8, 1},
                                  {2, 17, 30, 8, 8, 1}, {520, 4, 4, 8, 8, 1}},
                     three[][6] = {{2, 3, 3, 8, 33, 1}, {1, 6, 6, 33, 8, 1}, {5, 5, 3, 9, 8, 1}, {40, 3, 3, 8, 9, 1}},
                     strided[][6] = {{1, 8, 8, 8, 9, 2}, {2, 7, 8, 17, 8, 2}, {1, 32, 31, 8, 8, 2}, {9, 8, 15, 9, 8, 2}, {3, 24, 24, 8, 8, 2}, {60, 8, 8, 129, 128, 2}};
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    struct engine engine = {.kernels = isas[isa_count - 1], .threads = 2}; /* the others give its bits: test_conv.c */
    for (size_t i = 0; i < sizeof four / sizeof *four; i++)
        check_shape(four[i], WINOGRAD_4X4, &engine, 10 * i);
    for (size_t i = 0; i < sizeof three / sizeof *three; i++)
        check_shape(three[i], WINOGRAD_3X3, &engine, 10 * i);
    for (size_t i = 0; i < sizeof strided / sizeof *strided; i++)
        check_shape(strided[i], WINOGRAD_STRIDED, &engine, 10 * i);
}

/* Of 121 images, which take two units that all threads share, each is what it is alone: conv_choice.h promises it. */
Test(winograd, an_image_does_not_depend_on_its_batch)
{
    enum { IMAGES = 121, SIDE = 8, C = 257, K = 512 };
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    struct engine engine = {.kernels = isas[isa_count - 1], .threads = 2};
    struct conv_shape all = conv_shape(IMAGES, SIDE, SIDE, C, K, 3, 2, 1), one = conv_shape(1, SIDE, SIDE, C, K, 3, 2, 1);
    size_t x_image = SIDE * SIDE * C, y_image = SIDE / 2 * (SIDE / 2) * K;
    float *x = random_guarded(IMAGES * x_image, 1), *w = random_guarded(9 * (size_t)C * K, 2), *dy = random_guarded(IMAGES * y_image, 3);
    float *y = random_guarded(IMAGES * y_image, 4), *dx = random_guarded(IMAGES * x_image, 5);
    float *y_alone = random_guarded(y_image, 6), *dx_alone = random_guarded(x_image, 7);
    void *scratch = guard_alloc(winograd_scratch(&engine, &all), 0);
    winograd_forward(&engine, y, NULL, &(struct conv_input){.x = x}, w, &all, scratch);
    winograd_backward_data(&engine, dx, false, dy, w, &all, scratch);
    for (size_t i = 0; i < IMAGES; i += i < 4 || i > 115 ? 1 : 16) {
        winograd_forward(&engine, y_alone, NULL, &(struct conv_input){.x = x + i * x_image}, w, &one, scratch);
        winograd_backward_data(&engine, dx_alone, false, dy + i * y_image, w, &one, scratch);
        expect_same_bits(y_alone, y + i * y_image, y_image, "image %zu forward", i);
        expect_same_bits(dx_alone, dx + i * x_image, x_image, "image %zu by data", i);
    }
    float *guarded[] = {x, w, dy, y, dx, y_alone, dx_alone};
    for (int i = 0; i < 7; i++)
        guard_free(guarded[i]);
    guard_free(scratch);
}
