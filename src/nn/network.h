/* The model: a ResNet encoder and its projection head as one static list of nodes over planned memory. */
#ifndef NN_NETWORK_H
#define NN_NETWORK_H

#include "base/engine.h"
#include "nn/watch.h"
#include "simclr/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 7x7 stride 2 + max pool; 3x3 stride 1; AUTO is for settings only and resolved before a network is made. */
enum stem { STEM_AUTO = -1, STEM_IMAGENET, STEM_CIFAR };

struct network_config {
    int depth;        /* 18, 34, 50, 101, 152: torchvision's ResNets (v1.5) */
    double width;     /* multiplies every width: stage s has 64 * width * 2^s planes, rounded down; 1/64 to 4 */
    enum stem stem;
    int channels;     /* input channels, 1 or 3 */
    int image_size;   /* square inputs of this side, at least 32, or 8 with the cifar stem */
    int head_layers;  /* 1 to 3; hidden layers as wide as the feature, ReLU between */
    bool head_norm;   /* BatchNorm after every hidden layer of the head */
    int out_dim;      /* of the projection z */
    bool classifier;  /* the head is torchvision's: one linear layer "fc" on h, whose z are out_dim classes' logits */
    bool zero_init;   /* gain of each block's last norm starts at 0 */
    uint64_t seed;    /* of the initialisation */
};

/* What a tensor is for; LARS and the initialisation go by it. */
enum tensor_role { ROLE_CONV, ROLE_LINEAR, ROLE_BIAS, ROLE_NORM_GAIN, ROLE_NORM_BIAS, ROLE_RUNNING_MEAN, ROLE_RUNNING_VAR };

/* One named tensor inside a flat array of floats. Memory holds convolutions as (R, S, C, K) and linear layers as (in, out);
 * files hold torch's (K, C, R, S) and (out, in): tensor_export/import transpose. */
struct tensor_info {
    char name[64];  /* torchvision's: "conv1.weight", "layer1.0.bn1.running_mean"; the head is "head.0.weight", "head.2.bias" */
    enum tensor_role role;
    int ndim, dims[4]; /* torch's shape */
    size_t offset, count; /* in floats; offset is a multiple of 16 */
};

struct network;

/* What a network takes, in floats and bytes. */
struct network_size {
    size_t params, buffers; /* floats of the two arrays */
    size_t layer_params;    /* floats of the parameters of the layer that has most */
    int feature_dim;
    size_t weights, gradients, statistics, activations, scratch; /* bytes; scratch alone depends on ISA and threads */
    size_t memory;                                               /* bytes of all */
};

/* Plans and allocates for up to max_rows images (views) a pass; training == false leaves gradients and what only they need out, and
 * allows only passes without training. The engine is copied. Nothing is allocated later.
 * Initialises parameters from config->seed: convolutions He-normal (fan out, ReLU), norm gain 1 and bias 0, linear layers
 * torch's default (uniform +-1/sqrt(fan in), weight and bias). */
enum simclr_status network_create(struct network **network, const struct network_config *config, const struct engine *engine,
                                  int max_rows, bool training, struct simclr_error *err);
void network_free(struct network *network);

/* The size of what network_create would make, from the code that lays it out; nothing of it is allocated. */
enum simclr_status network_measure(struct network_size *size, const struct network_config *config, const struct engine *engine,
                                   int max_rows, bool training, struct simclr_error *err);

int network_feature_dim(const struct network *network); /* of h */
int network_out_dim(const struct network *network);     /* of z */
double network_image_flop(const struct network *network); /* of an image in a training step: resnet_image_flop */
size_t network_memory(const struct network *network);   /* bytes planned */
const struct network_size *network_sizes(const struct network *network);

/* x (rows, S, S, C), 1 <= rows <= max_rows -> *h (rows, feature_dim) and, if z != NULL, *z (rows, out_dim); both stay valid until
 * the next forward pass.
 * training: batch statistics, and running ones are updated (momentum 0.1, unbiased variance, as torch); else running ones. */
void network_forward(struct network *network, const float *x, int rows, bool training, const float **h, const float **z);

/* After a training forward with z of the same x and rows: gradients of all parameters (overwritten) for dz (rows, out_dim). Once per
 * forward: the memory of activations is used again. */
void network_backward(struct network *network, const float *x, const float *dz, int rows);

/* The same, added to the gradients that are there. scratch: layer_params floats of network_sizes. */
void network_backward_add(struct network *network, const float *x, const float *dz, int rows, float *scratch);

/* Has every tensor of the coming training passes told as it is computed; NULL: no longer. It costs a slow look at each value. */
void network_watch(struct network *network, watch_fn *watch, void *ctx);

/* Adds the seconds that each node of the coming passes takes (nn/resnet.h: as many as the network has); NULL: no longer. */
struct node_time {
    double forward, backward;
};
void network_time(struct network *network, struct node_time *times);

/* Parameters, their gradients (same layout; NULL without training), and buffers (running statistics), each one flat array of count
 * floats; those between the tensors stay 0. */
float *network_params(struct network *network, size_t *count);
float *network_grads(struct network *network);
float *network_buffers(struct network *network, size_t *count);
/* Running variances overflow before anything else when activations grow: the norm then makes zeros of them, and the loss is finite. */
bool network_statistics_are_finite(const struct network *network);
const struct tensor_info *network_param_list(const struct network *network, size_t *count);
const struct tensor_info *network_buffer_list(const struct network *network, size_t *count);

/* Between memory layout and torch's, for one tensor (any array laid out like params: weights, gradients, momenta). */
void tensor_export(const struct tensor_info *info, float *file, const float *memory);
void tensor_import(const struct tensor_info *info, float *memory, const float *file);

#endif
