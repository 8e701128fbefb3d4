#include "train/advice.h"

static bool is_adam(const struct train_config *c)
{
    return c->optim.kind == OPTIM_ADAM || c->optim.kind == OPTIM_ADAMW;
}

static double base_lr(const struct train_config *c)
{
    return schedule_base(c->lr, c->lr_scaling, c->batch_size);
}

static bool crops(const struct train_config *c)
{
    return c->augment.crop_scale_max > 0;
}

/* The paper halves the strength of the jitter (0.8 at full strength) for CIFAR-10, and leaves blur out. */
static bool strong_for_small_images(const struct train_config *c)
{
    const struct augment_config *a = &c->augment;
    bool jitter = a->jitter_p > 0 && (a->brightness > 0.5f || a->contrast > 0.5f || a->saturation > 0.5f);
    return c->network.image_size <= 32 && (jitter || a->blur_p > 0);
}

static bool large_stem(const struct train_config *c)
{
    return c->network.image_size <= 64 && c->network.stem == STEM_IMAGENET;
}

static bool colour_changes_of_grey(const struct train_config *c)
{
    const struct augment_config *a = &c->augment;
    return c->network.channels == 1 && (a->grey_p > 0 || (a->jitter_p > 0 && (a->saturation > 0 || a->hue > 0)));
}

static bool same_views(const struct train_config *c)
{
    return !crops(c) && c->augment.jitter_p <= 0;
}

static bool no_jitter(const struct train_config *c)
{
    return crops(c) && c->augment.jitter_p <= 0 && c->network.channels == 3;
}

static bool few_negatives(const struct train_config *c)
{
    return c->batch_size < 32;
}

static bool small_micro_batch(const struct train_config *c)
{
    return c->micro_batch > 0 && c->micro_batch < 8 && c->batch_size >= 8;
}

static bool adam_much_too_fast(const struct train_config *c)
{
    return is_adam(c) && base_lr(c) >= 0.01;
}

static bool adam_too_fast(const struct train_config *c)
{
    return is_adam(c) && base_lr(c) >= 0.001 && base_lr(c) < 0.01 && c->temperature < 0.1;
}

static bool sgd_too_slow(const struct train_config *c)
{
    return c->optim.kind == OPTIM_SGD && base_lr(c) < 0.005;
}

static bool lars_too_slow(const struct train_config *c)
{
    return c->optim.kind == OPTIM_LARS && base_lr(c) < 0.05;
}

static bool lars_without_warmup(const struct train_config *c)
{
    return c->optim.kind == OPTIM_LARS && c->warmup_epochs <= 0;
}

static const struct {
    bool (*holds)(const struct train_config *config);
    const char *sentence;
} checks[] = {
    {strong_for_small_images, "full jitter and blur spoil images of 32 px or less: --augment cifar"},
    {large_stem, "the imagenet stem leaves little of images this small: --stem cifar"},
    {colour_changes_of_grey, "grey images have no colour to change: --saturation 0 --hue 0 --grey-p 0"},
    {same_views, "without crops and jitter two views hardly differ: --augment paper"},
    {no_jitter, "colours alone tell which crops belong together: --jitter-p 0.8"},
    {few_negatives, "fewer than 32 images are few to tell apart: --batch-size 64 or more"},
    {small_micro_batch, "norms of fewer than 8 images are noisy: --micro-batch 8 or more"},
    {adam_much_too_fast, "this learning rate suits sgd or lars; for adam --lr 3e-4"},
    {adam_too_fast, "a high rate for adam at so low a temperature: --lr 3e-4"},
    {sgd_too_slow, "this learning rate suits adam; for sgd --lr 0.06"},
    {lars_too_slow, "a low rate for lars: --lr 0.075 --lr-scaling sqrt"},
    {lars_without_warmup, "lars without warm-up may diverge: --warmup-epochs, a tenth of the epochs"},
};

const char *advice_next(const struct train_config *config, int *at)
{
    while (*at < (int)(sizeof checks / sizeof checks[0])) {
        int i = (*at)++;
        if (checks[i].holds(config))
            return checks[i].sentence;
    }
    return NULL;
}

/* Where all projections are equal their uniformity is 0, and the loss is at its ceiling; a run that learns leaves both in its first
 * steps. */
const char *advice_on_collapse(const struct epoch_figures *e)
{
    const uint64_t early = 50, few = 1000; /* images, of which the loss is a matter of chance */
    if (e->warm_steps < early)
        return NULL;
    if (e->uniformity > -0.01)
        return "collapse: all images get nearly the same projection; train anew with a lower --lr, stronger augmentation (--augment paper), "
               "and see that the images differ";
    if (e->images >= few && e->loss > e->ceiling - 0.02 * (e->ceiling - e->floor))
        return "the loss is still at its ceiling: no two images are told apart; train anew with a lower --lr, some --warmup-epochs, or "
               "another --temperature";
    return NULL;
}
