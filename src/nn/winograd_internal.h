/* What the passes of a Winograd convolution share: how the pixels of a slice (slices.h) of the output become tiles. A tile is cells x
 * cells of those pixels; tiles of a slice are numbered image by image, row by row. Where an image is no multiple of a tile, its last
 * tiles reach beyond it: they read zeros there, and what they compute there is dropped. */
#ifndef NN_WINOGRAD_INTERNAL_H
#define NN_WINOGRAD_INTERNAL_H

#include "base/arena.h"
#include "nn/winograd.h"
#include "simd/kernels.h"

enum { CACHE_LINE = 16 /* floats */ };

struct tiling {
    enum winograd kind;
    int points;               /* of a tile, in all */
    int cells;                /* of a tile along one dimension */
    int source_h, source_w;   /* of an image that is transformed */
    int in, step, before;     /* tile i reads `in` of its pixels, from i step - before on */
    int target_h, target_w, out; /* of an image that is written, and a tile's pixels of it along one dimension */
    int h, w;                 /* of the images whose pixels are the cells: the convolution's output */
    int cols;                 /* tiles side by side */
    struct slices slices;
    int slice_tiles;          /* the most of a slice */
};

/* The points that the weights of a convolution have in all. */
int weight_points(enum winograd kind);
/* Which of them meets point p of a tile; and the points p that weight point q meets, `side` rows apart. */
int weight_point(enum winograd kind, int p);
struct meeting {
    int first, rows, cols, side;
};
struct meeting tile_points(enum winograd kind, int q);

/* Of forward and by weights; of by data. */
struct tiling tiling_of(const struct conv_shape *shape, bool data);

/* The part of the images that a slice is. */
struct area {
    int image, images, line, lines;
    int tile_rows; /* an image */
    int tiles;
};
struct area slice_area(const struct tiling *t, size_t slice);

/* Tiles of the slices begin .. end. */
int tiles_of(const struct tiling *t, size_t begin, size_t end);

/* The input of one image's tiles in a slice: its rows and columns with c channels, padded. */
size_t tiling_copy_floats(const struct tiling *t, int c);

/* V of a slice's tiles, laid out as kernels.h says; copy: tiling_copy_floats. */
void tiling_input(const struct kernels *kernels, float *v, ptrdiff_t v_tile, ptrdiff_t panel, ptrdiff_t point, const struct tiling *t,
                  const struct area *area, const struct conv_input *input, int c, float *copy);

/* Part `part` of `parts` of the pixels (c channels of each) of the slices begin .. end in images (h, w), fetched into L2: products
 * leave the bus idle, and a transform that had to wait for memory would take three times as long. */
void tiling_prefetch(const struct tiling *t, size_t begin, size_t end, const float *pixels, int h, int w, int c, int part, int parts);

/* M of a slice's tiles from dy, likewise. */
void tiling_gradient(const struct kernels *kernels, float *m, ptrdiff_t m_tile, ptrdiff_t panel, ptrdiff_t point,
                     const struct tiling *t, const struct area *area, const float *dy, int k, float *copy);

/* Takes what winograd_backward_weights needs from a measuring arena. */
void winograd_weights_measure(const struct engine *engine, const struct conv_shape *shape, struct arena *arena);

/* Floats between the points of `floats` each: not all in one set of L1. */
ptrdiff_t point_stride(size_t floats);

#endif
