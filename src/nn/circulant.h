/* In what order the pairs of tiles of a symmetric matrix are visited: each unordered pair once, on any number of threads, while every
 * tile of rows and every tile of columns takes its contributions in one order.
 *
 * Tiles are grouped into n blocks. Round r visits the blocks (I, I + r mod n) for every I, r = 0 .. n / 2: within a round a block
 * stands once for rows and once for columns, so that the round's chunks may run side by side if sums over rows and sums over columns
 * are kept apart. A round begins when the last one has ended. */
#ifndef NN_CIRCULANT_H
#define NN_CIRCULANT_H

#include <stddef.h>

struct circulant {
    int tiles, block; /* tiles in all, and of a block, but the last */
    int blocks, rounds;
    int diagonals; /* of all pairs (row, col), col - row mod tiles is less */
};

/* tiles >= 1. From their number alone, since it decides the order of sums. */
struct circulant circulant_of(int tiles);

/* Pairs of blocks in a round. */
size_t circulant_chunks(const struct circulant *c, int round);

typedef void circulant_fn(void *ctx, int row, int col);

/* Calls fn for the pairs of tiles of one chunk, row by row; within a block, in round 0, only where row <= col. */
void circulant_visit(const struct circulant *c, int round, size_t chunk, circulant_fn *fn, void *ctx);

#endif
