/* The figures of a run's epochs, as RUN/metrics.jsonl has them: by name, so that a figure that a run did not write is not there. */
#ifndef TRAIN_HISTORY_H
#define TRAIN_HISTORY_H

#include "simclr/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct history {
    json_t *records; /* an array of objects */
    size_t count;
};

/* No file is a history of no epochs. history_free. */
enum simclr_status history_read(struct history *history, const char *path, struct simclr_error *err);
void history_free(struct history *history);

/* A figure of a record: "loss"; "perf/seconds" for one of "perf". NULL: not there. */
const json_t *history_figure(const json_t *record, const char *name);

/* The same of every epoch: values (count), NaN where there is none. Whether there is any. */
bool history_values(double *values, const struct history *history, const char *name);

#endif
