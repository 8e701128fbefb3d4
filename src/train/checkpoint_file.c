/* One checkpoint as a file: what it holds, and in which order. */
#include "train/checkpoint_file.h"

#include "base/status.h"
#include "train/config.h"
#include "train/tensor_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_VERSION "5" /* 1 had no checksum, 2 no skipped steps, 3 no images of an epoch, 4 no retrieval@5 */
#define STATE_NAME "trainer.state"

enum { STATE_WORDS = 11 };

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
    words[10] = bits_of(s->retrieval5);
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
    s->retrieval5 = double_of(words[10]);
}

static size_t list_groups(struct tensor_group groups[4], char prefixes[2][64], const struct checkpoint_target *t)
{
    size_t n = 2;
    network_groups(groups, t->network, true);
    for (int i = 0; i < t->optim_arrays; i++) {
        snprintf(prefixes[i], 64, "optimizer.%s.", t->optim_names[i]);
        groups[n++] = (struct tensor_group){prefixes[i], groups[0].list, groups[0].count, t->optim[i]};
    }
    return n;
}

enum simclr_status checkpoint_file_write(const char *path, const struct checkpoint_target *target, const struct checkpoint_state *state,
                                         struct simclr_error *err)
{
    char prefixes[2][64];
    struct tensor_group groups[4];
    struct tensor_entries tensors;
    int64_t words[STATE_WORDS];
    enum simclr_status status = tensor_entries_make(&tensors, groups, list_groups(groups, prefixes, target), state->step - state->skipped,
                                                    path, err);
    if (status != SIMCLR_OK)
        return status;
    state_pack(words, state);
    tensors.entries[tensors.count++] = (struct safetensors_entry){
        .name = STATE_NAME, .type = ST_I64, .ndim = 1, .dims = {STATE_WORDS}, .bytes = sizeof words, .data = words};

    char fingerprint[17], steps[21], init[17];
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, target->fingerprint);
    snprintf(steps, sizeof steps, "%" PRIu64, state->step);
    snprintf(init, sizeof init, "%016" PRIx64, state->init);
    const struct safetensors_pair metadata[] = {{"format", "pt"}, {"simclr_format", FORMAT_VERSION}, {"settings", target->settings},
                                                {"dataset", fingerprint}, {"step", steps}, {"init", init}};
    size_t pairs = sizeof metadata / sizeof metadata[0] - (state->init == 0);
    status = tensor_entries_write(path, &tensors, metadata, pairs, err);
    tensor_entries_free(&tensors);
    return status;
}

/* Of this version, and as it was written. */
static enum simclr_status check_format(const char *path, const struct safetensors *file, struct simclr_error *err)
{
    const char *version = safetensors_metadata(file, "simclr_format");
    if (!version)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged or no checkpoint, such as an export or a classifier: name a run's folder or a checkpoint in it", path);
    if (strcmp(version, FORMAT_VERSION))
        return fail(err, SIMCLR_ERR_USAGE, "%s has checkpoint format %.20s and this program reads format %s; go on with the version that "
                    "wrote it", path, version, FORMAT_VERSION);
    if (!safetensors_checked(file))
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: it has lost its checksum", path);
    return SIMCLR_OK;
}

enum simclr_status checkpoint_file_open(struct safetensors **file, const char *path, struct simclr_error *err)
{
    enum simclr_status status = safetensors_open_each(file, path, err);
    if (status != SIMCLR_OK)
        return status;
    status = check_format(path, *file, err);
    if (status != SIMCLR_OK)
        safetensors_close(*file);
    return status;
}

