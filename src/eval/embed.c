#include "eval/embed.h"

#include "base/arena.h"
#include "base/status.h"
#include "eval/similarity.h"
#include "io/buffer.h"
#include "io/file.h"
#include "io/npy.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

enum { FEATURES, NAMES, LABELS, BROKEN, FILES };
static const char *const suffixes[FILES] = {NULL /* the output itself */, ".names.txt", ".labels.npy", ".broken.txt"};

struct embedding {
    const char *output;
    size_t stem; /* bytes of output before ".npy" or ".csv" */
    const struct embed_options *options;
    const struct engine *engine;
    struct embed_result *result;
    bool csv;
    struct file_writer files[FILES]; /* path NULL: not begun */
    const struct image_part *part; /* that is written */
    float *rows;     /* (batch, dim) of a pass, without broken ones */
    int64_t *labels; /* (batch) */
    struct buffer text; /* of a pass: CSV rows, or names */
};

/* ---- One pass ---- */

const char *embed_name(const struct image_part *part, bool parts, size_t item, char text[EMBED_NAME])
{
    size_t before = parts ? (size_t)snprintf(text, EMBED_NAME, "%s/", dataset_part(part->set)) : 0;
    dataset_item_name(part->set, item, text + before, EMBED_NAME - before);
    return text;
}

static void csv_row(struct embedding *e, const char *name, int64_t label, const float *row)
{
    buffer_csv(&e->text, name);
    if (e->result->labels)
        buffer_format(&e->text, ",%lld", (long long)label);
    for (int i = 0; i < e->result->dim; i++)
        buffer_format(&e->text, ",%.9g", (double)row[i]);
    buffer_format(&e->text, "\n");
}

/* A features_take_fn. */
static enum simclr_status take(void *ctx, const struct features_pass *pass, struct simclr_error *err)
{
    struct embedding *e = ctx;
    size_t d = (size_t)e->result->dim, kept = 0;
    const float *x = e->options->z ? pass->z : pass->h;
    char name[EMBED_NAME];
    for (size_t i = 0; i < (size_t)pass->rows; i++)
        if (pass->labels[i] != LABEL_BROKEN) {
            memcpy(e->rows + kept * d, x + i * d, d * sizeof *x);
            e->labels[kept++] = pass->labels[i];
        }
    if (e->options->normalize)
        normalize_rows(e->engine, e->rows, kept, (int)d);
    buffer_clear(&e->text);
    for (size_t i = 0, row = 0; i < (size_t)pass->rows; i++) {
        if (pass->labels[i] == LABEL_BROKEN)
            continue;
        embed_name(e->part, e->options->parts, pass->first + i, name);
        if (e->csv)
            csv_row(e, name, e->labels[row], e->rows + row * d);
        else
            buffer_format(&e->text, "%s\n", name);
        row++;
    }
    if (e->text.failed)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s; use a smaller --batch-size", e->output);
    enum simclr_status status = file_put(&e->files[e->csv ? FEATURES : NAMES], e->text.data, e->text.size, err);
    if (status == SIMCLR_OK && !e->csv)
        status = file_put(&e->files[FEATURES], e->rows, kept * d * sizeof *e->rows, err);
    if (status == SIMCLR_OK && !e->csv && e->result->labels)
        status = file_put(&e->files[LABELS], e->labels, kept * sizeof *e->labels, err);
    e->result->images += kept;
    e->result->broken += (size_t)pass->rows - kept;
    return status;
}

static enum simclr_status put_header(struct embedding *e, struct simclr_error *err)
{
    buffer_clear(&e->text);
    buffer_format(&e->text, e->result->labels ? "name,label" : "name");
    for (int i = 0; i < e->result->dim; i++)
        buffer_format(&e->text, ",f%d", i);
    buffer_format(&e->text, "\n");
    return file_put(&e->files[FEATURES], e->text.data, e->text.size, err);
}

