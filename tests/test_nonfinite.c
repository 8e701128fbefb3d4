/* Steps whose loss, gradient or statistics are not finite: nothing of them stays, they are named, kept, and repeated. */
#include "io/safetensors.h"
#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"
#include "train/nonfinite.h"
#include "train/optim.h"
#include "train/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(nonfinite, .init = small_runs_begin, .fini = small_runs_end, .timeout = 120);

/* ---- the gradient's check ---- */

Test(nonfinite, a_gradient_is_finite_or_not_on_every_isa)
{
    const struct tensor_info tensors[] = {{.offset = 0, .count = 7}, {.offset = 16, .count = 40001}, {.offset = 40032, .count = 1}};
    const size_t places[] = {0, 6, 16, 16 + 16383, 16 + 16384, 16 + 40000, 40032};
    const float values[] = {NAN, INFINITY, -INFINITY, 2e19f, -3e38f};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    float *g = calloc(40048, sizeof *g);
    for (size_t i = 0; i < 40048; i++)
        g[i] = i % 2 ? 1e17f : -1e-40f;
    for (size_t i = 0; i < count; i++)
        for (int threads = 1; threads <= 3; threads++) {
            struct engine engine = {.kernels = isas[i], .threads = threads};
            cr_expect(optim_gradient_is_finite(&engine, tensors, 3, g), "%s", isas[i]->name);
            g[8] = NAN; /* between tensors lies nothing of the gradient */
            cr_expect(optim_gradient_is_finite(&engine, tensors, 3, g), "%s", isas[i]->name);
            for (size_t p = 0; p < sizeof places / sizeof *places; p++)
                for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                    float old = g[places[p]];
                    g[places[p]] = values[v];
                    cr_expect_not(optim_gradient_is_finite(&engine, tensors, 3, g), "%s, %g at %zu", isas[i]->name, (double)values[v], places[p]);
                    g[places[p]] = old;
                }
        }
    free(g);
}

Test(nonfinite, what_is_watched_is_counted)
{
    const float x[] = {3, NAN, -INFINITY, -2, INFINITY, 0, -NAN}, nothing[] = {NAN, INFINITY};
    struct watched w = {0}, none = {0}, whole = {0};
    watch_values(&w, x, 7);
    cr_expect(w.wrong && w.count == 7 && w.nan == 2 && w.infinite == 2 && w.min == -2 && w.max == 3);
    watch_values(&none, nothing, 2);
    cr_expect(none.wrong && none.min == 0 && none.max == 0);
    watch_values(&whole, x, 1);
    cr_expect(!whole.wrong && whole.min == 3 && whole.max == 3);
    const float mean[] = {1, 0}, scale[] = {2, INFINITY}, shift[] = {0.5f, 0};
    struct watched normed = {0};
    watch_input(&normed, &(struct conv_input){x + 2, mean, scale, shift, true}, 2, 2);
    cr_expect(normed.count == 4 && normed.nan == 1 && normed.infinite == 3, "%zu %zu", normed.nan, normed.infinite);
}

Test(nonfinite, it_is_said_in_words)
{
    char text[256];
    struct first_wrong first = {0};
    struct watched w = {.layer = "fc", .tensor = "weight gradient", .count = 9, .min = -3e19f, .max = 2};
    first_wrong_see(&first, &w);
    first_wrong_text(text, sizeof text, &first);
    cr_expect_str_eq(text, "nothing: computed again, every number is finite");
    w.wrong = true;
    first_wrong_see(&first, &w);
    first_wrong_text(text, sizeof text, &first);
    cr_expect_str_eq(text, "the weight gradient of fc, from -3e+19 to 2, is too large to be squared");
    w.nan = 1;
    first_wrong_see(&first, &w);
    cr_expect_eq(first.tensor.nan, 0, "the first stays");
    first.tensor = w;
    first_wrong_text(text, sizeof text, &first);
    cr_expect_str_eq(text, "the weight gradient of fc has 1 NaN among 9 values");
    first.tensor.infinite = 2;
    first_wrong_text(text, sizeof text, &first);
    cr_expect_str_eq(text, "the weight gradient of fc has 1 NaN and 2 infinities among 9 values");
    strcpy(first.tensor.layer, "loss");
    first_wrong_text(text, sizeof text, &first);
    cr_expect_str_eq(text, "the loss is not a number");
}

