/* The table of one ISA. Every slot is compiled for it: by hand in simd/<isa>/, or from simd/shared/ over its vec_<isa>.h. */
#include "shared/shared.h"

const struct kernels ISA_FN(kernels) = {
    .name = ISA_NAME,

    .mr = GEMM_MR,
    .nr = GEMM_NR,
    .brgemm = ISA_FN(brgemm),
    .brgemm_tn = ISA_FN(brgemm_tn),
    .pack_b = ISA_FN(pack_b),
    .pack_bt = ISA_FN(pack_bt),

    .winograd_input = ISA_FN(winograd_input),
    .winograd_output = ISA_FN(winograd_output),
    .winograd_gradient = ISA_FN(winograd_gradient),
    .winograd_weights = ISA_FN(winograd_weights),
    .winograd_weights_gradient = ISA_FN(winograd_weights_gradient),

    .norm_stats = ISA_FN(norm_stats),
    .norm_apply = ISA_FN(norm_apply),
    .norm_backward_sums = ISA_FN(norm_backward_sums),
    .norm_backward_apply = ISA_FN(norm_backward_apply),

    .bias_act = ISA_FN(bias_act),
    .relu_backward = ISA_FN(relu_backward),
    .add = ISA_FN(add),
    .column_sums = ISA_FN(column_sums),

    .maxpool = ISA_FN(maxpool),
    .maxpool_backward = ISA_FN(maxpool_backward),
    .avgpool = ISA_FN(avgpool),
    .avgpool_backward = ISA_FN(avgpool_backward),

    .l2_normalize = ISA_FN(l2_normalize),
    .l2_normalize_backward = ISA_FN(l2_normalize_backward),
    .ntxent_sums = ISA_FN(ntxent_sums),
    .ntxent_total = ISA_FN(ntxent_total),
    .ntxent_ahead = ISA_FN(ntxent_ahead),
    .ntxent_gradient = ISA_FN(ntxent_gradient),
    .dot = ISA_FN(dot),

    .tsne_forces = ISA_FN(tsne_forces),

    .sgd = ISA_FN(sgd),
    .lars = ISA_FN(lars),
    .adam = ISA_FN(adam),
    .sum_squares = ISA_FN(sum_squares),

    .u8_to_f32 = ISA_FN(u8_to_f32),
    .resize_rows = ISA_FN(resize_rows),
    .transpose = ISA_FN(transpose),
    .resize_columns = ISA_FN(resize_columns),
    .brightness = ISA_FN(brightness),
    .grey_mean = ISA_FN(grey_mean),
    .contrast = ISA_FN(contrast),
    .saturation = ISA_FN(saturation),
    .hue = ISA_FN(hue),
    .solarize = ISA_FN(solarize),
    .blur = ISA_FN(blur),

    .fma_repeat = ISA_FN(fma_repeat),
};
