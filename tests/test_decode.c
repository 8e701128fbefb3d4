/* Image files to pixels: kinds, damage, hostile bytes. */
#include "base/rng.h"
#include "data/decode.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { W = 12, H = 10 };

static struct image decode(struct file_bytes file)
{
    struct image image;
    struct simclr_error err = {""};
    cr_assert_eq(image_decode(&image, file.data, file.size, DATASET_MAX_PIXELS, &err), SIMCLR_OK, "%s", err.text);
    free(file.data);
    return image;
}

Test(decode, lossless_files_give_their_pixels)
{
    uint8_t rgb[W * H * 3], grey[W * H], rgba[W * H * 4];
    paint_gradient(rgb, W, H, 1);
    for (int i = 0; i < W * H; i++) {
        grey[i] = rgb[3 * i];
        memcpy(rgba + 4 * i, rgb + 3 * i, 3);
        rgba[4 * i + 3] = (uint8_t)i;
    }
    struct image images[] = {decode(encode_png(rgb, W, H, 3)), decode(encode_bmp(rgb, W, H, 3)), decode(encode_png(rgba, W, H, 4))};
    for (int i = 0; i < 3; i++) {
        cr_expect(images[i].w == W && images[i].h == H && images[i].c == 3);
        cr_expect_arr_eq(images[i].pixels, rgb, sizeof rgb, "file %d", i);
        image_release(&images[i]);
    }
    struct image one = decode(encode_png(grey, W, H, 1));
    cr_expect(one.c == 1);
    cr_expect_arr_eq(one.pixels, grey, sizeof grey);
    image_release(&one);
}

Test(decode, jpeg_is_near_its_pixels)
{
    uint8_t rgb[64 * 48 * 3], grey[64 * 48];
    for (int i = 0; i < 64 * 48; i++) {
        grey[i] = rgb[3 * i] = rgb[3 * i + 1] = (uint8_t)(i % 64 * 3);
        rgb[3 * i + 2] = (uint8_t)(200 - i / 64 * 2);
    }
    struct image colour = decode(encode_jpeg(rgb, 64, 48, 3)), one = decode(encode_jpeg(grey, 64, 48, 1));
    cr_expect(colour.c == 3 && colour.w == 64 && colour.h == 48);
    for (size_t i = 0; i < sizeof rgb; i++)
        cr_assert_leq(abs(colour.pixels[i] - rgb[i]), 12, "byte %zu: %d for %d", i, colour.pixels[i], rgb[i]);
    image_release(&colour);
    image_release(&one);
}

Test(decode, sixteen_bits_are_cut_to_eight)
{
    uint8_t samples[2 * 2 * 4 * 2];
    for (size_t i = 0; i < sizeof samples; i++)
        samples[i] = (uint8_t)(i * 7);
    struct image grey = decode(encode_png16(samples, 4, 4, 1)), rgba = decode(encode_png16(samples, 2, 2, 4));
    cr_assert(grey.c == 1 && rgba.c == 3);
    for (int i = 0; i < 16; i++)
        cr_expect_eq(grey.pixels[i], samples[2 * i]);
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 3; c++)
            cr_expect_eq(rgba.pixels[3 * i + c], samples[(4 * i + c) * 2]);
    image_release(&grey);
    image_release(&rgba);
}

Test(decode, channels_convert_as_pillow_does)
{
    struct image image = decode(encode_png((uint8_t[]){255, 0, 0, 0, 255, 0, 0, 0, 255, 12, 200, 99}, 4, 1, 3));
    cr_assert_eq(image_set_channels(&image, 1, NULL), SIMCLR_OK);
    const uint8_t luma[4] = {76, 150, 29, 132}; /* PIL.Image.convert("L") */
    cr_expect_arr_eq(image.pixels, luma, 4);
    cr_assert_eq(image_set_channels(&image, 3, NULL), SIMCLR_OK);
    cr_expect(image.c == 3 && image.pixels[9] == 132 && image.pixels[10] == 132 && image.pixels[11] == 132);
    image_release(&image);
}

static void expect_error(const uint8_t *data, size_t size, const char *part)
{
    /* a copy of exactly this size, so that a sanitizer sees any read past it */
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    struct image image;
    struct simclr_error err = {""};
    cr_expect_neq(image_decode(&image, copy, size, DATASET_MAX_PIXELS, &err), SIMCLR_OK, "%zu bytes were taken", size);
    cr_expect_not_null(strstr(err.text, part), "\"%s\" does not say \"%s\"", err.text, part);
    image_release(&image);
    free(copy);
}