/* ---- whole runs ---- */

enum { PHOTOS = 16, BRIGHT = 7 };

/* Pictures without red, but for one; 4 steps an epoch, 2 epochs, a checkpoint every step. */
static void write_photos(void)
{
    for (int i = 0; i < PHOTOS; i++)
        write_flat(temp_path(root, "photos/%02d.bmp", i), 8, 8, i == BRIGHT ? 255 : 0, 15 * i, 255 - 11 * i);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "photos"));
    augment_preset(&config.augment, "none");
    snprintf(config.augment_name, sizeof config.augment_name, "none");
    config.optim.weight_decay = 0;
    config.checkpoint_every = 1;
}

/* A run stopped after its first step, whose first channel then multiplies red by so much that red cannot be multiplied. */
static void begin_poisoned(const char *run)
{
    char checkpoint[64];
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint-00000001.safetensors", run);
    cr_assert_eq(run_on("auto", 1, run, false, (struct interruption){.step = 1}), SIMCLR_ERR_CANCELLED, "%s", err.text);
    poison_checkpoint(checkpoint, checkpoint, "conv1.weight", 1e38f, 9);
}

/* The step of the only dump, 2 to 8. */
static int dumped_step(const char *run, int after)
{
    char name[40];
    for (int step = after + 1; step <= STEPS; step++) {
        snprintf(name, sizeof name, "nonfinite-%08d", step);
        if (is_there(run, name))
            return step;
    }
    return 0;
}

Test(nonfinite, a_stopped_run_is_as_before_the_step_and_says_where_it_went_wrong)
{
    char path[80], before[40];
    size_t size;
    write_photos();
    begin_poisoned("run");
    cr_expect_eq(run_on("auto", 2, "run", true, (struct interruption){0}), SIMCLR_ERR_NONFINITE);
    int step = dumped_step("run", 1);
    cr_assert(step > 1 && result.steps == (uint64_t)step - 1, "%s", err.text);
    snprintf(path, sizeof path, "step %d: the output of conv1 has ", step);
    cr_expect(strncmp(err.text, path, strlen(path)) == 0 && strstr(err.text, "infinit") && strstr(err.text, "(4 images: ") &&
              strstr(err.text, "simclr replay ") && strstr(err.text, "--resume --on-nan skip"), "%s", err.text);

    /* What the step had touched is as before: the same bytes as the checkpoint of the step before. */
    snprintf(before, sizeof before, "checkpoint-%08d.safetensors", step - 1);
    snprintf(path, sizeof path, "run/nonfinite-%08d", step);
    expect_same_file("run", path, before);
    snprintf(before, sizeof before, "checkpoint-%08d.safetensors", step);
    cr_expect_not(is_there("run", before));
    char *images = file_of(&size, path, "images.txt");
    cr_expect(strstr(images, "07.bmp\n") && size == 4 * strlen("07.bmp\n"), "%s", images);
    free(images);

    /* Again, and from other kernels. */
    char first[sizeof err.text];
    memcpy(first, err.text, sizeof first);
    cr_expect_eq(run_on("scalar", 3, "run", true, (struct interruption){0}), SIMCLR_ERR_NONFINITE);
    cr_expect_str_eq(err.text, first);
}

