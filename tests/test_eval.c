/* simclr eval as a user runs it. */
#include "tests/program.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(eval, .fini = leave_program, .timeout = 120);

static bool have_run(void)
{
    if (!have_program())
        return false;
    expect_output("train " TINY " --epochs 1 -o r", "checkpoint-00000005.safetensors");
    return true;
}

/* What it printed, to be freed by json_decref. */
static json_t *json_of(const char *arguments)
{
    json_error_t error;
    char quiet[256];
    snprintf(quiet, sizeof quiet, "%s 2>err.txt && :", arguments);
    cr_assert_eq(run(quiet), 0, "%s", output);
    json_t *json = json_loads(output, 0, &error);
    cr_assert(json, "%s: %s", error.text, output);
    return json;
}

static double number(const json_t *json, const char *key)
{
    cr_assert(json_is_number(json_object_get(json, key)), "%s", key);
    return json_number_value(json_object_get(json, key));
}

/* In the last line of the run's metrics. */
static double metric(const char *key)
{
    char line[4096] = "";
    FILE *file = fopen("r/metrics.jsonl", "r");
    cr_assert(file && fgets(line, sizeof line, file));
    fclose(file);
    json_t *json = json_loads(line, 0, NULL);
    double value = number(json, key);
    json_decref(json);
    return value;
}

static double cell(const json_t *part, int k, double temperature)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(json_object_get(part, "knn_sweep"), i, entry)
        if (number(entry, "k") == k && number(entry, "temperature") == temperature)
            return number(entry, "accuracy");
    cr_assert_fail("no k = %d, T = %g", k, temperature);
    return -1;
}

/* Of 40 images of ten classes. */
static void expect_classes_make_all(const json_t *json, const json_t *probe)
{
    const json_t *classes = json_object_get(probe, "class_accuracy");
    double right = 0;
    cr_expect_eq(json_array_size(classes), 10);
    for (size_t c = 0; c < 10; c++)
        right += json_number_value(json_array_get(classes, c)) * json_number_value(json_array_get(json_object_get(json, "class_images"), c));
    cr_expect(fabs(right / 40 - number(probe, "accuracy")) < 1e-6, "classes make %g, all %g", right / 40, number(probe, "accuracy"));
}

Test(eval, gives_the_runs_own_knn_before_and_after_training)
{
    if (!have_run())
        return;
    json_t *json = json_of("eval r --untrained --json");
    const json_t *h = json_object_get(json, "h"), *z = json_object_get(json, "z");
    const json_t *untrained = json_object_get(json_object_get(json, "untrained"), "h"), *probe = json_object_get(h, "linear_probe");
    cr_expect_eq(number(h, "knn"), metric("knn"));
    cr_expect_eq(number(untrained, "knn"), metric("knn_untrained"));
    cr_expect(number(json, "knn_k") == 40 && number(json, "knn_temperature") == 0.1, "k is cut to the images there are");
    cr_expect_eq(number(h, "knn"), cell(h, 40, 0.1));
    cr_expect(cell(h, 1, 0.05) == cell(h, 1, 0.5) && cell(z, 20, 0.2) >= 0);
    cr_expect(number(h, "dimensions") == 128 && number(z, "dimensions") == 16);
    cr_expect(number(json, "train_images") == 40 && number(json, "test_images") == 40 && number(json, "classes") == 10);
    expect_classes_make_all(json, probe);
    expect_classes_make_all(json, json_object_get(z, "linear_probe"));
    cr_expect(number(probe, "top5") >= number(probe, "accuracy"));
    cr_expect(number(probe, "held_out") > 0 && number(probe, "held_out") < 20);
    json_decref(json);
}

Test(eval, prints_the_same_on_every_isa_and_thread_count_and_changes_nothing)
{
    if (!have_run())
        return;
    cr_assert_eq(run("eval r --json 2>err.txt >a.json && ls -lA --time-style=full-iso r >before.txt"), 0, "%s", output);
    cr_assert_eq(run("eval r --json --isa scalar --threads 3 --batch-size 7 2>err.txt >b.json && :"), 0, "%s", output);
    cr_expect(same_files("a.json", "b.json"));
    cr_assert_eq(run("eval r/checkpoint-00000005.safetensors --json 2>err.txt >c.json && ls -lA --time-style=full-iso r >after.txt"), 0);
    cr_expect(same_files("a.json", "c.json") && same_files("before.txt", "after.txt"));
}

