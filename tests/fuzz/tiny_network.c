#include "tests/fuzz/tiny_network.h"

#include <string.h>

enum { PARAMS = 32, BUFFERS = 16 };

struct network {
    float params[PARAMS], momenta[PARAMS], buffers[BUFFERS];
};

static const struct tensor_info params[] = {
    {.name = "conv1.weight", .role = ROLE_CONV, .ndim = 4, .dims = {2, 1, 2, 2}, .offset = 0, .count = 8},
    {.name = "bn1.weight", .role = ROLE_NORM_GAIN, .ndim = 1, .dims = {2}, .offset = 16, .count = 2},
};
static const struct tensor_info buffers[] = {
    {.name = "bn1.running_var", .role = ROLE_RUNNING_VAR, .ndim = 1, .dims = {2}, .offset = 0, .count = 2},
};

struct checkpoint_target tiny_target(void)
{
    static struct network network;
    for (int i = 0; i < PARAMS; i++)
        network.params[i] = network.momenta[i] = (float)i;
    return (struct checkpoint_target){.network = &network, .optim_arrays = 1, .optim_names = {"momentum"}, .optim = {network.momenta},
                                      .settings = "{\n  \"lr\": 0.1\n}\n", .fingerprint = 1};
}

/* What train/checkpoint.c asks of nn/network.h, which is not linked. */

float *network_params(struct network *network, size_t *count)
{
    *count = PARAMS;
    return network->params;
}

float *network_buffers(struct network *network, size_t *count)
{
    *count = BUFFERS;
    return network->buffers;
}

const struct tensor_info *network_param_list(const struct network *network, size_t *count)
{
    (void)network;
    *count = sizeof params / sizeof params[0];
    return params;
}

const struct tensor_info *network_buffer_list(const struct network *network, size_t *count)
{
    (void)network;
    *count = sizeof buffers / sizeof buffers[0];
    return buffers;
}

void tensor_export(const struct tensor_info *info, float *file, const float *memory)
{
    memcpy(file, memory, info->count * sizeof *file);
}

void tensor_import(const struct tensor_info *info, float *memory, const float *file)
{
    memcpy(memory, file, info->count * sizeof *file);
}
