#include "io/safetensors.h"

#include "base/crc64.h"
#include "base/memory.h"
#include "base/status.h"
#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined __BYTE_ORDER__ && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are written as they lie in memory, and the format is little-endian"
#endif

#define METADATA "__metadata__"

/* The checksum is the first text of the metadata, so that it has one place in every file we write: it is that of the whole file
 * with zeros in its own place. */
#define CHECKSUM "simclr_checksum"
#define NO_CHECKSUM "0000000000000000"
static const char header_start[] = "{\"" METADATA "\":{\"" CHECKSUM "\":\"";

enum { CHECKSUM_DIGITS = sizeof NO_CHECKSUM - 1, CHECKSUM_AT = 8 + sizeof header_start - 1 };
enum { PREFIX = 8, ALIGNMENT = 8, MOST_DIMS = 8, MOST_HEADER = 4 << 20 /* a ResNet-152 with Adam takes 0.3 MB; parsed, it can take 40 times as much */ };

static const struct {
    const char *name;
    size_t size;
} types[] = {[ST_F32] = {"F32", 4}, [ST_U8] = {"U8", 1}, [ST_I64] = {"I64", 8}};

enum { READ_BLOCK = 1 << 20, TYPES = sizeof types / sizeof types[0] };

/* Bytes of a tensor, or -1 when they do not fit a size_t. */
static int tensor_bytes(size_t *bytes, enum safetensors_type type, const size_t *dims, int ndim)
{
    size_t total = types[type].size;
    bool empty = false;
    for (int d = 0; d < ndim; d++)
        empty |= dims[d] == 0;
    for (int d = 0; d < ndim && !empty; d++) {
        if (total > SIZE_MAX / dims[d])
            return -1;
        total *= dims[d];
    }
    *bytes = empty ? 0 : total;
    return 0;
}

/* ---- Writing ---- */

/* NULL: no memory. */
static json_t *describe(const struct safetensors_entry *e, size_t begin)
{
    json_t *shape = json_array();
    int failed = 0;
    for (int d = 0; d < e->ndim; d++)
        failed |= json_array_append_new(shape, json_integer((json_int_t)e->dims[d]));
    if (failed) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", types[e->type].name, "shape", shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)(begin + e->bytes));
}

/* A text did not become part of the header: no memory, or it is not UTF-8. */
static enum simclr_status text_failed(const char *path, const char *text, struct simclr_error *err)
{
    return errno == ENOMEM ? fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path)
                           : fail(err, SIMCLR_ERR_FORMAT, "cannot write %s: %s is not UTF-8 text", path, text);
}

/* The tensors, in the order of the file, and their data from somewhere. */
struct source {
    const struct safetensors_entry *entries;
    const size_t *order;
    size_t count;
    safetensors_data_fn *data;
    void *ctx;
};

static enum simclr_status build_header(json_t *header, const char *path, const struct source *source,
                                       const struct safetensors_pair *metadata, size_t pairs, struct simclr_error *err)
{
    json_t *object = json_object();
    errno = 0;
    if (json_object_set_new(header, METADATA, object) < 0 || json_object_set_new(object, CHECKSUM, json_string(NO_CHECKSUM)) < 0)
        return text_failed(path, CHECKSUM, err);
    for (size_t i = 0; i < pairs; i++)
        if (json_object_set_new(object, metadata[i].key, json_string(metadata[i].value)) < 0)
            return text_failed(path, metadata[i].key, err);
    size_t begin = 0;
    for (size_t i = 0; i < source->count; i++) {
        const struct safetensors_entry *e = &source->entries[source->order[i]];
        size_t bytes;
        if (e->ndim < 0 || e->ndim > MOST_DIMS || tensor_bytes(&bytes, e->type, e->dims, e->ndim) || bytes != e->bytes)
            return fail(err, SIMCLR_ERR_FORMAT, "cannot write %s: tensor %s has %zu bytes, which is not its shape", path, e->name,
                        e->bytes);
        if (json_object_get(header, e->name))
            return fail(err, SIMCLR_ERR_FORMAT, "cannot write %s: two tensors are called %s", path, e->name);
        if (json_object_set_new(header, e->name, describe(e, begin)) < 0)
            return text_failed(path, "a tensor's name", err);
        begin += bytes;
    }
    return SIMCLR_OK;
}

