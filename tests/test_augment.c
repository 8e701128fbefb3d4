/* Augmentation: pixels against torch where the choices are given, choices against torchvision's distributions, every ISA alike. */
#include "base/fmath.h"
#include "data/augment.h"
#include "tests/harness.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct augment_config preset(const char *name)
{
    struct augment_config config;
    cr_assert(augment_preset(&config, name) == 0, "no preset %s", name);
    return config;
}

/* ---- Pixels ---- */

/* One record of fixtures/augment_pixels.bin, as fixtures_augment.py describes it. */
struct pixel_case {
    int32_t h, w, c, size, clean, top, left, height, width, flip, jitter, order[4], grey, blur, kernel, solarize, unused;
    float brightness, contrast, saturation, hue, sigma, threshold;
};

/* A picture whose bytes, like scratch and output, lie between guard pages. */
static struct image guarded_image(int h, int w, int c)
{
    return (struct image){.h = h, .w = w, .c = c, .pixels = guard_alloc((size_t)h * (size_t)w * (size_t)c, 0)};
}

static struct image noise_image(int h, int w, int c, uint64_t seed)
{
    struct image image = guarded_image(h, w, c);
    struct rng rng = rng_stream(seed, RNG_TEST, 20, 0);
    for (size_t i = 0; i < (size_t)h * (size_t)w * (size_t)c; i++)
        image.pixels[i] = (uint8_t)rng_u32(&rng);
    return image;
}

/* The view on ISA k, by augment_clean where params is NULL; freed with guard_free. */
static float *view_of(const struct kernels *k, const struct image *image, const struct augment_params *params,
                      const struct augment_config *config, int size)
{
    size_t bytes = augment_scratch(image->h, image->w, image->c, size);
    void *scratch = guard_alloc(bytes, 0);
    float *out = guard_alloc((size_t)image->c * (size_t)size * (size_t)size * sizeof *out, 0);
    if (params)
        augment_apply(k, out, image, params, config, size, scratch);
    else
        augment_clean(k, out, image, size, scratch);
    guard_free(scratch);
    return out;
}

/* Checks that all ISAs give the same bits, in [0, 1]; returns scalar's view. */
static float *view_of_all(const struct image *image, const struct augment_params *params, const struct augment_config *config,
                          int size, const char *label)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas), floats = (size_t)image->c * (size_t)size * (size_t)size;
    float *expected = view_of(isas[0], image, params, config, size);
    for (size_t i = 0; i < floats; i++)
        cr_assert(expected[i] >= 0.0f && expected[i] <= 1.0f, "%s: value %zu is %g, outside [0, 1]", label, i, (double)expected[i]);
    for (size_t k = 1; k < isa_count; k++) {
        float *got = view_of(isas[k], image, params, config, size);
        expect_same_bits(expected, got, floats, "%s, %s", label, isas[k]->name);
        guard_free(got);
    }
    return expected;
}

static void check_pixel_case(const struct pixel_case *f, const struct image *image, const float *want, int index)
{
    struct augment_params p = {
        .top = f->top, .left = f->left, .height = f->height, .width = f->width, .flip = f->flip, .jitter = f->jitter,
        .order = {f->order[0], f->order[1], f->order[2], f->order[3]},
        .brightness = f->brightness, .contrast = f->contrast, .saturation = f->saturation, .hue = f->hue,
        .grey = f->grey, .solarize = f->solarize, .blur = f->blur, .sigma = f->sigma,
    };
    struct augment_config config = preset("paper");
    config.blur_kernel = f->kernel;
    config.solarize_threshold = f->threshold;
    char label[32];
    snprintf(label, sizeof label, "case %d", index);
    float *got = view_of_all(image, f->clean ? NULL : &p, &config, f->size, label);
    for (int i = 0; i < f->size * f->size * f->c; i++) {
        /* where solarize's threshold falls between the two results, either side may be taken */
        double error = fabs((double)got[i] - (double)want[i]), mirrored = fabs(1.0 - (double)got[i] - (double)want[i]);
        int at_threshold = f->solarize && mirrored < 1e-5 && fabs((double)want[i] - (double)f->threshold) < 1e-5;
        cr_assert(error < 1e-5 || at_threshold, "%s: value %d is %.7g, torch has %.7g", label, i, (double)got[i], (double)want[i]);
    }
    guard_free(got);
}

