#include "data/decode.h"

#include "base/status.h"
#include "data/exif.h"

#include <stdlib.h>
#include <string.h>

/* Zeroed memory: tables and planes that a hostile file never defines are zeros, not what the heap held. */
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#if defined __aarch64__
#define STBI_NEON /* SSE2 it finds by itself */
#endif
#define STBI_FAILURE_USERMSG
#define STBI_MAX_DIMENSIONS DECODE_MAX_SIDE
#define STBI_ASSERT(x) ((void)(x))
#define STBI_MALLOC(size) calloc(1, size)
#define STBI_REALLOC(p, size) realloc(p, size)
#define STBI_FREE(p) free(p)
#pragma GCC diagnostic ignored "-Wunused-function" /* reported at the end of the file, so not popped */
/* Damaged coefficients overflow int in stb's transforms. That must wrap: defined for GCC, and left alone by clang's sanitizer. */
#if defined __clang__
#pragma clang attribute push(__attribute__((no_sanitize("undefined"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC optimize("wrapv")
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* of callbacks, which are not used */
#endif
#include <stb_image.h>
#if defined __clang__
#pragma clang attribute pop
#else
#pragma GCC diagnostic pop
#pragma GCC pop_options
#endif

static unsigned be16(const uint8_t *p) { return (unsigned)p[0] << 8 | p[1]; }
static uint32_t be32(const uint8_t *p) { return (uint32_t)be16(p) << 16 | be16(p + 2); }
static unsigned le16(const uint8_t *p) { return (unsigned)p[1] << 8 | p[0]; }
static uint32_t le32(const uint8_t *p) { return (uint32_t)le16(p + 2) << 16 | le16(p); }

static enum simclr_status cut_short(const char *kind, struct simclr_error *err)
{
    return fail(err, SIMCLR_ERR_FORMAT, "the %s ends before its picture does: it is cut short, copy it again", kind);
}

/* A Huffman table segment holds at most 256 codes; stb 2.27 writes past its table when it claims more. */
static bool huffman_segment_ok(const uint8_t *p, size_t size)
{
    while (size >= 17) {
        size_t codes = 0;
        for (int i = 1; i <= 16; i++)
            codes += p[i];
        if (codes > 256 || codes + 17 > size)
            return false;
        p += 17 + codes;
        size -= 17 + codes;
    }
    return size == 0;
}

/* End of the entropy-coded data that starts at pos: the next marker that is neither a stuffed zero nor a restart. */
static size_t skip_entropy(const uint8_t *data, size_t size, size_t pos)
{
    while (pos + 1 < size) {
        const uint8_t *ff = memchr(data + pos, 0xff, size - 1 - pos);
        if (!ff)
            return size;
        pos = (size_t)(ff - data);
        uint8_t next = ff[1];
        if (next == 0xff)
            pos += 1;
        else if (next == 0 || (next >= 0xd0 && next <= 0xd7))
            pos += 2;
        else
            return pos;
    }
    return size;
}

/* Walks the segments to the end marker. stb fills what is missing with zeros, and believes tables. */
static enum simclr_status check_jpeg(const uint8_t *data, size_t size, struct simclr_error *err)
{
    size_t pos = 2;
    bool scans = false;
    while (pos + 1 < size) {
        if (data[pos] != 0xff || data[pos + 1] == 0xff || data[pos + 1] == 0) { /* padding between segments */
            pos++;
            continue;
        }
        uint8_t marker = data[pos + 1];
        pos += 2;
        if (marker == 0xd9)
            return scans ? SIMCLR_OK : fail(err, SIMCLR_ERR_FORMAT, "the JPEG holds no picture");
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8))
            continue;
        if (pos + 2 > size || be16(data + pos) < 2 || be16(data + pos) > size - pos)
            break;
        size_t length = be16(data + pos);
        if (marker == 0xc4 && !huffman_segment_ok(data + pos + 2, length - 2))
            return fail(err, SIMCLR_ERR_FORMAT, "the JPEG is damaged (Huffman table)");
        pos += length;
        if (marker == 0xda) {
            scans = true;
            pos = skip_entropy(data, size, pos);
        }
    }
    return cut_short("JPEG", err);
}

