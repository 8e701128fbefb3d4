#include "train/pack.h"

#include "base/arena.h"
#include "base/par.h"
#include "base/status.h"
#include "io/file.h"
#include "io/npy.h"
#include "train/broken.h"
#include "train/run_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, MOST_BATCH = 64, BATCH_BYTES = 64 << 20 };

/* One file of images, and its labels. */
struct part {
    const char *name; /* "", ".labelled", ".test" */
    const struct dataset *set;
    struct loader *loader;
    struct file_writer images, labels;
    int64_t *label_of; /* (loader_size); NULL: the set has none */
    size_t written;
};

enum { TRAIN, LABELLED, TEST, PARTS };

struct pack {
    const char *output;
    const struct engine *engine;
    struct run_data data; /* of loaders, each part's own */
    struct part parts[PARTS];
    int side, channels, batch;
    float *x;             /* (batch, S, S, C) */
    uint8_t *bytes;       /* (batch, S, S, C) */
    int labels[MOST_BATCH];
    struct image_progress progress; /* over all files */
};

/* ---- Names ---- */

/* "NAME.test" + ".npy"; the length was checked. */
static void name_file(char path[PATH_SIZE], const struct pack *p, const char *part, const char *kind)
{
    snprintf(path, PATH_SIZE, "%.*s%s%s", (int)strlen(p->output) - 4, p->output, part, kind);
}

static const char *const part_names[PARTS] = {"", ".labelled", ".test"};
static const char *const kinds[] = {".npy", ".labels.npy"};

typedef bool file_fn(const char *path);

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool is_removed(const char *path)
{
    return unlink(path) == 0;
}

/* Every name that pack may write, or that a reader of NAME.npy would look at; stops at the first for which fn holds, if asked to. */
static bool any_file(char path[PATH_SIZE], const struct pack *p, file_fn *fn, bool stop)
{
    bool any = false;
    for (int i = 0; i < PARTS; i++)
        for (int k = 0; k < 2; k++) {
            name_file(path, p, part_names[i], kinds[k]);
            any |= fn(path);
            if (any && stop)
                return true;
        }
    name_file(path, p, "", ".broken.txt");
    return fn(path) || any;
}

static enum simclr_status check_names(const struct pack *p, struct simclr_error *err)
{
    char path[PATH_SIZE];
    size_t n = strlen(p->output);
    if (n <= 4 || strcmp(p->output + n - 4, ".npy") != 0 || p->output[n - 5] == '/')
        return fail(err, SIMCLR_ERR_USAGE, "-o %.200s: the name of a packed set ends in .npy", p->output);
    if (n > PATH_SIZE - 64)
        return fail(err, SIMCLR_ERR_USAGE, "-o: the path is too long");
    if (any_file(path, p, is_there, true))
        return file_must_be_new(path, "-o", err);
    const char *slash = strrchr(p->output, '/');
    snprintf(path, PATH_SIZE, "%.*s", slash ? (int)(slash - p->output) : 0, p->output);
    return path[0] ? folder_create(path, err) : SIMCLR_OK;
}

/* ---- Setting up ---- */

static enum simclr_status add_part(struct pack *p, int which, const struct dataset *set, struct loader **loader, struct simclr_error *err)
{
    struct part *part = &p->parts[which];
    size_t count = dataset_size(set);
    part->label_of = dataset_classes(set) > 0 ? malloc(count * sizeof *part->label_of) : NULL;
    enum simclr_status status = SIMCLR_OK;
    if (dataset_classes(set) > 0 && !part->label_of)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %zu images; use --limit", count);
    struct loader_config config = {.image_size = p->side, .channels = p->channels};
    if (status == SIMCLR_OK)
        status = loader_create(loader, set, NULL, count, &config, p->engine, err);
    part->set = set;
    part->loader = *loader;
    p->progress.total += count;
    return status;
}

/* The header is written again when it is known how many images could be read. */
static enum simclr_status begin_part(struct pack *p, struct part *part, struct simclr_error *err)
{
    char path[PATH_SIZE], header[NPY_HEADER] = "";
    name_file(path, p, part->name, ".npy");
    enum simclr_status status = file_begin(&part->images, path, err);
    return status == SIMCLR_OK ? file_put(&part->images, header, sizeof header, err) : status;
}

