/* simclr embed: the features of images, into files that other programs read. */
#include "cli/encoder.h"
#include "cli/progress.h"

#include "base/status.h"
#include "base/text.h"
#include "eval/embed.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, MOST_ARGUMENTS = 4096 };

struct embed_command {
    struct encoder_command encoder;
    const char *arguments[MOST_ARGUMENTS]; /* RUN, then DATA or images */
    size_t count;
    const char *output;
    enum image_splits splits;
    struct embed_options options;
};

static const char usage[] =
    "Usage: simclr embed RUN [DATA | IMAGE...] -o F.npy [OPTION...]\n\n"
    "Computes the features of images with the encoder of RUN, a run's folder or one checkpoint: the\n"
    "vector h behind the average pooling, which other programs may cluster, search or classify. DATA\n"
    "is what train takes, or image files; without it the images of the run. They are resized as for\n"
    "evaluation. A row's bits depend on no ISA, threads or --batch-size.\n\n"
    "  F.npy           (N, D) float32, for numpy.load, in DATA's order\n"
    "  F.names.txt     the images' names, a line a row; F.labels.npy (N) int64, where DATA has labels\n"
    "  F.broken.txt    files that could not be read: they have no row\n"
    "or F.csv          name, label and numbers in one file; -o - prints that\n\n"
    "The files appear when all are whole; none is overwritten.\n";

static enum simclr_status parse(struct embed_command *c, int argc, char **argv, struct simclr_error *err)
{
    const struct option own[] = {
        {.name = "output", .letter = 'o', .group = "Options", .value = "F", .set = option_text, .target = &c->output,
         .help = "F.npy or F.csv, which must not be there yet; - prints CSV"},
        {.name = "z", .group = "Options", .set = option_switch, .target = &c->options.z,
         .help = "the projection z, on which the loss was taken, in place of h"},
        {.name = "normalize", .group = "Options", .set = option_switch, .target = &c->options.normalize,
         .help = "make each row's length 1"},
        split_option(&c->splits),
    };
    const struct encoder_usage line = {.name = "simclr embed", .text = usage, .own = own, .own_count = sizeof own / sizeof own[0],
                                       .arguments = c->arguments, .most = MOST_ARGUMENTS};
    enum simclr_status status = encoder_command_parse(&c->encoder, &line, argc, argv, &c->count, err);
    if (status != SIMCLR_OK || c->encoder.help)
        return status;
    if (c->count == 0)
        return fail(err, SIMCLR_ERR_USAGE, "name the folder of a run, or one of its checkpoints");
    if (!c->output)
        return fail(err, SIMCLR_ERR_USAGE, "name the file to write: -o F.npy or F.csv; -o - prints CSV");
    return SIMCLR_OK;
}

static void summarize(const struct embed_command *c, const struct image_parts *parts, const struct embed_result *r)
{
    char output[PATH_SIZE];
    int stem = (int)strlen(text_printable(output, sizeof output, c->output)) - 4;
    bool csv = strcmp(output + stem, ".csv") == 0;
    printf("embedded %zu image%s into %s: %d numbers each, %s after step %llu\n", r->images, text_plural(r->images), output, r->dim,
           c->options.z ? "z" : "h", (unsigned long long)c->encoder.encoder.step);
    if (!csv)
        printf("names: %.*s.names.txt\n", stem, output);
    if (!csv && r->labels)
        printf("labels: %.*s.labels.npy\n", stem, output);
    if (r->broken > 0)
        printf("%zu broken image%s left out; %.*s.broken.txt lists them\n", r->broken, r->broken == 1 ? " was" : "s were", stem, output);
    if (parts->test_left_out)
        printf("the test split was left out; --split all takes it too\n");
}

static enum simclr_status embed(struct embed_command *c, const struct image_parts *parts, struct simclr_error *err)
{
    bool print = strcmp(c->output, "-") == 0;
    struct network *network = c->encoder.encoder.network;
    const struct engine *engine = &c->encoder.engine;
    struct embed_result result;
    struct progress progress = progress_begin(print ? stderr : stdout);
    c->options.parts = parts->count > 1;
    c->options.batch = c->encoder.batch_size;
    enum simclr_status status =
        print ? embed_print(STDOUT_FILENO, "the output", network, parts->part, parts->count, &c->options, engine, progress_images, &progress,
                            &result, err)
              : embed_write(c->output, network, parts->part, parts->count, &c->options, engine, progress_images, &progress, &result, err);
    progress_end(&progress);
    if (status == SIMCLR_OK && print) /* then all else goes to stderr */
        encoder_tell_broken(parts);
    else if (status == SIMCLR_OK)
        summarize(c, parts, &result);
    return status;
}

int cmd_embed(int argc, char **argv)
{
    static struct embed_command c;
    struct image_parts parts = {.count = 0};
    struct simclr_error err = {.text = ""};
    enum simclr_status status = parse(&c, argc, argv, &err);
    if (status == SIMCLR_OK && c.encoder.help)
        return EXIT_DONE;
    if (status == SIMCLR_OK)
        status = encoder_command_open(&c.encoder, c.arguments[0], &err);
    if (status == SIMCLR_OK) {
        const struct image_source source = encoder_data_or_files(&c.encoder, c.arguments + 1, c.count - 1);
        status = image_parts_open(&parts, &c.encoder.encoder, &source, c.splits, &c.encoder.engine, &err);
    }
    if (status == SIMCLR_OK)
        status = embed(&c, &parts, &err);
    image_parts_close(&parts);
    encoder_close(&c.encoder.encoder);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
