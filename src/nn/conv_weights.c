/* Gradient by weights: dw[tap][c][k] = sum over output pixels of x[pixel * stride + tap][c] dy[pixel][k].
 *
 * The pixels are cut into chunks of about 256; a chunk is one chain from +0, then added to dw, in chunk order. Where dw is small,
 * up to 8 slices of the batch go to partial buffers, added in slice order. Chunks and slices come from shape alone: they decide
 * the order of sums, so neither nr nor the threads may touch them.
 *
 * A task is a slice, of which it computes all of dw or, where slices are fewer than threads or uneven, a group of its rows and
 * columns. It goes through the slice's chunks by itself: for one block of rows after another it copies x where that does not lie well,
 * and passes all panels of dy over it, which the first tile of the first block packs on its way. Tasks share nothing and wait for
 * nothing; that groups copy and pack the same pixels costs about a hundredth. While it computes a chunk, the next one is fetched from
 * memory, a line every step of k: in bursts between calls a core waits for it. */
#include "base/ints.h"
#include "base/par.h"
#include "nn/conv_choice.h"
#include "nn/conv_internal.h"
#include "nn/winograd.h"

enum {
    CHUNK_PIXELS = 256,
    BLOCK_ROWS = 128,    /* of dw: 128 x 256 pixels of x stay in L2 over the panels */
    REGION_CHANNELS = 64, /* up to which a chunk's window of x is copied once for all taps */
    DIRECT_CHANNELS = 256, /* up to which rows of x are read where they are: further apart they share sets of L1 and L2 */
    TASKS = 2,           /* that each thread must get */
    EVEN_TASKS = 8,      /* that each should get where they cost nothing: slices are of unequal length */
    PADDING = 16,        /* floats between the rows of a copy of 128 channels, which would share 8 sets of L1 */
    SUM_FLOATS = 16 * 1024,
};

/* Where the rows of A of a block come from. */
enum source {
    DIRECT, /* a matrix product reads x */
    REGION, /* the window of a chunk, padded: a row of taps is r * c consecutive floats */
    TAPS,   /* each tap's pixels and channels by themselves */
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

    enum source source;
    int units, unit_rows;    /* of dw's rows: r x (r c) or r r x c */
    int blocks;              /* of a unit */
    int panels, row_groups, column_groups;
    ptrdiff_t pitch, row_pitch, image_pitch; /* of A */
    int region_rows, region_cols;
    ptrdiff_t *a_bytes; /* per pixel of a chunk: where its row of A is */
    float *copies;    /* per thread: the region (chunk_images, rows, cols, c), or (pixels, pitch) of a block */
    float *packed;    /* per thread: [panels of a group][pixels of a chunk][nr] */
    float *partials;  /* [slices - 1] of dw */
    size_t copy_size, packed_size, dw_size;
};

static int part(int all, int i, int parts) { return (int)((int64_t)all * i / parts); }

/* By shape alone: enough outputs feed many threads without slices, and slices cost memory. */
static int choose_slices(size_t outputs, int chunks)
{
    int slices = outputs <= 64 * 1024 ? 8 : outputs <= 128 * 1024 ? 4 : outputs <= 256 * 1024 ? 2 : 1;
    return min_int(slices, chunks);
}

static void choose_source(struct weights_pass *p, bool normalised)
{
    const struct conv_shape *s = &p->s;
    p->source = conv_is_product(s) && !normalised && s->c <= DIRECT_CHANNELS ? DIRECT : s->r > 1 && s->c <= REGION_CHANNELS ? REGION : TAPS;
    p->units = p->source == REGION ? s->r : s->r * s->r;
    p->unit_rows = p->source == REGION ? s->r * s->c : s->c;
    p->blocks = divide_up(p->unit_rows, BLOCK_ROWS);
    p->region_rows = (p->chunk_rows - 1) * s->stride + s->r;
    p->region_cols = (s->wo - 1) * s->stride + s->r;
    size_t pixels = (size_t)p->chunk_images * p->chunk_rows * s->wo;
    if (p->source == REGION) {
        p->pitch = (ptrdiff_t)s->stride * s->c;
        p->row_pitch = (ptrdiff_t)s->stride * p->region_cols * s->c;
        p->image_pitch = (ptrdiff_t)p->region_rows * p->region_cols * s->c;
        p->copy_size = p->chunk_images * (size_t)p->image_pitch;
    } else {
        p->pitch = p->source == DIRECT ? s->c : divide_up(s->c, p->blocks) + PADDING;
        p->row_pitch = s->wo * p->pitch;
        p->image_pitch = p->chunk_rows * p->row_pitch;
        p->copy_size = p->source == DIRECT ? 0 : pixels * p->pitch;
    }
    p->copy_size = (p->copy_size + 15) / 16 * 16;
}

