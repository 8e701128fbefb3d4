/* JPEG, PNG and BMP files: an image within the limit, or an error. */
#include "data/decode.h"
#include "tests/fuzz/files.h"

enum { MAX_PIXELS = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image image;
    struct simclr_error err;
    for (int channels = 1; channels <= 3; channels += 2)
        if (image_decode(&image, data, size, MAX_PIXELS, &err) == SIMCLR_OK) {
            fuzz_expect((size_t)image.w * (size_t)image.h <= MAX_PIXELS, "an image within the limit");
            fuzz_expect(image_set_channels(&image, channels, &err) == SIMCLR_OK && image.c == channels, "channels as asked for");
            image_release(&image);
        }
    return 0;
}
