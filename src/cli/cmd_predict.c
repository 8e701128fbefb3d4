/* simclr predict: the classes of images, by a classifier that 'simclr finetune' trained. */
#include "cli/encoder.h"
#include "cli/progress.h"

#include "base/status.h"
#include "base/text.h"
#include "eval/predict.h"
#include "train/classifier.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, MOST_ARGUMENTS = 4096 };

struct predict_command {
    struct encoder_command encoder; /* whose encoder is not used */
    const char *arguments[MOST_ARGUMENTS]; /* CLASSIFIER, then DATA or images */
    size_t count;
    const char *output; /* NULL: stdout */
    int top;
    bool json;
    enum image_splits splits;
};

static const char usage[] =
    "Usage: simclr predict CLASSIFIER DATA [OPTION...]\n"
    "       simclr predict CLASSIFIER IMAGE... [OPTION...]\n\n"
    "Tells the likeliest classes of images. CLASSIFIER is the folder that 'simclr finetune' wrote, or the\n"
    "classifier.safetensors in it; DATA is what train takes, or image files. Images are resized as for\n"
    "evaluation. Prints CSV: name, class and probability, with --top more classes in columns behind.\n"
    "What cannot be read has no row, and is listed on stderr. A row's digits depend on no ISA, threads\n"
    "or --batch-size.\n";

static enum simclr_status parse(struct predict_command *c, int argc, char **argv, struct simclr_error *err)
{
    static const struct option_range top_range = {1, 65536};
    const struct option own[] = {
        {.name = "top", .letter = 'k', .group = "Options", .value = "K", .set = option_int, .target = &c->top, .data = &top_range,
         .help = "classes told of an image, likeliest first [1]"},
        {.name = "json", .group = "Options", .set = option_switch, .target = &c->json, .help = "JSON in place of CSV"},
        {.name = "output", .letter = 'o', .group = "Options", .value = "FILE", .set = option_text, .target = &c->output,
         .help = "write to FILE, which must not be there yet [prints]"},
        split_option(&c->splits),
    };
    const struct encoder_usage line = {.name = "simclr predict", .text = usage, .own = own, .own_count = sizeof own / sizeof own[0],
                                       .arguments = c->arguments, .most = MOST_ARGUMENTS};
    enum simclr_status status = encoder_command_parse(&c->encoder, &line, argc, argv, &c->count, err);
    if (status != SIMCLR_OK || c->encoder.help)
        return status;
    if (c->count == 0)
        return fail(err, SIMCLR_ERR_USAGE, "name the folder of a classifier, and images: simclr predict CLASSIFIER IMAGE...");
    if (c->count == 1)
        return fail(err, SIMCLR_ERR_USAGE, "name images, or a folder of them: simclr predict %.200s IMAGE...", c->arguments[0]);
    return SIMCLR_OK;
}

static void summarize(const struct predict_command *c, const struct image_parts *parts, const struct predict_result *r)
{
    char output[PATH_SIZE];
    printf("told the classes of %zu image%s: %s\n", r->images, text_plural(r->images), text_printable(output, sizeof output, c->output));
    if (r->broken > 0)
        printf("%zu broken image%s left out\n", r->broken, r->broken == 1 ? " was" : "s were");
    if (parts->test_left_out)
        printf("the test split was left out; --split all takes it too\n");
}

static enum simclr_status predict(const struct predict_command *c, struct classifier *classifier, const struct image_parts *parts,
                                  struct simclr_error *err)
{
    const struct predict_options options = {.names = classifier->names, .classes = classifier->classes, .top = c->top, .json = c->json,
                                            .parts = parts->count > 1, .batch = c->encoder.batch_size};
    struct network *network = classifier->encoder.network;
    struct predict_result result;
    struct progress progress = progress_begin(c->output ? stdout : stderr);
    enum simclr_status status =
        c->output ? predict_write(c->output, network, parts->part, parts->count, &options, progress_images, &progress, &result, err)
                  : predict_print(STDOUT_FILENO, "the output", network, parts->part, parts->count, &options, progress_images, &progress,
                                  &result, err);
    progress_end(&progress);
    if (status == SIMCLR_OK && c->output)
        summarize(c, parts, &result);
    if (status == SIMCLR_OK)
        encoder_tell_broken(parts);
    return status;
}

int cmd_predict(int argc, char **argv)
{
    static struct predict_command c = {.top = 1};
    struct classifier classifier = {.names = NULL};
    struct image_parts parts = {.count = 0};
    struct simclr_error err = {.text = ""};
    enum simclr_status status = parse(&c, argc, argv, &err);
    if (status == SIMCLR_OK && c.encoder.help)
        return EXIT_DONE;
    if (status == SIMCLR_OK)
        status = cli_engine_until_stopped(&c.encoder.engine, c.encoder.isa, c.encoder.threads, &err);
    if (status == SIMCLR_OK)
        status = classifier_open(&classifier, c.arguments[0], c.encoder.batch_size, &c.encoder.engine, &err);
    if (status == SIMCLR_OK) {
        const struct image_source source = encoder_data_or_files(&c.encoder, c.arguments + 1, c.count - 1);
        status = image_parts_open(&parts, &classifier.encoder, &source, c.splits, &c.encoder.engine, &err);
    }
    if (status == SIMCLR_OK)
        status = predict(&c, &classifier, &parts, &err);
    image_parts_close(&parts);
    classifier_close(&classifier);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
