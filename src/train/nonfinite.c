#include "train/nonfinite.h"

#include "base/arena.h"
#include "base/status.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "train/config.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_FILE "batch.safetensors"
#define VIEWS "views"

enum { PATH_SIZE = 4096, NAME_SIZE = 512 };

/* ---- Where it began ---- */

void first_wrong_see(struct first_wrong *first, const struct watched *tensor)
{
    if (first->found || !tensor->wrong)
        return;
    first->found = true;
    first->tensor = *tensor;
}

static int add_count(char *text, size_t size, size_t n, const char *one, const char *many)
{
    return snprintf(text, size, "%zu %s", n, n == 1 ? one : many);
}

void first_wrong_text(char *text, size_t size, const struct first_wrong *first)
{
    const struct watched *t = &first->tensor;
    char counts[80] = "";
    if (!first->found) {
        snprintf(text, size, "nothing: computed again, every number is finite");
        return;
    }
    int n = t->nan ? add_count(counts, sizeof counts, t->nan, "NaN", "NaN") : 0;
    if (t->infinite)
        add_count(counts + n + (n ? snprintf(counts + n, sizeof counts - (size_t)n, " and ") : 0), 40, t->infinite, "infinity", "infinities");
    if (strcmp(t->layer, "loss") == 0)
        snprintf(text, size, "the loss is not a number");
    else if (t->nan + t->infinite == 0)
        snprintf(text, size, "the %s of %s, from %g to %g, is too large to be squared", t->tensor, t->layer, (double)t->min, (double)t->max);
    else
        snprintf(text, size, "the %s of %s has %s among %zu values", t->tensor, t->layer, counts, t->count);
}

/* ---- Writing ---- */

/* The step of "nonfinite-00000012", or 0. */
static uint64_t step_of_name(const char *name)
{
    static const char prefix[] = "nonfinite-";
    char same[40];
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return 0;
    uint64_t step = strtoull(name + sizeof prefix - 1, NULL, 10);
    snprintf(same, sizeof same, "nonfinite-%08" PRIu64, step);
    return strcmp(name, same) == 0 ? step : 0;
}

struct found_steps {
    size_t others; /* than step */
    uint64_t newest;
};

static enum simclr_status list_steps(struct found_steps *found, const char *run, uint64_t step, struct simclr_error *err)
{
    *found = (struct found_steps){0};
    DIR *dir = opendir(run);
    if (!dir)
        return fail(err, SIMCLR_ERR_IO, "cannot list the folder %s: %s", run, strerror(errno));
    for (struct dirent *e; (errno = 0, e = readdir(dir));) {
        uint64_t other = step_of_name(e->d_name);
        found->others += other && other != step;
        found->newest = other > found->newest ? other : found->newest;
    }
    int reason = errno;
    closedir(dir);
    return reason ? fail(err, SIMCLR_ERR_IO, "cannot list the folder %s: %s", run, strerror(reason)) : SIMCLR_OK;
}

static enum simclr_status write_views(const char *folder, const struct nonfinite_step *s, const float *data, struct simclr_error *err)
{
    char path[PATH_SIZE], fingerprint[17];
    const struct network_config *c = &s->config->network;
    size_t side = (size_t)c->image_size, rows = 2 * (size_t)s->batch->images, channels = (size_t)c->channels;
    struct safetensors_entry views = {.name = VIEWS, .type = ST_F32, .ndim = 4, .dims = {rows, side, side, channels},
                                      .bytes = rows * side * side * channels * sizeof(float), .data = data};
    snprintf(path, sizeof path, "%s/" BATCH_FILE, folder);
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, s->target->fingerprint);
    const struct safetensors_pair metadata[] = {{"dataset", fingerprint}, {"found", s->found}};
    return safetensors_write(path, &views, 1, metadata, sizeof metadata / sizeof metadata[0], err);
}

static enum simclr_status write_batch(const char *folder, const struct nonfinite_step *s, struct simclr_error *err)
{
    const struct network_config *c = &s->config->network;
    int images = s->batch->images;
    size_t side = (size_t)c->image_size;
    float *views = alloc_aligned(2 * (size_t)images, side * side * (size_t)c->channels * sizeof *views); /* (2 images, S, S, C) */
    if (!views)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to keep the views of %d images in %s", images, folder);
    enum simclr_status status = s->batch->views(s->batch->ctx, views, 0, images, err);
    if (status == SIMCLR_OK)
        status = write_views(folder, s, views, err);
    free(views);
    return status;
}

