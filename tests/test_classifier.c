/* Files of classifiers that nobody wrote: each with a right checksum, and a sentence. */
#include "train/classifier.h"

#include "io/safetensors.h"
#include "tests/harness.h"
#include "tests/temp_files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *folder;
static struct simclr_error err;
static const struct network_config shape = {.depth = 18, .width = 0.25, .stem = STEM_CIFAR, .channels = 3, .image_size = 8, .head_layers = 1,
                                            .out_dim = 3, .classifier = true};
static char *const names[] = {"cat", "a \"b\"", "\xc3\xbc"};
static struct engine engine;

static void begin(void)
{
    struct network *network;
    folder = temp_folder();
    engine = (struct engine){.kernels = isa_resolve("auto"), .threads = 1};
    cr_assert_eq(network_create(&network, &shape, &engine, 1, false, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(classifier_write(temp_path(folder, CLASSIFIER_FILE), network, &shape, names, 7, &err), SIMCLR_OK, "%s", err.text);
    network_free(network);
}

static void end(void)
{
    temp_remove(folder);
}

TestSuite(classifier, .init = begin, .fini = end);

static const char *const keys[] = {"simclr_classifier", "arch", "width", "stem", "channels", "image_size", "classes"};
enum { KEYS = sizeof keys / sizeof *keys };

/* The file again, with another value of a key (NULL: without it), or of the first number of a tensor. */
static const char *rewrite(const char *key, const char *value, const char *tensor, float number)
{
    struct safetensors *file;
    struct safetensors_pair pairs[KEYS];
    size_t n = 0;
    cr_assert_eq(safetensors_open(&file, temp_path(folder, CLASSIFIER_FILE), &err), SIMCLR_OK, "%s", err.text);
    size_t count = safetensors_count(file);
    struct safetensors_entry *entries = calloc(count, sizeof *entries);
    for (size_t i = 0; i < count; i++)
        entries[i] = *safetensors_at(file, i);
    for (int i = 0; i < KEYS; i++) {
        const char *text = key && strcmp(key, keys[i]) == 0 ? value : safetensors_metadata(file, keys[i]);
        if (text)
            pairs[n++] = (struct safetensors_pair){keys[i], text};
    }
    if (tensor)
        memcpy((char *)(uintptr_t)safetensors_find(file, tensor)->data, &number, sizeof number);
    const char *path = temp_path(folder, "other.safetensors");
    cr_assert_eq(safetensors_write(path, entries, count, pairs, n, &err), SIMCLR_OK, "%s", err.text);
    free(entries);
    safetensors_close(file);
    return path;
}

static void expect_refused(const char *path, const char *part)
{
    struct classifier c;
    err.text[0] = 0;
    cr_expect_neq(classifier_open(&c, path, 1, &engine, &err), SIMCLR_OK, "taken; expected: %s", part);
    cr_expect(strstr(err.text, part), "\"%s\" does not say \"%s\"", err.text, part);
    classifier_close(&c);
}

Test(classifier, is_read_as_it_was_written)
{
    struct classifier c;
    const char *const paths[] = {folder, temp_path(folder, CLASSIFIER_FILE), rewrite(NULL, NULL, NULL, 0)};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(classifier_open(&c, paths[i], 1, &engine, &err), SIMCLR_OK, "%s", err.text);
        cr_expect_eq(c.classes, 3);
        for (int n = 0; n < 3; n++)
            cr_expect_str_eq(c.names[n], names[n]);
        cr_expect(c.encoder.config.network.image_size == 8 && c.encoder.config.network.width == 0.25);
        classifier_close(&c);
    }
}

Test(classifier, with_other_metadata_is_refused)
{
    static const struct {
        const char *key, *value, *part;
    } cases[] = {
        {"simclr_classifier", NULL, "is no classifier"}, {"simclr_classifier", "2", "classifier format 2"}, {"arch", NULL, "arch: ''"},
        {"arch", "resnet19", "'resnet19' is not one of"}, {"width", "nan", "width"}, {"width", "1e9", "out of range"},
        {"stem", "auto", "stem"}, {"channels", "2", "2 channels"}, {"image_size", "0", "image size 0"}, {"image_size", "-1", "image_size"},
        {"classes", NULL, "does not name its classes"}, {"classes", "[]", "does not name its classes"}, {"classes", "{", "does not name its classes"},
        {"classes", "{\"a\": \"b\"}", "does not name its classes"}, {"classes", "[\"a\", 1, \"b\"]", "does not name its classes"},
        {"classes", "[\"a\", \"b\"]", "tensor fc.weight has another shape"}, {"arch", "resnet34", "has no tensor layer1.2"},
        {"width", "0.5", "tensor conv1.weight has another shape"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refused(rewrite(cases[i].key, cases[i].value, NULL, 0), cases[i].part);
}

Test(classifier, with_numbers_that_are_none_is_refused)
{
    expect_refused(rewrite(NULL, NULL, "fc.weight", NAN), "tensor fc.weight holds values that are not finite");
    expect_refused(rewrite(NULL, NULL, "layer3.0.bn1.running_var", INFINITY), "layer3.0.bn1.running_var holds values that are not finite");
}

/* A name that would move a terminal's cursor is escaped, whoever wrote it. */
Test(classifier, names_are_printable)
{
    struct classifier c;
    cr_assert_eq(classifier_open(&c, rewrite("classes", "[\"a\\u001b[2J\", \"b\\nc\", \"\"]", NULL, 0), 1, &engine, &err), SIMCLR_OK, "%s", err.text);
    cr_expect_str_eq(c.names[0], "a\\x1b[2J");
    cr_expect_str_eq(c.names[1], "b\\x0ac");
    cr_expect_str_eq(c.names[2], "");
    classifier_close(&c);
}
