/* Cosine similarities of rows of features, tile by tile: what neighbours and duplicates are found by. */
#ifndef EVAL_SIMILARITY_H
#define EVAL_SIMILARITY_H

#include "base/engine.h"

#include <stddef.h>

enum { SIMILARITY_TILE = 64 };

/* x (rows, d): each row of length 1, or 0. */
void normalize_rows(const struct engine *engine, float *x, size_t rows, int d);

/* Up to SIMILARITY_TILE rows x (count, d) become the columns of tiles: panels holds SIMILARITY_TILE d floats, 64-byte aligned. */
void similarity_pack(const struct kernels *kernels, float *panels, const float *x, int count, int d);

/* similarity (rows, SIMILARITY_TILE) of up to SIMILARITY_TILE normalised rows x to `count` packed ones; those beyond are undefined. An
 * element is one chain of FMAs over d, so a to b is what b to a is, to the bit. */
void similarity_tile(const struct kernels *kernels, float *similarity, const float *x, int rows, const float *panels, int count, int d);

#endif
