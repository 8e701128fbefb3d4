/* The parts of a report that show images: the map, neighbours, views. */
#include "cli/report_page.h"

#include "base/arena.h"
#include "base/status.h"
#include "eval/embed.h"
#include "eval/pca.h"
#include "eval/thumbnails.h"
#include "eval/tsne.h"
#include "eval/views.h"
#include "io/html.h"
#include "io/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 8, NEAREST = 8, VIEWS = 8, VIEW_ROWS = 6, LEAST_SIDE = 96, QUALITY = 88, MOST_COLOURS = 20 };

static int label_of(const struct report *r, uint32_t row)
{
    return dataset_label(r->part->set, r->bank.places[row].item);
}

static const char *name_of(const struct report *r, uint32_t row, char text[EMBED_NAME])
{
    return dataset_item_name(r->part->set, r->bank.places[row].item, text, EMBED_NAME);
}

static void add_image(struct buffer *page, const struct buffer *jpeg)
{
    if (jpeg->size == 0) {
        buffer_format(page, "<span class=\"none\">cannot be shown</span>");
        return;
    }
    buffer_format(page, "<img alt=\"\" src=\"");
    html_data_uri(page, "image/jpeg", jpeg);
    buffer_format(page, "\">");
}

/* ---- The map ---- */

enum { MAP_W = 560, MAP_H = 420, MAP_EDGE = 14, CELL = 28, CELLS_X = MAP_W / CELL, CELLS_Y = MAP_H / CELL, CELLS = CELLS_X * CELLS_Y };

struct map {
    const char *name;
    const uint32_t *rows; /* (count) of the bank */
    double *places;       /* (count, 2): points of the picture */
    size_t count;
};

/* Places to points of the picture: both axes by one scale would leave one half empty, so each has its own. */
static void scale_places(double *places, size_t rows)
{
    static const double size[PCA_PLANE] = {MAP_W, MAP_H};
    for (size_t c = 0; c < PCA_PLANE; c++) {
        double low = INFINITY, high = -INFINITY;
        for (size_t i = 0; i < rows; i++) {
            low = fmin(low, places[i * PCA_PLANE + c]);
            high = fmax(high, places[i * PCA_PLANE + c]);
        }
        double scale = high > low ? (size[c] - 2 * MAP_EDGE) / (high - low) : 0;
        for (size_t i = 0; i < rows; i++) {
            double at = scale > 0 ? MAP_EDGE + (places[i * PCA_PLANE + c] - low) * scale : size[c] / 2;
            places[i * PCA_PLANE + c] = c == 0 ? at : size[c] - at;
        }
    }
}

/* What stands before it, and the class's name; nothing of an image without. */
static void add_class(struct buffer *page, const struct report *r, const char *before, int label)
{
    char name[128];
    if (label < 0)
        return;
    buffer_format(page, "%s", before);
    html_text(page, dataset_class_name(r->part->set, label, name, sizeof name));
}

/* What a class is drawn in; the page's style says how light. */
static int hue_of(const struct report *r, int label)
{
    int classes = dataset_classes(r->part->set);
    return label * 360 / (classes > 0 ? classes : 1) % 360;
}

static void add_points(struct buffer *page, const struct report *r, const struct map *map)
{
    int classes = dataset_classes(r->part->set);
    char name[EMBED_NAME];
    buffer_format(page, "<figure><figcaption>%s: every image%s</figcaption>\n<svg class=\"map\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s of the "
                  "embedding\">\n", map->name, classes > 0 ? ", coloured by its class" : "", MAP_W, MAP_H, map->name);
    for (uint32_t i = 0; i < map->count; i++) {
        int label = label_of(r, map->rows[i]);
        buffer_format(page, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"", map->places[2 * i], map->places[2 * i + 1]);
        if (label >= 0)
            buffer_format(page, " style=\"--h:%d\"", hue_of(r, label));
        else
            buffer_format(page, " class=\"s0\"");
        buffer_format(page, "><title>");
        html_text(page, name_of(r, map->rows[i], name));
        add_class(page, r, ", class ", label);
        buffer_format(page, "</title></circle>\n");
    }
    buffer_format(page, "</svg></figure>\n");
}

