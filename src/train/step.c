#include "train/step.h"

#include "train/optim.h"

#include <math.h>

struct step_memory step_lay_out(const struct engine *engine, struct network *network, const struct train_config *config, int rows,
                                int pass_rows, struct arena *arena)
{
    const struct network_config *c = &config->network;
    size_t side = (size_t)c->image_size;
    struct step_memory m = {.engine = engine, .network = network, .out_dim = c->out_dim, .temperature = (float)config->temperature};
    arena->tally = &m.views_bytes;
    m.views = arena_alloc(arena, (size_t)pass_rows * side * side * (size_t)c->channels, sizeof(float));
    arena->tally = &m.loss_bytes;
    m.dz = arena_alloc(arena, (size_t)rows * (size_t)c->out_dim, sizeof(float));
    m.loss_scratch = arena_alloc(arena, ntxent_scratch(engine, rows, c->out_dim), 1);
    arena->tally = NULL;
    return m;
}

/* Running variances overflow before anything else when activations grow: the norm then makes zeros of them, and the loss is finite. */
static bool statistics_are_finite(const struct step_memory *m)
{
    size_t count;
    const float *buffers = network_buffers(m->network, &count);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(buffers[i]))
            return false;
    return true;
}

static void forward(const struct step_memory *m, int rows, struct ntxent_result *result)
{
    const float *h, *z;
    network_forward(m->network, m->views, rows, true, &h, &z);
    ntxent(m->engine, result, m->dz, z, rows, m->out_dim, m->temperature, m->loss_scratch);
}

bool step_run(const struct step_memory *m, int rows, struct ntxent_result *result)
{
    forward(m, rows, result);
    if (!isfinite(result->loss) || !statistics_are_finite(m))
        return false;
    network_backward(m->network, m->views, m->dz, rows);
    size_t count;
    const struct tensor_info *tensors = network_param_list(m->network, &count);
    return optim_gradient_is_finite(m->engine, tensors, count, network_grads(m->network));
}

void step_watch(const struct step_memory *m, int rows, struct ntxent_result *result, watch_fn *watch, void *ctx)
{
    struct watched loss = {.layer = "loss", .tensor = "output"};
    network_watch(m->network, watch, ctx);
    forward(m, rows, result);
    float value = (float)result->loss;
    watch_values(&loss, &value, 1);
    watch(ctx, &loss);
    network_backward(m->network, m->views, m->dz, rows);
    network_watch(m->network, NULL, NULL);
}
