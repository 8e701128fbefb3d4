/* Fine-tuning: which images, what a step does, the same bytes everywhere, and a folder that is whole or not there. */
#include "train/finetune.h"

#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"
#include "train/classifier.h"
#include "train/tensor_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(finetune, .init = small_runs_begin, .fini = small_runs_end, .timeout = 60);

static struct encoder encoder;
static struct finetune f;
static struct finetune_result tuned;
static struct engine engine;

static const struct finetune_options usual = {.labels = 100, .batch_size = 4, .epochs = 2, .lr = 0.05};

static void open_encoder(const char *isa, int threads)
{
    engine = (struct engine){.kernels = isa_resolve(isa), .threads = threads};
    cr_assert_eq(encoder_open(&encoder, temp_path(root, "run"), 1, &engine, NULL, NULL, &err), SIMCLR_OK, "%s", err.text);
}

static void open_on(const char *data, struct finetune_options options)
{
    const struct image_source source = {.path = data};
    cr_assert_eq(finetune_open(&f, &encoder, &source, &options, &engine, &err), SIMCLR_OK, "%s", err.text);
}

static enum simclr_status train_into(const char *name)
{
    const struct finetune_report nobody = {.step = NULL};
    return finetune_train(&f, temp_path(root, "%s", name), &nobody, &tuned, &err);
}

static void tune(const char *data, struct finetune_options options, const char *name)
{
    open_on(data, options);
    cr_assert_eq(train_into(name), SIMCLR_OK, "%s", err.text);
    finetune_close(&f);
}

/* ---- Which images ---- */

/* 90 pictures: 60 of class a, 28 of b, 2 of c; and a test split of 4. */
static const char *write_photos(const char *name, unsigned shade)
{
    for (int i = 0; i < 90; i++)
        write_gradient(temp_path(root, "%s/train/%s/%02d.bmp", name, i < 60 ? "a" : i < 88 ? "b" : "c", i), 8, 8, (unsigned)i);
    for (int i = 0; i < 4; i++)
        write_gradient(temp_path(root, "%s/val/%s/%d.bmp", name, i % 2 ? "a" : "b", i), 8, 8, (unsigned)i + shade);
    return temp_path(root, "%s", name);
}

struct chosen {
    bool item[90];
    int of_class[3];
};

static struct chosen chosen_of(double labels, uint64_t seed)
{
    struct chosen c = {.of_class = {0}};
    struct finetune_options options = usual;
    options.labels = labels;
    options.seed = seed;
    open_on(temp_path(root, "photos"), options);
    for (size_t i = 0; i < f.images; i++) {
        c.item[loader_item(f.data.train, i)] = true;
        c.of_class[dataset_label(f.data.bank_set, loader_item(f.data.train, i))]++;
    }
    cr_expect(loader_size(f.data.train) == f.images && f.data.bank == f.data.train);
    cr_expect_eq(f.settings.batch_size, f.images < 4 ? (int)f.images : 4);
    finetune_close(&f);
    return c;
}

Test(finetune, takes_a_share_of_each_class_and_at_least_one)
{
    static const struct {
        double labels;
        int of_class[3];
    } cases[] = {{0.01, {1, 1, 1}}, {10, {6, 3, 1}}, {50, {30, 14, 1}}, {100, {60, 28, 2}}};
    run_whole("run");
    open_encoder("auto", 1);
    write_photos("photos", 0);
    for (int i = 0; i < 4; i++) {
        struct chosen c = chosen_of(cases[i].labels, 0);
        for (int class = 0; class < 3; class++)
            cr_expect_eq(c.of_class[class], cases[i].of_class[class], "%g %%, class %d: %d", cases[i].labels, class, c.of_class[class]);
    }
    encoder_close(&encoder);
}

Test(finetune, fewer_labels_are_part_of_more_and_the_seed_decides_which)
{
    run_whole("run");
    open_encoder("auto", 1);
    write_photos("photos", 0);
    struct chosen few = chosen_of(10, 0), more = chosen_of(30, 0), other = chosen_of(10, 1), again = chosen_of(10, 0);
    for (int i = 0; i < 90; i++)
        cr_expect(!few.item[i] || more.item[i], "image %d", i);
    cr_expect_eq(memcmp(few.item, again.item, sizeof few.item), 0);
    cr_expect_neq(memcmp(few.item, other.item, sizeof few.item), 0);
    cr_expect(!few.item[0] || !few.item[1] || !few.item[2] || !few.item[3], "not the first ones");
    encoder_close(&encoder);
}

