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
    int taps, depth;              /* as brgemm sees them: rows of taps, or single ones where pixels lie apart */
    ptrdiff_t *a_row, *c_row;     /* per output pixel of a whole block */
    ptrdiff_t *a_tap;
    size_t weights;               /* offset of its panels in packed: [panels][taps][depth][nr] */
};

struct conv_gather {
    const struct kernels *kernels;
    int threads;
    struct cache_sizes caches;
    int n;
    int h, w, c;         /* source (n, h, w, c) */
    int ho, wo, k;       /* output (n, ho, wo, k) */
    int r;               /* weights (r, r, ., .) */
    bool transposed;     /* by data: the weights' channels are (k, c) of this struct */
    int rows, cols;      /* cells of an image */
    int read_step, low;  /* position i of the gather is source row i * read_step + low */
    int step;            /* cell i's window begins at position i * step */
    int window;          /* positions that it spans, over all classes */
    int out_step;
    struct conv_axis axis[CONV_MAX_STRIDE];

    int tile_rows;                /* of a brgemm call's tiles, at most */
    bool copy;                    /* brgemm reads copies; set before planning where the source is normalised */
    int part;                     /* channels of the source that a block works on at a time: all, or stretches of a matrix product */
    ptrdiff_t pitch, row_pitch, image_pitch; /* between pixels, rows and images of what brgemm reads */
    int unit_images, unit_rows;   /* of a block, at most: whole images, or rows of cells of one */
    int tasks, panels, groups;    /* tasks: ranges of lines of cells; panels of nr columns, in so many groups of separate tasks */
    bool own_panels;              /* each group of panels is packed by its own task */

    struct conv_class classes[CONV_MAX_STRIDE * CONV_MAX_STRIDE];
    float *packed;
    float *copies;     /* per thread (unit_images, positions of unit_rows, positions of cols, pitch) */
    size_t copy_size;
};

/* Blocking comes from the caches of a core: 32 KB and 1 MB where the engine does not know. */
static inline size_t l1_bytes(const struct cache_sizes *caches) { return caches->l1 ? caches->l1 : 32 * 1024; }
static inline size_t l2_bytes(const struct cache_sizes *caches) { return caches->l2 ? caches->l2 : 1024 * 1024; }

/* Pixel p of the output reads pixel p of the input, and nothing else. */
static inline bool conv_is_product(const struct conv_shape *s) { return s->r == 1 && s->stride == 1 && s->pad == 0; }

/* Products: one image, every pixel a row of its own. */
struct conv_shape conv_flatten(const struct conv_shape *shape);

/* A grid of pixels to read: rows x cols of an image (h, w, c), from (row0, col0) on, step apart; of each some channels. */
struct conv_grid {
    int h, w, c;
    int row0, rows, col0, cols, step;
    int channel, channels;
};

/* dst (rows, cols, pitch >= channels) = those pixels as the layer reads them, +0 outside of the image. */
void conv_read_grid(const struct kernels *kernels, float *dst, ptrdiff_t pitch, const struct conv_input *input, int image,
                    const struct conv_grid *grid);

/* dst (rows, cols, c) = that part of an image (h, w, c) from row0, col0 on as the layer reads it, +0 outside of it. */
void conv_read_padded(const struct kernels *kernels, float *dst, const struct conv_input *input, int image, int h, int w, int c,
                      int row0, int rows, int col0, int cols);

/* Memory that is soon needed, to be fetched a share at a time between pieces of work: a core that waits for memory computes nothing.
 * It consists of rows of runs of consecutive bytes. */
struct conv_fetch {
    const char *row;
    ptrdiff_t run, step, row_step; /* bytes; run 0: nothing (left) to fetch */
    int runs, rows;                /* of a row; left */
    int next, share;               /* runs */
};

/* count consecutive floats. */
struct conv_fetch conv_fetch_floats(const float *first, size_t count, int shares);
/* What a grid reads of so many images. */
struct conv_fetch conv_fetch_grid(const struct conv_input *input, int image, int images, const struct conv_grid *grid, int shares);
void conv_fetch_share(struct conv_fetch *fetch);

/* One slice's sums, by the task that wrote it. */
void conv_sum_slice(const struct kernels *kernels, const struct conv_sums *sums, const float *y, const struct slices *slices,
                    size_t slice, int k);

/* Fills everything from copy on, taking memory from the arena (which may be measuring). */
void conv_gather_plan(struct conv_gather *g, struct arena *arena);
/* sums may be NULL. False if they were asked for and are left to the caller: tasks wrote parts of their channels. */
bool conv_gather_run(struct conv_gather *g, float *out, bool accumulate, const struct conv_input *input, const float *w,
                     const struct conv_sums *sums, const struct slices *slices);

/* Takes what conv_backward_weights needs from a measuring arena. */
void conv_weights_measure(const struct engine *engine, const struct conv_shape *shape, bool normalised, struct arena *arena);

#endif