/* The weights of the batch's step are those before it. */
static void expect_nothing_learnt(const char *run, int step)
{
    struct safetensors *file[2];
    for (int i = 0; i < 2; i++)
        cr_assert_eq(safetensors_open(&file[i], temp_path(root, "%s/checkpoint-%08d.safetensors", run, step - 1 + i), &err), SIMCLR_OK, "%s", err.text);
    size_t same = 0, n = safetensors_count(file[0]);
    for (size_t i = 0; i < n; i++) {
        const struct safetensors_entry *a = safetensors_at(file[0], i), *b = safetensors_find(file[1], a->name);
        same += a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
    }
    cr_expect_eq(same, n - 1, "all but the place in the run");
    safetensors_close(file[0]);
    safetensors_close(file[1]);
}

/* The step moved the weights as Adam does in its step number `count`. */
static void expect_adam_counts(const char *run, int step, int count)
{
    static const char *const names[] = {"head.2.weight", "head.2.weight", "optimizer.exp_avg.head.2.weight", "optimizer.exp_avg_sq.head.2.weight"};
    struct safetensors *file[2];
    const float *x[4]; /* weights before and after, and both moments */
    size_t n = 0;
    for (int i = 0; i < 2; i++)
        cr_assert_eq(safetensors_open(&file[i], temp_path(root, "%s/checkpoint-%08d.safetensors", run, step - 1 + i), &err), SIMCLR_OK, "%s", err.text);
    for (int i = 0; i < 4; i++) {
        const struct safetensors_entry *e = safetensors_find(file[i > 0], names[i]);
        n = e->bytes / sizeof(float);
        x[i] = e->data;
    }
    const struct optim_config *c = &config.optim;
    double lr = schedule_lr(config.lr, (uint64_t)step - 1, 0, STEPS), moved = 0, wrong = 0;
    for (size_t i = 0; i < n; i++) {
        double m = (double)x[2][i] / (1 - pow(c->beta1, count)), v = (double)x[3][i] / (1 - pow(c->beta2, count));
        double change = (double)x[1][i] - (double)x[0][i];
        moved += fabs(change);
        wrong += fabs(change + lr * m / (sqrt(v) + c->eps));
    }
    cr_expect(moved > 0 && wrong < 0.01 * moved, "%g of %g", wrong, moved);
    safetensors_close(file[0]);
    safetensors_close(file[1]);
}

/* What the checkpoint says of all steps so far, and of the last ones in a row. */
static void expect_skips(const char *run, int step, int64_t skipped, int64_t in_a_row)
{
    struct safetensors *file;
    int64_t words[9];
    cr_assert_eq(safetensors_open(&file, temp_path(root, "%s/checkpoint-%08d.safetensors", run, step), &err), SIMCLR_OK, "%s", err.text);
    memcpy(words, safetensors_find(file, "trainer.state")->data, sizeof words);
    cr_expect(words[7] == skipped && words[8] == in_a_row, "step %d: %d, %d", step, (int)words[7], (int)words[8]);
    safetensors_close(file);
}

Test(nonfinite, a_run_that_skips_and_is_resumed_is_the_run)
{
    size_t size;
    write_photos();
    config.on_nan = ON_NAN_SKIP;
    config.warmup_epochs = 0;
    begin_poisoned("whole");
    resume_on("auto", 1, "whole");
    int first = dumped_step("whole", 1), second = dumped_step("whole", first);
    cr_assert(first && first <= 5 && result.steps == STEPS && result.trained == STEPS - 1);
    cr_expect_eq(result.skipped, second ? 2 : 1);
    cr_expect(strstr(told, "warning: step ") && strstr(told, "; skipped\n"), "%s", told);
    expect_nothing_learnt("whole", first);
    cr_assert_neq(second, first + 1);
    expect_adam_counts("whole", first + 1, first);
    expect_skips("whole", first, 1, 1);
    expect_skips("whole", first + 1, 1, 0);
    char *metrics = file_of(&size, "whole", "metrics.jsonl");
    cr_expect(strstr(metrics, "\"skipped\": 1, "), "%s", metrics);
    free(metrics);

    const char *const isas[] = {"scalar", "auto"};
    begin_poisoned("parts");
    for (uint64_t step = 2; step < STEPS; step++)
        cr_assert_eq(run_on(isas[step % 2], 1 + (int)step % 3, "parts", true, (struct interruption){.step = step}), SIMCLR_ERR_CANCELLED, "%s", err.text);
    resume_on("auto", 2, "parts");
    expect_same_run("whole", "parts");
    cr_expect_eq(result.skipped, second ? 2 : 1);
}

