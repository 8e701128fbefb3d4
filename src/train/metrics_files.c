#include "train/metrics_files.h"

#include "base/status.h"
#include "io/buffer.h"
#include "io/file.h"
#include "io/number.h"
#include "io/tfevents.h"
#include "train/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, MOST_BYTES = 256 << 20 };

/* Keys of metrics.jsonl, those of its "perf" with that before them. The first two are the axes of TensorBoard's charts. */
static const char *const columns[] = {
    "epoch", "step", "loss", "loss_floor", "loss_ceiling", "loss_place", "retrieval@1", "retrieval@5", "alignment", "uniformity", "lr",
    "skipped", "knn", "knn_untrained", "effective_rank", "perf/images_per_second", "perf/gflop_per_second",
    "perf/percent_of_peak", "perf/seconds", "perf/data_share",
};
enum { COLUMNS = sizeof columns / sizeof *columns, FIRST_CHARTED = 2 };

struct files {
    struct buffer csv, events;
};

/* ---- A line of metrics ---- */

static void add_row(struct buffer *csv, const json_t *record)
{
    for (int i = 0; i < COLUMNS; i++) {
        const json_t *value = history_figure(record, columns[i]);
        char number[NUMBER_SIZE] = ""; /* left out, or null */
        if (json_is_integer(value))
            snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
            number_json(number, json_real_value(value));
        buffer_format(csv, "%s%s", i ? "," : "", number);
        buffer_add(csv, "\n", i == COLUMNS - 1);
    }
}

static void add_event(struct buffer *events, const json_t *record)
{
    struct tfevents_scalar scalars[COLUMNS];
    size_t count = 0;
    double time = json_number_value(history_figure(record, "perf/time"));
    for (int i = FIRST_CHARTED; i < COLUMNS; i++) {
        const json_t *value = history_figure(record, columns[i]);
        if (json_is_number(value))
            scalars[count++] = (struct tfevents_scalar){columns[i], (float)json_number_value(value)};
    }
    if (events->size == 0)
        tfevents_begin(events, time);
    tfevents_scalars(events, time, json_integer_value(history_figure(record, "step")), scalars, count);
}

static void add_header(struct buffer *csv)
{
    for (int i = 0; i < COLUMNS; i++)
        buffer_format(csv, "%s%s", i ? "," : "", columns[i]);
    buffer_add(csv, "\n", 1);
}

/* ---- Their files ---- */

/* begins: what a file of ours begins with, so many bytes of what it is to hold; 0: its name is ours alone. */
static enum simclr_status bring_up(const char *run, const char *name, const struct buffer *whole, size_t begins, struct simclr_error *err)
{
    char path[PATH_SIZE];
    void *data;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", run, name);
    bool there = access(path, F_OK) == 0 || errno != ENOENT;
    if (!there)
        return whole->size > begins ? file_write_atomic(path, whole->data, whole->size, err) : SIMCLR_OK;
    enum simclr_status status = file_read(&data, &size, path, MOST_BYTES, err);
    if (status != SIMCLR_OK)
        return status;
    size_t known = size < begins ? size : begins, same = size < whole->size ? size : whole->size;
    if (known > 0 && memcmp(data, whole->data, known) != 0)
        status = fail(err, SIMCLR_ERR_USAGE, "%s is not of this run; move that file away, or choose another folder with -o", path);
    else if (size > whole->size || (same > 0 && memcmp(data, whole->data, same) != 0))
        status = file_write_atomic(path, whole->data, whole->size, err);
    else if (size < whole->size)
        status = file_append(path, whole->data + size, whole->size - size, err);
    free(data);
    return status;
}

enum simclr_status metrics_files_update(const char *run, struct simclr_error *err)
{
    char path[PATH_SIZE];
    struct history history;
    struct files f = {0};
    if (snprintf(path, sizeof path, "%s/metrics.jsonl", run) >= PATH_SIZE - (int)sizeof METRICS_EVENTS)
        return fail(err, SIMCLR_ERR_USAGE, "the run folder's path is too long: %.80s...", run);
    enum simclr_status status = history_read(&history, path, err);
    add_header(&f.csv);
    size_t header = f.csv.size;
    for (size_t i = 0; i < history.count && status == SIMCLR_OK; i++) {
        const json_t *record = json_array_get(history.records, i);
        add_row(&f.csv, record);
        add_event(&f.events, record);
    }
    if (status == SIMCLR_OK && (f.csv.failed || f.events.failed))
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the figures of %s", path);
    if (status == SIMCLR_OK)
        status = bring_up(run, METRICS_CSV, &f.csv, header, err);
    if (status == SIMCLR_OK && tfevents_supported())
        status = bring_up(run, METRICS_EVENTS, &f.events, 0, err);
    history_free(&history);
    buffer_free(&f.csv);
    buffer_free(&f.events);
    return status;
}
