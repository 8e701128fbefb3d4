/* Features of images. An image's features are the same in every batch.
 *
 * In all of them h is (count, simclr_model_feature_dim) and z (count, simclr_model_projection_dim); either may be NULL: not wanted. A
 * model serves one of these calls at a time. */
#ifndef SIMCLR_EMBED_H
#define SIMCLR_EMBED_H

#include "simclr/dataset.h"
#include "simclr/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of all images of a set, in its order. Each is resized so that its shorter side is the model's (bilinear, antialiased, as Pillow and
 * torchvision do it) and cut to the middle. broken (count), or NULL: whether an image could not be read; its rows are 0 then. The set must
 * have the model's channels. */
SIMCLR_API enum simclr_status simclr_embed(simclr_model *model, const simclr_dataset *set, float *h, float *z, bool *broken,
                                           struct simclr_error *err);

/* The same of images in memory: pixels (count, height, width, channels), bytes, channels 1 or 3: grey is replicated and colour converted to
 * what the model has. */
SIMCLR_API enum simclr_status simclr_embed_pixels(simclr_model *model, const uint8_t *pixels, size_t count, int32_t height, int32_t width,
                                                  int32_t channels, float *h, float *z, struct simclr_error *err);

/* Of images that are as the network wants them: x (count, S, S, channels), bytes / 255. */
SIMCLR_API enum simclr_status simclr_embed_floats(simclr_model *model, const float *x, size_t count, float *h, float *z,
                                                  struct simclr_error *err);

#ifdef __cplusplus
}
#endif
#endif
