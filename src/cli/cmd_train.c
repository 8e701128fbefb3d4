/* simclr train: options to settings, a run folder, progress, and what to do next. */
#define _XOPEN_SOURCE 700 /* realpath */

#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/run_options.h"

#include "base/status.h"
#include "base/text.h"
#include "io/file.h"
#include "simd/dispatch.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/presets.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

struct train_command {
    struct run_options options;
    const char *output;
    bool resume;
    bool made_folder;
    char run[PATH_SIZE];
};

/* ---- Options ---- */

static size_t list_own_options(struct option own[3], struct train_command *c)
{
    own[0] = (struct option){.name = "output", .letter = 'o', .group = "Run", .value = "RUN", .set = option_text, .target = &c->output,
                             .help = "folder of the run; default: a new one under runs/"};
    own[1] = (struct option){.name = "resume", .group = "Run", .set = option_switch, .target = &c->resume,
                             .help = "go on from the newest checkpoint in RUN, or begin if there is none"};
    own[2] = run_config_option(&c->options, "Run");
    return 3;
}

static const char usage[] =
    "Usage: simclr train [DATA] [OPTION...]\n\n"
    "Trains an encoder on images without labels. DATA is a folder of JPEG, PNG or BMP images,\n"
    "CIFAR-10/100 or STL-10 in binary form, or a .npy of (N, H, W, C) bytes; without it\n"
    CLI_DEFAULT_DATA " if it is there, else a generated set.\n"
    "A switch is turned off by --no-NAME. Defaults are in [brackets].\n\n"
    "Ctrl-C, SIGTERM or a closed terminal (SIGHUP) save a checkpoint and stop; a second one quits at\n"
    "once. Exit codes: 0 done, 1 failed, 2 misused, 130, 143 or 129 stopped by those signals.\n";

/* Settings of the run that is resumed, unless --config names others. */
static enum simclr_status resumed_config(void *ctx, const char **file, struct simclr_error *err)
{
    struct train_command *c = ctx;
    if (c->resume && !c->output)
        return fail(err, SIMCLR_ERR_USAGE, "--resume needs the run's folder: -o RUN");
    if (*file || !c->resume)
        return SIMCLR_OK;
    if (snprintf(c->run, sizeof c->run, "%s/config.json", c->output) < PATH_SIZE && access(c->run, F_OK) == 0)
        *file = c->run;
    return SIMCLR_OK;
}

/* ---- The run folder ---- */

/* config.json outlives the working directory it was written from. */
static void make_absolute(char *path, size_t size)
{
    char *absolute = path[0] ? realpath(path, NULL) : NULL;
    if (absolute && strlen(absolute) < size)
        strcpy(path, absolute);
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
    data_name(name, c->options.config.data);
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
    if (c->options.no_data)
        printf("no DATA given: training on %s\n",
               c->options.config.data[0] ? text_printable(data, sizeof data, c->options.config.data) : "the generated set of shapes");
    printf("simclr %s, %s kernels, %d thread%s\nrun folder: %s\n", SIMCLR_VERSION, engine->kernels->name, engine->threads,
           text_plural((uint64_t)engine->threads), text_printable(run, sizeof run, c->run));
    const struct preset *preset = preset_of(&c->options.config);
    if (preset && preset->expect)
        printf("%s\n", preset->expect);
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
        printf("kNN %s %.1f %%, trained %.1f %%\n", c->options.config.init[0] ? "initial" : "untrained", 100 * result->knn_untrained, 100 * result->knn);
    else if (result->trained == 0)
        printf("the run was complete; nothing was left to train\n");
    else if (c->options.config.knn_every > 0)
        printf("no kNN figure: the images have no labels\n");
    printf("\nrun folder: %s\n", run);
    printf("  config.json    every setting; repeat the run with --config %s/config.json\n", run);
    printf("  metrics.jsonl  loss, kNN, alignment and uniformity of every epoch\n");
    printf("  %s\n      the encoder under torchvision's names; for a model of this stem and width:\n"
           "      file = \"%s\"\n"
           "      model.load_state_dict(safetensors.torch.load_file(file), strict=False)\n",
           checkpoint + (strncmp(checkpoint, run, strlen(run)) == 0 ? strlen(run) + 1 : 0), checkpoint);
    if (!c->options.config.data[0])
        printf("next: your own images, 'simclr train FOLDER -o runs/mine'\n");
    else
        printf("next: more epochs ('--epochs %d -o ANOTHER') or larger batches often do better\n", 4 * c->options.config.epochs);
}

int cmd_train(int argc, char **argv)
{
    struct train_command c = {0};
    struct option own[MOST_OWN_OPTIONS];
    const struct run_command command = {"simclr train", usage, own, list_own_options(own, &c), resumed_config, &c};
    struct engine engine;
    struct train_result result;
    struct simclr_error err = {.text = ""};
    enum simclr_status status = run_options_parse(&c.options, &command, argc, argv, &err);
    if (status != SIMCLR_OK || c.options.help)
        return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
    status = cli_engine(&engine, c.options.isa, c.options.threads, &err);
    if (status == SIMCLR_OK) {
        make_absolute(c.options.config.data, sizeof c.options.config.data);
        make_absolute(c.options.config.init, sizeof c.options.config.init);
        status = choose_folder(&c, &err);
    }
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    cli_catch_stop();
    engine.stop.wanted = cli_stopped;
    struct report r = {.command = &c, .engine = &engine, .progress = progress_begin(stdout)};
    status = train_run(&c.options.config, c.run, c.resume, &engine, report, &r, &result, &err);
    progress_end(&r.progress);
    if (status != SIMCLR_OK) {
        if (c.made_folder && rmdir(c.run) == 0 && !c.output) /* only if nothing was written into it */
            rmdir("runs");
        return cli_fail(status, &err);
    }
    summarize(&c, &result);
    return EXIT_DONE;
}
