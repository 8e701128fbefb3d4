/* NumPy's .npy, the writing side: a header, then the array as it lies in memory. */
#ifndef IO_NPY_H
#define IO_NPY_H

#include <stddef.h>

enum { NPY_HEADER = 128, NPY_MOST_DIMS = 4 };

/* Version 1.0, C order; always NPY_HEADER bytes, so that a count can be corrected when it is known. dtype "|u1", "<i8", "<f4";
 * each of dims (ndim) is below 10^14. */
void npy_header(char header[NPY_HEADER], const char *dtype, const size_t *dims, int ndim);

#endif
