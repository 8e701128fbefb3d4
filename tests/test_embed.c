/* Features in files: what lies in them, which image a row is, whole or not at all. */
#define _XOPEN_SOURCE 700
#include "eval/bank.h"
#include "eval/embed.h"

#include "io/file.h"
#include "io/npy.h"
#include "tests/harness.h"
#include "tests/program.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"
#include "train/encoder_data.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(embed, .init = small_runs_begin, .fini = small_runs_end, .timeout = 60);

enum { DIM = 128, OUT_DIM = 8 };

static struct encoder encoder;
static struct image_parts parts;
static struct engine engine;
static struct embed_result embedded;
static float h[PICTURES * DIM], z[PICTURES * OUT_DIM];
static int labels[PICTURES];

static void open_on(const char *isa, int threads, int batch, const char *path, enum image_splits splits)
{
    engine = (struct engine){.kernels = isa_resolve(isa), .threads = threads};
    cr_assert_eq(encoder_open(&encoder, temp_path(root, "run"), batch, &engine, NULL, NULL, &err), SIMCLR_OK, "%s", err.text);
    struct image_source source = {.path = path};
    cr_assert_eq(image_parts_open(&parts, &encoder, &source, splits, &engine, &err), SIMCLR_OK, "%s", err.text);
}

static void close_all(void)
{
    image_parts_close(&parts);
    encoder_close(&encoder);
}

static enum simclr_status write_file(const char *name, struct embed_options options, image_report_fn *report, void *ctx)
{
    options.parts = parts.count > 1;
    options.batch = options.batch ? options.batch : 4;
    return embed_write(temp_path(root, "out/%s", name), encoder.network, parts.part, parts.count, &options, &engine, report, ctx, &embedded,
                       &err);
}

static void write_ok(const char *name, struct embed_options options)
{
    cr_assert_eq(write_file(name, options, NULL, NULL), SIMCLR_OK, "%s", err.text);
}

static char *out_file(const char *name, size_t *size)
{
    return file_of(size, "out", name);
}