static void add_colours(struct buffer *page, const struct report *r)
{
    int classes = dataset_classes(r->part->set);
    if (classes == 0 || classes > MOST_COLOURS)
        return;
    buffer_format(page, "<p class=\"key\">Classes:");
    for (int label = 0; label < classes; label++) {
        buffer_format(page, " <span style=\"--h:%d\">&#9679;", hue_of(r, label));
        add_class(page, r, "&#160;", label);
        buffer_format(page, "</span>");
    }
    buffer_format(page, "</p>\n");
}

/* In every cell that has images the one nearest to its middle stands for them. */
static size_t choose_cells(uint32_t chosen[CELLS], uint16_t cells[CELLS], const double *places, size_t rows)
{
    double best[CELLS];
    uint32_t row[CELLS];
    size_t count = 0;
    for (int c = 0; c < CELLS; c++)
        best[c] = INFINITY;
    for (size_t i = 0; i < rows; i++) {
        int x = (int)places[2 * i] / CELL, y = (int)places[2 * i + 1] / CELL, c = y * CELLS_X + x;
        double dx = places[2 * i] - (x + 0.5) * CELL, dy = places[2 * i + 1] - (y + 0.5) * CELL, far = dx * dx + dy * dy;
        if (far < best[c]) {
            best[c] = far;
            row[c] = (uint32_t)i;
        }
    }
    for (int c = 0; c < CELLS; c++)
        if (best[c] < INFINITY) {
            chosen[count] = row[c];
            cells[count++] = (uint16_t)c;
        }
    return count;
}

static enum simclr_status add_pictures(struct buffer *page, const struct report *r, const struct map *map, struct simclr_error *err)
{
    uint32_t chosen[CELLS], items[CELLS] = {0};
    uint16_t cells[CELLS];
    char name[EMBED_NAME];
    static struct buffer jpegs[CELLS];
    size_t count = choose_cells(chosen, cells, map->places, map->count);
    for (size_t i = 0; i < count; i++)
        items[i] = r->bank.places[map->rows[chosen[i]]].item;
    enum simclr_status status = thumbnails_make(jpegs, r->part->set, items, count, 2 * CELL, r->engine, err);
    buffer_format(page, "<figure><figcaption>%s: a picture for each spot</figcaption>\n"
                  "<svg class=\"map\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s of the embedding, in pictures\">\n", map->name, MAP_W, MAP_H,
                  map->name);
    for (size_t i = 0; i < count && status == SIMCLR_OK; i++) {
        buffer_format(page, "<image x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" href=\"", cells[i] % CELLS_X * CELL, cells[i] / CELLS_X * CELL,
                      CELL - 1, CELL - 1);
        html_data_uri(page, "image/jpeg", &jpegs[i]);
        buffer_format(page, "\"><title>");
        html_text(page, name_of(r, map->rows[chosen[i]], name));
        buffer_format(page, "</title></image>\n");
    }
    buffer_format(page, "</svg></figure>\n");
    for (size_t i = 0; i < count; i++)
        buffer_free(&jpegs[i]);
    return status;
}

static enum simclr_status add_map(struct buffer *page, const struct report *r, const struct map *map, struct simclr_error *err)
{
    scale_places(map->places, map->count);
    buffer_format(page, "<div class=\"maps\">\n");
    add_points(page, r, map);
    enum simclr_status status = add_pictures(page, r, map, err);
    buffer_format(page, "</div>\n");
    return status;
}

