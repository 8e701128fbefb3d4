/* Packed sets: what lies in them, who finds it, the same bytes everywhere, and whole or not at all. */
#define _XOPEN_SOURCE 700
#include "data/loader.h"
#include "io/file.h"
#include "io/npy.h"
#include "simd/dispatch.h"
#include "tests/harness.h"
#include "tests/temp_files.h"
#include "train/config.h"
#include "train/pack.h"
#include "train/run_data.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *root;
static struct train_config config;
static struct pack_result result;
static struct simclr_error err;

static void setup(void)
{
    root = temp_folder();
    train_defaults(&config);
}
static void teardown(void) { temp_remove(root); }
TestSuite(pack, .init = setup, .fini = teardown, .timeout = 60);

static enum simclr_status pack_with(const char *isa, int threads, const char *name, image_report_fn *report, void *ctx)
{
    struct engine engine = {.kernels = isa_resolve(isa), .threads = threads};
    cr_assert_not_null(engine.kernels);
    return pack_run(&config, temp_path(root, "out/%s", name), &engine, report, ctx, &result, &err);
}

static void pack(const char *name)
{
    cr_assert_eq(pack_with("auto", 2, name, NULL, NULL), SIMCLR_OK, "%s", err.text);
}

static void data_is(const char *name)
{
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "%s", name));
}

/* photos/train/{cat,dog}: 12 pictures of several shapes, 05 broken; photos/val/{cat,dog}: 4, 02 broken. */
static void write_photos(void)
{
    for (int i = 0; i < 12; i++)
        write_gradient(temp_path(root, "photos/train/%s/%02d.bmp", i % 2 ? "dog" : "cat", i), 16 + i, i == 4 ? 48 : 20, (unsigned)i);
    for (int i = 0; i < 4; i++)
        write_gradient(temp_path(root, "photos/val/%s/%02d.bmp", i % 2 ? "dog" : "cat", i), 16, 16, (unsigned)(50 + i));
    temp_write(temp_path(root, "photos/train/dog/05.bmp"), "", 0);
    temp_write(temp_path(root, "photos/val/cat/02.bmp"), "BM", 2);
    data_is("photos");
}

static struct dataset *open_split(const char *name, enum dataset_split split)
{
    struct dataset *set;
    struct dataset_options options = {.channels = config.network.channels};
    cr_assert_eq(dataset_open(&set, name, split, &options, &err), SIMCLR_OK, "%s", err.text);
    return set;
}

static struct dataset *packed(const char *name, enum dataset_split split)
{
    return open_split(temp_path(root, "out/%s", name), split);
}

static void expect_labels(const struct dataset *set, size_t count, const int *labels)
{
    cr_assert_eq(dataset_size(set), count);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(dataset_label(set, i), labels[i], "image %zu", i);
}

