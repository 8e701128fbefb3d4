/* simclr finetune: an encoder becomes a classifier, on a share of the labels. */
#include "cli/encoder.h"
#include "cli/progress.h"

#include "base/status.h"
#include "base/text.h"
#include "io/file.h"
#include "train/finetune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 4096 };

struct finetune_command {
    struct encoder_command encoder;
    const char *run, *data, *output;
    double labels;
    bool untrained;
};

static const char usage[] =
    "Usage: simclr finetune RUN [DATA] [--labels 10%] [OPTION...]\n\n"
    "Trains the whole encoder of RUN, a run's folder or one of its checkpoints, with a linear classifier\n"
    "on its features h, on a share of the labels: SimCLR's protocol (SGD with Nesterov's momentum 0.9, a\n"
    "rate that falls along a cosine, no weight decay, crops and flips only). DATA is what train takes,\n"
    "with labels; without it the run's own. The share is taken of each class, at least one image, by\n"
    "--seed; fewer labels are part of more. The classifier is tested once, at the end, on DATA's test\n"
    "split, else on one image in ten that is held out, as by eval. Equal settings give equal bits on\n"
    "every machine.\n\n"
    "  FOLDER/classifier.safetensors   what 'simclr predict FOLDER IMAGE...' takes, and torchvision's\n"
    "                                  ResNets, fc too\n"
    "  FOLDER/metrics.jsonl, config.json, classes.txt\n\n"
    "The folder appears when all is done; a stopped fine-tuning leaves nothing.\n";

/* "10%", "0.5 %" */
static enum simclr_status set_labels(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    char *end;
    double percent = strtod(text, &end);
    bool digits = strchr("0123456789.", text[0]) != NULL && end != text;
    if (digits && !*end)
        return fail(err, SIMCLR_ERR_USAGE, "%s: %.40s lacks its percent sign; write %.40s%%", label, text, text);
    if (!digits || strcmp(end + strspn(end, " "), "%") != 0)
        return fail(err, SIMCLR_ERR_USAGE, "%s: '%.80s' is not a share of the labels such as 1%%, 10%% or 100%%", label, text);
    if (!(percent > 0 && percent <= 100))
        return fail(err, SIMCLR_ERR_USAGE, "%s: %.40s is out of range; it must be over 0%% and at most 100%%", label, text);
    *(double *)option->target = percent;
    return SIMCLR_OK;
}

static enum simclr_status parse(struct finetune_command *c, int argc, char **argv, struct simclr_error *err)
{
    const struct option own[] = {
        {.name = "labels", .group = "Options", .value = "P%", .set = set_labels, .target = &c->labels,
         .help = "percent of each class's images to train on [100%]"},
        {.name = "output", .letter = 'o', .group = "Options", .value = "FOLDER", .set = option_text, .target = &c->output,
         .help = "the new folder [beside the run's checkpoints, finetune-10 for 10%]"},
        {.name = "untrained", .group = "Options", .set = option_switch, .target = &c->untrained,
         .help = "begin with the run's random weights, for comparison"},
        encoder_setting("epochs", "passes over the images [30; 60 below 10% of the labels]", &c->encoder.given),
        encoder_setting("lr", "learning rate, times batch / 256 [0.05]", &c->encoder.given),
        encoder_setting("seed", "of the images that are chosen, their order and crops [0]", &c->encoder.given),
    };
    const char *rest[2] = {NULL, NULL};
    size_t count;
    const struct encoder_usage line = {.name = "simclr finetune", .text = usage, .own = own, .own_count = sizeof own / sizeof own[0],
                                       .batch_help = "images a step, if there are so many [64]", .arguments = rest, .most = 2};
    c->encoder.given.lr = 0.05;
    enum simclr_status status = encoder_command_parse(&c->encoder, &line, argc, argv, &count, err);
    if (status != SIMCLR_OK || c->encoder.help)
        return status;
    if (count == 0)
        return fail(err, SIMCLR_ERR_USAGE, "name the run whose encoder is to be fine-tuned: simclr finetune RUN [DATA]");
    c->run = rest[0];
    c->data = rest[1];
    return SIMCLR_OK;
}

/* ---- What is shown ---- */

static void show_step(void *ctx, const struct finetune_progress *p, bool epoch_done)
{
    char text[256], eta[32];
    progress_duration(eta, p->eta_seconds);
    snprintf(text, sizeof text, "epoch %d/%d: loss %.4f, %.1f %% right, %.0f images/s, ETA %s", p->epoch, p->epochs, p->loss, 100 * p->accuracy,
             p->images_per_second, eta);
    if (epoch_done)
        progress_text(ctx, text);
    else
        progress_phase(ctx, text, (double)p->step / (double)p->steps);
}

