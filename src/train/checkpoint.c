#include "train/checkpoint.h"

#include "base/status.h"
#include "io/safetensors.h"
#include "train/config.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORMAT_VERSION "4" /* 1 had no checksum, 2 no skipped steps, 3 no images of an epoch */
#define STATE_NAME "trainer.state"

enum { STATE_WORDS = 10 };

struct checkpoint_target checkpoint_of(struct network *network, enum optimizer kind, float *const optim[2], const char *settings,
                                       uint64_t fingerprint)
{
    struct checkpoint_target target = {.network = network, .optim_arrays = optim_state_arrays(kind), .settings = settings,
                                       .fingerprint = fingerprint};
    for (int i = 0; i < target.optim_arrays; i++) {
        target.optim_names[i] = optim_state_name(kind, i);
        target.optim[i] = optim[i];
    }
    return target;
}

/* Doubles travel as their bits: a checkpoint restores the very number. */
static int64_t bits_of(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double double_of(int64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void state_pack(int64_t words[STATE_WORDS], const struct checkpoint_state *s)
{
    words[0] = (int64_t)s->step;
    words[1] = (int64_t)s->epoch_steps;
    words[2] = bits_of(s->loss);
    words[3] = bits_of(s->retrieval1);
    words[4] = bits_of(s->alignment);
    words[5] = bits_of(s->uniformity);
    words[6] = bits_of(s->knn_untrained);
    words[7] = (int64_t)s->skipped;
    words[8] = (int64_t)s->skipped_in_a_row;
    words[9] = (int64_t)s->epoch_images;
}

static void state_unpack(struct checkpoint_state *s, const int64_t words[STATE_WORDS])
{
    s->step = (uint64_t)words[0];
    s->epoch_steps = (uint64_t)words[1];
    s->loss = double_of(words[2]);
    s->retrieval1 = double_of(words[3]);
    s->alignment = double_of(words[4]);
    s->uniformity = double_of(words[5]);
    s->knn_untrained = double_of(words[6]);
    s->skipped = (uint64_t)words[7];
    s->skipped_in_a_row = (uint64_t)words[8];
    s->epoch_images = (uint64_t)words[9];
}

/* One group of tensors that share a flat array: the weights, the running statistics, an optimiser's momenta. */
struct group {
    const char *prefix;
    const struct tensor_info *list;
    size_t count;
    float *memory;
};

static size_t list_groups(struct group groups[4], char prefixes[2][64], const struct checkpoint_target *t)
{
    size_t params, buffers, ignored;
    const struct tensor_info *param_list = network_param_list(t->network, &params);
    const struct tensor_info *buffer_list = network_buffer_list(t->network, &buffers);
    size_t n = 0;
    groups[n++] = (struct group){"", param_list, params, network_params(t->network, &ignored)};
    groups[n++] = (struct group){"", buffer_list, buffers, network_buffers(t->network, &ignored)};
    for (int i = 0; i < t->optim_arrays; i++) {
        snprintf(prefixes[i], 64, "optimizer.%s.", t->optim_names[i]);
        groups[n++] = (struct group){prefixes[i], param_list, params, t->optim[i]};
    }
    return n;
}

/* ".../bn1.running_var" -> ".../bn1.num_batches_tracked", which torch's BatchNorm also keeps. Returns 0 for other tensors. */
static int batches_tracked_name(char *name, size_t size, const struct tensor_info *info)
{
    const char *suffix = "running_var";
    size_t length = strlen(info->name), tail = strlen(suffix);
    if (info->role != ROLE_RUNNING_VAR || length < tail)
        return 0;
    snprintf(name, size, "%.*snum_batches_tracked", (int)(length - tail), info->name);
    return 1;
}

static void describe(struct safetensors_entry *entry, const struct group *group, const struct tensor_info *info, const void *data)
{
    *entry = (struct safetensors_entry){.type = ST_F32, .ndim = info->ndim, .bytes = info->count * sizeof(float), .data = data};
    snprintf(entry->name, sizeof entry->name, "%s%s", group->prefix, info->name);
    for (int d = 0; d < info->ndim; d++)
        entry->dims[d] = (size_t)info->dims[d];
}

static enum simclr_status write_entries(const char *path, const struct group *groups, size_t group_count,
                                        const struct checkpoint_target *target, const struct checkpoint_state *state,
                                        struct simclr_error *err)
{
    size_t tensors = 1, floats = 0; /* one for the state */
    for (size_t g = 0; g < group_count; g++)
        for (size_t i = 0; i < groups[g].count; i++) {
            tensors += 1 + (groups[g].list[i].role == ROLE_RUNNING_VAR);
            floats += groups[g].list[i].count;
        }
    struct safetensors_entry *entries = calloc(tensors, sizeof *entries);
    float *data = malloc((floats + 1) * sizeof *data);
    if (!entries || !data) {
        free(entries);
        free(data);
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s (%zu MB)", path, floats * sizeof *data >> 20);
    }
    int64_t words[STATE_WORDS], batches = (int64_t)(state->step - state->skipped);
    size_t n = 0, used = 0;
    for (size_t g = 0; g < group_count; g++)
        for (size_t i = 0; i < groups[g].count; i++) {
            const struct tensor_info *info = &groups[g].list[i];
            tensor_export(info, data + used, groups[g].memory + info->offset);
            describe(&entries[n++], &groups[g], info, data + used);
            used += info->count;
            if (batches_tracked_name(entries[n].name, sizeof entries[n].name, info)) {
                entries[n].type = ST_I64; /* a scalar: no dimensions */
                entries[n].bytes = sizeof batches;
                entries[n++].data = &batches;
            }
        }
    state_pack(words, state);
    entries[n++] = (struct safetensors_entry){
        .name = STATE_NAME, .type = ST_I64, .ndim = 1, .dims = {STATE_WORDS}, .bytes = sizeof words, .data = words};

    char fingerprint[17], steps[21];
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, target->fingerprint);
    snprintf(steps, sizeof steps, "%" PRIu64, state->step);
    const struct safetensors_pair metadata[] = {{"format", "pt"}, {"simclr_format", FORMAT_VERSION},
                                                {"settings", target->settings}, {"dataset", fingerprint}, {"step", steps}};
    enum simclr_status status = safetensors_write(path, entries, n, metadata, sizeof metadata / sizeof metadata[0], err);
    free(entries);
    free(data);
    return status;
}

static void checkpoint_name(char *name, size_t size, long long step)
{
    snprintf(name, size, "checkpoint-%08lld.safetensors", step);
}

/* The step in a checkpoint's file name, or -1. */
static long long step_of_name(const char *name)
{
    static const char start[] = "checkpoint-";
    char same[64];
    if (strncmp(name, start, sizeof start - 1) != 0)
        return -1;
    long long step = strtoll(name + sizeof start - 1, NULL, 10);
    checkpoint_name(same, sizeof same, step);
    return strcmp(name, same) == 0 ? step : -1;
}

static void checkpoint_path(char *path, size_t size, const char *run, long long step)
{
    char name[64];
    checkpoint_name(name, sizeof name, step);
    snprintf(path, size, "%s/%s", run, name);
}

static int newest_first(const void *a, const void *b)
{
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x < y) - (x > y);
}

