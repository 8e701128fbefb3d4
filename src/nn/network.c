#include "nn/network.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/par.h"
#include "base/status.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/plan.h"
#include "nn/pool.h"
#include "nn/resnet.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 1 << 20, ADD_FLOATS = 16 * 1024 };

/* Where a node's tensors lie; NULL: it has none. Shapes with rows images. */
struct node_memory {
    float *out, *pre, *grad; /* (rows, ho, wo, k) */
    uint8_t *which;          /* (rows, ho, wo, k) */
    float *mean, *invstd;    /* (k), of the batch */
    float *scale;            /* (k), of the norm in the last forward pass */
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
    struct network_size size;
    float *params, *grads, *buffers;
    float *fresh;                /* one node's gradients before they are added to grads; NULL: they are written there */
    char *activations;           /* what plan lays out */
    void *scratch, *norm_scratch; /* the largest that any layer, and any norm, needs */
    struct node_memory memory[RESNET_MAX_NODES];
    watch_fn *watch; /* NULL: nobody looks */
    void *watch_ctx;
    struct node_time *times; /* NULL: nobody asks */
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

static struct slices slices_of_node(const struct node *node, int rows)
{
    return slices_of(rows, node->shape.ho, node->shape.wo);
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

/* The last of the parameters of a node that has any: they lie one behind the other, from its weight on. */
static int last_param(const struct node *node)
{
    return node->norm ? node->gain + 1 : node->bias;
}

/* With the gaps between them. */
static size_t param_floats(const struct network *n, const struct node *node)
{
    if (node->weight < 0)
        return 0;
    const struct tensor_info *first = &n->net.params[node->weight], *last = &n->net.params[last_param(node)];
    return last->offset + last->count - first->offset;
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

/* ---- Watching ---- */

void network_watch(struct network *network, watch_fn *watch, void *ctx)
{
    network->watch = watch;
    network->watch_ctx = ctx;
}

/* "layer1.0.bn2" from "layer1.0.bn2.weight", and "layer1.0" with two ends cut. */
static struct watched watched_layer(const struct network *n, int param, int ends, const char *tensor, bool backward)
{
    struct watched w = {.tensor = tensor, .backward = backward};
    snprintf(w.layer, sizeof w.layer, "%s", n->net.params[param].name);
    for (char *end; ends > 0 && (end = strrchr(w.layer, '.')); ends--)
        *end = 0;
    return w;
}

/* The node's last layer, whose output the next nodes read: a block's sum, a norm, a convolution, a pool. */
static struct watched watched_node(const struct network *n, int i, const char *tensor, bool backward)
{
    const struct node *node = &n->net.nodes[i];
    if (node->weight >= 0)
        return watched_layer(n, node->norm ? node->gain : node->weight, node->residual >= 0 ? 2 : 1, tensor, backward);
    struct watched w = {.tensor = tensor, .backward = backward};
    strcpy(w.layer, node->kind == NODE_MAXPOOL ? "maxpool" : "avgpool");
    return w;
}

static void watch(const struct network *n, struct watched w, const float *x, size_t count)
{
    watch_values(&w, x, count);
    n->watch(n->watch_ctx, &w);
}

static void watch_gradient_of(const struct network *n, int index, const char *tensor, const float *g)
{
    const struct tensor_info *info = &n->net.params[index];
    struct watched w = watched_layer(n, index, 1, tensor, true);
    w.wrong = !isfinite(n->engine.kernels->sum_squares(g, NULL, 0.0f, info->count));
    watch(n, w, g, info->count);
}

static size_t floats_of_output(const struct node *node, int rows)
{
    return (size_t)rows * (size_t)node->shape.ho * (size_t)node->shape.wo * (size_t)node->shape.k;
}

/* ---- Forward ---- */

static float *param(const struct network *n, int index)
{
    return n->params + n->net.params[index].offset;
}

/* Where backward writes the gradient of one of node's parameters. */
static float *grad(const struct network *n, const struct node *node, int index)
{
    size_t at = n->net.params[index].offset;
    return n->fresh ? n->fresh + (at - n->net.params[node->weight].offset) : n->grads + at;
}

static struct norm_params norm_params(const struct network *n, const struct node *node)
{
    return (struct norm_params){param(n, node->gain), param(n, node->gain + 1),
                                n->buffers + n->net.buffers[node->running].offset,
                                n->buffers + n->net.buffers[node->running + 1].offset};
}

/* pre as the norm of node i makes it, with the ReLU behind it. */
static struct conv_input through_norm(const struct network *n, int i, const float *pre, bool training)
{
    const struct node *node = &n->net.nodes[i];
    const struct node_memory *m = &n->memory[i];
    struct norm_params params = norm_params(n, node);
    return (struct conv_input){pre, training ? m->mean : params.running_mean, m->scale, params.bias, node->relu};
}

/* What the readers of node i read: its output, which is not stored where they can apply the norm themselves. */
static struct conv_input output_of(const struct network *n, int i, bool training)
{
    const struct node_memory *m = &n->memory[i];
    return m->out ? (struct conv_input){.x = m->out} : through_norm(n, i, m->pre, training);
}

/* The norm of node i, of whose output the sums are in norm_scratch if training. */
static void forward_norm(struct network *n, int i, const float *pre, int rows, bool training)
{
    const struct node *node = &n->net.nodes[i];
    struct node_memory *m = &n->memory[i];
    struct norm_params params = norm_params(n, node);
    struct slices slices = slices_of_node(node, rows);
    if (training)
        norm_statistics(&n->engine, m->mean, m->invstd, m->scale, &params, &slices, node->shape.k, n->norm_scratch);
    else
        norm_running_scale(m->scale, &params, node->shape.k);
    if (!m->out)
        return;
    struct conv_input input = through_norm(n, i, pre, training), residual;
    if (node->residual >= 0)
        residual = output_of(n, node->residual, training);
    norm_forward(&n->engine, m->out, &input, node->residual >= 0 ? &residual : NULL, &slices, node->shape.k);
}

static void forward_conv(struct network *n, int i, const struct conv_input *x, float *pre, int rows, bool training)
{
    const struct node *node = &n->net.nodes[i];
    struct conv_shape s = node->shape;
    s.n = rows;
    struct slices slices = slices_of_node(node, rows);
    struct conv_sums sums = norm_sums(&slices, s.k, n->norm_scratch);
    conv_forward(&n->engine, pre, node->norm && training ? &sums : NULL, x, param(n, node->weight), &s, n->scratch);
}

static void forward_linear(struct network *n, int i, const float *x, float *pre, int rows, bool training)
{
    const struct node *node = &n->net.nodes[i];
    int c = node->shape.c, k = node->shape.k;
    struct slices slices = slices_of_node(node, rows);
    linear_forward(&n->engine, pre, x, param(n, node->weight), param(n, node->bias), node->relu && !node->norm, rows, c, k, n->scratch);
    if (node->norm && training)
        norm_sum(&n->engine, pre, &slices, k, n->norm_scratch);
}

static void watch_forward(const struct network *n, int i, int rows)
{
    const struct node *node = &n->net.nodes[i];
    const struct node_memory *m = &n->memory[i];
    size_t count = floats_of_output(node, rows), k = (size_t)node->shape.k;
    if (node->norm) {
        struct watched normed = watched_layer(n, node->gain, 1, "output", false);
        struct conv_input input = through_norm(n, i, m->pre, true);
        struct norm_params params = norm_params(n, node);
        watch(n, watched_layer(n, node->weight, 1, "output", false), m->pre, count);
        watch(n, watched_layer(n, node->gain, 1, "running mean", false), params.running_mean, k);
        watch(n, watched_layer(n, node->gain, 1, "running variance", false), params.running_var, k);
        watch_input(&normed, &input, count / k, node->shape.k); /* a ReLU makes 0 of a NaN */
        n->watch(n->watch_ctx, &normed);
    }
    if (!node->norm || node->residual >= 0)
        watch(n, watched_node(n, i, "output", false), m->out, count);
}

static void forward_node(struct network *n, int i, const float *images, int rows, bool training)
{
    const struct node *node = &n->net.nodes[i];
    const struct conv_shape *s = &node->shape;
    struct node_memory *m = &n->memory[i];
    struct conv_input x = node->input >= 0 ? output_of(n, node->input, training) : (struct conv_input){.x = images};
    float *pre = m->pre ? m->pre : m->out;
    switch (node->kind) {
    case NODE_CONV:
        forward_conv(n, i, &x, pre, rows, training);
        break;
    case NODE_MAXPOOL:
        maxpool_forward(&n->engine, m->out, m->which, x.x, rows, s->h, s->w, s->c);
        break;
    case NODE_AVGPOOL:
        avgpool_forward(&n->engine, m->out, x.x, rows, s->h * s->w, s->c);
        break;
    case NODE_LINEAR:
        forward_linear(n, i, x.x, pre, rows, training);
        break;
    }
    if (node->norm)
        forward_norm(n, i, pre, rows, training);
}

void network_forward(struct network *network, const float *x, int rows, bool training, const float **h, const float **z)
{
    int last = z ? network->net.count - 1 : network->net.feature;
    for (int i = 0; i <= last; i++) {
        double began = clock_seconds();
        forward_node(network, i, x, rows, training);
        if (network->times)
            network->times[i].forward += clock_seconds() - began;
        if (network->watch && training)
            watch_forward(network, i, rows);
    }
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
    struct slices slices = slices_of_node(node, rows);
    struct conv_input input = through_norm(n, i, m->pre, true);
    norm_backward(&n->engine, m->grad, residual, m->add_to_residual, grad(n, node, node->gain), grad(n, node, node->gain + 1), m->grad,
                  residual ? m->out : NULL, &input, m->invstd, &slices, node->shape.k, n->norm_scratch);
}

struct addition {
    const struct kernels *kernels;
    float *sum;
    const float *fresh;
    size_t count;
};

static void add_part(void *ctx, size_t task, int thread)
{
    (void)thread;
    const struct addition *a = ctx;
    size_t begin = task * ADD_FLOATS, left = a->count - begin;
    a->kernels->add(a->sum + begin, a->fresh + begin, left < ADD_FLOATS ? left : ADD_FLOATS);
}

static void add_gradients(struct network *n, const struct node *node)
{
    size_t count = param_floats(n, node);
    if (!count)
        return;
    struct addition a = {n->engine.kernels, n->grads + n->net.params[node->weight].offset, n->fresh, count};
    par_for(n->engine.threads, (count + ADD_FLOATS - 1) / ADD_FLOATS, add_part, &a);
    for (int i = node->weight; n->watch && i <= last_param(node); i++)
        watch_gradient_of(n, i, "sum of gradients", n->grads + n->net.params[i].offset);
}

static void watch_through_norm(const struct network *n, int i, int rows)
{
    const struct node *node = &n->net.nodes[i];
    watch_gradient_of(n, node->gain, "weight gradient", grad(n, node, node->gain));
    watch_gradient_of(n, node->gain + 1, "bias gradient", grad(n, node, node->gain + 1));
    watch(n, watched_layer(n, node->weight, 1, "gradient", true), n->memory[i].grad, floats_of_output(node, rows));
}

static void backward_node(struct network *n, int i, const float *images, int rows)
{
    const struct node *node = &n->net.nodes[i];
    struct node_memory *m = &n->memory[i];
    struct conv_input x = node->input >= 0 ? output_of(n, node->input, true) : (struct conv_input){.x = images};
    float *dx = node->input >= 0 ? n->memory[node->input].grad : NULL;
    struct conv_shape s = node->shape;
    s.n = rows;
    if (n->watch)
        watch(n, watched_node(n, i, "gradient", true), m->grad, floats_of_output(node, rows));
    if (node->norm)
        backward_norm(n, i, rows);
    if (n->watch && node->norm)
        watch_through_norm(n, i, rows);
    switch (node->kind) {
    case NODE_CONV:
        conv_backward_weights(&n->engine, grad(n, node, node->weight), &x, m->grad, &s, n->scratch);
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
        linear_backward(&n->engine, dx, grad(n, node, node->weight), grad(n, node, node->bias), m->grad,
                        node->relu && !node->norm ? m->out : NULL, x.x, param(n, node->weight), rows, s.c, s.k, n->scratch);
        break;
    }
    if (n->watch && node->weight >= 0)
        watch_gradient_of(n, node->weight, "weight gradient", grad(n, node, node->weight));
    if (n->watch && node->bias >= 0)
        watch_gradient_of(n, node->bias, "bias gradient", grad(n, node, node->bias));
    if (n->fresh)
        add_gradients(n, node);
}

void network_backward(struct network *network, const float *x, const float *dz, int rows)
{
    int last = network->net.count - 1;
    memcpy(network->memory[last].grad, dz, (size_t)rows * (size_t)network->net.nodes[last].shape.k * sizeof *dz);
    for (int i = last; i >= 0; i--) {
        double began = clock_seconds();
        backward_node(network, i, x, rows);
        if (network->times)
            network->times[i].backward += clock_seconds() - began;
    }
}

void network_backward_add(struct network *network, const float *x, const float *dz, int rows, float *scratch)
{
    network->fresh = scratch;
    network_backward(network, x, dz, rows);
    network->fresh = NULL;
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