static void show_plan(const struct finetune_command *c, const struct finetune *f)
{
    const struct train_config *s = &f->settings;
    char path[PATH_SIZE], data[PATH_SIZE];
    printf("encoder: %s%s\n         resnet%d", text_printable(path, sizeof path, c->encoder.encoder.path),
           c->untrained ? ", but its run's random weights" : "", s->network.depth);
    if (s->network.width != 1)
        printf(" x %g", s->network.width);
    printf(", %d px\n", s->network.image_size);
    printf("data:    %s\n         %g %% of the labels: %zu images of %d classes, ", s->data[0] ? text_printable(data, sizeof data, s->data)
           : "the generated set of shapes", f->options.labels, f->images, f->classes);
    if (f->fewest == f->most)
        printf("%zu of each\n", f->most);
    else
        printf("%zu to %zu of each\n", f->fewest, f->most);
    printf("         tested on %s\n", encoder_test_origin(&c->encoder, c->data != NULL, &f->data));
    printf("plan:    %d epoch%s of %llu step%s, batch %d, learning rate %g\n", s->epochs, text_plural((uint64_t)s->epochs),
           (unsigned long long)f->steps_per_epoch, text_plural(f->steps_per_epoch), s->batch_size,
           schedule_base(s->lr, s->lr_scaling, s->batch_size));
    fflush(stdout);
}

static void summarize(const char *output, const struct finetune *f, const struct finetune_result *r)
{
    char text[PATH_SIZE];
    double images = (double)r->test.images;
    text_printable(text, sizeof text, output);
    printf("%.1f %% of %zu test images are right", 100 * (double)r->test.right / images, r->test.images);
    if (f->classes > 10)
        printf(", %.1f %% among the first five", 100 * (double)r->test.in_five / images);
    printf("\nwritten: %s\n", text);
    if (r->broken > 0)
        printf("%zu image%s could not be read; %s/broken.txt lists them\n", r->broken, text_plural(r->broken), text);
    printf("next: simclr predict %s IMAGE...\n", text);
}

/* Beside the checkpoints. */
static const char *output_of(const struct finetune_command *c, char path[PATH_SIZE])
{
    const char *checkpoint = c->encoder.encoder.path, *slash = strrchr(checkpoint, '/');
    if (c->output)
        return c->output;
    snprintf(path, PATH_SIZE, "%.*sfinetune-%g%s", slash ? (int)(slash - checkpoint) + 1 : 0, checkpoint, c->labels,
             c->untrained ? "-untrained" : "");
    return path;
}

static enum simclr_status run(struct finetune_command *c, struct finetune *f, struct simclr_error *err)
{
    const struct finetune_options options = {.labels = c->labels, .batch_size = c->encoder.batch_size, .epochs = c->encoder.given.epochs,
                                             .lr = c->encoder.given.lr, .seed = c->encoder.given.seed, .untrained = c->untrained};
    const struct image_source source = encoder_images(&c->encoder, c->data);
    char path[PATH_SIZE];
    const char *output = output_of(c, path);
    struct finetune_result result;
    struct progress progress = progress_begin(stdout);
    const struct finetune_report report = {.step = show_step, .images = progress_images, .ctx = &progress};
    enum simclr_status status = file_must_be_new(output, "-o", err);
    if (status == SIMCLR_OK)
        status = finetune_open(f, &c->encoder.encoder, &source, &options, &c->encoder.engine, err);
    encoder_close(&c->encoder.encoder); /* the weights are taken */
    if (status != SIMCLR_OK)
        return status;
    show_plan(c, f);
    status = finetune_train(f, output, &report, &result, err);
    progress_end(&progress);
    if (status == SIMCLR_OK)
        summarize(output, f, &result);
    return status;
}

int cmd_finetune(int argc, char **argv)
{
    static struct finetune_command c = {.labels = 100};
    struct finetune f = {.names = NULL};
    struct simclr_error err = {.text = ""};
    enum simclr_status status = parse(&c, argc, argv, &err);
    if (status == SIMCLR_OK && c.encoder.help)
        return EXIT_DONE;
    if (status == SIMCLR_OK)
        status = encoder_command_open(&c.encoder, c.run, &err);
    if (status == SIMCLR_OK)
        status = run(&c, &f, &err);
    finetune_close(&f);
    encoder_close(&c.encoder.encoder);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
