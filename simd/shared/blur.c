/* Symmetric filter with reflected borders along the outer axis: lanes are independent, whatever the radius and the channels.
 *
 * Sixteen floats of every line are copied (or transposed) into a panel, reflected lines at its ends, and filtered from there: the
 * panel lies in L1 without a stride that could fold it onto a few sets, no border is left to ask for, and dst may be src. Pairs are
 * added before they are multiplied, which halves the FMAs; additions have units of their own on some CPUs. Prefetching dst's lines
 * of the next panel was tried: blur alone is 15 % slower, and whole views, whose lines come from memory, no faster. */
#include "shared/shared.h"
#include "transpose.h"
#include "vec.h"

/* Lines of output at once. Registers: as many sums, lines below and lines above, and a weight; 25 of 32, or 13 of 16. */
enum { LINES = VL == 8 || VL == 1 ? 4 : 8 };

/* dst lines 0 .. lines - 1, from the panel's lines at `at`. The lines that a step needs are those of the last one moved on by one:
 * each of the two windows loads a line a step, into the register of the line that leaves it. */
ALWAYS_INLINE void filter_lines(float *dst, ptrdiff_t ldd, const float *at, ptrdiff_t step, const float *weights, int radius, int lanes,
                                const int lines)
{
    vf below[LINES], above[LINES], sum[LINES];
    UNROLL
    for (int i = 0; i < lines; i++) {
        below[i] = above[i] = vf_load(at + i * step);
        sum[i] = vf_mul(vf_set1(weights[0]), below[i]);
    }
    for (int k0 = 0; k0 < radius; k0 += lines) {
        UNROLL
        for (int j = 0; j < lines; j++) {
            int k = k0 + j + 1;
            if (k > radius)
                break;
            vf weight = vf_set1(weights[k]);
            below[lines - 1 - j] = vf_load(at - k * step);
            above[j] = vf_load(at + (lines - 1 + k) * step);
            UNROLL
            for (int i = 0; i < lines; i++)
                sum[i] = vf_fma(weight, vf_add(below[(i + lines - 1 - j) % lines], above[(i + 1 + j) % lines]), sum[i]);
        }
    }
    UNROLL
    for (int i = 0; i < lines; i++) /* rounded weights may add up to a little over one */
        vf_store_lanes(dst + i * ldd, vf_min(sum[i], vf_set1(1.0f)), lanes);
}

/* One vector of all n lines of a channel. The last block ends with the last line, and may repeat lines of the one before. */
ALWAYS_INLINE void filter_column(float *dst, ptrdiff_t ldd, const float *panel, ptrdiff_t step, const float *weights, int radius, int n,
                                 int lanes)
{
    if (n < LINES) {
        for (int y = 0; y < n; y++)
            filter_lines(dst + y * ldd, ldd, panel + y * step, step, weights, radius, lanes, 1);
        return;
    }
    for (int y = 0; y < n; y += LINES) {
        int from = y + LINES <= n ? y : n - LINES;
        filter_lines(dst + from * ldd, ldd, panel + from * step, step, weights, radius, lanes, LINES);
    }
}

/* panel line i = width floats of line i of src, filled up with zeros to whole vectors. */
static void copy_lines(float *panel, const float *src, ptrdiff_t ld, ptrdiff_t lines, int width)
{
    for (ptrdiff_t i = 0; i < lines; i++)
        for (int j = 0; j < width; j += VL) {
            int lanes = width - j < VL ? width - j : VL;
            vf_store(panel + i * BLUR_PANEL + j, lanes == VL ? vf_load(src + i * ld + j) : vf_load_n(src + i * ld + j, lanes));
        }
}

/* The lines beyond the one at `edge` are those before it, in reverse; a line is `line` floats, all channels. */
static inline void reflect_lines(float *edge, ptrdiff_t line, int radius, int direction)
{
    for (ptrdiff_t k = 1; k <= radius; k++)
        for (ptrdiff_t j = 0; j < line; j += VL)
            vf_store(edge + direction * k * line + j, vf_load(edge - direction * k * line + j));
}

void ISA_FN(blur)(float *dst, const float *src, float *tmp, const float *weights, int radius, int n, int c, int count, bool transposed)
{
    ptrdiff_t lines = (ptrdiff_t)n * c, line = (ptrdiff_t)c * BLUR_PANEL;
    float *panel = tmp + radius * line;
    for (int j = 0; j < count; j += BLUR_PANEL) {
        int width = count - j < BLUR_PANEL ? count - j : BLUR_PANEL;
        if (transposed)
            transpose_all(panel, BLUR_PANEL, src + j * lines, lines, width, (int)lines, true);
        else
            copy_lines(panel, src + j, count, lines, width);
        reflect_lines(panel, line, radius, -1);
        reflect_lines(panel + (n - 1) * line, line, radius, 1);
        for (int ch = 0; ch < c; ch++)
            for (int v = 0; v < width; v += VL) {
                float *to = dst + (ptrdiff_t)ch * count + j + v;
                const float *from = panel + ch * BLUR_PANEL + v;
                if (width - v >= VL)
                    filter_column(to, (ptrdiff_t)c * count, from, line, weights, radius, n, VL);
                else
                    filter_column(to, (ptrdiff_t)c * count, from, line, weights, radius, n, width - v);
            }
    }
}
