/* simclr search: the nearest images to a picture, or near-duplicates within a set. */
#include "cli/encoder.h"
#include "cli/progress.h"
#include "cli/search_report.h"

#include "base/status.h"
#include "base/text.h"
#include "eval/duplicates.h"
#include "eval/similarity.h"
#include "io/file.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_ARGUMENTS = 4096, ARGUMENTS = 2 /* RUN and DATA, before the images */ };

/* Of 120 photographs and copies of them, resized to 60 % or compressed to JPEG quality 40, under an encoder trained for 60 steps: 98 in 100
 * copies had 0.9994 or more, no two others more than 0.9981. Copies cut by a twentieth (0.987 or more) lie among the others. */
static const double COPIES = 0.999;

struct search_command {
    struct encoder_command encoder;
    const char *arguments[MOST_ARGUMENTS];
    size_t count;
    const char *index, *html;
    int k;
    bool duplicates, json;
    double threshold;
    enum image_splits splits;
    struct image_parts parts;
    struct bank bank;
};

/* ---- The command line ---- */

static enum simclr_status set_threshold(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value > 0 && value <= 1))
        return fail(err, SIMCLR_ERR_USAGE, "%s: '%.80s' is not a cosine between 0 and 1", label, text);
    *(double *)option->target = value;
    return SIMCLR_OK;
}

static const char usage[] =
    "Usage: simclr search RUN DATA IMAGE... [OPTION...]\n"
    "       simclr search RUN DATA --duplicates [OPTION...]\n\n"
    "Finds the images of DATA that are most similar to each IMAGE, by the cosine of their features h\n"
    "under the encoder of RUN (a run's folder or one checkpoint), or groups of near-duplicates in DATA:\n"
    "images that a chain of similar ones joins (by default copies, resized or compressed anew; a lower\n"
    "--threshold finds more and errs more). DATA is what train takes. The result depends on no ISA,\n"
    "threads or --batch-size.\n\n"
    "  simclr embed RUN DATA -o F.npy               computes the features once,\n"
    "  simclr search RUN DATA --index F.npy IMAGE   then a search takes no time\n";

static enum simclr_status check(const struct search_command *c, struct simclr_error *err)
{
    if (c->count < ARGUMENTS)
        return fail(err, SIMCLR_ERR_USAGE, "name the folder of a run, the data to search, and images to look for or --duplicates");
    if (c->count == ARGUMENTS && !c->duplicates)
        return fail(err, SIMCLR_ERR_USAGE, "name images to look for, or --duplicates");
    if (c->count > ARGUMENTS && c->duplicates)
        return fail(err, SIMCLR_ERR_USAGE, "--duplicates compares the images of DATA with each other; leave %s out", c->arguments[ARGUMENTS]);
    return c->html ? file_must_be_new(c->html, "--html", err) : SIMCLR_OK;
}

static enum simclr_status parse(struct search_command *c, int argc, char **argv, struct simclr_error *err)
{
    static const struct option_range k_range = {1, 100000};
    const struct option own[] = {
        {.name = "neighbours", .alias = "neighbors", .letter = 'k', .group = "Options", .value = "K", .set = option_int, .target = &c->k,
         .data = &k_range, .help = "images shown for each IMAGE [10]"},
        {.name = "duplicates", .group = "Options", .set = option_switch, .target = &c->duplicates, .help = "groups of near-duplicates in DATA"},
        {.name = "threshold", .group = "Options", .value = "X", .set = set_threshold, .target = &c->threshold,
         .help = "least cosine of near-duplicates [0.999]"},
        {.name = "html", .group = "Options", .value = "FILE", .set = option_text, .target = &c->html,
         .help = "write a contact sheet, one page with all pictures in it"},
        {.name = "json", .group = "Options", .set = option_switch, .target = &c->json, .help = "print the result as JSON"},
        {.name = "index", .group = "Options", .value = "F.npy", .set = option_text, .target = &c->index,
         .help = "features of DATA that 'simclr embed' computed"},
        split_option(&c->splits),
    };
    const struct encoder_usage line = {.name = "simclr search", .text = usage, .own = own, .own_count = sizeof own / sizeof own[0],
                                       .arguments = c->arguments, .most = MOST_ARGUMENTS};
    enum simclr_status status = encoder_command_parse(&c->encoder, &line, argc, argv, &c->count, err);
    return status != SIMCLR_OK || c->encoder.help ? status : check(c, err);
}

