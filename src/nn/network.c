/* The passes of a network. */
#include "nn/network_internal.h"

#include "base/clock.h"
#include "base/par.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/pool.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ADD_FLOATS = 16 * 1024 };

/* ---- Watching ---- */

void network_watch(struct network *network, watch_fn *watch, void *ctx)
{
    network->watch = watch;
    network->watch_ctx = ctx;
}

static struct watched watched_layer(const struct network *n, int param, int ends, const char *tensor, bool backward)
{
    struct watched w = {.tensor = tensor, .backward = backward};
    strcpy(w.layer, resnet_layer(&n->net, param, ends).text);
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