/* t-SNE of x (map->count, d) from the places of its principal components, and those after it, with a line about each. */
static enum simclr_status add_maps(struct buffer *page, const struct report *r, const float *x, const struct map *map, struct simclr_error *err)
{
    double share[PCA_PLANE], divergence, *places = malloc(map->count * PCA_PLANE * sizeof *places);
    struct map tsne = *map, pca = {.name = "PCA", .rows = map->rows, .places = places, .count = map->count};
    if (!places)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the map of %zu images; use --limit", map->count);
    enum simclr_status status = pca_plane(places, share, x, map->count, r->bank.d, err);
    for (size_t i = 0; i < map->count * PCA_PLANE && status == SIMCLR_OK; i++)
        if (!isfinite(places[i]))
            status = fail(err, SIMCLR_ERR_NONFINITE, "features of the encoder are not finite numbers: its weights are of no use");
    if (status == SIMCLR_OK) {
        memcpy(tsne.places, places, map->count * PCA_PLANE * sizeof *places);
        status = tsne_plane(tsne.places, &divergence, x, map->count, r->bank.d, r->engine, err);
    }
    if (status == SIMCLR_OK) {
        buffer_format(page, "<p>t-SNE puts images together whose features h are near, in all their %d numbers: groups are real, but how far apart and how "
                      "large they are means little (Kullback-Leibler divergence %.3f).</p>\n", r->bank.d, divergence);
        status = add_map(page, r, &tsne, err);
    }
    if (status == SIMCLR_OK) {
        buffer_format(page, "<p>PCA shows the features, of length 1, along their first two principal components, which hold %.1f %% and %.1f %% of their "
                      "variance: images that lie apart differ, those that lie together may.</p>\n", 100 * share[0], 100 * share[1]);
        status = add_map(page, r, &pca, err);
    }
    free(places);
    return status;
}

enum simclr_status report_map(struct buffer *page, const struct report *r, struct simclr_error *err)
{
    size_t d = (size_t)r->bank.d, count = r->bank.rows < TSNE_MOST ? r->bank.rows : TSNE_MOST;
    uint32_t *rows = malloc(count * sizeof *rows);
    double *places = malloc(count * TSNE_PLANE * sizeof *places);
    float *x = alloc_aligned(count, d * sizeof *x);
    enum simclr_status status = SIMCLR_OK;
    if (!rows || !places || !x)
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the map of %zu images; use --limit", count);
    if (status == SIMCLR_OK) {
        struct map map = {.name = "t-SNE", .rows = rows, .places = places, .count = views_spread(rows, count, r->bank.rows)};
        for (size_t i = 0; i < map.count; i++)
            memcpy(x + i * d, r->bank.x + rows[i] * d, d * sizeof *x);
        buffer_format(page, "<section>\n<h2>Map of the embedding</h2>\n");
        if (count < r->bank.rows)
            buffer_format(page, "<p>Of %zu of the images, spread over them.</p>\n", count);
        add_colours(page, r);
        status = add_maps(page, r, x, &map, err);
        buffer_format(page, "</section>\n");
    }
    free(rows);
    free(places);
    free(x);
    return status;
}

/* ---- Neighbours ---- */

struct nearest {
    struct neighbour (*ranked)[1 + NEAREST]; /* (rows): the image itself is among them */
    int *found;
};

/* A neighbours_fn. */
static void keep(void *ctx, size_t query, const struct neighbour *ranked, int count, int thread)
{
    (void)thread;
    const struct nearest *n = ctx;
    memcpy(n->ranked[query], ranked, (size_t)count * sizeof *ranked);
    n->found[query] = count;
}

/* A row's neighbours without itself; a copy of it may rank before it. */
static int others(struct neighbour out[NEAREST], const struct nearest *n, uint32_t row)
{
    int count = 0;
    for (int i = 0; i < n->found[row] && count < NEAREST; i++)
        if (n->ranked[row][i].index != row)
            out[count++] = n->ranked[row][i];
    return count;
}

static void add_share(struct buffer *page, const struct report *r, const struct nearest *n)
{
    size_t same = 0, labelled = 0;
    struct neighbour near[NEAREST];
    for (uint32_t row = 0; row < r->bank.rows; row++)
        if (label_of(r, row) >= 0 && others(near, n, row) > 0) {
            labelled++;
            same += label_of(r, near[0].index) == label_of(r, row);
        }
    buffer_format(page, "<p>The most similar of these %zu images, by the cosine of their features h.", r->bank.rows);
    if (labelled > 0)
        buffer_format(page, " Of %zu labelled images %.1f %% have a nearest one of their own class.", labelled, 100 * (double)same / (double)labelled);
    buffer_format(page, "</p>\n");
}

