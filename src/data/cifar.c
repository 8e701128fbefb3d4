/* CIFAR-10 and CIFAR-100, binary version (A. Krizhevsky, 2009): records of one or two label bytes and 3072 bytes of planes. */
#include "data/dataset_format.h"

#include "base/status.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PATH_BYTES = 4096, LABEL_BLOCK = 256 };

static bool is_batch(const char *name)
{
    size_t n = strlen(name);
    return n > 15 && !strncmp(name, "data_batch_", 11) && !strcmp(name + n - 4, ".bin");
}

static void free_names(char **names, int count)
{
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* Sorted names of data_batch_*.bin; freed with free_names. -1: no memory. An unreadable folder has none. */
static int list_batches(const char *folder, char ***names)
{
    *names = NULL;
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort), count = 0;
    if (n < 0)
        return 0;
    *names = malloc(((size_t)n + 1) * sizeof **names);
    bool enough = *names != NULL;
    for (int i = 0; i < n; i++) {
        if (enough && is_batch(entries[i]->d_name)) {
            (*names)[count] = strdup(entries[i]->d_name);
            enough = (*names)[count] != NULL;
            count += enough;
        }
        free(entries[i]);
    }
    free(entries);
    if (enough)
        return count;
    free_names(*names, count);
    *names = NULL;
    return -1;
}

static bool has(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    return path_join(path, sizeof path, folder, name) && path_is_file(path);
}

static bool is_cifar10_folder(const char *folder)
{
    if (has(folder, "test_batch.bin"))
        return true;
    char **names;
    int count = list_batches(folder, &names);
    free_names(names, count);
    return count > 0;
}

static bool is_cifar100_folder(const char *folder)
{
    return has(folder, "train.bin") || has(folder, "test.bin");
}

bool cifar_recognise(const char *path, char *where, size_t size)
{
    static const char *const archives[] = {"cifar-10-batches-bin", "cifar-100-binary"};
    if (is_cifar10_folder(path) || is_cifar100_folder(path))
        return (size_t)snprintf(where, size, "%s", path) < size;
    for (size_t i = 0; i < sizeof archives / sizeof *archives; i++)
        if (path_join(where, size, path, archives[i]) && (is_cifar10_folder(where) || is_cifar100_folder(where)))
            return true;
    return false;
}

static enum simclr_status add(struct records *records, const char *folder, const char *name, const char *kind,
                              struct simclr_error *err)
{
    char path[PATH_BYTES];
    if (!path_join(path, sizeof path, folder, name))
        return fail(err, SIMCLR_ERR_USAGE, "the path %s is too long; move the data to a shorter one", folder);
    return records_add_whole(records, path, kind, err);
}

static enum simclr_status add_batches(struct records *records, const char *folder, const char *kind, struct simclr_error *err)
{
    char **names;
    int count = list_batches(folder, &names);
    if (count < 0)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to list %s", folder);
    enum simclr_status status = SIMCLR_OK;
    for (int i = 0; i < count && status == SIMCLR_OK; i++)
        status = add(records, folder, names[i], kind, err);
    free_names(names, count);
    if (status == SIMCLR_OK && count == 0)
        return fail(err, SIMCLR_ERR_IO, "%s has no data_batch_*.bin to train on; download CIFAR-10 again", folder);
    return status;
}

/* The fine label is the last byte before the pixels. */
static enum simclr_status read_labels(struct dataset *set, struct simclr_error *err)
{
    const struct records *records = set->state;
    size_t record = records_size(records), at = 0, rows = set->total < LABEL_BLOCK ? set->total : LABEL_BLOCK;
    uint8_t *block = malloc(rows * record);
    set->labels = malloc(set->total * sizeof *set->labels);
    enum simclr_status status = SIMCLR_OK;
    if (!block || !set->labels)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %zu labels", set->total);
    for (int f = 0; f < records->file_count && status == SIMCLR_OK; f++) {
        const struct record_file *file = &records->files[f];
        for (size_t first = 0; first < file->count && status == SIMCLR_OK; first += rows) {
            size_t count = file->count - first < rows ? file->count - first : rows;
            status = records_pread(file, block, count * record, first * record, err);
            for (size_t i = 0; i < count && status == SIMCLR_OK; i++) {
                set->labels[at] = block[i * record + records->header - 1];
                if (set->labels[at++] >= set->classes)
                    status = fail(err, SIMCLR_ERR_FORMAT, "%s: record %zu has label %d, but %s labels are 0 to %d: the file is damaged "
                                  "or another format; download it again", file->path, first + i, (int)set->labels[at - 1], set->kind,
                                  set->classes - 1);
            }
        }
    }
    free(block);
    return status;
}

static void set_kind(struct dataset *set, bool hundred)
{
    struct records *records = set->state;
    set->kind = hundred ? "CIFAR-100 binary" : "CIFAR-10 binary";
    set->classes = hundred ? 100 : 10;
    *records = (struct records){.header = hundred ? 2 : 1, .h = SIDE, .w = SIDE, .c = 3, .layout = LAYOUT_PLANES};
}

static enum simclr_status open_folder(struct dataset *set, const char *folder, enum dataset_split split, struct simclr_error *err)
{
    struct records *records = set->state;
    bool ten = is_cifar10_folder(folder);
    set_kind(set, !ten);
    if (split == SPLIT_TEST) {
        const char *name = ten ? "test_batch.bin" : "test.bin";
        return has(folder, name) ? add(records, folder, name, set->kind, err) : SIMCLR_OK;
    }
    return ten ? add_batches(records, folder, set->kind, err) : add(records, folder, "train.bin", set->kind, err);
}

/* One .bin: CIFAR-100 when its length says so and not also CIFAR-10. */
static enum simclr_status open_file(struct dataset *set, const char *path, struct simclr_error *err)
{
    struct records *records = set->state;
    size_t size = 0;
    enum simclr_status status = records_add(records, path, &size, err);
    records_close(records);
    if (status != SIMCLR_OK)
        return status;
    const size_t pixels = SIDE * SIDE * 3;
    set_kind(set, size % (pixels + 1) != 0 && size % (pixels + 2) == 0);
    return records_add_whole(records, path, set->kind, err);
}

static enum simclr_status cifar_open(struct dataset *set, const char *path, enum dataset_split split, struct simclr_error *err)
{
    struct records *records = calloc(1, sizeof *records);
    if (!records)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to open %s", path);
    set->state = records;
    enum simclr_status status = SIMCLR_OK;
    if (path_is_folder(path))
        status = open_folder(set, path, split, err);
    else if (split != SPLIT_TEST)
        status = open_file(set, path, err);
    set->total = records_count(records);
    set->raw = true;
    if (status == SIMCLR_OK && set->total)
        status = read_labels(set, err);
    if (status == SIMCLR_OK && path_is_folder(path))
        class_names_read(set, path, set->classes == 10 ? "batches.meta.txt" : "fine_label_names.txt");
    return status;
}

static enum simclr_status cifar_read(const struct dataset *set, size_t index, struct image *image, struct simclr_error *err)
{
    return records_read(set->state, index, image, err);
}

static void cifar_prefetch(const struct dataset *set, size_t index)
{
    records_prefetch(set->state, index);
}

static void cifar_close(struct dataset *set)
{
    if (set->state)
        records_close(set->state);
}

const struct dataset_format format_cifar = {
    .open = cifar_open, .read = cifar_read, .prefetch = cifar_prefetch, .close = cifar_close,
};
