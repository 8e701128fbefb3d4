/* Training through the library: the same weights as the program's run, through checkpoints too; and many engines side by side. */
#include "simclr/simclr.h"
#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char logged[2048];

static void log_text(void *ctx, enum simclr_log_level level, const char *text)
{
    (void)ctx;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s: %s\n", level == SIMCLR_LOG_WARNING ? "warning" : "notice", text);
}

static simclr_engine *engine_of(const char *isa, int threads)
{
    simclr_engine *engine;
    cr_assert_eq(simclr_engine_create(&engine, isa, threads, &err), SIMCLR_OK, "%s", err.text);
    simclr_engine_set_log(engine, log_text, NULL);
    return engine;
}

TestSuite(api_train, .init = small_runs_begin, .fini = small_runs_end);

/* Those of small_runs, without kNN: 20 images, 5 steps an epoch, 10 in all. */
static const char *const small[] = {"arch=resnet18", "width=0.25",    "out-dim=8",   "batch-size=4", "epochs=2",
                                    "augment=paper", "knn-every=0",   "keep=2",      NULL};
#define LAST "checkpoint-00000010.safetensors"

static simclr_dataset *open_set(const simclr_engine *engine, const char *name)
{
    simclr_dataset *set;
    cr_assert_eq(simclr_dataset_open(&set, engine, temp_path(root, "%s.npy", name), NULL, NULL, &err), SIMCLR_OK, "%s", err.text);
    return set;
}

static simclr_trainer *trainer_of(const simclr_engine *engine, const simclr_dataset *set)
{
    simclr_trainer *trainer;
    cr_assert_eq(simclr_trainer_create(&trainer, engine, set, small, &err), SIMCLR_OK, "%s", err.text);
    return trainer;
}

static void train(simclr_trainer *trainer, int steps)
{
    double loss;
    for (int i = 0; i < steps; i++) {
        cr_assert_eq(simclr_trainer_step(trainer, &loss, &err), SIMCLR_OK, "%s", err.text);
        cr_expect(loss > 0 && loss < 10, "loss %g", loss);
    }
}

static const char *folder_of(const char *name)
{
    const char *path = temp_path(root, "%s", name);
    mkdir(path, 0777);
    return path;
}

