/* Kernels of the augmentation: scalar against formulas in double, every ISA against scalar, guard pages at both ends. */
#include "base/rng.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double clamp01(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static void expect_near(const float *got, const double *want, size_t count, double bound, const char *label, int size)
{
    for (size_t i = 0; i < count; i++)
        cr_assert(fabs((double)got[i] - want[i]) <= bound, "%s, size %d: element %zu is %.9g, expected %.9g", label, size, i,
                  (double)got[i], want[i]);
}

/* Columns (w, c, h) in [0, 1]: random pixels, black, white, greys, two equal channels, tiny values, exactly one half. */
static void fill_pixels(float *x, int w, int c, int h, uint64_t seed)
{
    struct rng rng = rng_stream(seed, RNG_TEST, 7, 0);
    for (int i = 0; i < w * h; i++) {
        uint32_t kind = rng_below(&rng, 10);
        float v[4] = {rng_float(&rng), rng_float(&rng), rng_float(&rng), rng_float(&rng)};
        if (kind == 0)
            v[0] = v[1] = v[2] = (float)rng_below(&rng, 2);
        else if (kind == 1)
            v[1] = v[2] = v[0];
        else if (kind == 2)
            v[rng_below(&rng, 3)] = v[rng_below(&rng, 3)];
        else if (kind == 3)
            v[rng_below(&rng, 3)] = 0.5f;
        else if (kind == 4)
            v[rng_below(&rng, 3)] *= 1e-30f;
        for (int ch = 0; ch < c; ch++)
            x[(i / h * c + ch) * h + i % h] = v[ch];
    }
}

static void fill_bytes(uint8_t *p, size_t count, uint64_t seed)
{
    struct rng rng = rng_stream(seed, RNG_TEST, 8, 0);
    for (size_t i = 0; i < count; i++)
        p[i] = (uint8_t)rng_u32(&rng);
}

/* ---- Colors: kernels that change planes in place ---- */

struct color_case {
    const char *name;
    int channels;
    float values[5];
    void (*run)(const struct kernels *k, float *x, float value, int w, int h);
    void (*oracle)(double rgb[3], double value, double mean);
    double bound;
};

enum { SIZES = 16 };
static const int color_sizes[SIZES] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100, 257};

