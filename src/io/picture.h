/* Pictures on their way out: pixels to a JPEG or PNG file in memory. */
#ifndef IO_PICTURE_H
#define IO_PICTURE_H

#include "io/buffer.h"

#include <stdint.h>

/* Adds the file of pixels (h, w, c), c = 1 or 3, to a buffer; quality 1 to 100. The bytes are the same on every machine. */
void picture_jpeg(struct buffer *file, const uint8_t *pixels, int w, int h, int c, int quality);
void picture_png(struct buffer *file, const uint8_t *pixels, int w, int h, int c);

#endif
