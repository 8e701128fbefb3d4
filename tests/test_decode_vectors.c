/* stb's vector code and its C code make the same pixels of whatever a JPEG may hold. The decoder is included for its static parts. */
#include "data/decode.c"

#include "base/rng.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <math.h>

#if defined STBI_SSE2 || defined STBI_NEON

static void expect_same_block(const short block[64], const char *what, unsigned trial)
{
    _Alignas(16) short copy[64];
    stbi_uc want[64], got[64];
    memcpy(copy, block, sizeof copy);
    stbi__idct_block(want, 8, copy);
    memcpy(copy, block, sizeof copy);
    inverse_dct(got, 8, copy);
    cr_assert_arr_eq(got, want, 64, "%s, block %u", what, trial);
}

static bool vectors_differ(const short block[64])
{
    _Alignas(16) short copy[64];
    stbi_uc want[64], got[64];
    memcpy(copy, block, sizeof copy);
    stbi__idct_block(want, 8, copy);
    stbi__idct_simd(got, 8, copy);
    return memcmp(want, got, 64) != 0;
}

/* `coefficients` of up to `most` each, at random places; rows and columns in half of the cases, where they add up. */
static void fill(short block[64], unsigned trial, uint32_t coefficients, uint32_t most)
{
    struct rng rng = rng_stream(trial, RNG_TEST, coefficients, most);
    uint32_t line = rng_below(&rng, 8);
    memset(block, 0, 64 * sizeof *block);
    for (uint32_t i = 0; i < coefficients; i++) {
        uint32_t at = rng_below(&rng, 64), place = trial % 4 == 1 ? at / 8 * 8 + line : trial % 4 == 3 ? line * 8 + at % 8 : at;
        int value = (int)(trial % 8 < 4 ? most : rng_below(&rng, most + 1));
        block[place] = (short)(rng_u32(&rng) % 2 ? value : -value);
    }
}

/* Two columns of `count` coefficients whose waves all peak in one row: the largest sums between the passes. */
static void fill_peak(short block[64], int a, int b, int row, int count, int value)
{
    memset(block, 0, 64 * sizeof *block);
    for (int k = 8 - count; k < 8; k++) {
        int wave = cos((2 * row + 1) * k * 3.14159265358979 / 16) < 0 ? -value : value;
        block[8 * k + a] = (short)wave;
        block[8 * k + b] = (short)wave;
    }
}

Test(decode_vectors, blocks_with_peaks_are_transformed_as_in_c)
{
    unsigned differ = 0;
    _Alignas(16) short block[64];
    for (int pair = 0; pair < 64; pair++)
        for (int row = 0; row < 8; row++)
            for (int count = 1; count <= 8; count++)
                for (int value = 223; value <= 1023; value += 25) {
                    fill_peak(block, pair / 8, pair % 8, row, count, value);
                    expect_same_block(block, "peak", (unsigned)pair);
                    differ += vectors_differ(block);
                }
    cr_expect_gt(differ, 0, "no block needs the C code");
}

Test(decode_vectors, every_block_is_transformed_as_in_c)
{
    static const uint32_t counts[] = {1, 2, 3, 4, 8, 16, 64}, mosts[] = {3, 60, 61, 62, 246, 492, 984, 1000, 1023, 1024, 2000, 8191, 32767};
    unsigned differ = 0;
    _Alignas(16) short block[64];
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (size_t m = 0; m < sizeof mosts / sizeof *mosts; m++)
            for (unsigned trial = 0; trial < 400; trial++) {
                fill(block, trial, counts[c], mosts[m]);
                expect_same_block(block, "random", trial);
                differ += vectors_differ(block);
            }
    cr_expect_gt(differ, 0, "no block needs the C code");
    for (int i = 0; i < 64; i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            memset(block, 0, sizeof block);
            block[i] = (short)(sign < 0 ? -32768 : 32767);
            expect_same_block(block, "one extreme", (unsigned)i);
        }
}

Test(decode_vectors, chroma_is_upsampled_as_in_c)
{
    enum { MOST = 80 };
    stbi_uc near[MOST], far[MOST], want[2 * MOST], got[2 * MOST];
    for (unsigned trial = 0; trial < 4000; trial++) {
        struct rng rng = rng_stream(trial, RNG_TEST, 0, 0);
        int w = 1 + (int)(trial % MOST);
        for (int i = 0; i < w; i++) {
            uint32_t r = rng_u32(&rng);
            near[i] = (stbi_uc)(trial % 2 ? r : r % 2 * 255);
            far[i] = (stbi_uc)(trial % 2 ? r >> 8 : r / 2 % 2 * 255);
        }
        stbi__resample_row_hv_2(want, near, far, w, 2);
        stbi__resample_row_hv_2_simd(got, near, far, w, 2);
        cr_assert_arr_eq(got, want, (size_t)(2 * w), "width %d", w);
    }
}

#endif

static stbi_uc *decode_in_c(const uint8_t *data, size_t size, int *w, int *h)
{
    stbi__context context;
    int ignored;
    stbi__jpeg *jpeg = calloc(1, sizeof *jpeg);
    stbi__start_mem(&context, data, (int)size);
    jpeg->s = &context;
    stbi__setup_jpeg(jpeg);
    jpeg->idct_block_kernel = stbi__idct_block;
    jpeg->YCbCr_to_RGB_kernel = stbi__YCbCr_to_RGB_row;
    jpeg->resample_row_hv_2_kernel = stbi__resample_row_hv_2;
    stbi_uc *pixels = load_jpeg_image(jpeg, w, h, &ignored, 3);
    free(jpeg);
    return pixels;
}

/* Bytes changed at random, most of them in tables and entropy-coded data: what stb makes of it is the same on every machine. */
Test(decode_vectors, damaged_files_are_decoded_as_in_c)
{
    enum { W = 40, H = 24 };
    uint8_t rgb[W * H * 3];
    paint_gradient(rgb, W, H, 5);
    struct file_bytes file = encode_jpeg(rgb, W, H, 3);
    uint8_t *copy = malloc(file.size);
    int decoded = 0, changed = 0;
    for (unsigned trial = 0; trial < 3000; trial++) {
        struct rng rng = rng_stream(trial, RNG_TEST, 7, 0);
        memcpy(copy, file.data, file.size);
        for (uint32_t change = 0; change < trial % 8; change++)
            copy[20 + rng_below(&rng, trial % 2 ? 140 : (uint32_t)file.size - 20)] = (uint8_t)rng_u32(&rng);
        struct image image;
        int w, h;
        if (image_decode(&image, copy, file.size, DATASET_MAX_PIXELS, NULL) != SIMCLR_OK)
            continue;
        stbi_uc *want = image.c == 3 ? decode_in_c(copy, file.size, &w, &h) : NULL;
        if (want) {
            size_t bytes = (size_t)(w * h * 3);
            cr_assert(image.w == w && image.h == h);
            cr_assert_arr_eq(image.pixels, want, bytes, "file %u", trial);
            decoded++;
            changed += bytes == sizeof rgb && memcmp(want, rgb, bytes) != 0;
        }
        free(want);
        image_release(&image);
    }
    cr_expect(decoded > 1000 && changed > 500, "%d decoded, %d of them changed", decoded, changed);
    free(copy);
    free(file.data);
}
