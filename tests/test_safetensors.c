/* safetensors: what is written is read back, the same input gives the same bytes, and no hostile file gets past the reader. */
#include "io/file.h"
#include "io/safetensors.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[128];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/simclr-safetensors-XXXXXX");
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

static void remove_folder(void)
{
    char temporary[160];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    unlink(temporary);
    unlink(path);
    rmdir(folder);
}

TestSuite(safetensors, .init = make_folder, .fini = remove_folder);

enum { CHECKSUM_AT = 8 + sizeof "{\"__metadata__\":{\"simclr_checksum\":\"" - 1 };

static const float weights[6] = {1, -2, 3.5f, 0, 5, 6};
static const int64_t words[2] = {-1, INT64_MAX};
static const uint8_t bytes3[3] = {1, 2, 255};

static void write_example(void)
{
    const struct safetensors_entry entries[] = {
        {.name = "layer1.0.weight", .type = ST_F32, .ndim = 2, .dims = {2, 3}, .bytes = sizeof weights, .data = weights},
        {.name = "state", .type = ST_I64, .ndim = 1, .dims = {2}, .bytes = sizeof words, .data = words},
        {.name = "scalar", .type = ST_I64, .ndim = 0, .bytes = 8, .data = words},
        {.name = "empty", .type = ST_F32, .ndim = 2, .dims = {0, 7}, .bytes = 0, .data = NULL},
        {.name = "bytes", .type = ST_U8, .ndim = 1, .dims = {3}, .bytes = 3, .data = bytes3},
    };
    const struct safetensors_pair metadata[] = {{"format", "pt"}, {"settings", "{\n \"lr\": 0.06, \"ä\": \"\\\"\"\n}"}};
    struct simclr_error err;
    cr_assert_eq(safetensors_write(path, entries, 5, metadata, 2, &err), SIMCLR_OK, "%s", err.text);
}

Test(safetensors, round_trip)
{
    struct safetensors *file;
    struct simclr_error err;
    write_example();
    cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(safetensors_count(file), 5);
    const struct safetensors_entry *e = safetensors_find(file, "layer1.0.weight");
    cr_assert(e && e->type == ST_F32 && e->ndim == 2 && e->dims[0] == 2 && e->dims[1] == 3 && e->bytes == sizeof weights);
    cr_assert_arr_eq(e->data, weights, sizeof weights);
    e = safetensors_find(file, "state");
    cr_assert(e && e->type == ST_I64 && !memcmp(e->data, words, sizeof words));
    e = safetensors_find(file, "scalar");
    cr_assert(e && e->ndim == 0 && e->bytes == 8);
    e = safetensors_find(file, "empty");
    cr_assert(e && e->bytes == 0 && e->dims[1] == 7);
    e = safetensors_find(file, "bytes");
    cr_assert(e && e->type == ST_U8 && !memcmp(e->data, bytes3, 3));
    cr_assert_null(safetensors_find(file, "other"));
    cr_assert_str_eq(safetensors_metadata(file, "format"), "pt");
    cr_assert_str_eq(safetensors_metadata(file, "settings"), "{\n \"lr\": 0.06, \"ä\": \"\\\"\"\n}");
    cr_assert_null(safetensors_metadata(file, "absent"));
    cr_assert_null(safetensors_at(file, 5));
    safetensors_close(file);
}

Test(safetensors, same_input_same_bytes_and_layout)
{
    void *first, *second;
    size_t n, m;
    struct simclr_error err;
    write_example();
    cr_assert_eq(file_read(&first, &n, path, SIZE_MAX - 1, &err), SIMCLR_OK);
    write_example();
    cr_assert_eq(file_read(&second, &m, path, SIZE_MAX - 1, &err), SIMCLR_OK);
    cr_assert_eq(n, m);
    cr_assert_eq(memcmp(first, second, n), 0);
    uint64_t header;
    memcpy(&header, first, 8);
    cr_assert_eq(header % 8, 0, "data starts aligned");
    cr_assert_eq(n, 8 + header + sizeof weights + sizeof words + 8 + 3);
    const char *expected = "{\"__metadata__\":{\"simclr_checksum\":\"";
    cr_assert_eq(memcmp((char *)first + 8, expected, strlen(expected)), 0);
    expected = "\",\"format\":\"pt\",";
    cr_assert_eq(memcmp((char *)first + CHECKSUM_AT + 16, expected, strlen(expected)), 0);
    cr_assert_eq(memcmp((char *)first + 8 + header, words, sizeof words), 0, "wide types first");
    free(first);
    free(second);
}

