/* What the passes of a convolution share.
 *
 * Forward and by data are one algorithm, the gather: an output pixel is a sum over a window of the source. The output is a grid
 * of cells; a cell owns out_step x out_step output pixels, and every pixel class (ci, cj) inside a cell has its own subset of
 * taps. Forward has one class and moves its window by `stride`; by data with stride s has s x s classes over dy and moves by one.
 * A row of taps is one stretch of taps x channels floats in NHWC, so brgemm sees few long taps, also with three channels. */
#ifndef NN_CONV_INTERNAL_H
#define NN_CONV_INTERNAL_H

#include "base/arena.h"
#include "nn/conv.h"
#include "simd/kernels.h"

enum { CONV_MAX_STRIDE = 4 };

/* Taps of a pixel class along one axis, in the order of the source; the window is square, so one serves rows and columns. */
struct conv_axis {
    int taps;        /* may be 0: no tap reaches these pixels */
    int offset;      /* of the first tap in the window */
    int first, step; /* tap t uses row (column) first + t * step of the weights */
};

struct conv_class {
    int row, column;              /* ci, cj: index axis[] */
    ptrdiff_t *a_row, *c_row;     /* per output pixel of a whole unit */
    ptrdiff_t *a_tap;             /* per row of taps */
    size_t weights;               /* offset of its panels in packed: [panels][taps][taps][source channels][nr] */
};

struct conv_gather {
    const struct kernels *kernels;
    int threads;
    int n;
    int h, w, c;         /* source (n, h, w, c) */
    int ho, wo, k;       /* output (n, ho, wo, k) */
    int r;               /* weights (r, r, ., .) */
    bool transposed;     /* by data: the weights' channels are (k, c) of this struct */
    int rows, cols;      /* cells of an image */
    int step, low;       /* cell i's window begins at source row i * step + low */
    int window;          /* rows that it spans, over all classes */
    int out_step;
    struct conv_axis axis[CONV_MAX_STRIDE];

    bool copy;                    /* the windows leave the source, or it is normalised (set before planning): work on copies */
    int unit_images, unit_rows;   /* a unit of work: whole images, or rows of cells of one */
    int bands;                    /* units an image */
    size_t units;
    int panels, groups;           /* panels of nr output channels, in so many groups of separate tasks */
    ptrdiff_t row_stride, image_stride; /* of what brgemm reads */

    struct conv_class classes[CONV_MAX_STRIDE * CONV_MAX_STRIDE];
    float *packed;
    float *copies;     /* per thread (unit_images, window rows of a unit, window columns, c) */
    size_t copy_size;
};

/* The cases that are a plain matrix product: every pixel is an image of its own. */
struct conv_shape conv_flatten(const struct conv_shape *shape);

/* dst (rows, cols, c) = that part of an image (h, w, c) from row0, col0 on as the layer reads it, +0 outside of it. */
void conv_read_padded(const struct kernels *kernels, float *dst, const struct conv_input *input, int image, int h, int w, int c,
                      int row0, int rows, int col0, int cols);

/* Fills everything from copy on, taking memory from the arena (which may be measuring). */
void conv_gather_plan(struct conv_gather *g, struct arena *arena);
void conv_gather_run(struct conv_gather *g, float *out, bool accumulate, const struct conv_input *input, const float *w);

/* Takes what conv_backward_weights needs from a measuring arena. */
void conv_weights_measure(const struct engine *engine, const struct conv_shape *shape, bool normalised, struct arena *arena);

#endif