Test(augment, pixels_equal_torch)
{
    FILE *file = fopen(fixture_path("augment_pixels.bin"), "rb");
    cr_assert(file, "%s cannot be opened", fixture_path("augment_pixels.bin"));
    struct pixel_case f;
    _Static_assert(sizeof f == 26 * 4, "the record has no padding");
    int cases = 0;
    for (; fread(&f, sizeof f, 1, file) == 1; cases++) {
        size_t bytes = (size_t)(f.h * f.w * f.c), floats = (size_t)(f.size * f.size * f.c);
        struct image image = guarded_image(f.h, f.w, f.c);
        uint8_t padding[4];
        float *want = malloc(floats * sizeof *want);
        int complete = fread(image.pixels, 1, bytes, file) == bytes && fread(padding, 1, -bytes % 4, file) == -bytes % 4 &&
                       fread(want, sizeof *want, floats, file) == floats;
        cr_assert(complete, "%s is cut short", fixture_path("augment_pixels.bin"));
        check_pixel_case(&f, &image, want, cases);
        guard_free(image.pixels);
        free(want);
    }
    fclose(file);
    cr_assert(cases == 16, "%d cases", cases);
}

Test(augment, unchanged_pixels_are_bytes_over_255)
{
    struct augment_config none = preset("none");
    for (int c = 1; c <= 3; c += 2) {
        struct image image = noise_image(17, 17, c, 1);
        struct augment_params p;
        struct rng rng = rng_stream(1, RNG_AUGMENT, 0, 0);
        augment_draw(&p, &none, 17, 17, &rng);
        float *view = view_of_all(&image, &p, &none, 17, "none"), *clean = view_of_all(&image, NULL, NULL, 17, "clean");
        for (int i = 0; i < 17 * 17 * c; i++)
            cr_assert(view[i] == (float)image.pixels[i] / 255.0f && clean[i] == view[i], "value %d: %g, %g", i, (double)view[i],
                      (double)clean[i]);
        guard_free(view);
        guard_free(clean);
        guard_free(image.pixels);
    }
}

/* Every corner of the sizes, with everything switched on. */
Test(augment, any_size)
{
    static const int sources[][2] = {{1, 1}, {1, 9}, {64, 1}, {5, 3}, {32, 32}, {33, 100}, {150, 211}};
    static const int sizes[] = {1, 2, 3, 10, 15, 32, 33};
    struct augment_config config = preset("reference");
    config.jitter_p = config.solarize_p = 1.0f;
    config.blur_kernel = 9; /* wider than twice the smallest sizes */
    for (size_t s = 0; s < sizeof sources / sizeof *sources; s++)
        for (size_t o = 0; o < sizeof sizes / sizeof *sizes; o++)
            for (int c = 1; c <= 3; c += 2) {
                int h = sources[s][0], w = sources[s][1], size = sizes[o];
                struct image image = noise_image(h, w, c, s);
                struct rng rng = rng_stream(o, RNG_AUGMENT, 0, s);
                struct augment_params p;
                char label[64];
                snprintf(label, sizeof label, "%d x %d x %d to %d", h, w, c, size);
                augment_draw(&p, &config, h, w, &rng);
                guard_free(view_of_all(&image, &p, &config, size, label));
                guard_free(view_of_all(&image, NULL, NULL, size, label));
                guard_free(image.pixels);
            }
}

/* The whole image on ISA k, between guard pages like a view. */
static float *whole_of(const struct kernels *k, const struct image *image, int size, int *h, int *w)
{
    void *scratch = guard_alloc(augment_scratch(image->h, image->w, image->c, size), 0);
    float *out = guard_alloc((size_t)image->c * (size_t)size * (size_t)size * sizeof *out, 0);
    augment_whole(k, out, h, w, image, size, scratch);
    guard_free(scratch);
    return out;
}

