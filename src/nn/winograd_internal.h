/* What the passes of a Winograd convolution share: how the pixels of a slice (slices.h) become tiles of 4x4 outputs. Tiles of a slice
 * are numbered image by image, row by row. Where an image is no multiple of 4, its last tiles reach beyond it: they read zeros there,
 * and what they compute there is dropped. */
#ifndef NN_WINOGRAD_INTERNAL_H
#define NN_WINOGRAD_INTERNAL_H

#include "base/arena.h"
#include "nn/winograd.h"
#include "simd/kernels.h"

enum { TILE = 4, POINTS = 36, CACHE_LINE = 16 /* floats */ };

struct tiling {
    int h, w, cols;      /* of an image; cols: tiles side by side */
    struct slices slices;
    int slice_tiles;     /* the most of a slice */
};

struct tiling tiling_of(int n, int h, int w);

/* The part of the images that a slice is. */
struct area {
    int image, images, line, lines;
    int tile_rows; /* an image */
    int tiles;
};
struct area slice_area(const struct tiling *t, size_t slice);

/* Tiles of the slices begin .. end. */
int tiles_of(const struct tiling *t, size_t begin, size_t end);

/* The input tiles of a slice need: images x (4 tile_rows + 2) x (4 cols + 2) pixels of c channels, one image at a time. */
size_t tiling_copy_floats(const struct tiling *t, int c);

/* V of a slice's tiles, laid out as kernels.h says; copy: tiling_copy_floats. */
void tiling_input(const struct kernels *kernels, float *v, ptrdiff_t v_tile, ptrdiff_t panel, ptrdiff_t point, const struct tiling *t,
                  const struct area *area, const struct conv_input *input, int c, float *copy);

/* Part `part` of `parts` of a slice's pixels (c channels of each), fetched into L2: products leave the bus idle, and a transform that
 * had to wait for memory would take three times as long. */
void tiling_prefetch(const struct tiling *t, size_t slice, const float *pixels, int c, int part, int parts);

/* M of a slice's tiles from dy, likewise. */
void tiling_gradient(const struct kernels *kernels, float *m, ptrdiff_t m_tile, ptrdiff_t panel, ptrdiff_t point,
                     const struct tiling *t, const struct area *area, const float *dy, int k, float *copy);

/* Takes what winograd_backward_weights needs from a measuring arena. */
void winograd_weights_measure(const struct engine *engine, const struct conv_shape *shape, struct arena *arena);

/* Floats between the points of `floats` each: not all in one set of L1. */
ptrdiff_t point_stride(size_t floats);

#endif
