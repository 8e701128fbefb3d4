/* simclr pack: a data set decoded and resized once, into .npy files. */
#include "cli/cli.h"
#include "cli/progress.h"

#include "base/status.h"
#include "base/text.h"
#include "train/pack.h"

#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 4096, MOST_OPTIONS = 16 };

struct pack_command {
    struct train_config config;
    const char *output, *isa;
    int threads;
    bool help, no_data;
};

static size_t list_options(struct option options[MOST_OPTIONS], struct pack_command *c)
{
    const struct option output = {.name = "output", .letter = 'o', .group = "Options", .value = "NAME.npy", .set = option_text,
                                  .target = &c->output, .help = "the file to write; it must not be there yet"};
    static const struct {
        const char *name, *help;
    } settings[] = {{"image-size", "pack S x S pixels; 0: from the images, at most 96 [0]"},
                    {"channels", "1 (grey) or 3 [3]"},
                    {"limit", "pack at most N images of each file, spread over the set; 0: all [0]"},
                    {"max-pixels", "larger images count as broken, and are not decoded [100000000]"}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        options[n] = cli_setting(train_setting_find(settings[i].name), &c->config);
        options[n].group = "Options";
        options[n++].help = settings[i].help;
    }
    options[n++] = output;
    return n + cli_common_options(options + n, "Options", &c->threads, &c->isa, &c->help);
}

static void help(const struct option *options, size_t count)
{
    printf("Usage: simclr pack [DATA] -o NAME.npy [OPTION...]\n\n"
           "Decodes and resizes DATA once, so that training on NAME.npy need not. DATA is what train takes;\n"
           "without it " CLI_DEFAULT_DATA " if it is there, else the generated set. An image's shorter side\n"
           "becomes S pixels, antialiased, and the middle of the longer one is kept; what is S x S already\n"
           "keeps its bytes. Files that cannot be read are left out, and listed in NAME.broken.txt.\n\n"
           "  NAME.npy           (N, S, S, C) bytes: 'simclr train NAME.npy' and numpy.load take it\n"
           "  NAME.labels.npy    (N) int64, where DATA has labels: classes by their folders' names, -1 none\n"
           "  NAME.test.npy, NAME.test.labels.npy          the labelled test split, where DATA has one\n"
           "  NAME.labelled.npy, NAME.labelled.labels.npy  STL-10's labelled pictures\n\n"
           "train finds the others beside NAME.npy. They appear when all are whole; a pack that is stopped\n"
           "(Ctrl-C, SIGTERM, SIGHUP: exit code 130, 143, 129) leaves none.\n");
    options_help(stdout, options, count);
}

static enum simclr_status parse(struct pack_command *c, int argc, char **argv, struct simclr_error *err)
{
    struct option options[MOST_OPTIONS];
    const char *data = NULL;
    size_t rest, n = list_options(options, c);
    train_defaults(&c->config);
    enum simclr_status status = options_parse(argc, argv, options, n, "simclr pack", &data, 1, &rest, err);
    if (status != SIMCLR_OK)
        return status;
    if (c->help) {
        help(options, n);
        return SIMCLR_OK;
    }
    if (rest > 0)
        status = train_setting_set(&c->config, train_setting_find("data"), data, "DATA", err);
    else
        cli_default_data(&c->config);
    c->no_data = rest == 0;
    if (status == SIMCLR_OK && rest > 0 && !data[0])
        status = fail(err, SIMCLR_ERR_USAGE, "DATA is empty; leave it out to pack the generated set");
    if (status == SIMCLR_OK && !c->output)
        status = fail(err, SIMCLR_ERR_USAGE, "name the file to write: -o NAME.npy");
    return status == SIMCLR_OK ? train_config_settle(&c->config, err) : status;
}

static void summarize(const struct pack_command *c, const struct pack_result *r)
{
    char output[PATH_SIZE];
    int stem = (int)strlen(text_printable(output, sizeof output, c->output)) - 4;
    printf("packed %zu images of %d x %d x %d into %s\n", r->images, r->side, r->side, r->channels, output);
    if (r->classes > 0 && r->labelled == 0)
        printf("labels of %d classes: %.*s.labels.npy\n", r->classes, stem, output);
    if (r->labelled > 0)
        printf("%zu labelled images, %d classes: %.*s.labelled.npy\n", r->labelled, r->classes, stem, output);
    if (r->test > 0)
        printf("%zu images of the test split: %.*s.test.npy\n", r->test, stem, output);
    if (r->broken > 0)
        printf("%zu broken image%s skipped; %.*s.broken.txt lists them\n", r->broken, r->broken == 1 ? " was" : "s were", stem, output);
    printf("next: simclr train %s\n", output);
}

int cmd_pack(int argc, char **argv)
{
    struct pack_command c = {.threads = 0};
    struct engine engine;
    struct pack_result result;
    struct simclr_error err = {.text = ""};
    enum simclr_status status = parse(&c, argc, argv, &err);
    if (status != SIMCLR_OK || c.help)
        return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
    status = cli_engine_until_stopped(&engine, c.isa, c.threads, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    if (c.no_data)
        printf("no DATA given: packing %s\n", c.config.data[0] ? c.config.data : "the generated set of shapes");
    struct progress progress = progress_begin(stdout);
    status = pack_run(&c.config, c.output, &engine, progress_images, &progress, &result, &err);
    progress_end(&progress);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    summarize(&c, &result);
    return EXIT_DONE;
}
