/* simclr preview: a sheet of images and of the views that training would make of them. */
#include "cli/cli.h"
#include "cli/run_options.h"

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/views.h"
#include "io/file.h"
#include "io/picture.h"
#include "train/run_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, GAP = 6, LEAST_SIDE = 96 /* smaller images are enlarged, each pixel to a square of whole ones */ };

static const char usage[] =
    "Usage: simclr preview [DATA] -o SHEET.png [OPTION...]\n\n"
    "Shows what the augmentations do before a run is begun: a picture with some images of DATA, a row\n"
    "each: the whole image, then views of it as training draws them (view 1 and 2 in the first epoch,\n"
    "3 and 4 in the second ...). DATA and options are those of train; images of fewer\n"
    "than 96 pixels a side are enlarged by whole numbers.\n";

struct preview_command {
    struct run_options options;
    const char *output;
    int images, views;
};

struct sheet {
    uint8_t *pixels; /* (h, w, channels) */
    int w, h, scale, cell;
};

/* Where column c begins; the whole images stand off from their views. */
static int column_at(const struct sheet *s, int c)
{
    return GAP + c * (s->cell + GAP) + (c > 0 ? 2 * GAP : 0);
}

/* image (h, w, channels) in the middle of a cell. */
static void paste(const struct sheet *s, const uint8_t *image, int h, int w, int column, size_t row, int channels)
{
    size_t bytes = (size_t)channels;
    int left = column_at(s, column) + (s->cell - w * s->scale) / 2;
    int top = GAP + (int)row * (s->cell + GAP) + (s->cell - h * s->scale) / 2;
    for (int y = 0; y < h * s->scale; y++)
        for (int x = 0; x < w * s->scale; x++)
            memcpy(s->pixels + ((size_t)(top + y) * (size_t)s->w + (size_t)(left + x)) * bytes,
                   image + ((size_t)(y / s->scale) * (size_t)w + (size_t)(x / s->scale)) * bytes, bytes);
}

static enum simclr_status write_sheet(const struct preview_command *p, const struct views_config *c, const uint8_t *pixels,
                                      const struct views_original *originals, size_t count, struct simclr_error *err)
{
    int scale = (LEAST_SIDE + c->side - 1) / c->side, cell = scale * c->side;
    struct sheet s = {.scale = scale, .cell = cell, .h = GAP + (int)count * (cell + GAP)};
    s.w = column_at(&s, 1 + c->views);
    size_t bytes = (size_t)s.w * (size_t)s.h * (size_t)c->channels, values = (size_t)c->side * (size_t)c->side * (size_t)c->channels;
    s.pixels = alloc_aligned(bytes, 1);
    if (!s.pixels)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for a sheet of %d x %d pixels; lower --images or --views", s.w, s.h);
    memset(s.pixels, 255, bytes);
    for (size_t i = 0; i < count; i++)
        for (int v = 0; v <= c->views && originals[i].h > 0; v++)
            paste(&s, pixels + (i * (size_t)(1 + c->views) + (size_t)v) * values, v ? c->side : originals[i].h, v ? c->side : originals[i].w, v,
                  i, c->channels);
    struct buffer file = {.data = NULL};
    picture_png(&file, s.pixels, s.w, s.h, c->channels);
    free(s.pixels);
    enum simclr_status status = file.failed ? fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %s; lower --images or --views", p->output)
                                            : file_write_atomic(p->output, file.data, file.size, err);
    buffer_free(&file);
    char output[PATH_SIZE];
    if (status == SIMCLR_OK)
        printf("%zu images and %d views of each, of %d x %d pixels, augmentation %s: %s\n", count, c->views, c->side, c->side,
               p->options.config.augment_name, text_printable(output, sizeof output, p->output));
    return status;
}

