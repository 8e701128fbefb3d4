#include "train/finetune_folder.h"

#include "base/clock.h"
#include "base/status.h"
#include "base/text.h"
#include "io/buffer.h"
#include "io/file.h"
#include "io/number.h"
#include "train/broken.h"
#include "train/classifier.h"
#include "train/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 + 64 };

#define METRICS "metrics.jsonl"
#define CONFIG "config.json"
#define CLASSES "classes.txt"

static void path_of(char path[PATH_SIZE], const struct finetune_folder *folder, const char *name)
{
    snprintf(path, PATH_SIZE, "%s/%s", folder->temporary, name);
}

static enum simclr_status make_parents(const char *path, struct simclr_error *err)
{
    char parent[4096];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return SIMCLR_OK;
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
    return folder_create(parent, err);
}

enum simclr_status finetune_folder_begin(struct finetune_folder *folder, const char *path, struct simclr_error *err)
{
    size_t length = strlen(path);
    *folder = (struct finetune_folder){.made = false};
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length >= sizeof folder->path)
        return fail(err, SIMCLR_ERR_USAGE, "-o %.80s... is too long", path);
    snprintf(folder->path, sizeof folder->path, "%.*s", (int)length, path);
    snprintf(folder->temporary, sizeof folder->temporary, "%s.tmp", folder->path);
    enum simclr_status status = file_must_be_new(folder->path, "-o", err);
    if (status == SIMCLR_OK)
        status = make_parents(folder->path, err);
    if (status != SIMCLR_OK)
        return status;
    folder->made = mkdir(folder->temporary, 0777) == 0;
    if (folder->made)
        return SIMCLR_OK;
    if (errno == EEXIST)
        return fail(err, SIMCLR_ERR_USAGE, "%s is there already: another fine-tuning writes it, or left it when it was killed; remove it, or "
                    "choose another -o", folder->temporary);
    return fail(err, SIMCLR_ERR_IO, "cannot make the folder %s: %s; choose another with -o", folder->temporary, strerror(errno));
}

/* ---- metrics.jsonl ---- */

static void put_number(struct buffer *line, const char *key, double x)
{
    char number[NUMBER_SIZE];
    number_json(number, x);
    buffer_format(line, "\"%s\": %s", key, number);
}

static void put_next(struct buffer *line, const char *key, double x)
{
    buffer_format(line, ", ");
    put_number(line, key, x);
}

enum simclr_status finetune_folder_epoch(const struct finetune_folder *folder, const struct finetune_result *result, double seconds,
                                         struct simclr_error *err)
{
    char path[PATH_SIZE];
    struct buffer line = {0};
    const struct finetune_progress *p = &result->last;
    const struct class_score *t = &result->test;
    buffer_format(&line, "{\"epoch\": %d, \"step\": %" PRIu64, p->epoch, p->step);
    put_next(&line, "loss", p->loss);
    put_next(&line, "accuracy", p->accuracy);
    put_next(&line, "lr", p->lr);
    if (t->images > 0) {
        put_next(&line, "test_accuracy", (double)t->right / (double)t->images);
        put_next(&line, "test_top5", (double)t->in_five / (double)t->images);
        buffer_format(&line, ", \"test_images\": %zu", t->images);
    }
    buffer_format(&line, ", \"perf\": {");
    put_number(&line, "time", clock_unix());
    put_next(&line, "images_per_second", p->images_per_second);
    put_next(&line, "seconds", seconds);
    buffer_format(&line, "}}\n");
    path_of(path, folder, METRICS);
    enum simclr_status status = line.failed ? fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path)
                                            : file_append(path, line.data, line.size, err);
    buffer_free(&line);
    return status;
}

/* ---- The other files ---- */

static enum simclr_status write_classes(const struct finetune_folder *folder, const struct finetune *f, struct simclr_error *err)
{
    char path[PATH_SIZE];
    struct buffer text = {0};
    for (int i = 0; i < f->classes; i++)
        buffer_format(&text, "%s\n", f->names[i]);
    path_of(path, folder, CLASSES);
    enum simclr_status status = text.failed ? fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path)
                                            : file_write_atomic(path, text.data, text.size, err);
    buffer_free(&text);
    return status;
}

