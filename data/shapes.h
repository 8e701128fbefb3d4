/* The embedded demonstration set: ten classes of drawn shapes and textures. */
#ifndef DATA_SHAPES_H
#define DATA_SHAPES_H

#include <stdint.h>

enum { SHAPES_CLASSES = 10, SHAPES_SIZE = 32 };

extern const char *const shapes_class_names[SHAPES_CLASSES];

/* Draws picture `index` of the set named by seed into rgb (SHAPES_SIZE, SHAPES_SIZE, 3) and returns its class, index % 10.
 * Pose, scale, light, colours and background vary with index. Same bytes on every machine. */
int shapes_draw(uint64_t seed, uint64_t index, uint8_t *rgb);

#endif
