/* Runs that begin with a file's weights. */
#include "train/init.h"

#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"
#include "train/export.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(init, .init = small_runs_begin, .fini = small_runs_end);

static const struct network_config small = {.depth = 18, .width = 0.25, .stem = STEM_CIFAR, .channels = 3, .image_size = SIDE, .head_layers = 2, .out_dim = 8};

static struct network *make_network(struct network_config c)
{
    const struct engine engine = {.kernels = isa_resolve("auto"), .threads = 1};
    struct network *network;
    cr_assert_eq(network_create(&network, &c, &engine, 2, false, &err), SIMCLR_OK, "%s", err.text);
    return network;
}

/* The file of a network, encoder or all, with tensors of other names added and one left out or replaced; as another program writes it:
 * without our metadata. */
struct change {
    const char *tensor;                    /* "": none */
    const struct safetensors_entry *entry; /* in its place; NULL: it is left out */
};

static const struct change as_is = {"", NULL};
static const float four[4] = {1, 2, 3, 4};
static const struct safetensors_entry classifier = {.name = "fc.weight", .type = ST_F32, .ndim = 2, .dims = {2, 2}, .bytes = 16, .data = four};

static const char *write_weights(const char *name, struct network_config c, bool head, struct change change)
{
    struct encoder encoder = {.config.network = c, .network = make_network(c)};
    const char *path = temp_path(root, "%s", name);
    struct safetensors *file;
    cr_assert_eq(export_safetensors(path, &encoder, head, &err), SIMCLR_OK, "%s", err.text);
    encoder_close(&encoder);
    cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_OK, "%s", err.text);
    struct safetensors_entry *entries = allocate(safetensors_count(file) + 1, sizeof *entries);
    size_t n = 0;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct safetensors_entry *e = safetensors_at(file, i);
        if (strcmp(e->name, change.tensor) != 0)
            entries[n++] = *e;
        else if (change.entry)
            entries[n++] = *change.entry;
    }
    entries[n++] = classifier;
    cr_assert_eq(safetensors_write(path, entries, n, NULL, 0, &err), SIMCLR_OK, "%s", err.text);
    safetensors_close(file);
    free(entries);
    return path;
}

static void expect_same_tensors(struct network *got, struct network *want, bool encoder, bool head)
{
    size_t counts[2], ignored;
    const struct tensor_info *lists[2] = {network_param_list(want, &counts[0]), network_buffer_list(want, &counts[1])};
    float *a[2] = {network_params(got, &ignored), network_buffers(got, &ignored)}, *b[2] = {network_params(want, &ignored), network_buffers(want, &ignored)};
    for (int g = 0; g < 2; g++)
        for (size_t i = 0; i < counts[g]; i++) {
            const struct tensor_info *t = &lists[g][i];
            if (t->role != ROLE_CONV && t->role != ROLE_LINEAR)
                continue; /* norms begin alike */
            bool same = memcmp(a[g] + t->offset, b[g] + t->offset, t->count * sizeof(float)) == 0;
            cr_expect_eq(same, strncmp(t->name, "head.", 5) == 0 ? head : encoder, "%s", t->name);
        }
}

Test(init, takes_the_encoder_and_a_head_that_fits)
{
    struct network_config of_file = small, wider = small;
    of_file.seed = 5;
    wider.out_dim = 9;
    struct network *source = make_network(of_file);
    struct init_file init;
    char text[512];
    for (int head = 0; head < 3; head++) { /* without one, with one, with one that does not fit here */
        const char *path = write_weights("weights.safetensors", of_file, head > 0, as_is);
        struct network *network = make_network(head == 2 ? wider : small);
        cr_assert_eq(init_open(&init, path, network, &err), SIMCLR_OK, "%s", err.text);
        cr_expect_eq(init.head, head == 1);
        init_text(text, sizeof text, &init, path, network);
        expect_in(text, path);
        expect_in(text, "fc.weight");
        cr_expect_eq(strstr(text, "and the projection head of") != NULL, head == 1, "%s", text);
        cr_expect_eq(strstr(text, "head.0.weight") != NULL || strstr(text, "head.2") != NULL || strstr(text, ", ...,") != NULL, head == 2, "%s", text);
        if (head < 2) {
            init_take(&init, network);
            expect_same_tensors(network, source, true, head == 1);
        }
        init_close(&init);
        network_free(network);
    }
    network_free(source);
}

