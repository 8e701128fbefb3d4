#include "api/handles.h"

#include "base/par.h"
#include "base/status.h"
#include "data/augment.h"
#include "eval/similarity.h"
#include "nn/conv.h"
#include "nn/ntxent.h"

#include <math.h>
#include <string.h>

/* Bounds below which the sizes and offsets of every pass fit their types. */
enum { MOST_ROWS = 1 << 24, MOST_DIM = 65536, MOST_ELEMENTS = 1 << 30, MOST_LOSS_ROWS = 1 << 20, MOST_TAPS = 15, MOST_STRIDE = 4 };

static void *scratch_of(const simclr_engine *engine, size_t count, size_t bytes, struct simclr_error *err)
{
    void *p = bytes < SIZE_MAX ? allocator_alloc(engine->engine.allocator, count, bytes) : NULL;
    if (!p)
        fail(err, SIMCLR_ERR_MEMORY, "not enough memory: %zu x %zu MB of scratch are needed", count, bytes >> 20);
    return p;
}

static void scratch_free(const simclr_engine *engine, void *scratch)
{
    allocator_free(engine->engine.allocator, scratch);
}

/* ---- The loss ---- */

enum simclr_status simclr_nt_xent(const simclr_engine *engine, double *loss, float *dz, const float *z, int32_t rows, int32_t dim,
                                  float temperature, struct simclr_error *err)
{
    if (rows < 2 || rows % 2 || rows > MOST_LOSS_ROWS || dim < 1 || dim > MOST_DIM)
        return fail(err, SIMCLR_ERR_USAGE, "NT-Xent of (%d, %d): rows are even, two an image, 2 to %d; columns 1 to %d", (int)rows, (int)dim,
                    MOST_LOSS_ROWS, MOST_DIM);
    if (!(temperature >= 0.025f && temperature <= 100.0f))
        return fail(err, SIMCLR_ERR_USAGE, "NT-Xent: temperature %g is not between 0.025 and 100", (double)temperature);
    void *scratch = scratch_of(engine, 1, ntxent_scratch(&engine->engine, rows, dim), err);
    if (!scratch)
        return SIMCLR_ERR_MEMORY;
    struct ntxent_result result;
    ntxent(&engine->engine, &result, dz, z, rows, dim, temperature, scratch);
    *loss = result.loss;
    scratch_free(engine, scratch);
    return SIMCLR_OK;
}

/* ---- Images ---- */

struct blur_images {
    const simclr_engine *engine;
    float *out;
    const float *in;
    int h, w, c, taps;
    float sigma;
    char *scratch; /* (threads, bytes) */
    size_t bytes;
};

static void blur_one(void *ctx, size_t image, int thread)
{
    const struct blur_images *b = ctx;
    size_t floats = (size_t)b->h * (size_t)b->w * (size_t)b->c;
    augment_blur(b->engine->engine.kernels, b->out + image * floats, b->in + image * floats, b->h, b->w, b->c, b->sigma, b->taps,
                 b->scratch + (size_t)thread * b->bytes);
}

enum simclr_status simclr_gaussian_blur(const simclr_engine *engine, float *out, const float *in, int32_t count, int32_t height,
                                        int32_t width, int32_t channels, int32_t taps, float sigma, struct simclr_error *err)
{
    int32_t side = height < width ? height : width;
    if (count < 1 || side < 1 || channels < 1 || channels > 4 || (int64_t)height * width > MOST_ELEMENTS / 4)
        return fail(err, SIMCLR_ERR_USAGE, "blur: (%d, %d, %d, %d) are no images of 1 to 4 channels", (int)count, (int)height, (int)width,
                    (int)channels);
    if (taps < 1 || taps % 2 == 0 || taps / 2 >= side)
        return fail(err, SIMCLR_ERR_USAGE, "blur: %d taps: use an odd number, at most %d for these images", (int)taps, (int)(2 * side - 1));
    if (!(sigma >= 0.01f && sigma <= 100.0f))
        return fail(err, SIMCLR_ERR_USAGE, "blur: sigma %g is not between 0.01 and 100", (double)sigma);
    struct blur_images blur = {engine, out, in, height, width, channels, taps, sigma, NULL, augment_blur_scratch(height, width, channels)};
    int threads = engine->engine.threads < count ? engine->engine.threads : count;
    blur.scratch = scratch_of(engine, (size_t)threads, blur.bytes, err);
    if (!blur.scratch)
        return SIMCLR_ERR_MEMORY;
    par_for(threads, (size_t)count, blur_one, &blur);
    scratch_free(engine, blur.scratch);
    return SIMCLR_OK;
}

