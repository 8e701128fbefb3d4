/* Optimisers over a network's flat parameter array, one tensor at a time by its role. */
#ifndef TRAIN_OPTIM_H
#define TRAIN_OPTIM_H

#include "base/engine.h"
#include "nn/network.h"

enum optimizer { OPTIM_ADAM, OPTIM_ADAMW, OPTIM_SGD, OPTIM_LARS };

struct optim_config {
    enum optimizer kind;
    double momentum;     /* SGD, LARS */
    bool nesterov;       /* SGD */
    double beta1, beta2, eps; /* Adam, AdamW */
    double weight_decay; /* Adam: L2 in the gradient; AdamW: decoupled; SGD: in the gradient; LARS: in gradient and trust ratio */
    double trust;        /* LARS: eta, 0.001 */
};

/* Flat state arrays as large as the parameters: 1 for SGD and LARS ("momentum"), 2 for Adam(W) ("exp_avg", "exp_avg_sq"). */
int optim_state_arrays(enum optimizer kind);
const char *optim_state_name(enum optimizer kind, int index);

/* One step: params -= ..., state updated; step counts from 1. LARS leaves norms and biases (by role) out of decay and trust. */
void optim_step(const struct engine *engine, const struct optim_config *config, const struct tensor_info *tensors, size_t count,
                float *params, const float *grads, float *const state[2], uint64_t step, double lr);

/* Whether the gradient's sum of squares is finite, in every tensor: no NaN, no infinity, nothing whose square the optimisers' fp32
 * cannot hold. */
bool optim_gradient_is_finite(const struct engine *engine, const struct tensor_info *tensors, size_t count, const float *grads);

#endif
