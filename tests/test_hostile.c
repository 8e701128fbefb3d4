/* Files and folders as somebody means harm, or as a disk leaves them: a sentence, no crash, no waiting, no memory for what is not
 * there. */
#define _DEFAULT_SOURCE /* seteuid */
#include "data/decode.h"
#include "data/loader.h"
#include "io/npy.h"
#include "io/safetensors.h"
#include "simd/dispatch.h"
#include "tests/harness.h"
#include "tests/temp_files.h"
#include "train/config.h"
#include "train/metrics.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char *root;
static struct simclr_error err;
static void setup(void) { root = temp_folder(); }
static void teardown(void) { temp_remove(root); }
TestSuite(hostile, .init = setup, .fini = teardown, .timeout = 60);

static const struct dataset_options colour = {.channels = 3};

static struct dataset *open_set(const char *path)
{
    struct dataset *set;
    cr_assert_eq(dataset_open(&set, path, SPLIT_TRAIN, &colour, &err), SIMCLR_OK, "%s", err.text);
    return set;
}

static void expect_refused(const char *path, const char *part)
{
    struct dataset *set;
    err.text[0] = 0;
    cr_expect_neq(dataset_open(&set, path, SPLIT_TRAIN, &colour, &err), SIMCLR_OK, "%s was taken", path);
    cr_expect(strstr(err.text, part), "\"%s\" does not say \"%s\"", err.text, part);
    dataset_close(set);
}

/* Image `index` cannot be read, and exactly this says why. */
static void expect_broken(const struct dataset *set, size_t index, const char *sentence)
{
    struct image image;
    err.text[0] = 0;
    cr_expect_neq(dataset_read(set, index, &image, &err), SIMCLR_OK, "image %zu was read; expected: %s", index, sentence);
    cr_expect_str_eq(err.text, sentence);
    image_release(&image);
}

/* ---- Pictures ---- */

static void expect_undecoded(struct file_bytes file, size_t max_pixels, const char *part)
{
    struct image image;
    err.text[0] = 0;
    cr_expect_neq(image_decode(&image, file.data, file.size, max_pixels, &err), SIMCLR_OK);
    cr_expect(strstr(err.text, part), "\"%s\" does not say \"%s\"", err.text, part);
    cr_expect_null(image.pixels);
}

Test(hostile, pixels_are_limited_by_the_header)
{
    uint8_t rgb[12 * 10 * 3];
    paint_gradient(rgb, 12, 10, 1);
    struct file_bytes files[] = {encode_jpeg(rgb, 12, 10, 3), encode_png(rgb, 12, 10, 3), encode_bmp(rgb, 12, 10, 3)};
    for (int i = 0; i < 3; i++) {
        struct image image;
        cr_expect_eq(image_decode(&image, files[i].data, files[i].size, 120, &err), SIMCLR_OK, "%s", err.text);
        image_release(&image);
        expect_undecoded(files[i], 119, "12 x 10 pixels are more than --max-pixels 119; make it smaller, or raise the limit");
        cr_expect_eq(image_header(&image, files[i].data, files[i].size, 120, &err), SIMCLR_OK);
        cr_expect(image.w == 12 && image.h == 10 && !image.pixels);
        free(files[i].data);
    }
}

static size_t find_marker(const struct file_bytes *file, uint8_t marker)
{
    for (size_t i = 0; i + 1 < file->size; i++)
        if (file->data[i] == 0xff && file->data[i + 1] == marker)
            return i;
    cr_assert_fail("the JPEG has no marker %x", marker);
    return 0;
}

/* Within the limit by what they claim, but with hardly a byte of content: no memory is taken for their pixels. */
Test(hostile, few_bytes_hold_few_pixels)
{
    uint8_t rgb[12 * 10 * 3];
    paint_gradient(rgb, 12, 10, 1);
    struct file_bytes jpeg = encode_jpeg(rgb, 12, 10, 3), png = encode_png(rgb, 12, 10, 3);
    memcpy(jpeg.data + find_marker(&jpeg, 0xc0) + 5, "\x1f\x40\x2e\xe0", 4); /* 12000 x 8000 */
    memcpy(png.data + 16, "\0\0\x2e\xe0\0\0\x1f\x40", 8);
    expect_undecoded(jpeg, DATASET_MAX_PIXELS, "the JPEG ends before its picture does");
    expect_undecoded(png, DATASET_MAX_PIXELS, "the PNG ends before its picture does");
    memcpy(jpeg.data + find_marker(&jpeg, 0xc0) + 5, "\0\0\0\x0c", 4);
    expect_undecoded(jpeg, DATASET_MAX_PIXELS, "the JPEG claims 12 x 0 pixels");
    free(jpeg.data);
    free(png.data);
}

