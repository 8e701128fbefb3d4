/* The images that others are compared with: features h of length 1, and which image of which part each is. */
#ifndef EVAL_BANK_H
#define EVAL_BANK_H

#include "eval/features.h"

struct bank_place {
    uint32_t item;
    uint8_t part;
};

struct bank {
    float *x; /* (rows, d), normalised */
    struct bank_place *places; /* (rows) */
    size_t rows, broken; /* broken images have no row */
    int d;
};

/* Of all readable images of parts (count), in their order. */
enum simclr_status bank_compute(struct bank *bank, struct network *network, const struct image_part *parts, int count, int batch,
                                const struct engine *engine, image_report_fn *report, void *ctx, struct simclr_error *err);

/* The same from an F.npy and F.names.txt of embed_write. Refused where the names are not those of parts, or where the first or last row
 * is not what network makes of its image. */
enum simclr_status bank_load(struct bank *bank, const char *path, struct network *network, const struct image_part *parts, int count,
                             const struct engine *engine, struct simclr_error *err);

void bank_free(struct bank *bank);

#endif
