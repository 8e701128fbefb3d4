#include "data/decode.h"

#include "base/status.h"
#include "data/exif.h"

#include <stdlib.h>
#include <string.h>

/* stb grows what it inflates for as long as there is input, whatever the picture's size: up to 2 GB for a few MB of a PNG. */
static _Thread_local size_t most_grown; /* bytes that one block may grow to */
static _Thread_local bool grown_too_far;

static void *grow(void *block, size_t size)
{
    grown_too_far |= size > most_grown;
    return grown_too_far ? NULL : realloc(block, size);
}

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
#define STBI_REALLOC(p, size) grow(p, size)
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

/* Walks the segments to the end marker, or where *frame is wanted, to the header that says its sides. stb fills what is missing with
 * zeros, believes tables, and goes over the whole picture for each scan. */
static enum simclr_status check_jpeg(struct image *frame, const uint8_t *data, size_t size, struct simclr_error *err)
{
    enum { MOST_SCANS = 500 }; /* a progressive picture has about ten */
    size_t pos = 2;
    int scans = 0;
    while (pos + 1 < size) {
        if (data[pos] != 0xff || data[pos + 1] == 0xff || data[pos + 1] == 0) { /* padding between segments */
            pos++;
            continue;
        }
        uint8_t marker = data[pos + 1];
        pos += 2;
        if (marker == 0xd9)
            return scans && !frame ? SIMCLR_OK : fail(err, SIMCLR_ERR_FORMAT, "the JPEG holds no picture");
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8))
            continue;
        if (pos + 2 > size || be16(data + pos) < 2 || be16(data + pos) > size - pos)
            break;
        size_t length = be16(data + pos);
        if (marker == 0xc4 && !huffman_segment_ok(data + pos + 2, length - 2))
            return fail(err, SIMCLR_ERR_FORMAT, "the JPEG is damaged (Huffman table)");
        if (frame && marker >= 0xc0 && marker <= 0xc2 && length >= 7) {
            frame->h = (int)be16(data + pos + 3);
            frame->w = (int)be16(data + pos + 5);
            return SIMCLR_OK;
        }
        pos += length;
        if (marker == 0xda) {
            if (++scans > MOST_SCANS)
                return fail(err, SIMCLR_ERR_FORMAT, "the JPEG has more than %d scans; save it again", MOST_SCANS);
            pos = skip_entropy(data, size, pos);
        }
    }
    return cut_short("JPEG", err);
}

/* Walks the chunks to IEND; *compressed receives the bytes of pixels among them. Unknown critical chunks are refused here because
 * stb reports them through a shared buffer. */
