/* The selftest's kernels: odd sizes around every vector width, so that tails are hashed as well. Steps: selftest_steps.c. */
#include "cli/selftest_cases.h"

#include <string.h>

#define take(count) selftest_floats(t, (size_t)(count))
#define random_floats(count) selftest_random(t, (size_t)(count))
#define unit_floats(count) selftest_unit(t, (size_t)(count))
#define absorb(p, count) selftest_absorb_floats(t, p, (size_t)(count))

/* ---- GEMM. Panels are as wide as the ISA likes; what is hashed is C. ---- */

struct gemm_shape {
    int m, n, k, taps;
};

static const struct gemm_shape gemm_shapes[] = {{1, 1, 1, 1}, {7, 5, 3, 2}, {33, 40, 17, 9}, {14, 64, 32, 1}, {6, 97, 130, 1}};

enum { GEMM_SHAPES = sizeof gemm_shapes / sizeof gemm_shapes[0] };

static ptrdiff_t *row_offsets(struct selftest *t, int rows, int step, ptrdiff_t stride)
{
    ptrdiff_t *offsets = selftest_block(t, (size_t)rows * sizeof *offsets);
    for (int i = 0; i < rows; i++)
        offsets[i] = (ptrdiff_t)(i * step % rows) * stride;
    return offsets;
}

/* b (taps, k, n), or transposed (taps, n, k). Rows of A and C lie in a shuffled order: 31 shares no factor with any m. */
static void gemm(struct selftest *t, const struct gemm_shape *s, bool transposed, enum brgemm_mode mode)
{
    const struct kernels *k = t->k;
    ptrdiff_t lda = s->k + 2, ldc = s->n + 3, tap_stride = s->m * lda;
    float *c = random_floats(s->m * ldc), *a = random_floats(s->taps * tap_stride), *b = random_floats(s->taps * s->k * s->n);
    float *panel = take(s->taps * s->k * k->nr);
    ptrdiff_t *a_row = row_offsets(t, s->m, 31, lda), *c_row = row_offsets(t, s->m, 31, ldc), *a_tap = row_offsets(t, s->taps, 1, tap_stride);
    for (int j = 0; j < s->n; j += k->nr) {
        int columns = s->n - j < k->nr ? s->n - j : k->nr;
        for (int tap = 0; tap < s->taps; tap++) {
            const float *from = b + (ptrdiff_t)tap * s->k * s->n;
            float *to = panel + (ptrdiff_t)tap * s->k * k->nr;
            if (transposed)
                k->pack_bt(to, from + (ptrdiff_t)j * s->k, s->k, s->k, columns);
            else
                k->pack_b(to, from + j, s->n, s->k, columns);
        }
        for (int i = 0; i < s->m; i++)
            c_row[i] += j ? k->nr : 0;
        k->brgemm(c, c_row, a, a_row, a_tap, panel, s->m, columns, s->k, s->taps, mode);
    }
    absorb(c, s->m * ldc);
}

static void brgemm(struct selftest *t)
{
    for (int i = 0; i < GEMM_SHAPES; i++) {
        gemm(t, &gemm_shapes[i], false, BRGEMM_WRITE);
        gemm(t, &gemm_shapes[i], false, BRGEMM_CONTINUE);
        gemm(t, &gemm_shapes[i], false, BRGEMM_ADD);
    }
}

static void brgemm_tn(struct selftest *t)
{
    for (int i = 0; i < GEMM_SHAPES; i++) {
        const struct gemm_shape *s = &gemm_shapes[i];
        int nr = t->k->nr, m = s->k, n = s->n, pixels = s->m * s->taps;
        float *c = random_floats(m * n), *a = random_floats(pixels * (m + 1)), *b = random_floats(pixels * n), *panel = take(pixels * nr);
        ptrdiff_t *a_bytes = row_offsets(t, pixels, 1, (m + 1) * (ptrdiff_t)sizeof(float));
        for (int j = 0; j < n; j += nr) {
            int columns = n - j < nr ? n - j : nr;
            t->k->pack_b(panel, b + j, n, pixels, columns);
            t->k->brgemm_tn(c + j, n, a, a_bytes, panel, 0, NULL, m, columns, pixels, true, NULL, 0);
        }
        absorb(c, m * n);
    }
}

