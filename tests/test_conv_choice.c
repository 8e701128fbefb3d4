/* Which algorithm which layer gets: the layers of the networks that users train. */
#include "nn/conv_choice.h"

#include <criterion/criterion.h>

static const struct {
    int size, c, k, r, stride;
    enum conv_algorithm want;
} layers[] = {
    /* ResNet-18 on CIFAR-10 */
    {32, 3, 64, 3, 1, CONV_DIRECT}, {32, 64, 64, 3, 1, CONV_WINOGRAD_4X4}, {32, 64, 128, 3, 2, CONV_WINOGRAD_STRIDED},
    {32, 64, 128, 1, 2, CONV_DIRECT}, {16, 128, 128, 3, 1, CONV_WINOGRAD_4X4}, {8, 256, 512, 3, 2, CONV_WINOGRAD_STRIDED},
    {4, 512, 512, 3, 1, CONV_WINOGRAD_4X4},
    /* ResNet-50 at 96 pixels */
    {96, 3, 64, 7, 2, CONV_DIRECT}, {24, 64, 64, 3, 1, CONV_WINOGRAD_4X4}, {24, 128, 128, 3, 2, CONV_WINOGRAD_STRIDED},
    {12, 128, 128, 3, 1, CONV_WINOGRAD_4X4}, {12, 256, 256, 3, 2, CONV_DIRECT}, {6, 256, 256, 3, 1, CONV_WINOGRAD_3X3},
    {3, 512, 512, 3, 1, CONV_WINOGRAD_3X3},
    /* at 224 */
    {56, 64, 64, 3, 1, CONV_WINOGRAD_4X4}, {28, 128, 128, 3, 1, CONV_WINOGRAD_4X4}, {14, 256, 256, 3, 1, CONV_WINOGRAD_4X4},
    {7, 512, 512, 3, 1, CONV_WINOGRAD_4X4}, {56, 128, 128, 3, 2, CONV_WINOGRAD_STRIDED},
    /* too narrow, too small */
    {32, 4, 64, 3, 1, CONV_DIRECT}, {32, 64, 4, 3, 1, CONV_DIRECT}, {1, 64, 64, 3, 1, CONV_DIRECT},
};

Test(conv_choice, of_real_layers)
{
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        struct conv_shape s = conv_shape(1, layers[i].size, layers[i].size, layers[i].c, layers[i].k, layers[i].r, layers[i].stride,
                                         layers[i].r / 2);
        enum conv_algorithm got = conv_algorithm(&s);
        cr_assert(got == layers[i].want, "layer %zu: %s instead of %s", i, conv_algorithm_name(got), conv_algorithm_name(layers[i].want));
        s.n = 256;
        cr_assert(conv_algorithm(&s) == got, "layer %zu: the number of images matters", i);
    }
}

Test(conv_choice, winograd_wants_padding_1)
{
    struct conv_shape s = conv_shape(1, 8, 8, 16, 16, 3, 1, 0);
    cr_assert(conv_algorithm(&s) == CONV_DIRECT);
    s = conv_shape(1, 8, 8, 16, 16, 3, 3, 1);
    cr_assert(conv_algorithm(&s) == CONV_DIRECT);
}

Test(conv_choice, products)
{
    struct conv_shape s = conv_shape(7, 32, 32, 64, 64, 3, 1, 1);
    cr_assert(conv_products(&s) == 36 * 8 * 8);
    s = conv_shape(1, 6, 6, 8, 8, 3, 1, 1);
    cr_assert(conv_products(&s) == 25 * 2 * 2);
    s = conv_shape(1, 16, 15, 8, 8, 3, 2, 1);
    cr_assert(conv_products(&s) == 81 * 2 * 2);
    s = conv_shape(1, 6, 5, 8, 8, 1, 1, 0);
    cr_assert(conv_products(&s) == 30);
}
