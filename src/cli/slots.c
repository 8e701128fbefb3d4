#include "cli/slots.h"

#include <string.h>

#define SLOT(name) {#name, offsetof(struct kernels, name)}

static const struct slot slots[] = {
    SLOT(brgemm), SLOT(brgemm_tn), SLOT(pack_b), SLOT(pack_bt),
    SLOT(winograd_input), SLOT(winograd_output), SLOT(winograd_gradient), SLOT(winograd_weights), SLOT(winograd_weights_gradient),
    SLOT(norm_stats), SLOT(norm_apply), SLOT(norm_backward_sums), SLOT(norm_backward_apply),
    SLOT(bias_act), SLOT(relu_backward), SLOT(add), SLOT(column_sums),
    SLOT(maxpool), SLOT(maxpool_backward), SLOT(avgpool), SLOT(avgpool_backward),
    SLOT(l2_normalize), SLOT(l2_normalize_backward), SLOT(ntxent_sums), SLOT(ntxent_total), SLOT(ntxent_ahead),
    SLOT(ntxent_gradient), SLOT(dot), SLOT(tsne_forces),
    SLOT(sgd), SLOT(lars), SLOT(adam), SLOT(sum_squares),
    SLOT(u8_to_f32), SLOT(resize_rows), SLOT(transpose), SLOT(resize_columns), SLOT(brightness), SLOT(grey_mean),
    SLOT(contrast), SLOT(saturation), SLOT(hue), SLOT(solarize), SLOT(blur),
    SLOT(fma_repeat),
};

_Static_assert(sizeof(struct kernels) == offsetof(struct kernels, brgemm) + sizeof slots / sizeof slots[0] * sizeof(slot_fn *),
               "a slot of struct kernels is missing from this list");

const struct slot *kernel_slots(size_t *count)
{
    *count = sizeof slots / sizeof slots[0];
    return slots;
}

slot_fn *slot_of(const struct kernels *kernels, const struct slot *slot)
{
    slot_fn *fn;
    memcpy(&fn, (const char *)kernels + slot->offset, sizeof fn);
    return fn;
}
