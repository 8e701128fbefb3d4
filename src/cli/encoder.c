#include "cli/encoder.h"

#include "base/status.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 64 };
static const char group[] = "Options";
static const struct option_range batch_range = {1, 65536};

enum { OPTIONS = 3 + CLI_COMMON_OPTIONS };

struct option encoder_setting(const char *name, const char *help, struct train_config *config)
{
    struct option option = cli_setting(train_setting_find(name), config);
    option.group = group;
    option.help = help;
    return option;
}

static size_t list_options(struct option options[OPTIONS], struct encoder_command *c, const struct encoder_usage *usage)
{
    c->batch_size = BATCH;
    options[0] = (struct option){.name = "batch-size", .letter = 'b', .group = group, .value = "N", .set = option_int, .target = &c->batch_size,
                                 .data = &batch_range, .help = usage->batch_help ? usage->batch_help : "images a pass: memory and speed, never a result [64]"};
    options[1] = encoder_setting("limit", usage->limit_help ? usage->limit_help : "use at most N images of DATA, spread over it; 0: all [0]",
                                 &c->given);
    options[2] = encoder_setting("max-pixels", "larger images count as broken; default: as the run", &c->given);
    return 3 + cli_common_options(options + 3, group, &c->threads, &c->isa, &c->help);
}

enum simclr_status encoder_command_parse(struct encoder_command *c, const struct encoder_usage *usage, int argc, char **argv, size_t *count,
                                         struct simclr_error *err)
{
    struct option options[ENCODER_MOST_OWN + OPTIONS];
    memcpy(options, usage->own, usage->own_count * sizeof *options);
    size_t n = usage->own_count + list_options(options + usage->own_count, c, usage);
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

struct image_source encoder_data_or_files(const struct encoder_command *c, const char *const *arguments, size_t count)
{
    if (count > 1 || (count == 1 && dataset_is_image_file(arguments[0])))
        return encoder_image_files(c, arguments, count);
    return encoder_images(c, count == 1 ? arguments[0] : NULL);
}

const char *encoder_test_origin(const struct encoder_command *c, bool other_data, const struct run_data *data)
{
    if (data->test_set != data->bank_set)
        return "the test split of the data";
    if (data->bank_set != data->train_set)
        return "a random tenth of the labelled images, the others train classifiers";
    if (other_data || c->given.limit)
        return "a random tenth of the images, for the data has no test split; if the run trained on this data, then on them, too";
    if (c->encoder.config.knn_every == 0)
        return "a random tenth of the images, for the data has no test split; the run trained on them, too, without labels";
    return "the random tenth of the images that the run held out and never trained on";
}

void encoder_tell_broken(const struct image_parts *parts)
{
    for (int i = 0; i < parts->count; i++) {
        const char *const *messages;
        size_t n = loader_broken(parts->part[i].loader, &messages);
        for (size_t m = 0; m < n && messages; m++)
            fprintf(stderr, "simclr: left out: %s\n", messages[m]);
    }
}
