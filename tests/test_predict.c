/* simclr finetune and predict as a user runs them: what is told of images, and what is refused. */
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

TestSuite(predict, .fini = leave_program, .timeout = 120);

enum { TRAIN = 30, VAL = 12 };

/* An encoder, and photos of three classes: red, green and 'a "b", c'. */
static bool have_run(void)
{
    static const char *const classes[] = {"red", "green", "a \"b\", c"};
    if (!have_program())
        return false;
    expect_output("train -o run " TINY " --epochs 1 --knn-every 0", "checkpoint-00000005.safetensors");
    for (int i = 0; i < TRAIN + VAL; i++)
        write_flat(temp_path(".", "photos/%s/%s/%02d.bmp", i < TRAIN ? "train" : "val", classes[i % 3], i), 8, 8, i % 3 == 0 ? 250 - i : i,
                   i % 3 == 1 ? 250 - i : 20, i % 3 == 2 ? 200 : 0);
    return true;
}

static bool have_classifier(void)
{
    if (!have_run())
        return false;
    expect_output("finetune run photos --labels 50% --epochs 5 -b 5 --lr 0.5 --threads 1",
                  "50 % of the labels: 15 images of 3 classes, 5 of each\n         tested on the test split of the data");
    cr_assert(strstr(output, "written: run/finetune-50\n"), "%s", output);
    return true;
}

static json_t *json_at(const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);
    cr_assert(json, "%s: %s", path, error.text);
    return json;
}

/* In the last line of the classifier's metrics. */
static double test_accuracy(void)
{
    char line[1024];
    FILE *file = fopen("run/finetune-50/metrics.jsonl", "r");
    cr_assert_not_null(file);
    for (int i = 0; i < 5; i++)
        cr_assert(fgets(line, sizeof line, file));
    fclose(file);
    json_t *json = json_loads(line, 0, NULL);
    cr_assert(json_is_number(json_object_get(json, "test_accuracy")), "%s", line);
    double accuracy = json_number_value(json_object_get(json, "test_accuracy"));
    json_decref(json);
    return accuracy;
}

Test(predict, tells_what_the_test_of_fine_tuning_found)
{
    if (!have_classifier())
        return;
    expect_output("predict run/finetune-50 photos --split test --json --top 9 -o p.json", "told the classes of 12 images: p.json");
    json_t *rows = json_at("p.json"), *row;
    size_t i, k, right = 0;
    cr_assert_eq(json_array_size(rows), VAL);
    json_array_foreach(rows, i, row) {
        json_t *classes = json_object_get(row, "classes"), *class;
        double sum = 0, last = 1;
        cr_assert_eq(json_array_size(classes), 3, "no more than there are");
        json_array_foreach(classes, k, class) {
            double p = json_number_value(json_object_get(class, "probability"));
            cr_expect(p <= last && p >= 0, "likeliest first");
            sum += last = p;
        }
        cr_expect(fabs(sum - 1) < 1e-6, "%g", sum);
        const char *name = json_string_value(json_object_get(row, "name")), *best = json_string_value(json_object_get(json_array_get(classes, 0), "class"));
        right += strncmp(name, best, strlen(best)) == 0 && name[strlen(best)] == '/';
    }
    cr_expect_eq((double)right / VAL, test_accuracy());
    cr_expect(right > VAL / 2, "%zu of %d are right", right, VAL);
    json_decref(rows);
}

Test(predict, is_the_same_for_every_isa_batch_and_thread_count)
{
    if (!have_classifier())
        return;
    cr_assert_eq(run("predict run/finetune-50 photos -k 2 -o a.csv --isa scalar --threads 1 -b 1"), 0, "%s", output);
    cr_assert_eq(run("predict run/finetune-50/classifier.safetensors photos -k 2 -o b.csv --threads 3 -b 7"), 0, "%s", output);
    cr_expect(same_files("a.csv", "b.csv"));
    expect_output("predict run/finetune-50 photos/train/red/00.bmp photos/train/'a \"b\", c'/02.bmp --top 2",
                  "name,class,probability,class_2,probability_2\nphotos/train/red/00.bmp,");
    cr_expect_not_null(strstr(output, "\n\"photos/train/a \"\"b\"\", c/02.bmp\",\"a \"\"b\"\", c\",0."), "%s", output);
}

