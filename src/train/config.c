#include "train/config.h"

#include "base/status.h"
#include "data/decode.h"
#include "io/number.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct setting_choice archs[] = {
    {"resnet18", 18}, {"resnet34", 34}, {"resnet50", 50}, {"resnet101", 101}, {"resnet152", 152}, {NULL, 0}};
static const struct setting_choice caches[] = {{"auto", CACHE_AUTO}, {"ram", CACHE_RAM}, {"none", CACHE_NONE}, {NULL, 0}};
static const struct setting_choice stems[] = {{"auto", STEM_AUTO}, {"imagenet", STEM_IMAGENET}, {"cifar", STEM_CIFAR}, {NULL, 0}};
static const struct setting_choice optimizers[] = {
    {"adam", OPTIM_ADAM}, {"adamw", OPTIM_ADAMW}, {"sgd", OPTIM_SGD}, {"lars", OPTIM_LARS}, {NULL, 0}};
static const struct setting_choice scalings[] = {{"none", LR_NONE}, {"linear", LR_LINEAR}, {"sqrt", LR_SQRT}, {NULL, 0}};
static const struct setting_choice on_nans[] = {{"stop", ON_NAN_STOP}, {"skip", ON_NAN_SKIP}, {NULL, 0}};

#define AT(field) .offset = offsetof(struct train_config, field), .size = sizeof(((struct train_config *)0)->field)
#define INTEGER(field, least, most) .type = SETTING_INT, AT(field), .low = (least), .high = (most)
#define REAL(field, least, most) .type = SETTING_DOUBLE, AT(field), .low = (least), .high = (most)
#define SWITCH(field) .type = SETTING_BOOL, AT(field)
#define CHOICE(field, names) .type = SETTING_CHOICE, AT(field), .choices = (names)
#define AUGMENT(name_, field, least, most, help_)                                                                               \
    {.name = (name_), .group = "Augmentation", .value = "X", .help = (help_), .type = SETTING_FLOAT, AT(augment.field),         \
     .low = (least), .high = (most), .decides = true}

