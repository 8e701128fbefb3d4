/* What the writing and the reading side of safetensors share: the checksum's place, types and sizes. */
#ifndef IO_SAFETENSORS_FORMAT_H
#define IO_SAFETENSORS_FORMAT_H

#include "base/crc64.h"
#include "io/safetensors.h"

#include <inttypes.h>
#include <stdio.h>

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
static inline int tensor_bytes(size_t *bytes, enum safetensors_type type, const size_t *dims, int ndim)
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

static inline void checksum_text(char text[CHECKSUM_DIGITS + 1], const struct crc64 *crc)
{
    snprintf(text, CHECKSUM_DIGITS + 1, "%016" PRIx64, crc64_end(crc));
}

#endif
