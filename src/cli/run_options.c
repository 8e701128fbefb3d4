#include "cli/run_options.h"

#include "base/status.h"
#include "train/presets.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_OPTIONS = 96 };
enum { RANK_RUN, RANK_PRESET, RANK_AUGMENT, RANK_REST }; /* sets of settings before those that change them */

static enum simclr_status ignore(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    (void)option, (void)text, (void)label, (void)err;
    return SIMCLR_OK;
}

struct option run_config_option(struct run_options *options, const char *group)
{
    return (struct option){.name = "config", .group = group, .value = "FILE", .set = option_text, .target = &options->config_file,
                           .help = "take settings from a run's config.json; options override it"};
}

static enum simclr_status set_preset(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    return preset_apply(option->target, text, label, err);
}

/* Settings that --help shows; --help-all shows the rest. */
static bool is_essential(const struct setting *s)
{
    static const char *const names[] = {"image-size", "arch", "width", "batch-size", "epochs", "temperature", "optimizer", "lr",
                                        "warmup-epochs", "weight-decay", "seed", "augment", "knn-every", "checkpoint-every"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(s->name, names[i]) == 0)
            return true;
    return false;
}

/* The command's own options, then every setting, from *first on. */
static size_t list_options(struct option list[MOST_OPTIONS], size_t *first, struct run_options *o, const struct run_command *command)
{
    size_t n = command->own_count, count;
    memcpy(list, command->own, n * sizeof *list);
    const char *group = n ? list[0].group : "Options";
    list[n++] = (struct option){.name = "preset", .group = group, .value = "NAME", .rank = RANK_PRESET, .set = set_preset,
                                .target = &o->config, .help = "settings for cifar10, stl10, folder (of photographs) or reference"};
    list[n++] = (struct option){.name = "memory", .group = group, .value = "SIZE", .set = option_bytes, .target = &o->config.memory,
                                .help = "stay below (400M, 1.5G): sets --micro-batch as a run begins"};
    n += cli_common_options(list + n, group, &o->threads, &o->isa, &o->help);
    list[n++] = (struct option){.name = "help-all", .group = group, .set = option_switch, .target = &o->help_all,
                                .help = "show every setting, those of network, optimizer and augmentation too"};
    *first = n;
    const struct setting *settings = train_settings(&count);
    for (size_t i = 0; i < count && n < MOST_OPTIONS; i++) {
        const struct setting *s = &settings[i];
        list[n] = cli_setting(s, &o->config);
        list[n].more = !is_essential(s);
        list[n++].rank = s->type == SETTING_PRESET ? RANK_AUGMENT : RANK_REST;
    }
    return n;
}

/* Adds "[default]" to the help of the settings from `first` on. */
static void add_defaults(struct option *options, size_t first, size_t count, char text[][192])
{
    struct train_config config;
    train_defaults(&config);
    for (size_t i = first; i < count; i++) {
        const struct setting *s = options[i].data;
        char *value = train_setting_text(&config, s);
        size_t length = value ? strlen(value) : 0, quote = length > 1 && value[0] == '"';
        if (length > 2 * quote && s->value && s->type != SETTING_FLOAT) {
            snprintf(text[i], sizeof text[i], "%s [%.*s]", s->help, (int)(length - 2 * quote), value + quote);
            options[i].help = text[i];
        }
        free(value);
    }
}

/* Essential settings are few enough to stand under one heading. */
static void help(const char *usage, struct option *options, size_t first, size_t count, bool all)
{
    static char text[MOST_OPTIONS][192];
    add_defaults(options, first, count, text);
    for (size_t i = first; i < count; i++)
        if (all)
            options[i].more = false;
        else if (!options[i].more)
            options[i].group = "Settings";
    fputs(usage, stdout);
    options_help(stdout, options, count);
}

/* The same table twice: first only what says where settings come from, then the settings over them. */
enum simclr_status run_options_parse(struct run_options *o, const struct run_command *command, int argc, char **argv,
                                     struct simclr_error *err)
{
    struct option list[MOST_OPTIONS];
    const char *data = NULL;
    size_t rest, first, n = list_options(list, &first, o, command);
    for (size_t i = first; i < n; i++)
        list[i].set = ignore;
    enum simclr_status status = options_parse(argc, argv, list, n, command->name, &data, 1, &rest, err);
    if (status != SIMCLR_OK)
        return status;
    if (o->help || o->help_all) {
        help(command->usage, list, first, n, o->help_all);
        o->help = true;
        return SIMCLR_OK;
    }
    const char *file = o->config_file;
    train_defaults(&o->config);
    if (command->base)
        status = command->base(command->ctx, &file, err);
    if (status == SIMCLR_OK && file)
        status = train_config_load(&o->config, file, err);
    if (status != SIMCLR_OK)
        return status;
    int recorded = o->config.micro_batch;
    for (size_t i = first; i < n; i++)
        list[i].set = cli_set_setting;
    status = options_parse(argc, argv, list, n, command->name, &data, 1, &rest, err);
    if (status == SIMCLR_OK && rest > 0)
        status = train_setting_set(&o->config, list[first].data, data, "DATA", err);
    if (status != SIMCLR_OK)
        return status;
    if (o->config.memory && o->config.micro_batch != recorded)
        return fail(err, SIMCLR_ERR_USAGE, "--memory settles the micro-batch: leave out either it or --micro-batch");
    if (rest > 0 && !o->config.data[0])
        return fail(err, SIMCLR_ERR_USAGE, "DATA is empty; leave it out to use the generated set");
    if (!o->config.data[0] && !file) {
        o->no_data = true;
        cli_default_data(&o->config);
    }
    return train_config_settle(&o->config, err);
}
