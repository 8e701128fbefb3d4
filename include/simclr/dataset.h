/* Sets of images: files of any format that the program reads, or arrays of the caller's. */
#ifndef SIMCLR_DATASET_H
#define SIMCLR_DATASET_H

#include "simclr/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct simclr_dataset simclr_dataset;
typedef struct simclr_image simclr_image;

/* Opens a folder of images (JPEG, PNG, BMP; flat, nested, or one subfolder a class), CIFAR-10/100 or STL-10 binaries, or a .npy of
 * (N, H, W, C) or (N, H, W) bytes, recognised by looking. split: "train" or NULL, "test", or "labelled" (README.md of the project);
 * a set without it is SIMCLR_ERR_USAGE. settings: as in train.h, of which limit, channels and max-pixels count here. Files are read
 * when an image is asked for; names are listed now. */
SIMCLR_API enum simclr_status simclr_dataset_open(simclr_dataset **set, const simclr_engine *engine, const char *path, const char *split,
                                                  const char *const *settings, struct simclr_error *err);

/* A set of these image files (count), in this order, whatever their names end in; without labels. settings: as above. */
SIMCLR_API enum simclr_status simclr_dataset_open_files(simclr_dataset **set, const simclr_engine *engine, const char *const *paths,
                                                        size_t count, const char *const *settings, struct simclr_error *err);

/* A set of count images pixels (count, height, width, channels), bytes; labels (count), -1 for none, or NULL. The pixels are not copied:
 * they stay the caller's, unchanged, until the set is freed. count 1 to 2^32 - 1, sides 1 to 16384, channels 1 or 3. */
SIMCLR_API enum simclr_status simclr_dataset_from_arrays(simclr_dataset **set, const simclr_engine *engine, const uint8_t *pixels,
                                                         const int32_t *labels, size_t count, int32_t height, int32_t width,
                                                         int32_t channels, struct simclr_error *err);
SIMCLR_API void simclr_dataset_free(simclr_dataset *set);

SIMCLR_API size_t simclr_dataset_count(const simclr_dataset *set);
SIMCLR_API int32_t simclr_dataset_channels(const simclr_dataset *set); /* of the images handed out: 1 or 3 */
SIMCLR_API int32_t simclr_dataset_classes(const simclr_dataset *set);  /* 0: no labels */
SIMCLR_API int32_t simclr_dataset_label(const simclr_dataset *set, size_t index); /* -1: none */

/* "folder of images", "CIFAR-10 binary", "arrays in memory" ... The set's own. */
SIMCLR_API const char *simclr_dataset_kind(const simclr_dataset *set);

/* An image's path in the set, or "#17", cut to size bytes (at least 1) with its final zero; what would not print is written "\x1b". Returns
 * text. */
SIMCLR_API const char *simclr_dataset_name(const simclr_dataset *set, size_t index, char *text, size_t size);

/* Reads and decodes one image. A broken file is SIMCLR_ERR_FORMAT or SIMCLR_ERR_IO, and the sentence names it. */
SIMCLR_API enum simclr_status simclr_dataset_read(const simclr_dataset *set, size_t index, simclr_image **image, struct simclr_error *err);
SIMCLR_API void simclr_image_free(simclr_image *image);

SIMCLR_API int32_t simclr_image_height(const simclr_image *image);
SIMCLR_API int32_t simclr_image_width(const simclr_image *image);
SIMCLR_API int32_t simclr_image_channels(const simclr_image *image);
SIMCLR_API const uint8_t *simclr_image_pixels(const simclr_image *image); /* (height, width, channels), until it is freed */

#ifdef __cplusplus
}
#endif
#endif