static int files_in(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(temp_path(root, "%s", folder));
    cr_assert_not_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

Test(pack, a_folder_with_labels_and_a_test_split)
{
    write_photos();
    config.network.image_size = 16;
    pack("x.npy");
    cr_expect(result.images == 11 && result.test == 3 && result.labelled == 0 && result.broken == 2 && result.classes == 2);
    cr_expect(result.side == 16 && result.channels == 3);
    struct dataset *train = packed("x.npy", SPLIT_TRAIN), *test = packed("x.npy", SPLIT_TEST), *bank = packed("x.npy", SPLIT_LABELLED);
    expect_labels(train, 11, (int[]){0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1});
    expect_labels(bank, 11, (int[]){0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1});
    expect_labels(test, 3, (int[]){0, 1, 1});
    dataset_close(train);
    dataset_close(test);
    dataset_close(bank);
    cr_expect_eq(files_in("out"), 5, "images and labels twice, broken.txt");
    void *text;
    size_t size;
    cr_assert_eq(file_read(&text, &size, temp_path(root, "out/x.broken.txt"), 1 << 16, &err), SIMCLR_OK);
    cr_expect_str_eq(text, "dog/05.bmp: the file is empty\n"
                           "held out: cat/02.bmp: the BMP ends before its picture does: it is cut short, copy it again\n");
    free(text);
}

/* Each pixel is the evaluation's view of the picture, rounded; a picture of that size keeps its bytes. */
Test(pack, pixels_are_those_of_the_clean_view)
{
    enum { SIDE = 16, FLOATS = SIDE * SIDE * 3 };
    write_photos();
    config.network.image_size = SIDE;
    pack("x.npy");
    struct dataset *source = open_split(config.data, SPLIT_TRAIN), *train = packed("x.npy", SPLIT_TRAIN);
    struct dataset *test_source = open_split(config.data, SPLIT_TEST), *test = packed("x.npy", SPLIT_TEST);
    float view[FLOATS];
    for (size_t i = 0, at = 0; i < dataset_size(source); i++) {
        struct image image, got;
        if (dataset_read(source, i, &image, &err) != SIMCLR_OK)
            continue;
        void *scratch = aligned_alloc(64, (augment_scratch(image.h, image.w, 3, SIDE) + 63) / 64 * 64);
        augment_clean(isa_resolve("scalar"), view, &image, SIDE, scratch);
        free(scratch);
        cr_assert_eq(dataset_read(train, at++, &got, &err), SIMCLR_OK);
        cr_assert(got.h == SIDE && got.w == SIDE && got.c == 3);
        for (int p = 0; p < FLOATS; p++)
            cr_assert_float_eq(got.pixels[p], 255.0 * (double)view[p], 0.5001, "image %zu byte %d", i, p);
        image_release(&image);
        image_release(&got);
    }
    for (size_t i = 0; i < 3; i++) { /* 0, 1 and 3 of cat/00 cat/02 dog/01 dog/03 can be read */
        struct image image, got;
        cr_assert_eq(dataset_read(test_source, i == 0 ? 0 : i + 1, &image, &err), SIMCLR_OK);
        cr_assert_eq(dataset_read(test, i, &got, &err), SIMCLR_OK);
        cr_expect_arr_eq(got.pixels, image.pixels, FLOATS, "image %zu", i);
        image_release(&image);
        image_release(&got);
    }
    dataset_close(source);
    dataset_close(train);
    dataset_close(test_source);
    dataset_close(test);
}

static void *bytes_of(const char *name, size_t *size)
{
    void *data;
    cr_assert_eq(file_read(&data, size, temp_path(root, "out/%s", name), 1 << 26, &err), SIMCLR_OK, "%s", err.text);
    return data;
}

Test(pack, every_isa_and_thread_count_writes_the_same_bytes)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas), want_size, size;
    write_photos();
    config.network.image_size = 13; /* upwards, downwards, and no multiple of any vector */
    cr_assert_eq(pack_with("scalar", 1, "want.npy", NULL, NULL), SIMCLR_OK);
    char *want = bytes_of("want.npy", &want_size);
    for (size_t i = 0; i < count; i++)
        for (int threads = 1; threads <= 5; threads += 2) {
            char name[64];
            snprintf(name, sizeof name, "%s-%d.npy", isas[i]->name, threads);
            cr_assert_eq(pack_with(isas[i]->name, threads, name, NULL, NULL), SIMCLR_OK, "%s", err.text);
            char *got = bytes_of(name, &size);
            cr_expect(size == want_size && memcmp(got, want, size) == 0, "%s differs", name);
            free(got);
        }
    free(want);
}

Test(pack, size_channels_and_limit)
{
    write_photos();
    config.limit = 6;
    config.network.channels = 1;
    pack("grey.npy"); /* no size given: the first picture's shorter side */
    cr_expect(result.images == 5 && result.test == 3 && result.broken == 2 && result.side == 16 && result.channels == 1);
    size_t size;
    char *file = bytes_of("grey.npy", &size);
    cr_expect_eq(size, NPY_HEADER + 5 * 16 * 16);
    free(file);
    config = (struct train_config){0};
    train_defaults(&config); /* the generated set, whose pictures have no reason to change */
    config.limit = 30;
    pack("shapes.npy");
    cr_expect(result.images == 30 && result.test == 30 && result.classes == 10 && result.side == 32);
    struct dataset *source = NULL, *train = packed("shapes.npy", SPLIT_TRAIN);
    struct dataset_options options = {.limit = 30, .channels = 3};
    cr_assert_eq(dataset_open(&source, NULL, SPLIT_TRAIN, &options, &err), SIMCLR_OK);
    for (size_t i = 0; i < 30; i++) {
        struct image a, b;
        cr_assert(dataset_read(source, i, &a, &err) == SIMCLR_OK && dataset_read(train, i, &b, &err) == SIMCLR_OK);
        cr_expect_arr_eq(a.pixels, b.pixels, 32 * 32 * 3, "image %zu", i);
        cr_expect_eq(dataset_label(source, i), dataset_label(train, i));
        image_release(&a);
        image_release(&b);
    }
    dataset_close(source);
    dataset_close(train);
}

