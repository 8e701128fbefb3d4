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

/* Planar pixels in [0, 1]: random ones, black, white, greys, two equal channels, tiny values, exactly one half. */
static void fill_pixels(float *x, int pixels, int c, uint64_t seed)
{
    struct rng rng = rng_stream(seed, RNG_TEST, 7, 0);
    for (int i = 0; i < pixels; i++) {
        uint32_t kind = rng_below(&rng, 10);
        float v[3] = {rng_float(&rng), rng_float(&rng), rng_float(&rng)};
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
            x[(ptrdiff_t)ch * pixels + i] = v[ch];
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
    void (*run)(const struct kernels *k, float *x, float value, int pixels);
    void (*oracle)(double rgb[3], double value, double mean);
    double bound;
};

enum { SIZES = 16 };
static const int color_sizes[SIZES] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100, 257};

static double luma(const double rgb[3])
{
    return 0.2989 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

static void run_brightness(const struct kernels *k, float *x, float value, int pixels)
{
    k->brightness(x, value, 3 * (size_t)pixels);
}
static void brightness_oracle(double rgb[3], double value, double mean)
{
    (void)mean;
    for (int i = 0; i < 3; i++)
        rgb[i] = clamp01(rgb[i] * value);
}

static const float given_mean = 0.41f;
static void run_contrast(const struct kernels *k, float *x, float value, int pixels)
{
    k->contrast(x, given_mean, value, 3 * (size_t)pixels);
}
static void contrast_oracle(double rgb[3], double value, double mean)
{
    for (int i = 0; i < 3; i++)
        rgb[i] = clamp01(value * rgb[i] + (1 - value) * mean);
}

static void run_saturation(const struct kernels *k, float *x, float value, int pixels)
{
    k->saturation(x, value, pixels);
}
static void saturation_oracle(double rgb[3], double value, double mean)
{
    (void)mean;
    double grey = luma(rgb);
    for (int i = 0; i < 3; i++)
        rgb[i] = clamp01(value * rgb[i] + (1 - value) * grey);
}

static void run_hue(const struct kernels *k, float *x, float value, int pixels)
{
    k->hue(x, value, pixels);
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

static void run_solarize(const struct kernels *k, float *x, float value, int pixels)
{
    k->solarize(x, value, 3 * (size_t)pixels);
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

Test(augment_kernels, colors)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t i = 0; i < sizeof colors / sizeof *colors; i++)
        for (int s = 0; s < SIZES; s++)
            for (int v = 0; v < 5; v++) {
                const struct color_case *color = &colors[i];
                int pixels = color_sizes[s];
                size_t floats = 3 * (size_t)pixels;
                float source[3 * 257], expected[3 * 257], value = color->values[v];
                double want[3 * 257];
                fill_pixels(source, pixels, 3, (uint64_t)(100 * s + v));
                for (int p = 0; p < pixels; p++) {
                    double rgb[3] = {(double)source[p], (double)source[pixels + p], (double)source[2 * pixels + p]};
                    color->oracle(rgb, (double)value, (double)given_mean);
                    for (int ch = 0; ch < 3; ch++)
                        want[ch * pixels + p] = rgb[ch];
                }
                for (size_t k = 0; k < count; k++)
                    for (int at_start = 0; at_start < 2; at_start++) {
                        float *x = guard_alloc(floats * sizeof *x, at_start);
                        memcpy(x, source, floats * sizeof *x);
                        color->run(isas[k], x, value, pixels);
                        if (k == 0 && at_start == 0) {
                            expect_near(x, want, floats, color->bound, color->name, pixels);
                            for (size_t j = 0; j < floats; j++)
                                cr_assert(x[j] >= 0 && x[j] <= 1, "%s leaves [0, 1]: %.9g", color->name, (double)x[j]);
                            memcpy(expected, x, floats * sizeof *x);
                        }
                        expect_same_bits(expected, x, floats, "%s %s, %d pixels", color->name, isas[k]->name, pixels);
                        guard_free(x);
                    }
            }
}

Test(augment_kernels, saturation_zero_is_one_grey)
{
    const struct kernels *isas[8];
    test_isas(isas);
    float x[3 * 100];
    fill_pixels(x, 100, 3, 3);
    isas[0]->saturation(x, 0.0f, 100);
    expect_same_bits(x, x + 100, 100, "green");
    expect_same_bits(x, x + 200, 100, "blue");
}

Test(augment_kernels, grey_mean)
{
    static const int sizes[] = {1, 2, 15, 16, 17, 100, 4095, 4096, 4097, 9999};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int c = 1; c <= 3; c += 2)
            for (int at_start = 0; at_start < 2; at_start++) {
                int pixels = sizes[s];
                float *x = guard_alloc((size_t)c * (size_t)pixels * sizeof *x, at_start);
                fill_pixels(x, pixels, c, 5);
                double sum = 0;
                for (int i = 0; i < pixels; i++) {
                    double rgb[3] = {(double)x[i], (double)x[c == 3 ? pixels + i : i], (double)x[c == 3 ? 2 * pixels + i : i]};
                    sum += c == 3 ? luma(rgb) : rgb[0];
                }
                float expected = isas[0]->grey_mean(x, pixels, c);
                cr_assert(fabs((double)expected - sum / pixels) < 5e-7, "mean of %d pixels is %.9g, expected %.9g", pixels,
                          (double)expected, sum / pixels);
                for (size_t k = 1; k < count; k++) {
                    float got = isas[k]->grey_mean(x, pixels, c);
                    expect_same_bits(&expected, &got, 1, "grey_mean %s, %d pixels, %d channels", isas[k]->name, pixels, c);
                }
                guard_free(x);
            }
}

