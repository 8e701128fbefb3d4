/* What is drawn for a view: torchvision's get_params of RandomResizedCrop and ColorJitter, over our generator. */
#include "base/fmath.h"
#include "data/augment.h"

#include <math.h>
#include <string.h>

int augment_preset(struct augment_config *config, const char *name)
{
    struct augment_config paper = {
        .crop_scale_min = 0.08f, .crop_scale_max = 1.0f, .crop_ratio_min = 3.0f / 4.0f, .crop_ratio_max = 4.0f / 3.0f,
        .flip_p = 0.5f,
        .jitter_p = 0.8f, .brightness = 0.8f, .contrast = 0.8f, .saturation = 0.8f, .hue = 0.2f,
        .grey_p = 0.2f,
        .blur_p = 0.5f, .blur_sigma_min = 0.1f, .blur_sigma_max = 2.0f, .blur_kernel = 0,
        .solarize_p = 0.0f, .solarize_threshold = 0.5f,
    };
    if (strcmp(name, "paper") == 0) {
        *config = paper;
    } else if (strcmp(name, "cifar") == 0) {
        *config = paper;
        config->brightness = config->contrast = config->saturation = 0.4f;
        config->hue = 0.1f;
        config->blur_p = 0.0f;
    } else if (strcmp(name, "reference") == 0) {
        *config = paper;
        config->blur_p = 1.0f;
    } else if (strcmp(name, "none") == 0) {
        *config = paper;
        config->crop_scale_max = config->flip_p = config->jitter_p = config->grey_p = config->blur_p = 0.0f;
    } else {
        return -1;
    }
    return 0;
}

/* A uniform in [0, 1) is always drawn; p = 1 is always true and p = 0 never. */
static int chance(struct rng *rng, float p)
{
    return rng_float(rng) < p;
}

static float jitter_factor(struct rng *rng, float strength)
{
    return rng_uniform(rng, strength < 1.0f ? 1.0f - strength : 0.0f, 1.0f + strength);
}

/* One of the 24 permutations from one draw. */
static void draw_order(int order[4], struct rng *rng)
{
    uint32_t code = rng_below(rng, 24);
    for (int i = 0; i < 4; i++)
        order[i] = i;
    for (int i = 3; i > 0; i--) {
        int j = (int)(code % (uint32_t)(i + 1)), swapped = order[i];
        code /= (uint32_t)(i + 1);
        order[i] = order[j];
        order[j] = swapped;
    }
}

static int round_to_int(double x) /* 0 <= x */
{
    return x < 1e9 ? (int)floor(x + 0.5) : 1000000000;
}

/* The largest centred box whose ratio is allowed. */
static void centre_crop(struct augment_params *p, const struct augment_config *config, int h, int w)
{
    double ratio = (double)w / h;
    p->width = w;
    p->height = h;
    if (ratio < (double)config->crop_ratio_min)
        p->height = round_to_int(w / (double)config->crop_ratio_min);
    else if (ratio > (double)config->crop_ratio_max)
        p->width = round_to_int(h * (double)config->crop_ratio_max);
    p->height = p->height < 1 ? 1 : p->height > h ? h : p->height;
    p->width = p->width < 1 ? 1 : p->width > w ? w : p->width;
    p->top = (h - p->height) / 2;
    p->left = (w - p->width) / 2;
}

static void draw_crop(struct augment_params *p, const struct augment_config *config, int h, int w, struct rng *rng)
{
    double scale_min = (double)config->crop_scale_min, scale_range = (double)config->crop_scale_max - scale_min;
    double log_min = fm_log((double)config->crop_ratio_min), log_range = fm_log((double)config->crop_ratio_max) - log_min;
    for (int attempt = 0; attempt < 10; attempt++) {
        double area = (double)h * w * (scale_min + scale_range * (double)rng_float(rng));
        double ratio = fm_exp(log_min + log_range * (double)rng_float(rng));
        p->width = round_to_int(sqrt(area * ratio));
        p->height = round_to_int(sqrt(area / ratio));
        if (p->width > 0 && p->width <= w && p->height > 0 && p->height <= h) {
            p->top = (int)rng_below(rng, (uint32_t)(h - p->height) + 1);
            p->left = (int)rng_below(rng, (uint32_t)(w - p->width) + 1);
            return;
        }
    }
    centre_crop(p, config, h, w);
}

void augment_draw(struct augment_params *params, const struct augment_config *config, int h, int w, struct rng *rng)
{
    *params = (struct augment_params){.height = h, .width = w};
    params->flip = chance(rng, config->flip_p);
    params->jitter = chance(rng, config->jitter_p);
    draw_order(params->order, rng);
    params->brightness = jitter_factor(rng, config->brightness);
    params->contrast = jitter_factor(rng, config->contrast);
    params->saturation = jitter_factor(rng, config->saturation);
    params->hue = rng_uniform(rng, -config->hue, config->hue);
    params->grey = chance(rng, config->grey_p);
    params->blur = chance(rng, config->blur_p);
    params->sigma = rng_uniform(rng, config->blur_sigma_min, config->blur_sigma_max);
    params->solarize = chance(rng, config->solarize_p);
    if (config->crop_scale_max > 0.0f)
        draw_crop(params, config, h, w, rng);
}