static enum simclr_status write_names(const char *folder, const struct nonfinite_step *s, struct simclr_error *err)
{
    char path[PATH_SIZE], name[NAME_SIZE];
    struct file_writer writer;
    snprintf(path, sizeof path, "%s/images.txt", folder);
    enum simclr_status status = file_begin(&writer, path, err);
    if (status != SIMCLR_OK)
        return status;
    for (int i = 0; i < s->batch->images && status == SIMCLR_OK; i++) {
        s->name(s->name_ctx, i, name, sizeof name - 1);
        strcat(name, "\n");
        status = file_put(&writer, name, strlen(name), err);
    }
    if (status == SIMCLR_OK)
        return file_commit(&writer, err);
    file_abandon(&writer);
    return status;
}

enum simclr_status nonfinite_write(char *folder, const struct nonfinite_step *s, size_t most, struct simclr_error *err)
{
    char path[PATH_SIZE];
    struct found_steps steps;
    uint64_t step = s->state->step + 1;
    folder[0] = 0;
    enum simclr_status status = list_steps(&steps, s->run, step, err);
    if (status != SIMCLR_OK || steps.others >= most)
        return status;
    snprintf(folder, PATH_SIZE, "%s/nonfinite-%08" PRIu64, s->run, step);
    status = folder_create(folder, err);
    if (status == SIMCLR_OK)
        status = write_names(folder, s, err);
    if (status == SIMCLR_OK)
        status = write_batch(folder, s, err);
    if (status == SIMCLR_OK)
        status = checkpoint_write(folder, 0, s->target, s->state, err);
    snprintf(path, sizeof path, "%s/config.json", folder);
    return status == SIMCLR_OK ? train_config_save(s->config, path, err) : status; /* last: what has it is whole */
}

/* ---- Replaying ---- */

struct replayer {
    struct train_config config;
    const struct engine *engine;
    struct network *network;
    struct step_memory memory;
    char *settings;
    struct safetensors *batch;
    struct arena arena;
    float *optim[2];
    uint64_t fingerprint;
    struct checkpoint_state state;
    struct replay *replay;
    watch_fn *watch;
    void *ctx;
};

static enum simclr_status find_folder(char folder[PATH_SIZE], const char *path, struct simclr_error *err)
{
    char batch[PATH_SIZE + 32];
    struct found_steps steps;
    if (strlen(path) > PATH_SIZE - 64)
        return fail(err, SIMCLR_ERR_USAGE, "the path is too long: %.80s...", path);
    strcpy(folder, path);
    snprintf(batch, sizeof batch, "%s/" BATCH_FILE, path);
    if (access(batch, F_OK) == 0)
        return SIMCLR_OK;
    enum simclr_status status = list_steps(&steps, path, 0, err);
    if (status == SIMCLR_OK && !steps.newest)
        status = fail(err, SIMCLR_ERR_USAGE, "%s holds no step to replay: a run writes nonfinite-* when its loss or gradient is not a number", path);
    if (status == SIMCLR_OK)
        snprintf(folder + strlen(folder), 64, "/nonfinite-%08" PRIu64, steps.newest);
    return status;
}

static enum simclr_status open_batch(struct replayer *r, struct simclr_error *err)
{
    char path[PATH_SIZE + 32];
    const struct network_config *c = &r->config.network;
    size_t side = (size_t)c->image_size, want[4] = {0, side, side, (size_t)c->channels};
    snprintf(path, sizeof path, "%s/" BATCH_FILE, r->replay->folder);
    enum simclr_status status = safetensors_open(&r->batch, path, err);
    if (status != SIMCLR_OK)
        return status;
    const struct safetensors_entry *views = safetensors_find(r->batch, VIEWS);
    const char *dataset = safetensors_metadata(r->batch, "dataset"), *found = safetensors_metadata(r->batch, "found");
    if (!views || views->type != ST_F32 || views->ndim != 4 || memcmp(views->dims + 1, want + 1, 3 * sizeof *want) != 0 ||
        views->dims[0] < 2 || views->dims[0] > 2 * (size_t)r->config.batch_size || views->dims[0] % 2 || !dataset || !found)
        return fail(err, SIMCLR_ERR_FORMAT, "%s does not hold the batch of this run's step", path);
    r->replay->images = (int)views->dims[0] / 2;
    snprintf(r->replay->recorded, sizeof r->replay->recorded, "%s", found);
    r->fingerprint = strtoull(dataset, NULL, 16);
    return SIMCLR_OK;
}

