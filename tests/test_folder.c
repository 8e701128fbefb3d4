/* Folders of images: their order, labels and splits, and what is wrong with them. */
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
TestSuite(folder, .init = setup, .fini = teardown);

Test(folder, files_in_bytewise_order)
{
    write_flat(temp_path(root, "b.BMP"), 4, 3, 1, 2, 3);
    write_flat(temp_path(root, "a/z.bmp"), 5, 3, 4, 5, 6);
    write_flat(temp_path(root, "a-b.bmp"), 4, 3, 7, 8, 9);
    write_flat(temp_path(root, ".hidden.bmp"), 4, 3, 0, 0, 0);
    write_flat(temp_path(root, ".git/x.bmp"), 4, 3, 0, 0, 0);
    temp_write(temp_path(root, "notes.txt"), "x", 1);
    cr_assert_eq(symlink("..", temp_path(root, "a/loop")), 0);
    struct dataset *set = open_set(root, SPLIT_TRAIN);
    cr_assert_eq(dataset_size(set), 3);
    expect_name(set, 0, "a-b.bmp");
    expect_name(set, 1, "a/z.bmp");
    expect_name(set, 2, "b.BMP");
    expect_pixel(set, 1, 4, 2, 4, 5, 6);
    cr_expect_eq(dataset_classes(set), 0); /* b.BMP lies in no subfolder */
    cr_expect_eq(dataset_label(set, 0), -1);
    cr_expect_not(dataset_is_raw(set));
    dataset_close(set);
    cr_expect_null(open_set(root, SPLIT_TEST));
}

Test(folder, class_subfolders_label)
{
    const char *names[] = {"a/1.bmp", "a/deep/2.bmp", "a-b/1.bmp", "c/1.bmp"}; /* "a-b/" sorts before "a/" */
    for (int i = 0; i < 4; i++)
        write_flat(temp_path(root, "%s", names[i]), 2, 2, i, i, i);
    struct dataset *set = open_set(root, SPLIT_TRAIN);
    expect_name(set, 0, "a-b/1.bmp");
    cr_expect_eq(dataset_classes(set), 3);
    expect_labels(set, 4, (int[]){1, 0, 0, 2});
    dataset_close(set);
}

Test(folder, one_subfolder_is_no_label)
{
    write_flat(temp_path(root, "only/1.bmp"), 2, 2, 0, 0, 0);
    struct dataset *set = open_set(root, SPLIT_TRAIN);
    cr_expect_eq(dataset_classes(set), 0);
    dataset_close(set);
}

Test(folder, train_and_val_inside_or_beside)
{
    const char *names[] = {"train/cat/1.bmp", "train/dog/1.bmp", "val/dog/1.bmp", "val/emu/1.bmp", "val/cat/1.bmp", "test/cat/9.bmp"};
    for (int i = 0; i < 6; i++)
        write_flat(temp_path(root, "%s", names[i]), 2, 2, i, i, i);
    const char *paths[] = {temp_path(root, "train"), temp_path(root, "train/"), root};
    for (int i = 0; i < 3; i++) {
        struct dataset *train = open_set(paths[i], SPLIT_TRAIN), *test = open_set(paths[i], SPLIT_TEST);
        struct dataset *labelled = open_set(paths[i], SPLIT_LABELLED);
        expect_labels(train, 2, (int[]){0, 1});
        cr_expect_eq(dataset_fingerprint(train), dataset_fingerprint(labelled));
        cr_assert_not_null(test);
        expect_name(test, 0, "cat/1.bmp");
        cr_expect_eq(dataset_classes(test), 2);
        expect_labels(test, 3, (int[]){0, 1, -1}); /* by name; emus were not trained on */
        dataset_close(train);
        dataset_close(test);
        dataset_close(labelled);
    }
}