/* Walks the chunks to IEND. Unknown critical chunks are refused here because stb reports them through a shared buffer. */
static enum simclr_status check_png(const uint8_t *data, size_t size, struct simclr_error *err)
{
    size_t pos = 8;
    while (pos + 12 <= size) {
        uint32_t length = be32(data + pos);
        const uint8_t *type = data + pos + 4;
        if (!memcmp(type, "IEND", 4))
            return SIMCLR_OK;
        if (length > size - pos - 12)
            break;
        bool known = !memcmp(type, "IHDR", 4) || !memcmp(type, "PLTE", 4) || !memcmp(type, "IDAT", 4);
        if (!(type[0] & 0x20) && !known)
            return fail(err, SIMCLR_ERR_FORMAT, "the PNG is damaged (unknown chunk)");
        pos += 12 + (size_t)length;
    }
    return cut_short("PNG", err);
}

/* Every index of a picture with a palette must be in it: stb reads what was never set. */
static bool palette_indices_ok(const uint8_t *rows, size_t stride, uint32_t w, uint32_t h, unsigned bits, uint32_t colours)
{
    if (colours >= 1u << bits)
        return true;
    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++) {
            unsigned shift = 8 - bits - x * bits % 8;
            if ((rows[y * stride + x * bits / 8] >> shift & ((1u << bits) - 1)) >= colours)
                return false;
        }
    return true;
}

static enum simclr_status check_bmp(const uint8_t *data, size_t size, struct simclr_error *err)
{
    if (size < 30)
        return cut_short("BMP", err);
    uint32_t offset = le32(data + 10), header = le32(data + 14);
    bool old = header == 12;
    uint32_t w = old ? le16(data + 18) : le32(data + 18), h = old ? le16(data + 20) : le32(data + 22);
    unsigned bits = old ? le16(data + 24) : le16(data + 28);
    if (!old && h >= 0x80000000u) /* rows from the top */
        h = 0u - h;
    if (w == 0 || h == 0 || w > DECODE_MAX_SIDE || h > DECODE_MAX_SIDE)
        return fail(err, SIMCLR_ERR_FORMAT, "the BMP claims %u x %u pixels; sides are 1 to %d", (unsigned)w, (unsigned)h, DECODE_MAX_SIDE);
    if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32)
        return fail(err, SIMCLR_ERR_FORMAT, "the BMP has %u bits a pixel, which is not supported; save it as PNG", bits);
    if (header > 124 || offset < 14 + header)
        return fail(err, SIMCLR_ERR_FORMAT, "the BMP is damaged (offset of its pixels)");
    size_t stride = ((size_t)w * bits + 31) / 32 * 4;
    size_t needed = stride * (h - 1) + ((size_t)w * bits + 7) / 8; /* the last row's padding may be missing */
    if (offset > size || needed > size - offset)
        return cut_short("BMP", err);
    uint32_t colours = (offset - 14 - header) / (old ? 3 : 4);
    if (bits <= 8 && !palette_indices_ok(data + offset, stride, w, h, bits, colours))
        return fail(err, SIMCLR_ERR_FORMAT, "the BMP is damaged (colours outside its palette)");
    return SIMCLR_OK;
}

/* stb upsamples chroma to the same bytes by vectors and in C. Its inverse DCTs agree as long as nothing leaves 16 bits, where SSE2
 * wraps or saturates, NEON wraps, and C goes on in 32: a strange JPEG would look different on another machine. So vectors serve
 * blocks that cannot go so far. Say their coefficients' magnitudes add up to s: so much, at most, is added before the first pass,
 * and 5.6 s before the second, since a pass multiplies by at most 5.6; NEON's bias adds 4096. Few blocks of photographs exceed the
 * limit. In all a 224 x 224 JPEG takes 0.38 ms instead of 0.51, one of 500 x 375 1.18 instead of 1.75. */
#if defined STBI_SSE2 || defined STBI_NEON
static void inverse_dct(stbi_uc *out, int stride, short data[64])
{
    enum { MOST = 1023, MOST_SUM = 4000 - 64 };
    uint16_t any = 0, sum = 0; /* 64 x 1023 fits */
    for (int i = 0; i < 64; i++) {
        uint16_t magnitude = (uint16_t)(data[i] ^ (data[i] >> 15)); /* or one less */
        any |= magnitude;
        sum += magnitude;
    }
    if (any <= MOST && sum <= MOST_SUM)
        stbi__idct_simd(out, stride, data);
    else
        stbi__idct_block(out, stride, data);
}
#else
#define inverse_dct stbi__idct_block
#endif

