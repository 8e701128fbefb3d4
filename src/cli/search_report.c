#include "cli/search_report.h"
#include "cli/print_json.h"

#include "base/status.h"
#include "base/text.h"
#include "eval/embed.h"
#include "eval/thumbnails.h"
#include "io/contact_sheet.h"
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SHOWN = EMBED_NAME, SUMMARY = 4096 + 256 };

/* ---- What an image is called ---- */

/* A file's path as one may open it, or what embed calls the image; printable. */
static const char *item_text(const struct image_part *part, bool parts, size_t item, char text[SHOWN])
{
    char path[4096];
    if (!dataset_item_path(part->set, item, path, sizeof path))
        return embed_name(part, parts, item, text);
    return text_printable(text, SHOWN, path);
}

static const char *row_text(const struct search_images *images, uint32_t row, char text[SHOWN])
{
    const struct bank_place *place = &images->bank->places[row];
    return item_text(&images->parts[place->part], images->count > 1, place->item, text);
}

static bool same_file(const struct search_images *images, uint32_t row, const struct image_part *queries, size_t query)
{
    const struct bank_place *place = &images->bank->places[row];
    char a[4096], b[4096];
    struct stat sa, sb;
    return dataset_item_path(images->parts[place->part].set, place->item, a, sizeof a) && dataset_item_path(queries->set, query, b, sizeof b) &&
           stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static size_t queries_of(const struct search_neighbours *f)
{
    return loader_size(f->queries.loader);
}

static const struct neighbour *ranked_of(const struct search_neighbours *f, size_t query)
{
    return f->ranked + query * (size_t)f->k;
}

/* ---- For people ---- */

void print_neighbours(const struct search_images *images, const struct search_neighbours *f)
{
    char text[SHOWN];
    for (size_t q = 0; q < queries_of(f); q++) {
        if (f->labels[q] == LABEL_BROKEN)
            continue;
        printf("%s\n", item_text(&f->queries, false, q, text));
        for (int i = 0; i < f->found[q]; i++) {
            const struct neighbour *n = &ranked_of(f, q)[i];
            printf("%5d  %.4f  %s%s\n", i + 1, (double)n->similarity, row_text(images, n->index, text),
                   same_file(images, n->index, &f->queries, q) ? "  (the same file)" : "");
        }
    }
}

static void groups_summary(char text[SUMMARY], const struct search_images *images, const struct search_groups *g)
{
    snprintf(text, SUMMARY, "%zu group%s of near-duplicates: %zu of the %zu images of %.4000s, cosine %g or more", g->count, text_plural(g->count),
             g->first[g->count], images->bank->rows, images->data, g->threshold);
}

void print_groups(const struct search_images *images, const struct search_groups *g)
{
    char text[SHOWN], summary[SUMMARY];
    groups_summary(summary, images, g);
    printf("%s\n", text_printable(text, sizeof text, summary));
    for (size_t i = 0; i < g->count; i++)
        for (size_t m = g->first[i]; m < g->first[i + 1]; m++) {
            if (m == g->first[i])
                printf("\n          %s\n", row_text(images, g->members[m].index, text));
            else
                printf("  %.4f  %s\n", (double)g->members[m].similarity, row_text(images, g->members[m].index, text));
        }
}

/* ---- JSON ---- */

static json_t *member_json(const struct search_images *images, const struct neighbour *n, const struct image_part *queries, size_t query)
{
    char text[SHOWN];
    json_t *member = json_pack("{s:f, s:s}", "cosine", (double)n->similarity, "image", row_text(images, n->index, text));
    if (member && queries && same_file(images, n->index, queries, query))
        json_object_set_new(member, "same_file", json_true());
    return member;
}

enum simclr_status print_neighbours_json(const struct search_images *images, const struct search_neighbours *f, struct simclr_error *err)
{
    char text[SHOWN];
    json_t *queries = json_array();
    for (size_t q = 0; q < queries_of(f); q++) {
        if (f->labels[q] == LABEL_BROKEN)
            continue;
        json_t *neighbours = json_array();
        for (int i = 0; i < f->found[q]; i++)
            json_array_append_new(neighbours, member_json(images, &ranked_of(f, q)[i], &f->queries, q));
        json_array_append_new(queries, json_pack("{s:s, s:o}", "image", item_text(&f->queries, false, q, text), "neighbours", neighbours));
    }
    return print_json(json_pack("{s:o}", "queries", queries), err);
}

enum simclr_status print_groups_json(const struct search_images *images, const struct search_groups *g, struct simclr_error *err)
{
    json_t *groups = json_array();
    for (size_t i = 0; i < g->count; i++) {
        json_t *members = json_array();
        for (size_t m = g->first[i]; m < g->first[i + 1]; m++)
            json_array_append_new(members, member_json(images, &g->members[m], NULL, 0));
        json_array_append_new(groups, members);
    }
    return print_json(json_pack("{s:f, s:I, s:o}", "threshold", g->threshold, "images", (json_int_t)images->bank->rows, "groups", groups), err);
}

/* ---- Contact sheets ---- */

/* On a page names are short: within DATA, which the page names once. */
static const char *row_name(const struct search_images *images, uint32_t row, char text[SHOWN])
{
    const struct bank_place *place = &images->bank->places[row];
    return embed_name(&images->parts[place->part], images->count > 1, place->item, text);
}

enum { SIDE = 128, MOST_CELLS = 60, MOST_GROUPS = 300 };

static void free_all(struct buffer *jpegs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buffer_free(&jpegs[i]);
}

/* Of rows (count, at most MOST_CELLS) of the bank; part by part, for a set has thumbnails of its own. */
static enum simclr_status row_thumbnails(struct buffer jpegs[MOST_CELLS], const struct search_images *images, const struct neighbour *rows,
                                         size_t count, struct simclr_error *err)
{
    enum simclr_status status = SIMCLR_OK;
    memset(jpegs, 0, MOST_CELLS * sizeof *jpegs);
    for (int p = 0; p < images->count && status == SIMCLR_OK; p++) {
        uint32_t items[MOST_CELLS];
        size_t cells[MOST_CELLS], n = 0;
        struct buffer some[MOST_CELLS] = {{.data = NULL}};
        for (size_t i = 0; i < count; i++)
            if (images->bank->places[rows[i].index].part == p) {
                items[n] = images->bank->places[rows[i].index].item;
                cells[n++] = i;
            }
        status = thumbnails_make(some, images->parts[p].set, items, n, SIDE, images->engine, err);
        for (size_t i = 0; i < n; i++)
            jpegs[cells[i]] = some[i];
    }
    return status;
}

static enum simclr_status write_page(const char *path, const struct buffer *page, struct simclr_error *err)
{
    if (page->failed)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %s; search for fewer images", path);
    return file_write_atomic(path, page->data, page->size, err);
}

static enum simclr_status add_query(struct buffer *page, const struct search_images *images, const struct search_neighbours *f, size_t q,
                                    struct simclr_error *err)
{
    char text[SHOWN], caption[64];
    struct buffer own = {.data = NULL}, jpegs[MOST_CELLS];
    uint32_t item = (uint32_t)q;
    size_t shown = f->found[q] < MOST_CELLS ? (size_t)f->found[q] : MOST_CELLS;
    enum simclr_status status = row_thumbnails(jpegs, images, ranked_of(f, q), shown, err);
    if (status == SIMCLR_OK)
        status = thumbnails_make(&own, f->queries.set, &item, 1, SIDE, images->engine, err);
    item_text(&f->queries, false, q, text);
    sheet_row(page, text);
    sheet_cell(page, &own, NULL, "searched for", true);
    for (size_t i = 0; i < shown; i++) {
        const struct neighbour *n = &ranked_of(f, q)[i];
        snprintf(caption, sizeof caption, "%.4f%s", (double)n->similarity,
                 same_file(images, n->index, &f->queries, q) ? ", the same file" : "");
        sheet_cell(page, &jpegs[i], row_name(images, n->index, text), caption, false);
    }
    sheet_row_end(page, NULL);
    buffer_free(&own);
    free_all(jpegs, MOST_CELLS);
    return status;
}

enum simclr_status write_neighbours_sheet(const char *path, const struct search_images *images, const struct search_neighbours *f,
                                          struct simclr_error *err)
{
    struct buffer page = {.data = NULL};
    char summary[SUMMARY];
    enum simclr_status status = SIMCLR_OK;
    snprintf(summary, sizeof summary, "The most similar of the %zu images of %.4000s, by the cosine of their features.", images->bank->rows,
             images->data);
    sheet_begin(&page, "Nearest images", summary);
    for (size_t q = 0; q < queries_of(f) && status == SIMCLR_OK; q++)
        if (f->labels[q] != LABEL_BROKEN)
            status = add_query(&page, images, f, q, err);
    sheet_end(&page);
    if (status == SIMCLR_OK)
        status = write_page(path, &page, err);
    buffer_free(&page);
    return status;
}

static enum simclr_status add_group(struct buffer *page, const struct search_images *images, const struct search_groups *g, size_t group,
                                    struct simclr_error *err)
{
    char text[SHOWN], note[64] = "";
    struct buffer jpegs[MOST_CELLS];
    const struct neighbour *members = g->members + g->first[group];
    size_t size = g->first[group + 1] - g->first[group], shown = size < MOST_CELLS ? size : MOST_CELLS;
    enum simclr_status status = row_thumbnails(jpegs, images, members, shown, err);
    snprintf(text, sizeof text, "Group %zu: %zu images", group + 1, size);
    sheet_row(page, text);
    for (size_t i = 0; i < shown; i++) {
        char caption[16];
        snprintf(caption, sizeof caption, "%.4f", (double)members[i].similarity);
        sheet_cell(page, &jpegs[i], row_name(images, members[i].index, text), i == 0 ? "first" : caption, i == 0);
    }
    if (shown < size)
        snprintf(note, sizeof note, "and %zu more", size - shown);
    sheet_row_end(page, note[0] ? note : NULL);
    free_all(jpegs, MOST_CELLS);
    return status;
}

enum simclr_status write_groups_sheet(const char *path, const struct search_images *images, const struct search_groups *g,
                                      struct simclr_error *err)
{
    struct buffer page = {.data = NULL};
    char summary[SUMMARY], more[64];
    size_t shown = g->count < MOST_GROUPS ? g->count : MOST_GROUPS;
    enum simclr_status status = SIMCLR_OK;
    groups_summary(summary, images, g);
    sheet_begin(&page, "Near-duplicates", summary);
    for (size_t i = 0; i < shown && status == SIMCLR_OK; i++)
        status = add_group(&page, images, g, i, err);
    if (shown < g->count) {
        snprintf(more, sizeof more, "%zu more groups are not shown", g->count - shown);
        sheet_row(&page, more);
        sheet_row_end(&page, NULL);
    }
    sheet_end(&page);
    if (status == SIMCLR_OK)
        status = write_page(path, &page, err);
    buffer_free(&page);
    return status;
}
