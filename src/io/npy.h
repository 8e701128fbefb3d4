/* NumPy's .npy, versions 1 to 3 (NEP 1): a header, then the array as it lies in memory. */
#ifndef IO_NPY_H
#define IO_NPY_H

#include "simclr/status.h"

#include <stdbool.h>
#include <stddef.h>

enum { NPY_HEADER = 128, NPY_MOST_DIMS = 4 };

/* Version 1.0, C order; always NPY_HEADER bytes, so that a count can be corrected when it is known. dtype "|u1", "<i8", "<f4";
 * each of dims (ndim) is below 10^14. */
void npy_header(char header[NPY_HEADER], const char *dtype, const size_t *dims, int ndim);

/* What a file begins with. */
struct npy_header {
    char dtype[16]; /* "|u1", "<i8" */
    bool fortran;
    int ndim;       /* of the array; dims holds the first NPY_MOST_DIMS */
    size_t dims[NPY_MOST_DIMS];
    size_t start;   /* bytes before the data */
};

/* Of a file of `size` bytes, of which `bytes` holds the first NPY_HEADER_MOST, or all. path is for the errors. */
enum { NPY_HEADER_MOST = 12 + (1 << 16) };
enum simclr_status npy_parse_header(struct npy_header *header, const char *path, const void *bytes, size_t size, struct simclr_error *err);

#endif
