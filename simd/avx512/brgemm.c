/* Batch-reduce GEMM for AVX-512: tiles of 1 to 12 rows by 32 columns (or 16, where the panel is that narrow).
 *
 * Registers of 12 x 32: 24 accumulators, 2 vectors of B, broadcasts of A = 27 to 32 zmm, none spilled. A step of k is 24 FMAs for
 * 14 loads. Twelve row pointers, B and the counter just fit the general registers; 14 rows, as fast on paper, would not. m is
 * split evenly, as for AVX2: 32 rows are 11+11+10. */
#include "shared/tile.h"

ALWAYS_INLINE void tile_of(int rows, const bool wide, const bool brief, const struct product *g, int i0)
{
    switch (rows) {
    case 1: tile(1, wide, brief, g, i0); break;
    case 2: tile(2, wide, brief, g, i0); break;
    case 3: tile(3, wide, brief, g, i0); break;
    case 4: tile(4, wide, brief, g, i0); break;
    case 5: tile(5, wide, brief, g, i0); break;
    case 6: tile(6, wide, brief, g, i0); break;
    case 7: tile(7, wide, brief, g, i0); break;
    case 8: tile(8, wide, brief, g, i0); break;
    case 9: tile(9, wide, brief, g, i0); break;
    case 10: tile(10, wide, brief, g, i0); break;
    case 11: tile(11, wide, brief, g, i0); break;
    default: tile(12, wide, brief, g, i0); break;
    }
}

ALWAYS_INLINE void tile_tn_of(int rows, const bool wide, const bool packing, const struct product *g, int i0)
{
    switch (rows) {
    case 1: tile_tn(1, wide, packing, g, i0); break;
    case 2: tile_tn(2, wide, packing, g, i0); break;
    case 3: tile_tn(3, wide, packing, g, i0); break;
    case 4: tile_tn(4, wide, packing, g, i0); break;
    case 5: tile_tn(5, wide, packing, g, i0); break;
    case 6: tile_tn(6, wide, packing, g, i0); break;
    case 7: tile_tn(7, wide, packing, g, i0); break;
    case 8: tile_tn(8, wide, packing, g, i0); break;
    case 9: tile_tn(9, wide, packing, g, i0); break;
    case 10: tile_tn(10, wide, packing, g, i0); break;
    case 11: tile_tn(11, wide, packing, g, i0); break;
    default: tile_tn(12, wide, packing, g, i0); break;
    }
}

#include "shared/brgemm_entry.h"