/* A PNG of 8 x 8 whose compressed data unfold to `bytes` zeros: one zero, and runs of 258 that repeat it. */
static struct file_bytes png_that_unfolds(size_t bytes)
{
    static const char run[] = "1100010100000"; /* length 258, distance 1, in the fixed code (RFC 1951, 3.2.6) */
    uint8_t grey[8 * 8] = {0};
    struct file_bytes png = encode_png(grey, 8, 8, 1);
    size_t runs = bytes / 258, bits = 3 + 8 + 13 * runs + 7, size = 2 + (bits + 7) / 8 + 4; /* its end is zeros, and so is the sum */
    uint8_t *file = calloc(1, 33 + 12 + size + 12), *z = file + 33 + 8;
    memcpy(file, png.data, 33);
    memcpy(file + 33, (uint8_t[]){(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, 'I', 'D', 'A', 'T'}, 8);
    memcpy(z, (uint8_t[]){0x78, 0x01, 0x03}, 3); /* the last block, with the fixed code; first the literal 0 */
    size_t at = 16 + 3;
    for (const char *c = "00110000"; *c; c++, at++)
        z[at / 8] |= (uint8_t)((*c == '1') << at % 8);
    for (size_t i = 0; i < runs; i++)
        for (const char *c = run; *c; c++, at++)
            z[at / 8] |= (uint8_t)((*c == '1') << at % 8);
    memcpy(file + 33 + 12 + size, "\0\0\0\0IEND", 8);
    free(png.data);
    return (struct file_bytes){file, 33 + 12 + size + 12};
}

Test(hostile, what_unfolds_is_limited_by_the_header)
{
    struct file_bytes png = png_that_unfolds(2000); /* what follows the rows is let pass */
    struct image image;
    cr_assert_eq(image_decode(&image, png.data, png.size, DATASET_MAX_PIXELS, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(image.w == 8 && image.h == 8 && image.pixels[63] == 0);
    image_release(&image);
    free(png.data);
    png = png_that_unfolds((size_t)1 << 28);
    expect_undecoded(png, DATASET_MAX_PIXELS, "the PNG holds far more than 8 x 8 pixels; it is damaged, or a decompression bomb");
    free(png.data);
}

Test(hostile, scans_are_limited)
{
    enum { SCANS = 501 };
    static const uint8_t scan[] = {0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x55};
    uint8_t grey[8 * 8] = {0};
    struct file_bytes jpeg = encode_jpeg(grey, 8, 8, 1);
    jpeg.data = realloc(jpeg.data, jpeg.size + SCANS * sizeof scan);
    jpeg.size -= 2;
    for (int i = 0; i < SCANS; i++, jpeg.size += sizeof scan)
        memcpy(jpeg.data + jpeg.size, scan, sizeof scan);
    memcpy(jpeg.data + jpeg.size, "\xff\xd9", 2);
    jpeg.size += 2;
    expect_undecoded(jpeg, DATASET_MAX_PIXELS, "the JPEG has more than 500 scans");
    free(jpeg.data);
}

/* The longest strips there can be, and a single pixel, are pictures like others. */
Test(hostile, strips_become_views)
{
    enum { SIZE = 32, FLOATS = SIZE * SIZE * 3 };
    static float views[2 * 3 * FLOATS];
    write_gradient(temp_path(root, "flat.bmp"), DECODE_MAX_SIDE, 1, 1);
    write_gradient(temp_path(root, "tall.bmp"), 1, DECODE_MAX_SIDE, 2);
    write_gradient(temp_path(root, "tiny.bmp"), 1, 1, 3);
    struct dataset *set = open_set(root);
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 2};
    struct loader_config config = {.image_size = SIZE, .channels = 3, .seed = 1};
    struct loader *loader;
    augment_preset(&config.augment, "reference");
    cr_assert_eq(loader_create(&loader, set, (uint32_t[]){0, 1, 2}, 3, &config, &engine, &err), SIMCLR_OK, "%s", err.text);
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        cr_assert_eq(loader_batch(loader, views, epoch, 0, 3, &err), SIMCLR_OK, "%s", err.text);
        for (size_t i = 0; i < sizeof views / sizeof *views; i++)
            cr_assert(views[i] >= 0 && views[i] <= 1, "value %zu is %g", i, (double)views[i]);
    }
    const char *const *messages;
    cr_expect_eq(loader_broken(loader, &messages), 0);
    loader_free(loader);
    dataset_close(set);
}

/* ---- Folders ---- */

static void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cr_assert_lt(strlen(path), sizeof address.sun_path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    close(fd);
}

Test(hostile, what_is_no_file_is_listed_as_broken)
{
    write_flat(temp_path(root, "a.bmp"), 4, 4, 1, 2, 3);
    cr_assert_eq(symlink("nowhere", temp_path(root, "b.jpg")), 0);
    temp_write(temp_path(root, "c.jpg"), "", 0);
    cr_assert_eq(symlink("/dev/zero", temp_path(root, "d.jpg")), 0);
    cr_assert_eq(mkfifo(temp_path(root, "e.jpg"), 0666), 0);
    cr_assert_eq(symlink("f.jpg", temp_path(root, "f.jpg")), 0);
    make_socket(temp_path(root, "g.png"));
    cr_assert_eq(mkfifo(temp_path(root, "passed over"), 0666), 0);
    cr_assert_eq(symlink("loop", temp_path(root, "loop")), 0);
    cr_assert_eq(symlink(".", temp_path(root, "here")), 0);
    cr_assert_eq(symlink("../x", temp_path(root, "x/up")), 0);
    struct dataset *set = open_set(root);
    cr_assert_eq(dataset_size(set), 7);
    expect_broken(set, 1, "b.jpg: No such file or directory");
    expect_broken(set, 2, "c.jpg: the file is empty");
    expect_broken(set, 3, "d.jpg: it is not a regular file");
    expect_broken(set, 4, "e.jpg: it is not a regular file");
    expect_broken(set, 5, "f.jpg: Too many levels of symbolic links");
    expect_broken(set, 6, "g.png: it is not a regular file");
    for (size_t i = 0; i < 7; i++)
        dataset_prefetch(set, i);
    dataset_close(set);
}

Test(hostile, files_change_between_listing_and_reading)
{
    for (char name = 'a'; name <= 'd'; name++)
        write_flat(temp_path(root, "%c.bmp", name), 8, 8, 1, 2, 3);
    struct dataset *set = open_set(root);
    cr_assert_eq(unlink(temp_path(root, "a.bmp")), 0);
    cr_assert_eq(truncate(temp_path(root, "b.bmp"), 100), 0);
    cr_assert_eq(unlink(temp_path(root, "c.bmp")), 0);
    cr_assert_eq(mkfifo(temp_path(root, "c.bmp"), 0666), 0);
    cr_assert_eq(truncate(temp_path(root, "d.bmp"), 0), 0);
    expect_broken(set, 0, "a.bmp: No such file or directory");
    expect_broken(set, 1, "b.bmp: the BMP ends before its picture does: it is cut short, copy it again");
    expect_broken(set, 2, "c.bmp: it is not a regular file");
    expect_broken(set, 3, "d.bmp: the file is empty");
    dataset_close(set);
}

Test(hostile, names_are_made_printable)
{
    const char *const names[][2] = {{"\x1b[31mred.jpg", "\\x1b[31mred.jpg"}, {"a\nb.jpg", "a\\x0ab.jpg"},
                                    {"\xc3\xa4.jpg", "\xc3\xa4.jpg"}, {"\xff\xfe.jpg", "\\xff\\xfe.jpg"}}; /* in order of their bytes */
    for (size_t i = 0; i < 4; i++)
        temp_write(temp_path(root, "%s", names[i][0]), "x", 1);
    struct dataset *set = open_set(root);
    cr_assert_eq(dataset_size(set), 4);
    for (size_t i = 0; i < 4; i++) {
        char sentence[200], name[64];
        snprintf(sentence, sizeof sentence, "%s: not a JPEG, PNG or BMP file, whatever its name says", names[i][1]);
        expect_broken(set, i, sentence);
        cr_expect_str_eq(dataset_item_name(set, i, name, sizeof name), names[i][1]);
    }
    dataset_close(set);
}

/* Three hundred bytes that become twelve hundred: the reason is still there. */
Test(hostile, long_names_leave_room_for_the_reason)
{
    char part[201];
    memset(part, '\n', 200);
    part[200] = 0;
    temp_write(temp_path(root, "%s/%s.jpg", part, part), "", 0);
    struct dataset *set = open_set(root);
    struct image image;
    cr_expect_eq(dataset_read(set, 0, &image, &err), SIMCLR_ERR_FORMAT);
    cr_expect(strstr(err.text, "\\x0a\\x0a: the file is empty"), "%s", err.text);
    dataset_close(set);
}

Test(hostile, links_that_fork_are_counted)
{
    enum { LEVELS = 25 };
    for (int level = 0; level < LEVELS; level++)
        for (char link = 'a'; link <= 'b'; link++) {
            char target[32];
            snprintf(target, sizeof target, "../%d", level + 1);
            cr_assert_eq(symlink(target, temp_path(root, "%d/%c", level, link)), 0);
        }
    write_flat(temp_path(root, "%d/x.bmp", LEVELS), 4, 4, 1, 2, 3);
    expect_refused(temp_path(root, "0"), "lead to more than 100000 folders; remove links that lead into each other");
}

Test(hostile, deep_and_unreadable_folders_are_named)
{
    char deep[200] = "";
    for (int i = 0; i < 40; i++)
        strcat(deep, "d/");
    write_flat(temp_path(root, "deep/%sx.bmp", deep), 4, 4, 1, 2, 3);
    expect_refused(temp_path(root, "deep"), "nested too deep; name one further down");

    write_flat(temp_path(root, "open/a.bmp"), 4, 4, 1, 2, 3);
    write_flat(temp_path(root, "open/shut/b.bmp"), 4, 4, 1, 2, 3);
    cr_assert_eq(chmod(temp_path(root, "open/shut"), 0), 0);
    cr_assert_eq(chmod(root, 0755), 0);
    bool is_root = geteuid() == 0; /* who may read everything */
    cr_assert(!is_root || seteuid(65534) == 0);
    expect_refused(temp_path(root, "open"), "open/shut: Permission denied; make it readable, or move it elsewhere");
    cr_assert(!is_root || seteuid(0) == 0);
    cr_assert_eq(chmod(temp_path(root, "open/shut"), 0700), 0);
}

/* ---- Files of records ---- */

Test(hostile, sets_that_are_no_files_are_not_waited_for)
{
    const char *const names[] = {"x.npy", "x.bin", "cifar/data_batch_1.bin"};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(mkfifo(temp_path(root, "%s", names[i]), 0666), 0);
        expect_refused(temp_path(root, "%s", i < 2 ? names[i] : "cifar"), "it is not a regular file");
    }
    struct train_config config;
    train_defaults(&config);
    cr_expect_eq(train_config_load(&config, temp_path(root, "x.npy"), &err), SIMCLR_ERR_IO);
    cr_expect(strstr(err.text, "it is not a file"), "%s", err.text);
    cr_assert_eq(mkfifo(temp_path(root, "metrics.jsonl"), 0666), 0);
    cr_expect_eq(metrics_rewind(root, 1, 1, &err), SIMCLR_ERR_IO);
}

