/* Batch-reduce GEMM for AArch64 NEON: tiles of 1 to 8 rows by 8 columns (or 4, where the panel is that narrow).
 *
 * In the lane-indexed form: four consecutive k of each row are one vector of A, whose lanes multiply four rows of B. Registers of
 * 8 x 8: 16 accumulators, 8 vectors of A, 2 of B = 26 of 32, none spilled (broadcasting A instead makes GCC spill). Four steps of
 * k are 64 FMAs for 16 loads. Eight row pointers and B fit the general registers easily.
 *
 * Small cores execute in order, so each load stands some FMAs before its first use, one at a time. By tests/mca.sh a Cortex-A55 then
 * reaches 82 to 83 % of its FMA bound; a Cortex-A72, which finds its own order, all of it.
 * 4 x 16 and 5 x 16 gain nothing on either, 6 x 12 and 6 x 16 need more registers than the compiler finds, and 12 columns would
 * leave a tenth of every 64 channels' products to waste. */
#include "shared/tile.h"

/* acc + b * x[lane]. As an instruction, which the compiler leaves where it is written, loads around it too: from the intrinsic GCC makes
 * copies of lanes and accumulators, and pairs of loads of 128 bits, for which a Cortex-A55 stands still. */
ALWAYS_INLINE vf fma_lane(vf acc, vf b, vf x, const int lane)
{
    switch (lane) {
    case 0: __asm__ volatile("fmla %0.4s, %1.4s, %2.s[0]" : "+w"(acc) : "w"(b), "w"(x)); break;
    case 1: __asm__ volatile("fmla %0.4s, %1.4s, %2.s[1]" : "+w"(acc) : "w"(b), "w"(x)); break;
    case 2: __asm__ volatile("fmla %0.4s, %1.4s, %2.s[2]" : "+w"(acc) : "w"(b), "w"(x)); break;
    default: __asm__ volatile("fmla %0.4s, %1.4s, %2.s[3]" : "+w"(acc) : "w"(b), "w"(x)); break;
    }
    return acc;
}

/* Not with clang 14, which then finds too few registers. */
#if defined __clang__
enum { LOAD_AHEAD = false };
#else
enum { LOAD_AHEAD = true };
#endif

/* acc[i] += x[i][lane] b: one step of k. Behind the last FMA that wants them, unless NULL, come the next step's b and x. */
ALWAYS_INLINE void step_lane(vf acc[][2], vf x[], vf b[2], const int lane, const float *next_b, const float *const next_a[], ptrdiff_t p,
                             const int mr, const bool wide)
{
    UNROLL
    for (int j = 0; j <= wide; j++) {
        UNROLL
        for (int i = 0; i < mr; i++) {
            acc[i][j] = fma_lane(acc[i][j], b[j], x[i], lane);
            if (next_a && j == wide)
                x[i] = vf_load(next_a[i] + p);
        }
        if (next_b)
            b[j] = vf_load(next_b + j * VL);
    }
}

/* Four steps, whose x and first b are in registers. Then those are the next four's, from next_b and from p on in the rows a, unless
 * next_b is NULL. */
ALWAYS_INLINE void steps_lane(vf acc[][2], vf x[], vf bs[2], const float *b, const float *next_b, const float *const a[], ptrdiff_t p,
                              const int mr, const bool wide)
{
    step_lane(acc, x, bs, 0, b + GEMM_NR, NULL, 0, mr, wide);
    step_lane(acc, x, bs, 1, b + 2 * GEMM_NR, NULL, 0, mr, wide);
    step_lane(acc, x, bs, 2, b + 3 * GEMM_NR, NULL, 0, mr, wide);
    step_lane(acc, x, bs, 3, next_b, next_b ? a : NULL, p, mr, wide);
}

/* Rows i0 .. i0 + mr of brgemm; mr and wide are constants at every call. */
ALWAYS_INLINE void tile_by_lane(const int mr, const bool wide, const struct product *g, int i0)
{
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

    const float *b = g->b;
    const ptrdiff_t k = g->k;
    for (int t = 0; t < g->taps; t++) {
        const float *a[GEMM_MR];
        UNROLL
        for (int i = 0; i < mr; i++)
            a[i] = g->a + g->a_tap[t] + a_row[i];
        ptrdiff_t p = 0;
        if (LOAD_AHEAD && k >= 4) {
            vf x[GEMM_MR], bs[2] = {vf_load(b), wide ? vf_load(b + VL) : vf_zero()};
            UNROLL
            for (int i = 0; i < mr; i++)
                x[i] = vf_load(a[i]);
            for (p = 4; p + 4 <= k; p += 4, b += 4 * GEMM_NR)
                steps_lane(acc, x, bs, b, b + 4 * GEMM_NR, a, p, mr, wide);
            steps_lane(acc, x, bs, b, NULL, a, 0, mr, wide);
            b += 4 * GEMM_NR;
        }
        for (; !LOAD_AHEAD && p + 4 <= k; p += 4) {
            vf x[GEMM_MR], bs[2] = {vf_load(b), wide ? vf_load(b + VL) : vf_zero()};
            UNROLL
            for (int i = 0; i < mr; i++)
                x[i] = vf_load(a[i] + p);
            steps_lane(acc, x, bs, b, NULL, a, 0, mr, wide);
            b += 4 * GEMM_NR;
        }
#pragma GCC unroll 1
        for (; p < k; p++, b += GEMM_NR)
            step(acc, a, p, b, mr, wide);
    }

    finish_rows(mr, wide, g, c_row, acc);
}

