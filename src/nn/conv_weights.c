/* Gradient by weights: dw[tap][c][k] = sum over output pixels of x[pixel * stride + tap][c] dy[pixel][k].
 *
 * The pixels are cut into chunks of about 256; a chunk is one chain from +0, then added to dw, in chunk order. Where dw is small,
 * up to 8 slices of the batch go to partial buffers, added in slice order. Chunks and slices come from shape alone: they decide
 * the order of sums, so neither nr nor the threads may touch them.
 *
 * The work goes in rounds: first all threads copy and pack a few chunks of every slice into shared memory, once, then all threads
 * take blocks of dw and run through those chunks. How many chunks make a round cannot change a bit. */
#include "base/par.h"
#include "nn/conv_internal.h"
#include "nn/winograd.h"

#include <string.h>

enum {
    CHUNK_PIXELS = 256,
    ROUND_FLOATS = 1024 * 1024, /* 4 MB of copies and panels a round: L3, of which a task reads some 100 KB at a time */
    BLOCK_ROWS = 128,           /* rows of dw in a task: 128 x 256 pixels of x stay in L2 over the panels */
    SUM_FLOATS = 16 * 1024,
};

struct weights_pass {
    const struct kernels *kernels;
    int threads;
    struct conv_shape s;
    float *dw;
    const struct conv_input *input;
    const float *dy;

    int chunk_images, chunk_rows, bands; /* whole images, or output rows of one */
    int chunks, slices;
    int round_chunks;                    /* chunks of each slice in a round */

    bool copy;
    int copy_rows, copy_cols;
    ptrdiff_t row_stride, image_stride;
    ptrdiff_t *a_row; /* per pixel of a chunk */
    float *copies;    /* [slices * round_chunks] of (chunk_images, copy_rows, copy_cols, c) */
    float *packed;    /* [slices * round_chunks] of [panels][pixels of a chunk][nr] */
    float *partials;  /* [slices - 1] of dw */
    size_t copy_size, packed_size, dw_size;
    int panels, blocks; /* of dw: panels of nr columns; per row of taps, blocks of its r * c rows */

    int round; /* running */
};

static int min_int(int a, int b) { return a < b ? a : b; }
static int max_int(int a, int b) { return a > b ? a : b; }
static int divide_up(int a, int b) { return a / b + (a % b != 0); }

/* By shape alone: enough outputs feed many threads without slices, and slices cost memory. */
static int choose_slices(size_t outputs, int chunks)
{
    int slices = outputs <= 64 * 1024 ? 8 : outputs <= 256 * 1024 ? 4 : outputs <= 1024 * 1024 ? 2 : 1;
    return min_int(slices, chunks);
}

static struct weights_pass plan(const struct engine *engine, const struct conv_shape *shape, bool normalised, struct arena *arena)
{
    struct weights_pass p = {.kernels = engine->kernels, .threads = engine->threads, .s = conv_flatten(shape)};
    struct conv_shape *s = &p.s;
    int image_pixels = s->ho * s->wo;
    p.chunk_images = image_pixels <= CHUNK_PIXELS ? min_int(s->n, CHUNK_PIXELS / image_pixels) : 1;
    p.chunk_rows = image_pixels <= CHUNK_PIXELS ? s->ho : max_int(1, CHUNK_PIXELS / s->wo);
    p.bands = divide_up(s->ho, p.chunk_rows);
    p.chunks = divide_up(s->n, p.chunk_images) * p.bands;
    p.dw_size = (size_t)s->r * s->r * s->c * s->k;
    p.slices = choose_slices(p.dw_size, p.chunks);

    p.copy = s->pad != 0 || normalised;
    p.copy_rows = (p.chunk_rows - 1) * s->stride + s->r;
    p.copy_cols = (s->wo - 1) * s->stride + s->r;
    p.row_stride = (ptrdiff_t)(p.copy ? p.copy_cols : s->w) * s->c;
    p.image_stride = p.row_stride * (p.copy ? p.copy_rows : s->h);
    p.copy_size = p.copy ? (size_t)p.chunk_images * p.image_stride : 0;
    p.panels = divide_up(s->k, p.kernels->nr);
    p.blocks = divide_up(s->r * s->c, BLOCK_ROWS);
    size_t pixels = (size_t)p.chunk_images * p.chunk_rows * s->wo;
    p.packed_size = pixels * p.panels * p.kernels->nr;
    size_t fit = ROUND_FLOATS / ((p.copy_size + p.packed_size) * p.slices);
    p.round_chunks = min_int(divide_up(p.chunks, p.slices), fit < 1 ? 1 : (int)fit);

    size_t buffers = (size_t)p.slices * p.round_chunks;
    p.a_row = arena_alloc(arena, pixels, sizeof *p.a_row);
    p.copies = arena_alloc(arena, buffers * p.copy_size, sizeof *p.copies);
    p.packed = arena_alloc(arena, buffers * p.packed_size, sizeof *p.packed);
    p.partials = arena_alloc(arena, (p.slices - 1) * p.dw_size, sizeof *p.partials);
    return p;
}

void conv_weights_measure(const struct engine *engine, const struct conv_shape *shape, bool normalised, struct arena *arena)
{
    plan(engine, shape, normalised, arena);
}

/* What chunk j of a round is for a slice. */
struct chunk {
    int image, images, row, rows; /* output rows */
    int pixels;
};

static int slice_begin(const struct weights_pass *p, int slice) { return (int)((int64_t)p->chunks * slice / p->slices); }

