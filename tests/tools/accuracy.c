/* How far Winograd's convolutions are from direct ones in a network that is being trained. `make build/accuracy` links the trainer with
 * this file around its convolutions; it trains as simclr does, and in one pass measures every layer that Winograd computes:
 *
 *     ACCURACY_STEP=120 build/accuracy train DATA -o RUN --knn-every 0 ...
 *
 * prints, for each layer and direction, the errors of some thousand elements against sums in double: of the direct algorithm, of
 * Winograd's, and their ratios. Passes of the stem over colour images are counted: without kNN those are steps. Passes of fewer than
 * 16 images are not measured. Everything else is as ever, the training's bits included. */
#include "nn/conv_choice.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUTS = 4000, WEIGHTS = 300, LEAST_IMAGES = 16 };

/* ---- The functions that the linker puts this file around (ld --wrap) ---- */

enum conv_algorithm __real_conv_algorithm(const struct conv_shape *shape);
void __real_conv_forward(const struct engine *engine, float *y, const struct conv_sums *sums, const struct conv_input *input,
                         const float *w, const struct conv_shape *shape, void *scratch);
void __real_conv_backward_data(const struct engine *engine, float *dx, bool accumulate, const float *dy, const float *w,
                               const struct conv_shape *shape, void *scratch);
void __real_conv_backward_weights(const struct engine *engine, float *dw, const struct conv_input *input, const float *dy,
                                  const struct conv_shape *shape, void *scratch);
enum conv_algorithm __wrap_conv_algorithm(const struct conv_shape *shape);
void __wrap_conv_forward(const struct engine *engine, float *y, const struct conv_sums *sums, const struct conv_input *input,
                         const float *w, const struct conv_shape *shape, void *scratch);
void __wrap_conv_backward_data(const struct engine *engine, float *dx, bool accumulate, const float *dy, const float *w,
                               const struct conv_shape *shape, void *scratch);
void __wrap_conv_backward_weights(const struct engine *engine, float *dw, const struct conv_input *input, const float *dy,
                                  const struct conv_shape *shape, void *scratch);

static bool force_direct;
static int steps; /* forward passes of the stem so far */
static int reports;

static void __attribute__((destructor)) say_if_nothing(void)
{
    if (!reports)
        fprintf(stderr, "accuracy: nothing was measured in %d passes of the stem; ACCURACY_STEP names one of at least %d colour images\n",
                steps, LEAST_IMAGES);
}

enum conv_algorithm __wrap_conv_algorithm(const struct conv_shape *shape)
{
    return force_direct ? CONV_DIRECT : __real_conv_algorithm(shape);
}

static bool measured(const struct conv_shape *s)
{
    const char *at = getenv("ACCURACY_STEP");
    return steps == (at ? atoi(at) : 1) && __real_conv_algorithm(s) != CONV_DIRECT && s->n >= LEAST_IMAGES;
}

/* ---- Measuring ---- */

static void *allocate(size_t bytes)
{
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes ? bytes : 64))
        abort();
    memset(p, 0, bytes);
    return p;
}

static void *direct_scratch(const struct engine *engine, const struct conv_shape *s)
{
    force_direct = true;
    void *scratch = allocate(conv_scratch(engine, s));
    force_direct = false;
    return scratch;
}

static size_t random_below(size_t n)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % n;
}

struct samples {
    double square[2], most[2]; /* of errors: direct, Winograd */
};

static void add_sample(struct samples *s, double want, float direct, float winograd)
{
    double errors[2] = {fabs((double)direct - want), fabs((double)winograd - want)};
    for (int i = 0; i < 2; i++) {
        s->square[i] += errors[i] * errors[i];
        s->most[i] = errors[i] > s->most[i] ? errors[i] : s->most[i];
    }
}

static void report(const char *pass, const struct conv_shape *s, const struct samples *e, int count)
{
    reports++;
    printf("accuracy: %-7s %3d x %-3d %4d -> %-4d stride %d, %-16s direct rms %.2e max %.2e, ratios rms %.2f max %.2f\n", pass, s->h, s->w,
           s->c, s->k, s->stride, conv_algorithm_name(__real_conv_algorithm(s)), sqrt(e->square[0] / count), e->most[0],
           sqrt(e->square[1] / e->square[0]), e->most[1] / e->most[0]);
    fflush(stdout);
}

/* The input as the layer reads it. */
static float *read_input(const struct engine *engine, const struct conv_input *in, const struct conv_shape *s)
{
    size_t pixels = (size_t)s->n * s->h * s->w;
    float *x = allocate(pixels * s->c * sizeof *x);
    if (in->mean)
        engine->kernels->norm_apply(x, in->x, NULL, in->mean, in->scale, in->shift, in->relu, pixels, s->c);
    else
        memcpy(x, in->x, pixels * s->c * sizeof *x);
    return x;
}