/* STL-10 trains on pictures without labels, beside which lie some with. */
Test(pack, unlabelled_pictures_keep_their_labelled_companion)
{
    enum { BYTES = 96 * 96 * 3 };
    uint8_t *planes = calloc(5, BYTES);
    for (int i = 0; i < 5; i++)
        memset(planes + i * BYTES, 10 * (i + 1), BYTES);
    temp_write(temp_path(root, "stl/unlabeled_X.bin"), planes, 5 * BYTES);
    temp_write(temp_path(root, "stl/train_X.bin"), planes + BYTES, 2 * BYTES);
    temp_write(temp_path(root, "stl/train_y.bin"), "\x03\x01", 2);
    temp_write(temp_path(root, "stl/test_X.bin"), planes, BYTES);
    temp_write(temp_path(root, "stl/test_y.bin"), "\x02", 1);
    free(planes);
    data_is("stl");
    config.network.image_size = 24;
    pack("s.npy");
    cr_expect(result.images == 5 && result.labelled == 2 && result.test == 1 && result.broken == 0);
    struct dataset *train = packed("s.npy", SPLIT_TRAIN), *bank = packed("s.npy", SPLIT_LABELLED), *test = packed("s.npy", SPLIT_TEST);
    cr_expect(dataset_size(train) == 5 && dataset_classes(train) == 0);
    expect_labels(bank, 2, (int[]){2, 0});
    expect_labels(test, 1, (int[]){1});
    struct image image;
    cr_assert_eq(dataset_read(bank, 1, &image, &err), SIMCLR_OK);
    cr_expect(image.h == 24 && image.pixels[0] == 30);
    image_release(&image);
    dataset_close(train);
    dataset_close(bank);
    dataset_close(test);
    cr_expect_eq(files_in("out"), 5);
}

static int stop_at(void *ctx, const struct image_progress *progress)
{
    return progress->done >= *(const size_t *)ctx;
}

Test(pack, stopped_it_leaves_nothing)
{
    write_photos();
    for (size_t at = 1; at <= 16; at += 5) {
        cr_expect_eq(pack_with("auto", 1, "x.npy", stop_at, &at), SIMCLR_ERR_CANCELLED);
        cr_expect_not_null(strstr(err.text, "of 16 images; nothing was written"), "%s", err.text);
        cr_expect_eq(files_in("out"), 0);
    }
}

static int put_in_the_way(void *ctx, const struct image_progress *progress)
{
    (void)progress;
    mkdir(ctx, 0777); /* no file can be renamed to a folder's name */
    return 0;
}

Test(pack, failing_at_the_last_file_it_leaves_nothing)
{
    char path[4096];
    write_photos();
    snprintf(path, sizeof path, "%s", temp_path(root, "out/x.npy"));
    cr_expect_eq(pack_with("auto", 1, "x.npy", put_in_the_way, path), SIMCLR_ERR_IO);
    cr_expect_not_null(strstr(err.text, "x.npy"), "%s", err.text);
    cr_expect_eq(files_in("out"), 1, "what was put in the way");
}

static void expect_refusal(const char *name, const char *part)
{
    cr_expect_eq(pack_with("auto", 1, name, NULL, NULL), SIMCLR_ERR_USAGE, "%s", name);
    cr_expect_not_null(strstr(err.text, part), "expected \"%s\" in: %s", part, err.text);
}

