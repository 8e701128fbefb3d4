#include "train/checkpoint_file.h"

#include "base/status.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    char path[4096];
    checkpoint_path(path, sizeof path, run, (long long)state->step);
    enum simclr_status status = checkpoint_file_write(path, target, state, err);
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

static enum simclr_status no_checkpoint(const char *run, struct simclr_error *err)
{
    return fail(err, SIMCLR_ERR_FORMAT, "there is no checkpoint in %s; name the folder of a run, before that of data", run);
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
        status = no_checkpoint(run, err);
    else {
        checkpoint_path(path, sizeof path, run, steps[0]);
        status = checkpoint_file_load(path, steps[0], target, state, err);
    }
    free(steps);
    return status;
}

/* Whether an older checkpoint may serve instead: not when the run, or this program, is another one. */
static bool is_damage(enum simclr_status status)
{
    return status == SIMCLR_ERR_FORMAT || status == SIMCLR_ERR_IO;
}

/* Takes one checkpoint; is_damage(its error) sends it to the one before. */
typedef enum simclr_status take_fn(void *ctx, const char *path, long long step, struct simclr_error *err);

/* The place in steps (n > 0, newest first) of the first that can be taken; each damaged one before it is told. */
static enum simclr_status take_newest(size_t *taken, const char *run, const long long *steps, size_t n, take_fn *take, void *take_ctx,
                                      checkpoint_tell_fn *tell, void *ctx, struct simclr_error *err)
{
    char path[4096], text[4096 + 64];
    struct simclr_error why = {.text = ""};
    enum simclr_status status = SIMCLR_OK;
    for (*taken = 0; *taken < n; ++*taken) {
        checkpoint_path(path, sizeof path, run, steps[*taken]);
        status = take(take_ctx, path, steps[*taken], &why);
        if (!is_damage(status))
            break;
        snprintf(text, sizeof text, "%s; trying the one before it", why.text);
        if (*taken + 1 < n)
            tell(ctx, true, text);
    }
    if (is_damage(status))
        return fail(err, status, "%s, and no other checkpoint in %s is whole; put one back from a copy, or remove them to begin anew", why.text,
                    run);
    return status == SIMCLR_OK ? status : fail(err, status, "%s", why.text);
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

struct restored {
    const struct checkpoint_target *target;
    struct checkpoint_state *state;
};

static enum simclr_status take_all(void *ctx, const char *path, long long step, struct simclr_error *err)
{
    const struct restored *r = ctx;
    return checkpoint_file_load(path, step, r->target, r->state, err);
}

enum simclr_status checkpoint_resume(const char *run, int keep, const struct checkpoint_target *target, struct checkpoint_state *state,
                                     bool *found, checkpoint_tell_fn *tell, void *ctx, struct simclr_error *err)
{
    char path[4096], text[4096 + 64];
    struct restored restored = {target, state};
    long long *steps;
    size_t n, whole;
    enum simclr_status status = list_steps(&steps, &n, run, err);
    *found = status == SIMCLR_OK && n > 0;
    if (!*found)
        return status;
    status = take_newest(&whole, run, steps, n, take_all, &restored, tell, ctx, err);
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

static enum simclr_status take_open(void *ctx, const char *path, long long step, struct simclr_error *err)
{
    (void)step;
    return checkpoint_file_open(ctx, path, err);
}

enum simclr_status checkpoint_open_newest(struct safetensors **file, char *path, size_t size, const char *run, checkpoint_tell_fn *tell,
                                          void *ctx, struct simclr_error *err)
{
    long long *steps;
    size_t n, whole;
    enum simclr_status status = list_steps(&steps, &n, run, err);
    if (status != SIMCLR_OK)
        return status;
    if (n == 0)
        status = no_checkpoint(run, err);
    else
        status = take_newest(&whole, run, steps, n, take_open, file, tell, ctx, err);
    if (status == SIMCLR_OK)
        checkpoint_path(path, size, run, steps[whole]);
    free(steps);
    return status;
}
