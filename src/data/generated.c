/* The built-in set: 4,000 training and 1,000 held-out pictures of data/shapes.h. */
#include "data/dataset_format.h"

#include "base/status.h"
#include "data/shapes.h"

#include <stdlib.h>
#include <string.h>

enum { TRAIN = 4000, TEST = 1000, SET_SEED = 0 };

static enum simclr_status generated_open(struct dataset *set, const char *path, enum dataset_split split, struct simclr_error *err)
{
    (void)path;
    set->kind = "generated shapes and textures";
    set->total = split == SPLIT_TEST ? TEST : TRAIN;
    set->classes = SHAPES_CLASSES;
    size_t *first = malloc(sizeof *first);
    set->state = first;
    set->labels = malloc(set->total * sizeof *set->labels);
    set->class_names = calloc(SHAPES_CLASSES, sizeof *set->class_names);
    bool enough = first && set->labels && set->class_names;
    for (int i = 0; i < SHAPES_CLASSES && enough; i++)
        enough = (set->class_names[i] = strdup(shapes_class_names[i])) != NULL;
    if (!enough)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the generated set");
    *first = split == SPLIT_TEST ? TRAIN : 0;
    for (size_t i = 0; i < set->total; i++)
        set->labels[i] = (int32_t)((*first + i) % SHAPES_CLASSES);
    return SIMCLR_OK;
}

static enum simclr_status generated_read(const struct dataset *set, size_t index, struct image *image, struct simclr_error *err)
{
    const size_t *first = set->state;
    uint8_t *pixels = malloc(SHAPES_SIZE * SHAPES_SIZE * 3);
    if (!pixels)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for an image");
    shapes_draw(SET_SEED, *first + index, pixels);
    *image = (struct image){.h = SHAPES_SIZE, .w = SHAPES_SIZE, .c = 3, .pixels = pixels, .owned = 1};
    return SIMCLR_OK;
}

const struct dataset_format format_generated = {.open = generated_open, .read = generated_read};
