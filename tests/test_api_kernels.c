/* The kernels as the library hands them out: against oracles in double, on every ISA and number of threads, and what they refuse. */
#include "simclr/simclr.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct simclr_error err;

static simclr_engine *engine_of(const char *isa, int threads)
{
    simclr_engine *engine;
    cr_assert_eq(simclr_engine_create(&engine, isa, threads, &err), SIMCLR_OK, "%s", err.text);
    return engine;
}

/* Sets *from of count floats at an odd place: no array need be aligned. */
static float *odd_array(size_t count, uint64_t seed, void **memory)
{
    char *p = *memory = malloc((count + 1) * sizeof(float));
    fill_random((float *)(void *)(p + sizeof(float)), count, seed);
    return (float *)(void *)(p + sizeof(float));
}

/* Computes into out (count); ctx is the case. */
typedef void compute_fn(const simclr_engine *engine, float *out, const void *ctx);

/* The same bits on all ISAs and 1 to 3 threads; returns those of scalar. */
static float *on_every_engine(compute_fn *compute, const void *ctx, size_t count)
{
    float *first = NULL;
    for (size_t i = 0; i < simclr_isa_count(); i++)
        for (int threads = 1; threads <= 3 && simclr_isa_supported(i); threads++) {
            simclr_engine *engine = engine_of(simclr_isa_name(i), threads);
            float *out = malloc((count + 1) * sizeof *out);
            memset(out, 0xff, (count + 1) * sizeof *out);
            uint32_t after = 0xffffffff;
            compute(engine, out, ctx);
            cr_expect_eq(memcmp(out + count, &after, sizeof after), 0, "written beyond the end");
            if (first) {
                expect_same_bits(first, out, count, "%s, %d threads", simclr_isa_name(i), threads);
                free(out);
            } else
                first = out;
            simclr_engine_free(engine);
        }
    return first;
}

static void expect_near(const float *got, const double *want, size_t count, double tolerance, const char *what)
{
    double distance = 0, length = 0;
    for (size_t i = 0; i < count; i++) {
        distance += (got[i] - want[i]) * (got[i] - want[i]);
        length += want[i] * want[i];
    }
    cr_expect_leq(sqrt(distance), tolerance * sqrt(length), "%s: off by %g of its length", what, sqrt(distance / length));
}

/* ---- matrix products ---- */

struct product_case {
    enum simclr_product product;
    int m, n, k;
    const float *a, *b;
};

static void multiply(const simclr_engine *engine, float *out, const void *ctx)
{
    const struct product_case *p = ctx;
    cr_assert_eq(simclr_sgemm(engine, p->product, out, p->a, p->b, p->m, p->n, p->k, &err), SIMCLR_OK, "%s", err.text);
}

Test(api_kernels, matrix_products)
{
    static const int sizes[][3] = {{1, 1, 1}, {3, 5, 7}, {65, 33, 130}, {200, 70, 257}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int product = SIMCLR_A_B; product <= SIMCLR_AT_B; product++) {
            int m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
            void *memory[2];
            struct product_case p = {(enum simclr_product)product, m, n, k, odd_array((size_t)m * k, 1 + s, &memory[0]),
                                     odd_array((size_t)k * n, 9 + s, &memory[1])};
            double *want = calloc((size_t)m * n, sizeof *want);
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++)
                    for (int l = 0; l < k; l++)
                        want[i * n + j] += (double)p.a[product == SIMCLR_AT_B ? l * m + i : i * k + l] *
                                           p.b[product == SIMCLR_A_BT ? j * k + l : l * n + j];
            float *got = on_every_engine(multiply, &p, (size_t)m * n);
            expect_near(got, want, (size_t)m * n, 1e-6, "product");
            free(got);
            free(want);
            free(memory[0]);
            free(memory[1]);
        }
}

/* ---- convolution ---- */

struct conv_case {
    int n, h, w, c, k, r, stride, pad, ho, wo;
    int pass; /* 0 forward, 1 by data, 2 by weights */
    const float *x, *weights, *dy;
};

static void convolve(const simclr_engine *engine, float *out, const void *ctx)
{
    const struct conv_case *p = ctx;
    enum simclr_status status;
    if (p->pass == 0)
        status = simclr_conv2d(engine, out, p->x, p->weights, p->n, p->h, p->w, p->c, p->k, p->r, p->stride, p->pad, &err);
    else if (p->pass == 1)
        status = simclr_conv2d_backward_data(engine, out, p->dy, p->weights, p->n, p->h, p->w, p->c, p->k, p->r, p->stride, p->pad, &err);
    else
        status = simclr_conv2d_backward_weights(engine, out, p->dy, p->x, p->n, p->h, p->w, p->c, p->k, p->r, p->stride, p->pad, &err);
    cr_assert_eq(status, SIMCLR_OK, "%s", err.text);
}

