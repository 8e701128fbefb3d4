/* What a run's augmentations make of images: whole images and their views, as bytes to look at. */
#ifndef EVAL_VIEWS_H
#define EVAL_VIEWS_H

#include "base/engine.h"
#include "data/augment.h"
#include "data/dataset.h"

struct views_config {
    int side, channels, views; /* views of an image; view v is the one that training draws in epoch v / 2, its v mod 2 */
    struct augment_config augment;
    uint64_t seed;
};

struct views_original {
    int h, w; /* 0: the image cannot be read, and its pixels are zero */
};

/* pixels (count, 1 + views, side, side, channels): of each item the whole image, with a longer side of `side`, as (h, w, channels) where
 * its place begins, and its views; originals (count). The bytes depend on no ISA or thread count. */
enum simclr_status views_make(uint8_t *pixels, struct views_original *originals, const struct dataset *set, const uint32_t *items, size_t count,
                              const struct views_config *config, const struct engine *engine, struct simclr_error *err);

/* count items spread over a set of so many (at most as many as there are); returns how many. */
size_t views_spread(uint32_t *items, size_t count, size_t size);

#endif
