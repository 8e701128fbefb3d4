/* The selftest's pixels: augmentation kernels, whole views, and pictures of the generated set. */
#include "cli/selftest_cases.h"

#include "base/status.h"
#include "data/augment.h"
#include "data/shapes.h"

enum { H = 23, W = 37, PIXELS = H * W };

static void u8_to_f32(struct selftest *t)
{
    const uint8_t *src = selftest_bytes(t, PIXELS);
    float *dst = selftest_floats(t, PIXELS);
    t->k->u8_to_f32(dst, src, PIXELS);
    selftest_absorb_floats(t, dst, PIXELS);
}

static void resize_rows(struct selftest *t)
{
    static const int taps[] = {1, 2, 5, 19};
    for (int i = 0; i < 4; i++) {
        enum { COUNT = W * 3 };
        const uint8_t *src = selftest_bytes(t, (size_t)taps[i] * (COUNT + 1));
        float *weights = selftest_unit(t, (size_t)taps[i]), *dst = selftest_floats(t, COUNT);
        t->k->resize_rows(dst, src, COUNT + 1, COUNT, weights, taps[i]);
        selftest_absorb_floats(t, dst, COUNT);
    }
}

static void transpose(struct selftest *t)
{
    enum { STRIDE = W + 2 };
    float *src = selftest_unit(t, STRIDE * H), *dst = selftest_floats(t, PIXELS);
    t->k->transpose(dst, H, src, STRIDE, H, W);
    selftest_absorb_floats(t, dst, PIXELS);
}

static void resize_columns(struct selftest *t)
{
    enum { OUT = 21, TAPS = 5 };
    for (int c = 1; c <= 3; c += 2)
        for (int rows = 1; rows <= RESIZE_STRIP; rows += 5) {
            int32_t *from = selftest_block(t, OUT * sizeof *from), *taps = selftest_block(t, OUT * sizeof *taps);
            float *src = selftest_unit(t, (size_t)(W * c * RESIZE_STRIP)), *weights = selftest_unit(t, OUT * TAPS);
            float *dst = selftest_floats(t, (size_t)(OUT * c * RESIZE_STRIP));
            for (int x = 0; x < OUT; x++) {
                taps[x] = 1 + x % TAPS;
                from[x] = x * (W - taps[x]) / OUT;
                for (int tap = 0; tap < TAPS; tap++)
                    weights[x * TAPS + tap] *= 1.1f / (float)taps[x];
            }
            t->k->resize_columns(dst, rows, src, c, OUT, rows, from, taps, weights, TAPS);
            selftest_absorb_floats(t, dst, (size_t)(OUT * c * rows));
        }
}

static void brightness(struct selftest *t)
{
    static const float factors[] = {0, 0.3f, 1, 1.8f};
    for (int i = 0; i < 4; i++) {
        float *x = selftest_unit(t, PIXELS);
        t->k->brightness(x, factors[i], PIXELS);
        selftest_absorb_floats(t, x, PIXELS);
    }
}

static void grey_mean(struct selftest *t)
{
    for (int c = 1; c <= 3; c += 2) {
        float mean = t->k->grey_mean(selftest_unit(t, (size_t)(PIXELS * c)), W, c, H);
        selftest_absorb_floats(t, &mean, 1);
    }
}

static void contrast(struct selftest *t)
{
    static const float factors[] = {0, 0.3f, 1.8f};
    for (int i = 0; i < 3; i++) {
        float *x = selftest_unit(t, PIXELS);
        t->k->contrast(x, 0.45f, factors[i], PIXELS);
        selftest_absorb_floats(t, x, PIXELS);
    }
}

static void saturation(struct selftest *t)
{
    static const float factors[] = {0, 0.3f, 1.8f};
    for (int i = 0; i < 3; i++) {
        float *x = selftest_unit(t, 3 * PIXELS);
        t->k->saturation(x, factors[i], W, H);
        selftest_absorb_floats(t, x, 3 * PIXELS);
    }
}

static void hue(struct selftest *t)
{
    static const float shifts[] = {-0.5f, -0.2f, 0, 0.1f, 0.5f};
    for (int i = 0; i < 5; i++) {
        float *x = selftest_unit(t, 3 * PIXELS);
        for (int p = 0; p < 7; p++) /* greys, black, white, pure and paired colours: where the selects decide */
            for (int channel = 0; channel < 3; channel++)
                x[channel * H + p] = (float)(p >> channel & 1);
        x[7] = x[H + 7] = x[2 * H + 7] = 1;
        x[8] = x[H + 8] = x[2 * H + 8] = 0.25f;
        t->k->hue(x, shifts[i], W, H);
        selftest_absorb_floats(t, x, 3 * PIXELS);
    }
}

