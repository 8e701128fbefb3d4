/* CIFAR-10 and CIFAR-100, binary: one file, and the same bytes as the folder of each. */
#include "tests/fuzz/files.h"
#include "tests/fuzz/records.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char folder[300];
    const char *path = fuzz_file("x.bin", data, size);
    fuzz_data_set(path, path);
    fuzz_file("ten/data_batch_1.bin", data, size);
    fuzz_file("ten/test_batch.bin", data, size);
    snprintf(folder, sizeof folder, "%s/ten", fuzz_folder());
    fuzz_data_set(folder, NULL);
    fuzz_file("hundred/train.bin", data, size);
    snprintf(folder, sizeof folder, "%s/hundred", fuzz_folder());
    fuzz_data_set(folder, NULL);
    return 0;
}