void __wrap_conv_forward(const struct engine *engine, float *y, const struct conv_sums *sums, const struct conv_input *input,
                         const float *w, const struct conv_shape *s, void *scratch)
{
    steps += s->c == 3;
    __real_conv_forward(engine, y, sums, input, w, s, scratch);
    if (!measured(s))
        return;
    size_t count = (size_t)s->n * s->ho * s->wo * s->k;
    float *direct = allocate(count * sizeof *direct), *x = read_input(engine, input, s);
    void *own = direct_scratch(engine, s);
    force_direct = true;
    __real_conv_forward(engine, direct, NULL, input, w, s, own);
    force_direct = false;
    struct samples errors = {{0}, {0}};
    for (int i = 0; i < OUTPUTS; i++) {
        size_t at = random_below(count), pixel = at / s->k, k = at % s->k;
        int col = (int)(pixel % s->wo), row = (int)(pixel / s->wo % s->ho);
        size_t n = pixel / s->wo / s->ho;
        double want = 0;
        for (int tap = 0; tap < 9; tap++) {
            int in_row = row * s->stride + tap / 3 - 1, in_col = col * s->stride + tap % 3 - 1;
            if (in_row >= 0 && in_col >= 0 && in_row < s->h && in_col < s->w)
                for (int c = 0; c < s->c; c++)
                    want += (double)x[((n * s->h + in_row) * s->w + in_col) * s->c + c] * w[((size_t)tap * s->c + c) * s->k + k];
        }
        add_sample(&errors, want, direct[at], y[at]);
    }
    report("forward", s, &errors, OUTPUTS);
    free(direct);
    free(x);
    free(own);
}

static void measure_data(const struct engine *engine, const float *dy, const float *w, const struct conv_shape *s, void *scratch)
{
    size_t count = (size_t)s->n * s->h * s->w * s->c;
    float *direct = allocate(count * sizeof *direct), *dx = allocate(count * sizeof *dx);
    void *own = direct_scratch(engine, s);
    __real_conv_backward_data(engine, dx, false, dy, w, s, scratch);
    force_direct = true;
    __real_conv_backward_data(engine, direct, false, dy, w, s, own);
    force_direct = false;
    struct samples errors = {{0}, {0}};
    for (int i = 0; i < OUTPUTS; i++) {
        size_t at = random_below(count), pixel = at / s->c, c = at % s->c;
        int col = (int)(pixel % s->w), row = (int)(pixel / s->w % s->h);
        size_t n = pixel / s->w / s->h;
        double want = 0;
        for (int tap = 0; tap < 9; tap++) {
            int out_row = row + 1 - tap / 3, out_col = col + 1 - tap % 3;
            if (out_row < 0 || out_col < 0 || out_row % s->stride || out_col % s->stride || out_row / s->stride >= s->ho ||
                out_col / s->stride >= s->wo)
                continue;
            const float *g = dy + ((n * s->ho + out_row / s->stride) * s->wo + out_col / s->stride) * s->k;
            for (int k = 0; k < s->k; k++)
                want += (double)g[k] * w[((size_t)tap * s->c + c) * s->k + k];
        }
        add_sample(&errors, want, direct[at], dx[at]);
    }
    report("data", s, &errors, OUTPUTS);
    free(direct);
    free(dx);
    free(own);
}

void __wrap_conv_backward_data(const struct engine *engine, float *dx, bool accumulate, const float *dy, const float *w,
                               const struct conv_shape *s, void *scratch)
{
    if (measured(s))
        measure_data(engine, dy, w, s, scratch);
    __real_conv_backward_data(engine, dx, accumulate, dy, w, s, scratch);
}

void __wrap_conv_backward_weights(const struct engine *engine, float *dw, const struct conv_input *input, const float *dy,
                                  const struct conv_shape *s, void *scratch)
{
    __real_conv_backward_weights(engine, dw, input, dy, s, scratch);
    if (!measured(s))
        return;
    size_t count = 9 * (size_t)s->c * s->k;
    float *direct = allocate(count * sizeof *direct), *x = read_input(engine, input, s);
    void *own = direct_scratch(engine, s);
    force_direct = true;
    __real_conv_backward_weights(engine, direct, input, dy, s, own);
    force_direct = false;
    struct samples errors = {{0}, {0}};
    for (int i = 0; i < WEIGHTS; i++) {
        size_t at = random_below(count), k = at % s->k, c = at / s->k % s->c;
        int tap = (int)(at / s->k / s->c);
        double want = 0;
        for (size_t pixel = 0; pixel < (size_t)s->n * s->ho * s->wo; pixel++) {
            size_t n = pixel / s->wo / s->ho;
            int row = (int)(pixel / s->wo % s->ho) * s->stride + tap / 3 - 1, col = (int)(pixel % s->wo) * s->stride + tap % 3 - 1;
            if (row >= 0 && col >= 0 && row < s->h && col < s->w)
                want += (double)x[((n * s->h + row) * s->w + col) * s->c + c] * dy[pixel * s->k + k];
        }
        add_sample(&errors, want, direct[at], dw[at]);
    }
    report("weights", s, &errors, WEIGHTS);
    free(direct);
    free(x);
    free(own);
}
