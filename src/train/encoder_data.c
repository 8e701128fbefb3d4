#include "train/encoder_data.h"

#include "base/status.h"

#include <string.h>

/* The settings of a run of this encoder on the images of source. */
static enum simclr_status settle(struct train_config *config, const struct encoder *encoder, const struct image_source *source,
                                 struct simclr_error *err)
{
    *config = encoder->config;
    if (!source->path && !source->file_count && !encoder->data_known)
        return fail(err, SIMCLR_ERR_USAGE, "there is no config.json beside %s that would say which images to use; name DATA", encoder->path);
    if (source->path && !source->path[0])
        return fail(err, SIMCLR_ERR_USAGE, "DATA is empty; leave it out to use the images of the run");
    if (source->path && strlen(source->path) >= sizeof config->data)
        return fail(err, SIMCLR_ERR_USAGE, "the path %.80s... is too long; move the data to a shorter one", source->path);
    if (source->path)
        strcpy(config->data, source->path);
    if (source->path || source->file_count)
        config->limit = 0;
    if (source->limit)
        config->limit = source->limit;
    if (source->max_pixels)
        config->max_pixels = source->max_pixels;
    return SIMCLR_OK;
}

struct opening {
    const struct train_config *config;
    const struct image_source *source;
    struct dataset_options options;
    const struct engine *engine;
};

static enum simclr_status open_split(struct dataset **set, const struct opening *o, enum dataset_split split, struct simclr_error *err)
{
    *set = NULL;
    if (o->source->file_count == 0)
        return dataset_open(set, o->config->data[0] ? o->config->data : NULL, split, &o->options, err);
    return split == SPLIT_TRAIN ? dataset_open_files(set, o->source->files, o->source->file_count, &o->options, err) : SIMCLR_OK;
}

/* set becomes the next part, unless it is NULL. */
static enum simclr_status add_part(struct image_parts *parts, struct dataset *set, const struct opening *o, struct simclr_error *err)
{
    struct loader_config loading = {.image_size = o->config->network.image_size, .channels = o->config->network.channels};
    if (!set)
        return SIMCLR_OK;
    struct image_part *part = &parts->part[parts->count++];
    part->set = set;
    return loader_create(&part->loader, set, NULL, dataset_size(set), &loading, o->engine, err);
}

static enum simclr_status open_one(struct image_parts *parts, const struct opening *o, enum image_splits splits, struct simclr_error *err)
{
    static const enum dataset_split split[] = {[IMAGES_TRAIN] = SPLIT_TRAIN, [IMAGES_TEST] = SPLIT_TEST, [IMAGES_LABELLED] = SPLIT_LABELLED};
    struct dataset *set, *test = NULL;
    enum simclr_status status = open_split(&set, o, split[splits], err);
    if (status == SIMCLR_OK && !set)
        return fail(err, SIMCLR_ERR_USAGE, "%s has no such split; leave --split out", o->config->data[0] ? o->config->data : "the set");
    if (status == SIMCLR_OK)
        status = add_part(parts, set, o, err);
    if (status == SIMCLR_OK && splits == IMAGES_TRAIN)
        status = open_split(&test, o, SPLIT_TEST, err);
    parts->test_left_out = test != NULL;
    dataset_close(test);
    return status;
}

static enum simclr_status open_all(struct image_parts *parts, const struct opening *o, struct simclr_error *err)
{
    struct dataset *set;
    enum simclr_status status = open_split(&set, o, SPLIT_TRAIN, err);
    bool labelled = set && dataset_classes(set) > 0;
    if (status == SIMCLR_OK)
        status = add_part(parts, set, o, err);
    if (status == SIMCLR_OK && !labelled) {
        status = open_split(&set, o, SPLIT_LABELLED, err);
        if (set && dataset_classes(set) == 0) { /* the same once more */
            dataset_close(set);
            set = NULL;
        }
        if (status == SIMCLR_OK)
            status = add_part(parts, set, o, err);
    }
    if (status == SIMCLR_OK)
        status = open_split(&set, o, SPLIT_TEST, err);
    return status == SIMCLR_OK ? add_part(parts, set, o, err) : status;
}

enum simclr_status image_parts_open(struct image_parts *parts, const struct encoder *encoder, const struct image_source *source,
                                    enum image_splits splits, const struct engine *engine, struct simclr_error *err)
{
    struct train_config config;
    *parts = (struct image_parts){.count = 0};
    enum simclr_status status = settle(&config, encoder, source, err);
    if (status != SIMCLR_OK)
        return status;
    struct opening o = {.config = &config, .source = source, .engine = engine,
                        .options = {.limit = config.limit, .channels = config.network.channels, .max_pixels = config.max_pixels,
                                    .stop = engine->stop}};
    status = splits == IMAGES_ALL ? open_all(parts, &o, err) : open_one(parts, &o, splits, err);
    if (status != SIMCLR_OK)
        image_parts_close(parts);
    return status;
}

void image_parts_close(struct image_parts *parts)
{
    for (int i = 0; i < parts->count; i++) {
        loader_free(parts->part[i].loader);
        dataset_close(parts->part[i].set);
    }
    *parts = (struct image_parts){.count = 0};
}

enum simclr_status encoder_run_data(struct run_data *data, struct train_config *config, const struct encoder *encoder,
                                    const struct image_source *source, const struct engine *engine, struct simclr_error *err)
{
    *data = (struct run_data){.train = NULL};
    enum simclr_status status = settle(config, encoder, source, err);
    config->knn_every = 1; /* labels are wanted, whatever the run did with them */
    if (status == SIMCLR_OK)
        status = run_data_open(data, config, engine, err);
    if (status == SIMCLR_OK && !data->test)
        status = fail(err, SIMCLR_ERR_USAGE, data->classes > 0 ? "these are too few labelled images to hold some out for a test; name DATA with more"
                                             : "these images have no labels, which are needed here; name DATA with labels (a folder with one "
                                               "subfolder a class will do)");
    return status;
}