/* From a checkpoint every step of which goes wrong. Half of them are skipped before it is stopped and resumed. */
Test(nonfinite, skipping_ends_after_ten_in_a_row)
{
    write_photos();
    config.on_nan = ON_NAN_SKIP;
    config.epochs = 4;
    cr_assert_eq(run_on("auto", 1, "run", false, (struct interruption){.step = 1}), SIMCLR_ERR_CANCELLED);
    poison_checkpoint("run/checkpoint-00000001.safetensors", "run/checkpoint-00000001.safetensors", "head.2.weight", 3e38f, 512);
    cr_assert_eq(run_on("auto", 1, "run", true, (struct interruption){.step = 6}), SIMCLR_ERR_CANCELLED, "%s", err.text);
    cr_expect_eq(result.skipped, 5);
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_NONFINITE);
    cr_expect(strncmp(err.text, "step 11: ", 9) == 0 && strstr(err.text, "10 in a row"), "%s", err.text);
    cr_expect(is_there("run", "nonfinite-00000004") && !is_there("run", "nonfinite-00000005"), "three are kept");
    cr_expect(is_there("run", "checkpoint-00000010.safetensors") && !is_there("run", "checkpoint-00000011.safetensors"));
    config.on_nan = ON_NAN_STOP; /* this one is always kept */
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_NONFINITE);
    cr_expect(is_there("run", "nonfinite-00000011"));
}

/* Batches of 6, 6 and 4 black pictures: their views cannot be told apart, and the loss is ln(2 N - 1) of each. */
Test(nonfinite, a_short_batch_counts_by_its_images_beside_a_skipped_one)
{
    size_t size;
    write_photos();
    for (int i = 0; i < PHOTOS; i++)
        write_flat(temp_path(root, "photos/%02d.bmp", i), 8, 8, i == BRIGHT ? 255 : 0, 0, 0);
    config.on_nan = ON_NAN_SKIP;
    config.batch_size = 6;
    config.keep_last = true;
    begin_poisoned("run");
    resume_on("auto", 1, "run");
    int step = dumped_step("run", 3);
    cr_assert(step == 4 || step == 5, "step %d: the bright picture is in a batch of 6", step);
    char *metrics = file_of(&size, "run", "metrics.jsonl"), *last = strstr(metrics, "\"epoch\": 2"), *place = strstr(last, "\"loss_place\": ");
    double all = (6 * log(11) + 4 * log(7)) / 10;
    cr_expect(fabs(strtod(strstr(last, "\"loss\": ") + 8, NULL) - all) < 1e-5 && fabs(strtod(place + 14, NULL)) < 1e-5, "%g: %s", all, last);
    cr_expect(strstr(last, "\"skipped\": 1, "), "%s", last);
    free(metrics);
}

/* The norm makes zeros of what it divides by an infinity: the loss stays finite. */
Test(nonfinite, what_the_loss_does_not_show)
{
    write_photos();
    cr_assert_eq(run_on("auto", 1, "run", false, (struct interruption){.step = 1}), SIMCLR_ERR_CANCELLED);
    poison_checkpoint("variance/checkpoint-00000001.safetensors", "run/checkpoint-00000001.safetensors", "layer2.0.conv1.weight", 1e24f, 16 * 9);
    cr_expect_eq(run_on("auto", 1, "variance", true, (struct interruption){0}), SIMCLR_ERR_NONFINITE);
    cr_expect(strstr(err.text, "the running variance of layer2.0.bn1 has 1 infinity among 32 values"), "%s", err.text);
}