/* Broken images are told, and leave their row empty. */
static void tell_broken(const struct dataset *set, const uint32_t *items, const struct views_original *originals, size_t count)
{
    char name[PATH_SIZE];
    for (size_t i = 0; i < count; i++)
        if (originals[i].h == 0)
            fprintf(stderr, "simclr: %s cannot be read; its row is empty\n", dataset_item_name(set, items[i], name, sizeof name));
}

static enum simclr_status preview(const struct preview_command *p, const struct dataset *set, const struct views_config *c,
                                  const struct engine *engine, struct simclr_error *err)
{
    size_t most = (size_t)p->images, values = (size_t)c->side * (size_t)c->side * (size_t)c->channels;
    uint32_t *items = malloc(most * sizeof *items);
    struct views_original *originals = calloc(most, sizeof *originals);
    uint8_t *pixels = alloc_aligned(most * (size_t)(1 + c->views), values);
    enum simclr_status status = SIMCLR_OK;
    if (!items || !originals || !pixels)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %d views of %zu images; lower --images or --views", c->views, most);
    size_t count = items ? views_spread(items, most, dataset_size(set)) : 0;
    if (status == SIMCLR_OK)
        status = views_make(pixels, originals, set, items, count, c, engine, err);
    if (status == SIMCLR_OK) {
        tell_broken(set, items, originals, count);
        status = write_sheet(p, c, pixels, originals, count, err);
    }
    free(items);
    free(originals);
    free(pixels);
    return status;
}

static enum simclr_status open_and_preview(struct preview_command *p, const struct engine *engine, struct simclr_error *err)
{
    struct train_config *config = &p->options.config;
    struct run_data data = {.train_set = NULL};
    struct dataset_options opening = {.limit = config->limit, .channels = config->network.channels, .max_pixels = config->max_pixels,
                                      .stop = engine->stop};
    enum simclr_status status = run_data_sets(&data, config->data[0] ? config->data : NULL, &opening, false, err);
    if (status == SIMCLR_OK && config->network.image_size == 0)
        status = run_data_side(&config->network.image_size, data.train_set, err);
    struct views_config c = {.side = config->network.image_size, .channels = config->network.channels, .views = p->views,
                             .augment = config->augment, .seed = config->seed};
    if (status == SIMCLR_OK)
        status = preview(p, data.train_set, &c, engine, err);
    run_data_close(&data);
    return status;
}

static enum simclr_status check(void *ctx, const char **file, struct simclr_error *err)
{
    (void)file;
    const struct preview_command *p = ctx;
    size_t length = p->output ? strlen(p->output) : 0;
    if (length < 4 || strcmp(p->output + length - 4, ".png") != 0)
        return fail(err, SIMCLR_ERR_USAGE, "name the picture to write: -o SHEET.png");
    return file_must_be_new(p->output, "-o", err);
}

int cmd_preview(int argc, char **argv)
{
    struct preview_command p = {.images = 8, .views = 6};
    static const struct option_range images = {1, 100}, views = {1, 50};
    const struct option own[] = {
        {.name = "output", .letter = 'o', .group = "Sheet", .value = "SHEET.png", .set = option_text, .target = &p.output,
         .help = "the picture to write; it must not be there yet"},
        {.name = "images", .group = "Sheet", .value = "N", .set = option_int, .target = &p.images, .data = &images,
         .help = "rows: images spread over DATA [8]"},
        {.name = "views", .group = "Sheet", .value = "N", .set = option_int, .target = &p.views, .data = &views, .help = "views of each [6]"},
        run_config_option(&p.options, "Sheet"),
    };
    const struct run_command command = {"simclr preview", usage, own, sizeof own / sizeof own[0], check, &p};
    struct engine engine;
    struct simclr_error err = {.text = ""};
    enum simclr_status status = run_options_parse(&p.options, &command, argc, argv, &err);
    if (status == SIMCLR_OK && p.options.help)
        return EXIT_DONE;
    if (status == SIMCLR_OK)
        status = cli_engine_until_stopped(&engine, p.options.isa, p.options.threads, &err);
    if (status == SIMCLR_OK)
        status = open_and_preview(&p, &engine, &err);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