static double luma(const double rgb[3])
{
    return 0.2989 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

static void run_brightness(const struct kernels *k, float *x, float value, int w, int h)
{
    k->brightness(x, value, 3 * (size_t)w * (size_t)h);
}
static void brightness_oracle(double rgb[3], double value, double mean)
{
    (void)mean;
    for (int i = 0; i < 3; i++)
        rgb[i] = clamp01(rgb[i] * value);
}

static const float given_mean = 0.41f;
static void run_contrast(const struct kernels *k, float *x, float value, int w, int h)
{
    k->contrast(x, given_mean, value, 3 * (size_t)w * (size_t)h);
}
static void contrast_oracle(double rgb[3], double value, double mean)
{
    for (int i = 0; i < 3; i++)
        rgb[i] = clamp01(value * rgb[i] + (1 - value) * mean);
}

static void run_saturation(const struct kernels *k, float *x, float value, int w, int h)
{
    k->saturation(x, value, w, h);
}
static void saturation_oracle(double rgb[3], double value, double mean)
{
    (void)mean;
    double grey = luma(rgb);
    for (int i = 0; i < 3; i++)
        rgb[i] = clamp01(value * rgb[i] + (1 - value) * grey);
}

static void run_hue(const struct kernels *k, float *x, float value, int w, int h)
{
    k->hue(x, value, w, h);
}
/* torchvision's way, through hue, saturation and value and back by sextants. */
static void hue_oracle(double rgb[3], double value, double mean)
{
    (void)mean;
    double most = fmax(rgb[0], fmax(rgb[1], rgb[2])), least = fmin(rgb[0], fmin(rgb[1], rgb[2])), chroma = most - least, h = 0;
    if (chroma > 0) {
        double r = (most - rgb[0]) / chroma, g = (most - rgb[1]) / chroma, b = (most - rgb[2]) / chroma;
        h = rgb[0] == most ? b - g : rgb[1] == most ? 2 + r - b : 4 + g - r;
    }
    double s = most > 0 ? chroma / most : 0;
    h = h / 6 + 1 + value;
    h -= floor(h);
    double sextant = floor(h * 6), f = h * 6 - sextant, v = most;
    double p = v * (1 - s), q = v * (1 - s * f), t = v * (1 - s * (1 - f));
    const double table[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
    memcpy(rgb, table[(int)sextant % 6], sizeof table[0]);
}

static void run_solarize(const struct kernels *k, float *x, float value, int w, int h)
{
    k->solarize(x, value, 3 * (size_t)w * (size_t)h);
}
static void solarize_oracle(double rgb[3], double value, double mean)
{
    (void)mean;
    for (int i = 0; i < 3; i++)
        rgb[i] = rgb[i] >= value ? 1 - rgb[i] : rgb[i];
}

static const struct color_case colors[] = {
    {"brightness", 3, {0, 0.2f, 1, 1.3f, 1.8f}, run_brightness, brightness_oracle, 1.2e-7},
    {"contrast", 3, {0, 0.2f, 1, 1.3f, 1.8f}, run_contrast, contrast_oracle, 2.4e-7},
    {"saturation", 3, {0, 0.2f, 1, 1.3f, 1.8f}, run_saturation, saturation_oracle, 3.6e-7},
    {"hue", 3, {0, 0.1f, -0.2f, 0.5f, -0.5f}, run_hue, hue_oracle, 1.5e-6},
    {"solarize", 3, {0, 0.25f, 0.5f, 0.9f, 1}, run_solarize, solarize_oracle, 6e-8},
};

enum { WIDTH = 3 };

static void check_color(const struct color_case *color, int h, float value, uint64_t seed)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas), floats = (size_t)(3 * WIDTH * h);
    float source[3 * WIDTH * 257], expected[3 * WIDTH * 257];
    double want[3 * WIDTH * 257];
    fill_pixels(source, WIDTH, 3, h, seed);
    for (int p = 0; p < WIDTH * h; p++) {
        int at = p / h * 3 * h + p % h;
        double rgb[3] = {(double)source[at], (double)source[at + h], (double)source[at + 2 * h]};
        color->oracle(rgb, (double)value, (double)given_mean);
        for (int ch = 0; ch < 3; ch++)
            want[at + ch * h] = rgb[ch];
    }
    for (size_t k = 0; k < count; k++)
        for (int at_start = 0; at_start < 2; at_start++) {
            float *x = guard_alloc(floats * sizeof *x, at_start);
            memcpy(x, source, floats * sizeof *x);
            color->run(isas[k], x, value, WIDTH, h);
            if (k == 0 && at_start == 0) {
                expect_near(x, want, floats, color->bound, color->name, h);
                for (size_t j = 0; j < floats; j++)
                    cr_assert(x[j] >= 0 && x[j] <= 1, "%s leaves [0, 1]: %.9g", color->name, (double)x[j]);
                memcpy(expected, x, floats * sizeof *x);
            }
            expect_same_bits(expected, x, floats, "%s %s, columns of %d pixels", color->name, isas[k]->name, h);
            guard_free(x);
        }
}

Test(augment_kernels, colors)
{
    for (size_t i = 0; i < sizeof colors / sizeof *colors; i++)
        for (int s = 0; s < SIZES; s++)
            for (int v = 0; v < 5; v++)
                check_color(&colors[i], color_sizes[s], colors[i].values[v], (uint64_t)(100 * s + v));
}

/* Up to a factor of 1 nothing is clamped, on the ground that nothing can leave [0, 1]: not by rounding either. */
Test(augment_kernels, blends_stay_in_range_without_clamps)
{
    enum { COUNT = 300000 };
    const struct kernels *isas[8];
    const struct kernels *fastest = isas[test_isas(isas) - 1];
    static float x[3 * COUNT];
    struct rng rng = rng_stream(1, RNG_TEST, 11, 0);
    for (int round = 0; round < 40; round++) {
        /* means and factors near their ends, values on and next to the ends */
        float mean = rng_float(&rng), factor = round < 20 ? 1.0f - rng_float(&rng) * 1e-6f : rng_float(&rng);
        if (round % 4 == 0)
            mean = 1.0f - mean * 1e-6f;
        for (int i = 0; i < 3 * COUNT; i++)
            x[i] = i % 3 == 0 ? 1.0f - (float)(i % 5) * 0x1p-24f : i % 3 == 1 ? (float)(i % 5) * 1e-30f : rng_float(&rng);
        if (round % 2)
            fastest->contrast(x, mean, factor, 3 * COUNT);
        else
            fastest->saturation(x, factor, 1, COUNT);
        for (int i = 0; i < 3 * COUNT; i++)
            cr_assert(x[i] >= 0.0f && x[i] <= 1.0f, "round %d: %.9g with mean %.9g, factor %.9g", round, (double)x[i], (double)mean,
                      (double)factor);
    }
}

