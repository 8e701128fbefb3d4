/* Winograd: its kernels against each other on every ISA; the three passes against sums in double, within the bound that its
 * arithmetic has. test_conv.c has its shapes over ISAs and threads. */
#include "nn/winograd.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 36 };

/* ---- Kernels: every ISA against scalar, in memory that ends where the last float does ---- */

static float *random_guarded(size_t count, uint64_t seed)
{
    float *p = guard_alloc(count * sizeof *p, 0);
    fill_random(p, count, seed);
    return p;
}

enum { TILES = 3, OUTPUTS = 5 };
static const char *const output_names[OUTPUTS] = {"input", "output", "output added", "gradient", "weights"};

/* Of c channels, each output in plain order; the gradient's panels are unpacked. */
static void run_kernels(const struct kernels *k, int c, float *out[OUTPUTS], size_t counts[OUTPUTS])
{
    int cols = 4 * TILES + 2, nr = k->nr, panels = (c + nr - 1) / nr;
    ptrdiff_t panel = TILES * nr, panel_point = panels * panel;
    counts[0] = counts[3] = (size_t)POINTS * TILES * c;
    counts[1] = counts[2] = 16 * (size_t)c;
    counts[4] = (size_t)POINTS * c;
    float *x = random_guarded(6 * (size_t)cols * c, 1), *m = random_guarded((size_t)POINTS * c, 2), *w = random_guarded(9 * (size_t)c, 4);
    float *dy = random_guarded(4 * (size_t)(4 * TILES) * c, 3), *packed = calloc((size_t)(POINTS * panel_point), sizeof *packed);
    for (int i = 0; i < OUTPUTS; i++)
        out[i] = random_guarded(counts[i], 10 + i);
    k->winograd_input(out[0], c, nr, TILES * c, x, cols * c, c, TILES, c);
    k->winograd_output(out[1], 4 * c, c, false, m, c, c);
    k->winograd_output(out[2], 4 * c, c, true, m, c, c);
    k->winograd_gradient(packed, nr, panel, panel_point, dy, 4 * TILES * c, c, TILES, c);
    for (int p = 0; p < POINTS; p++)
        for (int t = 0; t < TILES; t++)
            for (int j = 0; j < c; j++)
                out[3][(p * TILES + t) * c + j] = packed[p * panel_point + j / nr * panel + t * nr + j % nr];
    k->winograd_weights(out[4], c, w, c, c);
    guard_free(x);
    guard_free(m);
    guard_free(w);
    guard_free(dy);
    free(packed);
}

Test(winograd, kernels_give_the_same_bits_on_every_isa)
{
    static const int channels[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 64, 97};
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        float *want[OUTPUTS], *got[OUTPUTS];
        size_t counts[OUTPUTS];
        run_kernels(isas[0], channels[i], want, counts);
        for (size_t isa = 1; isa < isa_count; isa++) {
            run_kernels(isas[isa], channels[i], got, counts);
            for (int j = 0; j < OUTPUTS; j++) {
                expect_same_bits(want[j], got[j], counts[j], "%s, %d channels, %s", output_names[j], channels[i], isas[isa]->name);
                guard_free(got[j]);
            }
        }
        for (int j = 0; j < OUTPUTS; j++)
            guard_free(want[j]);
    }
}

Test(winograd, gradient_of_weights_gives_the_same_bits_on_every_isa)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t count = 1; count < 70; count += 3)
        for (int slices = 1; slices <= 8; slices += 7) {
            float *u = random_guarded(POINTS * count * slices, count), *want = random_guarded(9 * count, 1);
            isas[0]->winograd_weights_gradient(want, count, u, count, POINTS * count, slices, count);
            for (size_t isa = 1; isa < isa_count; isa++) {
                float *got = random_guarded(9 * count, 2);
                isas[isa]->winograd_weights_gradient(got, count, u, count, POINTS * count, slices, count);
                expect_same_bits(want, got, 9 * count, "%zu filters, %d slices, %s", count, slices, isas[isa]->name);
                guard_free(got);
            }
            guard_free(u);
            guard_free(want);
        }
}

/* ---- The passes. Y = A^T [sum over c of (G g G^T) (B^T d B)] A in double, and the same of absolute values: what an algorithm of n
 * roundings errs by is at most n 2^-24 of those (Higham, theorem 3.5; here the sums of magnitudes are inside the transforms). ---- */

static const double BT[6][6] = {{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
static const double G[6][3] = {{1 / 4., 0, 0}, {-1 / 6., -1 / 6., -1 / 6.}, {-1 / 6., 1 / 6., -1 / 6.},
                               {1 / 24., 1 / 12., 1 / 6.}, {1 / 24., -1 / 12., 1 / 6.}, {0, 0, 1}};
static const double AT[4][6] = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};

/* to (rows x rows) = |M| |from| |M|^T, M (rows x cols), or that of the transpose. */
static void magnitudes(double *to, const double *matrix, int rows, int cols, bool transpose, const double *from)
{
    int m = transpose ? cols : rows, n = transpose ? rows : cols;
    double half[36];
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            half[i * n + j] = 0;
            for (int q = 0; q < n; q++)
                half[i * n + j] += fabs(matrix[transpose ? q * cols + i : i * cols + q] * from[q * n + j]);
        }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < m; j++) {
            to[i * m + j] = 0;
            for (int q = 0; q < n; q++)
                to[i * m + j] += half[i * n + q] * fabs(matrix[transpose ? q * cols + j : j * cols + q]);
        }
}

