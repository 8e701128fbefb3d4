/* SimCLR's augmentations (Chen et al. 2020, appendix A) with torchvision's definitions: random resized crop, flip, color jitter in
 * random order, greyscale, blur, solarize, in this order. Random parameters are drawn first (augment_params.c), then applied to
 * pixels (augment_pixels.c): the two are separate. Nothing here allocates or fails. */
#ifndef DATA_AUGMENT_H
#define DATA_AUGMENT_H

#include "base/rng.h"
#include "data/dataset.h"
#include "simd/kernels.h"

struct augment_config {
    float crop_scale_min, crop_scale_max; /* share of the area; max 0: no crop, plain resize */
    float crop_ratio_min, crop_ratio_max; /* width / height, log-uniform */
    float flip_p;
    float jitter_p, brightness, contrast, saturation, hue; /* factors are uniform in [max(0, 1 - b), 1 + b], hue in [-h, h] turns */
    float grey_p;
    float blur_p, blur_sigma_min, blur_sigma_max;
    int blur_kernel; /* taps, made odd upwards; 0: a tenth of the side; cut to 2 side - 1, and where weights are under 2^-27 */
    float solarize_p, solarize_threshold;
};

/* "paper" (Chen et al. for ImageNet), "cifar" (half the jitter, no blur), "reference" (paper, but every view is blurred), "none"
 * (plain resize); returns 0, or -1 for an unknown name. */
int augment_preset(struct augment_config *config, const char *name);

/* One view's random choices. */
struct augment_params {
    int top, left, height, width; /* of the crop in the source */
    int flip;
    int jitter;                   /* whether the group of four applies */
    int order[4];                 /* permutation of 0 brightness, 1 contrast, 2 saturation, 3 hue */
    float brightness, contrast, saturation, hue; /* factors; hue is a shift in turns */
    int grey, solarize, blur;
    float sigma;
};
/* For a source of h x w. The crop, whose number of draws depends on chance, is drawn last; all else always takes the same draws,
 * so that changing one probability leaves the other choices of a seed as they were. */
void augment_draw(struct augment_params *params, const struct augment_config *config, int h, int w, struct rng *rng);

/* Bytes of scratch that one thread needs for sources up to max_h x max_w and outputs of size x size: the output once
 * more, and strips of RESIZE_STRIP rows of the source's width. Aligned for any type (64 bytes is best). */
size_t augment_scratch(int max_h, int max_w, int channels, int size);

/* Applies params to image: out (size, size, c) interleaved floats in [0, 1]. With one channel, grey, saturation and hue do
 * nothing. The resize is antialiased bilinear; where the crop is size x size already, pixels are byte / 255 exactly. */
void augment_apply(const struct kernels *k, float *out, const struct image *image, const struct augment_params *params,
                   const struct augment_config *config, int size, void *scratch);

/* A clean image for evaluation: shorter side resized to size (antialiased bilinear), centre crop; no randomness. */
void augment_clean(const struct kernels *k, float *out, const struct image *image, int size, void *scratch);

/* The whole image, its longer side resized to size, for people: out (*h, *w, c), the shorter of which is rounded up. */
void augment_whole(const struct kernels *k, float *out, int *h, int *w, const struct image *image, int size, void *scratch);

/* The blur alone, of interleaved floats in [0, 1]: out (h, w, c) from in, which it may be. kernel: odd taps, at most 2 side - 1. */
void augment_blur(const struct kernels *k, float *out, const float *in, int h, int w, int c, float sigma, int kernel, void *scratch);
size_t augment_blur_scratch(int h, int w, int c); /* bytes, aligned as above */

/* [0, 1] to the nearest bytes. */
void augment_round(uint8_t *bytes, const float *x, size_t count);

#endif
