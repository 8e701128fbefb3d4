/* The network against its own layers called one after the other with every tensor in memory of its own: nothing that the plan
 * shares and nothing that a layer reads through the norm before it may change a bit. */
#include "base/arena.h"
#include "nn/linear.h"
#include "nn/network.h"
#include "nn/norm.h"
#include "nn/pool.h"
#include "nn/resnet.h"
#include "simd/kernels.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

struct tensors {
    float *pre, *out, *grad, *masked; /* (rows, ho, wo, k) */
    float *mean, *invstd, *scale;     /* (k) */
    uint8_t *which;
    bool written; /* grad */
};

struct by_hand {
    struct engine engine;
    struct resnet net;
    int rows;
    const float *images;
    float *params, *grads, *buffers;
    struct tensors of[RESNET_MAX_NODES];
};

static size_t elements(const struct node *node, int rows) { return (size_t)rows * node->shape.ho * node->shape.wo * node->shape.k; }

static struct by_hand *make_by_hand(const struct network_config *config, struct network *like, int rows, const float *images)
{
    struct by_hand *h = calloc(1, sizeof *h);
    struct simclr_error err;
    const struct kernels *isas[8];
    h->engine = (struct engine){.kernels = isas[test_isas(isas) - 1], .threads = 2};
    cr_assert_eq(resnet_build(&h->net, config, &err), SIMCLR_OK, "%s", err.text);
    h->rows = rows;
    h->images = images;
    size_t count, buffers;
    const float *params = network_params(like, &count), *running = network_buffers(like, &buffers);
    h->params = alloc_aligned(count, sizeof(float));
    h->grads = alloc_aligned(count, sizeof(float));
    h->buffers = alloc_aligned(buffers, sizeof(float));
    memcpy(h->params, params, count * sizeof(float));
    memcpy(h->buffers, running, buffers * sizeof(float));
    for (int i = 0; i < h->net.count; i++) {
        struct tensors *t = &h->of[i];
        size_t size = elements(&h->net.nodes[i], rows), k = h->net.nodes[i].shape.k;
        float **tensors[] = {&t->pre, &t->out, &t->grad, &t->masked}, **channels[] = {&t->mean, &t->invstd, &t->scale};
        for (int j = 0; j < 4; j++)
            *tensors[j] = alloc_aligned(size, sizeof(float));
        for (int j = 0; j < 3; j++)
            *channels[j] = alloc_aligned(k, sizeof(float));
        t->which = alloc_aligned(size, 1);
    }
    return h;
}

static void free_by_hand(struct by_hand *h)
{
    for (int i = 0; i < h->net.count; i++) {
        struct tensors *t = &h->of[i];
        free(t->pre), free(t->out), free(t->grad), free(t->masked), free(t->mean), free(t->invstd), free(t->scale), free(t->which);
    }
    free(h->params), free(h->grads), free(h->buffers);
    free(h);
}

static float *param(const struct by_hand *h, int index) { return h->params + h->net.params[index].offset; }
static float *grad(const struct by_hand *h, int index) { return h->grads + h->net.params[index].offset; }

static void *layer_scratch(const struct by_hand *h, const struct node *node)
{
    struct conv_shape s = node->shape;
    s.n = h->rows;
    return alloc_aligned(node->kind == NODE_LINEAR ? linear_scratch(&h->engine, s.n, s.c, s.k)
                         : node->kind == NODE_CONV ? conv_scratch(&h->engine, &s) : 0, 1);
}

