/* Small valid files of each format, which fuzzing begins with: corpus FOLDER writes FOLDER/image/..., FOLDER/npy/... */
#include "io/npy.h"
#include "tests/fuzz/tiny_network.h"
#include "tests/temp_files.h"
#include "train/config.h"
#include "train/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { W = 20, H = 12, CIFAR_RECORD = 3073 };

static const char *out;

static void put(const char *name, struct file_bytes file)
{
    temp_write(temp_path(out, "%s", name), file.data, file.size);
    free(file.data);
}

/* Grey JPEG -> one that calls itself progressive: a scan of DC, and one of AC. */
static struct file_bytes progressive(struct file_bytes file)
{
    static const uint8_t scan[] = {0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0, 0x5a, 0xa5, 0x5a, 0xff, 0xd9};
    for (size_t i = 2; i + 10 < file.size; i += 2u + (size_t)(file.data[i + 2] << 8 | file.data[i + 3])) {
        if (file.data[i + 1] == 0xc0)
            file.data[i + 1] = 0xc2;
        if (file.data[i + 1] == 0xda) {
            file.data[i + 8] = 0; /* the last coefficient of the scan */
            break;
        }
    }
    file.data = realloc(file.data, file.size + sizeof scan);
    memcpy(file.data + file.size - 2, scan, sizeof scan); /* over the end marker */
    file.size += sizeof scan - 2;
    return file;
}

/* Grey PNG -> one with a palette. */
static struct file_bytes with_palette(struct file_bytes file)
{
    enum { AT = 33, ENTRIES = 256, SIZE = 12 + 3 * ENTRIES }; /* behind the header */
    uint8_t chunk[SIZE] = {0, 0, 3, 0, 'P', 'L', 'T', 'E'};
    file.data = realloc(file.data, file.size + SIZE);
    memmove(file.data + AT + SIZE, file.data + AT, file.size - AT);
    memcpy(file.data + AT, chunk, SIZE);
    file.data[25] = 3;
    file.size += SIZE;
    return file;
}

static void images(void)
{
    uint8_t rgb[W * H * 3], grey[W * H], rgba[W * H * 4], palette[4 * 4] = {0, 0, 255, 0, 0, 255};
    paint_gradient(rgb, W, H, 1);
    for (int i = 0; i < W * H; i++) {
        grey[i] = rgb[3 * i] & 3;
        memcpy(rgba + 4 * i, rgb + 3 * i, 3);
        rgba[4 * i + 3] = (uint8_t)i;
    }
    put("image/colour.jpg", encode_jpeg(rgb, W, H, 3));
    put("image/grey.jpg", encode_jpeg(grey, W, H, 1));
    put("image/progressive.jpg", progressive(encode_jpeg(grey, W, H, 1)));
    put("image/colour.png", encode_png(rgb, W, H, 3));
    put("image/grey.png", encode_png(grey, W, H, 1));
    put("image/alpha.png", encode_png(rgba, W, H, 4));
    put("image/palette.png", with_palette(encode_png(grey, W, H, 1)));
    put("image/deep.png", encode_png16(rgba, 8, 8, 4));
    put("image/colour.bmp", encode_bmp(rgb, W, H, 3));
    put("image/alpha.bmp", encode_bmp(rgba, W, H, 4));
    put("image/palette.bmp", encode_bmp8(grey, W, H, palette, 4));
}

static void npy(const char *name, const char *dtype, const size_t *dims, int ndim, const char *label_type, size_t label_bytes)
{
    uint8_t file[2 * NPY_HEADER + 256] = {0};
    size_t pixels = 1;
    for (int i = 0; i < ndim; i++)
        pixels *= dims[i];
    npy_header((char *)file, dtype, dims, ndim);
    npy_header((char *)file + NPY_HEADER + pixels, label_type, dims, 1);
    temp_write(temp_path(out, "npy/%s", name), file, 2 * NPY_HEADER + pixels + label_bytes);
}

static void records(void)
{
    static uint8_t data[4 * CIFAR_RECORD];
    npy("colour", "|u1", (size_t[]){3, 2, 4, 3}, 4, "<i8", 24);
    npy("grey", "|u1", (size_t[]){2, 5, 3}, 3, "<u2", 4);
    npy("alpha", "|u1", (size_t[]){2, 2, 2, 4}, 4, "|i1", 2);
    npy("floats", "<f4", (size_t[]){1, 2, 2, 3}, 4, "<i4", 4);
    temp_write(temp_path(out, "cifar/ten"), data, 2 * CIFAR_RECORD);
    temp_write(temp_path(out, "cifar/hundred"), data, CIFAR_RECORD + 1);
    temp_write(temp_path(out, "stl10/two"), "\2\0\1\12", 4);
    temp_write(temp_path(out, "stl10/none"), "\0\0", 2);
}

static void put_text(const char *name, const char *text)
{
    temp_write(temp_path(out, "%s", name), text, strlen(text));
}

static void run_files(void)
{
    struct train_config config;
    struct simclr_error err;
    struct checkpoint_target target = tiny_target();
    const struct checkpoint_state state = {.step = 7, .epoch_steps = 3, .epoch_images = 12, .loss = 1.5, .knn_untrained = -1};
    train_defaults(&config);
    strcpy(config.data, "/images");
    struct metrics m = {.epoch = 1, .step = '{', .knn = 0.5, .knn_untrained = -1};
    if (train_config_save(&config, temp_path(out, "config/config.json"), &err) != SIMCLR_OK ||
        checkpoint_write(temp_path(out, "checkpoint/"), 0, &target, &state, &err) != SIMCLR_OK ||
        metrics_append(temp_path(out, "run_files/"), &m, &err) != SIMCLR_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    put_text("run_files/broken.txt", "\1a.jpg: cut short\nb.jpg: cut short\na.jpg: cut short");
    put_text("config/small", "{\"lr\": 0.1, \"augment\": \"none\", \"blur_p\": 0.5, \"checkpoint_every\": \"2m\"}");
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    out = argv[1];
    images();
    records();
    run_files();
    return 0;
}