static int files_in_out(void)
{
    int count = 0;
    DIR *dir = opendir(temp_path(root, "out"));
    for (struct dirent *e; dir && (e = readdir(dir));)
        count += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

/* out/NAME is a header of `shape` and then exactly these bytes. */
static void expect_array(const char *name, const char *dtype, const size_t *dims, int ndim, const void *data, size_t bytes)
{
    char header[NPY_HEADER];
    size_t size;
    char *file = out_file(name, &size);
    npy_header(header, dtype, dims, ndim);
    cr_assert_eq(size, NPY_HEADER + bytes, "%s has %zu bytes", name, size);
    cr_expect(memcmp(file, header, NPY_HEADER) == 0, "%s: %.100s", name, file + 10);
    cr_expect(memcmp(file + NPY_HEADER, data, bytes) == 0, "%s", name);
    free(file);
}

static void expect_text(const char *name, const char *text)
{
    size_t size;
    char *file = out_file(name, &size);
    cr_expect_str_eq(file, text, "%s: %s", name, file);
    free(file);
}

Test(embed, rows_are_the_features_of_the_images_in_order)
{
    static const char *const isas[] = {"scalar", "auto", "auto"};
    int64_t classes[PICTURES];
    for (int i = 0; i < PICTURES; i++)
        classes[i] = i % 2;
    run_whole("run");
    open_on("scalar", 1, PICTURES, NULL, IMAGES_TRAIN);
    cr_assert_eq(features_compute(encoder.network, parts.part[0].loader, h, z, labels, PICTURES, NULL, &err), SIMCLR_OK);
    close_all();
    for (int i = 0; i < 3; i++) {
        open_on(isas[i], 1 + i, 1 + 6 * i, NULL, IMAGES_TRAIN);
        write_ok(temp_path("", "h%d.npy", i) + 1, (struct embed_options){.batch = 1 + 6 * i});
        write_ok(temp_path("", "z%d.npy", i) + 1, (struct embed_options){.z = true, .batch = 1 + 6 * i});
        close_all();
        cr_expect(embedded.images == PICTURES && embedded.broken == 0 && embedded.dim == OUT_DIM && embedded.labels);
        expect_array(temp_path("", "h%d.npy", i) + 1, "<f4", (size_t[]){PICTURES, DIM}, 2, h, sizeof h);
        expect_array(temp_path("", "z%d.npy", i) + 1, "<f4", (size_t[]){PICTURES, OUT_DIM}, 2, z, sizeof z);
    }
    expect_array("h0.labels.npy", "<i8", (size_t[]){PICTURES}, 1, classes, sizeof classes);
    size_t size;
    char *names = out_file("h0.names.txt", &size);
    cr_expect_eq(strncmp(names, "#0\n#1\n#2\n", 9), 0);
    free(names);
    cr_expect_eq(files_in_out(), 18);
}

Test(embed, normalized_rows_have_length_1)
{
    size_t size;
    run_whole("run");
    open_on("auto", 1, 4, NULL, IMAGES_TRAIN);
    write_ok("n.npy", (struct embed_options){.normalize = true});
    close_all();
    char *file = out_file("n.npy", &size);
    const float *x = (const float *)(file + NPY_HEADER);
    for (int i = 0; i < PICTURES; i++) {
        double sum = 0;
        for (int j = 0; j < DIM; j++)
            sum += (double)x[i * DIM + j] * (double)x[i * DIM + j];
        cr_expect(fabs(sum - 1) < 1e-5, "row %d: %g", i, sum);
    }
    free(file);
}

/* photos/train: a class each in cat and "dog, big", 3 images; one is broken. photos/val: 1. */
static const char *write_photos(void)
{
    write_gradient(temp_path(root, "photos/train/cat/1.bmp"), 9, 12, 1);
    write_gradient(temp_path(root, "photos/train/cat/2.bmp"), 12, 9, 2);
    write_gradient(temp_path(root, "photos/train/dog, \"big\"/3.bmp"), 8, 8, 3);
    temp_write(temp_path(root, "photos/train/cat/broken.png"), "no", 2);
    write_gradient(temp_path(root, "photos/val/cat/4.bmp"), 8, 8, 4);
    return temp_path(root, "photos");
}

Test(embed, broken_images_have_no_row_and_are_listed)
{
    size_t size;
    run_whole("run");
    open_on("auto", 2, 4, write_photos(), IMAGES_TRAIN);
    write_ok("f.npy", (struct embed_options){.batch = 2});
    close_all();
    cr_expect(embedded.images == 3 && embedded.broken == 1);
    expect_text("f.names.txt", "cat/1.bmp\ncat/2.bmp\ndog, \"big\"/3.bmp\n");
    expect_array("f.labels.npy", "<i8", (size_t[]){3}, 1, (int64_t[]){0, 0, 1}, 24);
    char *broken = out_file("f.broken.txt", &size);
    cr_expect_eq(strncmp(broken, "cat/broken.png: ", 16), 0, "%s", broken);
    free(broken);
}

Test(embed, csv_gives_the_same_numbers_back)
{
    size_t size;
    run_whole("run");
    open_on("auto", 1, 4, write_photos(), IMAGES_ALL);
    cr_expect_eq(parts.count, 2);
    for (int p = 0, row = 0; p < 2; row += (int)loader_size(parts.part[p++].loader))
        cr_assert_eq(features_compute(encoder.network, parts.part[p].loader, h + row * DIM, NULL, labels + row, 4, NULL, &err), SIMCLR_OK);
    write_ok("f.csv", (struct embed_options){.batch = 3});
    close_all();
    static const char *const begins[] = {"name,label,f0,f1,", "train/cat/1.bmp,0,", "train/cat/2.bmp,0,", "\"train/dog, \"\"big\"\"/3.bmp\",1,",
                                         "val/cat/4.bmp,0,"};
    static const int of[] = {0, 0, 1, 3, 4}; /* places in h: 2 is broken */
    char *file = out_file("f.csv", &size), *line = file;
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(strncmp(line, begins[i], strlen(begins[i])), 0, "%.60s", line);
        char *at = line + strlen(begins[i]);
        for (int j = 0; i > 0 && j < DIM; j++, at++)
            cr_assert_eq(strtof(at, &at), h[of[i] * DIM + j], "row %d, number %d", i, j);
        line = strchr(line, '\n') + 1;
    }
    cr_expect_eq(*line, 0);
    free(file);
    cr_expect_eq(files_in_out(), 2, "f.csv and f.broken.txt");
}

