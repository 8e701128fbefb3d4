#include "train/encoder_data.h"

#include "base/status.h"

#include <string.h>

/* The settings of a run of this encoder on the images of source. */
static enum simclr_status settle(struct train_config *config, const struct encoder *encoder, const struct image_source *source,
                                 struct simclr_error *err)
{
    *config = encoder->config;
    if (!source->path && !encoder->data_known)
        return fail(err, SIMCLR_ERR_USAGE, "there is no config.json beside %s that would say which images to use; name DATA", encoder->path);
    if (source->path && !source->path[0])
        return fail(err, SIMCLR_ERR_USAGE, "DATA is empty; leave it out to use the images of the run");
    if (source->path && strlen(source->path) >= sizeof config->data)
        return fail(err, SIMCLR_ERR_USAGE, "the path %.80s... is too long; move the data to a shorter one", source->path);
    if (source->path) {
        strcpy(config->data, source->path);
        config->limit = 0;
    }
    if (source->limit)
        config->limit = source->limit;
    if (source->max_pixels)
        config->max_pixels = source->max_pixels;
    return SIMCLR_OK;
}

enum simclr_status encoder_set_open(struct encoder_set *images, const struct encoder *encoder, const struct image_source *source,
                                    enum dataset_split split, const struct engine *engine, struct simclr_error *err)
{
    struct train_config config;
    *images = (struct encoder_set){.set = NULL};
    enum simclr_status status = settle(&config, encoder, source, err);
    if (status != SIMCLR_OK)
        return status;
    struct dataset_options options = {.limit = config.limit, .channels = config.network.channels, .max_pixels = config.max_pixels,
                                      .stop = engine->stop};
    struct loader_config loading = {.image_size = config.network.image_size, .channels = config.network.channels};
    status = dataset_open(&images->set, config.data[0] ? config.data : NULL, split, &options, err);
    if (status == SIMCLR_OK && images->set)
        status = loader_create(&images->loader, images->set, NULL, dataset_size(images->set), &loading, engine, err);
    if (status != SIMCLR_OK)
        encoder_set_close(images);
    return status;
}

void encoder_set_close(struct encoder_set *images)
{
    loader_free(images->loader);
    dataset_close(images->set);
    *images = (struct encoder_set){.set = NULL};
}

enum simclr_status encoder_run_data(struct run_data *data, const struct encoder *encoder, const struct image_source *source,
                                    const struct engine *engine, struct simclr_error *err)
{
    struct train_config config;
    *data = (struct run_data){.train = NULL};
    enum simclr_status status = settle(&config, encoder, source, err);
    config.knn_every = 1; /* labels are wanted, whatever the run did with them */
    return status == SIMCLR_OK ? run_data_open(data, &config, engine, err) : status;
}