/* A panel's width is the ISA's, so its columns are hashed one source column at a time, and its padding must be zero. */
static void pack(struct selftest *t, bool transposed)
{
    enum { K = 19, N = 37 };
    int nr = t->k->nr;
    float *b = random_floats(K * N), *panel = take(K * nr), column[K];
    for (int j = 0; j < N; j++) {
        int columns = N - j < nr ? N - j : nr;
        if (transposed)
            t->k->pack_bt(panel, b + j * K, K, K, columns);
        else
            t->k->pack_b(panel, b + j, N, K, columns);
        for (int p = 0; p < K; p++) {
            column[p] = panel[p * nr];
            for (int x = columns; x < nr; x++)
                if (panel[p * nr + x] != 0)
                    column[p] = -1e30f;
        }
        absorb(column, K);
    }
}

static void pack_b(struct selftest *t)
{
    pack(t, false);
}

static void pack_bt(struct selftest *t)
{
    pack(t, true);
    for (int i = 0; i < GEMM_SHAPES; i++)
        gemm(t, &gemm_shapes[i], true, BRGEMM_WRITE);
}

/* ---- Winograd: 2 tiles side by side; points and panels as a caller would lay them out ---- */

enum { MOST_POINTS = 81, TILES = 2, SIDE = 17 };

static const int tile_points[] = {36, 25, 81, 81}, tile_outputs[] = {4, 3, 4, 8}, filter_points[] = {36, 25, 36};

/* Panels are as wide as the ISA likes: hashed channel by channel. */
static void absorb_panels(struct selftest *t, const float *v, int points, int c)
{
    int nr = t->k->nr, panels = (c + nr - 1) / nr, panel = TILES * nr;
    float channel[MOST_POINTS * TILES];
    for (int j = 0; j < c; j++) {
        for (int i = 0; i < points * TILES; i++)
            channel[i] = v[i / TILES * panels * panel + j / nr * panel + i % TILES * nr + j % nr];
        absorb(channel, points * TILES);
    }
}

static void winograd_input(struct selftest *t)
{
    for (enum winograd kind = WINOGRAD_4X4; kind <= WINOGRAD_STRIDED_DATA; kind++)
        for (int c = 1; c <= 37; c += 18) {
            int nr = t->k->nr, panel = TILES * nr, point = (c + nr - 1) / nr * panel;
            float *x = random_floats(9 * SIDE * c), *v = take(tile_points[kind] * point);
            t->k->winograd_input(kind, v, nr, panel, point, x, SIDE * c, c, TILES, c);
            absorb_panels(t, v, tile_points[kind], c);
        }
}

static void winograd_output(struct selftest *t)
{
    for (enum winograd kind = WINOGRAD_4X4; kind <= WINOGRAD_STRIDED_DATA; kind++)
        for (int k = 1; k <= 37; k += 18)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                int row = tile_outputs[kind] + 1, rows = tile_outputs[kind];
                float *m = random_floats(tile_points[kind] * k), *y = random_floats(rows * row * k);
                t->k->winograd_output(kind, y, row * k, k, accumulate, m, k, k);
                absorb(y, rows * row * k);
            }
}

static void winograd_gradient(struct selftest *t)
{
    for (enum winograd kind = WINOGRAD_4X4; kind <= WINOGRAD_STRIDED; kind++)
        for (int k = 1; k <= 37; k += 18) {
            int nr = t->k->nr, panel = TILES * nr, point = (k + nr - 1) / nr * panel;
            float *dy = random_floats(4 * SIDE * k), *m = take(tile_points[kind] * point);
            t->k->winograd_gradient(kind, m, nr, panel, point, dy, SIDE * k, k, TILES, k);
            absorb_panels(t, m, tile_points[kind], k);
        }
}

static void winograd_weights(struct selftest *t)
{
    for (enum winograd kind = WINOGRAD_4X4; kind <= WINOGRAD_STRIDED; kind++)
        for (int count = 1; count <= 37; count += 18) {
            float *w = random_floats(9 * count), *u = take(filter_points[kind] * count);
            t->k->winograd_weights(kind, u, count, w, count, count);
            absorb(u, filter_points[kind] * count);
            t->k->winograd_weights(kind, u, count, w + 8 * count, -count, count);
            absorb(u, filter_points[kind] * count);
        }
}