/* The steps of the checkpoints in run, newest first; *steps is freed with free(). No folder has none. */
static enum simclr_status list_steps(long long **steps, size_t *count, const char *run, struct simclr_error *err)
{
    size_t room = 0;
    enum simclr_status status = SIMCLR_OK;
    *steps = NULL;
    *count = 0;
    DIR *dir = opendir(run);
    if (!dir)
        return errno == ENOENT ? SIMCLR_OK : fail(err, SIMCLR_ERR_IO, "cannot list the folder %s: %s", run, strerror(errno));
    struct dirent *e;
    while (status == SIMCLR_OK && (errno = 0, e = readdir(dir))) {
        long long step = step_of_name(e->d_name), *more = *steps;
        if (step < 0)
            continue;
        if (*count == room)
            more = realloc(*steps, (room += 64) * sizeof *more);
        if (more)
            *steps = more, more[(*count)++] = step;
        else
            status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory to list the folder %s", run);
    }
    if (status == SIMCLR_OK && errno)
        status = fail(err, SIMCLR_ERR_IO, "cannot list the folder %s: %s", run, strerror(errno));
    closedir(dir);
    if (*count > 0)
        qsort(*steps, *count, sizeof **steps, newest_first);
    if (status != SIMCLR_OK)
        free(*steps);
    return status;
}