static enum simclr_status check_png(size_t *compressed, const uint8_t *data, size_t size, struct simclr_error *err)
{
    size_t pos = 8;
    *compressed = 0;
    while (pos + 12 <= size) {
        uint32_t length = be32(data + pos);
        const uint8_t *type = data + pos + 4;
        if (!memcmp(type, "IEND", 4))
            return SIMCLR_OK;
        if (length > size - pos - 12)
            break;
        if (!memcmp(type, "IDAT", 4))
            *compressed += length;
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

static bool is_old_bmp(const uint8_t *data) { return le32(data + 14) == 12; }

static enum simclr_status check_bmp(const uint8_t *data, size_t size, uint32_t w, uint32_t h, struct simclr_error *err)
{
    uint32_t offset = le32(data + 10), header = le32(data + 14);
    bool old = is_old_bmp(data);
    unsigned bits = old ? le16(data + 24) : le16(data + 28);
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

enum { PNG_HEADER = 26, BMP_HEADER = 30 }; /* bytes that say what the pixels are */

static enum simclr_status read_sides(uint32_t *w, uint32_t *h, const char *kind, const uint8_t *data, size_t size, struct simclr_error *err)
{
    if (kind[0] == 'J') {
        struct image frame = {0};
        enum simclr_status status = check_jpeg(&frame, data, size, err);
        *w = (uint32_t)frame.w;
        *h = (uint32_t)frame.h;
        return status;
    }
    if (size < (kind[0] == 'P' ? PNG_HEADER : BMP_HEADER))
        return cut_short(kind, err);
    if (kind[0] == 'P') {
        *w = be32(data + 16);
        *h = be32(data + 20);
        return !memcmp(data + 12, "IHDR", 4) ? SIMCLR_OK : fail(err, SIMCLR_ERR_FORMAT, "the PNG is damaged (its header)");
    }
    bool old = is_old_bmp(data);
    *w = old ? le16(data + 18) : le32(data + 18);
    *h = old ? le16(data + 20) : le32(data + 22);
    if (!old && *h >= 0x80000000u) /* rows from the top */
        *h = 0u - *h;
    return SIMCLR_OK;
}

enum simclr_status image_header(struct image *image, const uint8_t *data, size_t size, size_t max_pixels, struct simclr_error *err)
{
    uint32_t w = 0, h = 0;
    *image = (struct image){0};
    if (size == 0)
        return fail(err, SIMCLR_ERR_FORMAT, "the file is empty");
    const char *kind = file_kind(data, size);
    if (!kind)
        return fail(err, SIMCLR_ERR_FORMAT, "not a JPEG, PNG or BMP file, whatever its name says");
    enum simclr_status status = read_sides(&w, &h, kind, data, size, err);
    if (status != SIMCLR_OK)
        return status;
    if (w == 0 || h == 0 || w > DECODE_MAX_SIDE || h > DECODE_MAX_SIDE)
        return fail(err, SIMCLR_ERR_FORMAT, "the %s claims %u x %u pixels; sides are 1 to %d", kind, (unsigned)w, (unsigned)h, DECODE_MAX_SIDE);
    if ((size_t)w * h > max_pixels)
        return fail(err, SIMCLR_ERR_FORMAT, "%u x %u pixels are more than --max-pixels %zu; make it smaller, or raise the limit", (unsigned)w,
                    (unsigned)h, max_pixels);
    image->w = (int)w;
    image->h = (int)h;
    return SIMCLR_OK;
}

/* Few bytes cannot hold many pixels: a block of 8 x 8 takes a bit of a JPEG at least, and zlib shrinks no more than 1032 to 1. What
 * claims otherwise is not given memory for its pixels. */
static enum simclr_status check_content(const struct image *image, const uint8_t *data, size_t size, struct simclr_error *err)
{
    size_t pixels = (size_t)image->w * (size_t)image->h, compressed;
    enum simclr_status status;
    if (data[0] == 'B')
        return check_bmp(data, size, (uint32_t)image->w, (uint32_t)image->h, err);
    if (data[0] == 0xff) {
        status = check_jpeg(NULL, data, size, err);
        return status == SIMCLR_OK && pixels / 512 > size ? cut_short("JPEG", err) : status;
    }
    static const uint8_t samples[8] = {1, 0, 3, 1, 2, 0, 4}; /* a pixel, by colour type */
    size_t bits = (size_t)data[24] * samples[data[25] & 7];
    status = check_png(&compressed, data, size, err);
    return status == SIMCLR_OK && pixels / 8 * bits / 1032 > compressed ? cut_short("PNG", err) : status;
}

enum simclr_status image_decode(struct image *image, const uint8_t *data, size_t size, size_t max_pixels, struct simclr_error *err)
{
    enum simclr_status status = image_header(image, data, size, max_pixels, err);
    if (status != SIMCLR_OK)
        return status;
    if (size > INT32_MAX)
        return fail(err, SIMCLR_ERR_FORMAT, "the file is over 2 GiB");
    status = check_content(image, data, size, err);
    if (status != SIMCLR_OK)
        return status;
    const char *kind = file_kind(data, size);
    int w, h, channels;
    stbi__g_failure_reason = "no reason given"; /* some of stb's failures set none */
    most_grown = 2 * (size + (size_t)DECODE_PIXEL_BYTES * (size_t)image->w * (size_t)image->h) + (1 << 16); /* growing doubles */
    grown_too_far = false;
    if (!stbi_info_from_memory(data, (int)size, &w, &h, &channels) || w != image->w || h != image->h)
        return fail(err, SIMCLR_ERR_FORMAT, "the %s is damaged or of a kind not supported (%s)", kind, stbi_failure_reason());
    image->c = channels >= 3 ? 3 : 1;
    image->pixels = kind[0] == 'J' ? load_jpeg(data, size, &w, &h, image->c)
                                   : stbi_load_from_memory(data, (int)size, &w, &h, &channels, image->c);
    if (!image->pixels) {
        const char *reason = stbi_failure_reason();
        if (grown_too_far)
            return fail(err, SIMCLR_ERR_FORMAT, "the %s holds far more than %d x %d pixels; it is damaged, or a decompression bomb", kind, w, h);
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