static const struct setting settings[] = {
    {.name = "data", .group = "Data", .value = "DATA", .type = SETTING_TEXT, AT(data),
     .help = "images: a folder, CIFAR or STL-10 binaries, a .npy"},
    {.name = "limit", .group = "Data", .value = "N", .type = SETTING_SIZE, AT(limit), .high = UINT32_MAX, .decides = true,
     .help = "use at most N images; 0: all"},
    {.name = "max-pixels", .group = "Data", .value = "N", .type = SETTING_SIZE, AT(max_pixels), .low = 1,
     .high = DECODE_MAX_SIDE * DECODE_MAX_SIDE, .decides = true, .help = "larger images count as broken, and are not decoded"},
    {.name = "cache", .group = "Data", .value = "MODE", CHOICE(cache, caches),
     .help = "keep decoded images: auto (in half of free memory), ram, none"},
    {.name = "image-size", .group = "Data", .value = "S", INTEGER(network.image_size, 0, 1024), .decides = true,
     .help = "train on S x S pixels; 0: from the images, at most 96"},
    {.name = "channels", .group = "Data", .value = "C", INTEGER(network.channels, 1, 3), .decides = true, .help = "1 (grey) or 3"},

    {.name = "arch", .group = "Model", .value = "NAME", CHOICE(network.depth, archs), .decides = true,
     .help = "resnet18, 34, 50, 101 or 152 as torchvision defines them"},
    {.name = "width", .group = "Model", .value = "X", REAL(network.width, 0.25, 4), .decides = true,
     .help = "multiplies the encoder's widths, 0.25 to 4"},
    {.name = "stem", .group = "Model", .value = "NAME", CHOICE(network.stem, stems), .decides = true,
     .help = "imagenet, cifar (3x3, no pool), auto: cifar up to 64 pixels"},
    {.name = "zero-init", .group = "Model", SWITCH(network.zero_init), .decides = true,
     .help = "start the gain of each block's last norm at 0"},
    {.name = "head-layers", .group = "Model", .value = "N", INTEGER(network.head_layers, 1, 3), .decides = true,
     .help = "linear layers of the projection head, 1 to 3"},
    {.name = "head-norm", .group = "Model", SWITCH(network.head_norm), .decides = true,
     .help = "BatchNorm after each hidden layer of the head"},
    {.name = "out-dim", .group = "Model", .value = "D", INTEGER(network.out_dim, 1, 8192), .decides = true,
     .help = "size of the projection z"},

    {.name = "init", .group = "Training", .value = "FILE", .type = SETTING_TEXT, AT(init),
     .help = "begin with the weights of FILE.safetensors, torchvision's names"},
    {.name = "batch-size", .letter = 'b', .group = "Training", .value = "N", INTEGER(batch_size, 2, 65536), .decides = true,
     .help = "images a step; each gives two views"},
    {.name = "micro-batch", .group = "Training", .value = "N", INTEGER(micro_batch, 0, 65536), .decides = true,
     .help = "images a pass, with their own norms' statistics; 0: all"},
    {.name = "epochs", .group = "Training", .value = "N", INTEGER(epochs, 1, 1000000), .decides = true,
     .help = "passes over the images"},
    {.name = "temperature", .group = "Training", .value = "TAU", REAL(temperature, 0.025, 100), .decides = true,
     .help = "of the NT-Xent loss, 0.025 or more"},
    {.name = "n-views", .group = "Training", .value = "2", INTEGER(n_views, 1, 1000), .decides = true, .help = "views of an image: 2"},
    {.name = "keep-last", .group = "Training", SWITCH(keep_last), .decides = true,
     .help = "train on the incomplete last batch of an epoch as well"},
    {.name = "optimizer", .group = "Training", .value = "NAME", CHOICE(optim.kind, optimizers), .decides = true,
     .help = "adam, adamw, sgd or lars"},
    {.name = "lr", .group = "Training", .value = "X", REAL(lr, 0, 1000), .decides = true, .help = "learning rate before scaling"},
    {.name = "lr-scaling", .group = "Training", .value = "NAME", CHOICE(lr_scaling, scalings), .decides = true,
     .help = "none, linear (lr x batch / 256) or sqrt (lr x sqrt(batch))"},
    {.name = "warmup-epochs", .group = "Training", .value = "X", REAL(warmup_epochs, 0, 1000000), .decides = true,
     .help = "linear warm-up; the rest is a cosine to 0"},
    {.name = "weight-decay", .alias = "wd", .group = "Training", .value = "X", REAL(optim.weight_decay, 0, 10), .decides = true,
     .help = "in the gradient (adamw: decoupled)"},
    {.name = "momentum", .group = "Training", .value = "X", REAL(optim.momentum, 0, 0.99999), .decides = true, .help = "sgd, lars"},
    {.name = "nesterov", .group = "Training", SWITCH(optim.nesterov), .decides = true, .help = "sgd with Nesterov's momentum"},
    {.name = "beta1", .group = "Training", .value = "X", REAL(optim.beta1, 0, 0.99999), .decides = true, .help = "adam, adamw"},
    {.name = "beta2", .group = "Training", .value = "X", REAL(optim.beta2, 0, 0.9999999), .decides = true, .help = "adam, adamw"},
    {.name = "eps", .group = "Training", .value = "X", REAL(optim.eps, 1e-30, 1), .decides = true, .help = "adam, adamw"},
    {.name = "trust", .group = "Training", .value = "X", REAL(optim.trust, 0, 1), .decides = true, .help = "lars: trust coefficient"},
    {.name = "seed", .group = "Training", .value = "N", .type = SETTING_U64, AT(seed), .decides = true,
     .help = "of the initial weights, the order and the augmentation"},

    {.name = "on-nan", .group = "Training", .value = "WHAT", CHOICE(on_nan, on_nans),
     .help = "if loss or gradient are not finite: stop, or skip the batch"},

    {.name = "augment", .group = "Augmentation", .value = "PRESET", .type = SETTING_PRESET, AT(augment_name),
     .help = "paper, cifar, reference or none; each part can be set"},
    AUGMENT("crop-min", crop_scale_min, 0, 1, "least share of the area a crop keeps"),
    AUGMENT("crop-max", crop_scale_max, 0, 1, "largest; 0: no crop"),
    AUGMENT("crop-ratio-min", crop_ratio_min, 0.01, 100, "least width / height of a crop"),
    AUGMENT("crop-ratio-max", crop_ratio_max, 0.01, 100, "largest"),
    AUGMENT("flip-p", flip_p, 0, 1, "probability of a left-right flip"),
    AUGMENT("jitter-p", jitter_p, 0, 1, "probability of the four colour changes, in random order"),
    AUGMENT("brightness", brightness, 0, 10, "factor 1 - X to 1 + X"),
    AUGMENT("contrast", contrast, 0, 10, "factor 1 - X to 1 + X"),
    AUGMENT("saturation", saturation, 0, 10, "factor 1 - X to 1 + X"),
    AUGMENT("hue", hue, 0, 0.5, "turn of -X to X"),
    {.name = "grey-p", .alias = "gray-p", .group = "Augmentation", .value = "X", .help = "probability of greyscale",
     .type = SETTING_FLOAT, AT(augment.grey_p), .high = 1, .decides = true},
    AUGMENT("blur-p", blur_p, 0, 1, "probability of a Gaussian blur"),
    AUGMENT("blur-sigma-min", blur_sigma_min, 0.01, 100, "least standard deviation, in pixels"),
    AUGMENT("blur-sigma-max", blur_sigma_max, 0.01, 100, "largest"),
    {.name = "blur-kernel", .group = "Augmentation", .value = "N", INTEGER(augment.blur_kernel, 0, 255), .decides = true,
     .help = "taps, made odd; 0: a tenth of the image's side"},
    AUGMENT("solarize-p", solarize_p, 0, 1, "probability of solarization"),
    AUGMENT("solarize-threshold", solarize_threshold, 0, 1, "what is brighter is inverted"),

    {.name = "knn-every", .group = "Evaluation", .value = "N", INTEGER(knn_every, 0, 1000000),
     .help = "epochs between kNN evaluations, where labels exist; 0: off"},
    {.name = "knn-k", .group = "Evaluation", .value = "K", INTEGER(knn_k, 1, 1000000), .help = "neighbours that vote"},
    {.name = "knn-temperature", .group = "Evaluation", .value = "T", REAL(knn_temperature, 0.01, 100),
     .help = "a vote weighs exp(cosine / T)"},

    {.name = "checkpoint-every", .group = "Checkpoints", .value = "N", .type = SETTING_EVERY, AT(checkpoint_every),
     .help = "steps, or minutes as in 10m; 0: after every epoch"},
    {.name = "keep", .group = "Checkpoints", .value = "N", INTEGER(keep, 0, 1000000),
     .help = "newest checkpoints kept, 2 or more lest one is damaged; 0: all"},
};