Test(safetensors, tensors_are_aligned_whatever_comes_before)
{
    struct safetensors *file;
    struct simclr_error err;
    const struct safetensors_entry entries[] = {{.name = "byte", .type = ST_U8, .bytes = 1, .data = bytes3},
                                                {.name = "three", .type = ST_F32, .ndim = 1, .dims = {3}, .bytes = 12, .data = weights},
                                                {.name = "word", .type = ST_I64, .bytes = 8, .data = words},
                                                {.name = "five", .type = ST_F32, .ndim = 1, .dims = {5}, .bytes = 20, .data = weights}};
    cr_assert_eq(safetensors_write(path, entries, 4, NULL, 0, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_OK, "%s", err.text);
    for (int i = 0; i < 4; i++) {
        const struct safetensors_entry *e = safetensors_find(file, entries[i].name);
        cr_assert(e && e->bytes == entries[i].bytes && memcmp(e->data, entries[i].data, e->bytes) == 0, "%s", entries[i].name);
    }
    cr_expect_str_eq(safetensors_at(file, 1)->name, "three");
    cr_expect_str_eq(safetensors_at(file, 2)->name, "five");
    safetensors_close(file);
}

Test(safetensors, refuses_to_write_nonsense)
{
    struct simclr_error err;
    struct safetensors_entry two[2] = {{.name = "a", .type = ST_F32, .ndim = 1, .dims = {6}, .bytes = 24, .data = weights},
                                       {.name = "a", .type = ST_F32, .ndim = 1, .dims = {6}, .bytes = 24, .data = weights}};
    cr_assert_eq(safetensors_write(path, two, 2, NULL, 0, &err), SIMCLR_ERR_FORMAT);
    cr_assert(strstr(err.text, "two tensors are called a"), "%s", err.text);
    two[1].bytes = 23;
    cr_assert_eq(safetensors_write(path, &two[1], 1, NULL, 0, &err), SIMCLR_ERR_FORMAT);
    cr_assert_neq(access(path, F_OK), 0, "a refused file leaves nothing behind");
    cr_assert_eq(safetensors_write("/nonexistent/x", two, 1, NULL, 0, &err), SIMCLR_ERR_IO);
    cr_assert(strstr(err.text, "/nonexistent/x") && strstr(err.text, "No such file"), "%s", err.text);
}

static void write_raw(uint64_t length, const char *header, size_t data)
{
    FILE *f = fopen(path, "wb");
    cr_assert(f);
    fwrite(&length, 8, 1, f);
    fwrite(header, 1, strlen(header), f);
    for (size_t i = 0; i < data; i++)
        fputc(0, f);
    fclose(f);
}

static void expect_refused(const char *header, size_t data, const char *what)
{
    struct safetensors *file;
    struct simclr_error err = {.text = ""};
    write_raw(strlen(header), header, data);
    cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_ERR_FORMAT, "accepted: %.80s", header);
    cr_assert_null(file);
    cr_assert(strstr(err.text, what), "%.80s: expected \"%s\", got: %s", header, what, err.text);
    cr_assert(strstr(err.text, path), "the file is named: %s", err.text);
}

#define T(type, shape, begin, end) "{\"dtype\":\"" type "\",\"shape\":[" shape "],\"data_offsets\":[" #begin "," #end "]}"