static void norm_by_hand(struct by_hand *h, int i, bool training)
{
    const struct node *node = &h->net.nodes[i];
    struct tensors *t = &h->of[i];
    int k = node->shape.k;
    struct norm_params params = {param(h, node->gain), param(h, node->gain + 1), h->buffers + h->net.buffers[node->running].offset,
                                 h->buffers + h->net.buffers[node->running + 1].offset};
    struct slices slices = slices_of(h->rows, node->shape.ho, node->shape.wo);
    void *scratch = alloc_aligned(norm_scratch(&slices, k), 1);
    norm_sum(&h->engine, t->pre, &slices, k, scratch);
    if (training)
        norm_statistics(&h->engine, t->mean, t->invstd, t->scale, &params, &slices, k, scratch);
    else
        norm_running_scale(t->scale, &params, k);
    h->engine.kernels->norm_apply(t->out, t->pre, node->residual >= 0 ? h->of[node->residual].out : NULL,
                                  training ? t->mean : params.running_mean, t->scale, params.bias, node->relu,
                                  elements(node, h->rows) / k, k);
    free(scratch);
}

static void forward_by_hand(struct by_hand *h, bool training)
{
    for (int i = 0; i < h->net.count; i++) {
        const struct node *node = &h->net.nodes[i];
        struct tensors *t = &h->of[i];
        const float *x = node->input >= 0 ? h->of[node->input].out : h->images;
        struct conv_shape s = node->shape;
        s.n = h->rows;
        float *y = node->norm ? t->pre : t->out;
        void *scratch = layer_scratch(h, node);
        if (node->kind == NODE_CONV)
            conv_forward(&h->engine, y, NULL, &(struct conv_input){.x = x}, param(h, node->weight), &s, scratch);
        else if (node->kind == NODE_MAXPOOL)
            maxpool_forward(&h->engine, y, t->which, x, s.n, s.h, s.w, s.c);
        else if (node->kind == NODE_AVGPOOL)
            avgpool_forward(&h->engine, y, x, s.n, s.h * s.w, s.c);
        else
            linear_forward(&h->engine, y, x, param(h, node->weight), param(h, node->bias), node->relu && !node->norm, s.n, s.c, s.k, scratch);
        if (node->norm)
            norm_by_hand(h, i, training);
        free(scratch);
    }
}

/* grad of a node += or = dx */
static void send(struct by_hand *h, int node, const float *dx)
{
    struct tensors *t = &h->of[node];
    size_t count = elements(&h->net.nodes[node], h->rows);
    if (t->written)
        h->engine.kernels->add(t->grad, dx, count);
    else
        memcpy(t->grad, dx, count * sizeof *dx);
    t->written = true;
}

/* The ReLU is undone by itself, and the norm's backward then knows of none. */
static void norm_backward_by_hand(struct by_hand *h, int i)
{
    const struct node *node = &h->net.nodes[i];
    struct tensors *t = &h->of[i];
    int k = node->shape.k;
    size_t count = elements(node, h->rows);
    if (node->relu)
        h->engine.kernels->relu_backward(t->masked, t->grad, t->out, count);
    else
        memcpy(t->masked, t->grad, count * sizeof(float));
    if (node->residual >= 0)
        send(h, node->residual, t->masked);
    struct slices slices = slices_of(h->rows, node->shape.ho, node->shape.wo);
    void *scratch = alloc_aligned(norm_scratch(&slices, k), 1);
    struct conv_input input = {t->pre, t->mean, t->scale, param(h, node->gain + 1), false};
    norm_backward(&h->engine, t->grad, NULL, false, grad(h, node->gain), grad(h, node->gain + 1), t->masked, NULL, &input, t->invstd,
                  &slices, k, scratch);
    free(scratch);
}

