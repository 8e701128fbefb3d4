/* He et al., "Deep residual learning for image recognition", 2016, as torchvision defines it (v1.5: a bottleneck strides in its
 * 3x3 convolution), and SimCLR's projection head as an nn.Sequential named "head". */
#include "nn/resnet.h"

#include "base/status.h"

#include <stdio.h>
#include <string.h>

enum { TENSOR_ALIGN = 16, MAX_IMAGE_SIZE = 8192, MAX_OUT_DIM = 65536 };

struct architecture {
    int depth;
    bool bottleneck;
    int blocks[4];
};

static const struct architecture architectures[] = {
    {18, false, {2, 2, 2, 2}}, {34, false, {3, 4, 6, 3}}, {50, true, {3, 4, 6, 3}},
    {101, true, {3, 4, 23, 3}}, {152, true, {3, 8, 36, 3}},
};

static const struct architecture *find_architecture(int depth)
{
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (architectures[i].depth == depth)
            return &architectures[i];
    return NULL;
}

/* ---- Tensors ---- */

static void append_tensor(struct tensor_info *list, size_t *count, size_t *floats, enum tensor_role role, const char *module,
                          const char *name, int ndim, const int dims[4])
{
    struct tensor_info *t = &list[(*count)++];
    *t = (struct tensor_info){.role = role, .ndim = ndim, .offset = *floats, .count = 1};
    snprintf(t->name, sizeof t->name, "%s.%s", module, name);
    for (int i = 0; i < ndim; i++) {
        t->dims[i] = dims[i];
        t->count *= (size_t)dims[i];
    }
    *floats += (t->count + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
}

static int add_param(struct resnet *net, enum tensor_role role, const char *module, const char *name, int ndim, const int dims[4])
{
    append_tensor(net->params, &net->param_count, &net->param_floats, role, module, name, ndim, dims);
    return (int)net->param_count - 1;
}

static int add_buffer(struct resnet *net, enum tensor_role role, const char *module, const char *name, int c)
{
    append_tensor(net->buffers, &net->buffer_count, &net->buffer_floats, role, module, name, 1, (const int[4]){c});
    return (int)net->buffer_count - 1;
}

static void add_norm(struct resnet *net, struct node *node, const char *module)
{
    int c = node->shape.k;
    node->norm = true;
    node->gain = add_param(net, ROLE_NORM_GAIN, module, "weight", 1, (const int[4]){c});
    add_param(net, ROLE_NORM_BIAS, module, "bias", 1, (const int[4]){c});
    node->running = add_buffer(net, ROLE_RUNNING_MEAN, module, "running_mean", c);
    add_buffer(net, ROLE_RUNNING_VAR, module, "running_var", c);
}

/* ---- Nodes. Tensors are named when a node is made, in torchvision's order; a node runs where it is pushed. ---- */

static struct node make_node(enum node_kind kind, struct conv_shape shape)
{
    return (struct node){.kind = kind, .input = -1, .residual = -1, .shape = shape, .weight = -1, .bias = -1, .gain = -1, .running = -1};
}

static int push_node(struct resnet *net, struct node node, int input)
{
    node.input = input;
    net->nodes[net->count] = node;
    return net->count++;
}

static struct node make_conv(struct resnet *net, const char *conv_name, const char *norm_name, struct conv_shape shape)
{
    struct node node = make_node(NODE_CONV, shape);
    node.weight = add_param(net, ROLE_CONV, conv_name, "weight", 4, (const int[4]){shape.k, shape.c, shape.r, shape.r});
    node.relu = true;
    add_norm(net, &node, norm_name);
    return node;
}

static struct conv_shape shape_after(const struct conv_shape *in, int k, int r, int stride)
{
    return conv_shape(1, in->ho, in->wo, in->k, k, r, stride, r / 2);
}

/* name is "layer1.0"; returns the block's last node. */
static int add_block(struct resnet *net, const char *name, int input, int planes, int stride, bool bottleneck)
{
    const struct { int k, r, stride; } basic[2] = {{planes, 3, stride}, {planes, 3, 1}},
        deep[3] = {{planes, 1, 1}, {planes, 3, stride}, {4 * planes, 1, 1}};
    int count = bottleneck ? 3 : 2;
    char conv_name[48], norm_name[48];
    struct conv_shape in = net->nodes[input].shape, shape = in;
    struct node nodes[3];
    for (int i = 0; i < count; i++) {
        shape = bottleneck ? shape_after(&shape, deep[i].k, deep[i].r, deep[i].stride)
                           : shape_after(&shape, basic[i].k, basic[i].r, basic[i].stride);
        snprintf(conv_name, sizeof conv_name, "%s.conv%d", name, i + 1);
        snprintf(norm_name, sizeof norm_name, "%s.bn%d", name, i + 1);
        nodes[i] = make_conv(net, conv_name, norm_name, shape);
    }

    /* The downsample runs first: for backward its output's gradient, smaller than its input's, is then what waits. */
    int residual = input;
    if (stride != 1 || in.k != shape.k) {
        snprintf(conv_name, sizeof conv_name, "%s.downsample.0", name);
        snprintf(norm_name, sizeof norm_name, "%s.downsample.1", name);
        struct node down = make_conv(net, conv_name, norm_name, shape_after(&in, shape.k, 1, stride));
        down.relu = false;
        residual = push_node(net, down, input);
    }
    nodes[count - 1].residual = residual;
    int last = input;
    for (int i = 0; i < count; i++)
        last = push_node(net, nodes[i], last);
    return last;
}

static int add_stem(struct resnet *net, const struct network_config *config, int planes)
{
    int size = config->image_size;
    if (config->stem == STEM_CIFAR)
        return push_node(net, make_conv(net, "conv1", "bn1", conv_shape(1, size, size, config->channels, planes, 3, 1, 1)), -1);
    int conv = push_node(net, make_conv(net, "conv1", "bn1", conv_shape(1, size, size, config->channels, planes, 7, 2, 3)), -1);
    return push_node(net, make_node(NODE_MAXPOOL, shape_after(&net->nodes[conv].shape, planes, 3, 2)), conv);
}

/* Linear (norm? ReLU Linear)*, numbered as nn.Sequential numbers them; or a classifier. */
static void add_head(struct resnet *net, const struct network_config *config)
{
    int position = 0, last = net->feature, in = net->nodes[last].shape.k, layers = config->classifier ? 1 : config->head_layers;
    char module[32];
    for (int layer = 0; layer < layers; layer++) {
        bool hidden = layer + 1 < layers;
        int out = hidden ? in : config->out_dim;
        struct node node = make_node(NODE_LINEAR, conv_shape(1, 1, 1, in, out, 1, 1, 0));
        snprintf(module, sizeof module, config->classifier ? "fc" : "head.%d", position++);
        node.weight = add_param(net, ROLE_LINEAR, module, "weight", 2, (const int[4]){out, in});
        node.bias = add_param(net, ROLE_BIAS, module, "bias", 1, (const int[4]){out});
        node.relu = hidden;
        if (hidden && config->head_norm) {
            snprintf(module, sizeof module, "head.%d", position++);
            add_norm(net, &node, module);
        }
        position++; /* the ReLU */
        last = push_node(net, node, last);
    }
}

/* ---- The whole ---- */

static enum simclr_status check_config(const struct network_config *c, struct simclr_error *err)
{
    if (!find_architecture(c->depth))
        return fail(err, SIMCLR_ERR_USAGE, "there is no ResNet-%d; the depth is one of 18, 34, 50, 101 and 152", c->depth);
    if (!(c->width <= 4) || !(c->width * 64 >= 1))
        return fail(err, SIMCLR_ERR_USAGE, "width %g leaves no channel or more than 4 times ResNet's; choose one from 0.25 to 4",
                    c->width);
    if (c->stem != STEM_IMAGENET && c->stem != STEM_CIFAR)
        return fail(err, SIMCLR_ERR_USAGE, "stem %d is unknown; choose imagenet or cifar", (int)c->stem);
    if (c->channels != 1 && c->channels != 3)
        return fail(err, SIMCLR_ERR_USAGE, "images of %d channels are not supported; use 1 (grey) or 3 (colour)", c->channels);
    /* Smaller than the stem's and stages' total stride, and the last stage would look at padding only. */
    int smallest = c->stem == STEM_CIFAR ? 8 : 32;
    if (c->image_size < smallest || c->image_size > MAX_IMAGE_SIZE)
        return fail(err, SIMCLR_ERR_USAGE, "image size %d does not suit the %s stem; choose one from %d to %d%s", c->image_size,
                    c->stem == STEM_CIFAR ? "cifar" : "imagenet", smallest, MAX_IMAGE_SIZE,
                    c->image_size >= 8 && c->image_size < smallest ? ", or the cifar stem" : "");
    if (c->head_layers < 1 || c->head_layers > RESNET_MAX_HEAD)
        return fail(err, SIMCLR_ERR_USAGE, "a projection head of %d layers is not supported; choose 1 to %d", c->head_layers,
                    RESNET_MAX_HEAD);
    if (c->out_dim < 1 || c->out_dim > MAX_OUT_DIM)
        return fail(err, SIMCLR_ERR_USAGE, "a projection of %d dimensions is not supported; choose 1 to %d (128 is usual)",
                    c->out_dim, MAX_OUT_DIM);
    return SIMCLR_OK;
}

enum simclr_status resnet_build(struct resnet *net, const struct network_config *config, struct simclr_error *err)
{
    enum simclr_status status = check_config(config, err);
    if (status)
        return status;
    *net = (struct resnet){0};
    const struct architecture *arch = find_architecture(config->depth);
    int last = add_stem(net, config, (int)(64 * config->width));
    for (int stage = 0; stage < 4; stage++)
        for (int block = 0; block < arch->blocks[stage]; block++) {
            char name[32];
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, block);
            int planes = (int)(64 * config->width * (1 << stage));
            last = add_block(net, name, last, planes, stage && !block ? 2 : 1, arch->bottleneck);
            net->nodes[last].zero_gain = config->zero_init;
        }
    struct conv_shape pool = net->nodes[last].shape;
    pool = (struct conv_shape){.n = 1, .h = pool.ho, .w = pool.wo, .c = pool.k, .k = pool.k, .ho = 1, .wo = 1};
    net->feature = push_node(net, make_node(NODE_AVGPOOL, pool), last);
    add_head(net, config);
    return SIMCLR_OK;
}

struct layer_name resnet_layer(const struct resnet *net, int param, int ends)
{
    struct layer_name name;
    strcpy(name.text, net->params[param].name);
    for (char *end; ends > 0 && (end = strrchr(name.text, '.')); ends--)
        *end = 0;
    return name;
}

double resnet_flop(const struct node *node)
{
    const struct conv_shape *s = &node->shape;
    if (node->kind != NODE_CONV && node->kind != NODE_LINEAR)
        return 0;
    return 2.0 * s->r * s->r * s->c * s->k * s->ho * s->wo;
}

double resnet_step_flop(const struct node *node)
{
    return 2 * resnet_flop(node) * (node->input < 0 ? 2 : 3);
}

double resnet_image_flop(const struct resnet *net)
{
    double sum = 0;
    for (int i = 0; i < net->count; i++)
        sum += resnet_step_flop(&net->nodes[i]);
    return sum;
}