Test(safetensors, hostile_headers)
{
    expect_refused("", 0, "not a JSON object");
    expect_refused("[]", 0, "not a JSON object");
    expect_refused("{\"a\":", 0, "not a JSON object");
    expect_refused("{\"a\":" T("F32", "1", 0, 4) ",\"a\":" T("F32", "1", 0, 4) "}", 4, "duplicate object key");
    char nested[5000];
    memset(nested, '[', sizeof nested - 1);
    nested[sizeof nested - 1] = 0;
    expect_refused(nested, 0, "maximum parsing depth reached");
    expect_refused("{\"a\":1}", 0, "no dtype");
    expect_refused("{\"a\":" T("F16", "2", 0, 4) "}", 4, "tensor a has type F16");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape");
    expect_refused("{\"a\":" T("F32", "1,1,1,1,1,1,1,1,1", 0, 4) "}", 4, "8 dimensions");
    expect_refused("{\"a\":" T("F32", "-1", 0, 4) "}", 4, "not a size");
    expect_refused("{\"a\":" T("F32", "1.0", 0, 4) "}", 4, "not a size");
    expect_refused("{\"a\":" T("F32", "99999999999999999999", 0, 4) "}", 4, "not a JSON object");
    expect_refused("{\"a\":" T("F32", "4294967296,4294967296", 0, 4) "}", 4, "too large");
    expect_refused("{\"a\":" T("F32", "4611686018427387905", 0, 4) "}", 4, "too large");
    expect_refused("{\"a\":" T("F32", "2", 0, 4) "}", 4, "another size");
    expect_refused("{\"a\":" T("F32", "1", 4, 0) "}", 4, "outside");
    expect_refused("{\"a\":" T("F32", "1", 4, 8) "}", 4, "outside");
    expect_refused("{\"a\":" T("F32", "1", -4, 0) "}", 4, "data_offsets");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":\"04\"}}", 4, "data_offsets");
    expect_refused("{\"a\":" T("F32", "2", 0, 8) ",\"b\":" T("F32", "2", 4, 12) "}", 12, "overlaps");
    expect_refused("{\"a\":" T("F32", "1", 0, 4) ",\"b\":" T("F32", "1", 0, 4) "}", 4, "overlaps");
    expect_refused("{\"a\":" T("F32", "1", 4, 8) "}", 8, "gap");
    expect_refused("{\"a\":" T("F32", "1", 0, 4) "}", 5, "bytes follow");
    expect_refused("{\"u\":" T("U8", "1", 0, 1) ",\"a\":" T("F32", "1", 1, 5) "}", 5, "not aligned");
    expect_refused("{\"__metadata__\":[]}", 0, "metadata is not an object");
    expect_refused("{\"__metadata__\":{\"k\":1}}", 0, "metadata k is not text");
    char header[400], name[129];
    memset(name, 'n', 128);
    name[128] = 0;
    snprintf(header, sizeof header, "{\"%s\":" T("F32", "1", 0, 4) "}", name);
    expect_refused(header, 4, "more than 127 bytes");
}

Test(safetensors, hostile_lengths)
{
    struct safetensors *file;
    struct simclr_error err;
    const uint64_t lengths[] = {3, 1000, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        write_raw(lengths[i], "{}", 0);
        cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_ERR_FORMAT);
        cr_assert(strstr(err.text, "longer than the file"), "%s", err.text);
    }
    cr_assert_eq(truncate(path, 5), 0);
    cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_ERR_FORMAT);
    cr_assert_eq(truncate(path, 0), 0);
    cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_ERR_FORMAT);
    cr_assert_eq(safetensors_open(&file, folder, &err), SIMCLR_ERR_IO);
    cr_assert_eq(safetensors_open(&file, "/nonexistent", &err), SIMCLR_ERR_IO);
}

Test(safetensors, every_truncation_is_refused)
{
    struct safetensors *file;
    struct simclr_error err;
    struct stat st;
    write_example();
    cr_assert_eq(stat(path, &st), 0);
    for (off_t size = st.st_size - 1; size >= 0; size--) {
        cr_assert_eq(truncate(path, size), 0);
        cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_ERR_FORMAT, "accepted at %jd bytes", (intmax_t)size);
    }
}

static uint8_t *read_example(size_t *size)
{
    void *data;
    struct simclr_error err;
    write_example();
    cr_assert_eq(file_read(&data, size, path, SIZE_MAX - 1, &err), SIMCLR_OK, "%s", err.text);
    return data;
}

