/* How the pixels (n, h, w) of a layer's output are cut where sums over them are taken: in slices, from shape alone, since they decide
 * the order of the sums. A slice is whole images, or a band of lines of one image: what a task of a convolution writes is made of
 * whole slices, so that it can sum them while they are in cache. */
#ifndef NN_SLICES_H
#define NN_SLICES_H

#include <stddef.h>

struct slices {
    int n, h, w;
    int images;   /* of a slice, but the last; 1 where bands > 1 */
    int lines;    /* of a band, but an image's last; a multiple of 4, or h */
    int bands;    /* of an image */
    size_t count;
};

struct slices slices_of(int n, int h, int w);

/* Which part of the images slice i is. */
struct slice_part {
    int image, images, line, lines;
};
struct slice_part slice_part(const struct slices *slices, size_t i);

/* The pixels of slice i, and the first of them. */
size_t slice_pixels(const struct slices *slices, size_t i, size_t *first);

#endif
