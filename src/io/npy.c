#include "io/npy.h"

#include <stdio.h>
#include <string.h>

void npy_header(char header[NPY_HEADER], const char *dtype, const size_t *dims, int ndim)
{
    enum { START = 10 }; /* magic, version, length */
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
