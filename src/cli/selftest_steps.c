/* The selftest's training: steps of small ResNets, to a hash of losses, weights and running statistics. As small as covers every
 * kind of layer: without FMA hardware, in an emulator, a step takes a thousand times as long. */
#include "cli/selftest_cases.h"

#include "base/arena.h"
#include "base/status.h"
#include "nn/network.h"
#include "nn/ntxent.h"
#include "train/optim.h"

#include <stdlib.h>

struct recipe {
    struct network_config network;
    struct optim_config optim;
    double lr;
    int images, steps;
};

static void step(struct selftest *t, const struct recipe *r, struct network *network, float *const state[2], float *dz, void *scratch,
                 uint64_t number)
{
    const struct network_config *c = &r->network;
    struct ntxent_result result;
    int rows = 2 * r->images;
    size_t params, tensors, used = t->used;
    const struct tensor_info *list = network_param_list(network, &tensors);
    const float *h, *z, *x = selftest_unit(t, (size_t)rows * (size_t)(c->image_size * c->image_size * c->channels));
    network_forward(network, x, rows, true, &h, &z);
    ntxent(t->engine, &result, dz, z, rows, c->out_dim, 0.5f, scratch);
    network_backward(network, x, dz, rows);
    optim_step(t->engine, &r->optim, list, tensors, network_params(network, &params), network_grads(network), state, number, r->lr);
    const double figures[] = {result.loss, result.retrieval1, result.retrieval5, result.alignment, result.uniformity};
    selftest_absorb(t, figures, sizeof figures);
    t->used = used;
}

static void train(struct selftest *t, const struct recipe *r)
{
    struct network *network;
    int rows = 2 * r->images;
    t->status = network_create(&network, &r->network, t->engine, rows, true, &t->err);
    if (t->status != SIMCLR_OK)
        return;
    size_t params, buffers;
    const float *w = network_params(network, &params), *stats = network_buffers(network, &buffers);
    float *state[2] = {alloc_aligned(params, sizeof(float)), alloc_aligned(params, sizeof(float))};
    float *dz = alloc_aligned((size_t)(rows * r->network.out_dim), sizeof *dz);
    void *scratch = alloc_aligned(ntxent_scratch(t->engine, rows, r->network.out_dim), 1);
    if (state[0] && state[1] && dz && scratch) {
        for (uint64_t number = 1; number <= (uint64_t)r->steps; number++)
            step(t, r, network, state, dz, scratch, number);
        selftest_absorb_floats(t, w, params);
        selftest_absorb_floats(t, stats, buffers);
    } else {
        t->status = fail(&t->err, SIMCLR_ERR_MEMORY, "not enough memory for a small ResNet's optimiser");
    }
    free(scratch);
    free(dz);
    free(state[1]);
    free(state[0]);
    network_free(network);
}

static void train_resnet18(struct selftest *t)
{
    train(t, &(struct recipe){
        .network = {.depth = 18, .width = 0.25, .stem = STEM_CIFAR, .channels = 3, .image_size = 8, .head_layers = 2, .out_dim = 40, .seed = 1},
        .optim = {.kind = OPTIM_ADAM, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 1e-4},
        .lr = 1e-3, .images = 2, .steps = 2});
}

static void train_resnet50(struct selftest *t)
{
    train(t, &(struct recipe){
        .network = {.depth = 50, .width = 0.25, .stem = STEM_IMAGENET, .channels = 3, .image_size = 32, .head_layers = 3, .head_norm = true,
                    .out_dim = 24, .zero_init = true, .seed = 2},
        .optim = {.kind = OPTIM_LARS, .momentum = 0.9, .weight_decay = 1e-4, .trust = 0.001},
        .lr = 0.3, .images = 2, .steps = 1});
}

static void train_grey(struct selftest *t)
{
    train(t, &(struct recipe){
        .network = {.depth = 18, .width = 0.25, .stem = STEM_CIFAR, .channels = 1, .image_size = 8, .head_layers = 1, .out_dim = 7, .seed = 3},
        .optim = {.kind = OPTIM_SGD, .momentum = 0.9, .nesterov = true, .weight_decay = 5e-4},
        .lr = 0.06, .images = 2, .steps = 1});
}

/* Batches of those steps are one tile of similarities; here are three, the last one small. */
static void loss_of_tiles(struct selftest *t)
{
    enum { BATCH = 150, D = 9 };
    float *z = selftest_random(t, BATCH * D), *dz = selftest_floats(t, BATCH * D);
    void *scratch = alloc_aligned(ntxent_scratch(t->engine, BATCH, D), 1);
    if (!scratch) {
        t->status = fail(&t->err, SIMCLR_ERR_MEMORY, "not enough memory for a loss of %d rows", BATCH);
        return;
    }
    struct ntxent_result result;
    ntxent(t->engine, &result, dz, z, BATCH, D, 0.1f, scratch);
    free(scratch);
    const double figures[] = {result.loss, result.retrieval1, result.retrieval5, result.alignment, result.uniformity};
    selftest_absorb(t, figures, sizeof figures);
    selftest_absorb_floats(t, dz, BATCH * D);
}

static const struct selftest_case of_steps[] = {
    {"train_resnet18_adam", train_resnet18}, {"train_resnet50_lars", train_resnet50}, {"train_grey_sgd", train_grey},
    {"ntxent", loss_of_tiles}};

const struct selftest_group selftest_steps = {"training steps", of_steps, sizeof of_steps / sizeof of_steps[0]};
