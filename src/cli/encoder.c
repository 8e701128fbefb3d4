#include "cli/encoder.h"

#include "base/status.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 64 };
static const struct option_range batch_range = {1, 65536};

enum { OPTIONS = 3 + CLI_COMMON_OPTIONS };

static size_t list_options(struct option options[OPTIONS], struct encoder_command *c, const char *limit_help)
{
    static const char group[] = "Options";
    c->batch_size = BATCH;
    options[0] = (struct option){.name = "batch-size", .letter = 'b', .group = group, .value = "N", .set = option_int, .target = &c->batch_size,
                                 .data = &batch_range, .help = "images a pass: memory and speed, never a result [64]"};
    options[1] = cli_setting(train_setting_find("limit"), &c->given);
    options[1].help = limit_help ? limit_help : "use at most N images of DATA, spread over it; 0: all [0]";
    options[2] = cli_setting(train_setting_find("max-pixels"), &c->given);
    options[2].help = "larger images count as broken; default: as the run";
    options[1].group = options[2].group = group;
    return 3 + cli_common_options(options + 3, group, &c->threads, &c->isa, &c->help);
}

enum simclr_status encoder_command_parse(struct encoder_command *c, const struct encoder_usage *usage, int argc, char **argv, size_t *count,
                                         struct simclr_error *err)
{
    struct option options[ENCODER_MOST_OWN + OPTIONS];
    memcpy(options, usage->own, usage->own_count * sizeof *options);
    size_t n = usage->own_count + list_options(options + usage->own_count, c, usage->limit_help);
    enum simclr_status status = options_parse(argc, argv, options, n, usage->name, usage->arguments, usage->most, count, err);
    if (status == SIMCLR_OK && c->help) {
        fputs(usage->text, stdout);
        options_help(stdout, options, n);
    }
    return status;
}

enum simclr_status option_split(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    static const char *const names[] = {[IMAGES_TRAIN] = "train", [IMAGES_TEST] = "test", [IMAGES_LABELLED] = "labelled", [IMAGES_ALL] = "all"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *(enum image_splits *)option->target = (enum image_splits)i;
            return SIMCLR_OK;
        }
    return fail(err, SIMCLR_ERR_USAGE, "%s: '%.80s' is not train, test, labelled or all", label, text);
}

struct option split_option(enum image_splits *splits)
{
    return (struct option){.name = "split", .group = "Options", .value = "NAME", .set = option_split, .target = splits,
                           .help = "train, test, labelled (of STL-10) or all images of DATA [train]"};
}

static void warn(void *ctx, bool warning, const char *text)
{
    (void)ctx, (void)warning;
    char line[4096];
    fprintf(stderr, "simclr: %s\n", text_printable(line, sizeof line, text));
}

enum simclr_status encoder_command_open(struct encoder_command *c, const char *run, struct simclr_error *err)
{
    enum simclr_status status = cli_engine_until_stopped(&c->engine, c->isa, c->threads, err);
    return status != SIMCLR_OK ? status : encoder_open(&c->encoder, run, c->batch_size, &c->engine, warn, NULL, err);
}

struct image_source encoder_images(const struct encoder_command *c, const char *data)
{
    return (struct image_source){.path = data, .limit = c->given.limit, .max_pixels = c->given.max_pixels};
}

struct image_source encoder_image_files(const struct encoder_command *c, const char *const *files, size_t count)
{
    struct image_source source = encoder_images(c, NULL);
    source.files = files;
    source.file_count = count;
    return source;
}