const struct setting *train_settings(size_t *count)
{
    *count = sizeof settings / sizeof settings[0];
    return settings;
}

const struct setting *train_setting_find(const char *name)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    return NULL;
}

void train_defaults(struct train_config *config)
{
    *config = (struct train_config){
        .max_pixels = DATASET_MAX_PIXELS,
        .network = {.depth = 50, .width = 1, .stem = STEM_AUTO, .channels = 3, .head_layers = 2, .out_dim = 128},
        .batch_size = 32,
        .epochs = 50,
        .n_views = 2,
        .temperature = 0.07,
        .optim = {.kind = OPTIM_ADAM, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 1e-4, .trust = 0.001},
        .lr = 3e-4,
        .lr_scaling = LR_NONE,
        .augment_name = "reference",
        .knn_every = 1,
        .knn_k = 200,
        .knn_temperature = 0.1,
        .checkpoint_minutes = 10,
        .keep = 3,
    };
    augment_preset(&config->augment, config->augment_name);
}

static enum simclr_status not_a(const char *label, const char *text, const char *what, struct simclr_error *err)
{
    return fail(err, SIMCLR_ERR_USAGE, "%s: '%.80s' is not %s", label, text, what);
}

static enum simclr_status out_of_range(const char *label, const char *text, double low, double high, struct simclr_error *err)
{
    return fail(err, SIMCLR_ERR_USAGE, "%s: %.80s is out of range; it must lie between %.15g and %.15g", label, text, low, high);
}

