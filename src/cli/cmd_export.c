/* simclr export: a run's encoder as a file that other programs open. */
#include "cli/cli.h"

#include "base/status.h"
#include "base/text.h"
#include "train/export.h"

#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 4096 };

struct export_command {
    const char *run, *output;
    bool head, help;
};

static void help(const struct option *options, size_t count)
{
    printf("Usage: simclr export RUN -o FILE.safetensors|FILE.onnx [--head]\n\n"
           "Writes a trained encoder as a file that other programs open. RUN is a run's folder, whose newest\n"
           "whole checkpoint is taken, or one checkpoint-*.safetensors. The run may go on meanwhile.\n\n"
           "  FILE.safetensors  weights and running statistics under torchvision's names: load_state_dict takes\n"
           "                    them strictly, once the model's fc is replaced by torch.nn.Identity()\n"
           "  FILE.onnx         a graph from 'images' (N, C, H, W) to features 'h' (N, D), for any N, H and W\n\n"
           "Both expect what the network was trained on: RGB bytes / 255, without subtracting a mean or dividing\n"
           "by a deviation. Equal weights give equal bytes.\n");
    options_help(stdout, options, count);
}

static enum simclr_status parse(struct export_command *c, int argc, char **argv, struct simclr_error *err)
{
    const struct option options[] = {
        {.name = "output", .letter = 'o', .group = "Options", .value = "FILE", .set = option_text, .target = &c->output,
         .help = "the file to write, .safetensors or .onnx; it must not be there yet"},
        {.name = "head", .group = "Options", .set = option_switch, .target = &c->head,
         .help = "the projection head too: tensors head.*, or an output 'z'"},
        {.name = "help", .letter = 'h', .group = "Options", .set = option_switch, .target = &c->help, .help = "show this"},
    };
    size_t rest, count = sizeof options / sizeof options[0];
    enum simclr_status status = options_parse(argc, argv, options, count, "simclr export", &c->run, 1, &rest, err);
    if (status != SIMCLR_OK)
        return status;
    if (c->help) {
        help(options, count);
        return SIMCLR_OK;
    }
    if (rest == 0 || !c->run[0])
        return fail(err, SIMCLR_ERR_USAGE, "name the run's folder, or one of its checkpoints: simclr export RUN -o FILE");
    if (!c->output)
        return fail(err, SIMCLR_ERR_USAGE, "name the file to write: -o FILE.safetensors or -o FILE.onnx");
    return export_check(c->output, err);
}

/* A checkpoint_tell_fn. */
static void tell(void *ctx, bool warning, const char *text)
{
    (void)ctx;
    fprintf(stderr, "simclr: %s%s\n", warning ? "warning: " : "", text);
}

static void summarize(const struct export_command *c, const struct encoder *encoder)
{
    const struct network_config *network = &encoder->config.network;
    char output[PATH_SIZE], checkpoint[PATH_SIZE];
    text_printable(output, sizeof output, c->output);
    printf("%s: ResNet-%d, width %g, %s stem, of %s (%llu steps)\n", output, network->depth, network->width,
           network->stem == STEM_CIFAR ? "cifar" : "imagenet", text_printable(checkpoint, sizeof checkpoint, encoder->path),
           (unsigned long long)encoder->step);
    if (strcmp(output + strlen(output) - 5, ".onnx") == 0)
        printf("'images' (N, %d, H, W) -> 'h' (N, %d)", network->channels, network_feature_dim(encoder->network));
    else
        printf("features h of %d columns", network_feature_dim(encoder->network));
    if (c->head)
        printf("; the projection z has %d", network->out_dim);
    printf("\n");
}

int cmd_export(int argc, char **argv)
{
    struct export_command c = {.run = NULL};
    struct engine engine;
    struct encoder encoder;
    struct simclr_error err = {.text = ""};
    enum simclr_status status = parse(&c, argc, argv, &err);
    if (status == SIMCLR_OK && c.help)
        return EXIT_DONE;
    if (status == SIMCLR_OK)
        status = cli_engine(&engine, NULL, 1, &err); /* nothing is computed */
    if (status == SIMCLR_OK)
        status = encoder_open(&encoder, c.run, 1, &engine, tell, NULL, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    status = export_encoder(c.output, &encoder, c.head, &err);
    if (status == SIMCLR_OK)
        summarize(&c, &encoder);
    encoder_close(&encoder);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
