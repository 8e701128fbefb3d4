/* The network's nodes as ONNX operators, in the same order. */
#include "train/export.h"

#include "base/status.h"
#include "io/onnx.h"
#include "nn/resnet.h"
#include "train/tensor_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPSET = 13, MOST_OPERATORS = 4 /* of a node: convolution, norm, sum, ReLU */ };

#define INPUT "images"
#define FEATURE "h"
#define PROJECTION "z"

struct graph {
    const struct resnet *net;
    int count; /* of net's nodes: all, or up to the feature */
    struct onnx_node *operators;
    size_t operator_count;
    const char *values[RESNET_MAX_NODES]; /* the name of each node's output */
    struct onnx_tensor *tensors;
    size_t tensor_count;
    float *data; /* of the tensors, in torch's layouts */
};

/* ---- Operators ---- */

/* Its output is called module + suffix. */
static struct onnx_node *add_operator(struct graph *g, const char *op, const char *module, const char *suffix, const char *input)
{
    struct onnx_node *node = &g->operators[g->operator_count++];
    *node = (struct onnx_node){.op = op, .input_count = 1};
    snprintf(node->output, ONNX_NAME, "%s%s", module, suffix);
    snprintf(node->inputs[0], ONNX_NAME, "%s", input);
    return node;
}

static void add_input(struct onnx_node *node, const char *name)
{
    snprintf(node->inputs[node->input_count++], ONNX_NAME, "%s", name);
}

static void set_int(struct onnx_node *node, const char *name, int64_t value)
{
    node->attributes[node->attribute_count++] = (struct onnx_attribute){.name = name, .ints = {value}};
}

/* Of a square window. */
static void set_window(struct onnx_node *node, int side, int stride, int pad)
{
    node->attributes[node->attribute_count++] = (struct onnx_attribute){.name = "kernel_shape", .count = 2, .ints = {side, side}};
    node->attributes[node->attribute_count++] = (struct onnx_attribute){.name = "strides", .count = 2, .ints = {stride, stride}};
    node->attributes[node->attribute_count++] = (struct onnx_attribute){.name = "pads", .count = 4, .ints = {pad, pad, pad, pad}};
}

/* What may follow a convolution or a linear layer; returns the name of the last output. */
static const char *add_norm_sum_relu(struct graph *g, const struct node *node, struct layer_name module, const char *value)
{
    const struct resnet *net = g->net;
    if (node->norm) {
        module = resnet_layer(g->net, node->gain, 1);
        struct onnx_node *norm = add_operator(g, "BatchNormalization", module.text, "", value); /* its default epsilon, 1e-5, is ours */
        add_input(norm, net->params[node->gain].name);
        add_input(norm, net->params[node->gain + 1].name);
        add_input(norm, net->buffers[node->running].name);
        add_input(norm, net->buffers[node->running + 1].name);
        value = norm->output;
    }
    if (node->residual >= 0) {
        struct onnx_node *sum = add_operator(g, "Add", module.text, ".add", value);
        add_input(sum, g->values[node->residual]);
        value = sum->output;
    }
    return node->relu ? add_operator(g, "Relu", module.text, ".relu", value)->output : value;
}

static const char *add_conv(struct graph *g, const struct node *node, const char *input)
{
    struct layer_name module = resnet_layer(g->net, node->weight, 1);
    struct onnx_node *conv = add_operator(g, "Conv", module.text, "", input);
    add_input(conv, g->net->params[node->weight].name);
    set_window(conv, node->shape.r, node->shape.stride, node->shape.pad);
    return add_norm_sum_relu(g, node, module, conv->output);
}

static const char *add_linear(struct graph *g, const struct node *node, bool last, const char *input)
{
    struct layer_name module = resnet_layer(g->net, node->weight, 1);
    struct onnx_node *linear = add_operator(g, "Gemm", last ? PROJECTION : module.text, "", input);
    add_input(linear, g->net->params[node->weight].name);
    add_input(linear, g->net->params[node->bias].name);
    set_int(linear, "transB", 1); /* the weight is (out, in) */
    return add_norm_sum_relu(g, node, module, linear->output);
}

