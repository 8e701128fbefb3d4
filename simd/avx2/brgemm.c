/* Batch-reduce GEMM for AVX2 + FMA: tiles of 1 to 6 rows by 16 columns (or 8, where the panel is that narrow).
 *
 * Registers of 6 x 16: 12 accumulators, 2 vectors of B, 1 or 2 broadcasts of A = 16 ymm, none spilled. A step of k is 12 FMAs for
 * 8 loads, so two FMA ports stay busy with two load ports; twelve chains cover the latency of FMA. Six row pointers, B and the
 * counter fit the general registers. m is split evenly: 32 rows are 6+6+5+5+5+5, not five sixes and a slow pair. */
#include "shared/tile.h"

ALWAYS_INLINE void tile_of(int rows, const bool wide, const bool brief, const struct product *g, int i0)
{
    switch (rows) {
    case 1: tile(1, wide, brief, g, i0); break;
    case 2: tile(2, wide, brief, g, i0); break;
    case 3: tile(3, wide, brief, g, i0); break;
    case 4: tile(4, wide, brief, g, i0); break;
    case 5: tile(5, wide, brief, g, i0); break;
    default: tile(6, wide, brief, g, i0); break;
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
    default: tile_tn(6, wide, packing, g, i0); break;
    }
}

#include "shared/brgemm_entry.h"
