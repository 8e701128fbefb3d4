#include "io/safetensors_format.h"

#include "base/memory.h"
#include "base/status.h"
#include "io/file.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Reading: nothing in the file is believed before it is checked. */

struct safetensors {
    char *path;
    struct file_reader reader;
    size_t data_at, data_size; /* in the file */
    char *data;       /* or NULL: it is read by entries */
    bool checked;     /* the checksum was there, and right */
    json_t *metadata; /* or NULL */
    struct safetensors_entry *entries; /* in order of their data */
    size_t count;
};

static enum simclr_status bad(const char *path, const char *tensor, const char *what, struct simclr_error *err)
{
    return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged or not a safetensors file: tensor %.127s %s", path, tensor, what);
}

/* A JSON integer that is a size, or -1. */
static int get_size(size_t *size, const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > SIZE_MAX)
        return -1;
    *size = (size_t)json_integer_value(value);
    return 0;
}

static enum simclr_status read_type(struct safetensors_entry *e, const char *path, const char *name, const json_t *info,
                                    struct simclr_error *err)
{
    const char *type = json_string_value(json_object_get(info, "dtype"));
    if (!type)
        return bad(path, name, "has no dtype", err);
    for (int t = 0; t < TYPES; t++)
        if (strcmp(type, types[t].name) == 0) {
            e->type = (enum safetensors_type)t;
            return SIMCLR_OK;
        }
    return fail(err, SIMCLR_ERR_FORMAT, "%s: tensor %.127s has type %.16s; this program reads F32, U8 and I64", path, name, type);
}

static enum simclr_status read_entry(struct safetensors *file, struct safetensors_entry *e, const char *path, const char *name,
                                     const json_t *info, struct simclr_error *err)
{
    *e = (struct safetensors_entry){0};
    if (strlen(name) >= sizeof e->name)
        return bad(path, name, "has a name of more than 127 bytes", err);
    memcpy(e->name, name, strlen(name) + 1);
    enum simclr_status status = read_type(e, path, name, info, err);
    if (status != SIMCLR_OK)
        return status;
    const json_t *shape = json_object_get(info, "shape"), *offsets = json_object_get(info, "data_offsets");
    if (!json_is_array(shape) || json_array_size(shape) > MOST_DIMS)
        return bad(path, name, "has no shape of at most 8 dimensions", err);
    e->ndim = (int)json_array_size(shape);
    for (int d = 0; d < e->ndim; d++)
        if (get_size(&e->dims[d], json_array_get(shape, (size_t)d)))
            return bad(path, name, "has a dimension that is not a size", err);
    size_t begin, end;
    if (json_array_size(offsets) != 2 || get_size(&begin, json_array_get(offsets, 0)) || get_size(&end, json_array_get(offsets, 1)))
        return bad(path, name, "has no pair of data_offsets", err);
    if (begin > end || end > file->data_size)
        return bad(path, name, "lies outside of the file", err);
    if (tensor_bytes(&e->bytes, e->type, e->dims, e->ndim))
        return bad(path, name, "has a shape too large for memory", err);
    if (e->bytes != end - begin)
        return bad(path, name, "has another size than its shape says", err);
    if (begin % types[e->type].size != 0)
        return bad(path, name, "is not aligned to its type", err);
    e->offset = begin;
    return SIMCLR_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct safetensors_entry *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->bytes != y->bytes) /* empty tensors come before what starts at the same byte */
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Together the tensors are the data, without overlap or gap, as the format demands. */
static enum simclr_status check_cover(struct safetensors *file, const char *path, struct simclr_error *err)
{
    size_t expected = 0;
    if (file->count > 0)
        qsort(file->entries, file->count, sizeof *file->entries, by_offset);
    for (size_t i = 0; i < file->count; i++) {
        const struct safetensors_entry *e = &file->entries[i];
        if (e->offset < expected)
            return bad(path, e->name, "overlaps another", err);
        if (e->offset > expected)
            return bad(path, e->name, "leaves a gap before it", err);
        expected += e->bytes;
    }
    if (expected != file->data_size)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: bytes follow its last tensor", path);
    return SIMCLR_OK;
}

