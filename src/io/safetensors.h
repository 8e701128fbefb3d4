/* safetensors files: 8 bytes of header length, a JSON header, raw little-endian tensors. */
#ifndef IO_SAFETENSORS_H
#define IO_SAFETENSORS_H

#include "simclr/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum safetensors_type { ST_F32, ST_U8, ST_I64 };

struct safetensors_entry {
    char name[128];
    enum safetensors_type type;
    int ndim;
    size_t dims[8];
    size_t bytes;
    size_t offset; /* from where the file's data begins; set by reading */
    const void *data; /* NULL where it is read or written by itself */
};

struct safetensors_pair {
    const char *key, *value;
};

/* Writes beside (path.tmp), fsyncs and renames into place. Entries in the given order, but for wide types first (as safetensors' own
 * library has them, for alignment), metadata pairs as "__metadata__";
 * the same input gives the same bytes. The first text of the metadata, "simclr_checksum", is the CRC-64/XZ of the whole file with
 * zeros in the checksum's own place, in 16 hexadecimal digits. */
enum simclr_status safetensors_write(const char *path, const struct safetensors_entry *entries, size_t count,
                                     const struct safetensors_pair *metadata, size_t pairs, struct simclr_error *err);

/* The same of data that need not lie in memory at once: entry by entry, each asked for once, and used before the next is. */
typedef const void *safetensors_data_fn(void *ctx, size_t entry);
enum simclr_status safetensors_write_each(const char *path, const struct safetensors_entry *entries, size_t count,
                                          const struct safetensors_pair *metadata, size_t pairs, safetensors_data_fn *data, void *ctx,
                                          struct simclr_error *err);

struct safetensors;
/* Reads and checks the whole file: offsets, shapes and sizes before memory is taken for what they promise, then its checksum if it has
 * one. Entries point into memory owned by *file. */
enum simclr_status safetensors_open(struct safetensors **file, const char *path, struct simclr_error *err);
/* The same, but the tensors stay in the open file, where safetensors_get reads one. */
enum simclr_status safetensors_open_each(struct safetensors **file, const char *path, struct simclr_error *err);
enum simclr_status safetensors_get(struct safetensors *file, const struct safetensors_entry *entry, void *data, struct simclr_error *err);
void safetensors_close(struct safetensors *file);
const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name); /* NULL: none */
size_t safetensors_count(const struct safetensors *file);
const struct safetensors_entry *safetensors_at(const struct safetensors *file, size_t index);
const char *safetensors_metadata(const struct safetensors *file, const char *key); /* NULL: none */
bool safetensors_checked(const struct safetensors *file); /* it had a checksum */

#endif
