/* Groups of near-duplicates among features: images so similar that they are taken for copies of one another. */
#ifndef EVAL_DUPLICATES_H
#define EVAL_DUPLICATES_H

#include "base/engine.h"
#include "simclr/status.h"

#include <stddef.h>
#include <stdint.h>

/* group[i] becomes the lowest row of the group that row i of x (rows, d), of length 1 each, belongs to; i where it is alone. Single
 * linkage: two rows are in one group if a chain of rows leads from one to the other whose neighbours' cosine is threshold or more.
 * rows^2 d multiplications; memory grows with rows alone. SIMCLR_ERR_CANCELLED when the engine is to stop. */
enum simclr_status duplicates_find(const struct engine *engine, uint32_t *group, const float *x, size_t rows, int d, float threshold,
                                   struct simclr_error *err);

#endif