/* Of a slope the resized image is nearly one, but for its border. A square image is the clean one. */
Test(augment, a_whole_image_keeps_its_shape)
{
    static const int shapes[][5] = {{40, 100, 50, 20, 50}, {100, 40, 30, 30, 12}, {31, 31, 16, 16, 16}, {9, 2000, 48, 1, 48}, {700, 1, 48, 48, 1},
                                    {3, 5, 20, 12, 20}};
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int h, w, size = shapes[s][2];
        struct image image = guarded_image(shapes[s][0], shapes[s][1], 1);
        for (int i = 0; i < image.h * image.w; i++)
            image.pixels[i] = (uint8_t)(i % image.w + i / image.w);
        float *want = whole_of(isas[0], &image, size, &h, &w);
        cr_expect(h == shapes[s][3] && w == shapes[s][4], "%d x %d becomes %d x %d", image.h, image.w, h, w);
        double down = (double)image.h / h, along = (double)image.w / w;
        for (int y = 2; y < h - 2; y++)
            for (int x = 2; x < w - 2; x++) {
                double slope = (y + 0.5) * down - 0.5 + (x + 0.5) * along - 0.5;
                cr_expect(image.h > 250 || image.w > 250 || fabs(255 * (double)want[y * w + x] - slope) < 0.25, "%zu: %d, %d", s, y, x);
            }
        for (size_t k = 0; k < isa_count; k++) {
            float *got = whole_of(isas[k], &image, size, &h, &w), *clean = view_of(isas[k], &image, NULL, NULL, size);
            expect_same_bits(want, got, (size_t)(h * w), "%s", isas[k]->name);
            if (image.h == image.w)
                expect_same_bits(want, clean, (size_t)(h * w), "clean, %s", isas[k]->name);
            guard_free(got);
            guard_free(clean);
        }
        guard_free(want);
        guard_free(image.pixels);
    }
}

Test(augment, constant_pictures_stay_constant)
{
    struct augment_config config = preset("paper");
    struct augment_params p = {.top = 2, .left = 1, .height = 23, .width = 37, .blur = 1, .sigma = 1.7f};
    for (int value = 0; value < 256; value += 51) {
        struct image image = guarded_image(30, 40, 3);
        memset(image.pixels, value, 30 * 40 * 3);
        float *view = view_of_all(&image, &p, &config, 64, "constant");
        for (int i = 0; i < 64 * 64 * 3; i++)
            cr_assert(fabs((double)view[i] - value / 255.0) < 1e-6, "%d becomes %g", value, (double)view[i] * 255);
        guard_free(view);
        guard_free(image.pixels);
    }
}

Test(augment, scratch_does_not_grow_with_the_picture)
{
    size_t bytes = augment_scratch(4000, 6000, 3, 224);
    cr_assert(bytes < 8 << 20, "%zu bytes for a photograph of 6000 x 4000", bytes);
    cr_assert(augment_scratch(6000, 4000, 3, 224) <= bytes, "a portrait needs more than a landscape");
}

/* ---- Choices ---- */

enum { DRAWS = 20000 };

static struct augment_params draw(const struct augment_config *config, int h, int w, uint64_t seed, uint64_t index)
{
    struct rng rng = rng_stream(seed, RNG_AUGMENT, 0, index);
    struct augment_params p;
    augment_draw(&p, config, h, w, &rng);
    return p;
}

static double number(const json_t *object, const char *key, size_t index)
{
    const json_t *value = json_object_get(object, key);
    return json_number_value(json_is_array(value) ? json_array_get(value, index) : value);
}

static void count_bin(long bins[10], double value)
{
    int bin = (int)(value * 10 + 1e-9);
    bins[bin < 0 ? 0 : bin > 9 ? 9 : bin]++;
}

/* Two samples of DRAWS each, ten bins: chi-square with at most 9 degrees of freedom exceeds 40 once in 130,000. */
static double two_sample_chi_square(const long bins[10], const json_t *set, const char *key)
{
    double sum = 0;
    for (size_t i = 0; i < 10; i++) {
        double a = (double)bins[i], b = number(set, key, i);
        sum += a + b > 0 ? (a - b) * (a - b) / (a + b) : 0;
    }
    return sum;
}

