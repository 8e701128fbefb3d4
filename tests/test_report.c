/* The page about a run and the sheet of views, through the program. */
#include "data/decode.h"
#include "io/file.h"
#include "tests/harness.h"
#include "tests/program.h"
#include "tests/temp_files.h"

#include <stdlib.h>
#include <string.h>

TestSuite(report, .timeout = 120);

static struct simclr_error err;

static char *text_of(const char *path, size_t *size)
{
    void *data;
    cr_assert_eq(file_read(&data, size, path, 64 << 20, &err), SIMCLR_OK, "%s", err.text);
    return data;
}

static void make_pictures(void)
{
    for (int i = 0; i < 5; i++)
        write_gradient(temp_path(".", "pictures/%c.bmp", 'a' + i), 16 + i, 20, (unsigned)i);
    write_gradient("pictures/<b>b.bmp", 17, 20, 9);
}

Test(report, the_page_has_the_figures_and_is_the_same_for_every_thread_count)
{
    if (!have_program())
        return;
    make_pictures();
    cr_assert_eq(run("train -o run " TINY " --epochs 2"), 0, "%s", output);
    cr_assert_eq(run("report run pictures -o a.html --threads 1 --isa scalar"), 0, "%s", output);
    cr_assert_eq(run("report run pictures -o b.html --threads 3 --batch-size 2"), 0, "%s", output);
    size_t size, other;
    char *a = text_of("a.html", &size), *b = text_of("b.html", &other);
    char *end_a = strstr(a, "<section id=\"machine\">"), *end_b = strstr(b, "<section id=\"machine\">");
    cr_assert(end_a && end_b);
    cr_expect(end_a - a == end_b - b && memcmp(a, b, (size_t)(end_a - a)) == 0);
    cr_expect_not_null(strstr(a, "&lt;b&gt;b.bmp"));
    cr_expect_null(strstr(a, "<b>b.bmp"));
    cr_expect_null(strstr(a, "http"), "it needs nothing else");
    cr_expect(strstr(a, "t-SNE: every image") && strstr(a, "PCA: every image") && strstr(a, "PCA: a picture for each spot"));
    cr_expect_not_null(strstr(a, " %</text>"), "shares are per cent");
    cr_expect_not_null(strstr(a, "<dt>of the peak of FMAs</dt>"));
    cr_expect_not_null(strstr(a, "<dt>loss</dt>"));
    cr_expect_not_null(strstr(a, "<title>epoch 2: "));
    cr_expect_not_null(strstr(a, "<dt>temperature</dt><dd>"));
    expect_refusal("report run pictures -o a.html", 2, "a.html is there already");
    expect_refusal("report", 2, "name the folder of a run");
    free(a);
    free(b);
    leave_program();
}

Test(report, the_sheet_of_views_is_a_picture_and_the_same_everywhere)
{
    if (!have_program())
        return;
    make_pictures();
    cr_assert_eq(run("preview pictures -o a.png --image-size 32 --images 3 --views 2 --isa scalar --threads 1"), 0, "%s", output);
    cr_assert_eq(run("preview pictures -o b.png --image-size 32 --images 3 --views 2 --threads 3"), 0, "%s", output);
    cr_expect(same_files("a.png", "b.png"));
    size_t size;
    struct image image;
    char *file = text_of("a.png", &size);
    cr_assert_eq(image_decode(&image, (const uint8_t *)file, size, 1000000, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(image.w == 6 + 3 * (96 + 6) + 12 && image.h == 6 + 3 * (96 + 6) && image.c == 3, "%d x %d", image.w, image.h);
    for (int x = 6; x < 6 + 96; x++) { /* a whole image of 17 x 20 pixels: 28 x 32, three times as large, in the middle of its square */
        const uint8_t *pixel = image.pixels + ((6 + 48) * image.w + x) * 3;
        bool white = pixel[0] == 255 && pixel[1] == 255 && pixel[2] == 255;
        cr_expect(white == (x < 6 + 6 || x >= 6 + 6 + 84), "column %d", x);
    }
    image_release(&image);
    free(file);
    expect_refusal("preview pictures", 2, "name the picture to write: -o SHEET.png");
    expect_refusal("preview pictures -o a.png", 2, "a.png is there already");
    leave_program();
}