/* All three by one walk over the products. */
static void conv_oracle(const struct conv_case *p, double *y, double *dx, double *dw)
{
    for (int i = 0; i < p->n; i++)
        for (int oy = 0; oy < p->ho; oy++)
            for (int ox = 0; ox < p->wo; ox++)
                for (int t = 0; t < p->r * p->r; t++) {
                    int iy = oy * p->stride + t / p->r - p->pad, ix = ox * p->stride + t % p->r - p->pad;
                    if (iy < 0 || iy >= p->h || ix < 0 || ix >= p->w)
                        continue;
                    for (int c = 0; c < p->c; c++)
                        for (int k = 0; k < p->k; k++) {
                            size_t at_x = (((size_t)i * p->h + iy) * p->w + ix) * p->c + c;
                            size_t at_y = (((size_t)i * p->ho + oy) * p->wo + ox) * p->k + k, at_w = ((size_t)t * p->c + c) * p->k + k;
                            y[at_y] += (double)p->x[at_x] * p->weights[at_w];
                            dx[at_x] += (double)p->dy[at_y] * p->weights[at_w];
                            dw[at_w] += (double)p->dy[at_y] * p->x[at_x];
                        }
                }
}

Test(api_kernels, convolution)
{
    static const int shapes[][8] = {/* n h w c k r stride pad */
                                    {2, 9, 7, 3, 5, 3, 1, 1}, {3, 8, 8, 16, 16, 3, 1, 1}, {2, 9, 9, 8, 8, 3, 2, 1},
                                    {1, 6, 5, 4, 3, 1, 1, 0}, {2, 8, 6, 4, 4, 1, 2, 0},   {1, 15, 13, 3, 8, 7, 2, 3}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const int *d = shapes[s];
        struct conv_case p = {.n = d[0], .h = d[1], .w = d[2], .c = d[3], .k = d[4], .r = d[5], .stride = d[6], .pad = d[7]};
        p.ho = (p.h + 2 * p.pad - p.r) / p.stride + 1;
        p.wo = (p.w + 2 * p.pad - p.r) / p.stride + 1;
        size_t count[3] = {(size_t)p.n * p.ho * p.wo * p.k, (size_t)p.n * p.h * p.w * p.c, (size_t)p.r * p.r * p.c * p.k};
        void *memory[3];
        p.dy = odd_array(count[0], 1 + s, &memory[0]);
        p.x = odd_array(count[1], 11 + s, &memory[1]);
        p.weights = odd_array(count[2], 21 + s, &memory[2]);
        double *want[3] = {calloc(count[0], sizeof(double)), calloc(count[1], sizeof(double)), calloc(count[2], sizeof(double))};
        conv_oracle(&p, want[0], want[1], want[2]);
        for (p.pass = 0; p.pass < 3; p.pass++) {
            float *got = on_every_engine(convolve, &p, count[p.pass]);
            expect_near(got, want[p.pass], count[p.pass], 2e-6, "convolution");
            free(got);
        }
        for (int i = 0; i < 3; i++) {
            free(want[i]);
            free(memory[i]);
        }
    }
}

/* ---- blur ---- */

struct blur_case {
    int n, h, w, c, taps;
    float sigma;
    const float *x;
};

static void blur(const simclr_engine *engine, float *out, const void *ctx)
{
    const struct blur_case *p = ctx;
    memcpy(out, p->x, (size_t)p->n * p->h * p->w * p->c * sizeof *out); /* in place */
    cr_assert_eq(simclr_gaussian_blur(engine, out, out, p->n, p->h, p->w, p->c, p->taps, p->sigma, &err), SIMCLR_OK, "%s", err.text);
}

