#include "nn/network.h"

#include "base/arena.h"
#include "base/status.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/plan.h"
#include "nn/pool.h"
#include "nn/resnet.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 1 << 20 };

/* Where a node's tensors lie; NULL: it has none. Shapes with rows images. */
struct node_memory {
    float *out, *pre, *grad; /* (rows, ho, wo, k) */
    uint8_t *which;          /* (rows, ho, wo, k) */
    float *mean, *invstd;    /* (k), of the batch */
    /* Whether backward adds to the gradient of the input or residual: not if it is the first to write there. */
    bool add_to_input, add_to_residual;
};

struct network {
    struct resnet net;
    struct network_plan plan;
    struct engine engine;
    int max_rows;
    bool training;
    struct arena arena;
    float *params, *grads, *buffers;
    char *activations; /* what plan lays out */
    void *scratch;     /* the largest that any node needs */
    struct node_memory memory[RESNET_MAX_NODES];
};

/* ---- Making ---- */

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

static size_t node_scratch(const struct network *n, const struct node *node)
{
    struct conv_shape shape = node->shape;
    shape.n = n->max_rows;
    struct slices slices = slices_of(shape.n, shape.ho, shape.wo);
    size_t bytes = node->norm ? norm_scratch(&slices, shape.k) : 0;
    if (node->kind == NODE_CONV)
        bytes = larger(bytes, conv_scratch(&n->engine, &shape));
    if (node->kind == NODE_LINEAR)
        bytes = larger(bytes, linear_scratch(&n->engine, shape.n, shape.c, shape.k));
    return bytes;
}

static size_t scratch_bytes(const struct network *n)
{
    size_t bytes = 0;
    for (int i = 0; i < n->net.count; i++)
        bytes = larger(bytes, node_scratch(n, &n->net.nodes[i]));
    return bytes;
}

static void *at(const struct network *n, int node, enum plan_slot slot)
{
    const struct plan_buffer *buffer = &n->plan.slots[node][slot];
    return n->activations && buffer->bytes ? n->activations + buffer->offset : NULL;
}

/* Run twice: to measure, and to hand out. */
static void lay_out(struct network *n, size_t scratch)
{
    struct arena *arena = &n->arena;
    n->params = arena_alloc(arena, n->net.param_floats, sizeof(float));
    n->buffers = arena_alloc(arena, n->net.buffer_floats, sizeof(float));
    if (n->training)
        n->grads = arena_alloc(arena, n->net.param_floats, sizeof(float));
    n->scratch = arena_alloc(arena, scratch, 1);
    n->activations = arena_alloc(arena, n->plan.bytes, 1);
    for (int i = 0; i < n->net.count; i++) {
        const struct node *node = &n->net.nodes[i];
        struct node_memory *m = &n->memory[i];
        m->out = at(n, i, PLAN_OUT);
        m->pre = at(n, i, PLAN_PRE);
        m->which = at(n, i, PLAN_WHICH);
        m->grad = at(n, i, PLAN_GRAD);
        if (node->norm && n->training) {
            m->mean = arena_alloc(arena, (size_t)node->shape.k, sizeof(float));
            m->invstd = arena_alloc(arena, (size_t)node->shape.k, sizeof(float));
        }
    }
}

static enum simclr_status plan_memory(struct network *n, const struct network_config *config, struct simclr_error *err)
{
    /* Sizes beyond any machine are refused before layer code computes with them. */
    const size_t limit = SIZE_MAX / 4096;
    if (plan_network(&n->plan, &n->net, n->max_rows, n->training) || n->plan.bytes > limit)
        return fail(err, SIMCLR_ERR_MEMORY,
                    "a pass of %d images of %d x %d is beyond what memory can address; lower the batch or image size", n->max_rows,
                    config->image_size, config->image_size);
    size_t scratch = scratch_bytes(n);
    lay_out(n, scratch);
    size_t bytes = n->arena.used;
    if (arena_commit(&n->arena))
        return fail(err, SIMCLR_ERR_MEMORY,
                    "no memory for a ResNet-%d of width %g on %d images of %d x %d: it needs %.1f GiB, %.1f of them for activations; "
                    "lower the batch size, image size or width",
                    config->depth, config->width, n->max_rows, config->image_size, config->image_size,
                    (double)bytes / (1 << 30), (double)n->plan.bytes / (1 << 30));
    lay_out(n, scratch);
    return SIMCLR_OK;
}

