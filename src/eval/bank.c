#include "eval/bank.h"

#include "base/arena.h"
#include "base/status.h"
#include "eval/embed.h"
#include "eval/similarity.h"
#include "io/file.h"
#include "io/npy.h"
#include "simd/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum simclr_status allocate(struct bank *b, size_t rows, int d, struct simclr_error *err)
{
    *b = (struct bank){.d = d, .x = alloc_aligned(rows, (size_t)d * sizeof *b->x), .places = malloc((rows + 1) * sizeof *b->places)};
    return b->x && b->places ? SIMCLR_OK : fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the features of %zu images; use --limit", rows);
}

void bank_free(struct bank *b)
{
    free(b->x);
    free(b->places);
    *b = (struct bank){.x = NULL};
}

/* ---- Computed ---- */

struct filling {
    struct bank *bank;
    uint8_t part;
};

static enum simclr_status fill(void *ctx, const struct features_pass *pass, struct simclr_error *err)
{
    (void)err;
    const struct filling *f = ctx;
    struct bank *b = f->bank;
    size_t d = (size_t)b->d;
    for (size_t i = 0; i < (size_t)pass->rows; i++) {
        if (pass->labels[i] == LABEL_BROKEN) {
            b->broken++;
            continue;
        }
        memcpy(b->x + b->rows * d, pass->h + i * d, d * sizeof *b->x);
        b->places[b->rows++] = (struct bank_place){.item = (uint32_t)(pass->first + i), .part = f->part};
    }
    return SIMCLR_OK;
}

enum simclr_status bank_compute(struct bank *bank, struct network *network, const struct image_part *parts, int count, int batch,
                                const struct engine *engine, image_report_fn *report, void *ctx, struct simclr_error *err)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += loader_size(parts[i].loader);
    struct image_progress progress = image_progress_begin(report, ctx, total);
    enum simclr_status status = allocate(bank, total, network_feature_dim(network), err);
    for (int i = 0; i < count && status == SIMCLR_OK; i++) {
        struct filling filling = {.bank = bank, .part = (uint8_t)i};
        status = features_walk(network, parts[i].loader, batch, false, fill, &filling, &progress, err);
    }
    if (status == SIMCLR_OK && bank->rows == 0)
        status = features_none_readable(parts[0].loader, err);
    if (status == SIMCLR_OK)
        normalize_rows(engine, bank->x, bank->rows, bank->d);
    else
        bank_free(bank);
    return status;
}

/* ---- Loaded ---- */

static enum simclr_status check_header(const struct npy_header *h, const struct file_reader *file, int d, struct simclr_error *err)
{
    if (strcmp(h->dtype, "<f4") || h->fortran || h->ndim != 2 || h->dims[0] == 0)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is not an (N, D) array of float32; make it with 'simclr embed'", file->path);
    if (h->dims[1] != (size_t)d)
        return fail(err, SIMCLR_ERR_USAGE, "%s has rows of %zu numbers, and this encoder gives %d; embed DATA again with this run", file->path,
                    h->dims[1], d);
    if (h->dims[0] > UINT32_MAX || h->dims[0] > (file->size - h->start) / sizeof(float) / (size_t)d)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is cut short; embed DATA again", file->path);
    return SIMCLR_OK;
}

static enum simclr_status read_features(struct bank *b, const char *path, int d, struct simclr_error *err)
{
    struct file_reader file;
    struct npy_header header;
    enum simclr_status status = file_open(&file, path, err);
    if (status != SIMCLR_OK)
        return status;
    size_t most = file.size < NPY_HEADER_MOST ? file.size : NPY_HEADER_MOST;
    char *start = malloc(most + 1);
    status = start ? file_get(&file, start, most, err) : fail(err, SIMCLR_ERR_MEMORY, "not enough memory to open %s", path);
    if (status == SIMCLR_OK)
        status = npy_parse_header(&header, path, start, file.size, err);
    if (status == SIMCLR_OK)
        status = check_header(&header, &file, d, err);
    if (status == SIMCLR_OK)
        status = allocate(b, header.dims[0], d, err);
    if (status == SIMCLR_OK) {
        size_t bytes = header.dims[0] * (size_t)d * sizeof *b->x, had = most - header.start;
        had = had < bytes ? had : bytes;
        memcpy(b->x, start + header.start, had);
        status = file_get(&file, (char *)b->x + had, bytes - had, err);
        b->rows = header.dims[0];
    }
    free(start);
    file_close(&file);
    return status;
}

