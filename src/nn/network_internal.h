/* A network inside: what network_create.c, which makes it, and network.c, its passes, share. */
#ifndef NN_NETWORK_INTERNAL_H
#define NN_NETWORK_INTERNAL_H

#include "base/arena.h"
#include "nn/network.h"
#include "nn/plan.h"
#include "nn/resnet.h"
#include "nn/slices.h"

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

static inline struct slices slices_of_node(const struct node *node, int rows)
{
    return slices_of(rows, node->shape.ho, node->shape.wo);
}

/* The last of the parameters of a node that has any: they lie one behind the other, from its weight on. */
static inline int last_param(const struct node *node)
{
    return node->norm ? node->gain + 1 : node->bias;
}

/* With the gaps between them. */
static inline size_t param_floats(const struct network *n, const struct node *node)
{
    if (node->weight < 0)
        return 0;
    const struct tensor_info *first = &n->net.params[node->weight], *last = &n->net.params[last_param(node)];
    return last->offset + last->count - first->offset;
}

#endif