/* ---- Sparse files ---- */

/* A file of `size` bytes that takes no room, with `head` at its start. false: the file system has no files so large. */
static bool write_sparse(const char *path, const void *head, size_t head_size, off_t size)
{
    temp_write(path, head, head_size);
    return truncate(path, size) == 0;
}

/* From here on this process gets so much more memory, and no more. With ASan, whose shadow is terabytes, there is no limit. */
static void limit_memory(size_t bytes)
{
#ifndef SANITIZED
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    cr_assert(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
    cr_assert_eq(setrlimit(RLIMIT_AS, &(struct rlimit){most, most}), 0);
#else
    (void)bytes;
#endif
}

Test(hostile, sparse_pictures_take_no_memory)
{
    uint8_t rgb[12 * 10 * 3];
    paint_gradient(rgb, 12, 10, 1);
    struct file_bytes jpeg = encode_jpeg(rgb, 12, 10, 3);
    off_t huge = (off_t)1 << 36;
    bool fits = write_sparse(temp_path(root, "a.jpg"), "", 0, huge) && write_sparse(temp_path(root, "b.jpg"), jpeg.data, jpeg.size, huge) &&
                write_sparse(temp_path(root, "c.jpg"), jpeg.data, 4, huge);
    free(jpeg.data);
    if (!fits)
        cr_skip("no files of 64 GB here");
    struct dataset *set = open_set(root);
    limit_memory(128 << 20);
    expect_broken(set, 0, "a.jpg: not a JPEG, PNG or BMP file, whatever its name says");
    expect_broken(set, 1, "b.jpg: the file has 65536 MB, far more than 12 x 10 pixels take");
    expect_broken(set, 2, "c.jpg: the JPEG ends before its picture does: it is cut short, copy it again");
    dataset_close(set);
}

Test(hostile, sparse_sets_take_no_memory)
{
    char header[NPY_HEADER];
    npy_header(header, "|u1", (size_t[]){1, 60000, 60000, 4}, 4);
    if (!write_sparse(temp_path(root, "x.npy"), header, sizeof header, (off_t)1 << 36))
        cr_skip("no files of 64 GB here");
    limit_memory(64 << 20);
    expect_refused(temp_path(root, "x.npy"), "images of 60000 x 60000, more than --max-pixels 100000000");
}

Test(hostile, sparse_files_of_a_run_take_no_memory)
{
    static const char tensor[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1099511627776],\"data_offsets\":[0,1099511627776]}}";
    char head[8 + sizeof tensor];
    uint64_t length = sizeof tensor - 1, long_header = 5 << 20;
    off_t huge = (off_t)1 << 36, honest = (off_t)(8 + length) + ((off_t)1 << 40);
    memcpy(head, &length, 8);
    memcpy(head + 8, tensor, sizeof tensor);
    const char *zeros = temp_path(root, "zeros"), *promise = temp_path(root, "promise"), *header = temp_path(root, "header");
    if (!write_sparse(zeros, "", 0, huge) || !write_sparse(promise, head, 8 + length, huge) ||
        !write_sparse(header, &long_header, 8, huge) || !write_sparse(temp_path(root, "metrics.jsonl"), "", 0, huge))
        cr_skip("no files of 64 GB here");
    bool terabyte = write_sparse(temp_path(root, "honest"), head, 8 + length, honest);
    limit_memory(64 << 20);
    struct safetensors *file;
    struct train_config config;
    const struct {
        const char *path, *part;
        enum simclr_status status;
    } cases[] = {{zeros, "its header is not a JSON object", SIMCLR_ERR_FORMAT},
                 {promise, "tensor a lies outside of the file", SIMCLR_ERR_FORMAT},
                 {header, "its header is longer than 4 MB", SIMCLR_ERR_FORMAT},
                 {terabyte ? temp_path(root, "honest") : NULL, "not enough memory to read", SIMCLR_ERR_MEMORY}};
    for (size_t i = 0; i < 4 && cases[i].path; i++) {
        cr_expect_eq(safetensors_open(&file, cases[i].path, &err), cases[i].status, "%s", err.text);
        cr_expect(strstr(err.text, cases[i].part), "%s", err.text);
    }
    train_defaults(&config);
    cr_expect_eq(train_config_load(&config, zeros, &err), SIMCLR_ERR_FORMAT);
    cr_expect(strstr(err.text, "zeros is too large: 68719476736 bytes, at most 1048576 are expected"), "%s", err.text);
    cr_expect_eq(metrics_rewind(root, 1, 1, &err), SIMCLR_ERR_FORMAT);
    cr_expect(strstr(err.text, "metrics.jsonl is too large"), "%s", err.text);
}
