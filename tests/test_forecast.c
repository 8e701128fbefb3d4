/* What plan foretells, held against runs. */
#include "base/arena.h"
#include "nn/network.h"
#include "tests/harness.h"
#include "tests/program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

TestSuite(forecast, .fini = leave_program, .timeout = 120);

static json_t *plan_of(const char *arguments)
{
    char command[1024];
    snprintf(command, sizeof command, "plan --json %s", arguments);
    cr_assert_eq(run(command), 0, "%s", output);
    json_t *plan = json_loads(output, 0, NULL);
    cr_assert_not_null(plan, "%s", output);
    return plan;
}

static double number(const json_t *object, const char *part, const char *key)
{
    const json_t *value = json_object_get(json_object_get(object, part), key);
    cr_assert(json_is_number(value), "there is no %s.%s", part, key);
    return json_number_value(value);
}

#ifndef SANITIZED
/* Within 5 % and a megabyte. The networks are large enough that a part which were left out would be noticed. */
static void expect_peak(const char *phase, const char *arguments)
{
    enum { MOST_WORDS = 40 };
    char words[1024];
    const char *argv[MOST_WORDS] = {"simclr", "train", "-o", "r"};
    size_t n = 4;
    snprintf(words, sizeof words, "%s --no-measure", arguments);
    json_t *plan = plan_of(words);
    double foretold = number(plan, "memory", "peak") / 1e6;
    cr_expect_eq(number(plan, "memory", phase), number(plan, "memory", "peak"), "%s: the peak is not that of %s", arguments, phase);
    snprintf(words, sizeof words, "%s", arguments);
    for (char *word = strtok(words, " "); word && n < MOST_WORDS - 1; word = strtok(NULL, " "))
        argv[n++] = word;
    cr_assert_eq(end_of(start(argv)), 0, "%s", arguments);
    double taken = (double)used.ru_maxrss * 1024 / 1e6;
    cr_expect_lt(foretold, 1.05 * taken + 1, "%s: foretold %.1f MB, taken %.1f MB", arguments, foretold, taken);
    cr_expect_gt(foretold, 0.95 * taken - 1, "%s: foretold %.1f MB, taken %.1f MB", arguments, foretold, taken);
    json_decref(plan);
    cr_assert_eq(system("rm -r r"), 0);
}

Test(forecast, the_peak_of_memory_is_the_runs)
{
    if (!have_program())
        return;
    expect_peak("saving", "--arch resnet18 --width 0.5 --image-size 16 --batch-size 32 --limit 64 --epochs 1 --augment cifar --threads 2");
    expect_peak("saving", "--arch resnet18 --width 0.25 --image-size 32 --batch-size 48 --limit 48 --epochs 1 --augment cifar --knn-every 0 "
                "--optimizer lars --threads 1");
    expect_peak("evaluating", "--arch resnet18 --width 0.25 --image-size 32 --batch-size 256 --limit 256 --epochs 1 --augment cifar "
                "--optimizer sgd --threads 2");
}
#endif

Test(forecast, the_measured_network_is_the_one_that_is_made)
{
    const struct network_config config = {.depth = 18, .width = 0.25, .stem = STEM_CIFAR, .channels = 3, .image_size = 8, .head_layers = 2,
                                          .out_dim = 16};
    const struct engine engine = {.kernels = isa_resolve("auto"), .threads = 2};
    struct network_size size;
    struct network *network;
    struct simclr_error err;
    size_t params;
    for (int training = 0; training < 2; training++) {
        cr_assert_eq(network_measure(&size, &config, &engine, 24, training, &err), SIMCLR_OK);
        cr_assert_eq(network_create(&network, &config, &engine, 24, training, &err), SIMCLR_OK);
        network_params(network, &params);
        cr_expect_eq(size.params, params);
        cr_expect_eq(size.feature_dim, network_feature_dim(network));
        cr_expect_eq(size.weights + size.gradients + size.statistics + size.activations + size.scratch, network_memory(network));
        cr_expect_eq(size.memory, aligned_bytes(network_memory(network)));
        cr_expect_eq(size.gradients, training ? size.weights : 0);
        network_free(network);
    }
    cr_expect_eq(network_measure(&size, &config, &engine, 0, true, &err), SIMCLR_ERR_USAGE);
}

