/* Data sets recognised by looking: each format of records, its splits and labels, and what is wrong with it. */
#include "tests/set_checks.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *root;
static void setup(void) { root = temp_folder(); }
static void teardown(void) { temp_remove(root); }
TestSuite(dataset, .init = setup, .fini = teardown);

/* count records of `header` label bytes (the last is label(i)) and planes whose red is i, green x, blue y. */
static void write_cifar(const char *path, int count, int header, int first_label, size_t cut)
{
    size_t record = (size_t)header + 3072;
    uint8_t *data = calloc((size_t)count, record);
    for (int i = 0; i < count; i++) {
        uint8_t *p = data + (size_t)i * record;
        p[header - 1] = (uint8_t)(first_label + i);
        for (int at = 0; at < 1024; at++) {
            p[header + at] = (uint8_t)i;
            p[header + 1024 + at] = (uint8_t)(at % 32);
            p[header + 2048 + at] = (uint8_t)(at / 32);
        }
    }
    temp_write(path, data, (size_t)count * record - cut);
    free(data);
}

Test(dataset, cifar10_in_its_folder_or_the_archives)
{
    const char *places[] = {"flat", "above/cifar-10-batches-bin"};
    for (int i = 0; i < 2; i++) {
        write_cifar(temp_path(root, "%s/data_batch_2.bin", places[i]), 2, 1, 7, 0);
        write_cifar(temp_path(root, "%s/data_batch_1.bin", places[i]), 3, 1, 0, 0);
        write_cifar(temp_path(root, "%s/test_batch.bin", places[i]), 1, 1, 5, 0);
        const char *path = temp_path(root, i ? "above" : "flat");
        struct dataset *train = open_set(path, SPLIT_TRAIN), *test = open_set(path, SPLIT_TEST);
        cr_expect_str_eq(dataset_kind(train), "CIFAR-10 binary");
        cr_expect(dataset_is_raw(train) && dataset_classes(train) == 10);
        expect_labels(train, 5, (int[]){0, 1, 2, 7, 8});
        expect_labels(test, 1, (int[]){5});
        expect_name(train, 4, "#4");
        expect_pixel(train, 2, 31, 4, 2, 31, 4);
        expect_pixel(train, 4, 1, 30, 1, 1, 30);
        dataset_close(train);
        dataset_close(test);
    }
}

static void expect_class(const struct dataset *set, int class, const char *name)
{
    char text[64];
    cr_expect_str_eq(dataset_class_name(set, class, text, sizeof text), name);
}

Test(dataset, classes_have_the_names_that_lie_beside_them)
{
    static const char *const texts[] = {"a\nb b\r\nc\nd\ne\nf\ng\nh\ni\nj\n\n", "a\nb\n"};
    for (int i = 0; i < 3; i++) {
        write_cifar(temp_path(root, "cifar/data_batch_1.bin"), 3, 1, 0, 0);
        if (i > 0)
            temp_write(temp_path(root, "cifar/batches.meta.txt"), texts[i - 1], strlen(texts[i - 1]));
        struct dataset *set = open_set(temp_path(root, "cifar"), SPLIT_TRAIN);
        expect_class(set, 1, i == 1 ? "b b" : "1"); /* too few names: numbers */
        expect_class(set, 9, i == 1 ? "j" : "9");
        dataset_close(set);
    }
    for (int i = 0; i < 4; i++)
        write_gradient(temp_path(root, "photos/%s/%d.bmp", i % 2 ? "dog" : "c\nat", i), 8, 8, 1);
    struct dataset *set = open_set(temp_path(root, "photos"), SPLIT_TRAIN);
    expect_class(set, 0, "c\\x0aat");
    expect_class(set, 1, "dog");
    expect_class(set, 2, "2");
    dataset_close(set);
    set = open_set(NULL, SPLIT_TRAIN);
    expect_class(set, 0, "disc");
    dataset_close(set);
}

Test(dataset, cifar100_uses_fine_labels)
{
    write_cifar(temp_path(root, "train.bin"), 3, 2, 97, 0);
    write_cifar(temp_path(root, "test.bin"), 1, 2, 40, 0);
    struct dataset *train = open_set(root, SPLIT_TRAIN), *test = open_set(root, SPLIT_TEST);
    cr_expect_str_eq(dataset_kind(train), "CIFAR-100 binary");
    expect_labels(train, 3, (int[]){97, 98, 99});
    expect_labels(test, 1, (int[]){40});
    expect_pixel(train, 1, 3, 9, 1, 3, 9);
    dataset_close(train);
    dataset_close(test);
    struct dataset *one = open_set(temp_path(root, "train.bin"), SPLIT_TRAIN);
    cr_expect_str_eq(dataset_kind(one), "CIFAR-100 binary");
    dataset_close(one);
}