/* Columns so that the packed dy of a chunk takes half of L2; then rows, evenly, until the threads are busy: each group copies its own rows of
 * x, but of a region all. */
static void choose_groups(struct weights_pass *p, size_t l2)
{
    size_t panel_bytes = CHUNK_PIXELS * p->kernels->nr * sizeof(float);
    int most = max_int(1, (int)(l2 / 2 / panel_bytes)), blocks = p->units * p->blocks;
    p->column_groups = divide_up(p->panels, most);
    int tasks = p->slices * p->column_groups, least = p->threads > 1 ? divide_up(TASKS * p->threads, tasks) : 1;
    int even = p->threads > 1 && p->source != REGION ? divide_up(EVEN_TASKS * p->threads, tasks) : least;
    p->row_groups = min_int(blocks, even);
    while (blocks % p->row_groups)
        p->row_groups++;
    /* Groups of columns read x once each: where x is the smaller part, that costs less than slices of 4 and 5 chunks. */
    int wanted = p->source == DIRECT && p->s.k >= 2 * p->s.c && p->chunks % p->slices ? even : least;
    if (p->row_groups < wanted)
        p->column_groups = min_int(p->panels, p->column_groups * divide_up(wanted, p->row_groups));
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
    p.panels = divide_up(s->k, p.kernels->nr);
    choose_source(&p, normalised);
    choose_groups(&p, l2_bytes(&engine->caches));
    size_t pixels = (size_t)p.chunk_images * p.chunk_rows * s->wo;
    p.packed_size = pixels * divide_up(p.panels, p.column_groups) * p.kernels->nr;
    p.a_bytes = arena_alloc(arena, pixels, sizeof *p.a_bytes);
    p.copies = arena_alloc(arena, p.threads * p.copy_size, sizeof *p.copies);
    p.packed = arena_alloc(arena, p.threads * p.packed_size, sizeof *p.packed);
    p.partials = arena_alloc(arena, (p.slices - 1) * p.dw_size, sizeof *p.partials);
    return p;
}

void conv_weights_measure(const struct engine *engine, const struct conv_shape *shape, bool normalised, struct arena *arena)
{
    plan(engine, shape, normalised, arena);
}

struct chunk {
    int image, images, row, rows; /* output rows */
    int pixels;
    const float *dy;
};

static struct chunk chunk_at(const struct weights_pass *p, int index)
{
    struct chunk chunk = {.image = index / p->bands * p->chunk_images, .row = index % p->bands * p->chunk_rows};
    chunk.images = min_int(p->chunk_images, p->s.n - chunk.image);
    chunk.rows = min_int(p->chunk_rows, p->s.ho - chunk.row);
    chunk.pixels = chunk.images * chunk.rows * p->s.wo;
    chunk.dy = p->dy + ((ptrdiff_t)chunk.image * p->s.ho + chunk.row) * p->s.wo * p->s.k;
    return chunk;
}

/* Calls of brgemm_tn a block: memory is fetched between them, more often where there is little to compute for it. */
static int block_strips(const struct weights_pass *p)
{
    int tiles = p->units * p->blocks > 1 ? 2 : 1;
    return divide_up(divide_up(p->unit_rows, p->blocks), tiles * p->kernels->mr);
}

/* A part of dw: blocks of rows (of all units), and panels. */
struct group {
    int slice, block, block_end, panel, panel_end;
    float *copy, *packed;
};

static void copy_region(const struct weights_pass *p, float *copy, const struct chunk *chunk)
{
    const struct conv_shape *s = &p->s;
    for (int i = 0; i < chunk->images; i++)
        conv_read_padded(p->kernels, copy + i * p->image_pitch, p->input, chunk->image + i, s->h, s->w, s->c,
                         chunk->row * s->stride - s->pad, (chunk->rows - 1) * s->stride + s->r, -s->pad, p->region_cols);
}

