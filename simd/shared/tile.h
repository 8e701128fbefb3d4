/* The parts of a GEMM tile of mr rows by one or two vectors of columns. mr and wide are constants at every call, so that each tile
 * becomes one straight loop with its accumulators in registers. tile() and tile_tn() are for x86, where a broadcast from memory
 * costs no more than a load; NEON has its own. Each brgemm.c chooses the sizes and states its register budget. */
#ifndef SIMD_TILE_H
#define SIMD_TILE_H

#include "shared/shared.h"
#include "vec.h"

_Static_assert(GEMM_NR == 2 * VL, "a panel is two vectors wide");

/* The arguments of one brgemm or brgemm_tn call. */
struct product {
    float *c;
    const ptrdiff_t *c_row; /* brgemm */
    ptrdiff_t ldc;          /* brgemm_tn */
    const float *a;
    const ptrdiff_t *a_row, *a_tap; /* brgemm */
    const ptrdiff_t *a_bytes;       /* brgemm_tn */
    const float *b;
    int m, n, k, taps;
    enum brgemm_mode mode;  /* brgemm */
    bool accumulate;        /* brgemm_tn */
    ptrdiff_t ldb;          /* brgemm_tn: of b where it packs */
    float *packed;          /* NULL: b is packed already */
    const float *soon;      /* brgemm_tn: never NULL, what is there already if nothing is wanted */
    ptrdiff_t soon_row;
};

/* The first n columns at c, in two vectors if wide. Nothing beyond them is touched. */
ALWAYS_INLINE void load_columns(vf v[2], const float *c, const bool wide, int n)
{
    const int last = wide ? n - VL : n;
    if (wide)
        v[0] = vf_load(c);
    v[wide] = vf_load_lanes(c + wide * VL, last);
}

ALWAYS_INLINE void store_columns(float *c, const vf v[2], const bool wide, int n)
{
    const int last = wide ? n - VL : n;
    if (wide)
        vf_store(c, v[0]);
    vf_store_lanes(c + wide * VL, v[wide], last);
}

/* One step of k: acc[i] += a[i] b, for the broadcast a[i] of each row. */
ALWAYS_INLINE void step(vf acc[][2], const float *const a[], ptrdiff_t p, const float *b, const int mr, const bool wide)
{
    const vf b0 = vf_load(b), b1 = wide ? vf_load(b + VL) : vf_zero();
    UNROLL
    for (int i = 0; i < mr; i++) {
        const vf x = vf_set1(a[i][p]);
        acc[i][0] = vf_fma(x, b0, acc[i][0]);
        if (wide)
            acc[i][1] = vf_fma(x, b1, acc[i][1]);
    }
}

/* Rows of C are fetched while the products are formed, for from memory they would stall the tile's end, or the next one's begin:
 * one row every FETCH_STEPS steps of k. All of them at once take every line buffer that A and B wait for: a product of 64 channels
 * and 256 outputs then runs at 78 % of peak instead of 88. Every BRIEF_FETCH_STEPS, where k is so short (brief) that not all would
 * be reached: the 27 steps of a 3-channel stem gain an eighth. */
enum { FETCH_STEPS = 4, BRIEF_FETCH_STEPS = 2 };

ALWAYS_INLINE void fetch_row(const float *c, const bool wide)
{
    __builtin_prefetch(c, 1, 3);
    if (wide && VL == 16)
        __builtin_prefetch(c + VL, 1, 3);
}

/* Of brgemm: the rows of C at c_row. What is added is loaded here, where nothing waits for it: the loads go ahead while the last FMAs
 * run. Gradients by data of 64 to 256 channels that are added gain 5 to 9 %. */
ALWAYS_INLINE void finish_rows(const int mr, const bool wide, const struct product *g, const ptrdiff_t *c_row, vf acc[][2])
{
    if (g->mode == BRGEMM_ADD) {
        UNROLL
        for (int i = 0; i < mr; i++) {
            vf old[2];
            load_columns(old, g->c + c_row[i], wide, g->n);
            if (wide)
                acc[i][0] = vf_add(old[0], acc[i][0]);
            acc[i][wide] = vf_add(old[wide], acc[i][wide]);
        }
    }
    UNROLL
    for (int i = 0; i < mr; i++)
        store_columns(g->c + c_row[i], acc[i], wide, g->n);
}