struct problem {
    struct conv_shape s;
    size_t x_count, w_count, y_count;
    float *x, *w, *dy, *y, *dx, *dw;
    double *v, *m, *u, *turned; /* magnitudes: [tile][c][36] of x, [tile][k][36] of dy, [c][k][36] of w and of w turned */
    double *v_dy;               /* [tile][k][36] of dy read as an input */
    int tile_rows, tile_cols;
};

static double pixel(const float *x, const struct conv_shape *s, int channels, int n, int i, int j, int c)
{
    return i < 0 || j < 0 || i >= s->h || j >= s->w ? 0 : x[(((size_t)n * s->h + i) * s->w + j) * channels + c];
}

static double *tile_magnitudes(const struct problem *p, const float *x, int channels, bool gradient)
{
    int tiles = p->s.n * p->tile_rows * p->tile_cols, size = gradient ? 4 : 6, before = gradient ? 0 : 1;
    double *v = malloc((size_t)tiles * channels * POINTS * sizeof *v), d[36];
    for (int t = 0; t < tiles; t++)
        for (int c = 0; c < channels; c++) {
            int n = t / (p->tile_rows * p->tile_cols), row = t / p->tile_cols % p->tile_rows * 4, col = t % p->tile_cols * 4;
            for (int i = 0; i < size * size; i++)
                d[i] = pixel(x, &p->s, channels, n, row + i / size - before, col + i % size - before, c);
            magnitudes(v + ((size_t)t * channels + c) * POINTS, gradient ? AT[0] : BT[0], gradient ? 4 : 6, 6, gradient, d);
        }
    return v;
}

static struct problem make_problem(int n, int h, int w, int c, int k, uint64_t seed)
{
    struct problem p = {.s = conv_shape(n, h, w, c, k, 3, 1, 1), .tile_rows = (h + 3) / 4, .tile_cols = (w + 3) / 4};
    cr_assert(winograd_suits(&p.s), "%d x %d x %d -> %d is not a shape for Winograd", h, w, c, k);
    p.x_count = (size_t)n * h * w * c;
    p.y_count = (size_t)n * h * w * k;
    p.w_count = 9 * (size_t)c * k;
    p.x = random_guarded(p.x_count, seed);
    p.w = random_guarded(p.w_count, seed + 1);
    p.dy = random_guarded(p.y_count, seed + 2);
    p.y = random_guarded(p.y_count, seed + 3);
    p.dx = random_guarded(p.x_count, seed + 4);
    p.dw = random_guarded(p.w_count, seed + 5);
    p.v = tile_magnitudes(&p, p.x, c, false);
    p.m = tile_magnitudes(&p, p.dy, k, true);
    p.v_dy = tile_magnitudes(&p, p.dy, k, false);
    p.u = malloc(2 * (size_t)c * k * POINTS * sizeof *p.u);
    p.turned = p.u + (size_t)c * k * POINTS;
    for (int i = 0; i < c * k; i++) {
        double g[9], turned[9];
        for (int t = 0; t < 9; t++)
            g[t] = turned[8 - t] = p.w[t * c * k + i];
        magnitudes(p.u + i * POINTS, G[0], 6, 3, false, g);
        magnitudes(p.turned + i * POINTS, G[0], 6, 3, false, turned);
    }
    return p;
}

static void free_problem(struct problem *p)
{
    float *guarded[] = {p->x, p->w, p->dy, p->y, p->dx, p->dw};
    for (int i = 0; i < 6; i++)
        guard_free(guarded[i]);
    free(p->v);
    free(p->m);
    free(p->v_dy);
    free(p->u);
}

static void expect_within(double got, double want, double bound, const char *what, size_t index)
{
    cr_assert(fabs(got - want) <= bound, "%s: element %zu is %.9g, should be %.9g +- %.2g", what, index, got, want, bound);
}

/* Roundings of the transforms one element goes through, generously: each of at most 8 steps a dimension. */
enum { TRANSFORMS = 40 };