/* ---- Convolution and matrix products: one shape, three passes ---- */

enum pass { FORWARD, BY_DATA, BY_WEIGHTS };

/* a and b are what the pass reads, in the order of conv_forward, conv_backward_data, conv_backward_weights. */
static enum simclr_status convolve(const simclr_engine *engine, enum pass pass, float *out, const float *a, const float *b,
                                   const struct conv_shape *shape, struct simclr_error *err)
{
    const struct engine *e = &engine->engine;
    void *scratch = scratch_of(engine, 1, conv_scratch(e, shape), err);
    if (!scratch)
        return SIMCLR_ERR_MEMORY;
    if (pass == FORWARD)
        conv_forward(e, out, NULL, &(struct conv_input){.x = a}, b, shape, scratch);
    else if (pass == BY_DATA)
        conv_backward_data(e, out, false, a, b, shape, scratch);
    else
        conv_backward_weights(e, out, &(struct conv_input){.x = a}, b, shape, scratch);
    scratch_free(engine, scratch);
    return SIMCLR_OK;
}

static bool fits(int64_t a, int64_t b, int64_t c)
{
    return a <= MOST_ELEMENTS / b && a * b <= MOST_ELEMENTS / c;
}

/* A convolution by its sizes. */
static enum simclr_status conv2d(const simclr_engine *engine, enum pass pass, float *out, const float *a, const float *b, int32_t n, int32_t h,
                                 int32_t w, int32_t c, int32_t k, int32_t r, int32_t stride, int32_t pad, struct simclr_error *err)
{
    if (n < 1 || h < 1 || w < 1 || c < 1 || k < 1 || r < 1 || r > MOST_TAPS || stride < 1 || stride > MOST_STRIDE || pad < 0 || pad >= r)
        return fail(err, SIMCLR_ERR_USAGE, "convolution of (%d, %d, %d, %d) to %d channels, kernel %d, stride %d, padding %d: sizes are positive, "
                    "kernels 1 to %d, strides 1 to %d, and padding is less than the kernel", (int)n, (int)h, (int)w, (int)c, (int)k, (int)r,
                    (int)stride, (int)pad, MOST_TAPS, MOST_STRIDE);
    int64_t rows = (int64_t)h + 2 * pad, columns = (int64_t)w + 2 * pad;
    if (rows < r || columns < r)
        return fail(err, SIMCLR_ERR_USAGE, "convolution: the kernel of %d does not fit images of %d x %d with padding %d", (int)r, (int)h, (int)w,
                    (int)pad);
    if (!fits(rows, columns, c > k ? c : k) || !fits(rows, columns, n) || !fits((int64_t)r * r, c, k))
        return fail(err, SIMCLR_ERR_USAGE, "convolution: an image, a batch's pixels, or the weights have more than 2^30 elements");
    struct conv_shape shape = conv_shape(n, h, w, c, k, r, stride, pad);
    return convolve(engine, pass, out, a, b, &shape, err);
}

enum simclr_status simclr_conv2d(const simclr_engine *engine, float *y, const float *x, const float *weights, int32_t n, int32_t h, int32_t w,
                                 int32_t c, int32_t k, int32_t r, int32_t stride, int32_t pad, struct simclr_error *err)
{
    return conv2d(engine, FORWARD, y, x, weights, n, h, w, c, k, r, stride, pad, err);
}

enum simclr_status simclr_conv2d_backward_data(const simclr_engine *engine, float *dx, const float *dy, const float *weights, int32_t n,
                                               int32_t h, int32_t w, int32_t c, int32_t k, int32_t r, int32_t stride, int32_t pad,
                                               struct simclr_error *err)
{
    return conv2d(engine, BY_DATA, dx, dy, weights, n, h, w, c, k, r, stride, pad, err);
}

enum simclr_status simclr_conv2d_backward_weights(const simclr_engine *engine, float *dweights, const float *dy, const float *x, int32_t n,
                                                  int32_t h, int32_t w, int32_t c, int32_t k, int32_t r, int32_t stride, int32_t pad,
                                                  struct simclr_error *err)
{
    return conv2d(engine, BY_WEIGHTS, dweights, x, dy, n, h, w, c, k, r, stride, pad, err);
}

