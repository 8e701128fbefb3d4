/* Images that lie in memory already: nothing is read, and nothing copied but what changes its channels. */
#include "data/dataset_format.h"

#include "base/status.h"
#include "data/decode.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct arrays {
    const uint8_t *pixels; /* (total, h, w, c) */
    int h, w, c;
};

static enum simclr_status take_labels(struct dataset *set, const int32_t *labels, struct simclr_error *err)
{
    set->labels = malloc(set->total * sizeof *set->labels);
    if (!set->labels)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the labels of %zu images", set->total);
    memcpy(set->labels, labels, set->total * sizeof *labels);
    for (size_t i = 0; i < set->total; i++) {
        if (labels[i] < -1 || labels[i] == INT_MAX)
            return fail(err, SIMCLR_ERR_USAGE, "label %d of image %zu is none: labels count from 0, and -1 is none", (int)labels[i], i);
        set->classes = labels[i] >= set->classes ? labels[i] + 1 : set->classes;
    }
    return SIMCLR_OK;
}

enum simclr_status arrays_open(struct dataset *set, const uint8_t *pixels, const int32_t *labels, size_t count, int h, int w, int c,
                               struct simclr_error *err)
{
    if (count == 0 || h < 1 || w < 1 || h > DECODE_MAX_SIDE || w > DECODE_MAX_SIDE || (c != 1 && c != 3))
        return fail(err, SIMCLR_ERR_USAGE, "an array of shape (%zu, %d, %d, %d) is no set of images: sides are 1 to %d, channels 1 or 3", count,
                    h, w, c, DECODE_MAX_SIDE);
    struct arrays *arrays = malloc(sizeof *arrays);
    if (!arrays)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a set of %zu images", count);
    *arrays = (struct arrays){pixels, h, w, c};
    set->state = arrays;
    set->kind = "arrays in memory";
    set->raw = true;
    set->total = count;
    return labels ? take_labels(set, labels, err) : SIMCLR_OK;
}

/* What changes channels may do so in place. */
static enum simclr_status arrays_read(const struct dataset *set, size_t index, struct image *image, struct simclr_error *err)
{
    const struct arrays *a = set->state;
    size_t bytes = (size_t)a->h * (size_t)a->w * (size_t)a->c;
    *image = (struct image){.h = a->h, .w = a->w, .c = a->c, .pixels = (uint8_t *)a->pixels + index * bytes};
    if (set->channels == a->c)
        return SIMCLR_OK;
    const uint8_t *from = image->pixels;
    image->pixels = malloc(bytes);
    if (!image->pixels)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for an image of %d x %d pixels", a->w, a->h);
    memcpy(image->pixels, from, bytes);
    image->owned = 1;
    return SIMCLR_OK;
}

const struct dataset_format format_arrays = {.read = arrays_read};