/* Settings by the names of a run's config.json. The path may be of bytes that JSON has not. */
static bool put_settings(struct buffer *text, const struct finetune *f)
{
    static const char *const names[] = {"data", "limit", "max-pixels", "image-size", "channels", "arch", "width", "stem", "batch-size", "epochs",
                                        "optimizer", "lr", "lr-scaling", "warmup-epochs", "weight-decay", "momentum", "nesterov", "seed",
                                        "crop-min", "crop-max", "crop-ratio-min", "crop-ratio-max", "flip-p"};
    struct train_config settings = f->settings;
    text_printable(settings.data, sizeof settings.data, f->settings.data);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct setting *setting = train_setting_find(names[i]);
        char key[SETTING_KEY], *value = train_setting_text(&settings, setting);
        train_setting_key(key, setting);
        if (!value)
            return false;
        buffer_format(text, ",\n  \"%s\": %s", key, value);
        free(value);
    }
    return true;
}

static enum simclr_status write_config(const struct finetune_folder *folder, const struct finetune *f, struct simclr_error *err)
{
    char path[PATH_SIZE], encoder[sizeof f->encoder->path], labels[NUMBER_SIZE];
    struct buffer text = {0};
    number_json(labels, f->options.labels);
    buffer_format(&text, "{\n  \"encoder\": ");
    buffer_json(&text, text_printable(encoder, sizeof encoder, f->encoder->path));
    buffer_format(&text, ",\n  \"encoder_step\": %" PRIu64 ",\n  \"encoder_seed\": %" PRIu64 ",\n  \"untrained\": %s,\n"
                  "  \"labels_percent\": %s,\n  \"images\": %zu,\n  \"classes\": %d", f->encoder->step, f->encoder->config.seed,
                  f->options.untrained ? "true" : "false", labels, f->images, f->classes);
    bool whole = put_settings(&text, f);
    buffer_format(&text, "\n}\n");
    path_of(path, folder, CONFIG);
    enum simclr_status status = whole && !text.failed ? file_write_atomic(path, text.data, text.size, err)
                                                      : fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path);
    buffer_free(&text);
    return status;
}

enum simclr_status finetune_folder_commit(struct finetune_folder *folder, const struct finetune *f, struct finetune_result *result,
                                          struct simclr_error *err)
{
    char path[PATH_SIZE];
    path_of(path, folder, CLASSIFIER_FILE);
    uint64_t batches = (f->options.untrained ? 0 : f->encoder->batches) + f->step;
    enum simclr_status status = classifier_write(path, f->network, &f->settings.network, f->names, batches, err);
    if (status == SIMCLR_OK)
        status = write_classes(folder, f, err);
    if (status == SIMCLR_OK)
        status = write_config(folder, f, err);
    if (status == SIMCLR_OK)
        status = broken_list(folder->temporary, &f->data, &result->broken, err);
    if (status == SIMCLR_OK)
        status = file_must_be_new(folder->path, "-o", err);
    if (status == SIMCLR_OK && rename(folder->temporary, folder->path) < 0)
        status = fail(err, SIMCLR_ERR_IO, "cannot rename %s to %s: %s", folder->temporary, folder->path, strerror(errno));
    if (status == SIMCLR_OK && file_sync_folder(folder->path) < 0)
        status = fail(err, SIMCLR_ERR_IO, "%s is written, but may not outlive a power cut: %s", folder->path, strerror(errno));
    return status;
}

void finetune_folder_abandon(const struct finetune_folder *folder)
{
    static const char *const names[] = {CLASSIFIER_FILE, CLASSES, CONFIG, METRICS, "broken.txt"};
    char path[PATH_SIZE];
    for (size_t i = 0; i < sizeof names / sizeof *names && folder->made; i++) {
        path_of(path, folder, names[i]);
        unlink(path);
    }
    if (folder->made)
        rmdir(folder->temporary);
}
