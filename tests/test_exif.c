/* Photographs that were taken with the camera turned: all orientations, both byte orders, and segments that lie. */
#include "base/rng.h"
#include "data/dataset.h"
#include "data/decode.h"
#include "data/exif.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { W = 24, H = 16, APP1 = 36 };

/* An Exif segment whose directory has one tag: the orientation. */
static void put_exif(uint8_t p[APP1], bool big_endian, int type, int orientation)
{
    const uint8_t order[2][2] = {{0, 1}, {1, 0}}, *o = order[big_endian]; /* where the low byte goes */
    memset(p, 0, APP1);
    memcpy(p, "\xff\xe1\0\x22" "Exif\0\0", 10);
    uint8_t *tiff = p + 10;
    memcpy(tiff, big_endian ? "MM" : "II", 2);
    tiff[2 + o[0]] = 42;
    tiff[4 + (big_endian ? 3 : 0)] = 8;
    tiff[8 + o[0]] = 1;
    uint8_t *entry = tiff + 10;
    entry[0 + o[0]] = 0x12;
    entry[0 + o[1]] = 0x01;
    entry[2 + o[0]] = (uint8_t)type;
    entry[4 + (big_endian ? 3 : 0)] = 1;
    entry[8 + (big_endian ? (type == 3 ? 1 : 3) : 0)] = (uint8_t)orientation;
}

/* The picture as a JPEG, with that segment after its first two bytes. */
static struct file_bytes jpeg_with(const uint8_t *segment, size_t size)
{
    uint8_t pixels[W * H * 3];
    paint_gradient(pixels, W, H, 7);
    struct file_bytes plain = encode_jpeg(pixels, W, H, 3), file = {malloc(plain.size + size), plain.size + size};
    memcpy(file.data, plain.data, 2);
    if (size)
        memcpy(file.data + 2, segment, size);
    memcpy(file.data + 2 + size, plain.data + 2, plain.size - 2);
    free(plain.data);
    return file;
}

static struct image decode(struct file_bytes file)
{
    struct image image;
    struct simclr_error err = {""};
    cr_assert_eq(image_decode(&image, file.data, file.size, W * H, &err), SIMCLR_OK, "%s", err.text);
    free(file.data);
    return image;
}

/* The standard's words: at which side of the upright picture the stored row 0, and column 0, lie. */
static const struct {
    const char *row0, *column0;
} sides[9] = {{"top", "left"}, {"top", "left"}, {"top", "right"}, {"bottom", "right"}, {"bottom", "left"},
              {"left", "top"}, {"right", "top"}, {"right", "bottom"}, {"left", "bottom"}};

static void expect_turned(const struct image *got, const struct image *stored, int orientation)
{
    bool turned = sides[orientation].row0[0] == 'l' || sides[orientation].row0[0] == 'r';
    cr_assert(got->c == 3 && got->w == (turned ? H : W) && got->h == (turned ? W : H), "orientation %d", orientation);
    for (int row = 0; row < H; row++)
        for (int column = 0; column < W; column++) {
            int x = 0, y = 0;
            const char *const names[2] = {sides[orientation].row0, sides[orientation].column0};
            const int away[2] = {row, column}; /* from the side that the name tells */
            for (int i = 0; i < 2; i++)
                switch (names[i][0]) {
                case 't': y = away[i]; break;
                case 'b': y = got->h - 1 - away[i]; break;
                case 'l': x = away[i]; break;
                case 'r': x = got->w - 1 - away[i]; break;
                }
            cr_assert_arr_eq(got->pixels + (y * got->w + x) * 3, stored->pixels + (row * W + column) * 3, 3, "orientation %d, row %d, column %d",
                             orientation, row, column);
        }
}

Test(exif, pictures_are_turned_upright)
{
    struct image stored = decode(jpeg_with(NULL, 0));
    cr_assert(stored.w == W && stored.h == H);
    for (int orientation = 0; orientation <= 8; orientation++)
        for (int form = 0; form < 4; form++) {
            uint8_t segment[APP1];
            put_exif(segment, form % 2, form < 2 ? 3 : 4, orientation);
            struct image image = decode(jpeg_with(segment, APP1));
            expect_turned(&image, &stored, orientation);
            image_release(&image);
        }
    image_release(&stored);
}

/* What train and pack read, in colour or grey. */
Test(exif, a_folder_of_photographs)
{
    char *folder = temp_folder();
    uint8_t segment[APP1];
    put_exif(segment, true, 3, 6);
    struct file_bytes file = jpeg_with(segment, APP1);
    temp_write(temp_path(folder, "photo.jpg"), file.data, file.size);
    free(file.data);
    for (int channels = 1; channels <= 3; channels += 2) {
        struct dataset *set;
        struct image image;
        cr_assert_eq(dataset_open(&set, folder, SPLIT_TRAIN, &(struct dataset_options){.channels = channels}, NULL), SIMCLR_OK);
        cr_assert_eq(dataset_read(set, 0, &image, NULL), SIMCLR_OK);
        cr_expect(image.w == H && image.h == W && image.c == channels);
        image_release(&image);
        dataset_close(set);
    }
    temp_remove(folder);
}

static int orientation_of(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* of exactly this size: a sanitizer sees what is read past it */
    memcpy(copy, data, size);
    int orientation = exif_orientation(copy, size);
    free(copy);
    return orientation;
}

Test(exif, segments_that_lie)
{
    uint8_t file[2 + APP1] = {0xff, 0xd8};
    const struct {
        int at, value;
    } changes[] = {{12, 'X'}, {14, 43}, {16, 200}, {17, 255}, {19, 255}, {20, 0}, {22, 0x13}, {24, 2}, {26, 2}, {30, 9}, {5, 8}, {4, 255}, {3, 0xe2}, {6, 'e'}};
    put_exif(file + 2, false, 3, 6);
    cr_assert_eq(orientation_of(file, sizeof file), 6);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t changed[sizeof file];
        memcpy(changed, file, sizeof file);
        changed[changes[i].at] = (uint8_t)changes[i].value;
        cr_expect_eq(orientation_of(changed, sizeof changed), 1, "case %zu", i);
    }
    file[21] = 255; /* a directory that claims 65,281 tags: those that are there count */
    cr_expect_eq(orientation_of(file, sizeof file), 6);
    file[21] = 0;
    for (size_t size = 2; size < sizeof file; size++)
        cr_expect_eq(orientation_of(file, size), 1, "%zu bytes", size);
    for (unsigned trial = 0; trial < 50000; trial++) {
        uint8_t changed[sizeof file];
        struct rng rng = rng_stream(trial, RNG_TEST, 0, 0);
        memcpy(changed, file, sizeof file);
        for (uint32_t change = 0; change < 1 + trial % 6; change++)
            changed[2 + rng_below(&rng, APP1)] = (uint8_t)rng_u32(&rng);
        int orientation = orientation_of(changed, 2 + rng_below(&rng, APP1 + 1));
        cr_assert(orientation >= 1 && orientation <= 8);
    }
}
