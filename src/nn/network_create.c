/* A network is planned, measured, and made; and what others may know of it. */
#include "nn/network_internal.h"

#include "base/memory.h"
#include "base/status.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/pool.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 1 << 20 };

static void decide_writers(struct network *n)
{
    bool written[RESNET_MAX_NODES] = {false};
    for (int i = n->net.count - 1; i >= 0; i--) {
        const struct node *node = &n->net.nodes[i];
        struct node_memory *m = &n->memory[i];
        if (node->residual >= 0) {
            m->add_to_residual = written[node->residual];
            written[node->residual] = true;
        }
        if (node->input >= 0) {
            m->add_to_input = written[node->input];
            written[node->input] = true;
        }
    }
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t layer_scratch(const struct network *n, const struct node *node)
{
    struct conv_shape shape = node->shape;
    shape.n = n->max_rows;
    if (node->kind == NODE_CONV)
        return conv_scratch(&n->engine, &shape);
    if (node->kind == NODE_LINEAR)
        return linear_scratch(&n->engine, shape.n, shape.c, shape.k);
    return 0;
}

struct scratch_bytes {
    size_t layer, norm;
};

static struct scratch_bytes scratch_bytes(const struct network *n)
{
    struct scratch_bytes bytes = {0};
    for (int i = 0; i < n->net.count; i++) {
        const struct node *node = &n->net.nodes[i];
        struct slices slices = slices_of_node(node, n->max_rows);
        bytes.layer = larger(bytes.layer, layer_scratch(n, node));
        if (node->norm && n->training)
            bytes.norm = larger(bytes.norm, norm_scratch(&slices, node->shape.k));
    }
    return bytes;
}

static void *at(const struct network *n, int node, enum plan_slot slot)
{
    const struct plan_buffer *buffer = &n->plan.slots[node][slot];
    return n->activations && buffer->bytes ? n->activations + buffer->offset : NULL;
}

static size_t most_param_floats(const struct network *n)
{
    size_t most = 0;
    for (int i = 0; i < n->net.count; i++)
        most = larger(most, param_floats(n, &n->net.nodes[i]));
    return most;
}

/* Run twice: to measure, and to hand out. */
static void lay_out(struct network *n, struct scratch_bytes scratch)
{
    struct arena *arena = &n->arena;
    struct network_size *size = &n->size;
    *size = (struct network_size){.params = n->net.param_floats, .buffers = n->net.buffer_floats, .layer_params = most_param_floats(n),
                                  .feature_dim = network_feature_dim(n)};
    arena->tally = &size->weights;
    n->params = arena_alloc(arena, n->net.param_floats, sizeof(float));
    arena->tally = &size->gradients;
    if (n->training)
        n->grads = arena_alloc(arena, n->net.param_floats, sizeof(float));
    arena->tally = &size->scratch;
    n->scratch = arena_alloc(arena, scratch.layer, 1);
    n->norm_scratch = arena_alloc(arena, scratch.norm, 1);
    arena->tally = &size->activations;
    n->activations = arena_alloc(arena, n->plan.bytes, 1);
    arena->tally = &size->statistics;
    n->buffers = arena_alloc(arena, n->net.buffer_floats, sizeof(float));
    for (int i = 0; i < n->net.count; i++) {
        const struct node *node = &n->net.nodes[i];
        struct node_memory *m = &n->memory[i];
        m->out = at(n, i, PLAN_OUT);
        m->pre = at(n, i, PLAN_PRE);
        m->which = at(n, i, PLAN_WHICH);
        m->grad = at(n, i, PLAN_GRAD);
        if (node->norm)
            m->scale = arena_alloc(arena, (size_t)node->shape.k, sizeof(float));
        if (node->norm && n->training) {
            m->mean = arena_alloc(arena, (size_t)node->shape.k, sizeof(float));
            m->invstd = arena_alloc(arena, (size_t)node->shape.k, sizeof(float));
        }
    }
    size->memory = aligned_bytes(arena->used);
}

/* Everything but the memory itself. */
static enum simclr_status describe(struct network *n, struct scratch_bytes *scratch, const struct network_config *config,
                                   const struct engine *engine, int max_rows, bool training, struct simclr_error *err)
{
    if (max_rows < 1 || max_rows > MAX_ROWS)
        return fail(err, SIMCLR_ERR_USAGE, "a pass of %d images is not supported; choose 1 to %d", max_rows, MAX_ROWS);
    n->engine = *engine;
    n->max_rows = max_rows;
    n->training = training;
    enum simclr_status status = resnet_build(&n->net, config, err);
    if (status)
        return status;
    /* Sizes beyond any machine are refused before layer code computes with them. With 32 bits that is 512 MiB of activations: the
     * largest layer's scratch, Winograd's tiles of input and output, is then still within a size_t. */
    const size_t limit = SIZE_MAX > UINT32_MAX ? SIZE_MAX / 4096 : SIZE_MAX / 8;
    if (plan_network(&n->plan, &n->net, n->max_rows, n->training) || n->plan.bytes > limit)
        return fail(err, SIMCLR_ERR_MEMORY,
                    "a pass of %d images of %d x %d is beyond what memory can address; lower the batch or image size", n->max_rows,
                    config->image_size, config->image_size);
    *scratch = scratch_bytes(n);
    lay_out(n, *scratch);
    return SIMCLR_OK;
}

static struct network *new_network(struct simclr_error *err)
{
    struct network *n = calloc(1, sizeof *n);
    if (!n)
        fail(err, SIMCLR_ERR_MEMORY, "no memory for the network's description");
    return n;
}

enum simclr_status network_measure(struct network_size *size, const struct network_config *config, const struct engine *engine,
                                   int max_rows, bool training, struct simclr_error *err)
{
    struct scratch_bytes scratch;
    struct network *n = new_network(err);
    if (!n)
        return SIMCLR_ERR_MEMORY;
    enum simclr_status status = describe(n, &scratch, config, engine, max_rows, training, err);
    *size = n->size;
    network_free(n);
    return status;
}

static enum simclr_status allocate(struct network *n, struct scratch_bytes scratch, const struct network_config *config,
                                   struct simclr_error *err)
{
    size_t bytes = n->arena.used, left = memory_available();
    n->arena.allocator = n->engine.allocator;
    if (arena_commit(&n->arena))
        return fail(err, SIMCLR_ERR_MEMORY,
                    "no memory for a ResNet-%d of width %g on %d images of %d x %d: it needs %.1f GiB, %.1f of them for activations, "
                    "and this process may take %.1f more; lower the batch size, image size or width",
                    config->depth, config->width, n->max_rows, config->image_size, config->image_size,
                    (double)bytes / (1 << 30), (double)n->plan.bytes / (1 << 30), (double)left / (1 << 30));
    lay_out(n, scratch);
    return SIMCLR_OK;
}

enum simclr_status network_create(struct network **network, const struct network_config *config, const struct engine *engine,
                                  int max_rows, bool training, struct simclr_error *err)
{
    *network = NULL;
    struct scratch_bytes scratch;
    struct network *n = new_network(err);
    if (!n)
        return SIMCLR_ERR_MEMORY;
    enum simclr_status status = describe(n, &scratch, config, engine, max_rows, training, err);
    if (!status)
        status = allocate(n, scratch, config, err);
    if (status) {
        network_free(n);
        return status;
    }
    decide_writers(n);
    resnet_init(n->params, n->buffers, &n->net, &n->engine, config->seed);
    *network = n;
    return SIMCLR_OK;
}

void network_free(struct network *network)
{
    if (!network)
        return;
    arena_free(&network->arena);
    free(network);
}

/* ---- Looking inside ---- */

int network_feature_dim(const struct network *network)
{
    return network->net.nodes[network->net.feature].shape.k;
}

void network_time(struct network *network, struct node_time *times)
{
    network->times = times;
}

int network_out_dim(const struct network *network)
{
    return network->net.nodes[network->net.count - 1].shape.k;
}

double network_image_flop(const struct network *network)
{
    return resnet_image_flop(&network->net);
}

size_t network_memory(const struct network *network)
{
    return network->arena.capacity;
}

const struct network_size *network_sizes(const struct network *network)
{
    return &network->size;
}

float *network_params(struct network *network, size_t *count)
{
    *count = network->net.param_floats;
    return network->params;
}

float *network_grads(struct network *network)
{
    return network->grads;
}

float *network_buffers(struct network *network, size_t *count)
{
    *count = network->net.buffer_floats;
    return network->buffers;
}

bool network_statistics_are_finite(const struct network *network)
{
    for (size_t i = 0; i < network->net.buffer_floats; i++)
        if (!isfinite(network->buffers[i]))
            return false;
    return true;
}

const struct tensor_info *network_param_list(const struct network *network, size_t *count)
{
    *count = network->net.param_count;
    return network->net.params;
}

const struct tensor_info *network_buffer_list(const struct network *network, size_t *count)
{
    *count = network->net.buffer_count;
    return network->net.buffers;
}