static int reflect(int i, int n)
{
    return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

/* Pixel by pixel, both axes at once. */
static void blur_oracle(const struct blur_case *p, double *out)
{
    int radius = p->taps / 2;
    double weights[64], total = 0;
    for (int k = -radius; k <= radius; k++)
        total += weights[k + radius] = exp(-0.5 * k * k / ((double)p->sigma * p->sigma));
    for (int i = 0; i < p->n; i++)
        for (int y = 0; y < p->h; y++)
            for (int x = 0; x < p->w; x++)
                for (int c = 0; c < p->c; c++) {
                    double sum = 0;
                    for (int a = -radius; a <= radius; a++)
                        for (int b = -radius; b <= radius; b++)
                            sum += weights[a + radius] * weights[b + radius] *
                                   p->x[(((size_t)i * p->h + reflect(y + a, p->h)) * p->w + reflect(x + b, p->w)) * p->c + c];
                    out[(((size_t)i * p->h + y) * p->w + x) * p->c + c] = sum / (total * total);
                }
}

Test(api_kernels, gaussian_blur)
{
    static const struct blur_case cases[] = {{2, 13, 21, 3, 5, 1.2f, NULL}, {3, 8, 8, 1, 15, 4.0f, NULL}, {1, 40, 9, 4, 9, 0.3f, NULL},
                                             {1, 5, 1, 2, 1, 1.0f, NULL},   {4, 24, 17, 2, 33, 30.0f, NULL}};
    for (size_t s = 0; s < sizeof cases / sizeof cases[0]; s++) {
        struct blur_case p = cases[s];
        size_t count = (size_t)p.n * p.h * p.w * p.c;
        float *x = random_array(count, s);
        for (size_t i = 0; i < count; i++)
            x[i] = 0.5f + 0.5f * x[i];
        p.x = x;
        double *want = calloc(count, sizeof *want);
        blur_oracle(&p, want);
        float *got = on_every_engine(blur, &p, count);
        for (size_t i = 0; i < count; i++)
            cr_assert_float_eq(got[i], want[i], 1e-6, "case %zu, value %zu", s, i);
        free(got);
        free(want);
        free(x);
    }
}

/* ---- similarities and the loss ---- */

struct rows_case {
    int m, n, d;
    const float *a, *b;
};

static void similarities(const simclr_engine *engine, float *out, const void *ctx)
{
    const struct rows_case *p = ctx;
    cr_assert_eq(simclr_cosine_similarity(engine, out, p->a, p->b, p->m, p->n, p->d, &err), SIMCLR_OK, "%s", err.text);
}

Test(api_kernels, cosine_similarity)
{
    static const int sizes[][3] = {{1, 1, 1}, {130, 67, 48}, {64, 64, 5}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int same = 0; same < 2; same++) {
            int m = sizes[s][0], n = same ? m : sizes[s][1], d = sizes[s][2];
            void *memory[2];
            float *a = odd_array((size_t)m * d, s, &memory[0]), *b = odd_array((size_t)n * d, 7 + s, &memory[1]);
            memset(a, 0, (size_t)(m > 1 ? d : 0) * sizeof *a); /* a row without direction */
            struct rows_case p = {m, n, d, a, same ? a : b};
            double *want = calloc((size_t)m * n, sizeof *want);
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++) {
                    double dot = 0, aa = 0, bb = 0;
                    for (int l = 0; l < d; l++) {
                        dot += (double)p.a[i * d + l] * p.b[j * d + l];
                        aa += (double)p.a[i * d + l] * p.a[i * d + l];
                        bb += (double)p.b[j * d + l] * p.b[j * d + l];
                    }
                    want[i * n + j] = dot / fmax(sqrt(aa * bb), 1e-24);
                }
            float *got = on_every_engine(similarities, &p, (size_t)m * n);
            for (int i = 0; i < m * n; i++)
                cr_assert_float_eq(got[i], want[i], 1e-6, "case %zu, value %d", s, i);
            free(got);
            free(want);
            free(memory[0]);
            free(memory[1]);
        }
}

enum { ROWS = 66, DIM = 24 };

static void loss_and_gradient(const simclr_engine *engine, float *out, const void *ctx)
{
    double loss;
    cr_assert_eq(simclr_nt_xent(engine, &loss, out, ctx, ROWS, DIM, 0.2f, &err), SIMCLR_OK, "%s", err.text);
    out[ROWS * DIM] = (float)loss;
}

/* In double from the definition. */
static double loss_of(const float *z, int changed, double by)
{
    static double u[ROWS][DIM];
    double loss = 0;
    for (int i = 0; i < ROWS; i++) {
        double length = 0;
        for (int j = 0; j < DIM; j++) {
            u[i][j] = z[i * DIM + j] + (i * DIM + j == changed ? by : 0);
            length += u[i][j] * u[i][j];
        }
        for (int j = 0; j < DIM; j++)
            u[i][j] /= sqrt(length);
    }
    for (int i = 0; i < ROWS; i++) {
        double sum = 0, positive = 0;
        for (int j = 0; j < ROWS; j++) {
            double s = 0;
            for (int l = 0; l < DIM; l++)
                s += u[i][l] * u[j][l] / (double)0.2f;
            sum += j == i ? 0 : exp(s);
            positive = j == (i + ROWS / 2) % ROWS ? s : positive;
        }
        loss += (log(sum) - positive) / ROWS;
    }
    return loss;
}

