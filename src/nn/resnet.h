/* A ResNet and its projection head as a static list of nodes in execution order, with named tensors in torchvision's order.
 * Shapes only: nothing here knows how many images a pass has, or where anything lies in memory. */
#ifndef NN_RESNET_H
#define NN_RESNET_H

#include "nn/conv.h"
#include "nn/network.h"

enum node_kind {
    NODE_CONV,    /* conv, norm, + residual?, ReLU? */
    NODE_MAXPOOL, /* 3x3, stride 2, padding 1 */
    NODE_AVGPOOL, /* over all pixels */
    NODE_LINEAR,  /* linear + bias, norm?, ReLU? */
};

struct node {
    enum node_kind kind;
    int input;               /* the node whose output is read; -1: the images */
    int residual;            /* the node whose output is added before the ReLU; -1: none */
    bool norm, relu;
    bool zero_gain;          /* the norm's gain starts at 0 (Goyal et al. 2017) */
    struct conv_shape shape; /* for one image (n = 1), input (h, w, c) -> output (ho, wo, k); only NODE_CONV uses r, stride, pad */
    int weight, bias;        /* in params; -1: none */
    int gain;                /* in params, followed by the norm's bias; -1: none */
    int running;             /* in buffers: running mean, followed by the variance; -1: none */
};

/* What ResNet-152 with the largest head needs: 3 * 50 convolutions in blocks, the stem's, 4 downsamples. */
enum {
    RESNET_MAX_CONVS = 3 * (3 + 8 + 36 + 3) + 1 + 4,
    RESNET_MAX_HEAD = 3,
    RESNET_MAX_NODES = RESNET_MAX_CONVS + 2 + RESNET_MAX_HEAD,
    RESNET_MAX_PARAMS = 3 * RESNET_MAX_CONVS + 4 * RESNET_MAX_HEAD,
    RESNET_MAX_BUFFERS = 2 * (RESNET_MAX_CONVS + RESNET_MAX_HEAD),
};

struct resnet {
    struct node nodes[RESNET_MAX_NODES];
    int count;
    int feature; /* the node whose output is h; the last node's is z */
    /* Every tensor begins at a multiple of 16 floats; the gaps stay 0. */
    struct tensor_info params[RESNET_MAX_PARAMS], buffers[RESNET_MAX_BUFFERS];
    size_t param_count, buffer_count;   /* tensors */
    size_t param_floats, buffer_floats; /* with gaps */
};

/* SIMCLR_ERR_USAGE for a configuration that makes no network. */
enum simclr_status resnet_build(struct resnet *net, const struct network_config *config, struct simclr_error *err);

/* Parameters as network.h says, and running statistics (0, 1). Each tensor has its own random stream and is drawn in torch's
 * element order, so values depend neither on the memory layout nor on threads. */
void resnet_init(float *params, float *buffers, const struct resnet *net, const struct engine *engine, uint64_t seed);

/* The layer that a parameter belongs to: "layer1.0.bn2" of "layer1.0.bn2.weight"; ends 2: its block, "layer1.0". */
struct layer_name {
    char text[sizeof((struct tensor_info *)0)->name];
};
struct layer_name resnet_layer(const struct resnet *net, int param, int ends);

/* Floating-point operations of a convolution's or linear layer's direct algorithm: of one view forward; and of an image in a step, which is
 * two views forward and backward by data and by weights, but the first layer's data. */
double resnet_flop(const struct node *node);
double resnet_step_flop(const struct node *node);
double resnet_image_flop(const struct resnet *net); /* the latter of all nodes */

#endif