static enum simclr_status check_metadata(const char *path, json_t *metadata, struct simclr_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: its metadata is not an object", path);
    json_object_foreach(metadata, key, value)
        if (!json_is_string(value))
            return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: metadata %.127s is not text", path, key);
    return SIMCLR_OK;
}

static enum simclr_status list_entries(struct safetensors *file, const char *path, json_t *header, struct simclr_error *err)
{
    const char *name;
    json_t *info;
    file->entries = calloc(json_object_size(header) + 1, sizeof *file->entries);
    if (!file->entries)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", path);
    json_object_foreach(header, name, info) {
        enum simclr_status status;
        if (strcmp(name, METADATA) == 0) {
            file->metadata = json_incref(info);
            status = check_metadata(path, info, err);
        } else {
            status = read_entry(file, &file->entries[file->count], path, name, info, err);
            file->count++;
        }
        if (status != SIMCLR_OK)
            return status;
    }
    return check_cover(file, path, err);
}

static enum simclr_status parse_header(struct safetensors *file, const char *path, const char *text, size_t length,
                                       struct simclr_error *err)
{
    json_error_t where = {.line = 1};
    errno = 0; /* jansson does not always tell a failed allocation from a damaged text */
    json_t *header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
    if (!header && errno == ENOMEM)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", path);
    enum simclr_status status =
        json_is_object(header) ? list_entries(file, path, header, err)
                               : fail(err, SIMCLR_ERR_FORMAT, "%s is damaged or not a safetensors file: its header is not a JSON object "
                                      "(line %d%s%.80s)", path, where.line, where.text[0] ? ": " : "", where.text);
    json_decref(header);
    return status;
}

/* Length and text of the header, from the file's start; *start is freed by the caller, after an error too. */
static enum simclr_status read_header(char **start, size_t *length, struct file_reader *reader, struct simclr_error *err)
{
    uint64_t prefix;
    if (reader->size < PREFIX)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged or not a safetensors file: it has %zu bytes", reader->path, reader->size);
    enum simclr_status status = file_get(reader, &prefix, PREFIX, err);
    if (status != SIMCLR_OK)
        return status;
    if (prefix > reader->size - PREFIX)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged or not a safetensors file: its header is longer than the file", reader->path);
    if (prefix > MOST_HEADER)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged or not a safetensors file: its header is longer than %d MB", reader->path,
                    MOST_HEADER >> 20);
    *length = (size_t)prefix;
    if (!(*start = malloc(PREFIX + *length)))
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", reader->path);
    memcpy(*start, &prefix, PREFIX);
    return file_get(reader, *start + PREFIX, *length, err);
}

static enum simclr_status take_memory(struct safetensors *file, struct simclr_error *err)
{
    size_t available = memory_available();
    if ((available && file->data_size > available) || !(file->data = malloc(file->data_size + 1)))
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s (%zu MB)", file->reader.path, file->data_size >> 20);
    for (size_t i = 0; i < file->count; i++)
        file->entries[i].data = file->data + file->entries[i].offset;
    return SIMCLR_OK;
}

/* To where it stays, or over and over into one block. */
static enum simclr_status read_data(struct safetensors *file, struct crc64 *crc, struct simclr_error *err)
{
    char *block = file->data ? NULL : malloc(READ_BLOCK);
    enum simclr_status status = SIMCLR_OK;
    if (!file->data && !block)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", file->reader.path);
    for (size_t at = 0; at < file->data_size && status == SIMCLR_OK; at += READ_BLOCK) {
        size_t size = file->data_size - at < READ_BLOCK ? file->data_size - at : READ_BLOCK;
        char *to = file->data ? file->data + at : block;
        status = file_get(&file->reader, to, size, err);
        if (status == SIMCLR_OK)
            crc64_add(crc, to, size);
    }
    free(block);
    return status;
}