/* What a step of brgemm_tn multiplies: mr consecutive floats of A, in two vectors that overlap if mr is no multiple of four, and one or
 * two vectors of B. */
struct operands {
    vf x[2], b[2];
};

/* Where the second vector of A begins. */
ALWAYS_INLINE int second(const int mr) { return mr > VL ? mr - VL : 0; }

/* Load number `load` of the four (at most) that a step takes. A's lie `row` bytes behind a[0] and a[1]. */
ALWAYS_INLINE void load_operand(struct operands *o, const int load, const float *const a[2], ptrdiff_t row, const float *b,
                                const int mr, const bool wide)
{
    if (load == 0)
        o->x[0] = vf_load_lanes(behind(a[0], row), mr < VL ? mr : VL);
    if (load == 1 && mr > VL)
        o->x[1] = vf_load(behind(a[1], row));
    if (load == 2 || (load == 3 && wide))
        o->b[load - 2] = vf_load(b + (load - 2) * VL);
}

ALWAYS_INLINE vf fma_operand(vf acc, const struct operands *o, const int i, const int j, const int mr)
{
    return i < VL ? fma_lane(acc, o->b[j], o->x[0], i) : fma_lane(acc, o->b[j], o->x[1], i - second(mr));
}

/* Where the step after this one finds its operands, and where the offset of the row after that stands. */
struct next_step {
    const float *const *a, *b, *soon;
    ptrdiff_t row;
    const ptrdiff_t *row_after;
};

/* One step, from `now`; evenly between its FMAs what the next ones need. Returns the offset at row_after. */
ALWAYS_INLINE ptrdiff_t step_tn_by_lane(vf acc[][2], const struct operands *now, struct operands *after, const struct next_step next,
                                        const int mr, const bool wide)
{
    const int fmas = mr * (1 + wide);
    ptrdiff_t row_after = 0;
    UNROLL
    for (int f = 0; f < fmas; f++) {
        const int i = f % mr, j = f / mr;
        acc[i][j] = fma_operand(acc[i][j], now, i, j, mr);
        if (f == 0)
            __builtin_prefetch(next.soon, 0, 2);
        UNROLL
        for (int load = 0; load < 4; load++)
            if (f == fmas * (load + 1) / 6)
                load_operand(after, load, next.a, next.row, next.b, mr, wide);
        if (f == fmas * 5 / 6) {
            row_after = *next.row_after;
            __asm__ volatile("" : "+r"(row_after)); /* here, and not where it is wanted */
        }
    }
    return row_after;
}

enum { TURN = 8 }; /* steps of a loop's turn: with four, 68 % of the instructions would be FMAs, so 71 */