/* ---- Layout and resize ---- */

Test(augment_kernels, u8_to_planar_and_back)
{
    static const int widths[] = {1, 2, 3, 7, 8, 9, 16, 17, 33};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int mode = 0; mode < 8; mode++) {
            int w = widths[i], h = 8, c = mode & 1 ? 3 : 1, flip = mode >> 1 & 1, at_start = mode >> 2;
            ptrdiff_t ld = (ptrdiff_t)w * c + 5;
            size_t bytes = (size_t)(ld * (h - 1) + w * c), floats = (size_t)(h * w * c);
            uint8_t *src = guard_alloc(bytes, at_start);
            fill_bytes(src, bytes, (uint64_t)mode);
            float *planes = guard_alloc(floats * sizeof(float), at_start), *back = guard_alloc(floats * sizeof(float), at_start);
            for (size_t k = 0; k < count; k++) {
                isas[k]->u8_to_planar(planes, src, ld, h, w, c, flip);
                isas[k]->planar_to_nhwc(back, planes, h * w, c);
                for (int y = 0; y < h; y++)
                    for (int x = 0; x < w; x++)
                        for (int ch = 0; ch < c; ch++) {
                            float want = (float)src[y * ld + (flip ? w - 1 - x : x) * c + ch] / 255.0f;
                            cr_assert(planes[(ch * h + y) * w + x] == want, "%s: planar (%d, %d, %d)", isas[k]->name, y, x, ch);
                            cr_assert(back[(y * w + x) * c + ch] == want, "%s: interleaved (%d, %d, %d)", isas[k]->name, y, x, ch);
                        }
            }
            guard_free(src);
            guard_free(planes);
            guard_free(back);
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

Test(augment_kernels, resize_columns)
{
    enum { MOST = 48, TAPS = 7 };
    static const int outputs[] = {1, 3, 8, 15, 16, 17, 32, 33};
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t o = 0; o < sizeof outputs / sizeof *outputs; o++)
        for (int taps = 1; taps <= TAPS; taps++)
            for (int mode = 0; mode < 4; mode++) {
                int w_out = outputs[o], w_in = taps + (int)o * 3, c = mode & 1 ? 3 : 1, at_start = mode >> 1;
                int ldw = (w_out + 15) / 16 * 16;
                ptrdiff_t plane = w_out + mode;
                size_t floats = (size_t)((c - 1) * plane + w_out);
                float *src = guard_alloc((size_t)(w_in * c) * sizeof *src, at_start);
                float *dst = guard_alloc(floats * sizeof *dst, at_start);
                float *weights = guard_alloc((size_t)(taps * ldw) * sizeof *weights, at_start);
                int32_t *at = guard_alloc((size_t)ldw * sizeof *at, at_start);
                memset(weights, 0, (size_t)(taps * ldw) * sizeof *weights);
                memset(at, 0, (size_t)ldw * sizeof *at);
                struct rng rng = rng_stream((uint64_t)taps, RNG_TEST, 10, o);
                for (int i = 0; i < w_in * c; i++)
                    src[i] = rng_float(&rng);
                for (int x = 0; x < w_out; x++) {
                    float some[TAPS];
                    fill_weights(some, taps, (uint64_t)x);
                    at[x] = (int32_t)rng_below(&rng, (uint32_t)(w_in - taps + 1)) * c;
                    for (int t = 0; t < taps; t++)
                        weights[t * ldw + x] = some[t] * (x % 5 == 4 ? 3.0f : 1.0f); /* some sums are above one */
                }
                float expected[3 * MOST];
                for (size_t k = 0; k < isa_count; k++) {
                    memset(dst, 0xff, floats * sizeof *dst);
                    isas[k]->resize_columns(dst, plane, src, c, w_out, at, weights, ldw, taps);
                    for (int x = 0; x < w_out && k == 0; x++)
                        for (int ch = 0; ch < c; ch++) {
                            double want = 0;
                            for (int t = 0; t < taps; t++)
                                want += (double)weights[t * ldw + x] * (double)src[at[x] + t * c + ch];
                            want = want < 1 ? want : 1;
                            expect_near(dst + ch * plane + x, &want, 1, 2e-7 * taps, "resize_columns", w_out);
                        }
                    if (k == 0)
                        memcpy(expected, dst, floats * sizeof *dst);
                    expect_same_bits(expected, dst, floats, "resize_columns %s, %d columns, %d taps, %d channels", isas[k]->name,
                                     w_out, taps, c);
                    for (int gap = w_out; gap < plane && c > 1; gap++)
                        cr_assert(isnan(dst[gap]), "resize_columns %s writes between the planes", isas[k]->name);
                }
                guard_free(src);
                guard_free(dst);
                guard_free(weights);
                guard_free(at);
            }
}

