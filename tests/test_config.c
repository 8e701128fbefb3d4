/* Settings by name: ranges, config.json there and back, metrics.jsonl. */
#include "io/file.h"
#include "io/number.h"
#include "tests/temp_files.h"
#include "train/config.h"
#include "train/metrics.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct train_config config;
static struct simclr_error err;
static char folder[64], path[128];

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/simclr-config-XXXXXX");
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/config.json", folder);
    train_defaults(&config);
}

static void end(void)
{
    char metrics[128];
    snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", folder);
    unlink(metrics);
    unlink(path);
    rmdir(folder);
}

TestSuite(config, .init = begin, .fini = end);

static enum simclr_status set(const char *name, const char *text)
{
    size_t count;
    char label[80];
    const struct setting *settings = train_settings(&count);
    snprintf(label, sizeof label, "--%s", name);
    for (size_t i = 0; i < count; i++)
        if (strcmp(settings[i].name, name) == 0)
            return train_setting_set(&config, &settings[i], text, label, &err);
    cr_assert_fail("there is no setting %s", name);
    return SIMCLR_OK;
}

static void expect_error(const char *name, const char *text, const char *sentence)
{
    cr_assert_eq(set(name, text), SIMCLR_ERR_USAGE, "--%s %s was taken", name, text);
    cr_assert(strstr(err.text, sentence), "--%s %s: %s", name, text, err.text);
}

static void write_text(const char *text)
{
    cr_assert_eq(file_write_atomic(path, text, strlen(text), &err), SIMCLR_OK, "%s", err.text);
}

Test(config, defaults_are_the_reference)
{
    cr_assert(config.network.depth == 50 && config.batch_size == 32 && config.epochs == 50 && config.network.out_dim == 128);
    cr_assert(config.lr == 3e-4 && config.optim.weight_decay == 1e-4 && config.temperature == 0.07 && config.n_views == 2);
    cr_assert(config.optim.kind == OPTIM_ADAM && strcmp(config.augment_name, "reference") == 0 && config.augment.blur_p == 1);
    cr_assert_eq(train_config_settle(&config, &err), SIMCLR_OK, "%s", err.text);
}

Test(config, every_default_lies_in_its_range)
{
    size_t count;
    const struct setting *settings = train_settings(&count);
    for (size_t i = 0; i < count; i++) {
        char *value = train_setting_text(&config, &settings[i]);
        cr_assert_not_null(value);
        size_t quote = value[0] == '"';
        value[strlen(value) - quote] = 0;
        cr_assert_eq(train_setting_set(&config, &settings[i], value + quote, settings[i].name, &err), SIMCLR_OK, "%s", err.text);
        cr_assert(settings[i].help && settings[i].group);
        free(value);
    }
}

Test(config, values)
{
    cr_assert_eq(set("lr", "0.003"), SIMCLR_OK);
    cr_assert_eq(config.lr, 0.003);
    cr_assert_eq(set("arch", "resnet152"), SIMCLR_OK);
    cr_assert_eq(config.network.depth, 152);
    cr_assert_eq(set("stem", "auto"), SIMCLR_OK);
    cr_assert_eq(config.network.stem, STEM_AUTO);
    cr_assert_eq(set("keep-last", "true"), SIMCLR_OK);
    cr_assert(config.keep_last);
    cr_assert_eq(set("seed", "9223372036854775807"), SIMCLR_OK);
    cr_assert_eq(config.seed, INT64_MAX);
    cr_assert_eq(set("checkpoint-every", "500"), SIMCLR_OK);
    cr_assert(config.checkpoint_every == 500 && config.checkpoint_minutes == 0);
    cr_assert_eq(set("checkpoint-every", "2.5m"), SIMCLR_OK);
    cr_assert(config.checkpoint_every == 0 && config.checkpoint_minutes == 2.5);
    cr_assert_eq(set("augment", "none"), SIMCLR_OK);
    cr_assert(config.augment.blur_p == 0 && strcmp(config.augment_name, "none") == 0);
    cr_assert_eq(set("blur-p", "0.25"), SIMCLR_OK);
    cr_assert_eq(config.augment.blur_p, 0.25f);
}