/* ---- Neighbours ---- */

struct ranking {
    struct neighbour *ranked; /* (queries, k) */
    int *found;
    int k;
};

/* A neighbours_fn. */
static void keep(void *ctx, size_t query, const struct neighbour *ranked, int count, int thread)
{
    (void)thread;
    const struct ranking *r = ctx;
    memcpy(r->ranked + query * (size_t)r->k, ranked, (size_t)count * sizeof *ranked);
    r->found[query] = count;
}

static enum simclr_status show_neighbours(const struct search_command *c, const struct search_images *images,
                                          const struct search_neighbours *found, struct simclr_error *err)
{
    enum simclr_status status = SIMCLR_OK;
    if (c->json)
        status = print_neighbours_json(images, found, err);
    else
        print_neighbours(images, found);
    return status == SIMCLR_OK && c->html ? write_neighbours_sheet(c->html, images, found, err) : status;
}

/* What is wrong with images to look for is told when the others are done, and is a failure. */
static enum simclr_status tell_broken(const struct image_part *queries, struct simclr_error *err)
{
    const char *const *messages;
    size_t n = loader_broken(queries->loader, &messages);
    if (n == 0)
        return SIMCLR_OK;
    for (size_t i = 0; messages && i + 1 < n; i++)
        fprintf(stderr, "simclr: %s\n", messages[i]);
    return fail(err, SIMCLR_ERR_FORMAT, "%s", messages ? messages[n - 1] : "images cannot be read");
}

static enum simclr_status find_neighbours(const struct search_command *c, const struct search_images *images, const struct image_part *queries,
                                          struct simclr_error *err)
{
    size_t count = loader_size(queries->loader), d = (size_t)c->bank.d;
    int k = (size_t)c->k < c->bank.rows ? c->k : (int)c->bank.rows;
    float *x = malloc(count * d * sizeof *x);
    int *labels = malloc(count * sizeof *labels);
    struct ranking r = {.ranked = malloc(count * (size_t)k * sizeof *r.ranked), .found = malloc(count * sizeof *r.found), .k = k};
    enum simclr_status status = SIMCLR_OK;
    if (!x || !labels || !r.ranked || !r.found)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %d neighbours of %zu images", k, count);
    if (status == SIMCLR_OK)
        status = features_compute(c->encoder.encoder.network, queries->loader, x, NULL, labels, c->encoder.batch_size, NULL, err);
    if (status == SIMCLR_OK) {
        normalize_rows(images->engine, x, count, c->bank.d);
        status = neighbours_find(images->engine, c->bank.x, NULL, c->bank.rows, x, count, c->bank.d, k, keep, &r, err);
    }
    struct search_neighbours found = {.queries = *queries, .labels = labels, .ranked = r.ranked, .found = r.found, .k = k};
    if (status == SIMCLR_OK)
        status = show_neighbours(c, images, &found, err);
    if (status == SIMCLR_OK)
        status = tell_broken(queries, err);
    free(x);
    free(labels);
    free(r.ranked);
    free(r.found);
    return status;
}

static enum simclr_status search(const struct search_command *c, const struct search_images *images, struct simclr_error *err)
{
    struct image_source source = encoder_image_files(&c->encoder, c->arguments + ARGUMENTS, c->count - ARGUMENTS);
    struct image_parts queries;
    source.limit = 0; /* it is DATA's */
    enum simclr_status status = image_parts_open(&queries, &c->encoder.encoder, &source, IMAGES_TRAIN, images->engine, err);
    if (status == SIMCLR_OK)
        status = find_neighbours(c, images, &queries.part[0], err);
    image_parts_close(&queries);
    return status;
}

/* ---- Duplicates ---- */

/* The rows of every group of two or more, group after group; first has room for rows / 2 + 1. */
static void list_groups(struct search_groups *g, struct neighbour *members, size_t *first, const uint32_t *group, const struct bank *bank,
                        const struct kernels *kernels, uint32_t *next, uint32_t *last)
{
    size_t d = (size_t)bank->d, n = 0;
    for (size_t i = 0; i < bank->rows; i++) { /* lists: the lowest row leads to the next of its group */
        next[i] = UINT32_MAX;
        last[i] = (uint32_t)i;
        if (group[i] != i) {
            next[last[group[i]]] = (uint32_t)i;
            last[group[i]] = (uint32_t)i;
        }
    }
    for (size_t i = 0; i < bank->rows; i++) {
        if (group[i] != i || next[i] == UINT32_MAX)
            continue;
        first[g->count++] = n;
        for (uint32_t row = (uint32_t)i; row != UINT32_MAX; row = next[row])
            members[n++] = (struct neighbour){.index = row, .similarity = row == i ? 1 : kernels->dot(bank->x + i * d, bank->x + row * d, d)};
    }
    first[g->count] = n;
}

