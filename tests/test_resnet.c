/* What a network is made of: tensors, names, sizes, initial values, and the settings it refuses. */
#include "nn/resnet.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct engine best_engine(void)
{
    const struct kernels *isas[8];
    return (struct engine){.kernels = isas[test_isas(isas) - 1], .threads = 2};
}

static struct network_config small_config(void)
{
    return (struct network_config){.depth = 18, .width = 0.25, .stem = STEM_CIFAR, .channels = 3, .image_size = 8,
                                   .head_layers = 3, .head_norm = true, .out_dim = 32, .seed = 7};
}

Test(resnet, tensors_survive_export_and_import)
{
    struct tensor_info conv = {.role = ROLE_CONV, .ndim = 4, .dims = {2, 3, 2, 2}, .count = 24};
    float memory[24], file[24], back[24];
    fill_random(memory, 24, 1);
    tensor_export(&conv, file, memory);
    /* torch's (k, c, r, s) = (1, 2, 0, 1) is memory's (r, s, c, k) */
    cr_expect_eq(file[((1 * 3 + 2) * 2 + 0) * 2 + 1], memory[((0 * 2 + 1) * 3 + 2) * 2 + 1]);
    tensor_import(&conv, back, file);
    expect_same_bits(memory, back, 24, "convolution");
    struct tensor_info linear = {.role = ROLE_LINEAR, .ndim = 2, .dims = {4, 6}, .count = 24};
    tensor_export(&linear, file, memory);
    cr_expect_eq(file[3 * 6 + 5], memory[5 * 4 + 3]);
    tensor_import(&linear, back, file);
    expect_same_bits(memory, back, 24, "linear");
}

static size_t count_elements(const struct tensor_info *list, size_t count, const char *prefix, bool with)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        if ((strncmp(list[i].name, prefix, strlen(prefix)) == 0) == with)
            sum += list[i].count;
    return sum;
}

/* torchvision's parameter counts without fc. */
Test(resnet, sizes_are_torchvisions)
{
    const struct { int depth; size_t params, tensors; } known[] = {
        {18, 11176512, 60}, {34, 21284672, 108}, {50, 23508032, 159}, {101, 42500160, 312}, {152, 58143808, 465}};
    struct resnet *net = malloc(sizeof *net);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct network_config config = {.depth = known[i].depth, .width = 1, .stem = STEM_IMAGENET, .channels = 3, .image_size = 224,
                                        .head_layers = 3, .head_norm = true, .out_dim = 128};
        cr_assert_eq(resnet_build(net, &config, NULL), SIMCLR_OK);
        cr_expect_eq(count_elements(net->params, net->param_count, "head.", false), known[i].params, "ResNet-%d", known[i].depth);
        cr_expect_eq(net->param_count, known[i].tensors + 10, "ResNet-%d has %zu tensors", known[i].depth, net->param_count);
        cr_expect(net->count <= RESNET_MAX_NODES && net->buffer_count <= RESNET_MAX_BUFFERS);
        cr_expect_eq(net->nodes[net->feature].shape.k, known[i].depth < 50 ? 512 : 2048);
    }
    free(net);
}

Test(resnet, names_and_order_are_torchvisions)
{
    const char *want[] = {"conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.0.bn1.weight",
                          "layer1.0.bn1.bias", "layer1.0.conv2.weight", "layer1.0.bn2.weight", "layer1.0.bn2.bias",
                          "layer1.0.conv3.weight", "layer1.0.bn3.weight", "layer1.0.bn3.bias", "layer1.0.downsample.0.weight",
                          "layer1.0.downsample.1.weight", "layer1.0.downsample.1.bias", "layer1.1.conv1.weight"};
    const char *head[] = {"head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias", "head.3.weight", "head.3.bias"};
    struct network_config config = {.depth = 50, .width = 0.3, .stem = STEM_CIFAR, .channels = 3, .image_size = 32, .head_layers = 2,
                                    .head_norm = true, .out_dim = 128};
    struct resnet *net = malloc(sizeof *net);
    cr_assert_eq(resnet_build(net, &config, NULL), SIMCLR_OK);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        cr_expect_str_eq(net->params[i].name, want[i]);
    for (size_t i = 0; i < 6; i++)
        cr_expect_str_eq(net->params[net->param_count - 6 + i].name, head[i]);
    cr_expect_str_eq(net->buffers[1].name, "bn1.running_var");
    /* int(64 * 0.3 * 8) planes in the last stage */
    cr_expect_eq(net->nodes[net->feature].shape.k, 4 * 153);
    cr_expect_eq(net->nodes[0].shape.k, 19);
    free(net);
}