static int stop_at(void *ctx, const struct image_progress *progress)
{
    return progress->done >= *(const size_t *)ctx;
}

static int put_in_the_way(void *ctx, const struct image_progress *progress)
{
    (void)progress;
    mkdir(ctx, 0777);
    return 0;
}

Test(embed, stopped_or_failing_it_leaves_nothing)
{
    char path[4096];
    size_t at = 8;
    run_whole("run");
    open_on("auto", 1, 4, NULL, IMAGES_TRAIN);
    cr_expect_eq(write_file("f.npy", (struct embed_options){.z = false}, stop_at, &at), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "8 images; nothing was written");
    cr_expect_eq(files_in_out(), 0);
    snprintf(path, sizeof path, "%s", temp_path(root, "out/f.npy"));
    cr_expect_eq(write_file("f.npy", (struct embed_options){.z = false}, put_in_the_way, path), SIMCLR_ERR_IO);
    cr_expect_eq(files_in_out(), 1, "what was put in the way");
    close_all();
}

static void expect_refused(const char *name, const char *part)
{
    cr_expect_eq(write_file(name, (struct embed_options){.z = false}, NULL, NULL), SIMCLR_ERR_USAGE, "%s", name);
    expect_in(err.text, part);
}

Test(embed, overwrites_nothing)
{
    run_whole("run");
    open_on("auto", 1, 4, NULL, IMAGES_TRAIN);
    temp_write(temp_path(root, "out/a.npy"), "mine", 4);
    temp_write(temp_path(root, "out/b.labels.npy"), "mine", 4);
    expect_refused("a.npy", "a.npy is there already");
    expect_refused("b.npy", "b.labels.npy is there already");
    expect_refused("c.txt", ".npy or .csv");
    expect_refused(".npy", ".npy or .csv");
    cr_expect_eq(files_in_out(), 2);
    close_all();
    write_photos();
    temp_write(temp_path(root, "none/1.png"), "no", 2);
    open_on("auto", 1, 4, temp_path(root, "none"), IMAGES_TRAIN);
    cr_expect_eq(write_file("d.npy", (struct embed_options){.z = false}, NULL, NULL), SIMCLR_ERR_FORMAT);
    expect_in(err.text, "none of the images can be read; 1.png: ");
    cr_expect_eq(files_in_out(), 2);
    close_all();
}

/* ---- An index that is read again ---- */

static struct bank bank;

static enum simclr_status load(const char *name)
{
    enum simclr_status status = bank_load(&bank, temp_path(root, "out/%s", name), encoder.network, parts.part, parts.count, &engine, &err);
    cr_expect(status == SIMCLR_OK || !bank.x);
    return status;
}

