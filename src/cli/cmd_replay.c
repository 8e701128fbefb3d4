/* simclr replay: a step whose numbers were not finite, once more, with what every layer makes of it. */
#include "cli/cli.h"

#include "base/status.h"
#include "base/text.h"
#include "train/nonfinite.h"

#include <stdio.h>
#include <string.h>

struct replay_command {
    const char *path, *isa;
    int threads;
    bool help;
    const struct engine *engine;
    bool backward, wrong; /* seen so far */
};

static void begin(void *ctx, const struct replay *replay)
{
    const struct replay_command *c = ctx;
    printf("step %llu from %s: %d images, %s kernels, %d thread%s\n", (unsigned long long)replay->step, replay->folder, replay->images,
           c->engine->kernels->name, c->engine->threads, text_plural((uint64_t)c->engine->threads));
    printf("the run found: %s\n\n%-28s%-18s%14s%14s%12s%12s\n", replay->recorded, "forward", "", "min", "max", "NaN", "infinite");
}

/* A line a layer, and what else went wrong. */
static void show(void *ctx, const struct watched *t)
{
    struct replay_command *c = ctx;
    if (t->backward && !c->backward)
        printf("\nbackward, of each output\n");
    c->backward = t->backward;
    bool ordinary = strcmp(t->tensor, "output") == 0 || strcmp(t->tensor, "gradient") == 0;
    if (!ordinary && !t->wrong && strncmp(t->layer, "images", 6) != 0)
        return;
    printf("%-28s%-18s%14.6g%14.6g%12zu%12zu%s\n", t->layer, t->tensor, (double)t->min, (double)t->max, t->nan, t->infinite,
           !t->wrong ? "" : c->wrong ? "  wrong" : "  FIRST WRONG");
    c->wrong |= t->wrong;
}

static enum simclr_status parse(struct replay_command *c, int argc, char **argv, struct simclr_error *err)
{
    size_t rest;
    struct option options[CLI_COMMON_OPTIONS];
    const size_t count = cli_common_options(options, "Options", &c->threads, &c->isa, &c->help);
    enum simclr_status status = options_parse(argc, argv, options, count, "simclr replay", &c->path, 1, &rest, err);
    if (status == SIMCLR_OK && !c->help && rest == 0)
        status = fail(err, SIMCLR_ERR_USAGE, "name the folder of a run, or one of its nonfinite-* folders");
    if (status != SIMCLR_OK || !c->help)
        return status;
    printf("Usage: simclr replay RUN [OPTION...]\n\n"
           "Repeats the step at which the loss or a gradient of RUN was not a finite number: the newest, or\n"
           "the one whose folder RUN/nonfinite-* is named. Shows for every layer, in the order of\n"
           "computation, the least and largest finite value and how many are not numbers. The images are\n"
           "not needed, nothing is written, and the bits are those of the run on every machine.\n");
    options_help(stdout, options, count);
    return SIMCLR_OK;
}

int cmd_replay(int argc, char **argv)
{
    struct replay_command c = {.threads = 0};
    struct engine engine;
    struct replay replay;
    struct simclr_error err = {.text = ""};
    char found[sizeof replay.recorded];
    enum simclr_status status = parse(&c, argc, argv, &err);
    if (status == SIMCLR_OK && c.help)
        return EXIT_DONE;
    if (status == SIMCLR_OK)
        status = cli_engine(&engine, c.isa, c.threads, &err);
    c.engine = &engine;
    if (status == SIMCLR_OK)
        status = nonfinite_replay(&replay, c.path, &engine, begin, show, &c, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    first_wrong_text(found, sizeof found, &replay.first);
    printf("\nfirst wrong: %s\n", found);
    if (strcmp(found, replay.recorded) == 0)
        return EXIT_DONE;
    fail(&err, SIMCLR_ERR_NONFINITE, "this is not what the run found (%s), though bits are the same on every machine: "
         "suspect the memory of one of the two", replay.recorded);
    return cli_fail(SIMCLR_ERR_NONFINITE, &err);
}