Test(augment_kernels, saturation_zero_is_one_grey)
{
    const struct kernels *isas[8];
    test_isas(isas);
    float x[3 * 100];
    fill_pixels(x, 1, 3, 100, 3);
    isas[0]->saturation(x, 0.0f, 1, 100);
    expect_same_bits(x, x + 100, 100, "green");
    expect_same_bits(x, x + 200, 100, "blue");
}

Test(augment_kernels, grey_mean)
{
    static const int sizes[][2] = {{1, 1}, {1, 2}, {2, 1}, {3, 15}, {3, 16}, {5, 17}, {100, 100}, {1, 4095}, {2, 4096}, {2, 4097}};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int c = 1; c <= 3; c += 2)
            for (int at_start = 0; at_start < 2; at_start++) {
                int w = sizes[s][0], h = sizes[s][1], pixels = w * h;
                float *x = guard_alloc((size_t)(c * pixels) * sizeof *x, at_start);
                fill_pixels(x, w, c, h, 5);
                double sum = 0;
                for (int i = 0; i < pixels; i++) {
                    const float *p = x + i / h * c * h + i % h;
                    double rgb[3] = {(double)p[0], (double)p[c == 3 ? h : 0], (double)p[c == 3 ? 2 * h : 0]};
                    sum += c == 3 ? luma(rgb) : rgb[0];
                }
                float expected = isas[0]->grey_mean(x, w, c, h);
                cr_assert(fabs((double)expected - sum / pixels) < 5e-7, "mean of %d x %d is %.9g, expected %.9g", w, h,
                          (double)expected, sum / pixels);
                for (size_t k = 1; k < count; k++) {
                    float got = isas[k]->grey_mean(x, w, c, h);
                    expect_same_bits(&expected, &got, 1, "grey_mean %s, %d x %d, %d channels", isas[k]->name, w, h, c);
                }
                guard_free(x);
            }
}

/* ---- Layout and resize ---- */

Test(augment_kernels, u8_to_f32)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (int s = 0; s < SIZES; s++)
        for (int at_start = 0; at_start < 2; at_start++) {
            size_t count = (size_t)color_sizes[s];
            uint8_t *src = guard_alloc(count, at_start);
            float *dst = guard_alloc(count * sizeof *dst, at_start);
            for (size_t i = 0; i < count; i++)
                src[i] = (uint8_t)i;
            for (size_t k = 0; k < isa_count; k++) {
                memset(dst, 0xff, count * sizeof *dst);
                isas[k]->u8_to_f32(dst, src, count);
                for (size_t i = 0; i < count; i++)
                    cr_assert(dst[i] == (float)src[i] / 255.0f, "%s: %d becomes %.9g", isas[k]->name, src[i], (double)dst[i]);
            }
            guard_free(src);
            guard_free(dst);
        }
}

Test(augment_kernels, transpose)
{
    static const int sides[] = {1, 2, 3, 4, 5, 8, 13, 16, 17, 32, 39};
    enum { SIDES = sizeof sides / sizeof *sides };
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (int s = 0; s < SIDES * SIDES; s++)
        for (int gap = 0; gap < 3; gap++) {
            int rows = sides[s / SIDES], cols = sides[s % SIDES], lds = cols + gap, ldd = rows + gap, at_start = gap % 2;
            size_t in = (size_t)(lds * (rows - 1) + cols), out = (size_t)(ldd * (cols - 1) + rows);
            float *src = guard_alloc(in * sizeof *src, at_start), *dst = guard_alloc(out * sizeof *dst, at_start);
            for (size_t i = 0; i < in; i++)
                src[i] = (float)i;
            for (size_t k = 0; k < isa_count; k++) {
                memset(dst, 0xff, out * sizeof *dst);
                isas[k]->transpose(dst, ldd, src, lds, rows, cols);
                for (size_t j = 0; j < out; j++) {
                    int row = (int)j % ldd, col = (int)j / ldd;
                    cr_assert(row < rows ? dst[j] == src[row * lds + col] : isnan(dst[j]), "%s, %d x %d: (%d, %d) is %g", isas[k]->name,
                              rows, cols, row, col, (double)dst[j]);
                }
            }
            guard_free(src);
            guard_free(dst);
        }
}

static void fill_weights(float *w, int count, uint64_t seed)
{
    struct rng rng = rng_stream(seed, RNG_TEST, 9, 0);
    float sum = 0;
    for (int i = 0; i < count; i++)
        sum += w[i] = rng_float(&rng) + 0.01f;
    for (int i = 0; i < count; i++)
        w[i] /= sum;
}

