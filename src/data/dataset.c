#include "data/dataset_format.h"

#include "base/status.h"
#include "base/text.h"
#include "data/decode.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FINGERPRINT_SAMPLES = 16, NAME_BYTES = 320 /* leaves room for a reason in an error */ };

uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t hash_u64(uint64_t hash, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
    return hash_bytes(hash, bytes, sizeof bytes);
}

bool path_join(char *text, size_t size, const char *folder, const char *name)
{
    size_t n = strlen(folder);
    int written = snprintf(text, size, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
    return written >= 0 && (size_t)written < size;
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool path_is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

bool path_is_file(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

int path_open(const char *path, size_t *size)
{
    struct stat st;
    errno = 0;
    if (stat(path, &st) || !S_ISREG(st.st_mode))
        return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may have become a FIFO */
    if (fd < 0 || (!fstat(fd, &st) && S_ISREG(st.st_mode))) {
        *size = (size_t)st.st_size;
        return fd;
    }
    close(fd);
    errno = 0;
    return -1;
}

static bool ends_with(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && !strcasecmp(path + n - m, suffix);
}

/* Which format, and where its files lie. */
static enum simclr_status recognise(const struct dataset_format **format, char *where, size_t size, const char *path,
                                    struct simclr_error *err)
{
    struct stat st;
    if (!path) {
        *format = &format_generated;
        return SIMCLR_OK;
    }
    if (stat(path, &st))
        return fail(err, SIMCLR_ERR_IO, "cannot open %s: %s; name a folder of images, a CIFAR or STL-10 folder, or a .npy file", path,
                    strerror(errno));
    int written = snprintf(where, size, "%s", path);
    if (written < 0 || (size_t)written >= size)
        return fail(err, SIMCLR_ERR_USAGE, "the path %s is too long; move the data to a shorter one", path);
    if (S_ISDIR(st.st_mode)) {
        *format = cifar_recognise(path, where, size) ? &format_cifar : stl10_recognise(path, where, size) ? &format_stl10 : &format_folder;
        if (*format == &format_folder)
            snprintf(where, size, "%s", path);
        return SIMCLR_OK;
    }
    *format = ends_with(path, ".npy") ? &format_npy : ends_with(path, ".bin") ? &format_cifar : NULL;
    if (*format == &format_cifar && ends_with(path, "_X.bin"))
        return fail(err, SIMCLR_ERR_USAGE, "%s is one file of STL-10; name the folder that holds it", path);
    return *format ? SIMCLR_OK
                   : fail(err, SIMCLR_ERR_USAGE, "%s is not a data set: name a folder of images, a CIFAR or STL-10 folder, or a .npy file",
                          path);
}

/* Position in the files of image index. A limit takes one from each of as many equal stretches, at places that follow the golden
 * ratio: where classes take turns in the files, a fixed place would meet only some of them. */
static size_t source_index(const struct dataset *set, size_t index)
{
    uint64_t whole = set->total / set->size, rest = set->total % set->size;
    uint64_t first = index * whole + index * rest / set->size, next = (index + 1) * whole + (index + 1) * rest / set->size;
    uint64_t place = index * UINT64_C(0x9e3779b97f4a7c15) >> 32; /* a fraction of 2^32 */
    return (size_t)(first + (place * (next - first) >> 32));
}

/* Records have no names of their own, so a few of them stand for the content. */
static enum simclr_status fingerprint(struct dataset *set, struct simclr_error *err)
{
    set->hash = hash_bytes(set->hash ? set->hash : HASH_START, set->kind, strlen(set->kind));
    set->hash = hash_u64(hash_u64(set->hash, set->total), set->size);
    size_t samples = set->format->item_name ? 0 : set->total < FINGERPRINT_SAMPLES ? set->total : FINGERPRINT_SAMPLES;
    for (size_t i = 0; i < samples; i++) {
        struct image image;
        enum simclr_status status = set->format->read(set, set->total / samples * i, &image, err);
        if (status != SIMCLR_OK)
            return status;
        set->hash = hash_u64(hash_u64(hash_u64(set->hash, (uint64_t)image.h), (uint64_t)image.w), (uint64_t)image.c);
        set->hash = hash_bytes(set->hash, image.pixels, (size_t)image.h * (size_t)image.w * (size_t)image.c);
        image_release(&image);
    }
    return SIMCLR_OK;
}

static enum simclr_status create(struct dataset **dataset, const struct dataset_format *format, const struct dataset_options *options,
                                 const char *what, struct simclr_error *err)
{
    if (options->channels != 1 && options->channels != 3)
        return fail(err, SIMCLR_ERR_USAGE, "images have 1 or 3 channels, not %d", options->channels);
    struct dataset *set = *dataset = calloc(1, sizeof *set);
    if (!set)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to open %s", what);
    set->format = format;
    set->part = "train";
    set->channels = options->channels;
    set->stop = options->stop;
    set->max_pixels = options->max_pixels ? options->max_pixels : DATASET_MAX_PIXELS;
    return SIMCLR_OK;
}

/* What all formats have in common, after a format's open gave `status`. */
static enum simclr_status finish(struct dataset **dataset, enum simclr_status status, size_t limit, const char *where,
                                 struct simclr_error *err)
{
    struct dataset *set = *dataset;
    if (status == SIMCLR_OK && set->total > UINT32_MAX)
        status = fail(err, SIMCLR_ERR_USAGE, "%s has %zu images; a set has at most %u", where, set->total, UINT32_MAX);
    set->size = limit && limit < set->total ? limit : set->total;
    if (status == SIMCLR_OK && set->total)
        status = fingerprint(set, err);
    if (status != SIMCLR_OK || set->total == 0) {
        dataset_close(set);
        *dataset = NULL;
    }
    return status;
}

enum simclr_status dataset_open(struct dataset **dataset, const char *path, enum dataset_split split,
                                const struct dataset_options *options, struct simclr_error *err)
{
    static const char *const parts[] = {[SPLIT_TRAIN] = "train", [SPLIT_TEST] = "test", [SPLIT_LABELLED] = "labelled"};
    const struct dataset_format *format = NULL;
    char where[PATH_BYTES] = "";
    *dataset = NULL;
    enum simclr_status status = recognise(&format, where, sizeof where, path, err);
    if (status == SIMCLR_OK)
        status = create(dataset, format, options, path ? path : "the generated set", err);
    if (status != SIMCLR_OK)
        return status;
    (*dataset)->part = parts[split];
    return finish(dataset, format->open(*dataset, where, split, err), options->limit, where, err);
}

enum simclr_status dataset_open_files(struct dataset **dataset, const char *const *paths, size_t count, const struct dataset_options *options,
                                      struct simclr_error *err)
{
    *dataset = NULL;
    enum simclr_status status = create(dataset, &format_folder, options, "a list of files", err);
    return status == SIMCLR_OK ? finish(dataset, folder_open_files(*dataset, paths, count, err), options->limit, "the list", err) : status;
}

enum simclr_status dataset_open_arrays(struct dataset **dataset, const uint8_t *pixels, const int32_t *labels, size_t count, int h, int w, int c,
                                       const struct dataset_options *options, struct simclr_error *err)
{
    *dataset = NULL;
    enum simclr_status status = create(dataset, &format_arrays, options, "arrays", err);
    return status == SIMCLR_OK ? finish(dataset, arrays_open(*dataset, pixels, labels, count, h, w, c, err), options->limit, "the array", err)
                               : status;
}

bool dataset_is_image_file(const char *path)
{
    return path_is_file(path) && !ends_with(path, ".npy") && !ends_with(path, ".bin");
}

static void class_names_free(struct dataset *set)
{
    for (int i = 0; set->class_names && i < set->classes; i++)
        free(set->class_names[i]);
    free(set->class_names);
    set->class_names = NULL;
}

void class_names_read(struct dataset *set, const char *folder, const char *file)
{
    enum { MOST_BYTES = 1 << 16 };
    char path[PATH_BYTES];
    void *text;
    size_t size;
    if (!path_join(path, sizeof path, folder, file) || file_read(&text, &size, path, MOST_BYTES, NULL) != SIMCLR_OK)
        return;
    set->class_names = calloc((size_t)set->classes, sizeof *set->class_names);
    bool enough = set->class_names != NULL;
    char *line = text;
    int count = 0;
    for (; enough && count < set->classes && *line; count++) {
        size_t length = strcspn(line, "\r\n");
        enough = length > 0 && (set->class_names[count] = strndup(line, length));
        line += length + strspn(line + length, "\r\n");
    }
    if (!enough || count < set->classes)
        class_names_free(set);
    free(text);
}

void dataset_close(struct dataset *set)
{
    if (!set)
        return;
    if (set->format->close)
        set->format->close(set);
    class_names_free(set);
    free(set->state);
    free(set->labels);
    free(set);
}

size_t dataset_size(const struct dataset *set) { return set->size; }
int dataset_channels(const struct dataset *set) { return set->channels; }
int dataset_classes(const struct dataset *set) { return set->classes; }
const char *dataset_kind(const struct dataset *set) { return set->kind; }
bool dataset_is_raw(const struct dataset *set) { return set->raw; }
const char *dataset_part(const struct dataset *set) { return set->part; }
uint64_t dataset_fingerprint(const struct dataset *set) { return set->hash; }

int dataset_label(const struct dataset *set, size_t index)
{
    return set->labels && index < set->size ? set->labels[source_index(set, index)] : -1;
}

const char *dataset_class_name(const struct dataset *set, int label, char *text, size_t size)
{
    if (set->class_names && label < set->classes)
        return text_printable(text, size, set->class_names[label]);
    snprintf(text, size, "%d", label);
    return text;
}

const char *dataset_item_name(const struct dataset *set, size_t index, char *text, size_t size)
{
    if (set->format->item_name && index < set->size)
        text_printable(text, size, set->format->item_name(set, source_index(set, index)));
    else
        snprintf(text, size, "#%zu", index < set->size ? source_index(set, index) : index);
    return text;
}

bool dataset_item_path(const struct dataset *set, size_t index, char *text, size_t size)
{
    return set->format->item_path && index < set->size && set->format->item_path(set, source_index(set, index), text, size);
}

bool dataset_can_prefetch(const struct dataset *set) { return set->format->prefetch != NULL; }

void dataset_prefetch(const struct dataset *set, size_t index)
{
    if (index < set->size && set->format->prefetch)
        set->format->prefetch(set, source_index(set, index));
}

/* In pieces: Linux cuts each request to the largest that the disk takes at once, or to its read-ahead, often 128 KB. */
void file_read_ahead(int fd, size_t offset, size_t size)
{
    enum { PIECE = 128 << 10 };
    for (size_t done = 0; done < size; done += PIECE)
        posix_fadvise(fd, (off_t)(offset + done), (off_t)(size - done < PIECE ? size - done : PIECE), POSIX_FADV_WILLNEED);
}

enum simclr_status dataset_read(const struct dataset *set, size_t index, struct image *image, struct simclr_error *err)
{
    *image = (struct image){0};
    if (index >= set->size)
        return fail(err, SIMCLR_ERR_USAGE, "there is no image %zu in a set of %zu", index, set->size);
    struct simclr_error reason;
    enum simclr_status status = set->format->read(set, source_index(set, index), image, &reason);
    if (status == SIMCLR_OK)
        status = image_set_channels(image, set->channels, &reason);
    if (status == SIMCLR_OK)
        return status;
    char name[NAME_BYTES];
    image_release(image);
    return fail(err, status, "%s: %s", dataset_item_name(set, index, name, sizeof name), reason.text);
}
