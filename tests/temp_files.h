/* Folders and image files made for one test. */
#ifndef TESTS_TEMP_FILES_H
#define TESTS_TEMP_FILES_H

#include <stddef.h>
#include <stdint.h>

/* A new empty folder, and its removal with all that it holds. */
char *temp_folder(void);
void temp_remove(char *folder);

/* "folder/name", formatted; valid for the next few calls. Missing folders on the way are made. */
const char *temp_path(const char *folder, const char *format, ...) __attribute__((format(printf, 2, 3)));
void temp_write(const char *path, const void *data, size_t size);

/* A file in memory: malloc'd. c: 1, 3, 4 channels of (h, w, c) pixels. */
struct file_bytes {
    uint8_t *data;
    size_t size;
};
struct file_bytes encode_jpeg(const uint8_t *pixels, int w, int h, int c);
struct file_bytes encode_png(const uint8_t *pixels, int w, int h, int c);
struct file_bytes encode_bmp(const uint8_t *pixels, int w, int h, int c);
/* 16-bit big-endian samples, (h, w, c) of 2 bytes each */
struct file_bytes encode_png16(const uint8_t *samples, int w, int h, int c);
/* 8-bit indices into a palette of `colours` (blue, green, red, 0) entries, rows from the bottom; w a multiple of 4 */
struct file_bytes encode_bmp8(const uint8_t *indices, int w, int h, const uint8_t *palette, int colours);

/* A picture of one colour, or of a gradient that differs by seed. */
void paint_flat(uint8_t *pixels, int w, int h, int r, int g, int b);
void paint_gradient(uint8_t *pixels, int w, int h, unsigned seed);
/* Writes a BMP of paint_flat / paint_gradient, 24 bits. */
void write_flat(const char *path, int w, int h, int r, int g, int b);
void write_gradient(const char *path, int w, int h, unsigned seed);

#endif
