#include "nn/circulant.h"

/* Sixteen blocks or more keep as many threads busy; of up to eight tiles, whose rows and gradients stay in an L2 cache of 1 MB while
 * those of another block pass by: of 8,192 rows, blocks of four tiles cost 5 % more, of sixteen the same. */
enum { FEWEST_BLOCKS = 16, LARGEST_BLOCK = 8 };

struct circulant circulant_of(int tiles)
{
    struct circulant c = {.tiles = tiles, .block = tiles / FEWEST_BLOCKS};
    c.block = c.block < 1 ? 1 : c.block < LARGEST_BLOCK ? c.block : LARGEST_BLOCK;
    c.blocks = (tiles + c.block - 1) / c.block;
    c.rounds = c.blocks / 2 + 1;
    c.diagonals = c.rounds * c.block < tiles ? c.rounds * c.block : tiles;
    return c;
}

size_t circulant_chunks(const struct circulant *c, int round)
{
    /* halfway round, (I, J) and (J, I) are the same pair */
    return (size_t)(round > 0 && 2 * round == c->blocks ? round : c->blocks);
}

static int end_of(const struct circulant *c, int block)
{
    int end = (block + 1) * c->block;
    return end < c->tiles ? end : c->tiles;
}

void circulant_visit(const struct circulant *c, int round, size_t chunk, circulant_fn *fn, void *ctx)
{
    int rows = (int)chunk, cols = (rows + round) % c->blocks;
    for (int row = rows * c->block; row < end_of(c, rows); row++)
        for (int col = round ? cols * c->block : row; col < end_of(c, cols); col++)
            fn(ctx, row, col);
}