static void winograd_weights_gradient(struct selftest *t)
{
    for (enum winograd kind = WINOGRAD_4X4; kind <= WINOGRAD_STRIDED; kind++)
        for (int count = 1; count <= 37; count += 18)
            for (int slices = 1; slices <= 3; slices++) {
                int points = filter_points[kind];
                float *u = random_floats(points * count * slices), *dw = take(9 * count);
                t->k->winograd_weights_gradient(kind, dw, count, u, count, points * count, slices, count);
                absorb(dw, 9 * count);
            }
}

/* ---- Rows of channels ---- */

static const int channels[] = {1, 16, 37, 64};

enum { WIDTHS = sizeof channels / sizeof channels[0], ROWS = 23 };

static void norm_stats(struct selftest *t)
{
    for (int i = 0; i < WIDTHS; i++) {
        int c = channels[i];
        float *x = random_floats(ROWS * c), *mean = take(c), *m2 = take(c);
        t->k->norm_stats(mean, m2, x, ROWS, c);
        absorb(mean, c);
        absorb(m2, c);
    }
}

static void norm_apply(struct selftest *t)
{
    for (int i = 0; i < WIDTHS; i++)
        for (int variant = 0; variant < 4; variant++) {
            int c = channels[i];
            float *x = random_floats(ROWS * c), *residual = random_floats(ROWS * c), *mean = random_floats(c), *scale = random_floats(c);
            float *shift = random_floats(c), *y = take(ROWS * c);
            t->k->norm_apply(y, x, variant & 1 ? residual : NULL, mean, scale, shift, variant & 2, ROWS, c);
            absorb(y, ROWS * c);
        }
}

/* Masks: none, the output's, the norm's own. */
enum { MASKS = 3 };

static void norm_backward_sums(struct selftest *t)
{
    for (int i = 0; i < WIDTHS; i++)
        for (int mask = 0; mask < MASKS; mask++) {
            int c = channels[i];
            float *dy = random_floats(ROWS * c), *out = random_floats(ROWS * c), *x = random_floats(ROWS * c), *mean = random_floats(c);
            float *invstd = unit_floats(c), *scale = random_floats(c), *shift = random_floats(c), *sum_g = take(c), *sum_gx = take(c);
            t->k->norm_backward_sums(sum_g, sum_gx, dy, mask == 1 ? out : NULL, x, mean, invstd, scale, mask == 2 ? shift : NULL, ROWS, c);
            absorb(sum_g, c);
            absorb(sum_gx, c);
        }
}

static void norm_backward_apply(struct selftest *t)
{
    for (int i = 0; i < WIDTHS; i++)
        for (int variant = 0; variant < 3 * MASKS; variant++) { /* mask x (no residual, overwritten, accumulated) */
            int c = channels[i], n = ROWS * c, residual = variant / MASKS, mask = variant % MASKS;
            float *dy = random_floats(n), *out = random_floats(n), *x = random_floats(n), *mean = random_floats(c), *invstd = unit_floats(c);
            float *scale = random_floats(c), *shift = random_floats(c), *a = random_floats(c), *b = random_floats(c);
            float *dres = random_floats(n), *dx = take(n);
            t->k->norm_backward_apply(dx, residual ? dres : NULL, residual == 2, dy, mask == 1 ? out : NULL, x, mean, invstd, scale,
                                      mask == 2 ? shift : NULL, a, b, ROWS, c);
            absorb(dx, n);
            absorb(dres, n);
        }
}

static void bias_act(struct selftest *t)
{
    for (int i = 0; i < WIDTHS; i++)
        for (int variant = 0; variant < 4; variant++) {
            int c = channels[i];
            float *x = random_floats(ROWS * c), *bias = random_floats(c), *y = take(ROWS * c);
            t->k->bias_act(y, x, variant & 1 ? bias : NULL, variant & 2, ROWS, c);
            absorb(y, ROWS * c);
        }
}

static void relu_backward(struct selftest *t)
{
    float *dx = take(1003), *dy = random_floats(1003), *out = random_floats(1003);
    t->k->relu_backward(dx, dy, out, 1003);
    absorb(dx, 1003);
}

static void add(struct selftest *t)
{
    float *y = random_floats(1003), *x = random_floats(1003);
    t->k->add(y, x, 1003);
    absorb(y, 1003);
}

static void column_sums(struct selftest *t)
{
    for (int i = 0; i < WIDTHS; i++) {
        int c = channels[i];
        float *x = random_floats(ROWS * c), *sum = take(c);
        t->k->column_sums(sum, x, ROWS, c);
        absorb(sum, c);
    }
}