/* Best effort: a checkpoint that cannot be removed only takes room. */
static void remove_old(const char *run, size_t keep)
{
    long long *steps;
    size_t n;
    if (list_steps(&steps, &n, run, NULL) != SIMCLR_OK)
        return;
    for (size_t i = keep; i < n; i++) {
        char path[4096];
        checkpoint_path(path, sizeof path, run, steps[i]);
        unlink(path);
    }
    free(steps);
}

enum simclr_status checkpoint_write(const char *run, int keep, const struct checkpoint_target *target,
                                    const struct checkpoint_state *state, struct simclr_error *err)
{
    char path[4096], prefixes[2][64];
    struct group groups[4];
    checkpoint_path(path, sizeof path, run, (long long)state->step);
    size_t n = list_groups(groups, prefixes, target);
    enum simclr_status status = write_entries(path, groups, n, target, state, err);
    if (status == SIMCLR_OK && keep > 0) /* the new one is on disk, and its name too */
        remove_old(run, (size_t)keep);
    return status;
}

void checkpoint_newest(char *path, size_t size, const char *run)
{
    long long *steps;
    size_t n;
    path[0] = 0;
    if (list_steps(&steps, &n, run, NULL) != SIMCLR_OK)
        return;
    if (n > 0)
        checkpoint_path(path, size, run, steps[0]);
    free(steps);
}

static enum simclr_status check_metadata(const char *path, const struct safetensors *file, const struct checkpoint_target *target,
                                         struct simclr_error *err)
{
    const char *version = safetensors_metadata(file, "simclr_format");
    if (!version)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged or not a checkpoint: it names no format", path);
    if (strcmp(version, FORMAT_VERSION))
        return fail(err, SIMCLR_ERR_USAGE, "%s has checkpoint format %.20s and this program reads format %s; go on with the version that "
                    "wrote it", path, version, FORMAT_VERSION);
    if (!safetensors_checked(file))
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: it has lost its checksum", path);
    const char *settings = safetensors_metadata(file, "settings"), *dataset = safetensors_metadata(file, "dataset");
    enum simclr_status status = train_config_same(path, settings ? settings : "", target->settings, err);
    if (status != SIMCLR_OK)
        return status;
    char fingerprint[17];
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, target->fingerprint);
    if (!dataset || strcmp(dataset, fingerprint))
        return fail(err, SIMCLR_ERR_USAGE, "%s was trained on another data set (fingerprint %s, here %s); %s", path,
                    dataset ? dataset : "(none)", fingerprint, target->advice);
    return SIMCLR_OK;
}

static enum simclr_status load_tensor(const char *path, const struct safetensors *file, const struct group *group,
                                      const struct tensor_info *info, struct simclr_error *err)
{
    struct safetensors_entry want;
    describe(&want, group, info, NULL);
    const struct safetensors_entry *e = safetensors_find(file, want.name);
    if (!e)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has no tensor %s", path, want.name);
    if (e->type != ST_F32 || e->ndim != want.ndim || memcmp(e->dims, want.dims, sizeof(size_t) * (size_t)want.ndim))
        return fail(err, SIMCLR_ERR_FORMAT, "%s: tensor %s has another shape than this model's", path, want.name);
    const float *values = e->data;
    for (size_t i = 0; i < info->count; i++)
        if (!isfinite(values[i]))
            return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: tensor %s holds values that are not finite numbers", path, want.name);
    tensor_import(info, group->memory + info->offset, values);
    return SIMCLR_OK;
}

static enum simclr_status load_state(const char *path, const struct safetensors *file, long long step, struct checkpoint_state *state,
                                     struct simclr_error *err)
{
    const struct safetensors_entry *e = safetensors_find(file, STATE_NAME);
    int64_t words[STATE_WORDS];
    struct checkpoint_state s;
    if (!e || e->type != ST_I64 || e->bytes != sizeof words)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has no %s of %d words", path, STATE_NAME, STATE_WORDS);
    memcpy(words, e->data, sizeof words);
    state_unpack(&s, words);
    if (words[0] != step)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: it holds step %" PRId64 ", and its name says another", path, words[0]);
    bool finite = isfinite(s.loss) && isfinite(s.retrieval1) && isfinite(s.alignment) && isfinite(s.uniformity) && isfinite(s.knn_untrained);
    if (s.epoch_steps > s.step || s.skipped > s.step || s.skipped_in_a_row > s.skipped || !finite)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: no run can be in the state that its %s describes", path, STATE_NAME);
    *state = s;
    return SIMCLR_OK;
}

