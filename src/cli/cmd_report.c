/* simclr report: a run on one HTML page. */
#include "cli/encoder.h"
#include "cli/progress.h"
#include "cli/report_page.h"

#include "base/status.h"
#include "base/text.h"
#include "io/file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, IMAGES = 2000 };

struct report_command {
    struct encoder_command encoder;
    const char *arguments[2]; /* RUN, DATA */
    size_t count;
    const char *output;
    enum image_splits splits;
};

static const char usage[] =
    "Usage: simclr report RUN [DATA] [-o REPORT.html] [OPTION...]\n\n"
    "Writes one page, which needs nothing else, about RUN, a run's folder or one checkpoint: curves, maps\n"
    "of the embedding by t-SNE and PCA with pictures, nearest neighbours, what the augmentations do,\n"
    "settings, machine and time. Images are those of DATA, else of the run. But for machine and time the\n"
    "bytes depend on no ISA, threads or --batch-size.\n";

static enum simclr_status parse(struct report_command *c, int argc, char **argv, struct simclr_error *err)
{
    const struct option own[] = {
        {.name = "output", .letter = 'o', .group = "Options", .value = "REPORT.html", .set = option_text, .target = &c->output,
         .help = "the page to write; it must not be there yet [report.html]"},
        split_option(&c->splits),
    };
    const struct encoder_usage line = {.name = "simclr report", .text = usage, .own = own, .own_count = sizeof own / sizeof own[0],
                                       .limit_help = "show at most N images of DATA, spread over it [2000]", .arguments = c->arguments,
                                       .most = 2};
    enum simclr_status status = encoder_command_parse(&c->encoder, &line, argc, argv, &c->count, err);
    if (status != SIMCLR_OK || c->encoder.help)
        return status;
    if (c->count == 0)
        return fail(err, SIMCLR_ERR_USAGE, "name the folder of a run, or one of its checkpoints");
    if (c->splits == IMAGES_ALL)
        return fail(err, SIMCLR_ERR_USAGE, "--split all: a report shows one split; name train, test or labelled");
    return file_must_be_new(c->output, "-o", err);
}

static enum simclr_status read_history(struct report *r, struct simclr_error *err)
{
    char path[PATH_SIZE + 16];
    strcpy(path, r->encoder->path);
    char *slash = strrchr(path, '/');
    strcpy(slash ? slash + 1 : path, "metrics.jsonl");
    return history_read(&r->history, path, err);
}

static enum simclr_status compute_features(const struct report_command *c, struct report *r, struct simclr_error *err)
{
    struct progress progress = progress_begin(stderr);
    enum simclr_status status = bank_compute(&r->bank, c->encoder.encoder.network, r->part, 1, c->encoder.batch_size, r->engine, progress_images,
                                             &progress, err);
    progress_end(&progress);
    if (status == SIMCLR_OK && r->bank.broken > 0)
        fprintf(stderr, "simclr: %zu image%s could not be read\n", r->bank.broken, text_plural(r->bank.broken));
    return status;
}

static enum simclr_status write_page(const struct report_command *c, const struct report *r, struct simclr_error *err)
{
    struct buffer page = {.data = NULL};
    report_begin(&page, r);
    enum simclr_status status = report_curves(&page, r, err);
    if (status == SIMCLR_OK)
        status = report_map(&page, r, err);
    if (status == SIMCLR_OK)
        status = report_neighbours(&page, r, err);
    if (status == SIMCLR_OK)
        status = report_views(&page, r, err);
    if (status == SIMCLR_OK)
        status = report_settings(&page, r, err);
    report_end(&page, r);
    if (status == SIMCLR_OK && page.failed)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %s; use --limit", c->output);
    if (status == SIMCLR_OK)
        status = file_write_atomic(c->output, page.data, page.size, err);
    char output[PATH_SIZE];
    if (status == SIMCLR_OK)
        printf("%s: %zu images, %.1f MB\n", text_printable(output, sizeof output, c->output), r->bank.rows, (double)page.size / 1e6);
    buffer_free(&page);
    return status;
}

/* What is shown unless --limit asks for more: no images of the run's own that it was not given. */
static size_t most_images(const struct report *r)
{
    size_t limit = r->data ? 0 : r->encoder->config.limit;
    return limit > 0 && limit < IMAGES ? limit : IMAGES;
}

int cmd_report(int argc, char **argv)
{
    static struct report_command c = {.output = "report.html"};
    struct simclr_error err = {.text = ""};
    struct image_parts parts = {.count = 0};
    struct report r = {.encoder = &c.encoder.encoder, .engine = &c.encoder.engine};
    enum simclr_status status = parse(&c, argc, argv, &err);
    if (status == SIMCLR_OK && c.encoder.help)
        return EXIT_DONE;
    if (status == SIMCLR_OK)
        status = encoder_command_open(&c.encoder, c.arguments[0], &err);
    r.run = c.arguments[0];
    r.data = c.count > 1 ? c.arguments[1] : NULL;
    if (c.encoder.given.limit == 0)
        c.encoder.given.limit = most_images(&r);
    const struct image_source source = encoder_images(&c.encoder, r.data);
    if (status == SIMCLR_OK)
        status = image_parts_open(&parts, r.encoder, &source, c.splits, r.engine, &err);
    r.part = parts.part;
    if (status == SIMCLR_OK)
        status = read_history(&r, &err);
    if (status == SIMCLR_OK)
        status = compute_features(&c, &r, &err);
    if (status == SIMCLR_OK)
        status = write_page(&c, &r, &err);
    history_free(&r.history);
    bank_free(&r.bank);
    image_parts_close(&parts);
    encoder_close(&c.encoder.encoder);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