Test(finetune, epochs_follow_the_share)
{
    run_whole("run");
    open_encoder("auto", 1);
    const struct {
        double labels;
        int given, epochs;
    } cases[] = {{1, 0, 60}, {9.9, 0, 60}, {10, 0, 30}, {100, 0, 30}, {1, 7, 7}};
    for (int i = 0; i < 5; i++) {
        open_on(NULL, (struct finetune_options){.labels = cases[i].labels, .batch_size = 4, .epochs = cases[i].given, .lr = 0.05});
        cr_expect_eq(f.settings.epochs, cases[i].epochs, "%g %%: %d", cases[i].labels, f.settings.epochs);
        cr_expect_eq(f.steps, f.images / (size_t)f.settings.batch_size * (size_t)cases[i].epochs);
        finetune_close(&f);
    }
    encoder_close(&encoder);
}

Test(finetune, crops_and_flips_alone_at_a_rate_that_falls_along_a_cosine)
{
    run_whole("run");
    open_encoder("auto", 1);
    open_on(NULL, usual);
    const struct augment_config *a = &f.settings.augment;
    cr_expect(a->jitter_p == 0 && a->grey_p == 0 && a->blur_p == 0 && a->solarize_p == 0 && a->flip_p == 0.5f && a->crop_scale_min == 0.08f);
    cr_assert_eq(train_into("tuned"), SIMCLR_OK, "%s", err.text);
    double base = 0.05 * 4 / 256, steps = (double)f.steps, want = base * (1 + cos(acos(-1) * (steps - 1) / steps)) / 2;
    cr_expect(fabs(tuned.last.lr - want) < 1e-12, "%.15g, not %.15g", tuned.last.lr, want);
    cr_expect_eq(tuned.last.step, 8);
    finetune_close(&f);
    encoder_close(&encoder);
}

