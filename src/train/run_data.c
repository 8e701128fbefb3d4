#include "train/run_data.h"

#include "base/memory.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_SIDE = 96,      /* the reference's image size, for sets of larger pictures */
    CIFAR_STEM_SIDE = 64,   /* up to here a 7x7 stride-2 stem and pooling would throw most of the picture away */
    HELD_OUT = 10,          /* one in ten images is a query where a set has labels but no test split */
};

/* That of the first readable picture, within limits. */
enum simclr_status run_data_side(int *result, const struct dataset *set, struct simclr_error *err)
{
    struct image image;
    enum simclr_status status = SIMCLR_ERR_FORMAT;
    for (size_t i = 0; i < dataset_size(set) && status != SIMCLR_OK; i++)
        status = dataset_read(set, i, &image, err);
    if (status != SIMCLR_OK)
        return status;
    int side = image.h < image.w ? image.h : image.w;
    *result = side < DEFAULT_SIDE ? side : DEFAULT_SIDE;
    image_release(&image);
    return SIMCLR_OK;
}

enum simclr_status run_data_shape(struct train_config *config, const struct dataset *set, struct simclr_error *err)
{
    enum simclr_status status = SIMCLR_OK;
    if (config->network.image_size == 0 && !set)
        return fail(err, SIMCLR_ERR_USAGE, "there are no images that would tell the size: set --image-size");
    if (config->network.image_size == 0)
        status = run_data_side(&config->network.image_size, set, err);
    if (status != SIMCLR_OK)
        return status;
    if (config->network.stem == STEM_AUTO)
        config->network.stem = config->network.image_size <= CIFAR_STEM_SIDE ? STEM_CIFAR : STEM_IMAGENET;
    return SIMCLR_OK;
}

enum { PARTS = 3 };

static void list_parts(struct loader *parts[PARTS], const struct run_data *data)
{
    parts[0] = data->train;
    parts[1] = data->bank == data->train ? NULL : data->bank;
    parts[2] = data->test;
}

/* AUTO: half of what is free stays so, for kNN's features, checkpoints, and other programs. RAM: an eighth does, and each part has a
 * share by its images. What is free may not be known. */
static size_t cache_budget(struct loader *const parts[PARTS], int part, enum cache_mode mode, size_t available)
{
    size_t images = 0;
    for (int i = 0; i < PARTS; i++)
        images += parts[i] ? loader_size(parts[i]) : 0;
    const size_t most = (available ? available : SIZE_MAX) / 8 * 7;
    if (mode == CACHE_RAM)
        return (size_t)((double)most * ((double)loader_size(parts[part]) / (double)images));
    return mode == CACHE_AUTO ? available / 16 * (part == 0 ? 6 : 1) : 0;
}

void run_data_cache(struct run_data *data, enum cache_mode mode, size_t most)
{
    struct loader *parts[PARTS];
    size_t available = memory_available();
    if (most < SIZE_MAX && (!available || most < available))
        available = most;
    list_parts(parts, data);
    for (int i = 0; i < PARTS; i++)
        if (parts[i])
            loader_cache(parts[i], cache_budget(parts, i, mode, available), mode == CACHE_RAM);
}

enum simclr_status run_data_sample(struct image_sample *sample, const struct run_data *data, struct simclr_error *err)
{
    enum { MOST = 16 };
    size_t size = dataset_size(data->train_set), step = size > MOST ? size / MOST : 1, read = 0;
    enum simclr_status status = SIMCLR_OK;
    *sample = (struct image_sample){0};
    for (size_t i = 0; i < size / step && read < MOST; i++) {
        struct image image;
        status = dataset_read(data->train_set, i * step, &image, err);
        if (status != SIMCLR_OK)
            continue;
        read++;
        sample->h = image.h > sample->h ? image.h : sample->h;
        sample->w = image.w > sample->w ? image.w : sample->w;
        sample->bytes += (double)image.h * image.w * image.c;
        image_release(&image);
    }
    sample->bytes /= (double)(read ? read : 1);
    return read ? SIMCLR_OK : status;
}

size_t run_data_cached(const struct run_data *data, enum cache_mode mode, const struct image_sample *sample, size_t available)
{
    struct loader *parts[PARTS];
    size_t bytes = 0;
    list_parts(parts, data);
    for (int i = 0; i < PARTS; i++)
        if (parts[i])
            bytes += loader_cached(parts[i], (size_t)sample->bytes, cache_budget(parts, i, mode, available));
    return bytes;
}

struct items {
    uint32_t *at; /* ascending indices into a data set */
    size_t count;
};