Test(config, refused_values)
{
    expect_error("lr", "fast", "--lr: 'fast' is not a number");
    expect_error("lr", "0.1x", "'0.1x' is not a number");
    expect_error("lr", "", "'' is not a number");
    expect_error("lr", " 1", "is not a number");
    expect_error("lr", "-1", "--lr: -1 is out of range; it must lie between 0 and 1000");
    expect_error("lr", "nan", "out of range");
    expect_error("lr", "inf", "out of range");
    expect_error("lr", "1e999", "out of range");
    expect_error("batch-size", "1", "--batch-size: 1 is out of range; it must lie between 2 and 65536");
    expect_error("batch-size", "-32", "out of range");
    expect_error("batch-size", "3.5", "not a whole number");
    expect_error("batch-size", "0x20", "not a whole number");
    expect_error("batch-size", "99999999999999999999", "out of range");
    expect_error("batch-size", "4294967298", "out of range");
    expect_error("temperature", "0.02", "between 0.025 and 100");
    expect_error("seed", "-1", "out of range");
    expect_error("seed", "9223372036854775808", "out of range");
    expect_error("arch", "resnet9", "not one of resnet18, resnet34, resnet50, resnet101, resnet152");
    expect_error("augment", "strong", "not one of paper, cifar, reference, none");
    expect_error("nesterov", "perhaps", "not true or false");
    expect_error("checkpoint-every", "m", "not a whole number");
    expect_error("checkpoint-every", "10h", "not a whole number");
    char *longest = malloc(2000);
    memset(longest, 'x', 1999);
    longest[1999] = 0;
    expect_error("data", longest, "longer than 1023 bytes");
    free(longest);
}

Test(config, combinations)
{
    config.n_views = 3;
    cr_assert_eq(train_config_settle(&config, &err), SIMCLR_ERR_USAGE);
    cr_assert(strstr(err.text, "--n-views 3"), "%s", err.text);
    train_defaults(&config);
    config.augment.crop_scale_min = 0.9f;
    config.augment.crop_scale_max = 0.5f;
    cr_assert_eq(train_config_settle(&config, &err), SIMCLR_ERR_USAGE);
    cr_assert(strstr(err.text, "--crop-min"), "%s", err.text);
    train_defaults(&config);
    config.network.channels = 2;
    cr_assert_eq(train_config_settle(&config, &err), SIMCLR_ERR_USAGE);
    train_defaults(&config);
    config.seed = 17;
    cr_assert_eq(train_config_settle(&config, &err), SIMCLR_OK);
    cr_assert_eq(config.network.seed, 17);
}