static void lay_out(struct replayer *r, size_t params)
{
    for (int i = 0; i < optim_state_arrays(r->config.optim.kind); i++)
        r->optim[i] = arena_alloc(&r->arena, params, sizeof(float));
    r->memory = step_lay_out(r->engine, r->network, network_sizes(r->network), &r->config, r->replay->images,
                             step_pass_images(&r->config, r->replay->images), &r->arena);
}

static enum simclr_status set_up(struct replayer *r, struct simclr_error *err)
{
    size_t params;
    int rows = 2 * step_pass_images(&r->config, r->replay->images);
    enum simclr_status status = network_create(&r->network, &r->config.network, r->engine, rows, true, err);
    if (status != SIMCLR_OK)
        return status;
    network_params(r->network, &params);
    r->settings = train_config_text(&r->config, true);
    lay_out(r, params);
    if (!r->settings || arena_commit(&r->arena))
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to repeat a step of %d images", r->replay->images);
    lay_out(r, params);
    return SIMCLR_OK;
}

static enum simclr_status load(struct replayer *r, struct simclr_error *err)
{
    char path[PATH_SIZE + 32];
    train_defaults(&r->config);
    snprintf(path, sizeof path, "%s/config.json", r->replay->folder);
    enum simclr_status status = train_config_load(&r->config, path, err);
    if (status == SIMCLR_OK)
        status = train_config_settle(&r->config, err);
    if (status == SIMCLR_OK)
        status = open_batch(r, err);
    if (status == SIMCLR_OK)
        status = set_up(r, err);
    if (status != SIMCLR_OK)
        return status;
    struct checkpoint_target target = checkpoint_of(r->network, r->config.optim.kind, r->optim, r->settings, r->fingerprint);
    status = checkpoint_load_newest(r->replay->folder, &target, &r->state, err);
    r->replay->step = r->state.step + 1;
    return status;
}

/* A step_views_fn; ctx is a struct replayer. */
static enum simclr_status stored_views(void *ctx, float *out, int first, int count, struct simclr_error *err)
{
    (void)err;
    const struct replayer *r = ctx;
    const float *views = safetensors_find(r->batch, VIEWS)->data; /* (2 images, S, S, C) */
    size_t floats = r->memory.image_floats, n = (size_t)count * floats;
    for (size_t view = 0; view < 2; view++)
        memcpy(out + view * n, views + (view * (size_t)r->replay->images + (size_t)first) * floats, n * sizeof *out);
    return SIMCLR_OK;
}

static void see(void *ctx, const struct watched *tensor)
{
    struct replayer *r = ctx;
    first_wrong_see(&r->replay->first, tensor);
    r->watch(r->ctx, tensor);
}

enum simclr_status nonfinite_replay(struct replay *replay, const char *path, const struct engine *engine,
                                    void (*begin)(void *ctx, const struct replay *replay), watch_fn *watch, void *ctx,
                                    struct simclr_error *err)
{
    struct replayer r = {.engine = engine, .replay = replay, .watch = watch, .ctx = ctx};
    *replay = (struct replay){0};
    enum simclr_status status = find_folder(replay->folder, path, err);
    if (status == SIMCLR_OK)
        status = load(&r, err);
    if (status == SIMCLR_OK) {
        struct step_batch batch = {replay->images, stored_views, &r};
        begin(ctx, replay);
        status = step_watch(&r.memory, &batch, &replay->result, see, &r, err);
    }
    free(r.settings);
    arena_free(&r.arena);
    network_free(r.network);
    if (r.batch)
        safetensors_close(r.batch);
    return status;
}
