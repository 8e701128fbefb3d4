/* Nearest neighbours of features by cosine, exactly. */
#ifndef EVAL_NEIGHBOURS_H
#define EVAL_NEIGHBOURS_H

#include "base/engine.h"
#include "simclr/status.h"

#include <stddef.h>
#include <stdint.h>

struct neighbour {
    float similarity;
    uint32_t index; /* row of the bank */
};

/* The neighbours of one query, best first; called once a query, from several threads, of which thread is one's number. */
typedef void neighbours_fn(void *ctx, size_t query, const struct neighbour *ranked, int count, int thread);

/* Of bank (bank_rows, d), rows of length 1, the k most similar to each of query (query_rows, d), of length 1 too; fewer where the bank is
 * smaller. Of equals the lower row comes first; NaN is never near. bank_labels, unless NULL: rows with a negative label are left out.
 * SIMCLR_ERR_CANCELLED when the engine is to stop. */
enum simclr_status neighbours_find(const struct engine *engine, const float *bank, const int *bank_labels, size_t bank_rows,
                                   const float *query, size_t query_rows, int d, int k, neighbours_fn *take, void *ctx,
                                   struct simclr_error *err);

/* Bytes that it takes meanwhile. */
size_t neighbours_scratch(const struct engine *engine, size_t query_rows, int d, int k);

#endif