/* ---- replay ---- */

struct seen {
    int begun, forward, backward, passes;
    char first[64];
};

static void begin(void *ctx, const struct replay *replay)
{
    struct seen *seen = ctx;
    seen->begun++;
    cr_expect(replay->images == BATCH);
}

static void see(void *ctx, const struct watched *tensor)
{
    struct seen *seen = ctx;
    seen->forward += !tensor->backward;
    seen->backward += tensor->backward;
    seen->passes += strcmp(tensor->layer, "images 1-3") == 0 || strcmp(tensor->layer, "images 4-4") == 0;
    if (tensor->wrong && !seen->first[0])
        strcpy(seen->first, tensor->layer);
}

Test(nonfinite, a_replay_finds_the_same_on_every_isa)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    write_photos();
    begin_poisoned("run");
    cr_assert_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_NONFINITE);
    cr_assert_eq(rename(temp_path(root, "photos"), temp_path(root, "gone")), 0); /* the images are not needed */
    int step = dumped_step("run", 1);
    for (size_t i = 0; i < count; i++) {
        struct engine engine = {.kernels = isas[i], .threads = 1 + (int)i};
        struct seen seen = {0};
        struct replay replay;
        char found[256];
        const char *path = i % 2 ? temp_path(root, "run") : temp_path(root, "run/nonfinite-%08d", step);
        cr_assert_eq(nonfinite_replay(&replay, path, &engine, begin, see, &seen, &err), SIMCLR_OK, "%s", err.text);
        first_wrong_text(found, sizeof found, &replay.first);
        cr_expect_str_eq(found, replay.recorded);
        cr_expect(replay.step == (uint64_t)step && seen.begun == 1 && strcmp(seen.first, "conv1") == 0, "%s", seen.first);
        /* images, 20 normed convolutions of 4 tensors, 8 sums, pool, 2 linear layers, loss; backward the gradients of 31 nodes and
         * 20 convolutions, and 64 of parameters (20 x 3 + 4) */
        cr_expect(seen.forward == 1 + 80 + 8 + 1 + 2 + 1 && seen.backward == 23 + 20 + 64, "%d, %d", seen.forward, seen.backward);
    }
}

/* The bright picture may be in either pass; in the first ones of both, and in their second ones. */
Test(nonfinite, a_step_in_micro_batches_is_replayed)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 2};
    struct seen seen = {0};
    struct replay replay;
    char found[256];
    write_photos();
    config.micro_batch = 3;
    begin_poisoned("run");
    cr_assert_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_NONFINITE);
    int step = dumped_step("run", 1);
    cr_expect_eq(result.steps, (uint64_t)step - 1);
    cr_assert_eq(rename(temp_path(root, "photos"), temp_path(root, "gone")), 0);
    cr_assert_eq(nonfinite_replay(&replay, temp_path(root, "run"), &engine, begin, see, &seen, &err), SIMCLR_OK, "%s", err.text);
    first_wrong_text(found, sizeof found, &replay.first);
    cr_expect_str_eq(found, replay.recorded);
    cr_expect(seen.passes == 4 && strcmp(seen.first, "conv1") == 0, "%d, %s", seen.passes, seen.first);
}

Test(nonfinite, there_is_nothing_to_replay)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 1};
    struct seen seen = {0};
    struct replay replay;
    run_whole("run");
    cr_expect_eq(nonfinite_replay(&replay, temp_path(root, "run"), &engine, begin, see, &seen, &err), SIMCLR_ERR_USAGE);
    cr_expect(strstr(err.text, "run holds no step to replay"), "%s", err.text);
    cr_expect_eq(nonfinite_replay(&replay, temp_path(root, "nowhere"), &engine, begin, see, &seen, &err), SIMCLR_ERR_IO);
    cr_expect(strstr(err.text, "nowhere: No such file"), "%s", err.text);
    cr_expect_eq(seen.begun, 0);
}