Test(augment_kernels, resize_rows)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (int s = 0; s < SIZES; s++)
        for (int taps = 1; taps <= 11; taps++) {
            int at_start = taps % 2;
            ptrdiff_t count = color_sizes[s], ld = count + s % 3;
            size_t bytes = (size_t)(ld * (taps - 1) + count);
            uint8_t *src = guard_alloc(bytes, at_start);
            fill_bytes(src, bytes, (uint64_t)taps);
            float weights[11], expected[257], *dst = guard_alloc((size_t)count * sizeof *dst, at_start);
            double want[257] = {0};
            fill_weights(weights, taps, (uint64_t)s);
            for (ptrdiff_t i = 0; i < count; i++)
                for (int t = 0; t < taps; t++)
                    want[i] += (double)weights[t] * src[t * ld + i];
            for (size_t k = 0; k < isa_count; k++) {
                isas[k]->resize_rows(dst, src, ld, count, weights, taps);
                if (k == 0) {
                    expect_near(dst, want, (size_t)count, 255 * 6e-8 * taps, "resize_rows", (int)count);
                    memcpy(expected, dst, (size_t)count * sizeof *dst);
                }
                expect_same_bits(expected, dst, (size_t)count, "resize_rows %s, %td columns, %d taps", isas[k]->name, count, taps);
            }
            guard_free(src);
            guard_free(dst);
        }
}

static void check_resize_columns(int w_out, int c, int rows, int h, int at_start)
{
    enum { TAPS = 7, MOST = 33 * 3 * 20 };
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    int w_in = TAPS + 9;
    size_t in = (size_t)((w_in * c - 1) * RESIZE_STRIP + rows), out = (size_t)((w_out * c - 1) * h + rows);
    float *src = guard_alloc(in * sizeof *src, at_start), *dst = guard_alloc(out * sizeof *dst, at_start);
    float *weights = guard_alloc((size_t)(w_out * TAPS) * sizeof *weights, at_start), expected[MOST];
    int32_t *from = guard_alloc((size_t)w_out * sizeof *from, at_start), *taps = guard_alloc((size_t)w_out * sizeof *taps, at_start);
    struct rng rng = rng_stream((uint64_t)rows, RNG_TEST, 10, (uint64_t)w_out);
    for (size_t i = 0; i < in; i++)
        src[i] = rng_float(&rng);
    for (int x = 0; x < w_out; x++) {
        taps[x] = 1 + (int32_t)rng_below(&rng, TAPS);
        from[x] = (int32_t)rng_below(&rng, (uint32_t)(w_in - taps[x] + 1));
        fill_weights(weights + x * TAPS, taps[x], (uint64_t)x);
        for (int t = 0; t < taps[x]; t++)
            weights[x * TAPS + t] *= x % 5 == 4 ? 3.0f : 1.0f; /* some sums are above one */
    }
    for (size_t k = 0; k < isa_count; k++) {
        memset(dst, 0xff, out * sizeof *dst);
        isas[k]->resize_columns(dst, h, src, c, w_out, rows, from, taps, weights, TAPS);
        for (size_t i = 0; i < out && k == 0; i++) {
            int row = (int)i % h, x = (int)i / h / c, ch = (int)i / h % c;
            double want = 0;
            for (int t = 0; t < taps[x] && row < rows; t++)
                want += (double)weights[x * TAPS + t] * (double)src[((from[x] + t) * c + ch) * RESIZE_STRIP + row];
            want = want < 1 ? want : 1;
            if (row < rows)
                expect_near(dst + i, &want, 1, 2e-7 * TAPS, "resize_columns", w_out);
            else
                cr_assert(isnan(dst[i]), "resize_columns writes beyond the strip's rows");
        }
        if (k == 0)
            memcpy(expected, dst, out * sizeof *dst);
        expect_same_bits(expected, dst, out, "resize_columns %s, %d columns, %d rows, %d channels", isas[k]->name, w_out, rows, c);
    }
    guard_free(src);
    guard_free(dst);
    guard_free(weights);
    guard_free(from);
    guard_free(taps);
}

Test(augment_kernels, resize_columns)
{
    static const int outputs[] = {1, 3, 16, 33};
    for (size_t o = 0; o < sizeof outputs / sizeof *outputs; o++)
        for (int rows = 1; rows <= RESIZE_STRIP; rows++)
            for (int c = 1; c <= 3; c++)
                check_resize_columns(outputs[o], c, rows, rows + c, rows % 2);
}

/* ---- Blur ---- */

