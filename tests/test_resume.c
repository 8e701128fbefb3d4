/* A run's beginning and its stops, and what a resumed one accepts: its own settings, and checkpoints that a run can have written. */
#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(resume, .init = small_runs_begin, .fini = small_runs_end, .timeout = 120);

/* ---- beginnings ---- */

/* The next try, with what was wrong mended, needs no other folder. */
Test(resume, a_run_that_fails_before_its_first_step_leaves_nothing)
{
    static const uint8_t bad[] = "BM";
    struct train_config own = config;
    config.batch_size = 100;
    cr_expect_eq(run_on("auto", 1, "run", false, (struct interruption){0}), SIMCLR_ERR_USAGE);
    config = own;
    for (int i = 0; i < 8; i++) /* found out in the first batch */
        temp_write(temp_path(root, "photos/%d.bmp", i), bad, 2);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "photos"));
    config.network.image_size = SIDE;
    cr_expect_eq(run_on("auto", 1, "run", false, (struct interruption){0}), SIMCLR_ERR_FORMAT);
    expect_in(err.text, "none of the 8 images can be read");
    cr_expect_eq(rmdir(temp_path(root, "run")), 0, "something is left");
    config = own;
    run_whole("run");
}

Test(resume, files_that_are_not_this_runs_are_not_touched)
{
    const char *const names[] = {"metrics.jsonl", "broken.txt", "metrics.csv", "events.out.tfevents.simclr"};
    size_t size;
    for (int i = 0; i < 4; i++) {
        temp_write(temp_path(root, "taken/%s", names[i]), "mine\n", 5);
        for (int resume = 0; resume < 2; resume++) {
            cr_expect_eq(run_on("auto", 1, "taken", resume, (struct interruption){0}), SIMCLR_ERR_USAGE);
            expect_in(err.text, temp_path(root, "taken/%s is there already, and of no run that can be resumed; move it away", names[i]));
        }
        char *text = file_of(&size, "taken", names[i]);
        cr_expect_str_eq(text, "mine\n");
        free(text);
        unlink(temp_path(root, "taken/%s", names[i]));
    }
    stop_at_seven("run");
    temp_write(temp_path(root, "run/metrics.jsonl"), "mine\n", 5);
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "run/metrics.jsonl is not of this run; move that file away");
    free(file_of(&size, "run", "metrics.jsonl"));
    cr_expect_eq(size, 5);
    temp_write(temp_path(root, "other/checkpoint-00000002.safetensors"), "", 0);
    cr_expect_eq(run_on("auto", 1, "other", false, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "other already holds a run (checkpoint-00000002.safetensors); go on with --resume");
}

/* All that differ, by name and with both values; a run without a checkpoint has settings too. */
Test(resume, settings_that_differ_are_named)
{
    struct train_config own = config;
    stop_at_seven("run");
    copy_run("run", "early");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(unlink(temp_path(root, "early/checkpoint-0000000%d.safetensors", (int[]){3, 6, 7}[i])), 0);
    config.limit = 16;
    config.batch_size = 5;
    config.keep_last = true;
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "was trained with --limit 0, --batch-size 4, --no-keep-last, not --limit 16, --batch-size 5, --keep-last; leave out");
    unlink(temp_path(root, "run/config.json")); /* then the checkpoint's word holds */
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, NEWEST " was trained with --limit 0, --batch-size 4, --no-keep-last, not ");
    config = own;
    resume_on("auto", 1, "run");
    cr_expect(is_there("run", "config.json"), "a config.json that was lost is not written again");
    config.epochs = 3;
    cr_expect_eq(run_on("auto", 1, "early", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "early/config.json was trained with --epochs 2, not --epochs 3; a run keeps its epochs, which its learning rate "
                        "follows: for others train anew, with -o ANOTHER");
}

/* ---- stopping ---- */

static bool stop_now;
static bool wants_stop(void *ctx) { (void)ctx; return stop_now; }

/* Sets the flag as evaluation number *ctx begins. */
static int stop_in_evaluation(void *ctx, const struct train_progress *progress, bool epoch_done)
{
    (void)epoch_done;
    int *left = ctx;
    stop_now |= strcmp(progress->phase, "knn") == 0 && (*left)-- == 0;
    return 0;
}

static enum simclr_status stopped_in(int evaluation, const char *run)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 2, .stop = {wants_stop, NULL}};
    stop_now = false;
    return train_run(&config, temp_path(root, "%s", run), true, &engine, stop_in_evaluation, &evaluation, &result, &err);
}