Test(api_kernels, nt_xent)
{
    void *memory;
    float *z = odd_array(ROWS * DIM, 3, &memory);
    float *got = NULL;
    for (size_t i = 0; i < simclr_isa_count(); i++) {
        if (!simclr_isa_supported(i))
            continue;
        simclr_engine *engine = engine_of(simclr_isa_name(i), 2);
        float *out = malloc((ROWS * DIM + 1) * sizeof *out);
        double alone;
        loss_and_gradient(engine, out, z);
        cr_assert_eq(simclr_nt_xent(engine, &alone, NULL, z, ROWS, DIM, 0.2f, &err), SIMCLR_OK);
        cr_expect_eq((float)alone, out[ROWS * DIM]);
        if (got)
            expect_same_bits(got, out, ROWS * DIM + 1, "%s", simclr_isa_name(i));
        free(got);
        got = out;
        simclr_engine_free(engine);
    }
    cr_expect_float_eq(got[ROWS * DIM], loss_of(z, -1, 0), 1e-6);
    for (int i = 0; i < ROWS * DIM; i += 97) /* central differences */
        cr_expect_float_eq(got[i], (loss_of(z, i, 1e-5) - loss_of(z, i, -1e-5)) / 2e-5, 1e-7, "value %d", i);
    free(got);
    free(memory);
}

/* ---- what they refuse ---- */

static void expect_refused(enum simclr_status status, const char *part)
{
    cr_expect_eq(status, SIMCLR_ERR_USAGE);
    cr_expect(strstr(err.text, part), "'%s' does not say '%s'", err.text, part);
    err.text[0] = 0;
}

Test(api_kernels, wrong_sizes_are_refused)
{
    simclr_engine *e = engine_of("auto", 1);
    float x[64] = {0}, out[64];
    double loss;
    expect_refused(simclr_nt_xent(e, &loss, out, x, 3, 4, 0.5f, &err), "(3, 4): rows are even");
    expect_refused(simclr_nt_xent(e, &loss, out, x, 0, 4, 0.5f, &err), "2 to 1048576");
    expect_refused(simclr_nt_xent(e, &loss, out, x, 4, 4, 0.01f, &err), "temperature 0.01");
    expect_refused(simclr_nt_xent(e, &loss, out, x, 4, 4, NAN, &err), "temperature nan");
    expect_refused(simclr_gaussian_blur(e, out, x, 1, 4, 4, 5, 3, 1, &err), "1 to 4 channels");
    expect_refused(simclr_gaussian_blur(e, out, x, 1, 4, 4, 3, 4, 1, &err), "4 taps: use an odd number, at most 7");
    expect_refused(simclr_gaussian_blur(e, out, x, 1, 4, 4, 3, 9, 1, &err), "9 taps");
    expect_refused(simclr_gaussian_blur(e, out, x, 1, 4, 4, 3, 3, 0, &err), "sigma 0");
    expect_refused(simclr_conv2d(e, out, x, x, 1, 4, 4, 1, 1, 3, 5, 1, &err), "stride 5");
    expect_refused(simclr_conv2d(e, out, x, x, 1, 4, 4, 1, 1, 7, 1, 0, &err), "kernel of 7 does not fit images of 4 x 4");
    expect_refused(simclr_conv2d_backward_data(e, out, x, x, 1, 40000, 40000, 1, 1, 1, 1, 0, &err), "2^30");
    expect_refused(simclr_conv2d_backward_weights(e, out, x, x, 1, 4, 4, 0, 1, 1, 1, 0, &err), "(1, 4, 4, 0)");
    expect_refused(simclr_sgemm(e, SIMCLR_A_B, out, x, x, 0, 1, 1, &err), "m 0");
    expect_refused(simclr_sgemm(e, SIMCLR_A_B, out, x, x, 1, 1 << 20, 1 << 20, &err), "2^30");
    expect_refused(simclr_sgemm(e, (enum simclr_product)7, out, x, x, 1, 1, 1, &err), "no kind 7");
    expect_refused(simclr_cosine_similarity(e, out, x, x, 1, 1, 0, &err), "rows of 0");
    cr_expect_eq(simclr_sgemm(e, SIMCLR_A_B, out, x, x, 0, 1, 1, NULL), SIMCLR_ERR_USAGE); /* nobody wants the sentence */
    simclr_engine_free(e);
}