static void write_bytes(const uint8_t *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    cr_assert(f);
    cr_assert_eq(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

/* The file of another writer: without a checksum, so that it is the parser that has to survive. */
Test(safetensors, every_changed_header_byte_is_survived)
{
    size_t size;
    struct simclr_error err;
    uint64_t header;
    uint8_t *bytes = read_example(&size);
    bytes[CHECKSUM_AT - sizeof "checksum\":\"" + 1] = 'k';
    memcpy(&header, bytes, 8);
    for (size_t i = 0; i < 8 + header; i++) {
        uint8_t kept = bytes[i];
        bytes[i] = (uint8_t)(kept ^ (1u << i % 8));
        write_bytes(bytes, size);
        struct safetensors *file;
        if (safetensors_open(&file, path, &err) == SIMCLR_OK) {
            cr_expect(!safetensors_checked(file) || i == CHECKSUM_AT - sizeof "checksum\":\"" + 1);
            safetensors_close(file);
        }
        bytes[i] = kept;
    }
    free(bytes);
}

/* What loses its checksum with the bit is told by safetensors_checked. */
Test(safetensors, every_flipped_bit_is_found)
{
    size_t size, refused = 0;
    uint64_t header;
    struct simclr_error err;
    uint8_t *bytes = read_example(&size);
    memcpy(&header, bytes, sizeof header);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        struct safetensors *file;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        write_bytes(bytes, size);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (safetensors_open(&file, path, &err) == SIMCLR_OK)
            cr_expect(!safetensors_checked(file), "bit %zu", bit);
        else
            refused += strstr(err.text, "do not give its checksum") != NULL;
        safetensors_close(file);
    }
    cr_expect_geq(refused, 8 * (size - 8 - header), "at least those of the tensors");
    write_bytes(bytes, size);
    struct safetensors *file;
    cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(safetensors_checked(file));
    safetensors_close(file);
    free(bytes);
}

/* Other writers do not pad their headers; floats are aligned in memory all the same. */
Test(safetensors, unpadded_header)
{
    struct safetensors *file;
    struct simclr_error err;
    const char *header = "{\"a\":" T("F32", "2", 0, 8) "}";
    for (int pad = 0; pad < 8; pad++) {
        char text[100];
        snprintf(text, sizeof text, "%s%*s", header, pad, "");
        write_raw(strlen(text), text, 8);
        cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_OK, "%s", err.text);
        cr_assert_eq((uintptr_t)safetensors_at(file, 0)->data % 8, 0);
        safetensors_close(file);
    }
}

Test(safetensors, folders_are_made_and_files_replaced_whole)
{
    struct simclr_error err;
    char deep[160], file[200], temporary[210];
    snprintf(deep, sizeof deep, "%s/a//b/c/", folder);
    cr_assert_eq(folder_create(deep, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(folder_create(deep, &err), SIMCLR_OK, "%s", err.text);
    snprintf(file, sizeof file, "%sf", deep);
    snprintf(temporary, sizeof temporary, "%s.tmp", file);
    cr_assert_eq(file_write_atomic(file, "old", 3, &err), SIMCLR_OK);
    cr_assert_eq(file_write_atomic(file, "newer", 5, &err), SIMCLR_OK);
    void *data;
    size_t size;
    cr_assert_eq(file_read(&data, &size, file, 5, &err), SIMCLR_OK);
    cr_assert_str_eq(data, "newer");
    free(data);
    cr_assert_eq(file_read(&data, &size, file, 4, &err), SIMCLR_ERR_FORMAT);
    cr_assert_neq(access(temporary, F_OK), 0);
    cr_assert_eq(folder_create(file, &err), SIMCLR_ERR_IO);
    cr_assert(strstr(err.text, file), "%s", err.text);
    unlink(file);
    for (size_t n = strlen(deep); n > strlen(folder) + 1; n--)
        if (deep[n - 1] == '/') {
            deep[n - 1] = 0;
            rmdir(deep);
        }
}