Test(resume, an_evaluation_that_was_left_is_made_again)
{
    run_whole("whole");
    cr_expect_eq(stopped_in(0, "run"), SIMCLR_ERR_CANCELLED);
    cr_expect_str_eq(err.text, "stopped before the first step; nothing was lost");
    cr_expect_eq(rmdir(temp_path(root, "run")), 0);
    cr_expect_eq(stopped_in(1, "run"), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "stopped after step 4 of 8; go on with --resume -o ");
    cr_expect(!is_there("run", "metrics.jsonl"));
    for (int i = 0; i < 2; i++) { /* again at once, which trains nothing */
        cr_expect_eq(stopped_in(0, "run"), SIMCLR_ERR_CANCELLED);
        cr_expect_eq(result.trained, 0);
    }
    cr_expect_eq(stopped_in(1, "run"), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "stopped after step 8 of 8");
    copy_run("run", "stopped");
    resume_on("auto", 1, "run");
    cr_expect(result.trained == 0 && result.knn >= 0);
    expect_same_run("whole", "run");
    resume_on("auto", 1, "run");
    expect_same_run("whole", "run");
    size_t size; /* killed after its line, before its checkpoint */
    char *metrics = file_of(&size, "whole", "metrics.jsonl");
    temp_write(temp_path(root, "stopped/metrics.jsonl"), metrics, size);
    resume_on("auto", 1, "stopped");
    expect_same_run("whole", "stopped");
    free(metrics);
}

/* Every step of the last epoch goes wrong, and its evaluation is left: all the same it ends with a line, which says what there is. */
Test(resume, an_epoch_of_skipped_steps_has_its_evaluation_too)
{
    config.on_nan = ON_NAN_SKIP;
    const char *const runs[] = {"whole", "run"};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(run_on("auto", 1, runs[i], false, (struct interruption){.step = 4}), SIMCLR_ERR_CANCELLED, "%s", err.text);
        const char *checkpoint = i ? "run/checkpoint-00000004.safetensors" : "whole/checkpoint-00000004.safetensors";
        poison_checkpoint(checkpoint, checkpoint, "head.2.weight", 3e38f, 512);
    }
    resume_on("auto", 1, "whole");
    cr_expect(result.skipped == 4 && result.trained == 4 && result.knn >= 0);
    size_t size;
    char *metrics = file_of(&size, "whole", "metrics.jsonl");
    expect_in(metrics, "{\"epoch\": 2, \"step\": 8, \"loss\": null, \"loss_floor\": ");
    expect_in(metrics, "\"loss_place\": null, \"retrieval@1\": null, \"retrieval@5\": null, \"alignment\": null, \"uniformity\": null, ");
    expect_in(metrics, "\"skipped\": 4, \"knn\": ");
    free(metrics);
    cr_expect_eq(stopped_in(0, "run"), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "stopped after step 8 of 8");
    resume_on("scalar", 2, "run");
    cr_expect(result.trained == 0 && result.knn >= 0);
    expect_same_run("whole", "run");
}

/* Asked while the images are looked for. */
Test(resume, a_long_list_of_images_is_left)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 1, .stop = {wants_stop, NULL}};
    write_gradient(temp_path(root, "photos/1.bmp"), SIDE, SIDE, 1);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "photos"));
    stop_now = true;
    cr_expect_eq(train_run(&config, temp_path(root, "run"), false, &engine, NULL, NULL, &result, &err), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "stopped while the images in ");
    cr_expect_eq(rmdir(temp_path(root, "run")), 0);
}

/* Whole files with the right checksum, of which no run can go on. */
Test(resume, checkpoints_of_nonsense_are_refused_by_name)
{
    const float infinite = (float)INFINITY, no_number = (float)NAN;
    const double no_loss = (double)NAN;
    const int64_t another_step = 6, more_steps_than_done = 8;
    const struct {
        const char *tensor, *told;
        size_t at;
        const void *bytes;
        size_t size;
    } cases[] = {{"conv1.weight", NEWEST " is damaged: tensor conv1.weight holds values that are not finite numbers", 0, &no_number, 4},
                 {"bn1.running_var", NEWEST " is damaged: tensor bn1.running_var holds values that", 8, &infinite, 4},
                 {"optimizer.exp_avg.layer1.0.conv1.weight", NEWEST " is damaged: tensor optimizer.exp_avg.layer1.0.conv1.weight holds", 0,
                  &no_number, 4},
                 {"trainer.state", NEWEST " is damaged: it holds step 6, and its name says another", 0, &another_step, 8},
                 {"trainer.state", NEWEST " is damaged: no run can be in the state that its trainer.state describes", 8, &more_steps_than_done, 8},
                 {"trainer.state", NEWEST " is damaged: no run can be in the state", 16, &no_loss, 8}};
    run_whole("whole");
    stop_at_seven("stopped");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy_run("stopped", "run");
        rewrite_checkpoint("run/" NEWEST, "run/" NEWEST, cases[i].tensor, cases[i].at, cases[i].bytes, cases[i].size);
        resume_on("auto", 1, "run");
        cr_expect(strstr(told, cases[i].told), "case %zu: %s", i, told);
        cr_expect(result.trained == 2 && is_there("run", NEWEST ".damaged"), "case %zu", i);
        expect_same_run("whole", "run");
    }
}
