/* NumPy's .npy: images (N, H, W, C) or (N, H, W) of bytes; labels (N) of integers and further splits lie
 * beside them, as `simclr pack` leaves them. */
#include "data/dataset_format.h"

#include "base/status.h"
#include "io/npy.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 1 << 16, PATH_BYTES = 4096, MAX_CLASSES = 1 << 20 };

static enum simclr_status read_header(struct npy_header *header, const struct record_file *file, size_t size, struct simclr_error *err)
{
    size_t most = size < NPY_HEADER_MOST ? size : NPY_HEADER_MOST;
    uint8_t *start = malloc(most);
    enum simclr_status status = start ? records_pread(file, start, most, 0, err)
                                      : fail(err, SIMCLR_ERR_MEMORY, "not enough memory to open %s", file->path);
    if (status == SIMCLR_OK)
        status = npy_parse_header(header, file->path, start, size, err);
    free(start);
    return status;
}

/* The array's bytes, or false when they overflow. */
static bool array_bytes(size_t *bytes, const struct npy_header *header, size_t item)
{
    *bytes = item;
    for (int i = 0; i < header->ndim && i < NPY_MOST_DIMS; i++)
        if (__builtin_mul_overflow(*bytes, header->dims[i], bytes))
            return false;
    return true;
}

static enum simclr_status check_images(const struct npy_header *header, size_t size, size_t max_pixels, const char *path,
                                       struct simclr_error *err)
{
    const size_t *d = header->dims;
    if (!strcmp(header->dtype, "|O"))
        return fail(err, SIMCLR_ERR_FORMAT, "%s holds Python objects, not bytes; save numpy.stack of images of one size", path);
    if (strcmp(header->dtype, "|u1") && strcmp(header->dtype, "<u1") && strcmp(header->dtype, ">u1"))
        return fail(err, SIMCLR_ERR_FORMAT, "%s holds items of type %s, not bytes (|u1); bring its values to 0 to 255 (floats of 0 to 1: times 255) "
                    "and save it with .round().astype(numpy.uint8)", path, header->dtype);
    if (header->fortran)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is in Fortran order; save it with numpy.ascontiguousarray", path);
    if (header->ndim != 3 && header->ndim != 4)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has %d dimensions; images are (N, H, W, C) or (N, H, W)", path, header->ndim);
    if (header->ndim == 4 && d[3] != 1 && d[3] != 3 && d[3] != 4)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has shape (%zu, %zu, %zu, %zu); the last of (N, H, W, C) is 1, 3 or 4: save "
                    "(N, C, H, W) with .transpose(0, 2, 3, 1)", path, d[0], d[1], d[2], d[3]);
    if (d[0] == 0)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has no image", path);
    if (d[1] == 0 || d[2] == 0 || d[1] > MAX_SIDE || d[2] > MAX_SIDE)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has images of %zu x %zu; sides are 1 to %d", path, d[1], d[2], MAX_SIDE);
    if (d[1] * d[2] > max_pixels)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has images of %zu x %zu, more than --max-pixels %zu; make them smaller, or raise the limit",
                    path, d[1], d[2], max_pixels);
    if (d[0] > UINT32_MAX)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has %zu images; a set has at most %u", path, d[0], UINT32_MAX);
    size_t bytes;
    if (!array_bytes(&bytes, header, 1) || bytes > size - header->start)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is cut short: it has %zu bytes, fewer than its header promises; write it again", path, size);
    return SIMCLR_OK;
}

/* One little-endian integer of `item` bytes. */
static long long label_value(const uint8_t *p, size_t item, bool is_signed)
{
    uint64_t value = 0;
    for (size_t i = 0; i < item; i++)
        value |= (uint64_t)p[i] << 8 * i;
    if (is_signed && item < 8 && value >> (8 * item - 1))
        value |= ~UINT64_C(0) << 8 * item;
    return value > LLONG_MAX ? -1 - (long long)~value : (long long)value;
}