/* With zeros in its own place. */
static void sum_start(struct crc64 *crc, const char *start, size_t size)
{
    crc64_begin(crc);
    crc64_add(crc, start, CHECKSUM_AT);
    crc64_add(crc, NO_CHECKSUM, CHECKSUM_DIGITS);
    crc64_add(crc, start + CHECKSUM_AT + CHECKSUM_DIGITS, size - CHECKSUM_AT - CHECKSUM_DIGITS);
}

/* A file of another writer has no checksum. */
static enum simclr_status check_data(struct safetensors *file, const char *start, size_t size, struct simclr_error *err)
{
    char text[CHECKSUM_DIGITS + 1];
    struct crc64 crc = {0};
    bool ours = size >= CHECKSUM_AT + CHECKSUM_DIGITS && memcmp(start + PREFIX, header_start, sizeof header_start - 1) == 0;
    if (ours)
        sum_start(&crc, start, size);
    enum simclr_status status = read_data(file, &crc, err);
    if (status != SIMCLR_OK)
        return status;
    checksum_text(text, &crc);
    if (ours && memcmp(text, start + CHECKSUM_AT, CHECKSUM_DIGITS) != 0)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: its %zu bytes do not give its checksum; use another copy", file->reader.path, size + file->data_size);
    file->checked = ours;
    return SIMCLR_OK;
}

static enum simclr_status read_all(struct safetensors *file, bool into_memory, struct simclr_error *err)
{
    char *start = NULL;
    size_t length = 0;
    enum simclr_status status = read_header(&start, &length, &file->reader, err);
    if (status == SIMCLR_OK) {
        file->data_at = PREFIX + length;
        file->data_size = file->reader.size - file->data_at;
        status = parse_header(file, file->reader.path, start + PREFIX, length, err);
    }
    if (status == SIMCLR_OK && into_memory)
        status = take_memory(file, err);
    if (status == SIMCLR_OK)
        status = check_data(file, start, file->data_at, err);
    free(start);
    return status;
}

static enum simclr_status open_file(struct safetensors **file, const char *path, bool into_memory, struct simclr_error *err)
{
    *file = NULL;
    struct file_reader reader;
    enum simclr_status status = file_open(&reader, path, err);
    if (status != SIMCLR_OK)
        return status;
    struct safetensors *f = calloc(1, sizeof *f);
    char *copy = f ? strdup(path) : NULL;
    if (!copy) {
        free(f);
        file_close(&reader);
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", path);
    }
    reader.path = f->path = copy;
    f->reader = reader;
    status = read_all(f, into_memory, err);
    if (status == SIMCLR_OK)
        *file = f;
    else
        safetensors_close(f);
    return status;
}

enum simclr_status safetensors_open(struct safetensors **file, const char *path, struct simclr_error *err)
{
    return open_file(file, path, true, err);
}

enum simclr_status safetensors_open_each(struct safetensors **file, const char *path, struct simclr_error *err)
{
    return open_file(file, path, false, err);
}

enum simclr_status safetensors_get(struct safetensors *file, const struct safetensors_entry *entry, void *data, struct simclr_error *err)
{
    return file_get_at(&file->reader, file->data_at + entry->offset, data, entry->bytes, err);
}

void safetensors_close(struct safetensors *file)
{
    if (!file)
        return;
    file_close(&file->reader);
    free(file->path);
    json_decref(file->metadata);
    free(file->entries);
    free(file->data);
    free(file);
}

const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->entries[i].name, name) == 0)
            return &file->entries[i];
    return NULL;
}

size_t safetensors_count(const struct safetensors *file)
{
    return file->count;
}

const struct safetensors_entry *safetensors_at(const struct safetensors *file, size_t index)
{
    return index < file->count ? &file->entries[index] : NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    return json_string_value(json_object_get(file->metadata, key));
}

bool safetensors_checked(const struct safetensors *file)
{
    return file->checked;
}