/* In a batch with a broken image another one stands in for it, and so does that one's label. */
Test(finetune, labels_are_those_of_the_images_that_serve)
{
    run_whole("run");
    open_encoder("auto", 1);
    write_photos("photos", 0);
    for (int i = 20; i < 80; i += 2)
        temp_write(temp_path(root, "photos/train/%s/%02d.bmp", i < 60 ? "a" : "b", i), "no", 2);
    struct finetune_options options = usual;
    options.batch_size = 90;
    open_on(temp_path(root, "photos"), options);
    const char *const *messages;
    char name[64];
    int of_class[3] = {0};
    cr_assert_eq(loader_batch(f.data.train, f.x, 0, 0, 90, &err), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(loader_broken(f.data.train, &messages), 30);
    for (size_t place = 0; place < 90; place++) {
        int label = loader_label(f.data.train, place);
        cr_expect_eq(loader_name(f.data.train, place, name, sizeof name)[0], "abc"[label], "%s is of class %d", name, label);
        of_class[label]++;
    }
    cr_expect(of_class[0] > 0 && of_class[1] > 0 && of_class[2] > 0);
    cr_assert_eq(train_into("tuned"), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(tuned.broken, 30);
    cr_expect(is_there("tuned", "broken.txt"));
    finetune_close(&f);
    encoder_close(&encoder);
}

/* ---- A step ---- */

static void expect_encoder(struct network *expected, struct network *got)
{
    struct tensor_group a[2], b[2];
    network_groups(a, expected, false);
    network_groups(b, got, false);
    cr_assert_eq(a[0].count, b[0].count);
    for (size_t i = 0; i < a[0].count; i++)
        expect_same_bits(a[0].memory + a[0].list[i].offset, b[0].memory + b[0].list[i].offset, a[0].list[i].count, "%s", a[0].list[i].name);
}

/* The classifier begins at 0, so that the first step's loss is ln 2, no gradient goes through it, and by hand its bias becomes
 * -1.9 lr (1/2 - share of the class): Nesterov's momentum of a first step, at the whole learning rate. */
Test(finetune, the_first_step_is_that_by_hand)
{
    run_whole("run");
    for (int untrained = 0; untrained < 2; untrained++) {
        struct network *random;
        open_encoder("auto", 1);
        cr_assert_eq(network_create(&random, &encoder.config.network, &engine, 1, false, &err), SIMCLR_OK);
        open_on(NULL, (struct finetune_options){.labels = 100, .batch_size = 18, .epochs = 1, .lr = 0.5, .untrained = untrained});
        cr_assert(f.steps == 1 && f.settings.batch_size == 18 && f.classes == 2);
        expect_encoder(untrained ? random : encoder.network, f.network);
        cr_assert_eq(train_into(untrained ? "random" : "tuned"), SIMCLR_OK, "%s", err.text);
        cr_expect(fabs(tuned.last.loss - log(2)) < 1e-7, "%.9g", tuned.last.loss);
        expect_encoder(untrained ? random : encoder.network, f.network);

        size_t count, floats;
        const struct tensor_info *list = network_param_list(f.network, &count), *bias = &list[count - 1];
        cr_assert_str_eq(bias->name, "fc.bias");
        cr_expect_str_eq(list[count - 2].name, "fc.weight");
        double ones = 0, lr = 0.5 * 18 / 256;
        for (size_t i = 0; i < 18; i++)
            ones += dataset_label(f.data.bank_set, loader_item(f.data.train, i));
        for (int class = 0; class < 2; class++) {
            double share = class ? ones / 18 : 1 - ones / 18, want = -1.9 * lr * (0.5 - share);
            double got = (double)network_params(f.network, &floats)[bias->offset + (size_t)class];
            cr_expect(fabs(got - want) < 1e-7, "bias %d: %.9g, not %.9g", class, got, want);
        }
        float *before = network_buffers(untrained ? random : encoder.network, &floats), *after = network_buffers(f.network, &count);
        cr_expect_neq(memcmp(before, after, 16 * sizeof *before), 0, "statistics of bn1 move");
        network_free(random);
        finetune_close(&f);
        encoder_close(&encoder);
    }
}

Test(finetune, learns)
{
    config.epochs = 1;
    run_whole("run");
    open_encoder("auto", 2);
    for (int i = 0; i < 40; i++)
        write_flat(temp_path(root, "colours/%s/%d.bmp", i % 2 ? "red" : "blue", i), 8, 8, i % 2 ? 200 - i : i, 2 * i, i % 2 ? i : 200 - i);
    tune(temp_path(root, "colours"), (struct finetune_options){.labels = 50, .batch_size = 8, .epochs = 20, .lr = 0.5}, "tuned");
    cr_expect(tuned.test.images == 4 && tuned.test.right == 4, "%zu of %zu", tuned.test.right, tuned.test.images);
    cr_expect(tuned.last.loss < 0.1 && tuned.last.accuracy > 0.95, "loss %g, %g right", tuned.last.loss, tuned.last.accuracy);
    encoder_close(&encoder);
}

Test(finetune, every_isa_and_thread_count_writes_the_same_bytes)
{
    const struct kernels *isas[8];
    const int threads[] = {1, 2, 3, 5};
    size_t count = test_isas(isas);
    char name[32];
    run_whole("run");
    for (size_t i = 0; i < count; i++)
        for (int t = 0; t < 4; t++) {
            open_encoder(isas[i]->name, threads[t]);
            snprintf(name, sizeof name, "%s-%d", isas[i]->name, threads[t]);
            tune(NULL, usual, name);
            encoder_close(&encoder);
            expect_same_file("scalar-1", name, CLASSIFIER_FILE);
            expect_same_metrics("scalar-1", name);
        }
    open_encoder("auto", 1);
    struct finetune_options other = usual;
    other.seed = 1;
    tune(NULL, other, "seed");
    size_t n, m;
    char *a = file_of(&n, "seed", CLASSIFIER_FILE), *b = file_of(&m, "scalar-1", CLASSIFIER_FILE);
    cr_expect(n == m && memcmp(a, b, n) != 0, "another seed, other weights");
    free(a);
    free(b);
    encoder_close(&encoder);
}

Test(finetune, the_test_images_choose_nothing)
{
    run_whole("run");
    open_encoder("auto", 1);
    write_photos("photos", 0);
    write_photos("others", 50);
    tune(temp_path(root, "photos"), usual, "a");
    tune(temp_path(root, "others"), usual, "b");
    expect_same_file("a", "b", CLASSIFIER_FILE);
    encoder_close(&encoder);
}

/* ---- The folder ---- */

static size_t lines_of(const char *run, const char *name)
{
    size_t size, lines = 0;
    char *text = file_of(&size, run, name);
    for (char *c = text; *c; c++)
        lines += *c == '\n';
    free(text);
    return lines;
}

Test(finetune, leaves_a_whole_folder)
{
    struct classifier c;
    size_t size, count;
    run_whole("run");
    open_encoder("auto", 1);
    write_photos("photos", 0);
    open_on(temp_path(root, "photos"), usual);
    cr_assert_eq(train_into("new/tuned"), SIMCLR_OK, "%s", err.text);
    char *classes = file_of(&size, "new/tuned", "classes.txt"), *metrics = file_of(&size, "new/tuned", "metrics.jsonl");
    cr_expect_str_eq(classes, "a\nb\nc\n");
    cr_expect_eq(lines_of("new/tuned", "metrics.jsonl"), 2);
    char *test = strstr(metrics, "\"test_accuracy\": ");
    cr_assert(test && test > strchr(metrics, '\n'), "in the last line: %s", metrics);
    cr_expect_eq(strtod(test + 17, NULL), (double)tuned.test.right / 4);
    free(classes);
    free(metrics);
    char *settings = file_of(&size, "new/tuned", "config.json");
    expect_in(settings, "\"labels_percent\": 100.0");
    expect_in(settings, "\"lr\": 0.05");
    expect_in(settings, "\"nesterov\": true");
    free(settings);
    cr_expect(!is_there("new", "tuned.tmp"));

    cr_assert_eq(classifier_open(&c, temp_path(root, "new/tuned"), 2, &engine, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(c.classes == 3 && strcmp(c.names[2], "c") == 0 && c.encoder.config.network.image_size == SIDE);
    const float *weights = network_params(f.network, &count);
    expect_same_bits(weights, network_params(c.encoder.network, &count), count, "weights");
    weights = network_buffers(f.network, &count);
    expect_same_bits(weights, network_buffers(c.encoder.network, &count), count, "statistics");
    classifier_close(&c);

    cr_expect_eq(train_into("new/tuned"), SIMCLR_ERR_USAGE);
    expect_in(err.text, "is there already");
    temp_write(temp_path(root, "new/second.tmp/mine"), "x", 1);
    cr_expect_eq(train_into("new/second"), SIMCLR_ERR_USAGE);
    expect_in(err.text, "second.tmp is there already");
    cr_expect(is_there("new/second.tmp", "mine"));
    finetune_close(&f);
    encoder_close(&encoder);
}

static int asked;
static bool stop_soon(void *ctx) { (void)ctx; return ++asked > 3; }

Test(finetune, stopped_or_failing_it_leaves_nothing)
{
    run_whole("run");
    open_encoder("auto", 1);
    open_on(NULL, usual);
    engine.stop.wanted = stop_soon;
    cr_expect_eq(train_into("tuned"), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "of 8; nothing was written");
    finetune_close(&f);
    engine.stop.wanted = NULL;
    struct finetune_options wild = usual;
    wild.lr = 1e30;
    open_on(NULL, wild);
    cr_expect_eq(train_into("tuned"), SIMCLR_ERR_NONFINITE);
    expect_in(err.text, "smaller --lr than 1e+30");
    finetune_close(&f);
    cr_expect(!is_there(".", "tuned") && !is_there(".", "tuned.tmp"));
    encoder_close(&encoder);
}

static void expect_refusal(const char *data, const char *part)
{
    const struct image_source source = {.path = temp_path(root, "%s", data)};
    cr_expect_eq(finetune_open(&f, &encoder, &source, &usual, &engine, &err), SIMCLR_ERR_USAGE, "%s", data);
    expect_in(err.text, part);
    finetune_close(&f);
}

Test(finetune, wants_labels_enough_for_a_test)
{
    run_whole("run");
    open_encoder("auto", 1);
    for (int i = 0; i < 12; i++)
        write_gradient(temp_path(root, "flat/%d.bmp", i), 8, 8, (unsigned)i);
    for (int i = 0; i < 6; i++)
        write_gradient(temp_path(root, "few/%d/%d.bmp", i % 2, i), 8, 8, (unsigned)i);
    expect_refusal("flat", "no labels");
    expect_refusal("few", "too few labelled images");
    encoder_close(&encoder);
}