Test(decode, files_cut_short_are_errors)
{
    uint8_t rgb[W * H * 3];
    paint_gradient(rgb, W, H, 2);
    struct file_bytes files[] = {encode_jpeg(rgb, W, H, 3), encode_png(rgb, W, H, 3), encode_bmp(rgb, W, H, 3)};
    const size_t spared[] = {0, 8, 0}; /* the end of IEND carries nothing */
    for (int f = 0; f < 3; f++) {
        for (size_t size = 12; size + spared[f] < files[f].size; size++)
            expect_error(files[f].data, size, "cut short");
        expect_error(files[f].data, 0, "empty");
        free(files[f].data);
    }
    expect_error((const uint8_t *)"hello, world", 12, "not a JPEG");
}

Test(decode, hostile_headers_are_errors)
{
    uint8_t rgb[W * H * 3], indices[W * H] = {[7] = 3};
    paint_gradient(rgb, W, H, 3);
    struct file_bytes png = encode_png(rgb, W, H, 3), bmp = encode_bmp(rgb, W, H, 3), jpeg = encode_jpeg(rgb, W, H, 3);
    png.data[16] = 0x7f; /* 2 billion pixels wide */
    expect_error(png.data, png.size, "PNG");
    memcpy(png.data + 16, "\0\0\x3f\xff\0\0\x3f\xff", 8); /* 268 million pixels */
    expect_error(png.data, png.size, "16383 x 16383 pixels are more than --max-pixels 100000000");
    bmp.data[25] = 0x80; /* height -2^31 + 10 */
    expect_error(bmp.data, bmp.size, "BMP");
    for (size_t i = 0; i + 3 < jpeg.size; i++)
        if (jpeg.data[i] == 0xff && jpeg.data[i + 1] == 0xc4) {
            memset(jpeg.data + i + 5, 0xff, 16); /* 4,080 codes in a table of 256 */
            break;
        }
    expect_error(jpeg.data, jpeg.size, "Huffman");
    uint8_t table[2 + 2 + 2 + 1 + 16 + 257 + 2] = {0xff, 0xd8, 0xff, 0xc4, (2 + 1 + 16 + 257) >> 8, (2 + 1 + 16 + 257) & 255, 0, [14] = 255, [15] = 2};
    memcpy(table + sizeof table - 2, "\xff\xd9", 2); /* 257 codes, all of them there */
    expect_error(table, sizeof table, "Huffman");
    table[15] = 1;
    table[5]--;
    memcpy(table + sizeof table - 3, "\xff\xd9", 2);
    expect_error(table, sizeof table - 1, "holds no picture");
    struct file_bytes outside = encode_bmp8(indices, W, H, (uint8_t[12]){0}, 3);
    expect_error(outside.data, outside.size, "palette");
    outside.data[54 + 12 + 7] = 2;
    struct image image = decode(outside);
    image_release(&image);
    free(png.data);
    free(bmp.data);
    free(jpeg.data);
}

/* Bytes changed at random: an image or an error, never a crash. Sanitizer builds make this a test. */
Test(decode, mutated_files_do_no_harm)
{
    uint8_t rgb[W * H * 3];
    paint_gradient(rgb, W, H, 4);
    struct file_bytes files[] = {encode_jpeg(rgb, W, H, 3), encode_png(rgb, W, H, 3), encode_bmp(rgb, W, H, 3)};
    int images = 0, errors = 0;
    for (int f = 0; f < 3; f++) {
        uint8_t *copy = malloc(files[f].size);
        for (unsigned trial = 0; trial < 2000; trial++) {
            struct rng rng = rng_stream(trial, RNG_TEST, (uint32_t)f, 0);
            memcpy(copy, files[f].data, files[f].size);
            for (uint32_t change = 0; change < 1 + trial % 8; change++)
                copy[rng_below(&rng, (uint32_t)files[f].size)] = (uint8_t)rng_u32(&rng);
            struct image image;
            struct simclr_error err;
            bool ok = image_decode(&image, copy, files[f].size, DATASET_MAX_PIXELS, &err) == SIMCLR_OK;
            images += ok;
            errors += !ok;
            image_release(&image);
        }
        free(copy);
        free(files[f].data);
    }
    cr_expect(images > 100 && errors > 100, "%d images, %d errors", images, errors);
}