static double standard_deviation(const float *x, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    return sqrt(squares / count - sum / count * sum / count);
}

Test(resnet, initial_values_are_distributed_as_torchs)
{
    struct network_config config = small_config();
    config.zero_init = true;
    struct engine engine = best_engine();
    struct network *network;
    cr_assert_eq(network_create(&network, &config, &engine, 2, false, NULL), SIMCLR_OK);
    size_t tensors, floats;
    const struct tensor_info *list = network_param_list(network, &tensors);
    const float *params = network_params(network, &floats);
    for (size_t t = 0; t < tensors; t++) {
        const struct tensor_info *info = &list[t];
        const float *p = params + info->offset;
        double tolerance = 5 / sqrt((double)info->count), std = standard_deviation(p, info->count);
        if (info->role == ROLE_CONV) {
            double want = sqrt(2.0 / (info->dims[0] * info->dims[2] * info->dims[3]));
            cr_expect(fabs(std / want - 1) < tolerance, "%s: standard deviation %g, not %g", info->name, std, want);
        } else if (info->role == ROLE_LINEAR) {
            double want = 1 / sqrt(3.0 * info->dims[1]);
            cr_expect(fabs(std / want - 1) < tolerance, "%s: standard deviation %g, not %g", info->name, std, want);
        } else if (info->role == ROLE_BIAS) {
            cr_expect(std > 0, "%s does not vary", info->name);
        } else {
            bool last = !strncmp(info->name, "layer", 5) && strstr(info->name, "bn2");
            float want = info->role == ROLE_NORM_GAIN && !last;
            for (size_t i = 0; i < info->count; i++)
                cr_expect_eq(p[i], want, "%s[%zu] = %g", info->name, i, p[i]);
        }
    }
    network_free(network);
}

static void expect_refused(const struct network_config *config, const char *word)
{
    struct engine engine = best_engine();
    struct network *network;
    struct simclr_error err = {""};
    cr_expect_eq(network_create(&network, config, &engine, 2, true, &err), SIMCLR_ERR_USAGE, "not refused: %s", word);
    cr_expect_null(network);
    cr_expect(strstr(err.text, word), "\"%s\" does not mention %s", err.text, word);
}

Test(resnet, impossible_settings_are_refused)
{
    const struct network_config good = small_config();
    struct network_config c = good;
    c.depth = 20, expect_refused(&c, "ResNet-20"), c = good;
    c.width = 0.01, expect_refused(&c, "width 0.01"), c = good;
    c.width = NAN, expect_refused(&c, "width"), c = good;
    c.width = 5, expect_refused(&c, "width 5"), c = good;
    c.stem = STEM_AUTO, expect_refused(&c, "stem"), c = good;
    c.channels = 4, expect_refused(&c, "4 channels"), c = good;
    c.image_size = 7, expect_refused(&c, "image size 7"), c = good;
    c.stem = STEM_IMAGENET, c.image_size = 28, expect_refused(&c, "cifar stem"), c = good;
    c.head_layers = 0, expect_refused(&c, "0 layers"), c = good;
    c.head_layers = 4, expect_refused(&c, "4 layers"), c = good;
    c.out_dim = 0, expect_refused(&c, "0 dimensions"), c = good;
}

Test(resnet, more_memory_than_there_is_is_a_sentence)
{
    struct network_config config = small_config();
    config.width = 4;
    config.image_size = 8192;
    struct engine engine = best_engine();
    struct network *network;
    struct simclr_error err = {""};
    cr_expect_eq(network_create(&network, &config, &engine, 1 << 20, true, &err), SIMCLR_ERR_MEMORY);
    cr_expect(strstr(err.text, "lower the batch"), "%s", err.text);
}
