/* A run is set up: its data, network and memory; and restored from its newest checkpoint. */
#include "base/status.h"
#include "train/config.h"
#include "train/init.h"
#include "train/memory_limit.h"
#include "train/training.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

void trainer_lay_out(struct trainer *t, int micro_batch)
{
    for (int i = 0; i < optim_state_arrays(t->config.optim.kind); i++)
        t->optim[i] = arena_alloc(&t->memory, t->sizes.params, sizeof(float));
    t->step = step_lay_out(t->engine, t->network, &t->sizes, &t->config, t->config.batch_size, micro_batch, &t->memory);
}

enum simclr_status trainer_plan_steps(struct trainer *t, struct simclr_error *err)
{
    struct train_config *c = &t->config;
    size_t images = loader_size(t->data.train), batch = (size_t)c->batch_size;
    if (images < 2)
        return fail(err, SIMCLR_ERR_USAGE, "there is only one image to train on, and its views need others to differ from; %s",
                    c->limit ? "raise --limit" : "add some to the set");
    if (batch > images)
        return fail(err, SIMCLR_ERR_USAGE, "--batch-size %zu is larger than the set's %zu images; use %zu or less", batch, images, images);
    t->steps_per_epoch = c->keep_last ? (images + batch - 1) / batch : images / batch;
    t->steps = t->steps_per_epoch * (uint64_t)c->epochs;
    t->base_lr = schedule_base(c->lr, c->lr_scaling, c->batch_size);
    return SIMCLR_OK;
}

enum simclr_status trainer_allocate(struct trainer *t, struct simclr_error *err)
{
    int micro_batch = step_pass_images(&t->config, t->config.batch_size);
    enum simclr_status status = network_create(&t->network, &t->config.network, t->engine, 2 * micro_batch, true, err);
    if (status != SIMCLR_OK)
        return status;
    t->sizes = *network_sizes(t->network);
    t->tensors = network_param_list(t->network, &t->tensor_count);
    t->memory.allocator = t->engine->allocator;
    trainer_lay_out(t, micro_batch);
    if (arena_commit(&t->memory))
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a batch of %d images; use a smaller --batch-size",
                    t->config.batch_size);
    trainer_lay_out(t, micro_batch);
    return SIMCLR_OK;
}

void trainer_release(struct trainer *t)
{
    arena_free(&t->memory);
    network_free(t->network);
    t->network = NULL;
}

enum simclr_status trainer_set_up(struct trainer *t, struct simclr_error *err)
{
    size_t for_cache = 0;
    enum simclr_status status = run_data_open(&t->data, &t->config, t->engine, err);
    if (status == SIMCLR_OK)
        status = trainer_plan_steps(t, err);
    if (status == SIMCLR_OK)
        status = memory_limit_apply(&t->config, trainer_has_config(t), &for_cache, &t->data, t->engine, err);
    return status == SIMCLR_OK ? trainer_prepare(t, for_cache, err) : status;
}

enum simclr_status trainer_prepare(struct trainer *t, size_t for_cache, struct simclr_error *err)
{
    t->config.network.seed = t->config.seed;
    enum simclr_status status = trainer_allocate(t, err);
    if (status != SIMCLR_OK)
        return status;
    t->image_flop = network_image_flop(t->network);
    run_data_cache(&t->data, t->config.cache, for_cache);
    t->settings = train_config_text(&t->config, true);
    if (!t->settings)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the settings");
    return SIMCLR_OK;
}

void trainer_tear_down(struct trainer *t)
{
    free(t->settings);
    trainer_release(t);
    run_data_close(&t->data);
    run_folder_close(&t->folder);
}

struct checkpoint_target trainer_checkpoint(struct trainer *t)
{
    return checkpoint_of(t->network, t->config.optim.kind, t->optim, t->settings, t->data.fingerprint);
}

static void config_path(char path[PATH_SIZE], const struct trainer *t)
{
    snprintf(path, PATH_SIZE, "%s/config.json", t->run);
}

bool trainer_has_config(const struct trainer *t)
{
    char path[PATH_SIZE];
    config_path(path, t);
    return access(path, F_OK) == 0;
}

enum simclr_status trainer_note_begun(struct trainer *t, struct simclr_error *err)
{
    char path[PATH_SIZE];
    config_path(path, t);
    t->begun = true;
    enum simclr_status status = run_folder_check(&t->folder, err);
    return status == SIMCLR_OK ? train_config_save(&t->config, path, err) : status;
}

/* The settings in config.json, if it is there: the run's own. */
static enum simclr_status own_settings(const struct trainer *t, struct train_config *own, struct simclr_error *err)
{
    char path[PATH_SIZE];
    config_path(path, t);
    *own = t->config;
    if (access(path, F_OK) != 0)
        return SIMCLR_OK;
    enum simclr_status status = train_config_load(own, path, err);
    char *text = status == SIMCLR_OK ? train_config_text(own, true) : NULL;
    if (text)
        status = train_config_same(path, text, t->settings, err);
    free(text);
    return status;
}

enum simclr_status trainer_init(struct trainer *t, char *text, size_t size, struct simclr_error *err)
{
    struct init_file init;
    text[0] = 0;
    if (!t->config.init[0])
        return SIMCLR_OK;
    enum simclr_status status = init_open(&init, t->config.init, t->network, err);
    if (status == SIMCLR_OK) {
        init_take(&init, t->network);
        init_text(text, size, &init, t->config.init, t->network);
        t->state.init = init.fingerprint;
    }
    init_close(&init);
    return status;
}

/* A resumed run has its weights from its checkpoint, and does not need the file that it began with. Only another one, which it
 * would ignore, is refused. */
static enum simclr_status check_init(struct trainer *t, struct simclr_error *err)
{
    struct init_file init;
    if (!t->config.init[0])
        return SIMCLR_OK;
    enum simclr_status status = init_open(&init, t->config.init, t->network, err);
    if (status == SIMCLR_ERR_IO)
        status = SIMCLR_OK;
    else if (status != SIMCLR_ERR_MEMORY && (status != SIMCLR_OK || init.fingerprint != t->state.init))
        status = fail(err, SIMCLR_ERR_USAGE, "%s did not begin with the weights of --init %.200s; leave that out to go on, or train anew with "
                      "-o ANOTHER", t->run, t->config.init);
    init_close(&init);
    return status;
}

enum simclr_status trainer_restore(struct trainer *t, bool *found, struct simclr_error *err)
{
    struct checkpoint_target target = trainer_checkpoint(t);
    struct train_config own;
    char advice[160] = "resume with the same images";
    enum simclr_status status = own_settings(t, &own, err);
    if (status != SIMCLR_OK)
        return status;
    if ((own.knn_every > 0) != (t->config.knn_every > 0))
        snprintf(advice, sizeof advice, "its --knn-every is %d, not %d: leave that out, for a tenth of the images is held out for kNN",
                 own.knn_every, t->config.knn_every);
    target.advice = advice;
    status = checkpoint_resume(t->run, t->config.keep, &target, &t->state, found, trainer_tell_user, t, err);
    bool own_init = trainer_has_config(t) && strcmp(t->config.init, own.init) == 0;
    return status == SIMCLR_OK && *found && !own_init ? check_init(t, err) : status;
}
