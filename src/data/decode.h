/* Image files to pixels, through one decoder (stb_image) on every machine. */
#ifndef DATA_DECODE_H
#define DATA_DECODE_H

#include "data/dataset.h"

enum { DECODE_MAX_SIDE = 16384, DECODE_PIXEL_BYTES = 8 /* at most, in a file: 16 bits in four channels */ };

/* The sides that a JPEG, PNG or BMP file claims, from its first bytes alone (image->w and h; there are no pixels). More than
 * max_pixels is an error. */
enum simclr_status image_header(struct image *image, const uint8_t *data, size_t size, size_t max_pixels, struct simclr_error *err);

/* Decodes a whole JPEG, PNG or BMP file in memory: grey files give c = 1, others 3; alpha is dropped, 16 bits cut to 8. Data that
 * ends early is an error, not a picture with a black end; so is, before any memory is taken for it, what has more than max_pixels. A JPEG
 * is turned as its Exif orientation asks. Safe on any bytes and from any thread. The error's text is the reason alone, without the name
 * of the file. */
enum simclr_status image_decode(struct image *image, const uint8_t *data, size_t size, size_t max_pixels, struct simclr_error *err);

/* Converts to 1 channel (ITU-R 601 luma, rounded as Pillow's "L") or 3 (replicated), in place where it can. */
enum simclr_status image_set_channels(struct image *image, int channels, struct simclr_error *err);

#endif
