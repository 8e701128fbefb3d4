/* The library's handles: engines, settings, data sets, models, features; and where their memory comes from. */
#include "simclr/simclr.h"
#include "tests/counting.h"
#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static simclr_engine *engine;

static void set_up(void)
{
    small_runs_begin();
    cr_assert_eq(simclr_engine_create(&engine, "auto", 2, &err), SIMCLR_OK, "%s", err.text);
}

static void tear_down(void)
{
    simclr_engine_free(engine);
    small_runs_end();
}

TestSuite(api, .init = set_up, .fini = tear_down);

static const char *const tiny[] = {"arch=resnet18", "width=0.25", "stem=cifar", "image-size=8", "out-dim=8", "batch-size=4", NULL};

static void expect_usage(enum simclr_status status, const char *part)
{
    cr_expect_eq(status, SIMCLR_ERR_USAGE, "status %d: %s", status, err.text);
    expect_in(err.text, part);
}

/* ---- engines and settings ---- */

Test(api, version_and_instruction_sets)
{
    cr_expect_str_eq(simclr_version(), SIMCLR_VERSION);
    cr_expect_str_eq(simclr_isa_name(0), "scalar");
    cr_expect(simclr_isa_supported(0) && simclr_isa_needs(0));
    size_t count = simclr_isa_count();
    cr_expect(!simclr_isa_name(count) && !simclr_isa_needs(count) && !simclr_isa_supported(count));
    simclr_engine *other;
    for (size_t i = 0; i < count; i++) {
        enum simclr_status status = simclr_engine_create(&other, simclr_isa_name(i), 3, &err);
        cr_expect_eq(status, simclr_isa_supported(i) ? SIMCLR_OK : SIMCLR_ERR_USAGE);
        if (status == SIMCLR_OK) {
            cr_expect_str_eq(simclr_engine_isa(other), simclr_isa_name(i));
            cr_expect_eq(simclr_engine_threads(other), 3);
        }
        simclr_engine_free(other);
    }
    expect_usage(simclr_engine_create(&other, "sse9", 0, &err), "isa sse9: this build has no such instruction set; this machine can run: auto scalar");
    cr_expect_null(other);
    expect_usage(simclr_engine_create(&other, NULL, -1, &err), "-1 threads");
    expect_usage(simclr_engine_set_allocator(engine, counting_alloc, NULL, NULL, &err), "both functions");
}

