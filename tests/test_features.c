/* Features of a frozen encoder: the same bits for every batch, ISA and thread count, of the images asked for. */
#include "eval/features.h"

#include "simd/dispatch.h"
#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"
#include "train/encoder_data.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(features, .init = small_runs_begin, .fini = small_runs_end, .timeout = 60);

static struct encoder encoder;
static struct image_parts images;
static struct engine engine;
enum { DIM = 128, OUT_DIM = 8 };
static float h[PICTURES * DIM], z[PICTURES * OUT_DIM];
static int labels[PICTURES];

static void open_encoder(const char *isa, int threads, int batch)
{
    engine = (struct engine){.kernels = isa_resolve(isa), .threads = threads};
    cr_assert_eq(encoder_open(&encoder, temp_path(root, "run"), batch, &engine, NULL, NULL, &err), SIMCLR_OK, "%s", err.text);
    cr_assert(network_feature_dim(encoder.network) == DIM && network_out_dim(encoder.network) == OUT_DIM);
}

static enum simclr_status open_images(const char *path, size_t limit)
{
    struct image_source source = {.path = path, .limit = limit};
    return image_parts_open(&images, &encoder, &source, IMAGES_TRAIN, &engine, &err);
}

static void close_all(void)
{
    image_parts_close(&images);
    encoder_close(&encoder);
}

static void compute(const char *isa, int threads, int batch)
{
    open_encoder(isa, threads, batch);
    cr_assert_eq(open_images(NULL, 0), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(loader_size(images.part[0].loader), PICTURES);
    cr_assert_eq(features_compute(encoder.network, images.part[0].loader, h, z, labels, batch, NULL, &err), SIMCLR_OK, "%s", err.text);
    close_all();
}

Test(features, are_the_same_for_every_batch_isa_and_thread_count)
{
    static float first_h[PICTURES * DIM], first_z[PICTURES * OUT_DIM];
    const struct isa_entry *entries;
    size_t isas = isa_list(&entries);
    run_whole("run");
    compute("scalar", 1, PICTURES);
    memcpy(first_h, h, sizeof h);
    memcpy(first_z, z, sizeof z);
    cr_expect(memcmp(h, h + DIM, DIM * sizeof *h) != 0 && memcmp(z, z + OUT_DIM, OUT_DIM * sizeof *z) != 0, "images differ");
    for (size_t i = 0; i < isas; i++)
        for (int batch = 1; entries[i].supported && batch <= PICTURES; batch += 3) {
            memset(h, 0, sizeof h);
            compute(entries[i].kernels->name, 1 + batch % 3, batch);
            cr_expect_arr_eq(h, first_h, sizeof h, "%s, batch %d", entries[i].kernels->name, batch);
            cr_expect_arr_eq(z, first_z, sizeof z, "%s, batch %d", entries[i].kernels->name, batch);
        }
    for (int i = 0; i < PICTURES; i++)
        cr_expect_eq(labels[i], i % 2);
}

Test(features, are_of_the_runs_images_or_of_others)
{
    char other[4096];
    run_whole("run");
    write_set("other", 3);
    snprintf(other, sizeof other, "%s", temp_path(root, "other.npy"));
    open_encoder("auto", 1, 4);
    cr_assert_eq(open_images(other, 7), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(loader_size(images.part[0].loader), 7);
    image_parts_close(&images);
    cr_expect_eq(open_images("", 0), SIMCLR_ERR_USAGE);
    cr_expect_eq(open_images(temp_path(root, "nothing"), 0), SIMCLR_ERR_IO);
    encoder_close(&encoder);
    cr_assert_eq(remove(temp_path(root, "run/config.json")), 0);
    open_encoder("auto", 1, 4);
    cr_expect_eq(open_images(NULL, 0), SIMCLR_ERR_USAGE);
    expect_in(err.text, "name DATA");
    cr_expect_eq(open_images(other, 0), SIMCLR_OK, "%s", err.text);
    close_all();
}

Test(features, for_evaluation_are_of_the_parts_that_a_run_would_make)
{
    struct run_data data;
    struct train_config settings;
    run_whole("run");
    open_encoder("auto", 1, 4);
    encoder.config.knn_every = 0; /* the run did without labels */
    cr_assert_eq(encoder_run_data(&data, &settings, &encoder, &(struct image_source){.path = NULL}, &engine, &err), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(loader_size(data.train), PICTURES - PICTURES / 10);
    cr_expect_eq(loader_size(data.test), PICTURES / 10);
    cr_expect_eq(data.classes, 2);
    run_data_close(&data);
    encoder_close(&encoder);
}

static int stop_after(void *ctx, const struct image_progress *progress)
{
    cr_expect_eq(progress->total, PICTURES);
    cr_expect(progress->images_per_second > 0 && progress->eta_seconds >= 0);
    return progress->done >= *(const size_t *)ctx;
}

Test(features, are_left_off_when_asked_to)
{
    size_t most = 8;
    run_whole("run");
    open_encoder("auto", 1, 4);
    cr_assert_eq(open_images(NULL, 0), SIMCLR_OK, "%s", err.text);
    struct image_progress progress = image_progress_begin(stop_after, &most, PICTURES);
    cr_expect_eq(features_compute(encoder.network, images.part[0].loader, h, NULL, labels, 4, &progress, &err), SIMCLR_ERR_CANCELLED);
    cr_expect_eq(progress.done, 8);
    expect_in(err.text, "8 of 20");
    close_all();
}