/* False past the slice's end. */
static bool find_chunk(const struct weights_pass *p, struct chunk *chunk, int slice, int j)
{
    int index = slice_begin(p, slice) + p->round * p->round_chunks + j;
    if (index >= slice_begin(p, slice + 1))
        return false;
    chunk->image = index / p->bands * p->chunk_images;
    chunk->images = min_int(p->chunk_images, p->s.n - chunk->image);
    chunk->row = index % p->bands * p->chunk_rows;
    chunk->rows = min_int(p->chunk_rows, p->s.ho - chunk->row);
    chunk->pixels = chunk->images * chunk->rows * p->s.wo;
    return true;
}

/* One image of a chunk's padded copy, or one panel of its dy. */
static void prepare(void *ctx, size_t task, int thread)
{
    (void)thread;
    const struct weights_pass *p = ctx;
    const struct conv_shape *s = &p->s;
    int copies = p->copy ? p->chunk_images : 0;
    size_t buffer = task / (copies + p->panels);
    int part = (int)(task % (copies + p->panels));
    struct chunk chunk;
    if (!find_chunk(p, &chunk, (int)(buffer / p->round_chunks), (int)(buffer % p->round_chunks)))
        return;
    if (part < copies) {
        if (part < chunk.images)
            conv_read_padded(p->kernels, p->copies + buffer * p->copy_size + part * p->image_stride, p->input, chunk.image + part,
                             s->h, s->w, s->c, chunk.row * s->stride - s->pad, (chunk.rows - 1) * s->stride + s->r, -s->pad, p->copy_cols);
        return;
    }
    int nr = p->kernels->nr, panel = part - copies;
    const float *dy = p->dy + ((ptrdiff_t)chunk.image * s->ho + chunk.row) * s->wo * s->k;
    p->kernels->pack_b(p->packed + buffer * p->packed_size + (size_t)panel * chunk.pixels * nr, dy + panel * nr, s->k,
                       chunk.pixels, min_int(nr, s->k - panel * nr));
}

/* One block of one slice's dw, through the round's chunks. */
static void accumulate(void *ctx, size_t task, int thread)
{
    (void)thread;
    const struct weights_pass *p = ctx;
    const struct conv_shape *s = &p->s;
    int nr = p->kernels->nr, panel = (int)(task % p->panels), rows = s->r * s->c;
    task /= p->panels;
    int block = (int)(task % p->blocks), tap = (int)(task / p->blocks % s->r), slice = (int)(task / p->blocks / s->r);
    int begin = (int)((int64_t)rows * block / p->blocks), m = (int)((int64_t)rows * (block + 1) / p->blocks) - begin;
    int n = min_int(nr, s->k - panel * nr);
    float *dw = slice ? p->partials + (slice - 1) * p->dw_size : p->dw;
    dw += ((ptrdiff_t)tap * rows + begin) * s->k + panel * nr;
    if (p->round == 0)
        for (int i = 0; i < m; i++)
            memset(dw + (ptrdiff_t)i * s->k, 0, (size_t)n * sizeof *dw);
    struct chunk chunk;
    for (int j = 0; j < p->round_chunks && find_chunk(p, &chunk, slice, j); j++) {
        size_t buffer = (size_t)slice * p->round_chunks + j;
        const float *a = p->copy ? p->copies + buffer * p->copy_size
                                 : p->input->x + chunk.image * p->image_stride + (ptrdiff_t)chunk.row * s->stride * p->row_stride;
        p->kernels->brgemm_tn(dw, s->k, a + tap * p->row_stride + begin, p->a_row,
                              p->packed + buffer * p->packed_size + (size_t)panel * chunk.pixels * nr, m, n, chunk.pixels);
    }
}

static void add_slices(void *ctx, size_t task, int thread)
{
    (void)thread;
    const struct weights_pass *p = ctx;
    size_t begin = task * SUM_FLOATS, count = p->dw_size - begin < SUM_FLOATS ? p->dw_size - begin : SUM_FLOATS;
    for (int slice = 1; slice < p->slices; slice++)
        p->kernels->add(p->dw + begin, p->partials + (slice - 1) * p->dw_size + begin, count);
}

static void fill_rows(const struct weights_pass *p)
{
    ptrdiff_t *a_row = p->a_row;
    for (int image = 0; image < p->chunk_images; image++)
        for (int i = 0; i < p->chunk_rows; i++)
            for (int j = 0; j < p->s.wo; j++)
                *a_row++ = image * p->image_stride + i * p->s.stride * p->row_stride + (ptrdiff_t)j * p->s.stride * p->s.c;
}

void conv_backward_weights(const struct engine *engine, float *dw, const struct conv_input *input, const float *dy,
                           const struct conv_shape *shape, void *scratch)
{
    if (winograd_suits(shape)) {
        winograd_backward_weights(engine, dw, input, dy, shape, scratch);
        return;
    }
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct weights_pass p = plan(engine, shape, input->mean, &arena);
    p.dw = dw;
    p.input = input;
    p.dy = dy;
    fill_rows(&p);
    int copies = p.copy ? p.chunk_images : 0;
    int rounds = divide_up(divide_up(p.chunks, p.slices), p.round_chunks); /* of the longest slice */
    for (p.round = 0; p.round < rounds; p.round++) {
        par_for(p.threads, (size_t)p.slices * p.round_chunks * (copies + p.panels), prepare, &p);
        par_for(p.threads, (size_t)p.slices * p.s.r * p.blocks * p.panels, accumulate, &p);
    }
    if (p.slices > 1)
        par_for(p.threads, (p.dw_size + SUM_FLOATS - 1) / SUM_FLOATS, add_slices, &p);
}
