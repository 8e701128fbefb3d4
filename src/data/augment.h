/* SimCLR's augmentations (Chen et al. 2020, appendix A) with torchvision's definitions: random resized crop, flip, colour jitter in
 * random order, greyscale, blur, solarize. Random parameters are drawn first, then applied to pixels: the two are separate. */
#ifndef DATA_AUGMENT_H
#define DATA_AUGMENT_H

#include "base/rng.h"
#include "data/dataset.h"
#include "simd/kernels.h"

struct augment_config {
    float crop_scale_min, crop_scale_max; /* share of the area; max 0: no crop, plain resize */
    float crop_ratio_min, crop_ratio_max;
    float flip_p;
    float jitter_p, brightness, contrast, saturation, hue;
    float grey_p;
    float blur_p, blur_sigma_min, blur_sigma_max;
    int blur_kernel;                      /* taps, made odd; 0: a tenth of the side */
    float solarize_p, solarize_threshold;
};

/* "paper", "cifar", "reference", "none"; returns 0, or -1 for an unknown name. */
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
void augment_draw(struct augment_params *params, const struct augment_config *config, int h, int w, struct rng *rng);

/* Bytes of scratch one thread needs for sources up to h x w and outputs of size x size. */
size_t augment_scratch(int max_h, int max_w, int channels, int size);

/* Applies params to image: out (size, size, c) interleaved floats in [0, 1]. */
void augment_apply(const struct kernels *k, float *out, const struct image *image, const struct augment_params *params,
                   const struct augment_config *config, int size, void *scratch);

/* A clean image for evaluation: shorter side resized to size (antialiased bilinear), centre crop; no randomness. */
void augment_clean(const struct kernels *k, float *out, const struct image *image, int size, void *scratch);

#endif