/* One direction: `to` channels from `from` channels; u is [from][to] where by_row, else [to][from]. */
static void check_outputs(const struct problem *p, const float *got, const float *x, const float *before, int from, int to, bool data)
{
    const struct conv_shape *s = &p->s;
    const double *v = data ? p->v_dy : p->v, *u = data ? p->turned : p->u;
    for (int t = 0; t < s->n * p->tile_rows * p->tile_cols; t++)
        for (int o = 0; o < to; o++) {
            double sum[POINTS] = {0}, bound[16];
            for (int i = 0; i < from; i++)
                for (int q = 0; q < POINTS; q++)
                    sum[q] += v[((size_t)t * from + i) * POINTS + q] * u[(size_t)(data ? o * from + i : i * to + o) * POINTS + q];
            magnitudes(bound, AT[0], 4, 6, false, sum);
            int n = t / (p->tile_rows * p->tile_cols), row = t / p->tile_cols % p->tile_rows * 4, col = t % p->tile_cols * 4;
            for (int i = row; i < row + 4 && i < s->h; i++)
                for (int j = col; j < col + 4 && j < s->w; j++) {
                    size_t at = (((size_t)n * s->h + i) * s->w + j) * to + o;
                    double want = before ? before[at] : 0, add = fabs(want);
                    for (int tap = 0; tap < 9; tap++)
                        for (int c = 0; c < from; c++)
                            want += pixel(x, s, from, n, i + tap / 3 - 1, j + tap % 3 - 1, c) *
                                    p->w[(data ? (8 - tap) * from * to + o * from + c : tap * from * to + c * to + o)];
                    expect_within(got[at], want, (from + TRANSFORMS) * 0x1p-24 * (bound[(i - row) * 4 + j - col] + add),
                                  data ? "by data" : "forward", at);
                }
        }
}

static void check_weights(const struct problem *p)
{
    const struct conv_shape *s = &p->s;
    int tiles = s->n * p->tile_rows * p->tile_cols;
    for (int c = 0; c < s->c; c++)
        for (int k = 0; k < s->k; k++) {
            double sum[POINTS] = {0}, bound[9];
            for (int t = 0; t < tiles; t++)
                for (int q = 0; q < POINTS; q++)
                    sum[q] += p->v[((size_t)t * s->c + c) * POINTS + q] * p->m[((size_t)t * s->k + k) * POINTS + q];
            magnitudes(bound, G[0], 6, 3, true, sum);
            for (int tap = 0; tap < 9; tap++) {
                double want = 0;
                for (int n = 0; n < s->n; n++)
                    for (int i = 0; i < s->h; i++)
                        for (int j = 0; j < s->w; j++)
                            want += pixel(p->x, s, s->c, n, i + tap / 3 - 1, j + tap % 3 - 1, c) * pixel(p->dy, s, s->k, n, i, j, k);
                size_t at = ((size_t)tap * s->c + c) * s->k + k;
                expect_within(p->dw[at], want, (tiles + TRANSFORMS) * 0x1p-24 * bound[tap], "by weights", at);
            }
        }
}

Test(winograd, is_within_the_rounding_bound_of_sums_in_double)
{
    /* Whole tiles; maps that are no multiple of 4; one tile; slices that end within an image, and units of several. */
    static const int shapes[][5] = {{1, 4, 4, 8, 8}, {2, 8, 8, 9, 17}, {2, 3, 3, 8, 33}, {1, 6, 6, 33, 8}, {3, 5, 9, 10, 12},
                                    {1, 40, 36, 8, 9}, {40, 4, 4, 16, 8}, {2, 17, 30, 8, 8}};
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct engine engine = {isas[isa_count - 1], 2}; /* the others give its bits: test_conv.c */
        struct problem p = make_problem(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], shapes[i][4], 10 * i);
        void *scratch = guard_alloc(winograd_scratch(&engine, &p.s), 0);
        winograd_forward(&engine, p.y, NULL, &(struct conv_input){.x = p.x}, p.w, &p.s, scratch);
        check_outputs(&p, p.y, p.x, NULL, p.s.c, p.s.k, false);
        winograd_backward_data(&engine, p.dx, false, p.dy, p.w, &p.s, scratch);
        check_outputs(&p, p.dx, p.dy, NULL, p.s.k, p.s.c, true);
        float *before = malloc(p.x_count * sizeof *before);
        memcpy(before, p.dx, p.x_count * sizeof *before);
        winograd_backward_data(&engine, p.dx, true, p.dy, p.w, &p.s, scratch);
        check_outputs(&p, p.dx, p.dy, before, p.s.k, p.s.c, true);
        winograd_backward_weights(&engine, p.dw, &(struct conv_input){.x = p.x}, p.dy, &p.s, scratch);
        check_weights(&p);
        free(before);
        guard_free(scratch);
        free_problem(&p);
    }
}

Test(winograd, suits_only_what_it_computes)
{
    static const int others[][8] = {{1, 8, 8, 16, 16, 1, 1, 0}, {1, 8, 8, 16, 16, 3, 2, 1}, {1, 8, 8, 16, 16, 3, 1, 0},
                                    {1, 8, 8, 3, 16, 3, 1, 1}, {1, 8, 8, 16, 3, 3, 1, 1}, {1, 2, 2, 16, 16, 3, 1, 1}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const int *o = others[i];
        struct conv_shape s = conv_shape(o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7]);
        cr_assert(!winograd_suits(&s), "case %zu", i);
    }
}