/* ---- Pooling ---- */

static const int sides[][2] = {{1, 1}, {2, 5}, {7, 6}, {8, 8}};

static void pool(struct selftest *t, bool backward)
{
    for (int i = 0; i < WIDTHS; i++) {
        int h = sides[i][0], w = sides[i][1], c = channels[i], inputs = h * w * c, outputs = (h + 1) / 2 * ((w + 1) / 2) * c;
        float *x = random_floats(inputs), *y = take(outputs), *dy = random_floats(outputs), *dx = take(inputs);
        uint8_t *which = selftest_bytes(t, (size_t)outputs);
        t->k->maxpool(y, which, x, h, w, c);
        if (backward) {
            t->k->maxpool_backward(dx, dy, which, h, w, c);
            absorb(dx, inputs);
        } else {
            absorb(y, outputs);
            selftest_absorb(t, which, (size_t)outputs);
        }
    }
}

static void maxpool(struct selftest *t)
{
    pool(t, false);
}

static void maxpool_backward(struct selftest *t)
{
    pool(t, true);
}

static void avgpool(struct selftest *t)
{
    for (int i = 0; i < WIDTHS; i++) {
        int c = channels[i];
        float *x = random_floats(ROWS * c), *y = take(c);
        t->k->avgpool(y, x, ROWS, c);
        absorb(y, c);
    }
}

static void avgpool_backward(struct selftest *t)
{
    for (int i = 0; i < WIDTHS; i++) {
        int c = channels[i];
        float *dy = random_floats(c), *dx = take(ROWS * c);
        t->k->avgpool_backward(dx, dy, ROWS, c);
        absorb(dx, ROWS * c);
    }
}

/* ---- NT-Xent ---- */

enum { M = 37, N = 50 };

static void l2_normalize(struct selftest *t)
{
    for (int i = 0; i < WIDTHS; i++) {
        int d = channels[i];
        float *x = random_floats(ROWS * d), *u = take(ROWS * d), *norm = take(ROWS);
        memset(x, 0, (size_t)d * sizeof *x); /* a row without length */
        t->k->l2_normalize(u, norm, x, ROWS, d);
        absorb(u, ROWS * d);
        absorb(norm, ROWS);
    }
}

static void l2_normalize_backward(struct selftest *t)
{
    for (int i = 0; i < WIDTHS; i++) {
        int d = channels[i];
        float *du = random_floats(ROWS * d), *u = random_floats(ROWS * d), *norm = unit_floats(ROWS), *dx = take(ROWS * d);
        for (int r = 0; r < ROWS; r++)
            norm[r] += 0.5f;
        t->k->l2_normalize_backward(dx, du, u, norm, ROWS, d);
        absorb(dx, ROWS * d);
    }
}

/* A tile of cosines with a masked diagonal and masked columns at the end. */
static float *similarities(struct selftest *t)
{
    float *s = random_floats(M * NTXENT_TILE);
    for (int i = 0; i < M; i++) {
        s[i * NTXENT_TILE + i] = NTXENT_MASKED;
        for (int j = N; j < NTXENT_TILE; j++)
            s[i * NTXENT_TILE + j] = NTXENT_MASKED;
    }
    return s;
}

static const float temperatures[] = {0.025f, 0.07f, 0.5f};

static void ntxent_sums(struct selftest *t)
{
    for (int i = 0; i < 3; i++) {
        float *s = similarities(t), *row = unit_floats(M * 16), *col = unit_floats(NTXENT_TILE);
        t->k->ntxent_sums(row, i ? col : NULL, s, 1 / temperatures[i], M);
        absorb(row, M * 16);
        absorb(col, NTXENT_TILE);
    }
}

static void ntxent_total(struct selftest *t)
{
    for (int i = 0; i < 3; i++) {
        float total = t->k->ntxent_total(similarities(t), 1 / temperatures[i], M);
        absorb(&total, 1);
    }
}

static void ntxent_ahead(struct selftest *t)
{
    float *s = similarities(t), row_bound[M], col_bound[NTXENT_TILE];
    int32_t row[M], col[NTXENT_TILE];
    for (int i = 0; i < M; i++) {
        row[i] = i;
        row_bound[i] = s[i * NTXENT_TILE + (i + 3) % N]; /* an equal in every row */
    }
    for (int j = 0; j < NTXENT_TILE; j++) {
        col[j] = -j;
        col_bound[j] = s[(j + 5) % M * NTXENT_TILE + j % N];
    }
    t->k->ntxent_ahead(row, col, s, row_bound, col_bound, M);
    selftest_absorb(t, row, sizeof row);
    selftest_absorb(t, col, sizeof col);
}