Test(eval, fits_a_screen)
{
    if (!have_run())
        return;
    expect_output("eval r", "linear probe");
    const char *const said[] = {"encoder: r/checkpoint-00000005.safetensors", "resnet18 x 0.25, 8 px, 5 steps", "the generated set of shapes",
                                "tested on the test split of the data", "kNN, k = 40, T = 0.1", "flatters", "k is 40"};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        cr_expect(strstr(output, said[i]), "'%s' is not in %s", said[i], output);
    int lines = 0, width = 0, widest = 0;
    for (const char *c = output; *c; c++) {
        lines += *c == '\n';
        width = *c == '\n' ? 0 : width + 1;
        widest = width > widest ? width : widest;
    }
    cr_expect(lines <= 40 && widest <= 110, "%d lines of up to %d columns", lines, widest);
    cr_expect_null(strchr(output, '\r'), "no bar outside of a terminal");
    expect_output("eval r --per-class --untrained", "h untrained");
    cr_expect(strstr(output, "class images"), "%s", output);
}

/* Two classes of grey, as many pictures as are asked for, and one that is broken. */
static void make_folder(int pictures)
{
    char path[64];
    for (int i = 0; i < pictures; i++) {
        snprintf(path, sizeof path, "set/%s/%02d.bmp", i % 2 ? "dark" : "light", i);
        write_flat(temp_path(".", "%s", path), 12, 12, i % 2 ? 40 + i : 200 + i, 90, 20);
    }
    temp_write(temp_path(".", "set/dark/torn.bmp"), "BM", 2);
}

#define SMALL "--arch resnet18 --width 0.25 --image-size 8 --stem cifar --batch-size 4 --out-dim 16 --augment cifar --threads 1 --epochs 1"

Test(eval, says_where_its_test_images_are_from)
{
    if (!have_program())
        return;
    make_folder(40);
    expect_output("train set -o own " SMALL, "own");
    expect_output("eval own", "that the run held out and never trained on");
    cr_expect(strstr(output, "1 image could not be read and was left out"), "%s", output);
    cr_expect(strstr(output, "2 classes"), "%s", output);
    expect_output("eval own set", "if the run trained on this data, then on them, too");
    expect_output("eval own --limit 30", "if the run trained on this data, then on them, too");
    expect_output("train set -o all --knn-every 0 " SMALL, "all");
    expect_output("eval all", "the run trained on them, too, without labels");
    cr_assert_eq(remove("own/config.json"), 0);
    expect_refusal("eval own", 2, "name DATA");
    expect_output("eval own set", "linear probe");
}

Test(eval, refusals_are_sentences)
{
    if (!have_run())
        return;
    expect_refusal("eval", 2, "name the run");
    expect_refusal("eval nothing", 1, "nothing");
    expect_refusal("eval r nothing", 1, "nothing");
    expect_refusal("eval r ''", 2, "DATA is empty");
    expect_refusal("eval r a b", 2, "'b'");
    expect_refusal("eval r --knn", 2, "--knn");
    cr_assert_eq(system("mkdir flat one one/only"), 0);
    for (int i = 0; i < 12; i++) {
        write_flat(temp_path(".", "flat/%d.bmp", i), 8, 8, 20 * i, 3, 4);
        write_flat(temp_path(".", "one/only/%d.bmp", i), 8, 8, 20 * i, 3, 4);
    }
    expect_refusal("eval r flat", 2, "no labels");
    expect_refusal("eval r one", 2, "label");
}

Test(eval, stops_at_a_signal)
{
    if (!have_run())
        return;
    pid_t child = start((const char *const[]){"simclr", "eval", "r", "--limit", "5000", "--isa", "scalar", "--threads", "1", NULL});
    wait_for_work(child, 0.3);
    kill(child, SIGTERM);
    cr_expect_eq(end_of(child), 128 + SIGTERM);
}