static int all_items(struct items *items, const struct dataset *set)
{
    items->count = set ? dataset_size(set) : 0;
    items->at = malloc((items->count + 1) * sizeof *items->at);
    if (!items->at || items->count > UINT32_MAX)
        return -1;
    for (size_t i = 0; i < items->count; i++)
        items->at[i] = (uint32_t)i;
    return 0;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* A random tenth of all (chosen by seed) goes to held_out, which has room; the rest stays. */
static void split_tenth(struct items *all, struct items *held_out, uint64_t seed)
{
    struct rng rng = rng_stream(seed, RNG_SPLIT, 0, 0);
    rng_permutation(&rng, all->at, (uint32_t)all->count);
    held_out->count = all->count / HELD_OUT;
    all->count -= held_out->count;
    memcpy(held_out->at, all->at + all->count, held_out->count * sizeof *all->at);
    qsort(all->at, all->count, sizeof *all->at, ascending);
    qsort(held_out->at, held_out->count, sizeof *held_out->at, ascending);
}

static bool has_labels(const struct dataset *set)
{
    for (size_t i = 0; dataset_classes(set) > 0 && i < dataset_size(set); i++)
        if (dataset_label(set, i) >= 0)
            return true;
    return false;
}

/* Pictures without labels (a competition's test/) cannot be queries; a tenth is held out as if they were not there. */
static enum simclr_status open_test(struct run_data *data, const char *path, const struct dataset_options *options,
                                    struct simclr_error *err)
{
    enum simclr_status status = dataset_open(&data->test_set, path, SPLIT_TEST, options, err);
    if (data->test_set && !has_labels(data->test_set)) {
        dataset_close(data->test_set);
        data->test_set = NULL;
    }
    return status;
}

enum simclr_status run_data_sets(struct run_data *data, const char *path, const struct dataset_options *options, bool evaluated,
                                 struct simclr_error *err)
{
    enum simclr_status status = dataset_open(&data->train_set, path, SPLIT_TRAIN, options, err);
    if (status != SIMCLR_OK || !evaluated)
        return status;
    data->bank_set = data->train_set;
    if (dataset_classes(data->train_set) == 0) {
        data->bank_set = NULL;
        status = dataset_open(&data->bank_set, path, SPLIT_LABELLED, options, err);
        if (status != SIMCLR_OK)
            return status;
        if (data->bank_set && dataset_classes(data->bank_set) == 0) {
            dataset_close(data->bank_set);
            data->bank_set = NULL;
        }
    }
    if (!data->bank_set)
        return SIMCLR_OK;
    status = open_test(data, path, options, err);
    data->classes = dataset_classes(data->bank_set);
    if (data->test_set && dataset_classes(data->test_set) > data->classes) /* such queries are missed, as they should be */
        data->classes = dataset_classes(data->test_set);
    return status;
}

static enum simclr_status make_loaders(struct run_data *data, const struct items *train, const struct items *bank,
                                       const struct items *test, const struct train_config *config,
                                       const struct engine *engine, struct simclr_error *err)
{
    struct loader_config lc = {.image_size = config->network.image_size, .channels = config->network.channels,
                               .augment = config->augment, .seed = config->seed};
    enum simclr_status status = loader_create(&data->train, data->train_set, train->at, train->count, &lc, engine, err);
    if (status != SIMCLR_OK || !data->test_set)
        return status;
    status = loader_create(&data->test, data->test_set, test->at, test->count, &lc, engine, err);
    data->bank = data->train;
    if (status == SIMCLR_OK && data->bank_set != data->train_set) {
        data->bank = NULL;
        status = loader_create(&data->bank, data->bank_set, bank->at, bank->count, &lc, engine, err);
    }
    return status;
}

static enum simclr_status make_splits(struct run_data *data, const struct train_config *config, const struct engine *engine,
                                      struct simclr_error *err)
{
    struct items train = {0}, bank = {0}, test = {0};
    const struct dataset *test_source = data->test_set ? data->test_set : data->bank_set;
    enum simclr_status status = SIMCLR_OK;
    if (all_items(&train, data->train_set) || all_items(&bank, data->bank_set) || all_items(&test, test_source))
        status = fail(err, SIMCLR_ERR_MEMORY, "%zu images are more than fit here; use --limit", train.count);
    if (status == SIMCLR_OK && data->bank_set && !data->test_set && bank.count >= HELD_OUT) {
        split_tenth(&bank, &test, config->seed);
        data->test_set = data->bank_set;
        if (data->bank_set == data->train_set) /* a resumed run must hold the same out */
            data->fingerprint ^= UINT64_C(0x9e3779b97f4a7c15) * test.count;
    }
    if (status == SIMCLR_OK) /* queries are never trained on */
        status = make_loaders(data, data->bank_set == data->train_set ? &bank : &train, &bank, &test, config, engine, err);
    free(train.at);
    free(bank.at);
    free(test.at);
    return status;
}

enum simclr_status run_data_open(struct run_data *data, struct train_config *config, const struct engine *engine,
                                 struct simclr_error *err)
{
    *data = (struct run_data){0};
    struct dataset_options options = {.limit = config->limit, .channels = config->network.channels, .max_pixels = config->max_pixels,
                                      .stop = engine->stop};
    enum simclr_status status = run_data_sets(data, config->data[0] ? config->data : NULL, &options, config->knn_every > 0, err);
    if (status == SIMCLR_OK)
        status = run_data_shape(config, data->train_set, err);
    if (status == SIMCLR_OK) {
        data->fingerprint = dataset_fingerprint(data->train_set);
        status = make_splits(data, config, engine, err);
    }
    if (status != SIMCLR_OK)
        run_data_close(data);
    return status;
}

void run_data_close(struct run_data *data)
{
    if (data->bank != data->train)
        loader_free(data->bank);
    loader_free(data->test);
    loader_free(data->train);
    if (data->test_set != data->bank_set)
        dataset_close(data->test_set);
    if (data->bank_set != data->train_set)
        dataset_close(data->bank_set);
    dataset_close(data->train_set);
    *data = (struct run_data){0};
}
