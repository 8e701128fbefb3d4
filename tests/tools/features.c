/* What a run's encoder makes of given pixels, for tests/export_test.py: features RUN ROWS <IMAGES >FEATURES, raw floats in and out:
 * images (ROWS, S, S, C), then h (ROWS, D) and z (ROWS, Z). */
#include "simd/dispatch.h"
#include "train/encoder.h"

#include <stdio.h>
#include <stdlib.h>

static void tell(void *ctx, bool warning, const char *text)
{
    (void)ctx, (void)warning;
    fprintf(stderr, "%s\n", text);
}

int main(int argc, char **argv)
{
    const struct engine engine = {.kernels = isa_resolve("auto"), .threads = 1};
    struct encoder encoder;
    struct simclr_error err;
    int rows = argc == 3 ? atoi(argv[2]) : 0;
    if (rows < 1 || encoder_open(&encoder, argv[1], rows, &engine, tell, NULL, &err) != SIMCLR_OK) {
        fprintf(stderr, "features: %s\n", rows < 1 ? "RUN ROWS <IMAGES >FEATURES" : err.text);
        return 1;
    }
    const struct network_config *c = &encoder.config.network;
    size_t n = (size_t)rows, floats = n * (size_t)c->image_size * (size_t)c->image_size * (size_t)c->channels;
    float *images = malloc(floats * sizeof *images);
    const float *h, *z;
    if (!images || fread(images, sizeof *images, floats, stdin) != floats) {
        fprintf(stderr, "features: %d images of %d x %d x %d are wanted\n", rows, c->image_size, c->image_size, c->channels);
        return 1;
    }
    network_forward(encoder.network, images, rows, false, &h, &z);
    size_t d = n * (size_t)network_feature_dim(encoder.network), out = n * (size_t)c->out_dim;
    bool written = fwrite(h, sizeof *h, d, stdout) == d && fwrite(z, sizeof *z, out, stdout) == out && fflush(stdout) == 0;
    free(images);
    encoder_close(&encoder);
    return written ? 0 : 1;
}