Test(dataset, cifar_errors)
{
    write_cifar(temp_path(root, "a.bin"), 2, 1, 0, 1000);
    expect_error(temp_path(root, "a.bin"), SPLIT_TRAIN, "a.bin has 5146 bytes", "download it again");
    temp_write(temp_path(root, "b.bin"), "", 0);
    expect_error(temp_path(root, "b.bin"), SPLIT_TRAIN, "b.bin is empty", "again");
    write_cifar(temp_path(root, "c.bin"), 2, 1, 9, 0);
    expect_error(temp_path(root, "c.bin"), SPLIT_TRAIN, "record 1 has label 10", "download");
    write_cifar(temp_path(root, "d/test_batch.bin"), 2, 1, 0, 0);
    expect_error(temp_path(root, "d"), SPLIT_TRAIN, "data_batch_*.bin", "download");
    write_cifar(temp_path(root, "e/data_batch_1.bin"), 2, 1, 0, 1);
    expect_error(temp_path(root, "e"), SPLIT_TRAIN, "data_batch_1.bin has 6145 bytes", "3073");
}

Test(dataset, file_that_shrinks_is_an_error)
{
    const char *path = temp_path(root, "a.bin");
    write_cifar(path, 10, 1, 0, 0);
    struct dataset *set = open_set(path, SPLIT_TRAIN);
    cr_assert_eq(truncate(path, 5000), 0);
    struct image image;
    struct simclr_error err = {""};
    cr_expect_eq(dataset_read(set, 0, &image, &err), SIMCLR_OK);
    image_release(&image);
    cr_expect_eq(dataset_read(set, 5, &image, &err), SIMCLR_ERR_IO);
    cr_expect_not_null(strstr(err.text, "shorter"));
    dataset_close(set);
}

/* STL-10 */

/* Red is the image's number, green x, blue y; planes column by column. */
static void write_stl(const char *path, int first, int count)
{
    size_t plane = 96 * 96;
    uint8_t *data = malloc(3 * plane * (size_t)count);
    for (int i = 0; i < count; i++)
        for (int x = 0; x < 96; x++)
            for (int y = 0; y < 96; y++) {
                uint8_t *p = data + 3 * plane * (size_t)i + (size_t)(x * 96 + y);
                p[0] = (uint8_t)(first + i);
                p[plane] = (uint8_t)x;
                p[2 * plane] = (uint8_t)y;
            }
    temp_write(path, data, 3 * plane * (size_t)count);
    free(data);
}

Test(dataset, stl10_trains_on_what_has_no_labels)
{
    const char *place = "stl10_binary";
    write_stl(temp_path(root, "%s/unlabeled_X.bin", place), 0, 3);
    write_stl(temp_path(root, "%s/train_X.bin", place), 10, 2);
    write_stl(temp_path(root, "%s/test_X.bin", place), 20, 2);
    temp_write(temp_path(root, "%s/train_y.bin", place), "\x0a\x01", 2);
    temp_write(temp_path(root, "%s/test_y.bin", place), "\x02\x03", 2);
    const char *paths[] = {root, temp_path(root, "stl10_binary")};
    for (int i = 0; i < 2; i++) {
        struct dataset *train = open_set(paths[i], SPLIT_TRAIN), *bank = open_set(paths[i], SPLIT_LABELLED);
        struct dataset *test = open_set(paths[i], SPLIT_TEST);
        cr_expect_str_eq(dataset_kind(train), "STL-10 binary");
        cr_expect_eq(dataset_classes(train), 0);
        expect_labels(train, 3, (int[]){-1, -1, -1});
        expect_labels(bank, 2, (int[]){9, 0});
        expect_labels(test, 2, (int[]){1, 2});
        expect_pixel(train, 2, 90, 4, 2, 90, 4);
        expect_pixel(bank, 1, 3, 95, 11, 3, 95);
        dataset_close(train);
        dataset_close(bank);
        dataset_close(test);
    }
    temp_write(temp_path(root, "%s/train_y.bin", place), "\x0a", 1);
    expect_error(root, SPLIT_LABELLED, "1 labels for 2 images", "download");
    temp_write(temp_path(root, "%s/train_y.bin", place), "\x0b\x01", 2);
    expect_error(root, SPLIT_LABELLED, "label 11", "download");
    cr_assert_eq(remove(temp_path(root, "%s/unlabeled_X.bin", place)), 0);
    cr_assert_eq(remove(temp_path(root, "%s/train_y.bin", place)), 0);
    struct dataset *train = open_set(root, SPLIT_TRAIN);
    cr_expect(dataset_size(train) == 2 && dataset_classes(train) == 0);
    dataset_close(train);
    expect_error(temp_path(root, "%s/train_X.bin", place), SPLIT_TRAIN, "one file of STL-10", "folder");
}

