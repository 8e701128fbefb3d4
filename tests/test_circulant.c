/* The schedule over pairs of tiles: everything once, and nothing shared within a round. */
#include "nn/circulant.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct visits {
    int tiles, diagonals, chunk;
    int *seen;        /* (tiles, tiles) */
    int *row_of, *col_of; /* (tiles) chunk of this round that has the tile as rows, as columns; -1 */
};

static void visit(void *ctx, int row, int col)
{
    struct visits *v = ctx;
    cr_assert(row >= 0 && row < v->tiles && col >= 0 && col < v->tiles, "(%d, %d) of %d tiles", row, col, v->tiles);
    cr_assert((col - row + v->tiles) % v->tiles < v->diagonals, "(%d, %d) of %d tiles", row, col, v->tiles);
    v->seen[row * v->tiles + col]++;
    cr_assert(v->row_of[row] < 0 || v->row_of[row] == v->chunk, "%d tiles: two chunks share row %d", v->tiles, row);
    cr_assert(v->col_of[col] < 0 || v->col_of[col] == v->chunk, "%d tiles: two chunks share column %d", v->tiles, col);
    v->row_of[row] = v->col_of[col] = v->chunk;
}

static void expect_every_pair_once(int tiles)
{
    size_t count = (size_t)tiles;
    struct circulant c = circulant_of(tiles);
    struct visits v = {tiles, c.diagonals, 0, calloc(count * count, sizeof *v.seen), calloc(count, sizeof *v.row_of), calloc(count, sizeof *v.col_of)};
    cr_assert(v.seen && v.row_of && v.col_of);
    for (int round = 0; round < c.rounds; round++) {
        for (int i = 0; i < tiles; i++)
            v.row_of[i] = v.col_of[i] = -1;
        for (size_t chunk = 0; chunk < circulant_chunks(&c, round); chunk++) {
            v.chunk = (int)chunk;
            circulant_visit(&c, round, chunk, visit, &v);
        }
    }
    for (int i = 0; i < tiles; i++) {
        cr_expect_eq(v.seen[i * tiles + i], 1, "%d tiles: (%d, %d) visited %d times", tiles, i, i, v.seen[i * tiles + i]);
        for (int j = 0; j < i; j++) {
            int seen = v.seen[i * tiles + j] + v.seen[j * tiles + i];
            cr_expect_eq(seen, 1, "%d tiles: (%d, %d) visited %d times", tiles, i, j, seen);
        }
    }
    free(v.seen);
    free(v.row_of);
    free(v.col_of);
}

Test(circulant, visits_every_pair_once)
{
    for (int tiles = 1; tiles <= 80; tiles++)
        expect_every_pair_once(tiles);
    static const int more[] = {127, 128, 129, 143, 144, 255, 256, 257, 271, 512};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        expect_every_pair_once(more[i]);
}
