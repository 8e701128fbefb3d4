/* What a run's augmentations make of images: clean images and their views, as bytes to look at. */
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

/* pixels (count, 1 + views, side, side, channels): of each item the clean image, as evaluation sees it, and its views. readable (count):
 * false where the image cannot be read, and its pixels are zero. The bytes depend on no ISA or thread count. */
enum simclr_status views_make(uint8_t *pixels, bool *readable, const struct dataset *set, const uint32_t *items, size_t count,
                              const struct views_config *config, const struct engine *engine, struct simclr_error *err);

/* count items spread over a set of so many (at most as many as there are); returns how many. */
size_t views_spread(uint32_t *items, size_t count, size_t size);

#endif