static enum simclr_status set_up(struct pack *p, const struct train_config *config, struct simclr_error *err)
{
    struct dataset_options options = {.limit = config->limit, .channels = config->network.channels, .max_pixels = config->max_pixels,
                                      .stop = p->engine->stop};
    struct run_data *data = &p->data;
    enum simclr_status status = run_data_sets(data, config->data[0] ? config->data : NULL, &options, true, err);
    p->side = config->network.image_size;
    p->channels = config->network.channels;
    if (status == SIMCLR_OK && p->side == 0)
        status = run_data_side(&p->side, data->train_set, err);
    if (status == SIMCLR_OK)
        status = add_part(p, TRAIN, data->train_set, &data->train, err);
    if (status == SIMCLR_OK && data->bank_set && data->bank_set != data->train_set)
        status = add_part(p, LABELLED, data->bank_set, &data->bank, err);
    if (status == SIMCLR_OK && data->test_set)
        status = add_part(p, TEST, data->test_set, &data->test, err);
    if (status != SIMCLR_OK)
        return status;
    size_t floats = loader_image_floats(data->train), fit = BATCH_BYTES / (floats * sizeof *p->x);
    p->batch = fit > MOST_BATCH ? MOST_BATCH : fit < 1 ? 1 : (int)fit;
    p->x = alloc_aligned((size_t)p->batch, floats * sizeof *p->x);
    p->bytes = alloc_aligned((size_t)p->batch, floats);
    if (!p->x || !p->bytes)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %d images of %d x %d pixels", p->batch, p->side, p->side);
    for (int i = 0; i < PARTS && status == SIMCLR_OK; i++)
        if (p->parts[i].loader)
            status = begin_part(p, &p->parts[i], err);
    return status;
}

/* ---- Packing ---- */

struct rounding {
    uint8_t *bytes;
    const float *x; /* in [0, 1] */
    size_t floats;
};

static void round_image(void *ctx, size_t image, int thread)
{
    (void)thread;
    const struct rounding *r = ctx;
    augment_round(r->bytes + image * r->floats, r->x + image * r->floats, r->floats);
}

/* Rounds a batch and appends what could be read. */
static enum simclr_status append(struct pack *p, struct part *part, int rows, struct simclr_error *err)
{
    size_t floats = loader_image_floats(part->loader), kept = 0;
    struct rounding rounding = {p->bytes, p->x, floats};
    par_for(p->engine->threads, (size_t)rows, round_image, &rounding);
    for (int i = 0; i < rows; i++) {
        if (p->labels[i] == LABEL_BROKEN)
            continue;
        if (part->label_of)
            part->label_of[part->written] = p->labels[i];
        if (kept < (size_t)i)
            memcpy(p->bytes + kept * floats, p->bytes + (size_t)i * floats, floats);
        kept++;
        part->written++;
    }
    return file_put(&part->images, p->bytes, kept * floats, err);
}

static enum simclr_status stopped(const struct pack *p, struct simclr_error *err)
{
    return fail(err, SIMCLR_ERR_CANCELLED, "stopped after %zu of %zu images; nothing was written", p->progress.done, p->progress.total);
}

static enum simclr_status tell(struct pack *p, int rows, struct simclr_error *err)
{
    return image_progress_add(&p->progress, (size_t)rows) || engine_stopped(p->engine) ? stopped(p, err) : SIMCLR_OK;
}

static enum simclr_status pack_part(struct pack *p, struct part *part, struct simclr_error *err)
{
    size_t count = loader_size(part->loader), batch = (size_t)p->batch;
    enum simclr_status status = SIMCLR_OK;
    for (size_t first = 0; first < count && status == SIMCLR_OK; first += batch) {
        int rows = count - first < batch ? (int)(count - first) : (int)batch;
        status = loader_clean(part->loader, p->x, p->labels, first, rows, err);
        if (status == SIMCLR_ERR_CANCELLED)
            status = stopped(p, err);
        if (status == SIMCLR_OK)
            status = append(p, part, rows, err);
        if (status == SIMCLR_OK)
            status = tell(p, rows, err);
    }
    return status;
}

