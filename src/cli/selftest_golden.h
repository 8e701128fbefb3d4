/* What every machine and instruction set must give: written by `simclr selftest --print-golden`. A change here is a change of the
 * arithmetic, and makes older checkpoints go on differently. */
#ifndef CLI_SELFTEST_GOLDEN_H
#define CLI_SELFTEST_GOLDEN_H

#include <stdint.h>

static const struct {
    const char *name;
    uint64_t hash;
} golden[] = {
    {"brgemm", 0x6e0f4d5a03b5fc08},
    {"brgemm_tn", 0x764b54eb6bfbd3fe},
    {"pack_b", 0xc24f7462c5301ecf},
    {"pack_bt", 0xa9216578274309e6},
    {"winograd_input", 0xeb5852b34f2d4351},
    {"winograd_output", 0x6122c78f10f8e18c},
    {"winograd_gradient", 0x4d60980def5814cb},
    {"winograd_weights", 0x8c89488cb13d3542},
    {"winograd_weights_gradient", 0x0f95b963f28380de},
    {"norm_stats", 0x5d7fc2cc43ca89ec},
    {"norm_apply", 0xf1a8bc41426cb915},
    {"norm_backward_sums", 0x5b0891395ee69823},
    {"norm_backward_apply", 0x5f996477e8a53fde},
    {"bias_act", 0x0a4f6ecf12dfbd92},
    {"relu_backward", 0xfb449949cf443f7f},
    {"add", 0x3adfe6bb4ee07217},
    {"column_sums", 0x53907332a41ef00e},
    {"maxpool", 0x2fd65960a325e17f},
    {"maxpool_backward", 0xc69698784dba76fd},
    {"avgpool", 0x6a572b788cc4a6a9},
    {"avgpool_backward", 0x70e8947b4e611801},
    {"l2_normalize", 0x2e46124c8e307adb},
    {"l2_normalize_backward", 0x4372da2c4d6930b7},
    {"ntxent_sums", 0xd7a45de8d84bbe60},
    {"ntxent_total", 0x2985877e23ca210c},
    {"ntxent_ahead", 0xc8c5c62a099c82ba},
    {"ntxent_gradient", 0x8e66f6a01fb3567a},
    {"dot", 0x0d9dae93115a2cd4},
    {"tsne_forces", 0x9819badf9c14ee01},
    {"sgd", 0xf88b9a3f0b38086f},
    {"lars", 0x80cfccf1e387f463},
    {"adam", 0xa43c487db8ee5e24},
    {"sum_squares", 0xe376af1b0f794aad},
    {"u8_to_f32", 0xba267e5ad117730b},
    {"resize_rows", 0xeab713dac787efa4},
    {"transpose", 0xc5e10001f43e0c0b},
    {"resize_columns", 0x981c3b07c5acbe59},
    {"brightness", 0xf257b49e91737601},
    {"grey_mean", 0xd3c276c2a4a30134},
    {"contrast", 0xb38fe50974e6af47},
    {"saturation", 0x02bf39c70bb4c107},
    {"hue", 0x41889b2c6eab3acd},
    {"solarize", 0xbb1e32b51f628a41},
    {"blur", 0x05bd0c1f822b0c82},
    {"augment", 0xcdc423e603f88070},
    {"shapes", 0x92f8f0c9318feb36},
    {"decode", 0x09db05d8408a0ad4},
    {"fma_repeat", 0x85daffc2be647b41},
    {"train_resnet18_adam", 0xdd53198b4b5dffad},
    {"train_resnet50_lars", 0x222d7bf51af652d5},
    {"train_grey_sgd", 0x8aadb46208dfe47a},
    {"ntxent", 0x0ef6fbe2a4c444cf},
};

#endif
