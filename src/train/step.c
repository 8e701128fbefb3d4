#include "train/step.h"

#include "base/ints.h"
#include "base/status.h"
#include "train/optim.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int step_pass_images(const struct train_config *config, int images)
{
    return config->micro_batch ? min_int(config->micro_batch, images) : images;
}

struct step_memory step_lay_out(const struct engine *engine, struct network *network, const struct network_size *sizes,
                                const struct train_config *config, int images, int micro, struct arena *arena)
{
    const struct network_config *c = &config->network;
    size_t side = (size_t)c->image_size, rows = 2 * (size_t)images, pass_rows = 2 * (size_t)micro, d = (size_t)c->out_dim;
    struct step_memory m = {.engine = engine, .network = network, .micro = micro, .image_floats = side * side * (size_t)c->channels,
                            .out_dim = c->out_dim, .temperature = (float)config->temperature};
    arena->tally = &m.views_bytes;
    m.views = arena_alloc(arena, pass_rows * m.image_floats, sizeof(float));
    arena->tally = &m.loss_bytes;
    m.z = arena_alloc(arena, rows * d, sizeof(float));
    m.dz = arena_alloc(arena, rows * d, sizeof(float));
    m.pass_dz = arena_alloc(arena, pass_rows * d, sizeof(float));
    m.loss_scratch = arena_alloc(arena, ntxent_scratch(engine, 2 * images, c->out_dim), 1);
    arena->tally = &m.gradients_bytes;
    m.fresh = arena_alloc(arena, micro < images ? sizes->layer_params : 0, sizeof(float));
    arena->tally = &m.statistics_bytes;
    m.statistics = arena_alloc(arena, sizes->buffers, sizeof(float));
    arena->tally = NULL;
    return m;
}

/* ---- Running statistics ---- */

static void save_statistics(const struct step_memory *m)
{
    size_t count;
    const float *buffers = network_buffers(m->network, &count);
    memcpy(m->statistics, buffers, count * sizeof *buffers);
}

static void restore_statistics(const struct step_memory *m)
{
    size_t count;
    float *buffers = network_buffers(m->network, &count);
    memcpy(buffers, m->statistics, count * sizeof *buffers);
}

/* ---- Passes ---- */

/* Both views of images first to first + images - 1 of the batch. */
struct pass {
    int first, images;
};

static struct pass pass_at(const struct step_memory *m, const struct step_batch *batch, int first)
{
    return (struct pass){first, min_int(m->micro, batch->images - first)};
}

/* Of the whole batch's rows, those of one of the pass's views. */
static size_t batch_floats(const struct step_memory *m, const struct step_batch *batch, const struct pass *p, size_t view)
{
    return (view * (size_t)batch->images + (size_t)p->first) * (size_t)m->out_dim;
}

/* Of one of a pass's views. */
static size_t view_floats(const struct step_memory *m, const struct pass *p)
{
    return (size_t)p->images * (size_t)m->out_dim;
}

/* Who looks at the tensors of a pass; watch NULL: nobody. */
struct watcher {
    watch_fn *watch;
    void *ctx;
};

/* Tells which images the tensors that follow are made of. */
static void watch_views(const struct step_memory *m, const struct step_batch *batch, const struct pass *p, bool backward,
                        const struct watcher *w)
{
    struct watched images = {.layer = "images", .tensor = "views", .backward = backward};
    if (!w->watch)
        return;
    if (p->images < batch->images)
        snprintf(images.layer, sizeof images.layer, "images %d-%d", p->first + 1, p->first + p->images);
    watch_values(&images, m->views, 2 * (size_t)p->images * m->image_floats);
    w->watch(w->ctx, &images);
}

static enum simclr_status pass_forward(const struct step_memory *m, const struct step_batch *batch, const struct pass *p, const float **z,
                                       const struct watcher *w, struct simclr_error *err)
{
    const float *h;
    enum simclr_status status = batch->views(batch->ctx, m->views, p->first, p->images, err);
    if (status != SIMCLR_OK)
        return status;
    watch_views(m, batch, p, false, w);
    network_watch(m->network, w->watch, w->ctx);
    network_forward(m->network, m->views, 2 * p->images, true, &h, z);
    network_watch(m->network, NULL, NULL);
    return SIMCLR_OK;
}

