/* What every machine and instruction set must give: written by `simclr selftest --print-golden`. A change here is a change of the
 * arithmetic, and makes older checkpoints go on differently. */
#ifndef CLI_SELFTEST_GOLDEN_H
#define CLI_SELFTEST_GOLDEN_H

#include <stdint.h>

static const struct {
    const char *name;
    uint64_t hash;
} golden[] = {
    {"brgemm", 0x2bde36488b31deab},
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
    {"ntxent_row_sums", 0x9fb03a52a5a7b659},
    {"ntxent_gradient_tile", 0x2a99901562c542c8},
    {"count_greater", 0x2fad2ddfd2f6f939},
    {"dot", 0x0d9dae93115a2cd4},
    {"sgd", 0xf88b9a3f0b38086f},
    {"lars", 0x80cfccf1e387f463},
    {"adam", 0xa43c487db8ee5e24},
    {"sum_squares", 0xe376af1b0f794aad},
    {"u8_to_planar", 0x1248817e6aa0c326},
    {"planar_to_nhwc", 0x6112b0539cceb319},
    {"resize_rows", 0xeab713dac787efa4},
    {"resize_columns", 0xa8d9a3b79b12cc43},
    {"brightness", 0xf257b49e91737601},
    {"grey_mean", 0x74ae32807820bec5},
    {"contrast", 0xb38fe50974e6af47},
    {"saturation", 0x32ba85c0e231b636},
    {"hue", 0xa583d008d9a9e69a},
    {"solarize", 0xbb1e32b51f628a41},
    {"blur", 0x61f717df4d1c53d7},
    {"augment", 0x7bff77e21ecefc09},
    {"shapes", 0x92f8f0c9318feb36},
    {"decode", 0x09db05d8408a0ad4},
    {"train_resnet18_adam", 0xc460201995fa018e},
    {"train_resnet50_lars", 0x006b932c8fd277e1},
    {"train_grey_sgd", 0x8634681ee599d310},
};

#endif
