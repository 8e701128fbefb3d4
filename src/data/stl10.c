/* STL-10, binary version (Coates, Ng and Lee, 2011): 96 x 96 x 3, planes stored column by column; labels 1 to 10 in files apart. */
#include "data/dataset_format.h"

#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 96, CLASSES = 10, PATH_BYTES = 4096 };

static bool has(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    return path_join(path, sizeof path, folder, name) && path_is_file(path);
}

static bool is_stl10_folder(const char *folder)
{
    return has(folder, "unlabeled_X.bin") || has(folder, "train_X.bin") || has(folder, "test_X.bin");
}

bool stl10_recognise(const char *path, char *where, size_t size)
{
    if (is_stl10_folder(path))
        return (size_t)snprintf(where, size, "%s", path) < size;
    return path_join(where, size, path, "stl10_binary") && is_stl10_folder(where);
}

static enum simclr_status read_labels(struct dataset *set, const char *path, struct simclr_error *err)
{
    struct records file = {.h = 1, .w = 1, .c = 1}; /* records of one byte */
    uint8_t *bytes = malloc(set->total);
    set->labels = malloc(set->total * sizeof *set->labels);
    enum simclr_status status = bytes && set->labels ? records_add_whole(&file, path, "label", err)
                                                     : fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %zu labels", set->total);
    if (status == SIMCLR_OK && records_count(&file) != set->total)
        status = fail(err, SIMCLR_ERR_FORMAT, "%s has %zu labels for %zu images; download STL-10 again", path, records_count(&file),
                      set->total);
    if (status == SIMCLR_OK)
        status = records_pread(&file.files[0], bytes, set->total, 0, err);
    for (size_t i = 0; i < set->total && status == SIMCLR_OK; i++) {
        set->labels[i] = bytes[i] - 1;
        if (bytes[i] < 1 || bytes[i] > CLASSES)
            status = fail(err, SIMCLR_ERR_FORMAT, "%s: label %d of image %zu is not in 1 to %d; download STL-10 again", path, bytes[i], i,
                          CLASSES);
    }
    set->classes = CLASSES;
    records_close(&file);
    free(bytes);
    return status;
}

static enum simclr_status open_part(struct dataset *set, const char *folder, const char *images, const char *labels,
                                    struct simclr_error *err)
{
    struct records *records = set->state;
    char path[PATH_BYTES];
    if (!path_join(path, sizeof path, folder, images))
        return fail(err, SIMCLR_ERR_USAGE, "the path %s is too long; move the data to a shorter one", folder);
    enum simclr_status status = records_add_whole(records, path, set->kind, err);
    if (status != SIMCLR_OK)
        return status;
    set->total = records_count(records);
    if (!labels || !has(folder, labels) || !path_join(path, sizeof path, folder, labels))
        return SIMCLR_OK;
    status = read_labels(set, path, err);
    if (status == SIMCLR_OK)
        class_names_read(set, folder, "class_names.txt");
    return status;
}

static enum simclr_status stl10_open(struct dataset *set, const char *path, enum dataset_split split, struct simclr_error *err)
{
    struct records *records = malloc(sizeof *records);
    if (!records)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to open %s", path);
    *records = (struct records){.h = SIDE, .w = SIDE, .c = 3, .layout = LAYOUT_PLANES_BY_COLUMN};
    set->state = records;
    set->kind = "STL-10 binary";
    set->raw = true;
    if (split == SPLIT_TRAIN && has(path, "unlabeled_X.bin"))
        return open_part(set, path, "unlabeled_X.bin", NULL, err);
    if (split == SPLIT_TEST)
        return has(path, "test_X.bin") ? open_part(set, path, "test_X.bin", "test_y.bin", err) : SIMCLR_OK;
    if (has(path, "train_X.bin"))
        return open_part(set, path, "train_X.bin", "train_y.bin", err);
    return split == SPLIT_LABELLED ? SIMCLR_OK
         : fail(err, SIMCLR_ERR_IO, "%s has neither unlabeled_X.bin nor train_X.bin to train on; download STL-10 again", path);
}

static enum simclr_status stl10_read(const struct dataset *set, size_t index, struct image *image, struct simclr_error *err)
{
    return records_read(set->state, index, image, err);
}

static void stl10_prefetch(const struct dataset *set, size_t index)
{
    records_prefetch(set->state, index);
}

static void stl10_close(struct dataset *set)
{
    if (set->state)
        records_close(set->state);
}

const struct dataset_format format_stl10 = {
    .open = stl10_open, .read = stl10_read, .prefetch = stl10_prefetch, .close = stl10_close,
};
