#include "tests/fuzz/records.h"

#include "data/dataset.h"
#include "tests/fuzz/files.h"

#include <sys/stat.h>
#include <unistd.h>

enum { MOST_IMAGES = 64, MAX_PIXELS = 1 << 20 };

static void read_images(const struct dataset *set)
{
    for (size_t i = 0; i < dataset_size(set) && i < MOST_IMAGES; i++) {
        struct image image;
        struct simclr_error err;
        fuzz_expect(dataset_label(set, i) < dataset_classes(set), "a label of the set's classes, or none");
        if (dataset_read(set, i, &image, &err) == SIMCLR_OK) {
            fuzz_expect((size_t)image.w * (size_t)image.h <= MAX_PIXELS, "an image within the limit");
            image_release(&image);
        }
    }
}

void fuzz_data_set(const char *path, const char *file)
{
    const struct dataset_options options = {.channels = 3, .max_pixels = MAX_PIXELS, .limit = 1000};
    struct simclr_error err;
    for (int split = SPLIT_TRAIN; split <= SPLIT_LABELLED; split++) {
        struct dataset *set;
        struct stat st;
        if (dataset_open(&set, path, (enum dataset_split)split, &options, &err) != SIMCLR_OK || !set)
            continue;
        read_images(set);
        if (file && split == SPLIT_TRAIN && stat(file, &st) == 0 && truncate(file, st.st_size / 2) == 0) {
            read_images(set);
            fuzz_expect(truncate(file, st.st_size) == 0, "the file as long as it was");
        }
        dataset_close(set);
    }
}
