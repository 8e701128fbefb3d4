/* Blurs an image: binary PPM, as most tools write it.
 *
 *     cc blur.c $(pkg-config --cflags --libs simclr) && ./a.out in.ppm out.ppm 9 2.5 */
#include <simclr/simclr.h>

#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what)
{
    fprintf(stderr, "blur: %s\n", what);
    return 1;
}

/* Bytes to floats in [0, 1], blurred in place, and back. */
static enum simclr_status blur(unsigned char *pixels, int height, int width, int taps, float sigma, struct simclr_error *err)
{
    size_t count = (size_t)height * (size_t)width * 3;
    float *x = malloc(count * sizeof *x);
    simclr_engine *engine = NULL;
    enum simclr_status status = SIMCLR_ERR_MEMORY;
    if (!x) {
        snprintf(err->text, sizeof err->text, "not enough memory");
        return status;
    }
    for (size_t i = 0; i < count; i++)
        x[i] = (float)pixels[i] / 255.0f;
    status = simclr_engine_create(&engine, NULL, 0, err);
    if (status == SIMCLR_OK)
        status = simclr_gaussian_blur(engine, x, x, 1, height, width, 3, taps, sigma, err);
    for (size_t i = 0; i < count; i++)
        pixels[i] = (unsigned char)(x[i] * 255.0f + 0.5f);
    simclr_engine_free(engine);
    free(x);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return fail("usage: blur in.ppm out.ppm TAPS SIGMA");
    int width, height;
    FILE *in = fopen(argv[1], "rb"), *out;
    if (!in || fscanf(in, "P6 %d %d 255", &width, &height) != 2 || fgetc(in) == EOF || width < 1 || height < 1 || width > 16384 || height > 16384)
        return fail("the first file is no binary PPM");
    size_t bytes = (size_t)width * (size_t)height * 3;
    unsigned char *pixels = malloc(bytes);
    if (!pixels || fread(pixels, 1, bytes, in) != bytes)
        return fail("the picture cannot be read");
    fclose(in);
    struct simclr_error err;
    if (blur(pixels, height, width, atoi(argv[3]), (float)atof(argv[4]), &err) != SIMCLR_OK)
        return fail(err.text);
    out = fopen(argv[2], "wb");
    if (!out || fprintf(out, "P6\n%d %d\n255\n", width, height) < 0 || fwrite(pixels, 1, bytes, out) != bytes || fclose(out) != 0)
        return fail("the blurred picture cannot be written");
    free(pixels);
    return 0;
}