Test(init, takes_the_running_statistics)
{
    const float mean[16] = {1, 2, 3};
    const struct safetensors_entry entry = {.name = "bn1.running_mean", .type = ST_F32, .ndim = 1, .dims = {16}, .bytes = sizeof mean, .data = mean};
    const char *path = write_weights("weights.safetensors", small, false, (struct change){entry.name, &entry});
    struct network *network = make_network(small);
    struct init_file init;
    size_t ignored;
    cr_assert_eq(init_open(&init, path, network, &err), SIMCLR_OK, "%s", err.text);
    init_take(&init, network);
    cr_expect_eq(memcmp(network_buffers(network, &ignored) + network_buffer_list(network, &ignored)[0].offset, mean, sizeof mean), 0);
    init_close(&init);
    network_free(network);
}

static void expect_refused(const char *path, struct network_config c, enum simclr_status status, const char *what)
{
    struct network *network = make_network(c);
    struct init_file init;
    cr_expect_eq(init_open(&init, path, network, &err), status, "%s", what);
    expect_in(err.text, path);
    expect_in(err.text, what);
    init_close(&init);
    network_free(network);
}

Test(init, refuses_the_weights_of_another_network)
{
    struct network_config deeper = small, grey = small;
    deeper.depth = 34;
    grey.channels = 1;
    const char *path = write_weights("weights.safetensors", small, false, as_is);
    expect_refused(path, deeper, SIMCLR_ERR_USAGE, "no tensor layer1.2.conv1.weight");
    expect_refused(path, grey, SIMCLR_ERR_USAGE, "conv1.weight is 16 x 3 x 3 x 3, and here 16 x 1 x 3 x 3");
    path = write_weights("deeper.safetensors", deeper, false, as_is);
    expect_refused(path, small, SIMCLR_ERR_USAGE, "has a tensor layer1.2.");
    expect_refused("/nonexistent", small, SIMCLR_ERR_IO, "/nonexistent");
}

Test(init, refuses_what_no_network_can_hold)
{
    static int64_t words[16];
    float values[16] = {1, 2, NAN};
    struct safetensors_entry entry = {.name = "bn1.running_var", .type = ST_F32, .ndim = 1, .dims = {16}, .bytes = sizeof values, .data = values};
    struct change change = {entry.name, &entry};
    expect_refused(write_weights("nan.safetensors", small, false, change), small, SIMCLR_ERR_FORMAT, "not finite");
    values[2] = -1;
    expect_refused(write_weights("negative.safetensors", small, false, change), small, SIMCLR_ERR_FORMAT, "a variance below 0");
    entry.type = ST_I64;
    entry.bytes = sizeof words;
    entry.data = words;
    expect_refused(write_weights("words.safetensors", small, false, change), small, SIMCLR_ERR_USAGE, "bn1.running_var is not of type F32");
    change.entry = NULL;
    expect_refused(write_weights("missing.safetensors", small, false, change), small, SIMCLR_ERR_USAGE, "no tensor bn1.running_var");
}

/* ---- Runs ---- */

static void begin_with(const char *name, uint64_t seed)
{
    struct network_config c = small;
    c.seed = seed;
    snprintf(config.init, sizeof config.init, "%s", write_weights(name, c, false, as_is));
}

Test(init, decides_a_run_by_its_tensors)
{
    run_whole("random");
    begin_with("five.safetensors", 5);
    run_whole("five");
    expect_in(told, "notice: beginning with the encoder of ");
    expect_in(told, "five.safetensors; not used: fc.weight");
    begin_with("same.safetensors", 5);
    run_whole("same");
    expect_same_run("five", "same");
    size_t n, m;
    char *a = file_of(&n, "random", "checkpoint-00000003.safetensors"), *b = file_of(&m, "five", "checkpoint-00000003.safetensors");
    cr_expect(n != m || memcmp(a, b, n) != 0);
    free(a);
    free(b);
}

Test(init, is_not_needed_by_a_resumed_run)
{
    begin_with("five.safetensors", 5);
    run_whole("whole");
    stop_at_seven("run");
    cr_assert_eq(remove(config.init), 0);
    resume_on("auto", 1, "run");
    expect_same_run("run", "whole");
}

Test(init, of_other_weights_is_refused_by_a_resumed_run)
{
    begin_with("five.safetensors", 5);
    run_whole("whole");
    stop_at_seven("run");
    begin_with("six.safetensors", 6);
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "did not begin with the weights of --init ");
    cr_assert_eq(remove(temp_path(root, "run/config.json")), 0);
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    begin_with("copy.safetensors", 5);
    resume_on("auto", 1, "run");
    expect_same_run("run", "whole");
}

Test(init, that_does_not_fit_leaves_no_run)
{
    struct network_config deeper = small;
    deeper.depth = 34;
    snprintf(config.init, sizeof config.init, "%s", write_weights("deeper.safetensors", deeper, false, as_is));
    cr_expect_eq(run_on("auto", 1, "run", false, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "choose the --arch");
    cr_expect(!is_there("run", "config.json"));
}