static void ntxent_gradient(struct selftest *t)
{
    for (int i = 0; i < 3; i++) {
        float *s = similarities(t), *row = unit_floats(M), *col = unit_floats(NTXENT_TILE);
        t->k->ntxent_gradient(s, row, col, 1 / temperatures[i], M);
        absorb(s, M * NTXENT_TILE);
    }
}

static void dot(struct selftest *t)
{
    static const int counts[] = {1, 15, 16, 129, 1003};
    for (int i = 0; i < 5; i++) {
        float *a = random_floats(counts[i]), *b = random_floats(counts[i]);
        float result = t->k->dot(a, b, (size_t)counts[i]);
        absorb(&result, 1);
    }
}

/* ---- t-SNE ---- */

static void tsne_forces(struct selftest *t)
{
    enum { POINTS = 37, PADDED = 48 };
    float *x = random_floats(PADDED), *y = random_floats(PADDED), *p = unit_floats(POINTS * TSNE_POINTS), *forces = take(TSNE_SUMS * TSNE_POINTS);
    for (size_t first = 0; first < PADDED; first += TSNE_POINTS) {
        t->k->tsne_forces(forces, x, y, p, first, POINTS);
        absorb(forces, TSNE_SUMS * TSNE_POINTS);
    }
}

/* ---- Arithmetic alone ---- */

static void fma_repeat(struct selftest *t)
{
    static const int chains[] = {1, 4, 8, 12, 16, FMA_MOST_CHAINS};
    for (int i = 0; i < 6; i++) {
        int count = 2 * chains[i] * LINE_FLOATS;
        float *x = random_floats(count);
        t->k->fma_repeat(x, 0.9f, 0.3f, (size_t)count, 3, chains[i]);
        absorb(x, count);
    }
}

/* ---- The list ---- */

static const struct selftest_case product_cases[] = {{"brgemm", brgemm}, {"brgemm_tn", brgemm_tn}, {"pack_b", pack_b}, {"pack_bt", pack_bt}};
static const struct selftest_case winograd_cases[] = {
    {"winograd_input", winograd_input}, {"winograd_output", winograd_output}, {"winograd_gradient", winograd_gradient},
    {"winograd_weights", winograd_weights}, {"winograd_weights_gradient", winograd_weights_gradient}};
static const struct selftest_case layer_cases[] = {
    {"norm_stats", norm_stats}, {"norm_apply", norm_apply}, {"norm_backward_sums", norm_backward_sums},
    {"norm_backward_apply", norm_backward_apply},
    {"bias_act", bias_act}, {"relu_backward", relu_backward}, {"add", add}, {"column_sums", column_sums},
    {"maxpool", maxpool}, {"maxpool_backward", maxpool_backward}, {"avgpool", avgpool}, {"avgpool_backward", avgpool_backward}};
static const struct selftest_case loss_cases[] = {
    {"l2_normalize", l2_normalize}, {"l2_normalize_backward", l2_normalize_backward}, {"ntxent_sums", ntxent_sums},
    {"ntxent_total", ntxent_total}, {"ntxent_ahead", ntxent_ahead}, {"ntxent_gradient", ntxent_gradient}, {"dot", dot}};
static const struct selftest_case map_cases[] = {{"tsne_forces", tsne_forces}};
static const struct selftest_case peak_cases[] = {{"fma_repeat", fma_repeat}};

#define GROUP(title, list) {title, list, sizeof(list) / sizeof(list)[0]}
static const struct selftest_group products = GROUP("matrix products", product_cases), winograd = GROUP("Winograd", winograd_cases),
                                   layers = GROUP("norms, activations, pooling", layer_cases), loss = GROUP("loss", loss_cases),
                                   map = GROUP("map of an embedding", map_cases),
                                   peak = GROUP("arithmetic alone", peak_cases);

const struct selftest_group *const *selftest_groups(size_t *count)
{
    static const struct selftest_group *const all[] = {&products, &winograd, &layers, &loss, &map, &selftest_optimisers, &selftest_images, &peak,
                                                        &selftest_steps};
    *count = sizeof all / sizeof all[0];
    return all;
}
