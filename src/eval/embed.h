/* The features of whole sets, row by row into files that other programs read. */
#ifndef EVAL_EMBED_H
#define EVAL_EMBED_H

#include "eval/features.h"

struct embed_options {
    bool z;         /* the projection, not h */
    bool normalize; /* each row of length 1 */
    bool parts;     /* names begin with their split's: "test/cat/1.jpg" */
    int batch;
};

/* What an item is called there. */
enum { EMBED_NAME = 16384 + 64 }; /* of a path whose every byte is escaped */
const char *embed_name(const struct image_part *part, bool parts, size_t item, char text[EMBED_NAME]);

struct embed_result {
    size_t images, broken;
    int dim;
    bool labels; /* F.labels.npy, or the column `label`, is there */
};

/* Rows of all parts, one part after the other, into `output`:
 *   F.npy    (N, D) float32; beside it F.names.txt, a printable name a line (base/text.h), and, where a set has labels, F.labels.npy,
 *            (N) int64, -1 for none;
 *   F.csv    name, label where a set has labels, f0 to f(D-1): 9 digits, which give back the same float32.
 * Images that cannot be read have no row; F.broken.txt says which, and why. The files appear when all are whole, `output` last; none is
 * overwritten, and after an error, or when stopped, there is none. No more than one pass is in memory. */
enum simclr_status embed_write(const char *output, struct network *network, const struct image_part *parts, int count,
                               const struct embed_options *options, const struct engine *engine, image_report_fn *report, void *ctx,
                               struct embed_result *result, struct simclr_error *err);

/* The same as CSV to an open file, which is called `name` in errors; whom cannot be read, the loaders know (loader_broken). */
enum simclr_status embed_print(int fd, const char *name, struct network *network, const struct image_part *parts, int count,
                               const struct embed_options *options, const struct engine *engine, image_report_fn *report, void *ctx,
                               struct embed_result *result, struct simclr_error *err);

#endif
