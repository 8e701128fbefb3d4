#include "train/history.h"

#include "base/status.h"
#include "io/file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 256 << 20 };

enum simclr_status history_read(struct history *h, const char *path, struct simclr_error *err)
{
    void *data;
    size_t size;
    *h = (struct history){.records = json_array()};
    if (!h->records)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", path);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return SIMCLR_OK;
    enum simclr_status status = file_read(&data, &size, path, MOST_BYTES, err);
    if (status != SIMCLR_OK)
        return status;
    const char *text = data;
    for (size_t at = 0, line = 1; at < size && status == SIMCLR_OK; line++) {
        const char *end = memchr(text + at, '\n', size - at);
        if (!end) /* torn, or still being written */
            break;
        errno = 0;
        json_t *record = json_loadb(text + at, (size_t)(end - text) - at, 0, NULL);
        if (!record && errno == ENOMEM)
            status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", path);
        else if (!json_is_object(record) || json_array_append(h->records, record) != 0)
            status = fail(err, SIMCLR_ERR_FORMAT, "line %zu of %s is not a record of an epoch", line, path);
        json_decref(record);
        at = (size_t)(end - text) + 1;
    }
    free(data);
    h->count = json_array_size(h->records);
    return status;
}

void history_free(struct history *h)
{
    json_decref(h->records);
    *h = (struct history){.records = NULL};
}

const json_t *history_figure(const json_t *record, const char *name)
{
    return strncmp(name, "perf/", 5) == 0 ? json_object_get(json_object_get(record, "perf"), name + 5) : json_object_get(record, name);
}

bool history_values(double *values, const struct history *h, const char *name)
{
    bool any = false;
    for (size_t i = 0; i < h->count; i++) {
        const json_t *value = history_figure(json_array_get(h->records, i), name);
        values[i] = json_is_number(value) ? json_number_value(value) : NAN;
        any |= json_is_number(value);
    }
    return any;
}