enum simclr_status network_create(struct network **network, const struct network_config *config, const struct engine *engine,
                                  int max_rows, bool training, struct simclr_error *err)
{
    *network = NULL;
    if (max_rows < 1 || max_rows > MAX_ROWS)
        return fail(err, SIMCLR_ERR_USAGE, "a pass of %d images is not supported; choose 1 to %d", max_rows, MAX_ROWS);
    struct network *n = calloc(1, sizeof *n);
    if (!n)
        return fail(err, SIMCLR_ERR_MEMORY, "no memory for the network's description");
    n->engine = *engine;
    n->max_rows = max_rows;
    n->training = training;
    enum simclr_status status = resnet_build(&n->net, config, err);
    if (!status)
        status = plan_memory(n, config, err);
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

/* ---- Forward ---- */

static float *param(const struct network *n, int index)
{
    return n->params + n->net.params[index].offset;
}

static float *grad(const struct network *n, int index)
{
    return n->grads + n->net.params[index].offset;
}

static struct norm_params norm_params(const struct network *n, const struct node *node)
{
    return (struct norm_params){param(n, node->gain), param(n, node->gain + 1),
                                n->buffers + n->net.buffers[node->running].offset,
                                n->buffers + n->net.buffers[node->running + 1].offset};
}

static void forward_norm(struct network *n, int i, const float *pre, int rows, bool training)
{
    const struct node *node = &n->net.nodes[i];
    struct node_memory *m = &n->memory[i];
    const float *residual = node->residual >= 0 ? n->memory[node->residual].out : NULL;
    struct norm_params params = norm_params(n, node);
    struct slices slices = slices_of(rows, node->shape.ho, node->shape.wo);
    if (training)
        norm_forward(&n->engine, m->out, m->mean, m->invstd, pre, residual, &params, node->relu, &slices, node->shape.k, n->scratch);
    else
        norm_inference(&n->engine, m->out, pre, residual, &params, node->relu, &slices, node->shape.k, n->scratch);
}

static void forward_node(struct network *n, int i, const float *images, int rows, bool training)
{
    const struct node *node = &n->net.nodes[i];
    struct node_memory *m = &n->memory[i];
    const float *x = node->input >= 0 ? n->memory[node->input].out : images;
    float *pre = m->pre ? m->pre : m->out;
    struct conv_shape s = node->shape;
    s.n = rows;
    switch (node->kind) {
    case NODE_CONV:
        conv_forward(&n->engine, pre, NULL, &(struct conv_input){.x = x}, param(n, node->weight), &s, n->scratch);
        break;
    case NODE_MAXPOOL:
        maxpool_forward(&n->engine, m->out, m->which, x, rows, s.h, s.w, s.c);
        break;
    case NODE_AVGPOOL:
        avgpool_forward(&n->engine, m->out, x, rows, s.h * s.w, s.c);
        break;
    case NODE_LINEAR:
        linear_forward(&n->engine, pre, x, param(n, node->weight), param(n, node->bias), node->relu && !node->norm, rows, s.c, s.k,
                       n->scratch);
        break;
    }
    if (node->norm)
        forward_norm(n, i, pre, rows, training);
}

void network_forward(struct network *network, const float *x, int rows, bool training, const float **h, const float **z)
{
    int last = z ? network->net.count - 1 : network->net.feature;
    for (int i = 0; i <= last; i++)
        forward_node(network, i, x, rows, training);
    *h = network->memory[network->net.feature].out;
    if (z)
        *z = network->memory[last].out;
}

/* ---- Backward ---- */

/* m->grad becomes the gradient of the pre-norm output. */
static void backward_norm(struct network *n, int i, int rows)
{
    const struct node *node = &n->net.nodes[i];
    struct node_memory *m = &n->memory[i];
    float *residual = node->residual >= 0 ? n->memory[node->residual].grad : NULL;
    struct slices slices = slices_of(rows, node->shape.ho, node->shape.wo);
    norm_backward(&n->engine, m->grad, residual, m->add_to_residual, grad(n, node->gain), grad(n, node->gain + 1), m->grad,
                  node->relu ? m->out : NULL, m->pre, param(n, node->gain), m->mean, m->invstd,
                  &slices, node->shape.k, n->scratch);
}

static void backward_node(struct network *n, int i, const float *images, int rows)
{
    const struct node *node = &n->net.nodes[i];
    struct node_memory *m = &n->memory[i];
    const float *x = node->input >= 0 ? n->memory[node->input].out : images;
    float *dx = node->input >= 0 ? n->memory[node->input].grad : NULL;
    struct conv_shape s = node->shape;
    s.n = rows;
    if (node->norm)
        backward_norm(n, i, rows);
    switch (node->kind) {
    case NODE_CONV:
        conv_backward_weights(&n->engine, grad(n, node->weight), &(struct conv_input){.x = x}, m->grad, &s, n->scratch);
        if (dx)
            conv_backward_data(&n->engine, dx, m->add_to_input, m->grad, param(n, node->weight), &s, n->scratch);
        break;
    case NODE_MAXPOOL:
        maxpool_backward(&n->engine, dx, m->grad, m->which, rows, s.h, s.w, s.c);
        break;
    case NODE_AVGPOOL:
        avgpool_backward(&n->engine, dx, m->grad, rows, s.h * s.w, s.c);
        break;
    case NODE_LINEAR:
        linear_backward(&n->engine, dx, grad(n, node->weight), grad(n, node->bias), m->grad,
                        node->relu && !node->norm ? m->out : NULL, x, param(n, node->weight), rows, s.c, s.k, n->scratch);
        break;
    }
}

void network_backward(struct network *network, const float *x, const float *dz, int rows)
{
    int last = network->net.count - 1;
    memcpy(network->memory[last].grad, dz, (size_t)rows * (size_t)network->net.nodes[last].shape.k * sizeof *dz);
    for (int i = last; i >= 0; i--)
        backward_node(network, i, x, rows);
}

/* ---- Looking inside ---- */

int network_feature_dim(const struct network *network)
{
    return network->net.nodes[network->net.feature].shape.k;
}

size_t network_memory(const struct network *network)
{
    return network->arena.capacity;
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