Test(api, settings_are_the_programs)
{
    simclr_model *model;
    static const char *const wrong[][2] = {{"arch=resnet19", "arch: 'resnet19' is not one of resnet18"},
                                           {"bach-size=4", "there is no setting 'bach-size'"},
                                           {"batch-size", "'batch-size' is not a setting: write name=value"},
                                           {"=4", "is not a setting"},
                                           {"width=9", "width: 9 is out of range"},
                                           {"preset=none", "preset: 'none' is not one of cifar10"},
                                           {"image-size=7", "--image-size 7 is too small"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *settings[] = {"image-size=8", "stem=cifar", wrong[i][0], NULL};
        expect_usage(simclr_model_create(&model, engine, settings, &err), wrong[i][1]);
        cr_expect_null(model);
    }
    expect_usage(simclr_model_create(&model, engine, NULL, &err), "set --image-size");
    /* The preset comes first, wherever it stands; names with '_', and aliases. */
    const char *settings[] = {"out_dim=8", "image_size=16", "wd=0", "preset=cifar10", NULL};
    cr_assert_eq(simclr_model_create(&model, engine, settings, &err), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(simclr_model_feature_dim(model), 128);
    cr_expect_eq(simclr_model_projection_dim(model), 8);
    cr_expect_eq(simclr_model_image_size(model), 16);
    cr_expect_eq(simclr_model_channels(model), 3);
    cr_expect_eq(simclr_model_steps(model), 0);
    simclr_model_free(model);
}

/* ---- data sets ---- */

static uint8_t pictures[6][12 * 10 * 3];
static const int32_t labels[6] = {0, 1, -1, 2, 1, 0};

static simclr_dataset *set_of_arrays(void)
{
    simclr_dataset *set;
    for (int i = 0; i < 6; i++)
        paint_gradient(pictures[i], 10, 12, (unsigned)i);
    cr_assert_eq(simclr_dataset_from_arrays(&set, engine, pictures[0], labels, 6, 12, 10, 3, &err), SIMCLR_OK, "%s", err.text);
    return set;
}

Test(api, arrays_are_a_data_set)
{
    simclr_dataset *set = set_of_arrays();
    char name[8];
    cr_expect_eq(simclr_dataset_count(set), 6);
    cr_expect_eq(simclr_dataset_classes(set), 3);
    cr_expect_eq(simclr_dataset_channels(set), 3);
    cr_expect_str_eq(simclr_dataset_kind(set), "arrays in memory");
    cr_expect_str_eq(simclr_dataset_name(set, 4, name, sizeof name), "#4");
    for (size_t i = 0; i < 6; i++) {
        simclr_image *image;
        cr_expect_eq(simclr_dataset_label(set, i), labels[i]);
        cr_assert_eq(simclr_dataset_read(set, i, &image, &err), SIMCLR_OK);
        cr_expect(simclr_image_height(image) == 12 && simclr_image_width(image) == 10 && simclr_image_channels(image) == 3);
        cr_expect_eq(simclr_image_pixels(image), pictures[i]); /* not copied */
        simclr_image_free(image);
    }
    simclr_image *image;
    expect_usage(simclr_dataset_read(set, 6, &image, &err), "no image 6 in a set of 6");
    cr_expect_null(image);
    simclr_dataset_free(set);
    expect_usage(simclr_dataset_from_arrays(&set, engine, pictures[0], labels, 6, 12, 10, 2, &err), "1 or 3 channels, not 2");
    expect_usage(simclr_dataset_from_arrays(&set, engine, pictures[0], labels, 0, 12, 10, 3, &err), "(0, 12, 10, 3)");
    const int32_t bad[6] = {0, -2};
    expect_usage(simclr_dataset_from_arrays(&set, engine, pictures[0], bad, 6, 12, 10, 3, &err), "label -2 of image 1");
    cr_expect_null(set);
}

Test(api, files_are_a_data_set)
{
    simclr_dataset *set;
    simclr_image *image;
    const char *grey[] = {"channels=1", "limit=5", NULL}, *path = temp_path(root, "set.npy");
    cr_assert_eq(simclr_dataset_open(&set, engine, path, NULL, grey, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(simclr_dataset_count(set) == 5 && simclr_dataset_classes(set) == 2 && simclr_dataset_channels(set) == 1);
    cr_assert_eq(simclr_dataset_read(set, 0, &image, &err), SIMCLR_OK);
    cr_expect_eq(simclr_image_channels(image), 1);
    simclr_image_free(image);
    simclr_dataset_free(set);
    expect_usage(simclr_dataset_open(&set, engine, path, "test", NULL, &err), "has no split 'test'");
    expect_usage(simclr_dataset_open(&set, engine, path, "val", NULL, &err), "split 'val' is not one of train, test, labelled");
    cr_expect_eq(simclr_dataset_open(&set, engine, temp_path(root, "nowhere"), NULL, NULL, &err), SIMCLR_ERR_IO);
    cr_expect_null(set);
    write_gradient(temp_path(root, "a.bmp"), 9, 7, 1);
    temp_write(temp_path(root, "b.jpg"), "no picture", 10);
    const char *files[] = {strdup(temp_path(root, "a.bmp")), strdup(temp_path(root, "b.jpg"))};
    cr_assert_eq(simclr_dataset_open_files(&set, engine, files, 2, NULL, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(simclr_dataset_read(set, 0, &image, &err), SIMCLR_OK);
    cr_expect(simclr_image_width(image) == 9 && simclr_image_height(image) == 7);
    simclr_image_free(image);
    cr_expect_eq(simclr_dataset_read(set, 1, &image, &err), SIMCLR_ERR_FORMAT);
    expect_in(err.text, "b.jpg: ");
    simclr_model *model; /* what cannot be read has no features */
    cr_assert_eq(simclr_model_create(&model, engine, tiny, &err), SIMCLR_OK, "%s", err.text);
    float h[2][128], zero[128] = {0};
    bool broken[2];
    cr_assert_eq(simclr_embed(model, set, h[0], NULL, broken, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(!broken[0] && broken[1] && memcmp(h[0], zero, sizeof zero) != 0 && memcmp(h[1], zero, sizeof zero) == 0);
    simclr_model_free(model);
    simclr_dataset_free(set);
    free((void *)files[0]);
    free((void *)files[1]);
}

/* ---- models and features ---- */

Test(api, features_are_the_same_by_every_way)
{
    enum { H = 128, Z = 8 };
    static float h[4][6][H], z[4][6][Z], x[6 * 8 * 8 * 3];
    static uint8_t small[6 * 8 * 8 * 3];
    simclr_model *model, *again;
    simclr_dataset *set = set_of_arrays();
    cr_assert_eq(simclr_model_create(&model, engine, tiny, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(simclr_embed(model, set, h[0][0], z[0][0], NULL, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(simclr_embed_pixels(model, pictures[0], 6, 12, 10, 3, h[1][0], z[1][0], &err), SIMCLR_OK, "%s", err.text);
    expect_same_bits(h[0][0], h[1][0], 6 * H, "h of pixels");
    expect_same_bits(z[0][0], z[1][0], 6 * Z, "z of pixels");

    char *path = strdup(temp_path(root, "model.safetensors"));
    cr_assert_eq(simclr_model_save(model, path, true, &err), SIMCLR_OK, "%s", err.text);
    expect_usage(simclr_model_save(model, path, true, &err), "model.safetensors");
    char init[4200];
    snprintf(init, sizeof init, "init=%s", path);
    const char *loaded[] = {"arch=resnet18", "width=0.25", "stem=cifar", "image-size=8", "out-dim=8", "batch-size=6", "seed=5", init, NULL};
    cr_assert_eq(simclr_model_create(&again, engine, loaded, &err), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(simclr_model_hash(again), simclr_model_hash(model));
    cr_assert_eq(simclr_embed(again, set, h[2][0], NULL, NULL, &err), SIMCLR_OK, "%s", err.text);
    expect_same_bits(h[0][0], h[2][0], 6 * H, "h of another batch");
    simclr_model_free(again);

    for (int i = 0; i < 6 * 8 * 8 * 3; i++) /* an image of the network's size is bytes / 255 */
        small[i] = (uint8_t)(i * 7), x[i] = (float)small[i] / 255.0f;
    cr_assert_eq(simclr_embed_pixels(model, small, 6, 8, 8, 3, h[0][0], NULL, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(simclr_embed_floats(model, x, 6, h[3][0], z[3][0], &err), SIMCLR_OK, "%s", err.text);
    expect_same_bits(h[0][0], h[3][0], 6 * H, "h of floats");

    const char *grey[] = {"channels=1", NULL};
    simclr_dataset *other;
    cr_assert_eq(simclr_dataset_open(&other, engine, temp_path(root, "set.npy"), NULL, grey, &err), SIMCLR_OK);
    expect_usage(simclr_embed(model, other, h[0][0], NULL, NULL, &err), "open the set with channels=3");
    simclr_dataset_free(other);
    cr_assert_eq(simclr_embed_pixels(model, small, 2, 8, 8, 1, h[0][0], NULL, &err), SIMCLR_OK); /* grey pixels in colour */
    simclr_dataset_free(set);
    simclr_model_free(model);
    free(path);
}

static bool at_once(void *ctx)
{
    return ++*(int *)ctx > 0;
}

Test(api, a_wish_to_stop_is_heard)
{
    int asked = 0;
    simclr_model *model;
    simclr_dataset *set = set_of_arrays();
    float h[6 * 128];
    cr_assert_eq(simclr_model_create(&model, engine, tiny, &err), SIMCLR_OK, "%s", err.text);
    simclr_engine_set_stop(engine, at_once, &asked);
    cr_expect_eq(simclr_embed(model, set, h, NULL, NULL, &err), SIMCLR_ERR_CANCELLED);
    cr_expect_gt(asked, 0);
    simclr_model_free(model);
    simclr_dataset_free(set);
}

/* ---- memory ---- */

static enum simclr_status try_kernels(void)
{
    static float x[64 * 64], out[64 * 64];
    double loss;
    enum simclr_status status = simclr_nt_xent(engine, &loss, out, x, 64, 8, 0.5f, &err);
    if (status == SIMCLR_OK)
        status = simclr_gaussian_blur(engine, out, x, 2, 8, 8, 3, 3, 1.0f, &err);
    if (status == SIMCLR_OK)
        status = simclr_conv2d(engine, out, x, x, 1, 8, 8, 8, 8, 3, 1, 1, &err);
    if (status == SIMCLR_OK)
        status = simclr_sgemm(engine, SIMCLR_AT_B, out, x, x, 16, 16, 64, &err);
    return status == SIMCLR_OK ? simclr_cosine_similarity(engine, out, x, x, 16, 8, 8, &err) : status;
}

static enum simclr_status try_features(void)
{
    static float h[6 * 128];
    simclr_model *model;
    enum simclr_status status = simclr_model_create(&model, engine, tiny, &err);
    if (status == SIMCLR_OK)
        status = simclr_embed_pixels(model, pictures[0], 6, 12, 10, 3, h, NULL, &err);
    simclr_model_free(model);
    return status;
}

/* Images that are files, so that decoded ones are kept. */
static enum simclr_status try_training(void)
{
    simclr_dataset *set = NULL;
    simclr_trainer *trainer = NULL;
    simclr_model *model = NULL;
    enum simclr_status status = simclr_dataset_open(&set, engine, temp_path(root, "folder"), NULL, NULL, &err);
    if (status == SIMCLR_OK)
        status = simclr_trainer_create(&trainer, engine, set, tiny, &err);
    for (int i = 0; i < 2 && status == SIMCLR_OK; i++)
        status = simclr_trainer_step(trainer, NULL, &err);
    if (status == SIMCLR_OK)
        status = simclr_trainer_model(trainer, &model, 2, &err);
    simclr_model_free(model);
    simclr_trainer_free(trainer);
    simclr_dataset_free(set);
    return status;
}

/* With kNN before and after. */
static enum simclr_status try_run(void)
{
    static int run;
    char data[4200];
    snprintf(data, sizeof data, "data=%s", temp_path(root, "set.npy"));
    const char *settings[] = {data, "arch=resnet18", "width=0.25", "out-dim=8", "batch-size=16", "epochs=1", "knn-k=3", NULL};
    return simclr_run(engine, temp_path(root, "run%d", run++), false, settings, NULL, NULL, &err);
}

/* All comes from the allocator, and goes back; and when its n-th call fails, for every n, that is an error and nothing is lost. */
static void expect_frugal(enum simclr_status (*work)(void), size_t least, const char *what)
{
    struct counting count = {0};
    cr_assert_eq(simclr_engine_set_allocator(engine, counting_alloc, counting_free, &count, &err), SIMCLR_OK);
    cr_assert_eq(work(), SIMCLR_OK, "%s: %s", what, err.text);
    size_t calls = count.calls;
    cr_expect_geq(calls, least, "%s: only %zu blocks", what, calls);
    cr_expect_eq(count.live, 0, "%s: %d blocks are left", what, (int)count.live);
    for (size_t i = 1; i <= calls; i++) {
        count = (struct counting){.fail_at = i};
        enum simclr_status status = work();
        if (count.calls >= i) /* with threads, not every run makes as many */
            cr_expect_eq(status, SIMCLR_ERR_MEMORY, "%s: block %zu of %zu: %d, %s", what, i, calls, status, err.text);
        cr_expect_eq(count.live, 0, "%s: %d blocks are left after block %zu failed", what, (int)count.live, i);
    }
    cr_assert_eq(simclr_engine_set_allocator(engine, NULL, NULL, NULL, &err), SIMCLR_OK);
}

Test(api, memory_is_the_callers)
{
    for (int i = 0; i < 6; i++)
        write_gradient(temp_path(root, "folder/%d.bmp", i), 9, 8, (unsigned)i);
    expect_frugal(try_kernels, 5, "kernels");
    expect_frugal(try_features, 3, "features");
    expect_frugal(try_training, 9, "training");
    expect_frugal(try_run, 8, "a run");
}