/* Only digits: strtoull would take "-1" and " 1". */
static enum simclr_status parse_integer(uint64_t *value, const char *text, double low, double high, const char *label,
                                        struct simclr_error *err)
{
    const char *digits = text + (text[0] == '-');
    if (!digits[0] || digits[strspn(digits, "0123456789")])
        return not_a(label, text, "a whole number", err);
    errno = 0;
    uint64_t v = strtoull(digits, NULL, 10);
    bool negative = text[0] == '-' && v > 0;
    if (errno == ERANGE || negative || v > INT64_MAX || (double)v < low || (high > 0 && (double)v > high))
        return out_of_range(label, text, low, high > 0 ? high : (double)INT64_MAX, err);
    *value = v;
    return SIMCLR_OK;
}

static enum simclr_status parse_real(double *value, const char *text, double low, double high, const char *label,
                                     struct simclr_error *err)
{
    char *end;
    double v = number_parse(text, &end);
    if (end == text || *end || isspace((unsigned char)text[0]))
        return not_a(label, text, "a number", err);
    if (!(v >= low && v <= high))
        return out_of_range(label, text, low, high, err);
    *value = v;
    return SIMCLR_OK;
}

static enum simclr_status parse_switch(bool *value, const char *text, const char *label, struct simclr_error *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (int i = 0; i < 4; i++)
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *value = strcmp(text, yes[i]) == 0;
            return SIMCLR_OK;
        }
    return not_a(label, text, "true or false", err);
}