Test(predict, leaves_broken_images_out_and_lists_them)
{
    if (!have_classifier())
        return;
    temp_write(temp_path(".", "mixed/broken.png"), "no", 2);
    write_flat("mixed/whole.bmp", 9, 8, 200, 20, 0);
    expect_output("predict run/finetune-50 mixed/broken.png mixed/whole.bmp nothing.png", "\nmixed/whole.bmp,red,");
    cr_expect_not_null(strstr(output, "simclr: left out: mixed/broken.png: "), "%s", output);
    cr_expect_not_null(strstr(output, "simclr: left out: nothing.png: No such file or directory"), "%s", output);
    expect_output("predict run/finetune-50 mixed -o m.csv", "1 broken image was left out");
    cr_expect_not_null(strstr(output, "simclr: left out: broken.png: "), "%s", output);
    expect_refusal("predict run/finetune-50 mixed/broken.png", 1, "none of the images can be read; mixed/broken.png: ");
    expect_refusal("predict run/finetune-50 mixed/broken.png -o n.csv", 1, "none of the images can be read");
    cr_expect(access("n.csv", F_OK) != 0 && access("n.csv.tmp", F_OK) != 0);
}

static void damage(const char *path, const char *from, long at)
{
    char command[256];
    snprintf(command, sizeof command, "cp %s %s && printf X | dd of=%s bs=1 seek=%ld conv=notrunc 2>/dev/null", from, path, path, at);
    cr_assert_eq(system(command), 0);
}

Test(predict, of_a_damaged_or_another_file_is_refused)
{
    if (!have_classifier())
        return;
    const char *whole = "run/finetune-50/classifier.safetensors";
    damage("turned.safetensors", whole, 300000);
    damage("header.safetensors", whole, 60);
    cr_assert_eq(system("head -c 200000 run/finetune-50/classifier.safetensors >cut.safetensors && : >empty.safetensors"), 0);
    expect_refusal("predict turned.safetensors photos", 1, "turned.safetensors");
    expect_refusal("predict header.safetensors photos", 1, "header.safetensors");
    expect_refusal("predict cut.safetensors photos", 1, "cut.safetensors");
    expect_refusal("predict empty.safetensors photos", 1, "empty.safetensors");
    expect_refusal("predict run/checkpoint-00000005.safetensors photos", 1, "is no classifier: name what 'simclr finetune' wrote");
    expect_refusal("predict run photos", 1, "there is no classifier in run");
    expect_refusal("predict nowhere photos", 1, "nowhere");
    expect_refusal("predict", 2, "name the folder of a classifier");
    expect_refusal("predict run/finetune-50", 2, "name images");
    expect_refusal("predict run/finetune-50 nowhere", 1, "nowhere");
    expect_refusal("predict run/finetune-50 photos --top 0", 2, "between 1 and 65536");
    cr_assert_eq(run("predict run/finetune-50 photos -o p.csv"), 0, "%s", output);
    expect_refusal("predict run/finetune-50 photos -o p.csv", 2, "is there already");
}

Test(predict, fine_tuning_refuses_what_it_cannot_do)
{
    if (!have_run())
        return;
    expect_refusal("finetune", 2, "name the run");
    expect_refusal("finetune nowhere photos", 1, "nowhere");
    expect_refusal("finetune run photos --labels 10", 2, "lacks its percent sign; write 10%");
    expect_refusal("finetune run photos --labels 0%", 2, "over 0% and at most 100%");
    expect_refusal("finetune run photos --labels 101%", 2, "over 0% and at most 100%");
    expect_refusal("finetune run photos --labels nan%", 2, "not a share of the labels");
    expect_refusal("finetune run photos --labels few", 2, "not a share of the labels");
    expect_refusal("finetune run photos --epochs 0", 2, "--epochs");
    expect_refusal("finetune run photos -o photos", 2, "is there already");
    expect_output("finetune run photos --untrained --epochs 1 --labels '1 %' -o new/folder", "3 images of 3 classes, 1 of each");
    cr_expect_not_null(strstr(output, "but its run's random weights"), "%s", output);
    expect_output("finetune run/checkpoint-00000005.safetensors photos --untrained --epochs 1 --labels 2.5%", "written: run/finetune-2.5-untrained");
}

Test(predict, a_stopped_fine_tuning_leaves_nothing)
{
    if (!have_run())
        return;
    int code = interrupt_when("run/finetune-100.tmp/metrics.jsonl", 300, SIGINT, (const char *const[]){
        "simclr", "finetune", "run", "photos", "--epochs", "100000", "--threads", "1", NULL});
    cr_expect_eq(code, 128 + SIGINT);
    cr_expect(access("run/finetune-100.tmp", F_OK) != 0 && access("run/finetune-100", F_OK) != 0);
    cr_assert_eq(system("grep -q 'nothing was written' out.txt"), 0);
}