Test(config, file_round_trip)
{
    const char *const changes[][2] = {{"data", "/some \"where\"/ä"}, {"limit", "12345"}, {"arch", "resnet18"}, {"width", "0.3"}, {"stem", "cifar"},
                                      {"optimizer", "lars"}, {"lr", "0.1234567890123456"}, {"lr-scaling", "sqrt"}, {"seed", "9007199254740993"},
                                      {"head-norm", "true"}, {"augment", "cifar"}, {"crop-min", "0.2"}, {"hue", "0.05"}, {"checkpoint-every", "7m"}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        cr_assert_eq(set(changes[i][0], changes[i][1]), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(train_config_save(&config, path, &err), SIMCLR_OK, "%s", err.text);
    char *saved = train_config_text(&config, false);
    train_defaults(&config);
    cr_assert_eq(train_config_load(&config, path, &err), SIMCLR_OK, "%s", err.text);
    char *loaded = train_config_text(&config, false);
    cr_assert_str_eq(saved, loaded);
    cr_assert(config.lr == 0.1234567890123456 && config.seed == 9007199254740993u && config.augment.crop_scale_min == 0.2f);
    cr_assert(config.network.width == 0.3 && strcmp(config.data, "/some \"where\"/ä") == 0 && config.checkpoint_minutes == 7);
    free(saved);
    free(loaded);
}

Test(config, only_what_decides)
{
    char *before = train_config_text(&config, true);
    cr_assert_eq(set("data", "/elsewhere"), SIMCLR_OK);
    cr_assert_eq(set("knn-every", "7"), SIMCLR_OK);
    cr_assert_eq(set("keep", "9"), SIMCLR_OK);
    cr_assert_eq(set("checkpoint-every", "9"), SIMCLR_OK);
    char *same = train_config_text(&config, true);
    cr_assert_str_eq(before, same);
    cr_assert_eq(set("epochs", "51"), SIMCLR_OK);
    char *other = train_config_text(&config, true);
    cr_assert_str_neq(before, other);
    free(before);
    free(same);
    free(other);
}

/* More than a sentence holds: both lists name the same settings, and say that there are others. */
Test(config, settings_that_differ_come_in_pairs)
{
    char *old = train_config_text(&config, true);
    const char *const other[][2] = {{"limit", "16"}, {"head-layers", "3"}, {"out-dim", "64"}, {"batch-size", "16"}, {"temperature", "0.5"},
                                    {"optimizer", "lars"}, {"lr", "0.1"}, {"weight-decay", "0.1"}, {"momentum", "0.8"}};
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        cr_assert_eq(set(other[i][0], other[i][1]), SIMCLR_OK, "%s", err.text);
    char *new = train_config_text(&config, true);
    cr_assert_eq(train_config_same("run/config.json", old, new, &err), SIMCLR_ERR_USAGE);
    cr_expect_str_eq(err.text, "run/config.json was trained with --limit 0, --head-layers 2, --out-dim 128, --batch-size 32, --temperature 0.07, "
                               "--optimizer adam, --lr 0.0003, ..., not --limit 16, --head-layers 3, --out-dim 64, --batch-size 16, "
                               "--temperature 0.5, --optimizer lars, --lr 0.1, ...; leave out what differs to go on, or train anew with "
                               "-o ANOTHER");
    free(old);
    free(new);
}

Test(config, parameters_follow_their_preset_in_any_order)
{
    write_text("{\"blur_p\": 0.125, \"augment\": \"none\", \"lr\": 1}");
    cr_assert_eq(train_config_load(&config, path, &err), SIMCLR_OK, "%s", err.text);
    cr_assert(config.augment.blur_p == 0.125f && config.augment.flip_p == 0 && config.lr == 1);
    cr_assert_eq(config.batch_size, 32, "what the file leaves out stays");
}

Test(config, bad_files)
{
    const char *const bad[][2] = {
        {"{\"learning_rate\": 1}", "there is no setting called 'learning_rate'"}, {"{\"batch-size\": 1}", "called 'batch-size'"},
        {"{\"lr\": \"x\"}", "lr: 'x' is not a number"}, {"{\"lr\": null}", "must be a number"}, {"{\"lr\": [1]}", "must be a number"},
        {"{\"batch_size\": 1.5}", "whole number"}, {"{\"batch_size\": -3}", "out of range"}, {"{\"lr\": 1, \"lr\": 2}", "not a JSON object (line 1: duplicate object key"},
        {"[1]", "not a JSON object"}, {"{\"lr\": 1", "not a JSON object (line 1: "}, {"{\"data\": \"a\\u0000\"}", "(line 1: \\u0000 is not allowed"}, {"", "not a JSON object"}, {"{\"keep_last\": 3}", "true or false"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_text(bad[i][0]);
        cr_assert_neq(train_config_load(&config, path, &err), SIMCLR_OK, "%s was taken", bad[i][0]);
        cr_assert(strstr(err.text, bad[i][1]) && strstr(err.text, path), "%s: %s", bad[i][0], err.text);
    }
    strcpy(config.data, "/caf\xe9");
    cr_assert_eq(train_config_save(&config, path, &err), SIMCLR_ERR_USAGE);
    cr_assert(strstr(err.text, "not UTF-8"), "%s", err.text);
}

Test(config, numbers_read_back)
{
    char text[NUMBER_SIZE];
    number_json(text, 0.06);
    cr_assert_str_eq(text, "0.06");
    number_json(text, 32);
    cr_assert_str_eq(text, "32.0");
    number_json(text, 1e-6);
    cr_assert_str_eq(text, "1e-06");
    number_json(text, NAN);
    cr_assert_str_eq(text, "null");
    number_json_float(text, 0.4f);
    cr_assert_str_eq(text, "0.4");
    for (double x = 1e-300; x < 1e300; x *= -7.3e11) {
        number_json(text, x);
        cr_assert_eq(strtod(text, NULL), x);
    }
}

static size_t count_lines(json_t *last[1])
{
    char file[128], line[4096];
    size_t n = 0;
    snprintf(file, sizeof file, "%s/metrics.jsonl", folder);
    FILE *f = fopen(file, "r");
    cr_assert_not_null(f);
    *last = NULL;
    while (fgets(line, sizeof line, f)) {
        json_decref(*last);
        *last = json_loads(line, 0, NULL);
        cr_assert_not_null(*last, "%s", line);
        n++;
    }
    fclose(f);
    return n;
}

Test(config, metrics)
{
    struct metrics m = {.epoch = 1, .step = 10, .loss = 5.25, .loss_place = 0.5, .retrieval1 = 0.1, .lr = 0.06, .knn = -1, .knn_untrained = -1};
    json_t *last;
    char file[128];
    cr_assert_eq(metrics_rewind(folder, 10, 0, &err), SIMCLR_OK, "no file is fine");
    for (int i = 0; i < 3; i++, m.epoch++, m.step += 10)
        cr_assert_eq(metrics_append(folder, &m, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(count_lines(&last), 3);
    cr_assert_eq(json_integer_value(json_object_get(last, "step")), 30);
    cr_assert_eq(json_real_value(json_object_get(last, "loss")), 5.25);
    cr_assert_null(json_object_get(last, "knn"));
    cr_assert(json_is_number(json_object_get(json_object_get(last, "perf"), "seconds")));
    json_decref(last);

    snprintf(file, sizeof file, "%s/metrics.jsonl", folder);
    FILE *f = fopen(file, "a");
    fputs("{\"epoch\": 2, \"st", f); /* torn by a crash */
    fclose(f);
    cr_assert_eq(metrics_rewind(folder, 10, 20, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(count_lines(&last), 2);
    json_decref(last);
    m = (struct metrics){.epoch = 2, .step = 25, .loss = NAN, .knn = 0.5, .knn_untrained = 0.25};
    cr_assert_eq(metrics_append(folder, &m, &err), SIMCLR_OK);
    cr_assert_eq(count_lines(&last), 3);
    cr_assert(json_is_null(json_object_get(last, "loss")) && json_real_value(json_object_get(last, "knn")) == 0.5);
    json_decref(last);
    cr_expect_eq(metrics_rewind(folder, 9, 30, &err), SIMCLR_ERR_USAGE, "a run of other epochs");
    cr_expect(strstr(err.text, "line 1 of ") && strstr(err.text, "metrics.jsonl is not of this run; move that file away"), "%s", err.text);
    cr_assert_eq(metrics_append("/nonexistent", &m, &err), SIMCLR_ERR_IO);
    cr_assert(strstr(err.text, "/nonexistent/metrics.jsonl"), "%s", err.text);
}

/* What another program, or another run, left under that name stays as it is; what a power cut leaves of a line does not. */
Test(config, metrics_of_others_are_not_touched)
{
    const struct {
        const char *text;
        size_t size;
        bool own;
    } cases[] = {
        {"epoch,loss\n1,2.5\n", 17, false},
        {"notes", 5, false},
        {"{\"epoch\": 1, \"step\": 4}\n{\"loss\": 2}\n", 36, false},
        {"{\"epoch\": 2, \"step\": 8}\n{\"epoch\": 1, \"step\": 4}\n", 48, false},
        {"{\"epoch\": 1, \"step\": 40}\n", 25, false},
        {"{\"epoch\": 1, \"step\": 4}\n{\"ep", 28, true},
        {"{\"epoch\": 1, \"step\": 4}\n\0\0\0\0", 28, true},
        {"{\"epoch\": 1, \"step\": 4}\n{\"e\0\0", 29, true},
        {"", 0, true},
    };
    const char *metrics = temp_path(folder, "metrics.jsonl");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        temp_write(metrics, cases[i].text, cases[i].size);
        cr_expect_eq(metrics_rewind(folder, 4, 8, &err), cases[i].own ? SIMCLR_OK : SIMCLR_ERR_USAGE, "case %zu", i);
        void *now;
        size_t size, kept = !cases[i].own ? cases[i].size : cases[i].size ? 24 : 0;
        cr_assert_eq(file_read(&now, &size, metrics, 1 << 16, NULL), SIMCLR_OK);
        cr_expect(size == kept && memcmp(now, cases[i].text, kept) == 0, "case %zu: %zu bytes", i, size);
        free(now);
    }
}
