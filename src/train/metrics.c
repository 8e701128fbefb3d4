#include "train/metrics.h"

#include "base/status.h"
#include "io/file.h"
#include "io/number.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, MOST_BYTES = 256 << 20 };

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
    line->used = (size_t)snprintf(line->text, sizeof line->text, "{\"epoch\": %d, \"step\": %" PRIu64, r->epoch, r->step);
    put_number(line, "loss", r->loss);
    put_number(line, "loss_place", r->loss_place);
    put_number(line, "retrieval@1", r->retrieval1);
    put_number(line, "alignment", r->alignment);
    put_number(line, "uniformity", r->uniformity);
    put_number(line, "lr", r->lr);
    if (r->knn >= 0)
        put_number(line, "knn", r->knn);
    if (r->knn_untrained >= 0)
        put_number(line, "knn_untrained", r->knn_untrained);
    put_text(line, ", \"perf\": {");
    put_number(line, "images_per_second", r->perf.images_per_second);
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

/* Whether a line (of length bytes, its newline included) is whole and of a step not after `step`. */
static int line_stays(const char *text, size_t length, uint64_t step)
{
    if (length == 0 || text[length - 1] != '\n')
        return 0;
    json_t *record = json_loadb(text, length, 0, NULL);
    json_t *value = json_object_get(record, "step");
    int stays = json_is_integer(value) && json_integer_value(value) >= 0 && (uint64_t)json_integer_value(value) <= step;
    json_decref(record);
    return stays;
}

enum simclr_status metrics_rewind(const char *run, uint64_t step, struct simclr_error *err)
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
    size_t kept = 0;
    for (size_t at = 0; at < size;) {
        char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) + 1 - at : size - at;
        if (line_stays(text + at, length, step)) {
            memmove(text + kept, text + at, length);
            kept += length;
        }
        at += length;
    }
    if (kept < size)
        status = file_write_atomic(path, text, kept, err);
    free(data);
    return status;
}