/* .npy */

static void write_npy(const char *path, const char *dict, const void *data, size_t size)
{
    uint8_t file[8192] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    size_t length = strlen(dict);
    file[8] = (uint8_t)length;
    file[9] = (uint8_t)(length >> 8);
    memcpy(file + 10, dict, length);
    memcpy(file + 10 + length, data, size);
    temp_write(path, file, 10 + length + size);
}

Test(dataset, npy_of_colour_grey_and_alpha)
{
    uint8_t data[48];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    const char *path = temp_path(root, "x.npy");
    write_npy(path, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 4, 3), }\n", data, 48);
    struct dataset *set = open_set(path, SPLIT_TRAIN);
    cr_expect(dataset_size(set) == 2 && dataset_classes(set) == 0 && dataset_is_raw(set));
    expect_pixel(set, 1, 3, 1, 45, 46, 47);
    dataset_close(set);
    cr_expect_null(open_set(path, SPLIT_TEST));
    write_npy(path, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4, 6), }\n", data, 48);
    set = open_set(path, SPLIT_TRAIN);
    expect_pixel(set, 1, 5, 3, 47, 47, 47);
    dataset_close(set);
    write_npy(path, "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2, 4), }\n", data, 48);
    set = open_set(path, SPLIT_TRAIN);
    expect_pixel(set, 2, 1, 1, 44, 45, 46);
    dataset_close(set);
}

Test(dataset, npy_labels_lie_beside)
{
    const char *path = temp_path(root, "x.npy"), *labels = temp_path(root, "x.labels.npy");
    write_npy(path, "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 1, 1, 1), }\n", "abc", 3);
    const int64_t wide[3] = {2, -1, 0};
    write_npy(labels, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n", wide, sizeof wide);
    struct dataset *set = open_set(path, SPLIT_TRAIN);
    cr_expect_eq(dataset_classes(set), 3);
    expect_labels(set, 3, (int[]){2, -1, 0});
    dataset_close(set);
    write_npy(labels, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n", "\310\0\1", 3);
    set = open_set(path, SPLIT_TRAIN);
    expect_labels(set, 3, (int[]){200, 0, 1});
    dataset_close(set);
    write_npy(labels, "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n", "\1\2", 2);
    expect_error(path, SPLIT_TRAIN, "x.labels.npy", "list of 3 labels");
    write_npy(labels, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n", wide, 12);
    expect_error(path, SPLIT_TRAIN, "<f4", "integers");
    write_npy(labels, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n", wide, sizeof wide - 1);
    expect_error(path, SPLIT_TRAIN, "x.labels.npy is cut short", "again");
    const int32_t large[3] = {0, 2000000000, 0};
    write_npy(labels, "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }\n", large, sizeof large);
    expect_error(path, SPLIT_TRAIN, "label 2000000000", "number classes");
}

Test(dataset, npy_errors)
{
    const struct {
        const char *dict, *part, *other;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 2, 3), }", "<f4", "(floats of 0 to 1: times 255)"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "Python objects", "numpy.stack"},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (1, 2, 2, 3), }", "Fortran", "ascontiguousarray"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (12,), }", "1 dimensions", "(N, H, W, C)"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 2, 2), }", "(1, 3, 2, 2)", "transpose"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 2, 2, 3), }", "no image", "x.npy"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (5, 2, 2, 3), }", "cut short", "again"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (4294967295, 60000, 1600, 3), }", "cut short", "again"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (4611686018427387904, 4, 4, 3), }", "has 4611686018427387904 images", "at most"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 70000, 70000, 3), }", "sides", "65536"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 60000, 60000, 3), }", "images of 60000 x 60000", "--max-pixels 100000000"},
        {"{'descr': '|u1', 'shape': (1, 2, 2, 3), }", "without 'fortran_order'", "numpy.save"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, -2, 2, 3), }", "shape (1, -2, 2, 3), which is none", "numpy.save"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999, 2, 2, 3), }", "which is none", "numpy.save"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': [1, 2, 2, 3], }", "which is none", "numpy.save"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1, 2, 2, 3), }", "holds Python objects", "numpy.stack"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2, 2, 3), }", "items of type >f4", "astype"},
        {"{'descr': '\x1b[2J', 'fortran_order': False, 'shape': (1, 2, 2, 3), }", "items of type \\x1b[2J", "astype"},
        {"{'descr': [('a', '<u1')], 'fortran_order': False, 'shape': (1, 2, 2, 3), }", "a structure", "astype"},
    };
    const char *path = temp_path(root, "x.npy");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_npy(path, cases[i].dict, "0123456789ab", 12);
        expect_error(path, SPLIT_TRAIN, cases[i].part, cases[i].other);
    }
    temp_write(path, "\x93NUM", 4);
    expect_error(path, SPLIT_TRAIN, "x.npy", "not a .npy file");
    temp_write(path, "\x93NUMPY\x04\x00\x00\x00", 10);
    expect_error(path, SPLIT_TRAIN, "x.npy has .npy format 4", "numpy.save");
    temp_write(path, "\x93NUMPY\x01\x00\xff\xff", 10);
    expect_error(path, SPLIT_TRAIN, "x.npy is cut short", "again");
    temp_write(path, "\x93NUMPY\x02\x00\xff\xff\xff\xff", 12);
    expect_error(path, SPLIT_TRAIN, "header of 4294967295 bytes", "numpy.save");
    temp_write(path, "", 0);
    expect_error(path, SPLIT_TRAIN, "x.npy is empty", "again");
}