static void backward_by_hand(struct by_hand *h, const float *dz)
{
    send(h, h->net.count - 1, dz);
    for (int i = h->net.count - 1; i >= 0; i--) {
        const struct node *node = &h->net.nodes[i];
        struct tensors *t = &h->of[i];
        const float *x = node->input >= 0 ? h->of[node->input].out : h->images;
        struct conv_shape s = node->shape;
        s.n = h->rows;
        float *dx = node->input >= 0 ? alloc_aligned((size_t)s.n * s.h * s.w * s.c, sizeof *dx) : NULL;
        void *scratch = layer_scratch(h, node);
        if (node->norm)
            norm_backward_by_hand(h, i);
        if (node->kind == NODE_CONV) {
            conv_backward_weights(&h->engine, grad(h, node->weight), &(struct conv_input){.x = x}, t->grad, &s, scratch);
            /* The sum's order is in the layer: it adds to what is there. */
            if (dx && h->of[node->input].written)
                conv_backward_data(&h->engine, h->of[node->input].grad, true, t->grad, param(h, node->weight), &s, scratch);
            else if (dx)
                conv_backward_data(&h->engine, dx, false, t->grad, param(h, node->weight), &s, scratch);
        } else if (node->kind == NODE_MAXPOOL)
            maxpool_backward(&h->engine, dx, t->grad, t->which, s.n, s.h, s.w, s.c);
        else if (node->kind == NODE_AVGPOOL)
            avgpool_backward(&h->engine, dx, t->grad, s.n, s.h * s.w, s.c);
        else
            linear_backward(&h->engine, dx, grad(h, node->weight), grad(h, node->bias), t->grad, node->relu && !node->norm ? t->out : NULL, x,
                            param(h, node->weight), s.n, s.c, s.k, scratch);
        if (dx && !(node->kind == NODE_CONV && h->of[node->input].written))
            send(h, node->input, dx);
        free(dx), free(scratch);
    }
}

static void expect_passes_by_hand(const struct network_config *config, int rows, const char *label)
{
    struct network *network;
    struct simclr_error err;
    const struct kernels *isas[8];
    struct engine engine = {.kernels = isas[test_isas(isas) - 1], .threads = 3};
    cr_assert_eq(network_create(&network, config, &engine, rows + 1, true, &err), SIMCLR_OK, "%s", err.text);
    size_t pixels = (size_t)rows * config->image_size * config->image_size * config->channels, outputs = (size_t)rows * config->out_dim;
    size_t params, buffers;
    float *images = alloc_aligned(pixels, sizeof *images), *dz = alloc_aligned(outputs, sizeof *dz);
    fill_random(images, pixels, 1);
    fill_random(dz, outputs, 2);
    struct by_hand *hand = make_by_hand(config, network, rows, images);
    const float *h, *z, *hand_h = hand->of[hand->net.feature].out, *hand_z = hand->of[hand->net.count - 1].out;
    size_t features = (size_t)rows * network_feature_dim(network);

    network_forward(network, images, rows, true, &h, &z);
    forward_by_hand(hand, true);
    expect_same_bits(hand_h, h, features, "%s: h", label);
    expect_same_bits(hand_z, z, outputs, "%s: z", label);
    expect_same_bits(hand->buffers, network_buffers(network, &buffers), hand->net.buffer_floats, "%s: running statistics", label);
    network_backward(network, images, dz, rows);
    backward_by_hand(hand, dz);
    network_params(network, &params);
    expect_same_bits(hand->grads, network_grads(network), params, "%s: gradients", label);
    network_forward(network, images, rows, false, &h, &z);
    forward_by_hand(hand, false);
    expect_same_bits(hand_h, h, features, "%s: h without training", label);
    expect_same_bits(hand_z, z, outputs, "%s: z without training", label);
    free_by_hand(hand);
    free(images), free(dz);
    network_free(network);
}

Test(network_by_hand, layers_one_by_one_give_the_same_bits)
{
    struct network_config config = {.depth = 18, .width = 0.25, .stem = STEM_CIFAR, .channels = 3, .image_size = 16, .head_layers = 3,
                                    .head_norm = true, .out_dim = 32, .seed = 3};
    expect_passes_by_hand(&config, 5, "ResNet-18");
    config.head_norm = false;
    config.stem = STEM_IMAGENET;
    config.image_size = 48;
    config.channels = 1;
    expect_passes_by_hand(&config, 3, "ResNet-18 with a stem for large images");
    config.depth = 50;
    config.width = 0.125;
    expect_passes_by_hand(&config, 2, "ResNet-50");
}
