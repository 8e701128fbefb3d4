/* Image files to pixels, through one decoder (stb_image) on every machine. */
#ifndef DATA_DECODE_H
#define DATA_DECODE_H

#include "data/dataset.h"

enum {
    DECODE_MAX_SIDE = 16384,
    DECODE_MAX_PIXELS = 1 << 27, /* 134 million: 400 MB decoded; more is taken for a decompression bomb */
};

/* Decodes a whole JPEG, PNG or BMP file in memory: grey files give c = 1, others 3; alpha is dropped, 16 bits cut to 8. Data that
 * ends early is an error, not a picture with a black end. A JPEG is turned as its Exif orientation asks. Safe on any bytes and from any thread. The error's text is the reason
 * alone, without the name of the file. */
enum simclr_status image_decode(struct image *image, const uint8_t *data, size_t size, struct simclr_error *err);

/* Converts to 1 channel (ITU-R 601 luma, rounded as Pillow's "L") or 3 (replicated), in place where it can. */
enum simclr_status image_set_channels(struct image *image, int channels, struct simclr_error *err);

#endif
