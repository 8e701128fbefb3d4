#include "data/exif.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

enum { ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY_BYTES = 12 };

/* A TIFF file inside the segment; its first bytes say in which order numbers are stored. */
struct tiff {
    const uint8_t *data;
    size_t size;
    bool big_endian;
};

static uint32_t number(const struct tiff *tiff, size_t at, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | tiff->data[at + (size_t)(tiff->big_endian ? i : bytes - 1 - i)];
    return value;
}

/* Only the first directory describes the picture; the next one describes its thumbnail. */
static int tiff_orientation(const struct tiff *tiff)
{
    if (tiff->size < 8 || number(tiff, 2, 2) != 42)
        return 1;
    size_t at = number(tiff, 4, 4);
    if (at > tiff->size - 2)
        return 1;
    size_t entries = number(tiff, at, 2), most = (tiff->size - at - 2) / ENTRY_BYTES;
    for (size_t i = 0; i < entries && i < most; i++) {
        size_t entry = at + 2 + i * ENTRY_BYTES;
        uint32_t type = number(tiff, entry + 2, 2);
        if (number(tiff, entry, 2) != ORIENTATION || number(tiff, entry + 4, 4) != 1 || (type != TYPE_SHORT && type != TYPE_LONG))
            continue;
        uint32_t value = number(tiff, entry + 8, type == TYPE_SHORT ? 2 : 4);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

static int segment_orientation(const uint8_t *data, size_t size)
{
    struct tiff tiff = {.data = data + 6, .size = size - 6};
    if (tiff.size < 2 || (memcmp(tiff.data, "II", 2) && memcmp(tiff.data, "MM", 2)))
        return 1;
    tiff.big_endian = tiff.data[0] == 'M';
    return tiff_orientation(&tiff);
}

/* Walks the segments before the picture: FF marker, then a length that counts itself. */
int exif_orientation(const uint8_t *data, size_t size)
{
    size_t at = 2;
    while (at + 4 <= size && data[at] == 0xff) {
        uint8_t marker = data[at + 1];
        if (marker == 0xff) { /* padding */
            at++;
            continue;
        }
        size_t length = (size_t)data[at + 2] << 8 | data[at + 3];
        if (marker == 0xda || marker == 0xd9 || length < 2 || length > size - at - 2)
            return 1;
        if (marker == 0xe1 && length >= 8 && !memcmp(data + at + 4, "Exif\0", 6))
            return segment_orientation(data + at + 4, length - 2);
        at += 2 + length;
    }
    return 1;
}

enum simclr_status exif_apply(struct image *image, int orientation, struct simclr_error *err)
{
    /* by orientation: whether rows and columns change places, and whether what are then rows, or columns, run backwards */
    static const struct {
        bool transpose, up, left;
    } turns[9] = {[2] = {0, 0, 1}, [3] = {0, 1, 1}, [4] = {0, 1, 0}, [5] = {1, 0, 0}, [6] = {1, 0, 1}, [7] = {1, 1, 1}, [8] = {1, 1, 0}};
    if (orientation < 2 || orientation > 8)
        return SIMCLR_OK;
    int h = turns[orientation].transpose ? image->w : image->h, w = turns[orientation].transpose ? image->h : image->w;
    size_t c = (size_t)image->c;
    uint8_t *pixels = malloc((size_t)h * (size_t)w * c), *to = pixels;
    if (!pixels)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to turn an image of %d x %d pixels", image->w, image->h);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++, to += c) {
            int row = turns[orientation].up ? h - 1 - y : y, column = turns[orientation].left ? w - 1 - x : x;
            size_t from = turns[orientation].transpose ? (size_t)column * (size_t)image->w + (size_t)row
                                                       : (size_t)row * (size_t)image->w + (size_t)column;
            memcpy(to, image->pixels + from * c, c);
        }
    image_release(image);
    *image = (struct image){.h = h, .w = w, .c = (int)c, .pixels = pixels, .owned = 1};
    return SIMCLR_OK;
}
