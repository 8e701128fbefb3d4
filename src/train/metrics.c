#include "train/metrics.h"

#include "base/status.h"
#include "io/file.h"
#include "io/number.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, MOST_BYTES = 256 << 20 };

#define LINE_START "{\"epoch\": "

static enum simclr_status metrics_path(char path[PATH_SIZE], const char *run, struct simclr_error *err)
{
    if (snprintf(path, PATH_SIZE, "%s/metrics.jsonl", run) >= PATH_SIZE)
        return fail(err, SIMCLR_ERR_USAGE, "the run folder's path is too long: %.80s...", run);
    return SIMCLR_OK;
}

struct line {
    char text[2048];
    size_t used;
};

static void put_text(struct line *line, const char *text)
{
    size_t length = strlen(text);
    memcpy(line->text + line->used, text, length + 1);
    line->used += length;
}

static void put_number(struct line *line, const char *key, double x)
{
    char number[NUMBER_SIZE];
    number_json(number, x);
    if (line->text[line->used - 1] != '{')
        put_text(line, ", ");
    put_text(line, "\"");
    put_text(line, key);
    put_text(line, "\": ");
    put_text(line, number);
}

static void format_record(struct line *line, const struct metrics *r)
{
    line->used = (size_t)snprintf(line->text, sizeof line->text, LINE_START "%d, \"step\": %" PRIu64, r->epoch, r->step);
    put_number(line, "loss", r->loss);
    put_number(line, "loss_floor", r->loss_floor);
    put_number(line, "loss_ceiling", r->loss_ceiling);
    put_number(line, "loss_place", r->loss_place);
    put_number(line, "retrieval@1", r->retrieval1);
    put_number(line, "retrieval@5", r->retrieval5);
    put_number(line, "alignment", r->alignment);
    put_number(line, "uniformity", r->uniformity);
    put_number(line, "lr", r->lr);
    if (r->skipped > 0)
        line->used += (size_t)sprintf(line->text + line->used, ", \"skipped\": %" PRIu64, r->skipped);
    if (r->knn >= 0)
        put_number(line, "knn", r->knn);
    if (r->knn_untrained >= 0)
        put_number(line, "knn_untrained", r->knn_untrained);
    if (r->effective_rank >= 0)
        put_number(line, "effective_rank", r->effective_rank);
    put_text(line, ", \"perf\": {");
    put_number(line, "time", r->perf.time);
    put_number(line, "images_per_second", r->perf.images_per_second);
    put_number(line, "gflop_per_second", r->perf.gflop_per_second);
    put_number(line, "percent_of_peak", r->perf.percent_of_peak);
    put_number(line, "seconds", r->perf.seconds);
    put_number(line, "data_share", r->perf.data_share);
    put_text(line, "}}\n");
}

enum simclr_status metrics_append(const char *run, const struct metrics *record, struct simclr_error *err)
{
    char path[PATH_SIZE];
    struct line line;
    enum simclr_status status = metrics_path(path, run, err);
    if (status != SIMCLR_OK)
        return status;
    format_record(&line, record);
    return file_append(path, line.text, line.used, err);
}

/* The step of a whole line, if it is one of a run of so many steps an epoch; else 0. -1: no memory to say. */
static int64_t step_of_line(const char *text, size_t length, uint64_t steps_per_epoch)
{
    errno = 0;
    json_t *record = json_loadb(text, length, 0, NULL);
    if (!record && errno == ENOMEM)
        return -1;
    json_t *epoch = json_object_get(record, "epoch"), *step = json_object_get(record, "step");
    int64_t e = json_is_integer(epoch) ? json_integer_value(epoch) : 0, s = json_is_integer(step) ? json_integer_value(step) : 0;
    json_decref(record);
    return s > 0 && e > 0 && (uint64_t)(s - 1) / steps_per_epoch + 1 == (uint64_t)e ? s : 0;
}

/* A last line without its end: the start of one, or what a file system puts where nothing was written. */
static bool is_torn(const char *text, size_t length)
{
    size_t known = sizeof LINE_START - 1, there = 0;
    while (there < length && there < known && text[there])
        there++;
    return memcmp(text, LINE_START, there) == 0;
}

enum simclr_status metrics_rewind(const char *run, uint64_t steps_per_epoch, uint64_t step, struct simclr_error *err)
{
    char path[PATH_SIZE];
    void *data;
    size_t size;
    enum simclr_status status = metrics_path(path, run, err);
    if (status != SIMCLR_OK)
        return status;
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return SIMCLR_OK;
    status = file_read(&data, &size, path, MOST_BYTES, err);
    if (status != SIMCLR_OK)
        return status;
    char *text = data;
    size_t kept = 0, lines = 0;
    int64_t before = 0;
    for (size_t at = 0; at < size && status == SIMCLR_OK;) {
        char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) + 1 - at : size - at;
        int64_t s = end ? step_of_line(text + at, length, steps_per_epoch) : 0;
        lines++;
        if (s < 0)
            status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", path);
        else if (end ? s <= before : !is_torn(text + at, length))
            status = fail(err, SIMCLR_ERR_USAGE, "line %zu of %s is not of this run; move that file away, or choose another folder with -o",
                          lines, path);
        if (end && s > 0 && (uint64_t)s <= step) {
            memmove(text + kept, text + at, length);
            kept += length;
        }
        before = s;
        at += length;
    }
    if (kept < size && status == SIMCLR_OK)
        status = file_write_atomic(path, text, kept, err);
    free(data);
    return status;
}
