#include "cli/encoder.h"

#include "base/text.h"

#include <stdio.h>

enum { BATCH = 64 };
static const struct option_range batch_range = {1, 65536};

size_t encoder_options(struct option options[ENCODER_OPTIONS], struct encoder_command *c)
{
    static const char group[] = "Options";
    c->batch_size = BATCH;
    options[0] = (struct option){.name = "batch-size", .letter = 'b', .group = group, .value = "N", .set = option_int, .target = &c->batch_size,
                                 .data = &batch_range, .help = "images a pass: memory and speed, never a result [64]"};
    options[1] = cli_setting(train_setting_find("limit"), &c->given);
    options[1].help = "use at most N images of DATA, spread over it; 0: all [0]";
    options[2] = cli_setting(train_setting_find("max-pixels"), &c->given);
    options[2].help = "larger images count as broken; default: as the run";
    options[1].group = options[2].group = group;
    return 3 + cli_common_options(options + 3, group, &c->threads, &c->isa, &c->help);
}

static void warn(void *ctx, bool warning, const char *text)
{
    (void)ctx, (void)warning;
    char line[4096];
    fprintf(stderr, "simclr: %s\n", text_printable(line, sizeof line, text));
}

enum simclr_status encoder_command_open(struct encoder_command *c, const char *run, struct simclr_error *err)
{
    enum simclr_status status = cli_engine(&c->engine, c->isa, c->threads, err);
    if (status != SIMCLR_OK)
        return status;
    cli_catch_stop();
    c->engine.stop = cli_stopped;
    return encoder_open(&c->encoder, run, c->batch_size, &c->engine, warn, NULL, err);
}

struct image_source encoder_images(const struct encoder_command *c, const char *data)
{
    return (struct image_source){.path = data, .limit = c->given.limit, .max_pixels = c->given.max_pixels};
}
