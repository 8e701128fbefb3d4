/* STL-10, binary: the first two bytes say how many pictures there are, and how many bytes too many; the rest are labels. */
#include "tests/fuzz/files.h"
#include "tests/fuzz/records.h"

#include <unistd.h>

enum { PICTURE = 96 * 96 * 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    off_t bytes = (off_t)(data[0] % 8) * PICTURE + data[1];
    const char *const names[] = {"unlabeled_X.bin", "train_X.bin", "test_X.bin"};
    const char *unlabelled = NULL;
    for (int i = 0; i < 3; i++) {
        const char *path = fuzz_file(names[i], NULL, 0);
        fuzz_expect(truncate(path, bytes) == 0, "pictures of zeros");
        unlabelled = i == 0 ? path : unlabelled;
    }
    fuzz_file("train_y.bin", data + 2, size - 2);
    fuzz_file("test_y.bin", data + 2, size - 2);
    fuzz_data_set(fuzz_folder(), unlabelled);
    return 0;
}
