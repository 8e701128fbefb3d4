/* simclr eval: what a run's encoder is worth to others, by kNN and a linear probe on its features. */
#include "cli/cli.h"
#include "cli/encoder.h"
#include "cli/eval_report.h"
#include "cli/progress.h"

#include "base/status.h"

#include <inttypes.h>
#include <stdio.h>

struct eval_command {
    struct encoder_command encoder;
    const char *run, *data;
    bool untrained, per_class, json;
};

static const char usage[] =
    "Usage: simclr eval RUN [DATA] [OPTION...]\n\n"
    "Judges a frozen encoder by how well simple classifiers do on its features h, and on the\n"
    "projections z: kNN over several k and T, and a linear probe (logistic regression by L-BFGS on\n"
    "standardised features, regularised as suits a tenth of its training images best). RUN is a\n"
    "run's folder or one of its checkpoints; DATA is what train takes, with labels; without it the\n"
    "run's own. Classifiers are tested on DATA's test split, else on one image in ten that is held\n"
    "out. Nothing is trained but the classifiers, and nothing is written.\n";

static enum simclr_status parse(struct eval_command *c, int argc, char **argv, struct simclr_error *err)
{
    const struct option own[] = {
        {.name = "untrained", .group = "Options", .set = option_switch, .target = &c->untrained,
         .help = "also judge the weights that the run began with, for comparison"},
        {.name = "per-class", .group = "Options", .set = option_switch, .target = &c->per_class,
         .help = "also show the probe's accuracy for each class"},
        {.name = "json", .group = "Options", .set = option_switch, .target = &c->json,
         .help = "print all figures as JSON; progress goes to stderr"},
        encoder_setting("seed", "of the images that choose the probe's regularisation [0]", &c->encoder.given),
    };
    const char *rest[2] = {NULL, NULL};
    size_t rest_count;
    const struct encoder_usage line = {.name = "simclr eval", .text = usage, .own = own, .own_count = sizeof own / sizeof own[0],
                                       .arguments = rest, .most = 2};
    enum simclr_status status = encoder_command_parse(&c->encoder, &line, argc, argv, &rest_count, err);
    if (status != SIMCLR_OK || c->encoder.help)
        return status;
    if (rest_count == 0)
        return fail(err, SIMCLR_ERR_USAGE, "name the run to judge: simclr eval RUN [DATA]");
    c->run = rest[0];
    c->data = rest[1];
    return SIMCLR_OK;
}

static enum simclr_status judge(struct evaluation *evaluation, const struct eval_command *c, struct network *network,
                                const struct run_data *data, struct progress *progress, struct simclr_error *err)
{
    const struct train_config *config = &c->encoder.encoder.config;
    struct evaluate_options options = {.batch = c->encoder.batch_size, .k = config->knn_k, .temperature = config->knn_temperature,
                                       .seed = c->encoder.given.seed, .report = progress_phase, .report_images = progress_images,
                                       .ctx = progress};
    enum simclr_status status = evaluate(evaluation, network, data->bank, data->test, data->classes, &options, &c->encoder.engine, err);
    progress_end(progress);
    return status;
}

/* The same network with the weights that training began with. */
static enum simclr_status judge_untrained(struct evaluation *evaluation, const struct eval_command *c, const struct run_data *data,
                                          struct progress *progress, struct simclr_error *err)
{
    struct network *network;
    enum simclr_status status = network_create(&network, &c->encoder.encoder.config.network, &c->encoder.engine, c->encoder.batch_size,
                                               false, err);
    if (status != SIMCLR_OK)
        return status;
    status = judge(evaluation, c, network, data, progress, err);
    network_free(network);
    return status;
}

static enum simclr_status run(struct eval_command *c, const struct run_data *data, struct simclr_error *err)
{
    const struct encoder *encoder = &c->encoder.encoder;
    struct progress progress = progress_begin(c->json ? stderr : stdout);
    struct evaluation trained, untrained = {.classes = 0};
    uint64_t before = encoder_hash(encoder);
    enum simclr_status status = judge(&trained, c, encoder->network, data, &progress, err);
    if (status != SIMCLR_OK)
        return status;
    uint64_t after = encoder_hash(encoder);
    if (after != before)
        status = fail(err, SIMCLR_ERR_FORMAT, "the encoder's weights changed while they were judged (CRC-64 %016" PRIx64 ", then %016" PRIx64
                      "): the memory is faulty, or this program is", before, after);
    if (status == SIMCLR_OK && c->untrained)
        status = judge_untrained(&untrained, c, data, &progress, err);
    struct eval_report report = {.encoder = encoder, .hash = before, .data = data, .path = c->data ? c->data : encoder->config.data,
                                 .test_origin = encoder_test_origin(&c->encoder, c->data != NULL, data), .k = encoder->config.knn_k, .trained = &trained,
                                 .untrained = c->untrained ? &untrained : NULL, .per_class = c->per_class};
    if (status == SIMCLR_OK && c->json)
        status = eval_print_json(&report, err);
    else if (status == SIMCLR_OK)
        eval_print(&report);
    evaluation_free(&trained);
    evaluation_free(&untrained);
    return status;
}

int cmd_eval(int argc, char **argv)
{
    static struct eval_command c;
    struct run_data data = {.train = NULL};
    struct train_config config;
    struct simclr_error err = {.text = ""};
    enum simclr_status status = parse(&c, argc, argv, &err);
    if (status != SIMCLR_OK || c.encoder.help)
        return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
    status = encoder_command_open(&c.encoder, c.run, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    struct image_source source = encoder_images(&c.encoder, c.data);
    status = encoder_run_data(&data, &config, &c.encoder.encoder, &source, &c.encoder.engine, &err);
    if (status == SIMCLR_OK)
        status = run(&c, &data, &err);
    run_data_close(&data);
    encoder_close(&c.encoder.encoder);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