/* Rows i0 .. i0 + mr of brgemm. */
ALWAYS_INLINE void tile(const int mr, const bool wide, const bool brief, const struct product *g, int i0)
{
    const ptrdiff_t fetch_steps = brief ? BRIEF_FETCH_STEPS : FETCH_STEPS;
    const ptrdiff_t *c_row = g->c_row + i0, *a_row = g->a_row + i0;
    vf acc[GEMM_MR][2];
    UNROLL
    for (int i = 0; i < mr; i++)
        acc[i][0] = acc[i][1] = vf_zero();
    if (g->mode == BRGEMM_CONTINUE) {
        UNROLL
        for (int i = 0; i < mr; i++)
            load_columns(acc[i], g->c + c_row[i], wide, g->n);
    }
    /* What is stored at the end; or, as it has just been loaded, what the next tile loads. Then the last row over and over, which
     * costs less than a loop of its own: tiles of 64 steps gain 4 %. */
    const ptrdiff_t *last = g->c_row + g->m - 1, *next = g->mode == BRGEMM_CONTINUE ? c_row + mr : c_row;
    last = last < next + mr - 1 ? last : next + mr - 1;
    next = next < last ? next : last;

    const float *b = g->b;
    const ptrdiff_t k = g->k;
    for (int t = 0; t < g->taps; t++) {
        const float *a[GEMM_MR];
        UNROLL
        for (int i = 0; i < mr; i++)
            a[i] = g->a + g->a_tap[t] + a_row[i] + k;
        for (ptrdiff_t p = -k; p;) { /* up to zero, and each time up to a multiple of fetch_steps: no register for an end */
            fetch_row(g->c + *next, wide);
            next += next < last;
#pragma GCC unroll 1
            do {
                step(acc, a, p, b, mr, wide);
                p++;
                b += GEMM_NR;
            } while (p & (fetch_steps - 1));
        }
    }

    finish_rows(mr, wide, g, c_row, acc);
}

/* Rows i0 .. i0 + mr of brgemm_tn: the broadcasts of a step are mr consecutive floats, from one pointer: here is room for another
 * to fetch with. A line every step asks for less than memory gives; in bursts between calls, products of 256 by 64 channels, whose
 * operands come from memory, reach 66 % of peak instead of 86. C is fetched at once: it is mostly in L2
 * already, and row by row won nothing. Packing costs two stores a step here, for which the FMAs leave time; by itself it would take
 * 8 % of the time of 64 rows. Only whole panels are packed here. */
ALWAYS_INLINE void tile_tn(const int mr, const bool wide, const bool packing, const struct product *g, int i0)
{
    vf acc[GEMM_MR][2];
    UNROLL
    for (int i = 0; i < mr; i++) {
        acc[i][0] = acc[i][1] = vf_zero();
        fetch_row(g->c + (i0 + i) * g->ldc, wide);
    }

    /* All that the loop needs, for the compiler must take its stores to change what g points to. */
    const float *b = g->b, *soon = g->soon, *const a = g->a + i0;
    const ptrdiff_t *const a_bytes = g->a_bytes, b_step = packing ? g->ldb : GEMM_NR, soon_step = g->soon_row, k = g->k;
    float *packed = g->packed;
#pragma GCC unroll VL == 8 ? 2 : 1 /* one turn a step is too many instructions for Haswell's four a cycle: 85 % of the bound, so 92 */
    for (ptrdiff_t p = 0; p < k; p++, b += b_step, soon += soon_step) {
        __builtin_prefetch(soon, 0, 2);
        const vf b0 = vf_load(b), b1 = wide ? vf_load(b + VL) : vf_zero();
        if (packing) {
            vf_store(packed, b0);
            vf_store(packed + VL, b1);
            packed += GEMM_NR;
        }
        const float *row = behind(a, a_bytes[p]);
        UNROLL
        for (int i = 0; i < mr; i++) {
            const vf x = vf_set1(row[i]);
            acc[i][0] = vf_fma(x, b0, acc[i][0]);
            if (wide)
                acc[i][1] = vf_fma(x, b1, acc[i][1]);
        }
    }

    UNROLL
    for (int i = 0; i < mr; i++) {
        float *c = g->c + (i0 + i) * g->ldc;
        vf old[2] = {vf_zero(), vf_zero()};
        if (g->accumulate)
            load_columns(old, c, wide, g->n);
        acc[i][0] = vf_add(old[0], acc[i][0]);
        acc[i][1] = vf_add(old[1], acc[i][1]);
        store_columns(c, acc[i], wide, g->n);
    }
}

#endif
