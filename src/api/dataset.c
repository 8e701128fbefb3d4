#include "api/handles.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

struct simclr_image {
    struct image image;
};

static struct dataset_options options_of(const simclr_engine *engine, const struct train_config *config)
{
    return (struct dataset_options){.limit = config->limit, .channels = config->network.channels, .max_pixels = config->max_pixels,
                                    .stop = engine->engine.stop};
}

/* The handle of a set that is open, which goes if there is no memory for it. */
static enum simclr_status wrap(simclr_dataset **result, struct dataset *set, struct simclr_error *err)
{
    *result = malloc(sizeof **result);
    if (!*result) {
        dataset_close(set);
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a data set");
    }
    (*result)->set = set;
    return SIMCLR_OK;
}

static enum simclr_status split_of(enum dataset_split *split, const char *name, struct simclr_error *err)
{
    static const char *const names[] = {[SPLIT_TRAIN] = "train", [SPLIT_TEST] = "test", [SPLIT_LABELLED] = "labelled"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name ? name : "train", names[i]) == 0) {
            *split = (enum dataset_split)i;
            return SIMCLR_OK;
        }
    return fail(err, SIMCLR_ERR_USAGE, "split '%.40s' is not one of train, test, labelled", name);
}

enum simclr_status simclr_dataset_open(simclr_dataset **result, const simclr_engine *engine, const char *path, const char *split_name,
                                       const char *const *settings, struct simclr_error *err)
{
    struct train_config config;
    enum dataset_split split = SPLIT_TRAIN;
    struct dataset *set;
    *result = NULL;
    enum simclr_status status = settings_read(&config, settings, err);
    if (status == SIMCLR_OK)
        status = split_of(&split, split_name, err);
    if (status != SIMCLR_OK)
        return status;
    struct dataset_options options = options_of(engine, &config);
    status = dataset_open(&set, path, split, &options, err);
    if (status == SIMCLR_OK && !set)
        return fail(err, SIMCLR_ERR_USAGE, "%s has no split '%s'", path, split_name);
    return status == SIMCLR_OK ? wrap(result, set, err) : status;
}

enum simclr_status simclr_dataset_open_files(simclr_dataset **result, const simclr_engine *engine, const char *const *paths, size_t count,
                                             const char *const *settings, struct simclr_error *err)
{
    struct train_config config;
    struct dataset *set;
    *result = NULL;
    enum simclr_status status = settings_read(&config, settings, err);
    if (status != SIMCLR_OK)
        return status;
    struct dataset_options options = options_of(engine, &config);
    status = dataset_open_files(&set, paths, count, &options, err);
    if (status == SIMCLR_OK && !set)
        return fail(err, SIMCLR_ERR_USAGE, "a list of no files is no set of images");
    return status == SIMCLR_OK ? wrap(result, set, err) : status;
}

enum simclr_status simclr_dataset_from_arrays(simclr_dataset **result, const simclr_engine *engine, const uint8_t *pixels,
                                              const int32_t *labels, size_t count, int32_t height, int32_t width, int32_t channels,
                                              struct simclr_error *err)
{
    struct dataset_options options = {.channels = channels, .stop = engine->engine.stop};
    struct dataset *set;
    *result = NULL;
    enum simclr_status status = dataset_open_arrays(&set, pixels, labels, count, height, width, channels, &options, err);
    return status == SIMCLR_OK ? wrap(result, set, err) : status;
}

void simclr_dataset_free(simclr_dataset *set)
{
    if (set)
        dataset_close(set->set);
    free(set);
}

size_t simclr_dataset_count(const simclr_dataset *set) { return dataset_size(set->set); }
int32_t simclr_dataset_channels(const simclr_dataset *set) { return dataset_channels(set->set); }
int32_t simclr_dataset_classes(const simclr_dataset *set) { return dataset_classes(set->set); }
int32_t simclr_dataset_label(const simclr_dataset *set, size_t index) { return dataset_label(set->set, index); }
const char *simclr_dataset_kind(const simclr_dataset *set) { return dataset_kind(set->set); }

const char *simclr_dataset_name(const simclr_dataset *set, size_t index, char *text, size_t size)
{
    return dataset_item_name(set->set, index, text, size);
}

enum simclr_status simclr_dataset_read(const simclr_dataset *set, size_t index, simclr_image **result, struct simclr_error *err)
{
    simclr_image *image = *result = NULL;
    image = malloc(sizeof *image);
    if (!image)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for an image");
    enum simclr_status status = dataset_read(set->set, index, &image->image, err);
    if (status == SIMCLR_OK)
        *result = image;
    else
        free(image);
    return status;
}

void simclr_image_free(simclr_image *image)
{
    if (image)
        image_release(&image->image);
    free(image);
}

int32_t simclr_image_height(const simclr_image *image) { return image->image.h; }
int32_t simclr_image_width(const simclr_image *image) { return image->image.w; }
int32_t simclr_image_channels(const simclr_image *image) { return image->image.c; }
const uint8_t *simclr_image_pixels(const simclr_image *image) { return image->image.pixels; }