static enum simclr_status add_neighbour_row(struct buffer *page, const struct report *r, const struct nearest *n, uint32_t row, struct simclr_error *err)
{
    struct neighbour shown[1 + NEAREST] = {{.index = row}};
    uint32_t items[1 + NEAREST];
    char name[EMBED_NAME];
    struct buffer jpegs[1 + NEAREST] = {{.data = NULL}};
    size_t count = 1 + (size_t)others(shown + 1, n, row);
    for (size_t i = 0; i < count; i++)
        items[i] = r->bank.places[shown[i].index].item;
    enum simclr_status status = thumbnails_make(jpegs, r->part->set, items, count, LEAST_SIDE, r->engine, err);
    buffer_format(page, "<ul class=\"row\">\n");
    for (size_t i = 0; i < count; i++) {
        buffer_format(page, "<li>");
        add_image(page, &jpegs[i]);
        if (i > 0)
            buffer_format(page, "<b>%.4f</b>", (double)shown[i].similarity);
        buffer_format(page, "<small>");
        html_text(page, name_of(r, shown[i].index, name));
        add_class(page, r, ", class ", label_of(r, shown[i].index));
        buffer_format(page, "</small></li>\n");
        buffer_free(&jpegs[i]);
    }
    buffer_format(page, "</ul>\n");
    return status;
}

enum simclr_status report_neighbours(struct buffer *page, const struct report *r, struct simclr_error *err)
{
    size_t rows = r->bank.rows;
    int k = rows < 1 + NEAREST ? (int)rows : 1 + NEAREST;
    struct nearest n = {.ranked = malloc(rows * sizeof *n.ranked), .found = malloc(rows * sizeof *n.found)};
    enum simclr_status status = n.ranked && n.found ? SIMCLR_OK : fail(err, SIMCLR_ERR_MEMORY, "not enough memory for neighbours; use --limit");
    if (status == SIMCLR_OK)
        status = neighbours_find(r->engine, r->bank.x, NULL, rows, r->bank.x, rows, r->bank.d, k, keep, &n, err);
    buffer_format(page, "<section>\n<h2>Nearest neighbours</h2>\n");
    if (status == SIMCLR_OK)
        add_share(page, r, &n);
    uint32_t chosen[ROWS];
    size_t count = views_spread(chosen, ROWS, rows);
    for (size_t i = 0; i < count && status == SIMCLR_OK; i++)
        status = add_neighbour_row(page, r, &n, chosen[i], err);
    buffer_format(page, "</section>\n");
    free(n.ranked);
    free(n.found);
    return status;
}

/* ---- Views ---- */

enum simclr_status report_views(struct buffer *page, const struct report *r, struct simclr_error *err)
{
    const struct train_config *t = &r->encoder->config;
    struct views_config c = {.side = t->network.image_size, .channels = t->network.channels, .views = VIEWS, .augment = t->augment, .seed = t->seed};
    uint32_t items[VIEW_ROWS];
    struct views_original originals[VIEW_ROWS];
    size_t values = (size_t)c.side * (size_t)c.side * (size_t)c.channels, count = views_spread(items, VIEW_ROWS, r->bank.rows);
    for (size_t i = 0; i < count; i++)
        items[i] = r->bank.places[items[i]].item;
    uint8_t *pixels = alloc_aligned(VIEW_ROWS * (1 + VIEWS), values);
    if (!pixels)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for views");
    enum simclr_status status = views_make(pixels, originals, r->part->set, items, count, &c, r->engine, err);
    buffer_format(page, "<section>\n<h2>What the augmentations do</h2>\n<p>Whole images, each before its views: training asks that the features of views of one image "
                  "agree. Augmentation %s.</p>\n", t->augment_name);
    for (size_t i = 0; i < count && status == SIMCLR_OK; i++) {
        buffer_format(page, "<ul class=\"row\">\n");
        for (size_t v = 0; v <= VIEWS; v++) {
            struct buffer jpeg = {.data = NULL};
            if (originals[i].h > 0)
                picture_jpeg(&jpeg, pixels + (i * (1 + VIEWS) + v) * values, v ? c.side : originals[i].w, v ? c.side : originals[i].h, c.channels,
                             QUALITY);
            buffer_format(page, "<li>");
            add_image(page, &jpeg);
            buffer_format(page, "</li>\n");
            buffer_free(&jpeg);
        }
        buffer_format(page, "</ul>\n");
    }
    buffer_format(page, "</section>\n");
    free(pixels);
    return status;
}