static enum simclr_status load(const char *path, long long step, const struct checkpoint_target *target, struct checkpoint_state *state,
                               struct simclr_error *err)
{
    struct safetensors *file;
    enum simclr_status status = safetensors_open(&file, path, err);
    if (status != SIMCLR_OK)
        return status;
    char prefixes[2][64];
    struct group groups[4];
    size_t n = list_groups(groups, prefixes, target);
    status = check_metadata(path, file, target, err);
    for (size_t g = 0; g < n && status == SIMCLR_OK; g++)
        for (size_t i = 0; i < groups[g].count && status == SIMCLR_OK; i++)
            status = load_tensor(path, file, &groups[g], &groups[g].list[i], err);
    if (status == SIMCLR_OK)
        status = load_state(path, file, step, state, err);
    safetensors_close(file);
    return status;
}

enum simclr_status checkpoint_load_newest(const char *run, const struct checkpoint_target *target, struct checkpoint_state *state,
                                          struct simclr_error *err)
{
    char path[4096];
    long long *steps;
    size_t n;
    enum simclr_status status = list_steps(&steps, &n, run, err);
    if (status != SIMCLR_OK)
        return status;
    if (n == 0)
        status = fail(err, SIMCLR_ERR_FORMAT, "there is no checkpoint in %s", run);
    else {
        checkpoint_path(path, sizeof path, run, steps[0]);
        status = load(path, steps[0], target, state, err);
    }
    free(steps);
    return status;
}

/* Whether an older checkpoint may serve instead: not when the run, or this program, is another one. */
static bool is_damage(enum simclr_status status)
{
    return status == SIMCLR_ERR_FORMAT || status == SIMCLR_ERR_IO;
}

/* Out of the way of the newer ones that the run will write, but not thrown away. */
static enum simclr_status set_aside(const char *path, struct simclr_error *err)
{
    char aside[4096 + 16];
    snprintf(aside, sizeof aside, "%s.damaged", path);
    if (rename(path, aside) < 0)
        return fail(err, SIMCLR_ERR_IO, "cannot rename %s to %s: %s", path, aside, strerror(errno));
    return SIMCLR_OK;
}

enum simclr_status checkpoint_resume(const char *run, int keep, const struct checkpoint_target *target, struct checkpoint_state *state,
                                     bool *found, checkpoint_tell_fn *tell, void *ctx, struct simclr_error *err)
{
    char path[4096], text[4096 + 64];
    struct simclr_error why = {.text = ""};
    long long *steps;
    size_t n, whole = 0;
    enum simclr_status status = list_steps(&steps, &n, run, err);
    *found = status == SIMCLR_OK && n > 0;
    if (!*found)
        return status;
    for (; whole < n; whole++) {
        checkpoint_path(path, sizeof path, run, steps[whole]);
        status = load(path, steps[whole], target, state, &why);
        if (!is_damage(status))
            break;
        snprintf(text, sizeof text, "%s; trying the one before it", why.text);
        if (whole + 1 < n)
            tell(ctx, true, text);
    }
    if (status != SIMCLR_OK && !is_damage(status))
        *err = why;
    else if (status != SIMCLR_OK)
        fail(err, status, "%s, and no other checkpoint in %s is whole; put one back from a copy, or remove them to begin anew", why.text, run);
    for (size_t i = 0; i < whole && status == SIMCLR_OK; i++) {
        checkpoint_path(path, sizeof path, run, steps[i]);
        status = set_aside(path, err);
    }
    if (status == SIMCLR_OK && keep > 0) /* a run may have been killed between writing one and removing another */
        remove_old(run, (size_t)keep);
    if (status == SIMCLR_OK) {
        checkpoint_path(path, sizeof path, run, steps[whole]);
        snprintf(text, sizeof text, "going on from %s", path);
        tell(ctx, false, text);
    }
    free(steps);
    return status;
}
