#include "eval/similarity.h"

#include "base/par.h"
#include "simd/kernels.h"

struct normalisation {
    const struct kernels *kernels;
    float *x;
    size_t rows;
    int d;
};

static void normalize_chunk(void *ctx, size_t chunk, int thread)
{
    (void)thread;
    const struct normalisation *n = ctx;
    size_t first = chunk * SIMILARITY_TILE, left = n->rows - first;
    float *x = n->x + first * (size_t)n->d;
    n->kernels->l2_normalize(x, NULL, x, left < SIMILARITY_TILE ? left : SIMILARITY_TILE, n->d);
}

void normalize_rows(const struct engine *engine, float *x, size_t rows, int d)
{
    struct normalisation n = {engine->kernels, x, rows, d};
    par_for(engine->threads, (rows + SIMILARITY_TILE - 1) / SIMILARITY_TILE, normalize_chunk, &n);
}

void similarity_pack(const struct kernels *k, float *panels, const float *x, int count, int d)
{
    for (int i = 0; i < count; i += k->nr)
        k->pack_bt(panels + (size_t)i * (size_t)d, x + (size_t)i * (size_t)d, d, d, count - i < k->nr ? count - i : k->nr);
}

void similarity_tile(const struct kernels *k, float *similarity, const float *x, int rows, const float *panels, int count, int d)
{
    static const ptrdiff_t tap = 0;
    ptrdiff_t c_row[SIMILARITY_TILE], a_row[SIMILARITY_TILE];
    for (int i = 0; i < rows; i++) {
        c_row[i] = (ptrdiff_t)i * SIMILARITY_TILE;
        a_row[i] = (ptrdiff_t)i * d;
    }
    for (int i = 0; i < count; i += k->nr)
        k->brgemm(similarity + i, c_row, x, a_row, &tap, panels + (size_t)i * (size_t)d, rows, count - i < k->nr ? count - i : k->nr, d, 1,
                  BRGEMM_WRITE);
}
