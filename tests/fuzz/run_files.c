/* What a resumed run finds beside its checkpoints: metrics.jsonl, cut to a step (the first byte), and broken.txt. */
#include "io/file.h"
#include "tests/fuzz/files.h"
#include "train/broken.h"
#include "train/metrics.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct simclr_error err;
    void *once, *twice;
    size_t n, m, count;
    const struct run_data none = {0};
    if (size == 0)
        return 0;
    const char *path = fuzz_file("metrics.jsonl", data + 1, size - 1), *broken = fuzz_file("broken.txt", data + 1, size - 1);
    enum simclr_status cut = metrics_rewind(fuzz_folder(), 2, data[0], &err);
    fuzz_expect(cut == SIMCLR_OK || cut == SIMCLR_ERR_USAGE, "metrics cut to a step, or refused as another run's");
    fuzz_expect(file_read(&once, &n, path, size, &err) == SIMCLR_OK, "no more metrics than before");
    fuzz_expect(cut != SIMCLR_OK || n == 0 || ((char *)once)[n - 1] == '\n', "whole lines");
    fuzz_expect(metrics_rewind(fuzz_folder(), 2, data[0], &err) == cut, "metrics cut again");
    fuzz_expect(file_read(&twice, &m, path, size, &err) == SIMCLR_OK && n == m && memcmp(once, twice, n) == 0, "nothing more to cut");
    free(once);
    free(twice);
    fuzz_expect(broken_list_at(broken, &none, &count, &err) == SIMCLR_OK && count <= size, "a list of broken images");
    return 0;
}
