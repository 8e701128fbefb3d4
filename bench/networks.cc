#include "bench/networks.h"

#include <stdexcept>

extern "C" {
#include "nn/conv_choice.h"
}

struct network_config network_config_of(int depth, double width, enum stem stem, int image_size)
{
    struct network_config c{};
    c.depth = depth;
    c.width = width;
    c.stem = stem;
    c.channels = 3;
    c.image_size = image_size;
    c.head_layers = 2;
    c.out_dim = 128;
    return c;
}

std::vector<Network> networks(const Scale &scale)
{
    if (scale.quick) /* both kinds of block, both stems */
        return {{"r18.w25", network_config_of(18, 0.25, STEM_CIFAR, 32), 8},
                {"r50.w25.32", network_config_of(50, 0.25, STEM_IMAGENET, 32), 8}};
    return {{"r18", network_config_of(18, 1, STEM_CIFAR, 32), 256},
            {"r50.96", network_config_of(50, 1, STEM_IMAGENET, 96), 64},
            {"r50.224", network_config_of(50, 1, STEM_IMAGENET, 224), 16}};
}

struct resnet build(const struct network_config &config)
{
    struct resnet net;
    struct simclr_error err;
    if (resnet_build(&net, &config, &err) != SIMCLR_OK)
        throw std::runtime_error(err.text);
    return net;
}

double conv_macs(const struct conv_shape &s)
{
    return static_cast<double>(s.n) * s.ho * s.wo * s.k * s.c * s.r * s.r;
}

double conv_chosen_macs(const struct conv_shape &s) { return static_cast<double>(s.n) * s.c * s.k * conv_products(&s); }

/* Each pair's similarity once and its gradient for both rows; and three exponentials, for the loss, the uniformity and the gradient
 * (rows_kernels.cc counts them). */
Work ntxent_work(double rows, double d)
{
    double pairs = rows * rows, bytes = sizeof(float) * rows * d;
    return Work{1.5 * pairs * d + 10.5 * pairs, 8.5 * pairs, bytes, bytes};
}

static double sum_of_passes(const struct resnet &net, int rows, double (*macs)(const struct conv_shape &))
{
    double sum = 0;
    for (int i = 0; i < net.count; i++) {
        const struct node &node = net.nodes[i];
        if (node.kind == NODE_CONV || node.kind == NODE_LINEAR) /* images have no gradient */
            sum += macs(node.shape) * rows * (node.input < 0 ? 2 : 3);
    }
    return sum;
}

/* Only what multiplies by weights, and the loss: the rest is under a hundredth of the FLOPs. Of the traffic only parameters and
 * their gradients, once: a lower bound, for a step is bounded by arithmetic. */
Work training_work(const struct resnet &net, int rows, int out_dim)
{
    Work work = ntxent_work(rows, out_dim);
    work.fma += sum_of_passes(net, rows, conv_chosen_macs);
    double bytes = sizeof(float) * static_cast<double>(net.param_floats);
    return work + Work{0, 0, 3 * bytes, 2 * bytes, true};
}

double effective_training_flops(const struct resnet &net, int rows, int out_dim)
{
    return ntxent_work(rows, out_dim).flops() + 2 * sum_of_passes(net, rows, conv_macs);
}
