#include "tests/set_checks.h"

#include <criterion/criterion.h>
#include <string.h>

const struct dataset_options colour = {.channels = 3};

struct dataset *open_with(const char *path, enum dataset_split split, const struct dataset_options *options)
{
    struct dataset *set;
    struct simclr_error err = {""};
    cr_assert_eq(dataset_open(&set, path, split, options, &err), SIMCLR_OK, "%s", err.text);
    return set;
}

struct dataset *open_set(const char *path, enum dataset_split split)
{
    return open_with(path, split, &colour);
}

void expect_error(const char *path, enum dataset_split split, const char *part, const char *other)
{
    struct dataset *set;
    struct simclr_error err = {""};
    cr_expect_neq(dataset_open(&set, path, split, &colour, &err), SIMCLR_OK);
    cr_expect_null(set);
    cr_expect(strstr(err.text, part) && strstr(err.text, other), "\"%s\" does not say \"%s\" and \"%s\"", err.text, part, other);
}

void expect_name(const struct dataset *set, size_t index, const char *name)
{
    char text[256];
    cr_expect_str_eq(dataset_item_name(set, index, text, sizeof text), name);
}

void expect_pixel(const struct dataset *set, size_t index, int x, int y, int r, int g, int b)
{
    struct image image;
    struct simclr_error err = {""};
    cr_assert_eq(dataset_read(set, index, &image, &err), SIMCLR_OK, "%s", err.text);
    cr_assert(image.c == 3 && x < image.w && y < image.h);
    const uint8_t *p = image.pixels + (y * image.w + x) * 3;
    cr_expect(p[0] == r && p[1] == g && p[2] == b, "image %zu at %d, %d: %d %d %d, not %d %d %d", index, x, y, p[0], p[1], p[2], r, g, b);
    image_release(&image);
}

void expect_labels(const struct dataset *set, size_t count, const int *labels)
{
    cr_assert_eq(dataset_size(set), count);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(dataset_label(set, i), labels[i], "label %zu is %d", i, dataset_label(set, i));
}
