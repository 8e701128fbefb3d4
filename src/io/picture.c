#include "io/picture.h"

/* stb shifts into the sign bit; with wrapping that is defined (GCC), and not instrumented (clang). */
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#define STBIW_ASSERT(x) ((void)0)
#pragma GCC diagnostic ignored "-Wunused-function"
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

static void take(void *ctx, void *data, int size)
{
    buffer_add(ctx, data, size > 0 ? (size_t)size : 0);
}

void picture_jpeg(struct buffer *file, const uint8_t *pixels, int w, int h, int c, int quality)
{
    if (w < 1 || h < 1 || c < 1 || !stbi_write_jpg_to_func(take, file, w, h, c, pixels, quality))
        file->failed = true;
}

void picture_png(struct buffer *file, const uint8_t *pixels, int w, int h, int c)
{
    if (w < 1 || h < 1 || c < 1 || !stbi_write_png_to_func(take, file, w, h, c, pixels, w * c))
        file->failed = true;
}