static void solarize(struct selftest *t)
{
    float *x = selftest_unit(t, PIXELS);
    x[3] = 0.5f;
    t->k->solarize(x, 0.5f, PIXELS);
    selftest_absorb_floats(t, x, PIXELS);
}

/* In place along one axis, and both ways of an interleaved image. */
static void blur(struct selftest *t)
{
    static const int radii[] = {0, 1, 4, 11};
    for (int i = 0; i < 4; i++)
        for (int c = 1; c <= 3; c += 2) {
            int radius = radii[i];
            size_t used = t->used, floats = (size_t)(PIXELS * c);
            float *src = selftest_unit(t, floats), *columns = selftest_floats(t, floats), *dst = selftest_floats(t, floats);
            float *weights = selftest_unit(t, (size_t)radius + 1);
            float *tmp = selftest_floats(t, (size_t)(BLUR_PANEL * (W + 2 * radius) * c));
            for (int k = 0; k <= radius; k++)
                weights[k] *= 2.1f / (float)(2 * radius + 1);
            t->k->blur(columns, src, tmp, weights, radius, W, c, H, true);
            t->k->blur(dst, columns, tmp, weights, radius, H, 1, W * c, true);
            t->k->blur(src, src, tmp, weights, radius, W, c, H, false);
            selftest_absorb_floats(t, columns, floats);
            selftest_absorb_floats(t, dst, floats);
            selftest_absorb_floats(t, src, floats);
            t->used = used;
        }
}

/* Views as training draws them, of pictures that must be shrunk and of one that fits. */
static void augment(struct selftest *t)
{
    static const char *const presets[] = {"paper", "cifar", "reference", "none"};
    static const int sizes[][2] = {{41, 60}, {32, 32}, {7, 90}};
    enum { SIZE = 32, VIEWS = 3 };
    for (int p = 0; p < 4; p++)
        for (int s = 0; s < 3; s++)
            for (int c = 1; c <= 3; c += 2) {
                struct augment_config config;
                struct augment_params params;
                int h = sizes[s][0], w = sizes[s][1];
                if (augment_preset(&config, presets[p]) != 0) {
                    t->status = fail(&t->err, SIMCLR_ERR_USAGE, "there is no preset %s", presets[p]);
                    return;
                }
                config.solarize_p = 0.2f;
                config.solarize_threshold = 0.5f;
                size_t used = t->used, floats = (size_t)(SIZE * SIZE * c);
                struct image image = {.h = h, .w = w, .c = c, .pixels = selftest_bytes(t, (size_t)(h * w * c))};
                void *scratch = selftest_block(t, augment_scratch(h, w, c, SIZE));
                float *out = selftest_floats(t, floats);
                for (int view = 0; view < VIEWS; view++) {
                    struct rng rng = rng_stream(7, RNG_AUGMENT, (uint32_t)s, (uint64_t)view);
                    augment_draw(&params, &config, h, w, &rng);
                    augment_apply(t->k, out, &image, &params, &config, SIZE, scratch);
                    selftest_absorb_floats(t, out, floats);
                }
                augment_clean(t->k, out, &image, SIZE, scratch);
                selftest_absorb_floats(t, out, floats);
                t->used = used;
            }
}

static void shapes(struct selftest *t)
{
    for (uint64_t i = 0; i < 2 * SHAPES_CLASSES; i++) {
        uint8_t rgb[SHAPES_SIZE * SHAPES_SIZE * 3];
        int32_t label = shapes_draw(0, i, rgb);
        selftest_absorb(t, rgb, sizeof rgb);
        selftest_absorb(t, &label, sizeof label);
    }
}

static const struct selftest_case of_pixels[] = {
    {"u8_to_f32", u8_to_f32}, {"resize_rows", resize_rows}, {"transpose", transpose},
    {"resize_columns", resize_columns}, {"brightness", brightness}, {"grey_mean", grey_mean}, {"contrast", contrast},
    {"saturation", saturation}, {"hue", hue}, {"solarize", solarize}, {"blur", blur}, {"augment", augment}, {"shapes", shapes},
    {"decode", selftest_decode},
};

const struct selftest_group selftest_images = {"augmentation, decoding", of_pixels, sizeof of_pixels / sizeof of_pixels[0]};
