#include "tests/small_runs.h"

#include "data/augment.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "tests/harness.h"
#include "tests/temp_files.h"
#include "train/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *root;
struct simclr_error err;
struct train_config config;
struct train_result result;
char told[8192];

static void write_npy(const char *path, const char *dtype, const char *shape, const void *data, size_t size)
{
    char header[118];
    int n = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", dtype, shape);
    memset(header + n, ' ', sizeof header - (size_t)n);
    header[sizeof header - 1] = '\n';
    uint8_t *file = malloc(10 + sizeof header + size);
    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(file + 10, header, sizeof header);
    memcpy(file + 10 + sizeof header, data, size);
    temp_write(path, file, 10 + sizeof header + size);
    free(file);
}

void write_set(const char *name, int shade)
{
    static uint8_t pixels[PICTURES][SIDE * SIDE * 3];
    uint8_t labels[PICTURES];
    for (int i = 0; i < PICTURES; i++) {
        paint_gradient(pixels[i], SIDE, SIDE, (unsigned)(i + shade));
        pixels[i][0] = pixels[i][1] = pixels[i][2] = (uint8_t)(10 * i + shade);
        labels[i] = (uint8_t)(i % 2);
    }
    write_npy(temp_path(root, "%s.npy", name), "|u1", "(20, 8, 8, 3)", pixels, sizeof pixels);
    write_npy(temp_path(root, "%s.labels.npy", name), "|u1", "(20,)", labels, sizeof labels);
}

void small_runs_begin(void)
{
    root = temp_folder();
    write_set("set", 0);
    train_defaults(&config);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "set.npy"));
    config.network.depth = 18;
    config.network.width = 0.25;
    config.network.out_dim = 8;
    config.batch_size = BATCH;
    config.epochs = 2;
    config.knn_k = 5;
    config.checkpoint_minutes = 0;
    config.checkpoint_every = 3;
    config.keep = 0;
    augment_preset(&config.augment, "paper");
}

void small_runs_end(void)
{
    temp_remove(root);
}

static int report(void *ctx, const struct train_progress *progress, bool epoch_done)
{
    (void)epoch_done;
    const struct interruption *stop = ctx;
    if (progress->text) {
        size_t used = strlen(told);
        snprintf(told + used, sizeof told - used, "%s: %s\n", progress->phase, progress->text);
        return 0;
    }
    bool now = stop && stop->step && progress->step == stop->step && strcmp(progress->phase, "train") == 0;
    if (now && stop->kill)
        _exit(0);
    return now;
}

enum simclr_status run_on(const char *isa, int threads, const char *run, bool resume, struct interruption stop)
{
    struct engine engine = {.kernels = isa_resolve(isa), .threads = threads};
    cr_assert_not_null(engine.kernels);
    told[0] = 0;
    return train_run(&config, temp_path(root, "%s", run), resume, &engine, report, &stop, &result, &err);
}

void run_whole(const char *run)
{
    cr_assert_eq(run_on("auto", 1, run, false, (struct interruption){0}), SIMCLR_OK, "%s", err.text);
}

void resume_on(const char *isa, int threads, const char *run)
{
    cr_assert_eq(run_on(isa, threads, run, true, (struct interruption){0}), SIMCLR_OK, "%s", err.text);
}

char *file_of(size_t *size, const char *run, const char *name)
{
    void *data;
    cr_assert_eq(file_read(&data, size, temp_path(root, "%s/%s", run, name), 1 << 28, &err), SIMCLR_OK, "%s", err.text);
    return data;
}

void expect_same_file(const char *run, const char *other, const char *name)
{
    size_t n, m;
    char *a = file_of(&n, run, name), *b = file_of(&m, other, name);
    cr_expect(n == m && memcmp(a, b, n) == 0, "%s of %s and %s differ", name, run, other);
    free(a);
    free(b);
}

static char *metrics_of(const char *run)
{
    size_t size, kept = 0;
    char *text = file_of(&size, run, "metrics.jsonl");
    for (char *line = text; *line;) {
        char *perf = strstr(line, ", \"perf\""), *end = strchr(line, '\n');
        cr_assert(perf && end && perf < end, "%s", line);
        memmove(text + kept, line, (size_t)(perf - line));
        kept += (size_t)(perf - line);
        text[kept++] = '\n';
        line = end + 1;
    }
    text[kept] = 0;
    return text;
}

void expect_same_metrics(const char *run, const char *other)
{
    char *a = metrics_of(run), *b = metrics_of(other);
    cr_expect_str_eq(a, b, "metrics of %s and %s differ", run, other);
    free(a);
    free(b);
}

void expect_same_run(const char *run, const char *other)
{
    expect_same_file(run, other, "checkpoint-00000008.safetensors");
    expect_same_metrics(run, other);
}

void stop_at_seven(const char *run)
{
    cr_assert_eq(run_on("auto", 1, run, false, (struct interruption){.step = 7}), SIMCLR_ERR_CANCELLED);
}

void copy_run(const char *from, const char *to)
{
    char command[512];
    snprintf(command, sizeof command, "rm -rf %s && cp -r %s %s", temp_path(root, "%s", to), temp_path(root, "%s", from),
             temp_path(root, "%s", to));
    cr_assert_eq(system(command), 0);
}

bool is_there(const char *run, const char *name)
{
    return access(temp_path(root, "%s/%s", run, name), F_OK) == 0;
}

void expect_in(const char *text, const char *part)
{
    cr_expect_not_null(strstr(text, part), "expected \"%s\" in: %s", part, text);
}

void rewrite_checkpoint(const char *to, const char *from, const char *tensor, size_t at, const void *bytes, size_t size)
{
    static const char *const keys[] = {"format", "simclr_format", "settings", "dataset", "step"};
    struct safetensors *file;
    struct safetensors_pair metadata[5];
    cr_assert_eq(safetensors_open(&file, temp_path(root, "%s", from), &err), SIMCLR_OK, "%s", err.text);
    size_t count = safetensors_count(file);
    struct safetensors_entry *entries = calloc(count, sizeof *entries);
    for (size_t i = 0; i < count; i++)
        entries[i] = *safetensors_at(file, i);
    for (int i = 0; i < 5; i++)
        metadata[i] = (struct safetensors_pair){keys[i], safetensors_metadata(file, keys[i])};
    memcpy((char *)(uintptr_t)safetensors_find(file, tensor)->data + at, bytes, size);
    cr_assert_eq(safetensors_write(temp_path(root, "%s", to), entries, count, metadata, 5, &err), SIMCLR_OK, "%s", err.text);
    free(entries);
    safetensors_close(file);
}

void poison_checkpoint(const char *to, const char *from, const char *tensor, float value, size_t count)
{
    float values[1024];
    cr_assert_leq(count, sizeof values / sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = value;
    rewrite_checkpoint(to, from, tensor, 0, values, count * sizeof *values);
}