static void check_crops(const json_t *set)
{
    int h = (int)number(set, "h", 0), w = (int)number(set, "w", 0);
    struct augment_config config = preset("paper");
    double least = number(set, "ratio", 0), most = number(set, "ratio", 1);
    config.crop_scale_min = (float)number(set, "scale", 0);
    config.crop_scale_max = (float)number(set, "scale", 1);
    config.crop_ratio_min = (float)least;
    config.crop_ratio_max = (float)most;
    /* after ten failures: the largest centred box of an allowed ratio */
    double ratio = (double)w / h, low = fm_log(least / 1.5), high = fm_log(most * 1.5);
    int fallback_w = ratio > most ? (int)(h * most + 0.5) : ratio < least ? w : 0;
    int fallback_h = ratio < least ? (int)(w / least + 0.5) : h;
    long fallbacks = 0, area[10] = {0}, aspect[10] = {0}, y[10] = {0}, x[10] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct augment_params p = draw(&config, h, w, 3, i);
        cr_assert(p.top >= 0 && p.left >= 0 && p.height > 0 && p.width > 0 && p.top + p.height <= h && p.left + p.width <= w,
                  "crop (%d, %d, %d, %d) leaves %d x %d", p.top, p.left, p.height, p.width, h, w);
        fallbacks += p.width == fallback_w && p.height == fallback_h;
        count_bin(area, (double)p.height * p.width / ((double)h * w));
        count_bin(aspect, (fm_log((double)p.width / p.height) - low) / (high - low));
        count_bin(y, (p.top + p.height / 2.0) / h);
        count_bin(x, (p.left + p.width / 2.0) / w);
    }
    const struct { const char *key; const long *bins; } quantities[] = {{"area", area}, {"aspect", aspect}, {"y", y}, {"x", x}};
    for (int q = 0; q < 4; q++) {
        double chi = two_sample_chi_square(quantities[q].bins, set, quantities[q].key);
        cr_assert(chi < 40, "%d x %d: %s differs from torchvision's, chi-square %.1f", h, w, quantities[q].key, chi);
    }
    double expected = number(set, "fallbacks", 0), share = expected / DRAWS;
    cr_assert(fabs((double)fallbacks - expected) <= 4.5 * sqrt(2 * DRAWS * share * (1 - share)),
              "%d x %d: %ld fallbacks, torchvision %g", h, w, fallbacks, expected);
}

Test(augment, crops_are_distributed_as_torchvisions)
{
    json_t *fixture = json_load_file(fixture_path("augment_draws.json"), 0, NULL);
    cr_assert(fixture, "%s cannot be read", fixture_path("augment_draws.json"));
    cr_assert(number(fixture, "draws", 0) == DRAWS && json_array_size(json_object_get(fixture, "sets")) == 8);
    size_t i;
    json_t *set;
    json_array_foreach(json_object_get(fixture, "sets"), i, set)
        check_crops(set);
    json_decref(fixture);
}

static void expect_share(long hits, double p, const char *what)
{
    double deviation = sqrt(DRAWS * p * (1 - p));
    cr_assert(fabs((double)hits - DRAWS * p) <= 4 * deviation, "%s: %ld of %d, expected a share of %g", what, hits, DRAWS, p);
}

Test(augment, probabilities)
{
    struct augment_config config = preset("paper");
    config.solarize_p = 0.1f;
    long flip = 0, jitter = 0, grey = 0, blur = 0, solarize = 0, flip_and_grey = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct augment_params p = draw(&config, 32, 32, 4, i);
        flip += p.flip;
        jitter += p.jitter;
        grey += p.grey;
        blur += p.blur;
        solarize += p.solarize;
        flip_and_grey += p.flip && p.grey;
    }
    expect_share(flip, 0.5, "flip");
    expect_share(jitter, 0.8, "jitter");
    expect_share(grey, 0.2, "grey");
    expect_share(blur, 0.5, "blur");
    expect_share(solarize, 0.1, "solarize");
    expect_share(flip_and_grey, 0.1, "flip and grey together");
}

