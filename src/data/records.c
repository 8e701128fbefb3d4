#include "data/dataset_format.h"

#include "base/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t records_size(const struct records *records)
{
    return records->header + (size_t)records->h * (size_t)records->w * (size_t)records->c;
}

enum simclr_status records_add(struct records *records, const char *path, size_t *size, struct simclr_error *err)
{
    struct record_file *grown = realloc(records->files, ((size_t)records->file_count + 1) * sizeof *grown);
    char *copy = strdup(path);
    if (grown)
        records->files = grown;
    if (!grown || !copy) {
        free(copy);
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to open %s", path);
    }
    struct record_file *file = &records->files[records->file_count++];
    *file = (struct record_file){.path = copy, .fd = path_open(path, size)};
    if (file->fd < 0)
        return fail(err, SIMCLR_ERR_IO, "cannot read %s: %s", path, errno ? strerror(errno) : "it is not a regular file");
    return *size > 0 ? SIMCLR_OK : fail(err, SIMCLR_ERR_FORMAT, "%s is empty; copy or download it again", path);
}

enum simclr_status records_add_whole(struct records *records, const char *path, const char *kind, struct simclr_error *err)
{
    size_t size = 0, record = records_size(records);
    enum simclr_status status = records_add(records, path, &size, err);
    if (status != SIMCLR_OK)
        return status;
    if (size % record)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has %zu bytes, not a whole number of %s records of %zu: it is cut short or another "
                    "format; download it again", path, size, kind, record);
    records->files[records->file_count - 1].count = size / record;
    return SIMCLR_OK;
}

enum simclr_status records_pread(const struct record_file *file, void *data, size_t size, size_t offset, struct simclr_error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(file->fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, SIMCLR_ERR_IO, "cannot read %s: %s", file->path, strerror(errno));
        if (n == 0)
            return fail(err, SIMCLR_ERR_IO, "%s has become shorter since it was opened; restore it", file->path);
        done += (size_t)n;
    }
    return SIMCLR_OK;
}

/* src: planes (c, h, w), or (c, w, h) by column; dst (h, w, c) */
static void interleave(uint8_t *dst, const uint8_t *src, int h, int w, int c, bool by_column)
{
    size_t down = by_column ? 1 : (size_t)w, right = by_column ? (size_t)h : 1;
    for (int plane = 0; plane < c; plane++)
        for (int y = 0; y < h; y++) {
            const uint8_t *from = src + (size_t)plane * (size_t)h * (size_t)w + (size_t)y * down;
            uint8_t *to = dst + (size_t)y * (size_t)w * (size_t)c + plane;
            for (int x = 0; x < w; x++)
                to[(size_t)x * (size_t)c] = from[(size_t)x * right];
        }
}

static void drop_alpha(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++)
        memmove(pixels + 3 * i, pixels + 4 * i, 3);
}

/* The file that holds record index, and where its pixels begin there. */
static const struct record_file *find(const struct records *records, size_t index, size_t *offset)
{
    const struct record_file *file = records->files;
    while (index >= file->count)
        index -= file++->count;
    *offset = file->start + index * records_size(records) + records->header;
    return file;
}

void records_prefetch(const struct records *records, size_t index)
{
    size_t offset;
    const struct record_file *file = find(records, index, &offset);
    file_read_ahead(file->fd, offset, records_size(records) - records->header);
}

enum simclr_status records_read(const struct records *records, size_t index, struct image *image, struct simclr_error *err)
{
    size_t bytes = records_size(records) - records->header, offset;
    const struct record_file *file = find(records, index, &offset);
    bool planes = records->layout != LAYOUT_INTERLEAVED;
    uint8_t *pixels = malloc(bytes), *packed = planes ? malloc(bytes) : pixels;
    if (!pixels || !packed) {
        free(pixels);
        if (planes)
            free(packed);
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for an image of %d x %d pixels", records->w, records->h);
    }
    enum simclr_status status = records_pread(file, packed, bytes, offset, err);
    if (status == SIMCLR_OK && planes)
        interleave(pixels, packed, records->h, records->w, records->c, records->layout == LAYOUT_PLANES_BY_COLUMN);
    if (planes)
        free(packed);
    if (status != SIMCLR_OK) {
        free(pixels);
        return status;
    }
    if (records->c == 4)
        drop_alpha(pixels, (size_t)records->h * (size_t)records->w);
    *image = (struct image){.h = records->h, .w = records->w, .c = records->c == 4 ? 3 : records->c, .pixels = pixels, .owned = 1};
    return SIMCLR_OK;
}

size_t records_count(const struct records *records)
{
    size_t count = 0;
    for (int i = 0; i < records->file_count; i++)
        count += records->files[i].count;
    return count;
}

void records_close(struct records *records)
{
    for (int i = 0; i < records->file_count; i++) {
        if (records->files[i].fd >= 0)
            close(records->files[i].fd);
        free(records->files[i].path);
    }
    free(records->files);
    *records = (struct records){0};
}