/* All passes of all parts. */
static enum simclr_status put_rows(struct embedding *e, struct network *network, const struct image_part *parts, int count,
                                   image_report_fn *report, void *ctx, struct simclr_error *err)
{
    size_t batch = (size_t)e->options->batch;
    struct image_progress progress = image_progress_begin(report, ctx, 0);
    e->rows = alloc_aligned(batch * (size_t)e->result->dim, sizeof *e->rows);
    e->labels = malloc(batch * sizeof *e->labels);
    if (!e->rows || !e->labels)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %zu rows; use a smaller --batch-size", batch);
    enum simclr_status status = e->csv ? put_header(e, err) : SIMCLR_OK;
    for (int i = 0; i < count; i++)
        progress.total += loader_size(parts[i].loader);
    for (int i = 0; i < count && status == SIMCLR_OK; i++) {
        e->part = &parts[i];
        status = features_walk(network, parts[i].loader, e->options->batch, e->options->z, take, e, &progress, err);
    }
    return status == SIMCLR_OK && e->result->images == 0 ? features_none_readable(parts[0].loader, err) : status;
}

static void begin(struct embedding *e, struct network *network, const struct image_part *parts, int count)
{
    *e->result = (struct embed_result){.dim = e->options->z ? network_out_dim(network) : network_feature_dim(network)};
    for (int i = 0; i < count; i++)
        e->result->labels |= dataset_classes(parts[i].set) > 0;
}

static void end(struct embedding *e)
{
    free(e->rows);
    free(e->labels);
    buffer_free(&e->text);
}

enum simclr_status embed_print(int fd, const char *name, struct network *network, const struct image_part *parts, int count,
                               const struct embed_options *options, const struct engine *engine, image_report_fn *report, void *ctx,
                               struct embed_result *result, struct simclr_error *err)
{
    struct embedding e = {.output = name, .options = options, .engine = engine, .result = result, .csv = true};
    begin(&e, network, parts, count);
    e.files[FEATURES] = file_to(fd, name);
    enum simclr_status status = put_rows(&e, network, parts, count, report, ctx, err);
    end(&e);
    return status;
}

/* ---- Whole or nothing ---- */

static void name_file(char path[PATH_SIZE], const struct embedding *e, int file)
{
    if (suffixes[file])
        snprintf(path, PATH_SIZE, "%.*s%s", (int)e->stem, e->output, suffixes[file]);
    else
        snprintf(path, PATH_SIZE, "%s", e->output);
}

/* Whether a file of this name is ours to write, or one that readers would look at. */
static bool concerns(const struct embedding *e, int file)
{
    return !e->csv || file == FEATURES || file == BROKEN;
}

static enum simclr_status check_names(struct embedding *e, struct simclr_error *err)
{
    char path[PATH_SIZE];
    size_t n = strlen(e->output);
    e->stem = n > 4 ? n - 4 : 0;
    e->csv = strcmp(e->output + e->stem, ".csv") == 0;
    if (n > PATH_SIZE - 64)
        return fail(err, SIMCLR_ERR_USAGE, "-o: the path is too long");
    if (e->stem == 0 || e->output[e->stem - 1] == '/' || (!e->csv && strcmp(e->output + e->stem, ".npy") != 0))
        return fail(err, SIMCLR_ERR_USAGE, "-o %.200s: the name of the file ends in .npy or .csv; - prints CSV", e->output);
    for (int file = 0; file < FILES; file++) {
        name_file(path, e, file);
        enum simclr_status status = concerns(e, file) ? file_must_be_new(path, "-o", err) : SIMCLR_OK;
        if (status != SIMCLR_OK)
            return status;
    }
    const char *slash = strrchr(e->output, '/');
    snprintf(path, PATH_SIZE, "%.*s", slash ? (int)(slash - e->output) : 0, e->output);
    return path[0] ? folder_create(path, err) : SIMCLR_OK;
}