static void add_node(struct graph *g, int index)
{
    const struct node *node = &g->net->nodes[index];
    const char *input = node->input >= 0 ? g->values[node->input] : INPUT;
    struct onnx_node *operator;
    switch (node->kind) {
    case NODE_CONV:
        g->values[index] = add_conv(g, node, input);
        break;
    case NODE_MAXPOOL:
        operator = add_operator(g, "MaxPool", "maxpool", "", input);
        set_window(operator, 3, 2, 1);
        g->values[index] = operator->output;
        break;
    case NODE_AVGPOOL:
        operator = add_operator(g, "GlobalAveragePool", "avgpool", "", input);
        operator = add_operator(g, "Flatten", FEATURE, "", operator->output);
        set_int(operator, "axis", 1);
        g->values[index] = operator->output;
        break;
    case NODE_LINEAR:
        g->values[index] = add_linear(g, node, index == g->net->count - 1, input);
        break;
    }
}

/* ---- The model ---- */

static size_t count_floats(const struct tensor_group groups[2])
{
    size_t floats = 1;
    for (int g = 0; g < 2; g++)
        for (size_t i = 0; i < groups[g].count; i++)
            floats += groups[g].list[i].count;
    return floats;
}

/* Those of the file that the operators read: what counts batches is for training. */
static void list_tensors(struct graph *g, const struct tensor_entries *entries)
{
    size_t used = 0;
    for (size_t i = 0; i < entries->count; i++) {
        const struct safetensors_entry *e = &entries->entries[i];
        if (!entries->tensors[i])
            continue;
        struct onnx_tensor *t = &g->tensors[g->tensor_count++];
        *t = (struct onnx_tensor){.name = e->name, .ndim = e->ndim, .data = g->data + used};
        tensor_export(entries->tensors[i], g->data + used, e->data);
        used += entries->tensors[i]->count;
        for (int d = 0; d < e->ndim; d++)
            t->dims[d] = (int64_t)e->dims[d];
    }
}

static struct onnx_value rows_of(const char *name, const char *doc, int columns)
{
    return (struct onnx_value){.name = name, .doc = doc, .ndim = 2, .dims = {{"N", 0}, {NULL, columns}}};
}

static enum simclr_status write_model(const char *path, const struct graph *g, const struct network_config *config, bool head,
                                      struct simclr_error *err)
{
    char name[16], input[EXPORT_INPUT_TEXT];
    snprintf(name, sizeof name, "resnet%d", config->depth);
    export_input_text(input, sizeof input, config);
    const struct onnx_value outputs[] = {
        rows_of(FEATURE, "features: the encoder's output", g->net->nodes[g->net->feature].shape.k),
        rows_of(PROJECTION, "the projection head's output, not normalised", config->out_dim)};
    const struct onnx_model model = {
        .name = name, .doc = "an image encoder trained by SimCLR, without labels", .opset = OPSET, .nodes = g->operators,
        .node_count = g->operator_count, .tensors = g->tensors, .tensor_count = g->tensor_count,
        .input = {.name = INPUT, .doc = input, .ndim = 4, .dims = {{"N", 0}, {NULL, config->channels}, {"H", 0}, {"W", 0}}},
        .outputs = outputs, .output_count = head ? 2 : 1};
    return onnx_write(path, &model, err);
}

enum simclr_status export_onnx(const char *path, struct encoder *encoder, bool head, struct simclr_error *err)
{
    struct tensor_group groups[2];
    struct tensor_entries entries;
    struct resnet *net = malloc(sizeof *net);
    if (!net)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path);
    enum simclr_status status = resnet_build(net, &encoder->config.network, err);
    if (status == SIMCLR_OK) {
        network_groups(groups, encoder->network, head);
        status = tensor_entries_make(&entries, groups, 2, encoder->batches, path, err);
    }
    if (status == SIMCLR_OK) {
        struct graph g = {.net = net, .count = head ? net->count : net->feature + 1};
        g.operators = calloc((size_t)g.count * MOST_OPERATORS, sizeof *g.operators);
        g.tensors = calloc(entries.count, sizeof *g.tensors);
        g.data = malloc(count_floats(groups) * sizeof *g.data);
        if (g.operators && g.tensors && g.data) {
            list_tensors(&g, &entries);
            for (int i = 0; i < g.count; i++)
                add_node(&g, i);
            status = write_model(path, &g, &encoder->config.network, head, err);
        } else
            status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path);
        free(g.operators);
        free(g.tensors);
        free(g.data);
        tensor_entries_free(&entries);
    }
    free(net);
    return status;
}