/* Built in, and real */

Test(dataset, generated_set)
{
    struct dataset *train = open_set(NULL, SPLIT_TRAIN), *test = open_set(NULL, SPLIT_TEST);
    cr_expect(dataset_size(train) == 4000 && dataset_size(test) == 1000 && dataset_classes(train) == 10);
    cr_expect_neq(dataset_fingerprint(train), dataset_fingerprint(test));
    int counts[10] = {0};
    for (size_t i = 0; i < 4000; i++)
        counts[dataset_label(train, i)]++;
    for (int c = 0; c < 10; c++)
        cr_expect_eq(counts[c], 400);
    struct image image;
    cr_assert_eq(dataset_read(test, 999, &image, NULL), SIMCLR_OK);
    cr_expect(image.w == 32 && image.h == 32 && image.c == 3);
    image_release(&image);
    dataset_close(train);
    dataset_close(test);
    const size_t limits[] = {40, 100, 400, 1000, 1999}; /* classes take turns in this set: a fixed stride would meet only some */
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct dataset *part = open_with(NULL, SPLIT_TRAIN, &(struct dataset_options){.limit = limits[i], .channels = 3});
        int of[10] = {0};
        for (size_t j = 0; j < limits[i]; j++)
            of[dataset_label(part, j)]++;
        for (int c = 0; c < 10; c++)
            cr_expect(of[c] >= (int)limits[i] / 20, "%d of %zu pictures are of class %d", of[c], limits[i], c);
        dataset_close(part);
    }
}

Test(dataset, real_cifar10)
{
    const char *path = "../shared/data/cifar10";
    if (access(path, R_OK))
        cr_skip("no CIFAR-10 at %s", path);
    struct dataset *train = open_set(path, SPLIT_TRAIN), *test = open_set(path, SPLIT_TEST);
    cr_expect(dataset_size(train) == 50000 && dataset_size(test) == 10000);
    int counts[10] = {0};
    for (size_t i = 0; i < 50000; i++)
        counts[dataset_label(train, i)]++;
    for (int c = 0; c < 10; c++)
        cr_expect_eq(counts[c], 5000);
    cr_expect(dataset_label(train, 0) == 6 && dataset_label(test, 0) == 3); /* a frog, a cat */
    expect_pixel(train, 0, 0, 0, 59, 62, 63);
    dataset_close(train);
    dataset_close(test);
}

Test(dataset, real_photographs)
{
    const char *path = "../shared/data/imagenette-mini/train";
    if (access(path, R_OK))
        cr_skip("no photographs at %s", path);
    struct dataset_options some = {.limit = 60, .channels = 3};
    struct dataset *train = open_with(path, SPLIT_TRAIN, &some), *test = open_with(path, SPLIT_TEST, &some);
    cr_expect(dataset_classes(train) == 10 && dataset_size(train) == 60);
    cr_assert_not_null(test);
    for (size_t i = 0; i < 60; i++) {
        struct image image;
        struct simclr_error err = {""};
        cr_expect_eq(dataset_label(train, i), (int)(i / 6)); /* 200 a class, evenly spread */
        cr_assert_eq(dataset_read(train, i, &image, &err), SIMCLR_OK, "%s", err.text);
        cr_expect(image.w == 224 && image.h == 224);
        image_release(&image);
    }
    dataset_close(train);
    dataset_close(test);
}