Test(embed, is_read_again_as_it_was_computed)
{
    struct bank computed;
    run_whole("run");
    open_on("auto", 2, 4, write_photos(), IMAGES_ALL);
    write_ok("f.npy", (struct embed_options){.z = false});
    cr_assert_eq(bank_compute(&computed, encoder.network, parts.part, parts.count, 3, &engine, NULL, NULL, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(load("f.npy"), SIMCLR_OK, "%s", err.text);
    cr_expect(bank.rows == 4 && computed.rows == 4 && bank.broken == 1 && computed.broken == 1 && bank.d == DIM);
    expect_same_bits(computed.x, bank.x, 4 * DIM, "rows");
    for (int i = 0; i < 4; i++)
        cr_expect(bank.places[i].item == computed.places[i].item && bank.places[i].part == computed.places[i].part, "row %d", i);
    bank_free(&bank);
    bank_free(&computed);
    write_ok("n.npy", (struct embed_options){.normalize = true});
    cr_expect_eq(load("n.npy"), SIMCLR_OK, "%s", err.text);
    bank_free(&bank);
    close_all();
}

static void expect_no_index(const char *name, const char *part)
{
    cr_expect_neq(load(name), SIMCLR_OK, "%s", name);
    expect_in(err.text, part);
}

Test(embed, of_other_images_or_another_encoder_is_no_index)
{
    size_t size, count;
    run_whole("run");
    open_on("auto", 1, 4, NULL, IMAGES_TRAIN);
    write_ok("f.npy", (struct embed_options){.z = false});
    write_ok("z.npy", (struct embed_options){.z = true});
    char *file = out_file("f.npy", &size), *names;
    temp_write(temp_path(root, "out/alone.npy"), file, size);
    temp_write(temp_path(root, "out/cut.npy"), file, size - 4);
    temp_write(temp_path(root, "out/order.npy"), file, size);
    temp_write(temp_path(root, "out/few.npy"), file, size);
    free(file);
    names = out_file("f.names.txt", &size);
    temp_write(temp_path(root, "out/few.names.txt"), names, size - 4);
    memcpy(names, "#1\n#0\n", 6);
    temp_write(temp_path(root, "out/order.names.txt"), names, size);
    free(names);
    expect_no_index("z.npy", "rows of 8 numbers, and this encoder gives 128");
    expect_no_index("alone.npy", "alone.names.txt");
    expect_no_index("cut.npy", "cut short");
    expect_no_index("order.npy", "does not have at its place: #0");
    expect_no_index("few.npy", "19 names for 20 rows");
    expect_no_index("f.labels.npy", "(N, D) array of float32");
    network_params(encoder.network, &count)[3] += 1;
    expect_no_index("f.npy", "row 0 of");
    close_all();
}

/* ---- The program ---- */

TestSuite(embed_program, .timeout = 120);

Test(embed_program, embeds_sets_and_files)
{
    if (!have_program())
        return;
    cr_assert_eq(run("train -o run " TINY " --epochs 1 --knn-every 0"), 0, "%s", output);
    expect_output("embed run -o own.npy", "embedded 40 images into own.npy: 128 numbers each, h after step 5");
    expect_output("embed run -o own.csv --z --threads 2 --limit 7", "embedded 7 images into own.csv: 16 numbers each, z after step 5");
    write_gradient(temp_path(".", "pictures/a.bmp"), 20, 20, 1);
    write_gradient("pictures/b.bmp", 20, 30, 2);
    expect_output("embed run/checkpoint-00000005.safetensors pictures -o p.npy", "embedded 2 images");
    expect_output("embed run pictures/b.bmp pictures/a.bmp -o -", "name,f0,");
    cr_expect_not_null(strstr(output, "\npictures/b.bmp,"));
    cr_expect_not_null(strstr(output, "\npictures/a.bmp,"));
    cr_assert_eq(run("embed run pictures/a.bmp nothing.png -o -"), 0);
    cr_expect_not_null(strstr(output, "simclr: left out: nothing.png: No such file or directory"), "%s", output);
    expect_refusal("embed", 2, "name the folder of a run");
    expect_refusal("embed run", 2, "-o F.npy");
    expect_refusal("embed run -o own.npy", 2, "is there already");
    expect_refusal("embed run pictures --split test -o t.npy", 2, "no such split");
    expect_refusal("embed run pictures --split half -o t.npy", 2, "train, test, labelled or all");
    expect_refusal("embed run -b 0 -o t.npy", 2, "between 1 and 65536");
    expect_refusal("embed pictures -o t.npy", 1, "no checkpoint in pictures");
    expect_refusal("embed run nowhere -o t.npy", 1, "cannot open nowhere");
    expect_output("embed --help", "F.names.txt");
    leave_program();
}