/* ---- Blur ---- */

static int reflected(int i, int n)
{
    return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

static double blurred(const float *src, const float *weights, int taps, int h, int w, int y, int x)
{
    double sum = 0;
    for (int i = 0; i < taps; i++)
        for (int j = 0; j < taps; j++)
            sum += (double)weights[i] * (double)weights[j] *
                   (double)src[reflected(y + i - taps / 2, h) * w + reflected(x + j - taps / 2, w)];
    return sum;
}

static void check_blur(const struct kernels *const *isas, size_t isa_count, int h, int w, int taps, int at_start)
{
    size_t pixels = (size_t)(h * w);
    float *src = guard_alloc(pixels * sizeof *src, at_start), *dst = guard_alloc(pixels * sizeof *dst, at_start);
    float *tmp = guard_alloc((size_t)(BLUR_STRIP * (w + taps - 1)) * sizeof *tmp, at_start);
    float *expected = malloc(pixels * sizeof *expected);
    float weights[64];
    fill_pixels(src, (int)pixels, 1, (uint64_t)taps);
    fill_weights(weights, taps, (uint64_t)taps);
    for (size_t k = 0; k < isa_count; k++) {
        memset(dst, 0xff, pixels * sizeof *dst);
        isas[k]->blur(dst, src, tmp, weights, taps, h, w);
        for (size_t i = 0; i < pixels && k == 0; i++) {
            double want = blurred(src, weights, taps, h, w, (int)i / w, (int)i % w);
            expect_near(dst + i, &want, 1, 1.2e-7 * taps, "blur", w);
        }
        if (k == 0)
            memcpy(expected, dst, pixels * sizeof *dst);
        expect_same_bits(expected, dst, pixels, "blur %s, %d x %d, %d taps", isas[k]->name, h, w, taps);
    }
    guard_free(src);
    guard_free(dst);
    guard_free(tmp);
    free(expected);
}

Test(augment_kernels, blur)
{
    static const int sides[][2] = {{1, 1}, {2, 2}, {3, 5}, {5, 3}, {4, 16}, {7, 33}, {9, 8}, {6, 64}, {13, 71}, {40, 40}};
    static const int all_taps[] = {1, 3, 5, 9, 23};
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        for (size_t t = 0; t < sizeof all_taps / sizeof *all_taps; t++) {
            int h = sides[i][0], w = sides[i][1], taps = all_taps[t];
            if (taps / 2 < h && taps / 2 < w)
                for (int at_start = 0; at_start < 2; at_start++)
                    check_blur(isas, isa_count, h, w, taps, at_start);
        }
}