Test(augment, presets)
{
    struct augment_config paper = preset("paper"), cifar = preset("cifar"), reference = preset("reference"), none = preset("none");
    cr_assert(paper.brightness == 0.8f && paper.hue == 0.2f && cifar.brightness == 0.4f && cifar.hue == 0.1f);
    cr_assert(augment_preset(&paper, "imagenet") == -1, "an unknown preset is taken");
    long blurred = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        blurred += draw(&reference, 20, 30, 5, i).blur;
        cr_assert(!draw(&cifar, 20, 30, 5, i).blur);
        struct augment_params p = draw(&none, 20, 30, 5, i);
        cr_assert(!p.flip && !p.jitter && !p.grey && !p.blur && !p.solarize, "none does something");
        cr_assert(p.top == 0 && p.left == 0 && p.height == 20 && p.width == 30, "none crops");
    }
    cr_assert(blurred == 1000, "reference blurs %ld of 1000", blurred);
}

/* All 24 orders alike: chi-square with 23 degrees of freedom exceeds 60 once in 30,000. */
Test(augment, orders)
{
    struct augment_config config = preset("paper");
    long count[256] = {0}, orders = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct augment_params p = draw(&config, 32, 32, 6, i);
        int seen = 0, code = 0;
        for (int j = 0; j < 4; j++) {
            seen |= 1 << p.order[j];
            code = 4 * code + p.order[j];
        }
        cr_assert(seen == 15, "not a permutation");
        count[code]++;
    }
    double chi = 0;
    for (int code = 0; code < 256; code++)
        if (count[code]) {
            chi += ((double)count[code] - DRAWS / 24.0) * ((double)count[code] - DRAWS / 24.0) / (DRAWS / 24.0);
            orders++;
        }
    cr_assert(orders == 24 && chi < 60, "%ld orders, chi-square %.1f", orders, chi);
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov-Smirnov: sqrt(n) D exceeds 2.2 once in 8,000. */
static void expect_uniform(float *values, double low, double high, const char *what)
{
    double worst = 0;
    qsort(values, DRAWS, sizeof *values, ascending);
    cr_assert((double)values[0] >= low - 1e-6 && (double)values[DRAWS - 1] <= high + 1e-6, "%s leaves [%g, %g]", what, low, high);
    for (int i = 0; i < DRAWS; i++) { /* without fmax, on which GCC 12 for arm64 stumbles here */
        double gap = fabs(((double)values[i] - low) / (high - low) - (i + 0.5) / DRAWS);
        worst = gap > worst ? gap : worst;
    }
    cr_assert(worst * sqrt(DRAWS) < 2.2, "%s is not uniform in [%g, %g]: %g", what, low, high, worst * sqrt(DRAWS));
}

Test(augment, factors_are_uniform)
{
    static float brightness[DRAWS], contrast[DRAWS], saturation[DRAWS], hue[DRAWS], sigma[DRAWS];
    struct augment_config config = preset("paper");
    config.contrast = 1.5f; /* a strength over one is cut at factor zero */
    config.saturation = 0.4f;
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct augment_params p = draw(&config, 32, 32, 7, i);
        brightness[i] = p.brightness;
        contrast[i] = p.contrast;
        saturation[i] = p.saturation;
        hue[i] = p.hue;
        sigma[i] = p.sigma;
    }
    expect_uniform(brightness, 0.2, 1.8, "brightness");
    expect_uniform(contrast, 0.0, 2.5, "contrast");
    expect_uniform(saturation, 0.6, 1.4, "saturation");
    expect_uniform(hue, -0.2, 0.2, "hue");
    expect_uniform(sigma, 0.1, 2.0, "sigma");
}

Test(augment, one_probability_leaves_other_choices_alone)
{
    struct augment_config config = preset("paper"), changed = config;
    changed.flip_p = 0.0f;
    changed.blur_p = 1.0f;
    changed.grey_p = 0.9f;
    for (uint64_t i = 0; i < 100; i++) {
        struct augment_params a = draw(&config, 50, 40, 8, i), b = draw(&changed, 50, 40, 8, i);
        a.flip = b.flip = a.blur = b.blur = a.grey = b.grey = 0;
        cr_assert(memcmp(&a, &b, sizeof a) == 0, "draw %d", (int)i);
    }
}