/* Headers are written again when it is known how many images could be read. */
static enum simclr_status begin_files(struct embedding *e, struct simclr_error *err)
{
    static const char header[NPY_HEADER] = "";
    char path[PATH_SIZE];
    enum simclr_status status = SIMCLR_OK;
    for (int file = FEATURES; file <= LABELS && status == SIMCLR_OK; file++) {
        if (!concerns(e, file) || (file == LABELS && !e->result->labels))
            continue;
        name_file(path, e, file);
        status = file_begin(&e->files[file], path, err);
        if (status == SIMCLR_OK && file != NAMES && !e->csv)
            status = file_put(&e->files[file], header, sizeof header, err);
    }
    return status;
}

static enum simclr_status put_headers(struct embedding *e, struct simclr_error *err)
{
    char header[NPY_HEADER];
    npy_header(header, "<f4", (size_t[]){e->result->images, (size_t)e->result->dim}, 2);
    enum simclr_status status = file_put_at(&e->files[FEATURES], 0, header, sizeof header, err);
    npy_header(header, "<i8", &e->result->images, 1);
    return status == SIMCLR_OK && e->result->labels ? file_put_at(&e->files[LABELS], 0, header, sizeof header, err) : status;
}

static enum simclr_status list_broken(struct embedding *e, const struct image_part *parts, int count, struct simclr_error *err)
{
    char path[PATH_SIZE];
    name_file(path, e, BROKEN);
    buffer_clear(&e->text);
    for (int i = 0; i < count; i++) {
        const char *const *messages;
        size_t n = loader_broken(parts[i].loader, &messages);
        for (size_t m = 0; m < n && messages; m++)
            buffer_format(&e->text, "%s%s%s\n", e->options->parts ? dataset_part(parts[i].set) : "", e->options->parts ? "/" : "", messages[m]);
        if (n > 0 && !messages)
            return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the list of broken images");
    }
    if (e->text.failed)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the list of broken images");
    enum simclr_status status = file_begin(&e->files[BROKEN], path, err);
    return status == SIMCLR_OK ? file_put(&e->files[BROKEN], e->text.data, e->text.size, err) : status;
}

/* The features last; there were none of these files before. */
static enum simclr_status commit(struct embedding *e, struct simclr_error *err)
{
    char path[PATH_SIZE];
    enum simclr_status status = SIMCLR_OK;
    for (int file = FILES; file-- > 0 && status == SIMCLR_OK;)
        if (e->files[file].path)
            status = file_commit(&e->files[file], err);
    for (int file = 0; file < FILES && status != SIMCLR_OK; file++) {
        name_file(path, e, file);
        if (concerns(e, file))
            unlink(path);
    }
    return status;
}

enum simclr_status embed_write(const char *output, struct network *network, const struct image_part *parts, int count,
                               const struct embed_options *options, const struct engine *engine, image_report_fn *report, void *ctx,
                               struct embed_result *result, struct simclr_error *err)
{
    struct embedding e = {.output = output, .options = options, .engine = engine, .result = result};
    begin(&e, network, parts, count);
    enum simclr_status status = check_names(&e, err);
    if (status == SIMCLR_OK)
        status = begin_files(&e, err);
    if (status == SIMCLR_OK)
        status = put_rows(&e, network, parts, count, report, ctx, err);
    if (status == SIMCLR_OK && !e.csv)
        status = put_headers(&e, err);
    if (status == SIMCLR_OK && result->broken > 0)
        status = list_broken(&e, parts, count, err);
    if (status == SIMCLR_OK)
        status = commit(&e, err);
    if (status == SIMCLR_ERR_CANCELLED)
        fail(err, status, "stopped after %zu images; nothing was written", result->images + result->broken);
    for (int file = 0; file < FILES; file++)
        if (e.files[file].path)
            file_abandon(&e.files[file]);
    end(&e);
    return status;
}