/* stbi_load_from_memory for a JPEG, with that transform. */
static stbi_uc *load_jpeg(const uint8_t *data, size_t size, int *w, int *h, int channels)
{
    stbi__context context;
    int ignored;
    stbi__jpeg *jpeg = stbi__malloc(sizeof *jpeg);
    if (!jpeg)
        return stbi__errpuc("outofmem", "Out of memory");
    stbi__start_mem(&context, data, (int)size);
    jpeg->s = &context;
    stbi__setup_jpeg(jpeg);
    jpeg->idct_block_kernel = inverse_dct;
    stbi_uc *pixels = load_jpeg_image(jpeg, w, h, &ignored, channels);
    STBI_FREE(jpeg);
    return pixels;
}

static const char *file_kind(const uint8_t *data, size_t size)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (size >= 3 && data[0] == 0xff && data[1] == 0xd8 && data[2] == 0xff)
        return "JPEG";
    if (size >= 8 && !memcmp(data, png, 8))
        return "PNG";
    return size >= 2 && data[0] == 'B' && data[1] == 'M' ? "BMP" : NULL;
}

enum simclr_status image_decode(struct image *image, const uint8_t *data, size_t size, struct simclr_error *err)
{
    *image = (struct image){0};
    if (size == 0)
        return fail(err, SIMCLR_ERR_FORMAT, "the file is empty");
    if (size > INT32_MAX)
        return fail(err, SIMCLR_ERR_FORMAT, "the file is over 2 GiB");
    const char *kind = file_kind(data, size);
    if (!kind)
        return fail(err, SIMCLR_ERR_FORMAT, "not a JPEG, PNG or BMP file, whatever its name says");
    enum simclr_status status = kind[0] == 'J' ? check_jpeg(data, size, err)
                              : kind[0] == 'P' ? check_png(data, size, err) : check_bmp(data, size, err);
    if (status != SIMCLR_OK)
        return status;
    int w, h, channels;
    stbi__g_failure_reason = "no reason given"; /* some of stb's failures set none */
    if (!stbi_info_from_memory(data, (int)size, &w, &h, &channels))
        return fail(err, SIMCLR_ERR_FORMAT, "the %s is damaged or of a kind not supported (%s)", kind, stbi_failure_reason());
    if ((size_t)w * (size_t)h > DECODE_MAX_PIXELS)
        return fail(err, SIMCLR_ERR_FORMAT, "%d x %d pixels are more than %d million; make it smaller", w, h, DECODE_MAX_PIXELS / 1000000);
    image->c = channels >= 3 ? 3 : 1;
    image->pixels = kind[0] == 'J' ? load_jpeg(data, size, &image->w, &image->h, image->c)
                                   : stbi_load_from_memory(data, (int)size, &image->w, &image->h, &channels, image->c);
    if (!image->pixels) {
        const char *reason = stbi_failure_reason();
        return !strcmp(reason, "Out of memory")
                      ? fail(err, SIMCLR_ERR_MEMORY, "not enough memory to decode %d x %d pixels", w, h)
                      : fail(err, SIMCLR_ERR_FORMAT, "the %s is damaged (%s)", kind, reason);
    }
    image->owned = 1;
    return kind[0] == 'J' ? exif_apply(image, exif_orientation(data, size), err) : SIMCLR_OK;
}

enum simclr_status image_set_channels(struct image *image, int channels, struct simclr_error *err)
{
    size_t pixels = (size_t)image->h * (size_t)image->w;
    if (image->c == channels)
        return SIMCLR_OK;
    if (image->c == 3) {
        for (size_t i = 0; i < pixels; i++) {
            const uint8_t *p = image->pixels + 3 * i;
            image->pixels[i] = (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
        }
    } else {
        uint8_t *rgb = malloc(3 * pixels);
        if (!rgb)
            return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for an image of %d x %d pixels", image->w, image->h);
        for (size_t i = 0; i < pixels; i++)
            rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = image->pixels[i];
        image_release(image);
        image->pixels = rgb;
        image->owned = 1;
    }
    image->c = channels;
    return SIMCLR_OK;
}

void image_release(struct image *image)
{
    if (image->owned)
        free(image->pixels);
    image->pixels = NULL;
    image->owned = 0;
}