static void pass_backward(const struct step_memory *m, const struct step_batch *batch, const struct pass *p, const struct watcher *w)
{
    size_t n = view_floats(m, p);
    for (size_t view = 0; view < 2; view++)
        memcpy(m->pass_dz + view * n, m->dz + batch_floats(m, batch, p, view), n * sizeof *m->dz);
    network_watch(m->network, w->watch, w->ctx);
    if (p->first == 0)
        network_backward(m->network, m->views, m->pass_dz, 2 * p->images);
    else
        network_backward_add(m->network, m->views, m->pass_dz, 2 * p->images, m->fresh);
    network_watch(m->network, NULL, NULL);
}

/* ---- The step ---- */

static enum simclr_status forward(const struct step_memory *m, const struct step_batch *batch, struct ntxent_result *result,
                                  const struct watcher *w, struct simclr_error *err)
{
    for (int first = 0; first < batch->images; first += m->micro) {
        struct pass p = pass_at(m, batch, first);
        const float *z;
        enum simclr_status status = pass_forward(m, batch, &p, &z, w, err);
        if (status != SIMCLR_OK)
            return status;
        size_t n = view_floats(m, &p);
        for (size_t view = 0; view < 2; view++)
            memcpy(m->z + batch_floats(m, batch, &p, view), z + view * n, n * sizeof *z);
    }
    ntxent(m->engine, result, m->dz, m->z, 2 * batch->images, m->out_dim, m->temperature, m->loss_scratch);
    return SIMCLR_OK;
}

/* Brings back the activations of a pass. z tells whether they are the same: files of images may have changed. */
static enum simclr_status forward_again(const struct step_memory *m, const struct step_batch *batch, const struct pass *p, bool *same,
                                        struct simclr_error *err)
{
    const struct watcher nobody = {0};
    const float *z;
    enum simclr_status status = pass_forward(m, batch, p, &z, &nobody, err);
    if (status != SIMCLR_OK)
        return status;
    size_t n = view_floats(m, p);
    *same = true;
    for (size_t view = 0; view < 2; view++)
        *same &= memcmp(m->z + batch_floats(m, batch, p, view), z + view * n, n * sizeof *z) == 0;
    return SIMCLR_OK;
}

static enum simclr_status backward(const struct step_memory *m, const struct step_batch *batch, const struct watcher *w,
                                   struct simclr_error *err)
{
    bool one_pass = batch->images <= m->micro;
    if (!one_pass) /* the second passes move them again, by the same */
        restore_statistics(m);
    for (int first = 0; first < batch->images; first += m->micro) {
        struct pass p = pass_at(m, batch, first);
        bool same = true;
        enum simclr_status status = one_pass ? SIMCLR_OK : forward_again(m, batch, &p, &same, err);
        if (status != SIMCLR_OK)
            return status;
        if (!same && !w->watch) /* of numbers that are not finite a watcher wants to see all */
            return fail(err, SIMCLR_ERR_IO, "images were not the same when they were read a second time: their files have changed; leave "
                        "them alone while they are trained on, and go on with --resume");
        if (!one_pass)
            watch_views(m, batch, &p, true, w);
        pass_backward(m, batch, &p, w);
    }
    return SIMCLR_OK;
}

enum simclr_status step_run(const struct step_memory *m, const struct step_batch *batch, struct ntxent_result *result, bool *finite,
                            struct simclr_error *err)
{
    const struct watcher nobody = {0};
    size_t count;
    const struct tensor_info *tensors = network_param_list(m->network, &count);
    save_statistics(m);
    enum simclr_status status = forward(m, batch, result, &nobody, err);
    *finite = status == SIMCLR_OK && isfinite(result->loss) && network_statistics_are_finite(m->network);
    if (*finite)
        status = backward(m, batch, &nobody, err);
    *finite = *finite && status == SIMCLR_OK && optim_gradient_is_finite(m->engine, tensors, count, network_grads(m->network));
    if (!*finite)
        restore_statistics(m);
    return status;
}

enum simclr_status step_watch(const struct step_memory *m, const struct step_batch *batch, struct ntxent_result *result, watch_fn *watch,
                              void *ctx, struct simclr_error *err)
{
    const struct watcher w = {watch, ctx};
    struct watched loss = {.layer = "loss", .tensor = "output"};
    save_statistics(m);
    enum simclr_status status = forward(m, batch, result, &w, err);
    if (status == SIMCLR_OK) {
        float value = (float)result->loss;
        watch_values(&loss, &value, 1);
        watch(ctx, &loss);
        status = backward(m, batch, &w, err);
    }
    restore_statistics(m);
    return status;
}