/* Each name is that of the next image, or of one further on: those between could not be read. */
static enum simclr_status find_places(struct bank *b, const char *path, char *names, const struct image_part *parts, int count,
                                      struct simclr_error *err)
{
    char name[EMBED_NAME];
    size_t row = 0;
    char *line = names, *end = strchr(names, '\n');
    for (int p = 0; p < count; p++)
        for (uint32_t item = 0; item < loader_size(parts[p].loader) && end; item++) {
            embed_name(&parts[p], count > 1, item, name);
            if (strlen(name) != (size_t)(end - line) || memcmp(name, line, (size_t)(end - line)) != 0) {
                b->broken++;
                continue;
            }
            if (row < b->rows)
                b->places[row] = (struct bank_place){.item = item, .part = (uint8_t)p};
            row++;
            line = end + 1;
            end = strchr(line, '\n');
        }
    if (end) {
        *end = 0;
        return fail(err, SIMCLR_ERR_USAGE, "%s names an image that DATA does not have at its place: %.200s; embed DATA again, with the same "
                    "--split and --limit", path, line);
    }
    if (row != b->rows)
        return fail(err, SIMCLR_ERR_FORMAT, "%s has %zu names for %zu rows of features; embed DATA again", path, row, b->rows);
    return SIMCLR_OK;
}

static enum simclr_status read_names(struct bank *b, const char *path, const struct image_part *parts, int count, struct simclr_error *err)
{
    enum { PATH_SIZE = 4096, MOST = 1 << 30 };
    char names[PATH_SIZE];
    size_t n = strlen(path), size;
    void *text;
    if (n <= 4 || strcmp(path + n - 4, ".npy") || snprintf(names, sizeof names, "%.*s.names.txt", (int)n - 4, path) >= PATH_SIZE)
        return fail(err, SIMCLR_ERR_USAGE, "%.200s: the name of an index ends in .npy; make it with 'simclr embed'", path);
    enum simclr_status status = file_read(&text, &size, names, MOST, err);
    if (status != SIMCLR_OK)
        return status;
    status = find_places(b, names, text, parts, count, err);
    free(text);
    return status;
}

/* The same encoder gives the same bits, but a row may have been scaled. */
static enum simclr_status check_row(const struct bank *b, size_t row, const char *path, struct network *network,
                                    const struct image_part *parts, const struct engine *engine, struct simclr_error *err)
{
    static const float ALIKE = 0.9999f;
    const struct bank_place *place = &b->places[row];
    struct loader *loader = parts[place->part].loader;
    float *x = alloc_aligned(loader_image_floats(loader), sizeof *x), *mine = alloc_aligned((size_t)b->d, sizeof *mine);
    const float *h;
    int label;
    enum simclr_status status = x && mine ? loader_clean(loader, x, &label, place->item, 1, err)
                                          : fail(err, SIMCLR_ERR_MEMORY, "not enough memory for one image");
    if (status == SIMCLR_OK) {
        network_forward(network, x, 1, false, &h, NULL);
        engine->kernels->l2_normalize(mine, NULL, h, 1, b->d);
        if (!(engine->kernels->dot(mine, b->x + row * (size_t)b->d, (size_t)b->d) > ALIKE))
            status = fail(err, SIMCLR_ERR_USAGE, "row %zu of %s is not what this encoder makes of that image (h); embed DATA again with this run",
                          row, path);
    }
    free(x);
    free(mine);
    return status;
}

enum simclr_status bank_load(struct bank *bank, const char *path, struct network *network, const struct image_part *parts, int count,
                             const struct engine *engine, struct simclr_error *err)
{
    *bank = (struct bank){.x = NULL};
    enum simclr_status status = read_features(bank, path, network_feature_dim(network), err);
    if (status == SIMCLR_OK)
        status = read_names(bank, path, parts, count, err);
    if (status == SIMCLR_OK)
        normalize_rows(engine, bank->x, bank->rows, bank->d);
    if (status == SIMCLR_OK)
        status = check_row(bank, 0, path, network, parts, engine, err);
    if (status == SIMCLR_OK)
        status = check_row(bank, bank->rows - 1, path, network, parts, engine, err);
    if (status != SIMCLR_OK)
        bank_free(bank);
    return status;
}
