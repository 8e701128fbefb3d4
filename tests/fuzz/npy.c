/* A .npy of images and one of labels, one after the other: the second begins at the second magic string. */
#define _GNU_SOURCE /* memmem */
#include "tests/fuzz/files.h"
#include "tests/fuzz/records.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char magic[] = "\x93NUMPY";
    const uint8_t *labels = size > 1 ? memmem(data + 1, size - 1, magic, sizeof magic - 1) : NULL;
    size_t images = labels ? (size_t)(labels - data) : size;
    const char *path = fuzz_file("x.npy", data, images);
    fuzz_file("x.labels.npy", data + images, size - images);
    fuzz_data_set(path, path);
    return 0;
}
