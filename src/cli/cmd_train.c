/* simclr train: options to settings, a run folder, progress, and what to do next. */
#define _XOPEN_SOURCE 700 /* realpath */

#include "cli/cli.h"
#include "cli/progress.h"

#include "base/status.h"
#include "base/text.h"
#include "io/file.h"
#include "simd/dispatch.h"
#include "train/checkpoint.h"
#include "train/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, MOST_OPTIONS = 96 };
enum { RANK_RUN, RANK_PRESET, RANK_REST }; /* presets before the parameters that change them */

struct train_command {
    struct train_config config;
    const char *output, *config_file, *isa;
    bool resume, help, no_data;
    int threads;
    bool made_folder;
    char run[PATH_SIZE];
};

/* ---- Options ---- */

static enum simclr_status ignore(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    (void)option, (void)text, (void)label, (void)err;
    return SIMCLR_OK;
}

/* The command's own options, then every setting. */
static size_t list_options(struct option options[MOST_OPTIONS], struct train_command *c)
{
    const struct option own[] = {
        {.name = "output", .letter = 'o', .group = "Run", .value = "RUN", .set = option_text, .target = &c->output,
         .help = "folder of the run; default: a new one under runs/"},
        {.name = "resume", .group = "Run", .set = option_switch, .target = &c->resume,
         .help = "go on from the newest checkpoint in RUN, or begin if there is none"},
        {.name = "config", .group = "Run", .value = "FILE", .set = option_text, .target = &c->config_file,
         .help = "take settings from a run's config.json; options override it"},
    };
    size_t n = sizeof own / sizeof own[0], settings_count;
    memcpy(options, own, sizeof own);
    n += cli_common_options(options + n, "Run", &c->threads, &c->isa, &c->help);
    const struct setting *settings = train_settings(&settings_count);
    for (size_t i = 0; i < settings_count && n < MOST_OPTIONS; i++) {
        const struct setting *s = &settings[i];
        options[n] = cli_setting(s, &c->config);
        options[n++].rank = s->type == SETTING_PRESET ? RANK_PRESET : RANK_REST;
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

static void help(struct option *options, size_t first, size_t count)
{
    static char text[MOST_OPTIONS][192];
    add_defaults(options, first, count, text);
    printf("Usage: simclr train [DATA] [OPTION...]\n\n"
           "Trains an encoder on images without labels. DATA is a folder of JPEG, PNG or BMP images,\n"
           "CIFAR-10/100 or STL-10 in binary form, or a .npy of (N, H, W, C) bytes; without it\n"
           CLI_DEFAULT_DATA " if it is there, else a generated set.\n"
           "A switch is turned off by --no-NAME. Defaults are in [brackets].\n\n"
           "Ctrl-C, SIGTERM or a closed terminal (SIGHUP) save a checkpoint and stop; a second one quits at\n"
           "once. Exit codes: 0 done, 1 failed, 2 misused, 130, 143 or 129 stopped by those signals.\n");
    options_help(stdout, options, count);
}

/* Settings of lower precedence than the command line: defaults, then the run that is resumed, or --config. */
static enum simclr_status load_base(struct train_command *c, bool *loaded, struct simclr_error *err)
{
    char path[PATH_SIZE];
    *loaded = false;
    train_defaults(&c->config);
    if (c->resume && !c->output)
        return fail(err, SIMCLR_ERR_USAGE, "--resume needs the run's folder: -o RUN");
    if (c->config_file) {
        *loaded = true;
        return train_config_load(&c->config, c->config_file, err);
    }
    if (!c->resume)
        return SIMCLR_OK;
    if (snprintf(path, sizeof path, "%s/config.json", c->output) >= PATH_SIZE || access(path, F_OK) != 0)
        return SIMCLR_OK;
    *loaded = true;
    return train_config_load(&c->config, path, err);
}

/* The same table twice: first only what says where settings come from, then the settings over them. */
static enum simclr_status parse(struct train_command *c, int argc, char **argv, struct simclr_error *err)
{
    struct option options[MOST_OPTIONS];
    const char *data = NULL;
    bool loaded;
    size_t rest, n = list_options(options, c), run_options = 0;
    while (run_options < n && options[run_options].set != cli_set_setting)
        run_options++;
    for (size_t i = run_options; i < n; i++)
        options[i].set = ignore;
    enum simclr_status status = options_parse(argc, argv, options, n, "simclr train", &data, 1, &rest, err);
    if (status != SIMCLR_OK)
        return status;
    if (c->help) {
        help(options, run_options, n);
        return SIMCLR_OK;
    }
    status = load_base(c, &loaded, err);
    if (status != SIMCLR_OK)
        return status;
    for (size_t i = run_options; i < n; i++)
        options[i].set = cli_set_setting;
    status = options_parse(argc, argv, options, n, "simclr train", &data, 1, &rest, err);
    if (status == SIMCLR_OK && rest > 0)
        status = train_setting_set(&c->config, options[run_options].data, data, "DATA", err);
    if (status != SIMCLR_OK)
        return status;
    if (rest > 0 && !c->config.data[0])
        return fail(err, SIMCLR_ERR_USAGE, "DATA is empty; leave it out to train on the generated set");
    if (!c->config.data[0] && !loaded) {
        c->no_data = true;
        cli_default_data(&c->config);
    }
    return train_config_settle(&c->config, err);
}

/* ---- The run folder ---- */

/* config.json outlives the working directory it was written from. */
static void make_absolute(struct train_config *config)
{
    char *absolute = config->data[0] ? realpath(config->data, NULL) : NULL;
    if (absolute && strlen(absolute) < sizeof config->data)
        strcpy(config->data, absolute);
    free(absolute);
}

/* A short name for the data: the last part of its path, or the one before "train". */
static void data_name(char name[64], const char *path)
{
    const char *end = path + strlen(path);
    while (end > path && end[-1] == '/')
        end--;
    const char *start = end;
    while (start > path && start[-1] != '/')
        start--;
    if (end - start == 5 && memcmp(start, "train", 5) == 0 && start - path > 1) {
        end = start - 1;
        for (start = end; start > path && start[-1] != '/';)
            start--;
    }
    size_t n = 0;
    for (; start < end && n < 63; start++)
        name[n++] = isalnum((unsigned char)*start) || strchr("._-", *start) ? *start : '-';
    name[n] = 0;
    if (n == 0 || name[0] == '.')
        strcpy(name, path[0] ? "images" : "shapes");
}

/* runs/NAME-1, or the first number that is free; made here, so that two runs started together cannot take the same. */
static enum simclr_status choose_folder(struct train_command *c, struct simclr_error *err)
{
    char name[64];
    if (c->output) {
        if (strlen(c->output) > 3900)
            return fail(err, SIMCLR_ERR_USAGE, "-o: the path is too long");
        strcpy(c->run, c->output);
        c->made_folder = access(c->run, F_OK) != 0; /* the trainer will */
        return SIMCLR_OK;
    }
    enum simclr_status status = folder_create("runs", err);
    data_name(name, c->config.data);
    for (int i = 1; status == SIMCLR_OK; i++) {
        snprintf(c->run, sizeof c->run, "runs/%s-%d", name, i);
        c->made_folder = mkdir(c->run, 0777) == 0;
        if (c->made_folder)
            break;
        if (errno != EEXIST || i == 1000000)
            status = fail(err, SIMCLR_ERR_IO, "cannot create %s: %s; choose a folder with -o", c->run, strerror(errno));
    }
    return status;
}

/* ---- Running ---- */

static void announce(const struct train_command *c, const struct engine *engine)
{
    char data[PATH_SIZE], run[PATH_SIZE];
    if (c->no_data)
        printf("no DATA given: training on %s\n",
               c->config.data[0] ? text_printable(data, sizeof data, c->config.data) : "the generated set of shapes");
    printf("simclr %s, %s kernels, %d thread%s\nrun folder: %s\n", SIMCLR_VERSION, engine->kernels->name, engine->threads,
           engine->threads == 1 ? "" : "s", text_printable(run, sizeof run, c->run));
}

struct report {
    const struct train_command *command;
    const struct engine *engine;
    struct progress progress;
};

/* A train_report_fn. */
static int report(void *ctx, const struct train_progress *progress, bool epoch_done)
{
    struct report *r = ctx;
    if (strcmp(progress->phase, "begin") == 0) {
        progress_end(&r->progress);
        announce(r->command, r->engine);
    }
    return progress_report(&r->progress, progress, epoch_done);
}

static void summarize(const struct train_command *c, const struct train_result *result)
{
    char path[PATH_SIZE], checkpoint[PATH_SIZE], run[PATH_SIZE];
    checkpoint_newest(path, sizeof path, c->run);
    text_printable(checkpoint, sizeof checkpoint, path);
    text_printable(run, sizeof run, c->run);
    if (result->broken > 0)
        printf("%zu broken image%s skipped; %s/broken.txt lists them\n", result->broken, result->broken == 1 ? " was" : "s were", run);
    if (result->skipped > 0)
        printf("%llu of %llu steps were skipped, for their numbers were not finite\n", (unsigned long long)result->skipped,
               (unsigned long long)result->steps);
    if (result->knn >= 0 && result->knn_untrained >= 0)
        printf("kNN untrained %.1f %%, trained %.1f %%\n", 100 * result->knn_untrained, 100 * result->knn);
    else if (result->trained == 0)
        printf("the run was complete; nothing was left to train\n");
    else if (c->config.knn_every > 0)
        printf("no kNN figure: the images have no labels\n");
    printf("\nrun folder: %s\n", run);
    printf("  config.json    every setting; repeat the run with --config %s/config.json\n", run);
    printf("  metrics.jsonl  loss, kNN, alignment and uniformity of every epoch\n");
    printf("  %s\n      the encoder under torchvision's names; for a model of this stem and width:\n"
           "      file = \"%s\"\n"
           "      model.load_state_dict(safetensors.torch.load_file(file), strict=False)\n",
           checkpoint + (strncmp(checkpoint, run, strlen(run)) == 0 ? strlen(run) + 1 : 0), checkpoint);
    if (!c->config.data[0])
        printf("next: your own images, 'simclr train FOLDER -o runs/mine'\n");
    else
        printf("next: more epochs ('--epochs %d -o ANOTHER') or larger batches often do better\n", 4 * c->config.epochs);
}

int cmd_train(int argc, char **argv)
{
    struct train_command c = {.threads = 0};
    struct engine engine;
    struct train_result result;
    struct simclr_error err = {.text = ""};
    enum simclr_status status = parse(&c, argc, argv, &err);
    if (status != SIMCLR_OK || c.help)
        return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
    status = cli_engine(&engine, c.isa, c.threads, &err);
    if (status == SIMCLR_OK) {
        make_absolute(&c.config);
        status = choose_folder(&c, &err);
    }
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    cli_catch_stop();
    engine.stop = cli_stopped;
    struct report r = {.command = &c, .engine = &engine, .progress = progress_begin(stdout)};
    status = train_run(&c.config, c.run, c.resume, &engine, report, &r, &result, &err);
    progress_end(&r.progress);
    if (status != SIMCLR_OK) {
        if (c.made_folder && rmdir(c.run) == 0 && !c.output) /* only if nothing was written into it */
            rmdir("runs");
        return cli_fail(status, &err);
    }
    summarize(&c, &result);
    return EXIT_DONE;
}