static enum simclr_status parse_choice(int *value, const char *text, const struct setting_choice *choices, const char *label,
                                       struct simclr_error *err)
{
    char list[200] = "one of ";
    for (const struct setting_choice *c = choices; c->name; c++) {
        if (strcmp(text, c->name) == 0) {
            *value = c->value;
            return SIMCLR_OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", c == choices ? "" : ", ", c->name);
    }
    return not_a(label, text, list, err);
}

static enum simclr_status set_preset(struct train_config *config, const char *text, const char *label, struct simclr_error *err)
{
    struct augment_config augment;
    if (strlen(text) >= sizeof config->augment_name || augment_preset(&augment, text) != 0)
        return not_a(label, text, "one of paper, cifar, reference, none", err);
    config->augment = augment;
    memcpy(config->augment_name, text, strlen(text) + 1);
    return SIMCLR_OK;
}

static enum simclr_status set_every(struct train_config *config, const char *text, const char *label, struct simclr_error *err)
{
    size_t length = strlen(text);
    char number[32];
    uint64_t steps = 0;
    double minutes = 0;
    enum simclr_status status;
    if (length > 1 && length < sizeof number && text[length - 1] == 'm') {
        memcpy(number, text, length - 1);
        number[length - 1] = 0;
        status = parse_real(&minutes, number, 0, 1e6, label, err);
    } else {
        status = parse_integer(&steps, text, 0, 1e15, label, err);
    }
    if (status == SIMCLR_OK) {
        config->checkpoint_every = steps;
        config->checkpoint_minutes = minutes;
    }
    return status;
}

enum simclr_status train_setting_set(struct train_config *config, const struct setting *s, const char *text, const char *label,
                                     struct simclr_error *err)
{
    void *at = (char *)config + s->offset;
    enum simclr_status status = SIMCLR_OK;
    uint64_t u = 0;
    double x = 0;
    switch (s->type) {
    case SETTING_INT:
        status = parse_integer(&u, text, s->low, s->high, label, err);
        if (status == SIMCLR_OK)
            *(int *)at = (int)u;
        return status;
    case SETTING_SIZE:
        status = parse_integer(&u, text, s->low, s->high, label, err);
        if (status == SIMCLR_OK)
            *(size_t *)at = (size_t)u;
        return status;
    case SETTING_U64:
        status = parse_integer(&u, text, s->low, s->high, label, err);
        if (status == SIMCLR_OK)
            *(uint64_t *)at = u;
        return status;
    case SETTING_FLOAT:
        status = parse_real(&x, text, s->low, s->high, label, err);
        if (status == SIMCLR_OK)
            *(float *)at = (float)x;
        return status;
    case SETTING_DOUBLE:
        status = parse_real(&x, text, s->low, s->high, label, err);
        if (status == SIMCLR_OK)
            *(double *)at = x;
        return status;
    case SETTING_BOOL:
        return parse_switch(at, text, label, err);
    case SETTING_CHOICE:
        return parse_choice(at, text, s->choices, label, err);
    case SETTING_TEXT:
        if (strlen(text) >= s->size)
            return fail(err, SIMCLR_ERR_USAGE, "%s is longer than %zu bytes: %.40s...", label, s->size - 1, text);
        memcpy(at, text, strlen(text) + 1);
        return SIMCLR_OK;
    case SETTING_PRESET:
        return set_preset(config, text, label, err);
    case SETTING_EVERY:
        return set_every(config, text, label, err);
    }
    return status;
}

static enum simclr_status check_pair(double low, double high, const char *low_name, const char *high_name, struct simclr_error *err)
{
    if (low <= high)
        return SIMCLR_OK;
    return fail(err, SIMCLR_ERR_USAGE, "--%s %g is larger than --%s %g", low_name, low, high_name, high);
}

enum simclr_status train_config_settle(struct train_config *config, struct simclr_error *err)
{
    const struct augment_config *a = &config->augment;
    enum simclr_status status = SIMCLR_OK;
    if (config->n_views != 2)
        return fail(err, SIMCLR_ERR_USAGE, "--n-views %d is not supported: the loss compares exactly 2 views of an image",
                    config->n_views);
    if (config->network.channels == 2)
        return fail(err, SIMCLR_ERR_USAGE, "--channels 2 is not supported: images are grey (1) or colour (3)");
    if (config->network.image_size != 0 && config->network.image_size < 8)
        return fail(err, SIMCLR_ERR_USAGE, "--image-size %d is too small: use 8 or more, or 0 to take it from the images",
                    config->network.image_size);
    if (a->crop_scale_max > 0)
        status = check_pair(a->crop_scale_min, a->crop_scale_max, "crop-min", "crop-max", err);
    if (status == SIMCLR_OK && a->crop_scale_max > 0)
        status = check_pair(a->crop_ratio_min, a->crop_ratio_max, "crop-ratio-min", "crop-ratio-max", err);
    if (status == SIMCLR_OK && a->blur_p > 0)
        status = check_pair(a->blur_sigma_min, a->blur_sigma_max, "blur-sigma-min", "blur-sigma-max", err);
    if (status == SIMCLR_OK && config->warmup_epochs > config->epochs)
        status = fail(err, SIMCLR_ERR_USAGE, "--warmup-epochs %g is longer than --epochs %d; a tenth of them is usual: --warmup-epochs %g",
                      config->warmup_epochs, config->epochs, config->epochs / 10.0);
    if (config->micro_batch >= config->batch_size)
        config->micro_batch = 0;
    config->network.seed = config->seed;
    return status;
}
