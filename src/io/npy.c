#include "io/npy.h"

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { START = 10, LONG_START = 12 }; /* magic, version, and the header's length in 2 or 4 bytes */

void npy_header(char header[NPY_HEADER], const char *dtype, const size_t *dims, int ndim)
{
    char text[2 * NPY_HEADER];
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", dtype);
    for (int i = 0; i < ndim; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, i + 1 < ndim ? "%zu, " : ndim == 1 ? "%zu,), }" : "%zu), }", dims[i]);
    memset(header, ' ', NPY_HEADER);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = NPY_HEADER - START;
    header[9] = 0;
    memcpy(header + START, text, (size_t)(n < NPY_HEADER - START - 1 ? n : NPY_HEADER - START - 1));
    header[NPY_HEADER - 1] = '\n';
}

static const char *value_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    at = at ? strchr(at + strlen(key), ':') : NULL;
    return at ? at + 1 + strspn(at + 1, " ") : NULL;
}

/* The numbers of "(60000, 32, 32, 3)". */
static bool parse_shape(struct npy_header *header, const char *p)
{
    if (*p != '(')
        return false;
    for (p++;;) {
        p += strspn(p, " ,");
        if (*p == ')')
            return true;
        char *end;
        unsigned long long dim = strtoull(p, &end, 10);
        if (*p < '0' || *p > '9' || dim > SIZE_MAX / 2)
            return false;
        if (header->ndim < NPY_MOST_DIMS)
            header->dims[header->ndim] = (size_t)dim;
        header->ndim++;
        p = end;
    }
}

/* The header is a Python dict: {'descr': '|u1', 'fortran_order': False, 'shape': (60000, 32, 32, 3), } */
static enum simclr_status parse_dict(struct npy_header *header, const char *text, const char *path, struct simclr_error *err)
{
    const char *descr = value_of(text, "'descr'"), *order = value_of(text, "'fortran_order'"), *shape = value_of(text, "'shape'");
    if (!descr || !order || !shape)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has a .npy header without %s; write it with numpy.save", path,
                    !descr ? "'descr'" : !order ? "'fortran_order'" : "'shape'");
    if (!parse_shape(header, shape))
        return fail(err, SIMCLR_ERR_FORMAT, "%s has a .npy header with the shape %.*s, which is none; write it with numpy.save", path,
                    (int)strcspn(shape, ")\n") + (shape[strcspn(shape, ")\n")] == ')'), shape);
    if (*descr == '\'')
        snprintf(header->dtype, sizeof header->dtype, "%.*s", (int)strcspn(descr + 1, "'"), descr + 1);
    else
        snprintf(header->dtype, sizeof header->dtype, "a structure");
    header->fortran = !strncmp(order, "True", 4);
    return SIMCLR_OK;
}

enum simclr_status npy_parse_header(struct npy_header *header, const char *path, const void *bytes, size_t size, struct simclr_error *err)
{
    uint8_t start[LONG_START] = {0};
    memcpy(start, bytes, size < LONG_START ? size : LONG_START);
    *header = (struct npy_header){.ndim = 0};
    if (memcmp(start, "\x93NUMPY", 6))
        return fail(err, SIMCLR_ERR_FORMAT, "%s is not a .npy file, or is cut short; write it with numpy.save", path);
    bool long_form = start[6] > 1;
    size_t length = (size_t)start[8] | (size_t)start[9] << 8, before = long_form ? LONG_START : START;
    if (long_form)
        length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    if (start[6] < 1 || start[6] > 3)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has .npy format %d, and 1 to 3 are known; write it with numpy.save", path, start[6]);
    if (length > NPY_HEADER_MOST - LONG_START)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has a .npy header of %zu bytes, more than %d; write it with numpy.save", path, length,
                    NPY_HEADER_MOST - LONG_START);
    if (before + length > size)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is cut short: it ends in its .npy header; write it again", path);
    header->start = before + length;
    char *text = calloc(1, length + 1);
    if (!text)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to open %s", path);
    memcpy(text, (const char *)bytes + before, length);
    enum simclr_status status = parse_dict(header, text, path, err);
    free(text);
    return status;
}