enum simclr_status simclr_sgemm(const simclr_engine *engine, enum simclr_product product, float *c, const float *a, const float *b, int32_t m,
                                int32_t n, int32_t k, struct simclr_error *err)
{
    /* Rows, input and output channels of a 1x1 convolution. */
    int32_t rows = product == SIMCLR_AT_B ? k : m;
    int32_t in = product == SIMCLR_A_B ? k : product == SIMCLR_A_BT ? n : m, out = product == SIMCLR_A_BT ? k : n;
    if (m < 1 || n < 1 || k < 1 || m > MOST_ROWS || n > MOST_ROWS || k > MOST_ROWS || !fits(in, out, 1))
        return fail(err, SIMCLR_ERR_USAGE, "matrix product of m %d, n %d, k %d: sizes are 1 to %d, and no more than 2^30 elements", (int)m, (int)n,
                    (int)k, MOST_ROWS);
    struct conv_shape shape = conv_shape(rows, 1, 1, in, out, 1, 1, 0);
    switch (product) {
    case SIMCLR_A_B: return convolve(engine, FORWARD, c, a, b, &shape, err);
    case SIMCLR_A_BT: return convolve(engine, BY_DATA, c, a, b, &shape, err);
    case SIMCLR_AT_B: return convolve(engine, BY_WEIGHTS, c, a, b, &shape, err);
    }
    return fail(err, SIMCLR_ERR_USAGE, "matrix product: there is no kind %d", (int)product);
}

/* ---- Similarities ---- */

enum { TILE = SIMILARITY_TILE };

struct cosines {
    const simclr_engine *engine;
    float *out;
    float *a, *b;  /* (m, d), (n, d), normalised */
    float *panels; /* (threads, d, TILE) */
    size_t m, n;
    int d;
};

/* Columns of one tile of b. */
static void cosine_columns(void *ctx, size_t column, int thread)
{
    const struct cosines *s = ctx;
    const struct kernels *k = s->engine->engine.kernels;
    size_t d = (size_t)s->d, first = column * TILE, count = s->n - first < TILE ? s->n - first : TILE;
    float tile[TILE * TILE], *panels = s->panels + (size_t)thread * d * TILE;
    similarity_pack(k, panels, s->b + first * d, (int)count, s->d);
    for (size_t row = 0; row < s->m; row += TILE) {
        size_t rows = s->m - row < TILE ? s->m - row : TILE;
        similarity_tile(k, tile, s->a + row * d, (int)rows, panels, (int)count, s->d);
        for (size_t i = 0; i < rows; i++)
            memcpy(s->out + (row + i) * s->n + first, tile + i * TILE, count * sizeof *tile);
    }
}

static void lay_out(struct cosines *s, struct arena *arena, bool same)
{
    size_t d = (size_t)s->d;
    s->a = arena_alloc(arena, s->m * d, sizeof *s->a);
    s->b = same ? s->a : arena_alloc(arena, s->n * d, sizeof *s->b);
    s->panels = arena_alloc(arena, (size_t)s->engine->engine.threads * TILE, d * sizeof *s->panels);
}

enum simclr_status simclr_cosine_similarity(const simclr_engine *engine, float *similarity, const float *a, const float *b, int32_t m,
                                            int32_t n, int32_t dim, struct simclr_error *err)
{
    if (m < 1 || n < 1 || dim < 1 || m > MOST_ROWS || n > MOST_ROWS || dim > MOST_DIM)
        return fail(err, SIMCLR_ERR_USAGE, "similarities of %d and %d rows of %d: rows are 1 to %d, columns 1 to %d", (int)m, (int)n, (int)dim,
                    MOST_ROWS, MOST_DIM);
    struct cosines s = {.engine = engine, .out = similarity, .m = (size_t)m, .n = (size_t)n, .d = dim};
    struct arena arena = {.allocator = engine->engine.allocator};
    bool same = a == b && m == n;
    lay_out(&s, &arena, same);
    if (arena_commit(&arena))
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for copies of %d and %d rows", (int)m, (int)n);
    lay_out(&s, &arena, same);
    memcpy(s.a, a, s.m * (size_t)dim * sizeof *a);
    normalize_rows(&engine->engine, s.a, s.m, dim);
    if (!same) {
        memcpy(s.b, b, s.n * (size_t)dim * sizeof *b);
        normalize_rows(&engine->engine, s.b, s.n, dim);
    }
    par_for(engine->engine.threads, (s.n + TILE - 1) / TILE, cosine_columns, &s);
    arena_free(&arena);
    return SIMCLR_OK;
}