static void checksum_text(char text[CHECKSUM_DIGITS + 1], const struct crc64 *crc)
{
    snprintf(text, CHECKSUM_DIGITS + 1, "%016" PRIx64, crc64_end(crc));
}

/* What lies before the tensors; NULL: no memory. */
static char *build_start(size_t *size, const char *header)
{
    size_t length = strlen(header), padded = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    uint64_t prefix = padded;
    char *start = malloc(PREFIX + padded);
    if (!start)
        return NULL;
    *size = PREFIX + padded;
    memcpy(start, &prefix, PREFIX);
    memcpy(start + PREFIX, header, length);
    memset(start + PREFIX + length, ' ', padded - length);
    return start;
}

static enum simclr_status put(struct file_writer *writer, struct crc64 *crc, const void *data, size_t size, struct simclr_error *err)
{
    crc64_add(crc, data, size);
    return file_put(writer, data, size, err);
}

static enum simclr_status write_all(const char *path, const char *start, size_t size, const struct source *source, struct simclr_error *err)
{
    struct file_writer writer;
    struct crc64 crc;
    char checksum[CHECKSUM_DIGITS + 1];
    enum simclr_status status = file_begin(&writer, path, err);
    if (status != SIMCLR_OK)
        return status;
    crc64_begin(&crc);
    status = put(&writer, &crc, start, size, err);
    for (size_t i = 0; i < source->count && status == SIMCLR_OK; i++) {
        size_t entry = source->order[i];
        status = put(&writer, &crc, source->data(source->ctx, entry), source->entries[entry].bytes, err);
    }
    checksum_text(checksum, &crc);
    if (status == SIMCLR_OK)
        status = file_put_at(&writer, CHECKSUM_AT, checksum, CHECKSUM_DIGITS, err);
    if (status == SIMCLR_OK)
        return file_commit(&writer, err);
    file_abandon(&writer);
    return status;
}

/* Places of the entries with wide types first, so that each tensor is aligned to its type; NULL: no memory. */
static size_t *file_order(const struct safetensors_entry *entries, size_t count)
{
    static const enum safetensors_type wide_first[TYPES] = {ST_I64, ST_F32, ST_U8};
    size_t *order = malloc((count + 1) * sizeof *order), n = 0;
    for (int t = 0; order && t < TYPES; t++)
        for (size_t i = 0; i < count; i++)
            if (entries[i].type == wide_first[t])
                order[n++] = i;
    return order;
}

static enum simclr_status write_source(const char *path, const struct source *source, const struct safetensors_pair *metadata, size_t pairs,
                                       struct simclr_error *err)
{
    json_t *header = json_object();
    enum simclr_status status = build_header(header, path, source, metadata, pairs, err);
    char *text = status == SIMCLR_OK ? json_dumps(header, JSON_COMPACT) : NULL; /* keeps the order of insertion */
    json_decref(header);
    if (status != SIMCLR_OK)
        return status;
    size_t size;
    char *start = text ? build_start(&size, text) : NULL;
    status = start ? write_all(path, start, size, source, err)
                   : fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path);
    free(start);
    free(text);
    return status;
}

enum simclr_status safetensors_write_each(const char *path, const struct safetensors_entry *entries, size_t count,
                                          const struct safetensors_pair *metadata, size_t pairs, safetensors_data_fn *data, void *ctx,
                                          struct simclr_error *err)
{
    size_t *order = file_order(entries, count);
    if (!order)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path);
    const struct source source = {entries, order, count, data, ctx};
    enum simclr_status status = write_source(path, &source, metadata, pairs, err);
    free(order);
    return status;
}

/* ctx: the entries. */
static const void *data_in_memory(void *ctx, size_t entry)
{
    const struct safetensors_entry *const *entries = ctx;
    return (*entries)[entry].data;
}

enum simclr_status safetensors_write(const char *path, const struct safetensors_entry *entries, size_t count,
                                     const struct safetensors_pair *metadata, size_t pairs, struct simclr_error *err)
{
    return safetensors_write_each(path, entries, count, metadata, pairs, data_in_memory, &entries, err);
}

/* ---- Reading: nothing in the file is believed before it is checked ---- */

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
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: its %zu bytes do not give its checksum", file->reader.path, size + file->data_size);
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
