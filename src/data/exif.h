/* How a camera was held: the orientation that a JPEG's Exif segment names (JEITA CP-3451, tag 0x0112). */
#ifndef DATA_EXIF_H
#define DATA_EXIF_H

#include "data/dataset.h"

/* 1 to 8: which sides of the picture the stored rows and columns begin at; 1, as stored, where the file does not say or is damaged.
 * Reads nothing outside of data's size bytes, whatever they are. */
int exif_orientation(const uint8_t *data, size_t size);

/* Turns the picture upright; 1 changes nothing. The error's text is the reason alone. */
enum simclr_status exif_apply(struct image *image, int orientation, struct simclr_error *err);

#endif