/* The pixels that a tap reads. */
static struct conv_grid tap_grid(const struct weights_pass *p, const struct chunk *chunk, int tap, int channel, int channels)
{
    const struct conv_shape *s = &p->s;
    return (struct conv_grid){s->h, s->w, s->c, chunk->row * s->stride + tap / s->r - s->pad, chunk->rows, tap % s->r - s->pad, s->wo,
                              s->stride, channel, channels};
}

static void copy_tap(const struct weights_pass *p, float *copy, const struct chunk *chunk, int tap, int channel, int channels)
{
    struct conv_grid grid = tap_grid(p, chunk, tap, channel, channels);
    for (int i = 0; i < chunk->images; i++)
        conv_read_grid(p->kernels, copy + i * p->image_pitch, p->pitch, p->input, chunk->image + i, &grid);
}

/* Of the next chunk, what follows a regular step: x of a matrix product, and dy's columns of the group. A column of lines is one
 * line of each pixel, and each tile of a call fetches one. */
struct ahead {
    const float *x, *dy;
    ptrdiff_t x_row, dy_row;
    int x_columns, columns, calls; /* dy's columns follow x's */
    int taken, call;
};

static struct ahead look_ahead(const struct weights_pass *p, const struct group *g, const struct chunk *next, int calls)
{
    const struct conv_shape *s = &p->s;
    int nr = p->kernels->nr, dy_floats = min_int(s->k, g->panel_end * nr) - g->panel * nr;
    int x_columns = conv_is_product(s) ? divide_up(s->c, LINE_FLOATS) : 0;
    return (struct ahead){
        .x = p->input->x + ((ptrdiff_t)next->image * s->h + next->row) * s->w * s->c, .x_row = s->c,
        .dy = next->dy + g->panel * nr, .dy_row = s->k,
        .x_columns = x_columns, .columns = x_columns + divide_up(dy_floats, LINE_FLOATS), .calls = calls};
}

/* What a call of so many tiles is to fetch, evenly over the calls; NULL: nothing. */
static const float *take_columns(struct ahead *ahead, int tiles, ptrdiff_t *row)
{
    int due = part(ahead->columns, ++ahead->call, ahead->calls), first = ahead->taken;
    bool of_x = first < ahead->x_columns;
    if (first >= due)
        return NULL;
    ahead->taken = min_int(first + tiles, of_x ? ahead->x_columns : ahead->columns);
    *row = of_x ? ahead->x_row : ahead->dy_row;
    return of_x ? ahead->x + first * LINE_FLOATS : ahead->dy + (first - ahead->x_columns) * LINE_FLOATS;
}

/* Of the next chunk, what follows no regular step. */
static struct conv_fetch fetch_x(const struct weights_pass *p, const struct chunk *chunk, int shares)
{
    const struct conv_shape *s = &p->s;
    struct conv_grid grid = tap_grid(p, chunk, 0, 0, s->c);
    if (s->r > 1) { /* all taps of all pixels */
        grid.rows = (chunk->rows - 1) * s->stride + s->r;
        grid.cols = p->region_cols;
        grid.step = 1;
    }
    return conv_fetch_grid(p->input, chunk->image, chunk->images, &grid, shares);
}