static enum simclr_status none_readable(const struct part *part, struct simclr_error *err)
{
    const char *const *messages;
    size_t n = loader_broken(part->loader, &messages);
    return fail(err, SIMCLR_ERR_FORMAT, "none of the %zu images can be read; %s", loader_size(part->loader), n && messages ? messages[0] : "");
}

/* Its header, and its labels in a file beside it. */
static enum simclr_status end_part(struct pack *p, struct part *part, struct simclr_error *err)
{
    char path[PATH_SIZE], header[NPY_HEADER];
    size_t side = (size_t)p->side;
    npy_header(header, "|u1", (size_t[]){part->written, side, side, (size_t)p->channels}, 4);
    enum simclr_status status = file_put_at(&part->images, 0, header, sizeof header, err);
    if (status != SIMCLR_OK || !part->label_of)
        return status;
    name_file(path, p, part->name, ".labels.npy");
    npy_header(header, "<i8", &part->written, 1);
    status = file_begin(&part->labels, path, err);
    if (status == SIMCLR_OK)
        status = file_put(&part->labels, header, sizeof header, err);
    return status == SIMCLR_OK ? file_put(&part->labels, part->label_of, part->written * sizeof *part->label_of, err) : status;
}

/* ---- Whole or nothing ---- */

static enum simclr_status commit(struct pack *p, struct pack_result *result, struct simclr_error *err)
{
    char path[PATH_SIZE];
    name_file(path, p, "", ".broken.txt");
    enum simclr_status status = broken_list_at(path, &p->data, &result->broken, err);
    for (int i = PARTS; i-- > 0 && status == SIMCLR_OK;) { /* NAME.npy last */
        struct part *part = &p->parts[i];
        if (part->labels.path)
            status = file_commit(&part->labels, err);
        if (part->images.path && status == SIMCLR_OK)
            status = file_commit(&part->images, err);
    }
    if (status != SIMCLR_OK) /* there were none before */
        any_file(path, p, is_removed, false);
    return status;
}

static enum simclr_status pack_all(struct pack *p, struct pack_result *result, struct simclr_error *err)
{
    enum simclr_status status = SIMCLR_OK;
    for (int i = 0; i < PARTS && status == SIMCLR_OK; i++) {
        struct part *part = &p->parts[i];
        if (part->loader)
            status = pack_part(p, part, err);
        if (status != SIMCLR_OK || !part->loader)
            continue;
        if (part->written > 0)
            status = end_part(p, part, err);
        else if (i == TRAIN)
            status = none_readable(part, err);
        else
            file_abandon(&part->images);
    }
    return status == SIMCLR_OK ? commit(p, result, err) : status;
}

static void tear_down(struct pack *p)
{
    for (int i = 0; i < PARTS; i++) {
        struct part *part = &p->parts[i];
        if (part->images.path)
            file_abandon(&part->images);
        if (part->labels.path)
            file_abandon(&part->labels);
        free(part->label_of);
    }
    free(p->x);
    free(p->bytes);
    run_data_close(&p->data);
}

enum simclr_status pack_run(const struct train_config *config, const char *output, const struct engine *engine,
                            image_report_fn *report, void *ctx, struct pack_result *result, struct simclr_error *err)
{
    struct pack p = {.output = output, .engine = engine, .progress = image_progress_begin(report, ctx, 0)};
    for (int i = 0; i < PARTS; i++)
        p.parts[i].name = part_names[i];
    *result = (struct pack_result){0};
    enum simclr_status status = check_names(&p, err);
    if (status == SIMCLR_OK)
        status = set_up(&p, config, err);
    if (status == SIMCLR_OK)
        status = pack_all(&p, result, err);
    if (status == SIMCLR_OK) {
        result->images = p.parts[TRAIN].written;
        result->labelled = p.parts[LABELLED].written;
        result->test = p.parts[TEST].written;
        result->side = p.side;
        result->channels = p.channels;
        result->classes = p.data.classes;
    }
    tear_down(&p);
    return status;
}