static enum simclr_status show_groups(const struct search_command *c, const struct search_images *images, const struct search_groups *groups,
                                      struct simclr_error *err)
{
    enum simclr_status status = SIMCLR_OK;
    if (c->json)
        status = print_groups_json(images, groups, err);
    else
        print_groups(images, groups);
    return status == SIMCLR_OK && c->html ? write_groups_sheet(c->html, images, groups, err) : status;
}

static enum simclr_status find_duplicates(const struct search_command *c, const struct search_images *images, struct simclr_error *err)
{
    size_t rows = c->bank.rows;
    uint32_t *group = malloc(rows * sizeof *group), *next = malloc(rows * sizeof *next), *last = malloc(rows * sizeof *last);
    struct neighbour *members = malloc(rows * sizeof *members);
    size_t *first = malloc((rows / 2 + 1) * sizeof *first);
    enum simclr_status status = SIMCLR_OK;
    if (!group || !next || !last || !members || !first)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the groups of %zu images; use --limit", rows);
    struct progress progress = progress_begin(stderr);
    progress_phase(&progress, "comparing the images", -1);
    if (status == SIMCLR_OK)
        status = duplicates_find(images->engine, group, c->bank.x, rows, c->bank.d, (float)c->threshold, err);
    progress_end(&progress);
    if (status == SIMCLR_OK) {
        struct search_groups groups = {.members = members, .first = first, .threshold = c->threshold};
        list_groups(&groups, members, first, group, &c->bank, images->engine->kernels, next, last);
        status = show_groups(c, images, &groups, err);
    }
    free(group);
    free(next);
    free(last);
    free(members);
    free(first);
    return status;
}

/* ---- Running ---- */

/* The progress goes to stderr: stdout has the result alone. */
static enum simclr_status open_bank(struct search_command *c, struct simclr_error *err)
{
    struct network *network = c->encoder.encoder.network;
    const struct engine *engine = &c->encoder.engine;
    const struct image_source source = encoder_images(&c->encoder, c->arguments[1]);
    enum simclr_status status = image_parts_open(&c->parts, &c->encoder.encoder, &source, c->splits, engine, err);
    if (status != SIMCLR_OK)
        return status;
    if (c->index)
        return bank_load(&c->bank, c->index, network, c->parts.part, c->parts.count, engine, err);
    struct progress progress = progress_begin(stderr);
    status = bank_compute(&c->bank, network, c->parts.part, c->parts.count, c->encoder.batch_size, engine, progress_images, &progress, err);
    progress_end(&progress);
    return status;
}

int cmd_search(int argc, char **argv)
{
    static struct search_command c = {.k = 10};
    struct simclr_error err = {.text = ""};
    c.threshold = COPIES;
    enum simclr_status status = parse(&c, argc, argv, &err);
    if (status == SIMCLR_OK && c.encoder.help)
        return EXIT_DONE;
    if (status == SIMCLR_OK)
        status = encoder_command_open(&c.encoder, c.arguments[0], &err);
    if (status == SIMCLR_OK)
        status = open_bank(&c, &err);
    struct search_images images = {.data = c.arguments[1], .parts = c.parts.part, .count = c.parts.count, .bank = &c.bank, .engine = &c.encoder.engine};
    if (status == SIMCLR_OK && c.bank.broken > 0)
        fprintf(stderr, c.index ? "simclr: %zu image%s of DATA not in the index: not readable as it was made, or beyond its --limit\n"
                                : "simclr: %zu image%s of DATA could not be read\n", c.bank.broken, text_plural(c.bank.broken));
    if (status == SIMCLR_OK)
        status = c.duplicates ? find_duplicates(&c, &images, &err) : search(&c, &images, &err);
    bank_free(&c.bank);
    image_parts_close(&c.parts);
    encoder_close(&c.encoder.encoder);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