Test(folder, broken_files_are_named)
{
    uint8_t rgb[16 * 16 * 3];
    paint_gradient(rgb, 16, 16, 1);
    struct file_bytes jpeg = encode_jpeg(rgb, 16, 16, 3);
    temp_write(temp_path(root, "cut.jpg"), jpeg.data, jpeg.size / 2);
    temp_write(temp_path(root, "empty.png"), "", 0);
    temp_write(temp_path(root, "good.jpeg"), jpeg.data, jpeg.size);
    temp_write(temp_path(root, "text.jpg"), "hello", 5);
    cr_assert_eq(symlink("nowhere", temp_path(root, "dangling.jpg")), 0);
    free(jpeg.data);
    const char *errors[] = {"cut.jpg: the JPEG ends before its picture does: it is cut short, copy it again",
                            "dangling.jpg: No such file or directory", "empty.png: the file is empty", NULL,
                            "text.jpg: not a JPEG, PNG or BMP file, whatever its name says"};
    struct dataset *set = open_set(root, SPLIT_TRAIN);
    cr_assert_eq(dataset_size(set), 5);
    for (size_t i = 0; i < 5; i++) {
        struct image image;
        struct simclr_error err = {""};
        enum simclr_status status = dataset_read(set, i, &image, &err);
        cr_expect_eq(status == SIMCLR_OK, errors[i] == NULL);
        if (errors[i])
            cr_expect_str_eq(err.text, errors[i]);
        image_release(&image);
    }
    dataset_close(set);
}

Test(folder, no_image_is_an_error)
{
    temp_write(temp_path(root, "sub/readme.txt"), "x", 1);
    expect_error(root, SPLIT_TRAIN, "no image", "name a folder");
    expect_error(temp_path(root, "absent"), SPLIT_TRAIN, "absent", "No such file");
    expect_error(temp_path(root, "sub/readme.txt"), SPLIT_TRAIN, "readme.txt", "not a data set");
    temp_write(temp_path(root, "data_batch_1"), "x", 1);
    expect_error(root, SPLIT_TRAIN, "Python version", "binary");
}

Test(folder, channels_and_limit)
{
    for (int i = 0; i < 10; i++)
        write_flat(temp_path(root, "%d.bmp", i), 2, 2, 10 * i, 10 * i, 10 * i);
    struct dataset *set = open_with(root, SPLIT_TRAIN, &(struct dataset_options){.limit = 3, .channels = 1});
    cr_assert_eq(dataset_size(set), 3);
    const char *names[] = {"0.bmp", "4.bmp", "6.bmp"}; /* one of each third */
    for (size_t i = 0; i < 3; i++) {
        struct image image;
        expect_name(set, i, names[i]);
        cr_assert_eq(dataset_read(set, i, &image, NULL), SIMCLR_OK);
        cr_expect(image.c == 1 && image.pixels[3] == (i ? 20 + 20 * i : 0));
        image_release(&image);
    }
    struct image image;
    cr_expect_eq(dataset_read(set, 3, &image, NULL), SIMCLR_ERR_USAGE);
    dataset_close(set);
    struct dataset *none;
    cr_expect_eq(dataset_open(&none, root, SPLIT_TRAIN, &(struct dataset_options){.channels = 2}, NULL), SIMCLR_ERR_USAGE);
}

Test(folder, fingerprint_is_of_content_not_place)
{
    const char *folders[] = {"one", "two", "three"};
    uint64_t prints[4];
    for (int i = 0; i < 3; i++) {
        write_flat(temp_path(root, "%s/a.bmp", folders[i]), 4, 4, 1, 1, 1);
        write_flat(temp_path(root, "%s/%s.bmp", folders[i], i == 2 ? "c" : "b"), 4, 4, 1, 1, 1);
        struct dataset *set = open_set(temp_path(root, "%s", folders[i]), SPLIT_TRAIN);
        prints[i] = dataset_fingerprint(set);
        dataset_close(set);
    }
    struct dataset *limited = open_with(temp_path(root, "one"), SPLIT_TRAIN, &(struct dataset_options){.limit = 1, .channels = 3});
    prints[3] = dataset_fingerprint(limited);
    dataset_close(limited);
    cr_expect(prints[0] == prints[1] && prints[0] != prints[2] && prints[0] != prints[3]);
}

/* CIFAR */
