#include "train/optim.h"

#include "base/fmath.h"
#include "base/par.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdatomic.h>

/* Work is cut into blocks of a tensor; PARTS bounds the partial sums of a norm, which are added in order whatever the threads. */
enum { BLOCK = 16384, PARTS = 256 };

int optim_state_arrays(enum optimizer kind)
{
    return kind == OPTIM_ADAM || kind == OPTIM_ADAMW ? 2 : 1;
}

const char *optim_state_name(enum optimizer kind, int index)
{
    if (optim_state_arrays(kind) == 1)
        return "momentum";
    return index == 0 ? "exp_avg" : "exp_avg_sq";
}

struct step {
    const struct kernels *kernels;
    const struct optim_config *config;
    const struct tensor_info *tensors;
    size_t count;
    float *params;
    const float *grads;
    float *const *state;
    double lr, bias1, sqrt_bias2; /* bias1 = 1 - beta1^t, sqrt_bias2 = sqrt(1 - beta2^t) */
};

static size_t blocks_of(const struct tensor_info *tensor)
{
    return (tensor->count + BLOCK - 1) / BLOCK;
}

static void update(const struct step *s, size_t at, size_t count)
{
    const struct optim_config *c = s->config;
    float *w = s->params + at, *first = s->state[0] + at;
    const float *g = s->grads + at;
    if (c->kind == OPTIM_SGD) {
        s->kernels->sgd(w, first, g, (float)s->lr, (float)c->momentum, (float)c->weight_decay, c->nesterov, count);
        return;
    }
    bool decoupled = c->kind == OPTIM_ADAMW;
    s->kernels->adam(w, first, s->state[1] + at, g, (float)(1.0 - c->beta1), (float)(1.0 - c->beta2),
                     decoupled ? 0.0f : (float)c->weight_decay, decoupled ? (float)(s->lr * c->weight_decay) : 0.0f,
                     (float)(s->lr / s->bias1), (float)s->sqrt_bias2, (float)c->eps, count);
}

/* Block number `chunk` of all tensors: its first element and how many it has. Walking the list costs less than a table of blocks,
 * which would need memory. */
static size_t find_block(size_t *first, const struct tensor_info *tensors, size_t chunk)
{
    for (; chunk >= blocks_of(tensors); tensors++)
        chunk -= blocks_of(tensors);
    size_t left = tensors->count - chunk * BLOCK;
    *first = tensors->offset + chunk * BLOCK;
    return left < BLOCK ? left : BLOCK;
}

static size_t all_blocks(const struct tensor_info *tensors, size_t count)
{
    size_t blocks = 0;
    for (size_t i = 0; i < count; i++)
        blocks += blocks_of(&tensors[i]);
    return blocks;
}

static void update_block(void *ctx, size_t chunk, int thread)
{
    (void)thread;
    const struct step *s = ctx;
    size_t first, count = find_block(&first, s->tensors, chunk);
    update(s, first, count);
}

/* ---- Is it a number? ---- */

struct check {
    const struct kernels *kernels;
    const struct tensor_info *tensors;
    const float *grads;
    atomic_bool wrong;
};

static void check_block(void *ctx, size_t chunk, int thread)
{
    (void)thread;
    struct check *c = ctx;
    size_t first, count = find_block(&first, c->tensors, chunk);
    if (!isfinite(c->kernels->sum_squares(c->grads + first, NULL, 0.0f, count)))
        atomic_store(&c->wrong, true);
}

bool optim_gradient_is_finite(const struct engine *engine, const struct tensor_info *tensors, size_t count, const float *grads)
{
    struct check c = {.kernels = engine->kernels, .tensors = tensors, .grads = grads};
    par_for(engine->threads, all_blocks(tensors, count), check_block, &c);
    return !c.wrong;
}

/* One tensor under LARS. */
struct lars_tensor {
    const struct step *step;
    size_t offset, count, part; /* part: elements a partial sum covers, from count alone */
    float weight_decay, lr_trust;
    double weight_squares[PARTS], gradient_squares[PARTS];
};

static void lars_squares(void *ctx, size_t part, int thread)
{
    (void)thread;
    struct lars_tensor *t = ctx;
    const struct step *s = t->step;
    size_t first = part * t->part, left = t->count - first, count = left < t->part ? left : t->part;
    const float *w = s->params + t->offset + first, *g = s->grads + t->offset + first;
    t->weight_squares[part] = s->kernels->sum_squares(w, NULL, 0.0f, count);
    t->gradient_squares[part] = s->kernels->sum_squares(g, w, t->weight_decay, count);
}

static void lars_update(void *ctx, size_t part, int thread)
{
    (void)thread;
    const struct lars_tensor *t = ctx;
    const struct step *s = t->step;
    size_t first = part * t->part, left = t->count - first, at = t->offset + first;
    s->kernels->lars(s->params + at, s->state[0] + at, s->grads + at, t->lr_trust, (float)s->config->momentum, t->weight_decay,
                     left < t->part ? left : t->part);
}

/* eta |w| / |g + wd w|, or 1 where either is 0 (or not a number) */
static double trust_ratio(const struct lars_tensor *t, size_t parts, double eta)
{
    double weight = 0.0, gradient = 0.0;
    for (size_t i = 0; i < parts; i++) {
        weight += t->weight_squares[i];
        gradient += t->gradient_squares[i];
    }
    return weight > 0.0 && gradient > 0.0 ? eta * sqrt(weight) / sqrt(gradient) : 1.0;
}

/* Google's form (You et al. 2017 as SimCLR has it): the rate inside the momentum, the norm of g taken after the decay is added. */
static void lars_step(const struct step *s, const struct tensor_info *tensor, int threads)
{
    bool excluded =
        tensor->role == ROLE_BIAS || tensor->role == ROLE_NORM_GAIN || tensor->role == ROLE_NORM_BIAS;
    struct lars_tensor t;
    t.step = s;
    t.offset = tensor->offset;
    t.count = tensor->count;
    t.weight_decay = excluded ? 0.0f : (float)s->config->weight_decay;
    t.part = BLOCK;
    while (t.part * PARTS < t.count)
        t.part *= 2;
    size_t parts = (t.count + t.part - 1) / t.part;
    double trust = 1.0;
    if (!excluded) {
        par_for(threads, parts, lars_squares, &t);
        trust = trust_ratio(&t, parts, s->config->trust);
    }
    t.lr_trust = (float)(s->lr * trust);
    par_for(threads, parts, lars_update, &t);
}

void optim_step(const struct engine *engine, const struct optim_config *config, const struct tensor_info *tensors, size_t count,
                float *params, const float *grads, float *const state[2], uint64_t step, double lr)
{
    struct step s = {
        .kernels = engine->kernels,
        .config = config,
        .tensors = tensors,
        .count = count,
        .params = params,
        .grads = grads,
        .state = state,
        .lr = lr,
    };
    if (config->kind == OPTIM_LARS) {
        for (size_t i = 0; i < count; i++)
            lars_step(&s, &tensors[i], engine->threads);
        return;
    }
    if (config->kind != OPTIM_SGD) {
        s.bias1 = 1.0 - fm_pow(config->beta1, (double)step);
        s.sqrt_bias2 = sqrt(1.0 - fm_pow(config->beta2, (double)step));
    }
    par_for(engine->threads, all_blocks(tensors, count), update_block, &s);
}
