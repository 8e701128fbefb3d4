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

/* acc + b * the float row[p], or *x, broadcast from memory by the FMA itself: the first rows of an AVX-512 tile load their factor so, once
 * for each vector of B, for a core has loads to spare, and begins fewer instructions. Forward passes and gradients by data gain 2 to
 * 6 %. On Skylake the loads are the limit from 9 and 11 rows on. Nothing writes A meanwhile, of which fma_embedded does not tell the
 * compiler that it is read: it would add up an address for each load. */
#if defined ISA_IS_AVX512
enum { EMBEDDED_ROWS = 8, EMBEDDED_ROWS_TN = 10 };
ALWAYS_INLINE vf fma_embedded(vf acc, const float *row, ptrdiff_t p, vf b)
{
    __asm__("vfmadd231ps (%1,%2,4)%{1to16%}, %3, %0" : "+v"(acc) : "r"(row), "r"(p), "v"(b));
    return acc;
}
ALWAYS_INLINE vf fma_embedded_tn(vf acc, const float *x, vf b)
{
    __asm__("vfmadd231ps %1%{1to16%}, %2, %0" : "+v"(acc) : "m"(*x), "v"(b));
    return acc;
}
#else
enum { EMBEDDED_ROWS = 0, EMBEDDED_ROWS_TN = 0 };
ALWAYS_INLINE vf fma_embedded(vf acc, const float *row, ptrdiff_t p, vf b) { return vf_fma(vf_set1(row[p]), b, acc); }
ALWAYS_INLINE vf fma_embedded_tn(vf acc, const float *x, vf b) { return vf_fma(vf_set1(*x), b, acc); }
#endif

/* acc += x b */
ALWAYS_INLINE void fma_row(vf acc[2], vf x, vf b0, vf b1, const bool wide)
{
    acc[0] = vf_fma(x, b0, acc[0]);
    if (wide)
        acc[1] = vf_fma(x, b1, acc[1]);
}

/* One step of k: acc[i] += a[i] b, for the broadcast a[i] of each row. */
ALWAYS_INLINE void step(vf acc[][2], const float *const a[], ptrdiff_t p, const float *b, const int mr, const bool wide)
{
    const vf b0 = vf_load(b), b1 = wide ? vf_load(b + VL) : vf_zero();
    UNROLL
    for (int i = 0; i < mr; i++)
        if (wide && i < EMBEDDED_ROWS) {
            acc[i][0] = fma_embedded(acc[i][0], a[i], p, b0);
            acc[i][1] = fma_embedded(acc[i][1], a[i], p, b1);
        } else {
            fma_row(acc[i], vf_set1(a[i][p]), b0, b1, wide);
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

/* One step of brgemm_tn: acc[i] += row[i] b. b goes to packed too, unless NULL. */
ALWAYS_INLINE void step_tn(vf acc[][2], const float *row, const float *b, float *packed, const int mr, const bool wide)
{
    const vf b0 = vf_load(b), b1 = wide ? vf_load(b + VL) : vf_zero();
    if (packed) {
        vf_store(packed, b0);
        vf_store(packed + VL, b1);
    }
    UNROLL
    for (int i = 0; i < mr; i++)
        if (wide && i < EMBEDDED_ROWS_TN) {
            acc[i][0] = fma_embedded_tn(acc[i][0], row + i, b0);
            acc[i][1] = fma_embedded_tn(acc[i][1], row + i, b1);
        } else {
            fma_row(acc[i], vf_set1(row[i]), b0, b1, wide);
        }
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
    const float *b = g->b, *soon = g->soon, *a = g->a + i0;
    __asm__("" : "+r"(a)); /* one register for the sum */
    const ptrdiff_t *const a_bytes = g->a_bytes, b_step = packing ? g->ldb : GEMM_NR, soon_step = g->soon_row, k = g->k;
    float *packed = packing ? g->packed : NULL;
    ptrdiff_t p = 0; /* two steps a turn: one would be too many instructions for four a cycle */
#pragma GCC unroll 1
    for (; p + 2 <= k; p += 2, b += 2 * b_step, soon += 2 * soon_step) {
        __builtin_prefetch(soon, 0, 2);
        step_tn(acc, behind(a, a_bytes[p]), b, packed, mr, wide);
        __builtin_prefetch(soon + soon_step, 0, 2);
        step_tn(acc, behind(a, a_bytes[p + 1]), b + b_step, packing ? packed + GEMM_NR : NULL, mr, wide);
        packed += packing ? 2 * GEMM_NR : 0;
    }
    if (p < k) {
        __builtin_prefetch(soon, 0, 2);
        step_tn(acc, behind(a, a_bytes[p]), b, packed, mr, wide);
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