static enum simclr_status check_run(const char *path, const struct safetensors *file, const struct checkpoint_target *target,
                                    struct simclr_error *err)
{
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

/* values: room for it. */
static enum simclr_status load_tensor(const char *path, struct safetensors *file, const struct tensor_group *group, const struct tensor_info *info,
                                      float *values, struct simclr_error *err)
{
    const struct safetensors_entry want = tensor_entry(group, info);
    const struct safetensors_entry *e = safetensors_find(file, want.name);
    if (!e)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has no tensor %s", path, want.name);
    if (e->type != ST_F32 || e->ndim != want.ndim || memcmp(e->dims, want.dims, sizeof(size_t) * (size_t)want.ndim))
        return fail(err, SIMCLR_ERR_FORMAT, "%s: tensor %s has another shape than this model's", path, want.name);
    enum simclr_status status = safetensors_get(file, e, values, err);
    if (status != SIMCLR_OK)
        return status;
    for (size_t i = 0; i < info->count; i++)
        if (!isfinite(values[i]))
            return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: tensor %s holds values that are not finite numbers", path, want.name);
    tensor_import(info, group->memory + info->offset, values);
    return SIMCLR_OK;
}

static enum simclr_status load_state(const char *path, struct safetensors *file, long long step, struct checkpoint_state *state,
                                     struct simclr_error *err)
{
    const struct safetensors_entry *e = safetensors_find(file, STATE_NAME);
    int64_t words[STATE_WORDS];
    struct checkpoint_state s;
    if (!e || e->type != ST_I64 || e->bytes != sizeof words)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has no %s of %d words", path, STATE_NAME, STATE_WORDS);
    enum simclr_status status = safetensors_get(file, e, words, err);
    if (status != SIMCLR_OK)
        return status;
    state_unpack(&s, words);
    if (words[0] != step)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: it holds step %" PRId64 ", and its name says another", path, words[0]);
    bool finite = isfinite(s.loss) && isfinite(s.retrieval1) && isfinite(s.retrieval5) && isfinite(s.alignment) && isfinite(s.uniformity) &&
                  isfinite(s.knn_untrained);
    if (s.epoch_steps > s.step || s.skipped > s.step || s.skipped_in_a_row > s.skipped || !finite)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: no run can be in the state that its %s describes", path, STATE_NAME);
    const char *init = safetensors_metadata(file, "init");
    s.init = init ? strtoull(init, NULL, 16) : 0;
    *state = s;
    return SIMCLR_OK;
}

static enum simclr_status load_groups(const char *path, struct safetensors *file, const struct tensor_group *groups, size_t count,
                                      struct simclr_error *err)
{
    float *values = malloc(tensor_largest(groups, count) * sizeof *values);
    enum simclr_status status = values ? SIMCLR_OK : fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", path);
    for (size_t g = 0; g < count && status == SIMCLR_OK; g++)
        for (size_t i = 0; i < groups[g].count && status == SIMCLR_OK; i++)
            status = load_tensor(path, file, &groups[g], &groups[g].list[i], values, err);
    free(values);
    return status;
}

enum simclr_status checkpoint_file_load(const char *path, long long step, const struct checkpoint_target *target,
                                        struct checkpoint_state *state, struct simclr_error *err)
{
    struct safetensors *file;
    char prefixes[2][64];
    struct tensor_group groups[4];
    size_t n = list_groups(groups, prefixes, target);
    enum simclr_status status = checkpoint_file_open(&file, path, err);
    if (status != SIMCLR_OK)
        return status;
    status = check_run(path, file, target, err);
    if (status == SIMCLR_OK)
        status = load_groups(path, file, groups, n, err);
    if (status == SIMCLR_OK)
        status = load_state(path, file, step, state, err);
    safetensors_close(file);
    return status;
}

enum simclr_status checkpoint_file_network(const char *path, struct safetensors *file, struct network *network,
                                           struct simclr_error *err)
{
    struct tensor_group groups[2];
    network_groups(groups, network, true);
    return load_groups(path, file, groups, 2, err);
}

enum simclr_status checkpoint_file_settings(const char *path, const struct safetensors *file, struct train_config *config,
                                            struct simclr_error *err)
{
    const char *settings = safetensors_metadata(file, "settings");
    train_defaults(config);
    return train_config_parse(config, path, settings ? settings : "", err);
}
