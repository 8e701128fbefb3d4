#include "train/broken.h"

#include "base/status.h"
#include "io/file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, MOST_BYTES = 256 << 20 };

struct lines {
    char **at; /* (count), owned */
    size_t count, room;
};

static void lines_free(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->at[i]);
    free(lines->at);
}

static bool add(struct lines *lines, const char *prefix, const char *text, size_t length)
{
    if (lines->count == lines->room) {
        size_t room = lines->room ? 2 * lines->room : 64;
        char **more = realloc(lines->at, room * sizeof *more);
        if (!more)
            return false;
        lines->at = more;
        lines->room = room;
    }
    size_t before = strlen(prefix);
    char *line = malloc(before + length + 1);
    if (!line)
        return false;
    memcpy(line, prefix, before);
    memcpy(line + before, text, length);
    line[before + length] = 0;
    lines->at[lines->count++] = line;
    return true;
}

static bool add_text(struct lines *lines, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        if (length && !add(lines, "", text, length))
            return false;
        text += length + (text[length] == '\n');
    }
    return true;
}

static bool add_loader(struct lines *lines, const char *prefix, struct loader *loader)
{
    const char *const *messages;
    size_t n = loader ? loader_broken(loader, &messages) : 0;
    if (n > 0 && !messages)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!add(lines, prefix, messages[i], strlen(messages[i])))
            return false;
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_and_unite(struct lines *lines)
{
    size_t kept = 0;
    if (lines->count)
        qsort(lines->at, lines->count, sizeof *lines->at, by_text);
    for (size_t i = 0; i < lines->count; i++)
        if (kept && strcmp(lines->at[kept - 1], lines->at[i]) == 0)
            free(lines->at[i]);
        else
            lines->at[kept++] = lines->at[i];
    lines->count = kept;
}

static enum simclr_status write_lines(const char *path, const struct lines *lines, struct simclr_error *err)
{
    struct file_writer writer;
    enum simclr_status status = file_begin(&writer, path, err);
    if (status != SIMCLR_OK)
        return status;
    for (size_t i = 0; i < lines->count && status == SIMCLR_OK; i++) {
        status = file_put(&writer, lines->at[i], strlen(lines->at[i]), err);
        if (status == SIMCLR_OK)
            status = file_put(&writer, "\n", 1, err);
    }
    if (status == SIMCLR_OK)
        return file_commit(&writer, err);
    file_abandon(&writer);
    return status;
}

static bool list_path(char path[PATH_SIZE], const char *run)
{
    return snprintf(path, PATH_SIZE, "%s/broken.txt", run) < PATH_SIZE;
}

enum simclr_status broken_list(const char *run, const struct run_data *data, size_t *count, struct simclr_error *err)
{
    char path[PATH_SIZE];
    if (!list_path(path, run))
        return fail(err, SIMCLR_ERR_USAGE, "the run folder's path is too long: %.80s...", run);
    return broken_list_at(path, data, count, err);
}

enum simclr_status broken_list_at(const char *path, const struct run_data *data, size_t *count, struct simclr_error *err)
{
    void *text = NULL;
    size_t size;
    struct lines lines = {0};
    enum simclr_status status = access(path, F_OK) == 0 ? file_read(&text, &size, path, MOST_BYTES, err) : SIMCLR_OK;
    if (status != SIMCLR_OK)
        return status;
    bool fits = !text || add_text(&lines, text);
    free(text);
    size_t before = lines.count;
    bool own_bank = data->bank != data->train, own_test = data->test_set != data->train_set;
    fits = fits && add_loader(&lines, "", data->train) && (!own_bank || add_loader(&lines, "labelled: ", data->bank)) &&
           add_loader(&lines, own_test ? "held out: " : "", data->test);
    sort_and_unite(&lines);
    *count = lines.count;
    if (!fits)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the list of broken images");
    else if (lines.count > before)
        status = write_lines(path, &lines, err);
    lines_free(&lines);
    return status;
}

void broken_clear(const char *run)
{
    char path[PATH_SIZE];
    if (list_path(path, run))
        unlink(path);
}