static enum simclr_status take_labels(struct dataset *set, const struct record_file *file, const struct npy_header *header, size_t size,
                                      struct simclr_error *err)
{
    size_t item = header->dtype[0] && header->dtype[1] && !header->dtype[3] ? (size_t)(header->dtype[2] - '0') : 0, bytes;
    bool is_signed = header->dtype[1] == 'i', integer = is_signed || header->dtype[1] == 'u';
    if (!integer || (item != 1 && item != 2 && item != 4 && item != 8) || (header->dtype[0] == '>' && item > 1))
        return fail(err, SIMCLR_ERR_FORMAT, "%s holds items of type %s; labels are little-endian integers: save them with "
                    ".astype(numpy.int32)", file->path, header->dtype);
    if (header->ndim != 1 || header->dims[0] != set->total)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is not a list of %zu labels, one an image; write it again", file->path, set->total);
    if (!array_bytes(&bytes, header, item) || bytes > size - header->start)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is cut short; write it again", file->path);
    uint8_t *data = malloc(bytes);
    set->labels = malloc(set->total * sizeof *set->labels);
    enum simclr_status status = data && set->labels ? records_pread(file, data, bytes, header->start, err)
                                                    : fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %zu labels", set->total);
    for (size_t i = 0; i < set->total && status == SIMCLR_OK; i++) {
        long long label = label_value(data + i * item, item, is_signed);
        if (label >= MAX_CLASSES)
            status = fail(err, SIMCLR_ERR_FORMAT, "%s: label %lld of image %zu is over %d; number classes from 0", file->path, label, i,
                          MAX_CLASSES - 1);
        set->labels[i] = label < 0 ? -1 : (int32_t)label;
        if (status == SIMCLR_OK && set->labels[i] >= set->classes)
            set->classes = set->labels[i] + 1;
    }
    free(data);
    return status;
}

/* NAME.what.npy beside NAME.npy, if it is there. */
static bool companion(char path[PATH_BYTES], const char *images, const char *what)
{
    size_t stem = strlen(images);
    if (stem > 4 && !strcmp(images + stem - 4, ".npy"))
        stem -= 4;
    int n = snprintf(path, PATH_BYTES, "%.*s.%s.npy", (int)stem, images, what);
    return n >= 0 && n < PATH_BYTES && path_is_file(path);
}

static enum simclr_status read_labels(struct dataset *set, const char *images, struct simclr_error *err)
{
    char path[PATH_BYTES];
    if (!companion(path, images, "labels"))
        return SIMCLR_OK;
    struct records labels = {.file_count = 0};
    struct npy_header header;
    size_t size = 0;
    enum simclr_status status = records_add(&labels, path, &size, err);
    if (status == SIMCLR_OK)
        status = read_header(&header, &labels.files[0], size, err);
    if (status == SIMCLR_OK)
        status = take_labels(set, &labels.files[0], &header, size, err);
    records_close(&labels);
    return status;
}

static enum simclr_status npy_open(struct dataset *set, const char *path, enum dataset_split split, struct simclr_error *err)
{
    set->kind = ".npy of images";
    set->raw = true;
    char other[PATH_BYTES];
    if (split == SPLIT_TEST && !companion(other, path, "test"))
        return SIMCLR_OK;
    if (split == SPLIT_TEST || (split == SPLIT_LABELLED && companion(other, path, "labelled")))
        path = other;
    struct records *records = calloc(1, sizeof *records);
    if (!records)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to open %s", path);
    set->state = records;
    struct npy_header header;
    size_t size = 0;
    enum simclr_status status = records_add(records, path, &size, err);
    if (status == SIMCLR_OK)
        status = read_header(&header, &records->files[0], size, err);
    if (status == SIMCLR_OK)
        status = check_images(&header, size, set->max_pixels, path, err);
    if (status != SIMCLR_OK)
        return status;
    records->h = (int)header.dims[1];
    records->w = (int)header.dims[2];
    records->c = header.ndim == 4 ? (int)header.dims[3] : 1;
    records->files[0].start = header.start;
    set->total = records->files[0].count = header.dims[0];
    return read_labels(set, path, err);
}

static enum simclr_status npy_read(const struct dataset *set, size_t index, struct image *image, struct simclr_error *err)
{
    return records_read(set->state, index, image, err);
}

static void npy_prefetch(const struct dataset *set, size_t index)
{
    records_prefetch(set->state, index);
}

static void npy_close(struct dataset *set)
{
    if (set->state)
        records_close(set->state);
}

const struct dataset_format format_npy = {
    .open = npy_open, .read = npy_read, .prefetch = npy_prefetch, .close = npy_close,
};