static int reflected(int i, int n)
{
    return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

/* The filter of one axis, on images that are held as (n, c, count). */
static void filter_axis(double *dst, const double *src, const float *weights, int radius, int n, int c, int count)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < c * count; j++) {
            double sum = 0;
            for (int k = -radius; k <= radius; k++)
                sum += (double)weights[abs(k)] * src[reflected(i + k, n) * c * count + j];
            dst[i * c * count + j] = sum < 1 ? sum : 1;
        }
}

/* Transposed, not, and in place: all the same values, those of the oracle. */
static void check_blur(int n, int c, int count, int radius, int at_start)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas), floats = (size_t)(n * c * count);
    float *src = guard_alloc(floats * sizeof *src, at_start), *turned = guard_alloc(floats * sizeof *turned, at_start);
    float *dst = guard_alloc(floats * sizeof *dst, at_start);
    float *tmp = guard_alloc((size_t)(BLUR_PANEL * (n + 2 * radius) * c) * sizeof *tmp, at_start);
    float *expected = malloc(floats * sizeof *expected), weights[32];
    double *in = malloc(floats * sizeof *in), *want = malloc(floats * sizeof *want);
    fill_pixels(src, n, c, count, (uint64_t)radius);
    fill_weights(weights, radius + 1, (uint64_t)radius);
    for (int k = 1; k <= radius; k++)
        weights[k] *= 0.52f; /* they add up to more than one */
    for (int line = 0; line < n * c; line++)
        for (int j = 0; j < count; j++) {
            in[line * count + j] = (double)src[line * count + j];
            turned[j * n * c + line] = src[line * count + j];
        }
    filter_axis(want, in, weights, radius, n, c, count);
    for (size_t k = 0; k < isa_count; k++)
        for (int mode = 0; mode < 3; mode++) {
            memset(dst, 0xff, floats * sizeof *dst);
            if (mode == 2)
                memcpy(dst, src, floats * sizeof *dst);
            isas[k]->blur(dst, mode == 0 ? turned : mode == 1 ? src : dst, tmp, weights, radius, n, c, count, mode == 0);
            if (k == 0 && mode == 0) {
                expect_near(dst, want, floats, 1.2e-7 * (radius + 2), "blur", n);
                memcpy(expected, dst, floats * sizeof *dst);
            }
            expect_same_bits(expected, dst, floats, "blur %s, (%d, %d, %d), radius %d, mode %d", isas[k]->name, n, c, count, radius, mode);
        }
    guard_free(src);
    guard_free(turned);
    guard_free(dst);
    guard_free(tmp);
    free(expected);
    free(in);
    free(want);
}

Test(augment_kernels, blur)
{
    static const int sizes[][2] = {{1, 1}, {2, 2}, {3, 5}, {5, 3}, {4, 16}, {7, 33}, {8, 8}, {9, 8}, {17, 15}, {64, 6}, {71, 13}, {40, 40}};
    static const int radii[] = {0, 1, 2, 4, 8, 11, 16};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t r = 0; r < sizeof radii / sizeof *radii; r++)
            for (int c = 1; c <= 4 && radii[r] < sizes[i][0]; c++)
                check_blur(sizes[i][0], c, sizes[i][1], radii[r], c % 2);
}

/* An image (h, w, c) by the two calls that kernels.h names. */
Test(augment_kernels, blur_of_interleaved_images)
{
    enum { H = 19, W = 37, C = 3, RADIUS = 4, FLOATS = H * W * C };
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    float src[FLOATS], columns[FLOATS], dst[FLOATS], tmp[BLUR_PANEL * (W + 2 * RADIUS) * C];
    float weights[RADIUS + 1] = {0.3f, 0.2f, 0.1f, 0.04f, 0.01f};
    fill_pixels(src, H, C, W, 1);
    for (size_t k = 0; k < isa_count; k++) {
        isas[k]->blur(columns, src, tmp, weights, RADIUS, W, C, H, true);
        isas[k]->blur(dst, columns, tmp, weights, RADIUS, H, 1, W * C, true);
        for (int i = 0; i < FLOATS; i++) {
            int y = i / (W * C), x = i / C % W, ch = i % C;
            double want = 0;
            for (int a = -RADIUS; a <= RADIUS; a++)
                for (int b = -RADIUS; b <= RADIUS; b++)
                    want += (double)weights[abs(a)] * (double)weights[abs(b)] *
                            (double)src[(reflected(y + a, H) * W + reflected(x + b, W)) * C + ch];
            expect_near(dst + i, &want, 1, 1e-6, isas[k]->name, i);
        }
    }
}