/* What the first pack does halfway. */
static int begin_a_second(void *ctx, const struct image_progress *progress)
{
    struct engine engine = {.kernels = isa_resolve("scalar"), .threads = 1};
    struct pack_result second;
    struct simclr_error why;
    if (!access(temp_path(root, "out/new/x.npy.tmp"), F_OK) && progress->done < progress->total) {
        struct stat before, after;
        cr_assert_eq(stat(temp_path(root, "out/new/x.npy.tmp"), &before), 0);
        cr_expect_eq(pack_run(&config, ctx, &engine, NULL, NULL, &second, &why), SIMCLR_ERR_IO);
        cr_expect_not_null(strstr(why.text, "another process is writing it"), "%s", why.text);
        cr_expect(stat(temp_path(root, "out/new/x.npy.tmp"), &after) == 0 && after.st_size == before.st_size, "left as it was");
    }
    return 0;
}

Test(pack, two_to_one_name_do_not_meet)
{
    char path[4096];
    write_photos();
    config.network.image_size = 64;
    snprintf(path, sizeof path, "%s", temp_path(root, "out/new/x.npy")); /* a folder that is not there yet */
    cr_assert(access(temp_path(root, "out/new/"), F_OK) || rmdir(temp_path(root, "out/new")) == 0);
    cr_expect_eq(pack_with("auto", 1, "new/x.npy", begin_a_second, path), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(access(path, F_OK), 0);
    cr_expect_eq(access(temp_path(root, "out/new/x.test.npy"), F_OK), 0);
}

Test(pack, refusals)
{
    write_photos();
    pack("x.npy");
    expect_refusal("x.npy", "is there already");
    cr_assert(unlink(temp_path(root, "out/x.npy")) == 0 && unlink(temp_path(root, "out/x.broken.txt")) == 0);
    expect_refusal("x.npy", "x.labels.npy is there already"); /* it would be taken for the new set's */
    expect_refusal("x", "ends in .npy");
    expect_refusal(".npy", "ends in .npy");
    for (int i = 0; i < 12; i++)
        temp_write(temp_path(root, "broken/%d.png", i), "x", 1);
    data_is("broken");
    config.network.image_size = 16;
    cr_expect_eq(pack_with("auto", 1, "y.npy", NULL, NULL), SIMCLR_ERR_FORMAT);
    cr_expect_not_null(strstr(err.text, "none of the 12 images can be read"), "%s", err.text);
    cr_expect_eq(access(temp_path(root, "out/y.npy.tmp"), F_OK), -1);
}

static void write_npy(const char *name, size_t images, const int64_t *labels)
{
    char file[NPY_HEADER + 4 * 8 * 8 * 3] = "";
    npy_header(file, "|u1", (size_t[]){images, 8, 8, 3}, 4);
    temp_write(temp_path(root, "%s.npy", name), file, NPY_HEADER + images * 8 * 8 * 3);
    npy_header(file, "<i8", &images, 1);
    memcpy(file + NPY_HEADER, labels, images * sizeof *labels);
    temp_write(temp_path(root, "%s.labels.npy", name), file, NPY_HEADER + images * sizeof *labels);
}

/* A small part of a set may lack classes that its test split has. */
Test(pack, classes_are_those_of_both_splits)
{
    write_npy("x", 4, (const int64_t[]){0, 1, 2, 1});
    write_npy("x.test", 2, (const int64_t[]){6, 0});
    struct run_data data = {0};
    struct dataset_options options = {.channels = 3};
    cr_assert_eq(run_data_sets(&data, temp_path(root, "x.npy"), &options, true, &err), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(data.classes, 7, "%d", data.classes);
    run_data_close(&data);
}

Test(pack, npy_headers_are_numpys)
{
    char header[NPY_HEADER + 1] = "";
    npy_header(header, "<i8", (size_t[]){7}, 1);
    cr_expect_arr_eq(header, "\x93NUMPY\x01\x00\x76\x00{'descr': '<i8', 'fortran_order': False, 'shape': (7,), }  ", 69);
    cr_expect(header[NPY_HEADER - 1] == '\n' && strspn(header + 67, " ") == NPY_HEADER - 68);
    npy_header(header, "|u1", (size_t[]){99999999999999, 99999999999999, 99999999999999, 99999999999999}, 4);
    cr_expect_str_eq(header + 10, "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999, 99999999999999, 99999999999999, "
                                  "99999999999999), }\n");
}
