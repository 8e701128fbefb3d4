/* Neighbours and near-duplicates: right by brute force on every path, and as the program shows them. */
#include "base/rng.h"
#include "data/decode.h"
#include "eval/duplicates.h"
#include "eval/neighbours.h"
#include "eval/similarity.h"
#include "eval/thumbnails.h"
#include "io/contact_sheet.h"
#include "io/html.h"
#include "io/picture.h"
#include "tests/harness.h"
#include "tests/program.h"
#include "tests/temp_files.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(search, .timeout = 120);

static struct simclr_error err;

/* ---- Duplicates ---- */

enum { ROWS = 300, D = 19 };

/* Points in clumps of random size, not one after the other. */
static float *clumps(void)
{
    float *x = random_array(ROWS * D, 5), *noise = random_array(ROWS * D, 6);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < D; j++)
            x[i * D + j] = x[i * 7 % ROWS % 40 * D + j] + (i % 3 ? 0.01f : 0.4f) * noise[i * D + j];
    free(noise);
    return x;
}

static float cosine(const float *a, const float *b)
{
    float chain = 0;
    for (int i = 0; i < D; i++)
        chain = fmaf(a[i], b[i], chain);
    return chain;
}

/* Groups by spreading the lowest row until nothing changes. */
static void spread(uint32_t *group, const float *x, float threshold)
{
    for (uint32_t i = 0; i < ROWS; i++)
        group[i] = i;
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < ROWS; j++)
                if (group[j] < group[i] && cosine(x + i * D, x + j * D) >= threshold) {
                    group[i] = group[j];
                    changed = true;
                }
    }
}

Test(search, duplicates_are_single_linkage_on_every_isa_and_thread_count)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    uint32_t expected[ROWS], got[ROWS];
    for (size_t isa = 0; isa < count; isa++)
        for (int threads = 1; threads <= 3; threads++)
            for (int t = 0; t < 4; t++) {
                static const float thresholds[] = {0.5f, 0.95f, 0.999f, 1};
                struct engine engine = {.kernels = isas[isa], .threads = threads};
                float *x = clumps();
                size_t alone = 0;
                normalize_rows(&engine, x, ROWS, D);
                spread(expected, x, thresholds[t]);
                cr_assert_eq(duplicates_find(&engine, got, x, ROWS, D, thresholds[t], &err), SIMCLR_OK, "%s", err.text);
                for (int i = 0; i < ROWS; i++) {
                    cr_assert_eq(got[i], expected[i], "%s, row %d, %g", isas[isa]->name, i, (double)thresholds[t]);
                    alone += got[i] == (uint32_t)i;
                }
                cr_expect(alone > 1 || t == 0);
                cr_expect(alone < ROWS || t == 3);
                free(x);
            }
}

static bool at_once(void *ctx) { (void)ctx; return true; }

Test(search, is_left_off_when_asked_to)
{
    uint32_t group[ROWS];
    struct engine engine = {.kernels = isa_resolve("scalar"), .threads = 2, .stop = {at_once, NULL}};
    float *x = clumps();
    cr_expect_eq(duplicates_find(&engine, group, x, ROWS, D, 0.9f, &err), SIMCLR_ERR_CANCELLED);
    cr_expect_eq(neighbours_find(&engine, x, NULL, ROWS, x, ROWS, D, 3, NULL, NULL, &err), SIMCLR_ERR_CANCELLED);
    free(x);
}

/* ---- Neighbours ---- */

static struct neighbour ranked[ROWS][5];

static void keep(void *ctx, size_t query, const struct neighbour *found, int count, int thread)
{
    (void)thread;
    cr_assert_eq(count, *(const int *)ctx);
    memcpy(ranked[query], found, (size_t)count * sizeof *found);
}

