#define _XOPEN_SOURCE 700
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic ignored "-Wunused-function"
/* stb shifts into the sign bit; with wrapping that is defined (GCC), and not instrumented (clang) */
#if defined __clang__
#pragma clang attribute push(__attribute__((no_sanitize("undefined"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC optimize("wrapv")
#endif
#include <stb_image_write.h>
#if defined __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

char *temp_folder(void)
{
    char name[] = "/tmp/simclr-test-XXXXXX";
    cr_assert_not_null(mkdtemp(name));
    return strdup(name);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void temp_remove(char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

const char *temp_path(const char *folder, const char *format, ...)
{
    static char paths[8][4096];
    static int turn;
    char *path = paths[turn++ % 8];
    int n = snprintf(path, sizeof paths[0], "%s/", folder);
    va_list args;
    va_start(args, format);
    vsnprintf(path + n, sizeof paths[0] - (size_t)n, format, args);
    va_end(args);
    for (char *slash = strchr(path + n, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    return path;
}

void temp_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f, "cannot write %s", path);
    cr_assert_eq(fwrite(data, 1, size, f), size);
    cr_assert_eq(fclose(f), 0);
}

static void append(void *ctx, void *data, int size)
{
    struct file_bytes *file = ctx;
    file->data = realloc(file->data, file->size + (size_t)size);
    memcpy(file->data + file->size, data, (size_t)size);
    file->size += (size_t)size;
}

struct file_bytes encode_jpeg(const uint8_t *pixels, int w, int h, int c)
{
    struct file_bytes file = {0};
    stbi_write_jpg_to_func(append, &file, w, h, c, pixels, 95);
    return file;
}

struct file_bytes encode_png(const uint8_t *pixels, int w, int h, int c)
{
    struct file_bytes file = {0};
    stbi_write_png_to_func(append, &file, w, h, c, pixels, w * c);
    return file;
}

struct file_bytes encode_bmp(const uint8_t *pixels, int w, int h, int c)
{
    struct file_bytes file = {0};
    stbi_write_bmp_to_func(append, &file, w, h, c, pixels);
    return file;
}

static void put_be32(uint8_t *p, size_t x)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(x >> (24 - 8 * i));
}

static void put_le32(uint8_t *p, size_t x)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(x >> 8 * i);
}

/* Chunks without their sums, which the decoder does not check. */
static void put_chunk(struct file_bytes *file, const char *type, const uint8_t *data, size_t size)
{
    uint8_t word[8] = {0};
    put_be32(word, size);
    memcpy(word + 4, type, 4);
    append(file, word, 8);
    if (size)
        append(file, (void *)(uintptr_t)data, (int)size);
    append(file, (uint8_t[4]){0}, 4);
}

struct file_bytes encode_png16(const uint8_t *samples, int w, int h, int c)
{
    struct file_bytes file = {0};
    uint8_t header[13] = {[8] = 16, [9] = c == 1 ? 0 : c == 2 ? 4 : c == 3 ? 2 : 6};
    put_be32(header, (size_t)w);
    put_be32(header + 4, (size_t)h);
    size_t row = (size_t)(2 * w * c), raw = ((size_t)1 + row) * (size_t)h;
    uint8_t *z = calloc(1, raw + 11); /* one stored block, filter 0 in front of each row */
    memcpy(z, (uint8_t[]){0x78, 0x01, 0x01, (uint8_t)raw, (uint8_t)(raw >> 8), (uint8_t)~raw, (uint8_t)(~raw >> 8)}, 7);
    for (int y = 0; y < h; y++)
        memcpy(z + 7 + (size_t)y * (row + 1) + 1, samples + (size_t)y * row, row);
    append(&file, (uint8_t[]){0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, 8);
    put_chunk(&file, "IHDR", header, sizeof header);
    put_chunk(&file, "IDAT", z, raw + 11);
    put_chunk(&file, "IEND", NULL, 0);
    free(z);
    return file;
}

struct file_bytes encode_bmp8(const uint8_t *indices, int w, int h, const uint8_t *palette, int colours)
{
    struct file_bytes file = {0};
    uint8_t header[54] = {'B', 'M', [26] = 1, [28] = 8};
    size_t pixels = (size_t)w * (size_t)h, offset = 54 + 4 * (size_t)colours;
    put_le32(header + 2, offset + pixels);
    put_le32(header + 10, offset);
    put_le32(header + 14, 40);
    put_le32(header + 18, (size_t)w);
    put_le32(header + 22, (size_t)h);
    append(&file, header, 54);
    append(&file, (void *)(uintptr_t)palette, 4 * colours);
    append(&file, (void *)(uintptr_t)indices, (int)pixels);
    return file;
}

void paint_flat(uint8_t *pixels, int w, int h, int r, int g, int b)
{
    for (int i = 0; i < w * h; i++) {
        pixels[3 * i] = (uint8_t)r;
        pixels[3 * i + 1] = (uint8_t)g;
        pixels[3 * i + 2] = (uint8_t)b;
    }
}

void paint_gradient(uint8_t *pixels, int w, int h, unsigned seed)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++)
                pixels[(y * w + x) * 3 + c] = (uint8_t)((unsigned)(x * 7 * (c + 1) + y * 5) + seed * 37);
}

static void write_bmp(const char *path, const uint8_t *pixels, int w, int h)
{
    struct file_bytes file = encode_bmp(pixels, w, h, 3);
    temp_write(path, file.data, file.size);
    free(file.data);
}

void write_flat(const char *path, int w, int h, int r, int g, int b)
{
    uint8_t *pixels = malloc((size_t)(w * h * 3));
    paint_flat(pixels, w, h, r, g, b);
    write_bmp(path, pixels, w, h);
    free(pixels);
}

void write_gradient(const char *path, int w, int h, unsigned seed)
{
    uint8_t *pixels = malloc((size_t)(w * h * 3));
    paint_gradient(pixels, w, h, seed);
    write_bmp(path, pixels, w, h);
    free(pixels);
}