/* dw's rows of one block (+)= the chunk's, for all panels of the group. */
static void run_block(const struct weights_pass *p, const struct group *g, const struct chunk *chunk, int block, bool first,
                      struct ahead *ahead, struct conv_fetch *fetch)
{
    const struct conv_shape *s = &p->s;
    int unit = block / p->blocks, begin = part(p->unit_rows, block % p->blocks, p->blocks);
    int m = part(p->unit_rows, block % p->blocks + 1, p->blocks) - begin, nr = p->kernels->nr;
    const float *a = g->copy + begin + unit * (ptrdiff_t)p->region_cols * s->c; /* REGION */
    if (p->source == DIRECT)
        a = p->input->x + ((ptrdiff_t)chunk->image * s->h + chunk->row) * s->w * s->c + begin;
    if (p->source == TAPS) {
        copy_tap(p, g->copy, chunk, unit, begin, m);
        a = g->copy;
    }
    float *dw = (g->slice ? p->partials + (g->slice - 1) * p->dw_size : p->dw) + ((ptrdiff_t)unit * p->unit_rows + begin) * s->k;
    int strips = block_strips(p);
    for (int panel = g->panel; panel < g->panel_end; panel++) {
        int n = min_int(nr, s->k - panel * nr);
        float *packed = g->packed + (size_t)(panel - g->panel) * chunk->pixels * nr;
        for (int strip = 0; strip < strips; strip++) {
            int i = part(m, strip, strips), rows = part(m, strip + 1, strips) - i;
            float *c = dw + (ptrdiff_t)i * s->k + panel * nr;
            ptrdiff_t soon_row = 0;
            const float *soon = take_columns(ahead, divide_up(rows, p->kernels->mr), &soon_row);
            bool pack = block == g->block && strip == 0;
            p->kernels->brgemm_tn(c, s->k, a + i, p->a_bytes, pack ? chunk->dy + panel * nr : packed, s->k, pack ? packed : NULL, rows, n,
                                  chunk->pixels, !first, soon, soon_row);
            conv_fetch_share(fetch);
        }
    }
}

static void run_chunk(const struct weights_pass *p, const struct group *g, int index, bool first, bool last)
{
    struct chunk chunk = chunk_at(p, index);
    if (p->source == REGION)
        copy_region(p, g->copy, &chunk);
    struct conv_fetch fetch = {0};
    struct ahead ahead = {.calls = 1};
    if (!last) {
        struct chunk next = chunk_at(p, index + 1);
        int calls = (g->block_end - g->block) * (g->panel_end - g->panel) * block_strips(p);
        ahead = look_ahead(p, g, &next, calls);
        if (!ahead.x_columns)
            fetch = fetch_x(p, &next, calls);
    }
    for (int block = g->block; block < g->block_end; block++)
        run_block(p, g, &chunk, block, first, &ahead, &fetch);
}

static void run_task(void *ctx, size_t task, int thread)
{
    const struct weights_pass *p = ctx;
    int column = (int)(task % p->column_groups), row = (int)(task / p->column_groups % p->row_groups), blocks = p->units * p->blocks;
    struct group g = {
        .slice = (int)(task / p->column_groups / p->row_groups),
        .block = part(blocks, row, p->row_groups), .block_end = part(blocks, row + 1, p->row_groups),
        .panel = part(p->panels, column, p->column_groups), .panel_end = part(p->panels, column + 1, p->column_groups),
        .copy = p->copies + thread * p->copy_size, .packed = p->packed + thread * p->packed_size,
    };
    int begin = part(p->chunks, g.slice, p->slices), end = part(p->chunks, g.slice + 1, p->slices);
    for (int index = begin; index < end; index++)
        run_chunk(p, &g, index, index == begin, index + 1 == end);
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
    ptrdiff_t *a_bytes = p->a_bytes;
    for (int image = 0; image < p->chunk_images; image++)
        for (int i = 0; i < p->chunk_rows; i++)
            for (int j = 0; j < p->s.wo; j++)
                *a_bytes++ = (image * p->image_pitch + i * p->row_pitch + j * p->pitch) * (ptrdiff_t)sizeof(float);
}

void conv_backward_weights(const struct engine *engine, float *dw, const struct conv_input *input, const float *dy,
                           const struct conv_shape *shape, void *scratch)
{
    if (conv_algorithm(shape) != CONV_DIRECT) {
        winograd_backward_weights(engine, dw, input, dy, shape, scratch);
        return;
    }
    struct arena arena = {.base = scratch, .capacity = SIZE_MAX};
    struct weights_pass p = plan(engine, shape, input->mean, &arena);
    p.dw = dw;
    p.input = input;
    p.dy = dy;
    fill_rows(&p);
    par_for(p.threads, (size_t)p.slices * p.row_groups * p.column_groups, run_task, &p);
    if (p.slices > 1)
        par_for(p.threads, (p.dw_size + SUM_FLOATS - 1) / SUM_FLOATS, add_slices, &p);
}