Test(search, neighbours_are_the_most_similar_rows_lower_ones_first)
{
    int k = 5;
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 2};
    float *x = clumps();
    memcpy(x + 100 * D, x + 7 * D, D * sizeof *x); /* a tie */
    normalize_rows(&engine, x, ROWS, D);
    cr_assert_eq(neighbours_find(&engine, x, NULL, ROWS, x, ROWS, D, k, keep, &k, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(ranked[100][0].index == 7 && ranked[100][1].index == 100 && ranked[100][0].similarity == ranked[100][1].similarity);
    for (int q = 0; q < ROWS; q++)
        for (int i = 0; i < k; i++) {
            int before = 0; /* rows that rank before this one */
            float similarity = cosine(x + ranked[q][i].index * D, x + q * D);
            cr_assert_eq(ranked[q][i].similarity, similarity);
            for (uint32_t row = 0; row < ROWS; row++) {
                float other = cosine(x + row * D, x + q * D);
                before += other > similarity || (other == similarity && row < ranked[q][i].index);
            }
            cr_assert_eq(before, i, "query %d, place %d", q, i);
        }
    free(x);
}

/* ---- Pages ---- */

Test(search, pictures_are_files_that_decode_to_the_same)
{
    uint8_t pixels[10 * 14 * 3];
    struct image image;
    struct buffer png = {.data = NULL}, jpeg = {.data = NULL};
    paint_gradient(pixels, 14, 10, 1);
    picture_png(&png, pixels, 14, 10, 3);
    cr_assert_eq(image_decode(&image, (const uint8_t *)png.data, png.size, 1000, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(image.w == 14 && image.h == 10 && image.c == 3 && memcmp(image.pixels, pixels, sizeof pixels) == 0);
    image_release(&image);
    picture_jpeg(&jpeg, pixels, 14, 10, 3, 95);
    cr_assert_eq(image_decode(&image, (const uint8_t *)jpeg.data, jpeg.size, 1000, &err), SIMCLR_OK, "%s", err.text);
    for (size_t i = 0; i < sizeof pixels; i++)
        cr_assert(abs(image.pixels[i] - pixels[i]) < 24, "value %zu", i);
    image_release(&image);
    buffer_free(&png);
    buffer_free(&jpeg);
}

Test(search, thumbnails_are_square_and_left_empty_for_what_cannot_be_read)
{
    char *root = temp_folder();
    struct dataset *set;
    struct image image;
    struct buffer one[2][3] = {{{.data = NULL}}};
    write_flat(temp_path(root, "a.bmp"), 40, 20, 200, 100, 50);
    temp_write(temp_path(root, "b.bmp"), "BM", 2);
    write_gradient(temp_path(root, "c.bmp"), 20, 20, 3);
    for (int i = 0; i < 2; i++) {
        struct engine engine = {.kernels = isa_resolve(i ? "auto" : "scalar"), .threads = 1 + i};
        struct dataset_options options = {.channels = 3};
        cr_assert_eq(dataset_open(&set, root, SPLIT_TRAIN, &options, &err), SIMCLR_OK, "%s", err.text);
        cr_assert_eq(thumbnails_make(one[i], set, (uint32_t[]){2, 1, 0}, 3, 32, &engine, &err), SIMCLR_OK, "%s", err.text);
        dataset_close(set);
    }
    cr_assert_eq(image_decode(&image, (const uint8_t *)one[0][2].data, one[0][2].size, 10000, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(image.w == 32 && image.h == 32 && abs(image.pixels[0] - 200) < 4 && abs(image.pixels[2] - 50) < 4);
    image_release(&image);
    cr_expect_eq(one[0][1].size, 0);
    for (int i = 0; i < 3; i++) {
        cr_expect(one[0][i].size == one[1][i].size && (one[0][i].size == 0 || memcmp(one[0][i].data, one[1][i].data, one[0][i].size) == 0));
        buffer_free(&one[0][i]);
        buffer_free(&one[1][i]);
    }
    temp_remove(root);
}

static void expect_buffer(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, "", 1);
    cr_expect_str_eq(buffer->data, text, "%s", buffer->data);
    buffer_free(buffer);
}

Test(search, names_are_escaped_in_pages_and_lists)
{
    struct buffer b = {.data = NULL};
    html_text(&b, "<img src=x onerror='a'> & \"b\"\x1b[1m\n\xc3\xa9\xff");
    expect_buffer(&b, "&lt;img src=x onerror=&#39;a&#39;&gt; &amp; &quot;b&quot;\\x1b[1m\\x0a\xc3\xa9\\xff");
    buffer_csv(&b, "plain");
    buffer_add(&b, ";", 1);
    buffer_csv(&b, "a,\"b\"");
    buffer_add(&b, ";", 1);
    buffer_csv(&b, "\"");
    expect_buffer(&b, "plain;\"a,\"\"b\"\"\";\"\"\"\"");
    static const char *const encoded[] = {"", "TQ==", "TWE=", "TWFu", "TWFu/w=="};
    for (size_t size = 0; size <= 4; size++) {
        char expected[64];
        struct buffer file = {.data = (char[]){'M', 'a', 'n', '\xff'}, .size = size};
        snprintf(expected, sizeof expected, "data:image/png;base64,%s", encoded[size]);
        html_data_uri(&b, "image/png", &file);
        expect_buffer(&b, expected);
    }
}

/* ---- The program ---- */

TestSuite(search_program, .timeout = 120);

/* pictures: 5, of which b and <b>b are copies; sorted by bytes, "<b>b.bmp" comes first. */
static bool have_run(void)
{
    if (!have_program())
        return false;
    for (int i = 0; i < 4; i++)
        write_gradient(temp_path(".", "pictures/%c.bmp", 'a' + i), 16 + i, 20, (unsigned)i);
    write_gradient("pictures/<b>b.bmp", 17, 20, 1);
    temp_write("pictures/broken.jpg", "no", 2);
    cr_assert_eq(run("train -o run " TINY " --epochs 1 --knn-every 0"), 0, "%s", output);
    return true;
}

/* What was printed as JSON, behind what stderr had to say. */
static json_t *result(void)
{
    const char *begin = strchr(output, '{');
    json_t *root = begin ? json_loads(begin, 0, NULL) : NULL;
    cr_assert_not_null(root, "%s", output);
    return root;
}

static char *read_text(const char *path)
{
    static char text[1 << 20];
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

Test(search_program, finds_the_nearest_images)
{
    if (!have_run())
        return;
    cr_assert_eq(run("search run pictures pictures/c.bmp -k 2 --html sheet.html --threads 2"), 0, "%s", output);
    cr_expect_not_null(strstr(output, "simclr: 1 image of DATA could not be read\n"), "%s", output);
    cr_expect_not_null(strstr(output, "\npictures/c.bmp\n    1  1.0000  pictures/c.bmp  (the same file)\n    2  0."), "%s", output);
    const char *page = read_text("sheet.html");
    cr_expect_not_null(strstr(page, "<li class=\"marked\"><img alt=\"\" src=\"data:image/jpeg;base64,/9j/"));
    cr_expect_not_null(strstr(page, "<b>1.0000, the same file</b>\n<small>c.bmp</small>"));
    cr_expect_null(strstr(page, "http"), "it needs nothing else");
    cr_assert_eq(run("embed run pictures -o f.npy"), 0, "%s", output);
    expect_output("search run pictures pictures/c.bmp -k 2 --index f.npy --isa scalar", "    1  1.0000  pictures/c.bmp  (the same file)");
    cr_assert_eq(run("search run pictures/ nothing.jpg pictures/a.bmp -k 1 --index f.npy"), 1);
    cr_expect_not_null(strstr(output, "pictures/a.bmp\n    1  1.0000  pictures/a.bmp  (the same file)\n"), "%s", output);
    cr_expect_not_null(strstr(output, "simclr: nothing.jpg: No such file or directory\n"), "%s", output);

    cr_assert_eq(run("search run pictures pictures/b.bmp -k 2 --json"), 0, "%s", output);
    json_t *root = result(), *query = json_array_get(json_object_get(root, "queries"), 0);
    json_t *neighbours = json_object_get(query, "neighbours"), *first = json_array_get(neighbours, 0), *second = json_array_get(neighbours, 1);
    cr_expect_str_eq(json_string_value(json_object_get(query, "image")), "pictures/b.bmp");
    cr_expect_eq(json_array_size(neighbours), 2);
    cr_expect_str_eq(json_string_value(json_object_get(first, "image")), "pictures/<b>b.bmp", "of equals the first");
    cr_expect_null(json_object_get(first, "same_file"));
    cr_expect(json_is_true(json_object_get(second, "same_file")));
    cr_expect_eq(json_number_value(json_object_get(first, "cosine")), json_number_value(json_object_get(second, "cosine")));
    json_decref(root);
    leave_program();
}

Test(search_program, finds_duplicates)
{
    if (!have_run())
        return;
    cr_assert_eq(run("search run pictures --duplicates --html sheet.html --threshold 0.99999"), 0, "%s", output);
    cr_expect_not_null(strstr(output, "1 group of near-duplicates: 2 of the 5 images of pictures, cosine 0.99999 or more\n\n"
                                      "          pictures/<b>b.bmp\n  1.0000  pictures/b.bmp\n"), "%s", output);
    const char *page = read_text("sheet.html");
    cr_expect_not_null(strstr(page, "<small>&lt;b&gt;b.bmp</small>"));
    cr_expect_null(strstr(page, "<b>b.bmp"));
    cr_assert_eq(run("search run pictures --duplicates --threshold 0.01 --json"), 0, "%s", output);
    json_t *root = result(), *groups = json_object_get(root, "groups");
    cr_expect(json_array_size(groups) == 1 && json_array_size(json_array_get(groups, 0)) == 5, "%s", output);
    json_decref(root);
    expect_output("search run pictures --duplicates --threshold 1 --limit 2", "0 groups of near-duplicates: 0 of the ");

    expect_refusal("search run pictures", 2, "name images to look for, or --duplicates");
    expect_refusal("search run", 2, "name the folder of a run, the data to search");
    expect_refusal("search run pictures --duplicates pictures/a.bmp", 2, "leave pictures/a.bmp out");
    expect_refusal("search run pictures --duplicates --threshold 2", 2, "cosine between 0 and 1");
    expect_refusal("search run pictures --duplicates --html sheet.html", 2, "sheet.html is there already");
    expect_refusal("search run pictures pictures/a.bmp --index nothing.npy", 1, "nothing.npy");
    expect_output("search --help", "--index F.npy IMAGE");
    leave_program();
}