Test(api_train, steps_end_in_the_bytes_of_a_run)
{
    config.knn_every = 0;
    run_whole("whole");
    simclr_engine *engine = engine_of("auto", 3);
    simclr_dataset *set = open_set(engine, "set");
    simclr_trainer *trainer = trainer_of(engine, set);
    cr_expect(simclr_trainer_steps(trainer) == 10 && simclr_trainer_steps_per_epoch(trainer) == 5 && simclr_trainer_steps_done(trainer) == 0);
    train(trainer, 6);
    cr_assert_eq(simclr_trainer_save(trainer, folder_of("steps"), &err), SIMCLR_OK, "%s", err.text);
    expect_same_file("whole", "steps", "checkpoint-00000006.safetensors");
    simclr_trainer_free(trainer);
    simclr_engine_free(engine);

    engine = engine_of("scalar", 1); /* the set serves any engine */
    trainer = trainer_of(engine, set);
    cr_assert_eq(simclr_trainer_restore(trainer, temp_path(root, "steps"), &err), SIMCLR_OK, "%s", err.text);
    expect_in(logged, "notice: going on from ");
    cr_expect_eq(simclr_trainer_steps_done(trainer), 6);
    train(trainer, 4);
    cr_expect_eq(simclr_trainer_step(trainer, NULL, &err), SIMCLR_ERR_USAGE);
    expect_in(err.text, "all 10 steps are done");
    cr_assert_eq(simclr_trainer_save(trainer, temp_path(root, "steps"), &err), SIMCLR_OK, "%s", err.text);
    expect_same_file("whole", "steps", LAST);

    simclr_model *model, *loaded;
    cr_assert_eq(simclr_trainer_model(trainer, &model, 3, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(simclr_model_load(&loaded, engine, temp_path(root, "whole"), 3, &err), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(simclr_model_hash(model), simclr_model_hash(loaded));
    cr_expect(simclr_model_steps(model) == 10 && simclr_model_steps(loaded) == 10);
    char *first = strdup(temp_path(root, "first.safetensors")), *second = strdup(temp_path(root, "second.safetensors"));
    cr_assert_eq(simclr_model_save(model, first, true, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(simclr_model_save(loaded, second, true, &err), SIMCLR_OK, "%s", err.text);
    size_t size[2];
    char *bytes[2] = {file_of(&size[0], "", "first.safetensors"), file_of(&size[1], "", "second.safetensors")};
    cr_expect(size[0] == size[1] && memcmp(bytes[0], bytes[1], size[0]) == 0);
    free(bytes[0]);
    free(bytes[1]);
    free(first);
    free(second);
    simclr_model_free(model);
    simclr_model_free(loaded);
    simclr_trainer_free(trainer);
    simclr_dataset_free(set);
    simclr_engine_free(engine);
}

/* Of a program that writes numbers with a comma, as many do that have windows. */
Test(api_train, a_decimal_comma_changes_nothing)
{
    const char *folder = folder_of("locales");
    char command[4096];
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >%s/log 2>&1", folder, folder);
    if (system(command) != 0)
        cr_skip_test("no localedef, or no sources of locales (package locales)");
    simclr_engine *engine = engine_of("auto", 1);
    simclr_dataset *set = open_set(engine, "set");
    simclr_trainer *trainer = trainer_of(engine, set);
    train(trainer, 10);
    cr_assert_eq(simclr_trainer_save(trainer, folder_of("point"), &err), SIMCLR_OK, "%s", err.text);
    simclr_trainer_free(trainer);

    cr_assert_eq(setenv("LOCPATH", temp_path(root, "locales"), 1), 0);
    cr_assert_not_null(setlocale(LC_ALL, "de_DE.UTF-8"));
    char number[16];
    snprintf(number, sizeof number, "%.1f", 0.5);
    cr_assert_str_eq(number, "0,5");
    trainer = trainer_of(engine, set);
    cr_expect_eq(simclr_trainer_restore(trainer, temp_path(root, "point"), &err), SIMCLR_OK, "%s", err.text);
    simclr_trainer_free(trainer);
    trainer = trainer_of(engine, set);
    train(trainer, 10);
    cr_assert_eq(simclr_trainer_save(trainer, folder_of("comma"), &err), SIMCLR_OK, "%s", err.text);
    size_t size[2];
    char *bytes[2] = {file_of(&size[0], "point", LAST), file_of(&size[1], "comma", LAST)};
    cr_expect(size[0] == size[1] && memcmp(bytes[0], bytes[1], size[0]) == 0);
    free(bytes[0]);
    free(bytes[1]);
    simclr_trainer_free(trainer);
    const char *settings[] = {"data=", "arch=resnet18", "width=0.25", "image-size=16", "limit=40", "batch-size=10", "epochs=1", "lr=0.0003",
                              "knn-k=5", NULL};
    cr_expect_eq(simclr_run(engine, temp_path(root, "run"), false, settings, NULL, NULL, &err), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(simclr_run(engine, temp_path(root, "run"), true, settings, NULL, NULL, &err), SIMCLR_OK, "%s", err.text);
    simclr_dataset_free(set);
    simclr_engine_free(engine);
}

Test(api_train, what_cannot_be_trained_or_restored_is_told)
{
    simclr_engine *engine = engine_of("auto", 1);
    write_set("other", 3);
    simclr_dataset *set = open_set(engine, "set"), *other = open_set(engine, "other");
    simclr_trainer *trainer;
    const char *many[] = {"arch=resnet18", "batch-size=64", NULL}, *grey[] = {"channels=1", NULL};
    cr_expect_eq(simclr_trainer_create(&trainer, engine, set, many, &err), SIMCLR_ERR_USAGE);
    expect_in(err.text, "--batch-size 64 is larger than the set's 20 images");
    cr_expect_null(trainer);
    cr_expect_eq(simclr_trainer_create(&trainer, engine, set, grey, &err), SIMCLR_ERR_USAGE);
    expect_in(err.text, "have 3 channels, and channels is 1");
    trainer = trainer_of(engine, set);
    cr_expect_eq(simclr_trainer_restore(trainer, folder_of("empty"), &err), SIMCLR_ERR_IO);
    expect_in(err.text, "there is no checkpoint in ");
    cr_expect_eq(simclr_trainer_save(trainer, temp_path(root, "nowhere/at/all"), &err), SIMCLR_ERR_IO);
    train(trainer, 1);
    cr_assert_eq(simclr_trainer_save(trainer, folder_of("steps"), &err), SIMCLR_OK);
    simclr_trainer_free(trainer);
    trainer = trainer_of(engine, other);
    cr_expect_neq(simclr_trainer_restore(trainer, temp_path(root, "steps"), &err), SIMCLR_OK);
    expect_in(err.text, "restore a trainer on the same images");
    simclr_trainer_free(trainer);
    simclr_dataset_free(set);
    simclr_dataset_free(other);
    simclr_engine_free(engine);
}

Test(api_train, numbers_that_are_not_finite_leave_no_trace)
{
    simclr_engine *engine = engine_of("auto", 2);
    simclr_dataset *set = open_set(engine, "set");
    for (int skip = 0; skip < 2; skip++) {
        const char *wild[] = {"arch=resnet18", "width=0.25", "out-dim=8", "batch-size=4", "optimizer=sgd", "lr=1000", "wd=10",
                              skip ? "on-nan=skip" : "on-nan=stop", NULL};
        simclr_trainer *trainer;
        enum simclr_status status = SIMCLR_OK;
        double loss = 0;
        cr_assert_eq(simclr_trainer_create(&trainer, engine, set, wild, &err), SIMCLR_OK, "%s", err.text);
        simclr_model *before = NULL, *after;
        for (int i = 0; i < 60 && status == SIMCLR_OK && isfinite(loss); i++) {
            simclr_model_free(before);
            cr_assert_eq(simclr_trainer_model(trainer, &before, 1, &err), SIMCLR_OK);
            status = simclr_trainer_step(trainer, &loss, &err);
        }
        cr_expect_eq(status, skip ? SIMCLR_OK : SIMCLR_ERR_NONFINITE);
        cr_expect(isnan(loss));
        expect_in(skip ? logged : err.text, skip ? "; skipped" : "step ");
        cr_assert_eq(simclr_trainer_model(trainer, &after, 1, &err), SIMCLR_OK);
        cr_expect_eq(simclr_model_hash(before), simclr_model_hash(after));
        cr_expect_eq(simclr_trainer_steps_done(trainer) - simclr_model_steps(before), (uint64_t)skip);
        simclr_model_free(before);
        simclr_model_free(after);
        simclr_trainer_free(trainer);
    }
    simclr_dataset_free(set);
    simclr_engine_free(engine);
}

/* ---- whole runs ---- */

struct seen {
    uint64_t steps, stop_at;
    int epochs;
    bool began, saved;
    double knn, loss;
};

static bool look(void *ctx, const simclr_progress *progress)
{
    struct seen *s = ctx;
    const char *phase = simclr_progress_phase(progress);
    s->began |= strcmp(phase, "begin") == 0;
    s->saved |= strcmp(phase, "checkpoint") == 0;
    if (strcmp(phase, "train") != 0)
        return false;
    cr_expect_eq(simclr_progress_step(progress), ++s->steps);
    cr_expect_eq(simclr_progress_steps(progress), STEPS);
    cr_expect_eq(simclr_progress_epoch(progress), (int)((s->steps - 1) / 4 + 1));
    cr_expect(simclr_progress_images_per_second(progress) > 0 && simclr_progress_seconds_left(progress) >= 0);
    s->epochs += simclr_progress_epoch_done(progress);
    s->loss = simclr_progress_loss(progress);
    if (simclr_progress_epoch_done(progress))
        s->knn = simclr_progress_knn(progress);
    return s->stop_at == s->steps;
}

Test(api_train, a_whole_run_is_the_programs)
{
    run_whole("whole");
    char data[4200];
    snprintf(data, sizeof data, "data=%s", temp_path(root, "set.npy"));
    const char *settings[] = {data, "arch=resnet18", "width=0.25", "out-dim=8", "batch-size=4", "epochs=2", "augment=paper", "knn-k=5",
                              "checkpoint-every=3", "keep=0", NULL};
    simclr_engine *engine = engine_of("auto", 2);
    struct seen seen = {.stop_at = 5};
    cr_expect_eq(simclr_run(engine, temp_path(root, "run"), false, settings, look, &seen, &err), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "stopped after step 5 of 8");
    cr_expect(seen.began && seen.saved && seen.steps == 5);
    cr_expect_eq(simclr_run(engine, temp_path(root, "run"), false, settings, look, &seen, &err), SIMCLR_ERR_USAGE);
    seen.stop_at = 0;
    cr_assert_eq(simclr_run(engine, temp_path(root, "run"), true, settings, look, &seen, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(seen.steps == STEPS && seen.epochs == 2 && seen.knn >= 0 && seen.knn <= 1 && seen.loss > 0);
    expect_same_run("whole", "run");
    simclr_engine_free(engine);
}

/* ---- an engine a thread ---- */

enum { SESSIONS = 8, IMAGES = 12, ROWS = 40, DIM = 16 };
static uint8_t pixels[IMAGES * SIDE * SIDE * 3];

struct session {
    int number;
    uint64_t model;
    float values[ROWS * DIM + SIDE * SIDE * 3 + 128];
    bool done;
};

/* Two steps of training, the features of an image, a gradient and a blur. */
static bool work(struct session *s, simclr_engine *engine)
{
    static const char *const settings[] = {"arch=resnet18", "width=0.25", "out-dim=8", "batch-size=4", "epochs=1", "temperature=0.5", NULL};
    simclr_dataset *set = NULL;
    simclr_trainer *trainer = NULL;
    simclr_model *model = NULL;
    double loss;
    float *at = s->values, x[SIDE * SIDE * 3], z[ROWS * DIM];
    for (int i = 0; i < ROWS * DIM; i++)
        z[i] = (float)(i * 37 % 101) / 101.0f;
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        x[i] = (float)pixels[i] / 255.0f;
    bool good = !simclr_dataset_from_arrays(&set, engine, pixels, NULL, IMAGES, SIDE, SIDE, 3, NULL) &&
                !simclr_trainer_create(&trainer, engine, set, settings, NULL) && !simclr_trainer_step(trainer, &loss, NULL) &&
                !simclr_trainer_step(trainer, &loss, NULL) && !simclr_trainer_model(trainer, &model, 2, NULL) &&
                !simclr_nt_xent(engine, &loss, at, z, ROWS, DIM, 0.5f, NULL) &&
                !simclr_gaussian_blur(engine, at + ROWS * DIM, x, 1, SIDE, SIDE, 3, 5, 1.5f, NULL) &&
                !simclr_embed_pixels(model, pixels, 1, SIDE, SIDE, 3, at + ROWS * DIM + SIDE * SIDE * 3, NULL, NULL);
    s->model = good ? simclr_model_hash(model) : 0;
    simclr_model_free(model);
    simclr_trainer_free(trainer);
    simclr_dataset_free(set);
    return good;
}

static void *run_session(void *ctx)
{
    struct session *s = ctx;
    size_t isa = (size_t)s->number % simclr_isa_count();
    simclr_engine *engine;
    if (!simclr_isa_supported(isa))
        isa = 0;
    if (simclr_engine_create(&engine, simclr_isa_name(isa), 1 + s->number % 3, NULL) == SIMCLR_OK)
        s->done = work(s, engine);
    simclr_engine_free(engine);
    return NULL;
}

Test(api_threads, an_engine_a_thread)
{
    static struct session sessions[SESSIONS];
    pthread_t threads[SESSIONS];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 31 % 253);
    for (int i = 0; i < SESSIONS; i++) {
        sessions[i].number = i;
        cr_assert_eq(pthread_create(&threads[i], NULL, run_session, &sessions[i]), 0);
    }
    for (int i = 0; i < SESSIONS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert(sessions[i].done, "session %d failed", i);
        cr_expect_eq(sessions[i].model, sessions[0].model, "session %d has other weights", i);
        expect_same_bits(sessions[0].values, sessions[i].values, sizeof sessions[i].values / sizeof(float), "session %d", i);
    }
}
