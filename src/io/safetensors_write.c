#include "io/safetensors_format.h"

#include "base/status.h"
#include "io/file.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

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