/* Rows i0 .. i0 + mr of brgemm_tn. */
ALWAYS_INLINE void tile_tn_by_lane(const int mr, const bool wide, const struct product *g, int i0)
{
    vf acc[GEMM_MR][2];
    UNROLL
    for (int i = 0; i < mr; i++)
        acc[i][0] = acc[i][1] = vf_zero();

    const float *a[2] = {g->a + i0, g->a + i0 + second(mr)}, *b = g->b, *soon = g->soon;
    __asm__("" : "+r"(a[0]), "+r"(a[1])); /* two registers, to which an offset is added as they load */
    const ptrdiff_t *next_row = g->a_bytes, soon_step = g->soon_row;
    ptrdiff_t row = *next_row++;
    struct operands now, after;
    UNROLL
    for (int load = 0; load < 4; load++)
        load_operand(&now, load, a, row, b, mr, wide);
    __builtin_prefetch(soon, 0, 2);
    b += GEMM_NR;
    soon += soon_step;

    /* Behind that of `now` are `left` steps, of which the turns leave one: there is a row after that of each of their steps. */
    int left = g->k - 1;
    const int turns = left > 0 ? (left - 1) / TURN : 0;
    if (left > 0)
        row = *next_row++;
    for (const ptrdiff_t *stop = next_row + turns * TURN; next_row != stop; next_row += TURN, b += TURN * GEMM_NR, soon += TURN * soon_step) {
        UNROLL
        for (int s = 0; s < TURN; s += 2) {
            const float *at = b + s * GEMM_NR, *line = soon + s * soon_step;
            row = step_tn_by_lane(acc, &now, &after, (struct next_step){a, at, line, row, next_row + s}, mr, wide);
            row = step_tn_by_lane(acc, &after, &now, (struct next_step){a, at + GEMM_NR, line + soon_step, row, next_row + s + 1}, mr, wide);
        }
    }
#pragma GCC unroll 1
    for (left -= turns * TURN; left > 0; left--, b += GEMM_NR, soon += soon_step) {
        row = step_tn_by_lane(acc, &now, &after, (struct next_step){a, b, soon, row, left > 1 ? next_row++ : g->a_bytes}, mr, wide);
        now = after;
    }
    UNROLL
    for (int j = 0; j <= wide; j++)
        UNROLL
        for (int i = 0; i < mr; i++)
            acc[i][j] = fma_operand(acc[i][j], &now, i, j, mr);

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

ALWAYS_INLINE void tile_of(int rows, const bool wide, const struct product *g, int i0)
{
    switch (rows) {
    case 1: tile_by_lane(1, wide, g, i0); break;
    case 2: tile_by_lane(2, wide, g, i0); break;
    case 3: tile_by_lane(3, wide, g, i0); break;
    case 4: tile_by_lane(4, wide, g, i0); break;
    case 5: tile_by_lane(5, wide, g, i0); break;
    case 6: tile_by_lane(6, wide, g, i0); break;
    case 7: tile_by_lane(7, wide, g, i0); break;
    default: tile_by_lane(8, wide, g, i0); break;
    }
}

ALWAYS_INLINE void tile_tn_of(int rows, const bool wide, const struct product *g, int i0)
{
    switch (rows) {
    case 1: tile_tn_by_lane(1, wide, g, i0); break;
    case 2: tile_tn_by_lane(2, wide, g, i0); break;
    case 3: tile_tn_by_lane(3, wide, g, i0); break;
    case 4: tile_tn_by_lane(4, wide, g, i0); break;
    case 5: tile_tn_by_lane(5, wide, g, i0); break;
    case 6: tile_tn_by_lane(6, wide, g, i0); break;
    case 7: tile_tn_by_lane(7, wide, g, i0); break;
    default: tile_tn_by_lane(8, wide, g, i0); break;
    }
}

void ISA_FN(brgemm)(float *c, const ptrdiff_t *c_row, const float *a, const ptrdiff_t *a_row, const ptrdiff_t *a_tap, const float *b,
                    int m, int n, int k, int taps, enum brgemm_mode mode)
{
    const struct product g = {.c = c, .c_row = c_row, .a = a, .a_row = a_row, .a_tap = a_tap, .b = b, .m = m, .n = n, .k = k, .taps = taps,
                              .mode = mode};
    const int tiles = (m + GEMM_MR - 1) / GEMM_MR, rows = m / tiles, extra = m % tiles;
    for (int t = 0, i0 = 0; t < tiles; i0 += rows + (t < extra), t++)
        if (n > VL)
            tile_of(rows + (t < extra), true, &g, i0);
        else
            tile_of(rows + (t < extra), false, &g, i0);
}

void ISA_FN(brgemm_tn)(float *c, ptrdiff_t ldc, const float *a, const ptrdiff_t *a_bytes, const float *b, ptrdiff_t ldb,
                       float *packed, int m, int n, int k, bool accumulate, const float *soon, ptrdiff_t soon_row)
{
    if (packed)
        ISA_FN(pack_b)(packed, b, ldb, k, n);
    struct product g = {.c = c, .ldc = ldc, .a = a, .a_bytes = a_bytes, .b = packed ? packed : b, .m = m, .n = n, .k = k,
                        .accumulate = accumulate, .soon = soon ? soon : a, .soon_row = soon ? soon_row : 0};
    const int tiles = (m + GEMM_MR - 1) / GEMM_MR, rows = m / tiles, extra = m % tiles;
    for (int t = 0, i0 = 0; t < tiles; i0 += rows + (t < extra), g.soon += soon ? LINE_FLOATS : 0, t++)
        if (n > VL)
            tile_tn_of(rows + (t < extra), true, &g, i0);
        else
            tile_tn_of(rows + (t < extra), false, &g, i0);
}
