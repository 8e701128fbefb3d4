/* The real networks whose layers are measured. */
#ifndef BENCH_NETWORKS_H
#define BENCH_NETWORKS_H

#include "bench/bench.h"

extern "C" {
#include "nn/resnet.h"
}

struct Network {
    const char *name;
    struct network_config config;
    int batch; /* views a pass */
};

std::vector<Network> networks(const Scale &scale);
struct network_config network_config_of(int depth, double width, enum stem stem, int image_size);
struct resnet build(const struct network_config &config); /* throws std::runtime_error */

/* Multiplications by weights of a convolution or linear layer, padding included, for one pass. */
double conv_macs(const struct conv_shape &shape);
/* Those that the chosen algorithm makes of them: Winograd's products, where it is chosen. */
double conv_chosen_macs(const struct conv_shape &shape);
/* Of a whole training step on `rows` views: forward, both gradients, NT-Xent. */
Work training_work(const struct resnet &net, int rows, int out_dim);
/* Its FLOPs with every convolution done directly. */
double effective_training_flops(const struct resnet &net, int rows, int out_dim);
/* Similarities are computed twice, the gradient's product once. */
Work ntxent_work(double rows, double d);

#endif