Test(forecast, what_the_plan_says)
{
    if (!have_program())
        return;
    expect_output("plan " TINY " --epochs 3 --layers", "5 steps an epoch, 15 in 3 epochs");
    cr_expect(strstr(output, "generated shapes and textures: 40 images, 10 classes, 40 queries for kNN"), "%s", output);
    cr_expect(strstr(output, "layer1.0.conv1 ") && strstr(output, "layer4.0.downsample.0 ") && strstr(output, "winograd") &&
              strstr(output, "head.2 "), "%s", output);
    cr_expect(strstr(output, "kNN         0:00, before training and after each epoch") && strstr(output, "whole run   0:0"), "%s", output);
    for (const char *line = output, *end; (end = strchr(line, '\n')); line = end + 1)
        cr_expect_leq(end - line, 100, "%.*s", (int)(end - line), line);
    cr_expect_eq(system("test -z \"$(ls)\""), 0, "nothing is written");
}

Test(forecast, the_plan_for_scripts)
{
    if (!have_program())
        return;
    json_t *plan = plan_of(TINY " --layers");
    cr_expect_eq(number(plan, "run", "steps_per_epoch"), 5);
    double step = number(plan, "time", "network_seconds") + number(plan, "time", "optimizer_seconds") + number(plan, "time", "data_seconds");
    cr_expect_gt(step, 0);
    cr_expect_float_eq(number(plan, "time", "epoch_seconds"), 5 * step, 1e-6 * step);
    cr_expect_float_eq(number(plan, "time", "gflop_per_second"), 8 * number(plan, "network", "step_gflop") / step, 1e-3);
    cr_expect_gt(number(plan, "time", "fma_peak_gflop_per_second"), 0);
    size_t index;
    json_t *layer, *layers = json_object_get(plan, "layers");
    double gflop = 0, seconds = 0;
    json_array_foreach(layers, index, layer) {
        gflop += json_number_value(json_object_get(layer, "step_gflop"));
        seconds += json_number_value(json_object_get(layer, "forward_seconds")) + json_number_value(json_object_get(layer, "backward_seconds"));
    }
    cr_expect_float_eq(gflop, 8 * number(plan, "network", "step_gflop"), 1e-6 * gflop);
    cr_expect(seconds > 0 && seconds < number(plan, "time", "network_seconds"), "%g of %g s", seconds, number(plan, "time", "network_seconds"));
    json_decref(plan);
    plan = plan_of("--no-measure --arch resnet18"); /* what torch counts */
    cr_expect_eq(number(plan, "network", "encoder_parameters"), 11168832);
    cr_expect_eq(number(plan, "network", "head_parameters"), 512 * 512 + 512 + 512 * 128 + 128);
    json_decref(plan);
    plan = plan_of("--no-measure --image-size 1024 --batch-size 2000");
    cr_expect(json_is_false(json_object_get(json_object_get(plan, "memory"), "fits")));
    cr_expect_null(json_object_get(plan, "time"));
    json_decref(plan);
    expect_output("plan --no-measure --image-size 1024 --batch-size 2000", "IT WILL NOT FIT: lower --batch-size");
}

Test(forecast, misuse)
{
    if (!have_program())
        return;
    expect_output("plan --help", "--temperature TAU");
    cr_expect_eq(run("plan " TINY " --no-measure -o r --resume"), 0, "what stands in train's command line: %s", output);
    expect_refusal("plan /nonexistent", 1, "/nonexistent");
    expect_refusal("plan ''", 2, "DATA is empty");
    expect_refusal("plan --isa mmx", 2, "scalar");
    expect_refusal("plan " TINY " --batch-size 64", 2, "--batch-size 64");
    expect_refusal("plan --config /nonexistent", 1, "/nonexistent");
}
