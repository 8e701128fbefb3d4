#include "nn/conv_choice.h"

/* The algorithms, and what each is for. Products are of a tile of cells x cells outputs.
 *
 * direct: GEMMs over a padded copy (conv_gather.c, conv_weights.c), at nine tenths of the FMA peak whatever the shape. All that is not
 *     3x3, the stems (3 channels), and maps that Winograd's tiles fit badly.
 * winograd 4x4: a quarter of the products. Every 3x3 layer of stride 1 on maps that are large, or a multiple of 4.
 * winograd 3x3: 25 of 81. Small maps, such as those of 3, 5, 6 and 9 pixels, of which tiles of 4 would waste half; whole images only,
 *     for the bands of larger ones (slices.h) are multiples of 4 lines.
 * winograd strided: 81 of 144. The inputs of a stride of 2 fall into even and odd ones; the odd ones' two taps are a filter of stride 1. */
static const struct {
    const char *name;
    int products, cells;
    int stride; /* 0: any */
    bool whole_images;
} algorithms[] = {
    [CONV_DIRECT] = {"direct", 0, 1, 0, false},
    [CONV_WINOGRAD_4X4] = {"winograd 4x4", 36, 4, 1, false},
    [CONV_WINOGRAD_3X3] = {"winograd 3x3", 25, 3, 1, true},
    [CONV_WINOGRAD_STRIDED] = {"winograd strided", 81, 4, 2, false},
};

/* Transforms cost by channel, products by pairs of channels: with fewer than 8 the first are more. A gain of less than a quarter is lost
 * in them as well. */
enum { LEAST_CHANNELS = 8 };

static int64_t products_of(const struct conv_shape *s, enum conv_algorithm algorithm)
{
    int cells = algorithms[algorithm].cells;
    int64_t tiles = (int64_t)((s->ho + cells - 1) / cells) * ((s->wo + cells - 1) / cells);
    return tiles * (algorithm == CONV_DIRECT ? s->r * s->r : algorithms[algorithm].products);
}

static bool applies(const struct conv_shape *s, enum conv_algorithm algorithm)
{
    return s->r == 3 && s->pad == 1 && s->c >= LEAST_CHANNELS && s->k >= LEAST_CHANNELS && s->stride == algorithms[algorithm].stride &&
           (!algorithms[algorithm].whole_images || slices_of(1, s->ho, s->wo).bands == 1);
}

enum conv_algorithm conv_algorithm(const struct conv_shape *shape)
{
    enum conv_algorithm best = CONV_DIRECT;
    int64_t least = products_of(shape, CONV_DIRECT) / 4 * 3 + 1;
    for (enum conv_algorithm a = CONV_WINOGRAD_4X4; a <= CONV_WINOGRAD_STRIDED; a++)
        if (applies(shape, a) && products_of(shape, a) < least) {
            best = a;
            least = products_of(shape, a);
        }
    return best;
}

const char *conv_algorithm_name(enum conv_algorithm algorithm) { return algorithms[algorithm].name; }

int64_t conv_products(const struct conv_shape *shape) { return products_of(shape, conv_algorithm(shape)); }
