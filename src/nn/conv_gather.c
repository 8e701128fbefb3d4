/* The gather of conv_internal.h: forward, and backward by data. How the work is cut cannot change a bit: it only decides which
 * rows, panels and stretches of k a brgemm call gets, and those continue each other's chains.
 *
 * A task is a range of lines of cells, worked off in blocks. A block's source stays in L2 while every panel of B passes over it;
 * of a panel, the stretch of k that a call gets stays in L1 or L2 over the strips of the block.
 * While a block is computed, the next one's source is fetched from memory: a core that waits for it computes nothing. */
#include "base/ints.h"
#include "base/par.h"
#include "nn/conv_internal.h"

#include <string.h>

enum {
    BLOCK_CELLS = 192,        /* bounds C, and the index arrays, where channels are few */
    TASK_CELLS = 48,          /* fewer, and packed weights are read too often for the work they do */
    TASKS = 16,               /* wanted for each thread */
    WHOLE_DEPTH = 512,        /* steps of k up to which all come in one call, however small the cache */
    TALL_TILE = 12,           /* rows of a tile for which a step of B from L2, 128 bytes, is there in time */
    ROWS_FLOATS = 32 * 1024,  /* of panels, up to which C is written by rows */
    FEW_CELLS = 1024,         /* up to which the threads divide panels, not cells: each packs its own, and they meet once */
    GROUP_FLOATS = 1 << 20,   /* of panels, above which they are worked on in groups: L3 need not hold all of them */
    SHORT_STRETCH = 128,      /* steps of k up to which a call gets four tiles */
    BURST_LINES = 100,        /* of the next source between two calls, above which a call gets one tile */
};

static size_t l1_floats(const struct conv_gather *g) { return l1_bytes(&g->caches) / sizeof(float); }
static size_t l2_floats(const struct conv_gather *g) { return l2_bytes(&g->caches) / sizeof(float); }

/* B comes from L3 for each block. */
static bool is_far(const struct conv_gather *g) { return (size_t)g->window * g->window * g->c * g->k >= l2_floats(g); }

/* Of source in a block: a quarter of L2, which B and C pass through as well; half, if B does not stay there anyway. */
static size_t block_floats(const struct conv_gather *g) { return l2_floats(g) / (is_far(g) ? 2 : 4); }

/* Steps of k in a call, at most: of a panel half of L2, or what L1 would hold. A step of a tall tile, 12 x 32, has 24 cycles for
 * 128 bytes of B, which L2 delivers in time: all of k is best (2048^3 on one core, percent of peak: 92 at once, 88 in two
 * stretches). One of 6 x 16 has 6 cycles for 64 bytes: there a stretch stays close to L1 (2048^3: 69 at once, 82 at 512 steps, 80
 * at 256). */
static int most_depth(const struct conv_gather *g)
{
    size_t floats = g->kernels->mr >= TALL_TILE ? l2_floats(g) / 2 : l1_floats(g);
    return max_int(WHOLE_DEPTH, (int)(floats / (size_t)g->kernels->nr));
}

static int span(const struct conv_gather *g, int cells) { return (cells - 1) * g->step + g->window; }

/* Blocks as large as fit: several images where maps are small, bands of rows where they are large. */
static void choose_blocks(struct conv_gather *g)
{
    size_t row_floats = (size_t)(g->copy ? span(g, g->cols) : g->w) * (g->part < g->c ? g->part : g->pitch);
    size_t image_floats = row_floats * (g->copy ? span(g, g->rows) : g->h);
    int image_cells = g->rows * g->cols;
    g->unit_images = 1;
    g->unit_rows = g->rows;
    if (image_floats <= block_floats(g) && image_cells <= BLOCK_CELLS) {
        g->unit_images = min_int(g->n, min_int((int)(block_floats(g) / image_floats), BLOCK_CELLS / image_cells));
        return;
    }
    size_t halo = (size_t)max_int(0, g->window - g->step) * row_floats;
    size_t room = block_floats(g) > halo ? (block_floats(g) - halo) / (row_floats * g->step) : 0;
    room = max_int((int)room, divide_up(2 * g->tile_rows, g->cols));
    g->unit_rows = max_int(1, min_int(g->rows, min_int((int)room, BLOCK_CELLS / g->cols)));
}

/* A multiple of the threads, if there is work for so many tasks; if not, the panels are divided among tasks too. */
static void choose_tasks(struct conv_gather *g)
{
    int64_t lines = (int64_t)g->n * g->rows;
    int grain = g->unit_rows == g->rows ? g->rows : 1, cells = is_far(g) ? BLOCK_CELLS : TASK_CELLS;
    if (g->part < g->c) /* whole blocks */
        cells = max_int(cells, min_int(g->unit_rows * g->cols, (int)(lines * g->cols / (4 * g->threads))));
    grain = divide_up(divide_up(cells, g->cols), grain) * grain;
    int64_t most = (lines + grain - 1) / grain;
    g->tasks = g->threads == 1 ? 1 : (int)(most < TASKS * g->threads ? most : TASKS * g->threads);
    if (g->tasks > g->threads)
        g->tasks -= g->tasks % g->threads;
    g->panels = divide_up(g->k, g->kernels->nr);
    g->groups = 1;
    g->own_panels = g->window == 1 && !g->copy && g->threads > 1 && lines * g->cols <= FEW_CELLS && g->panels % g->threads == 0;
    if (g->own_panels) {
        g->tasks = 1;
        g->groups = g->threads;
    } else if (g->threads > 1 && g->tasks < 2 * g->threads)
        g->groups = min_int(g->panels, divide_up(2 * g->threads, g->tasks));
    else if (g->window == 1 && !g->copy)
        g->groups = (int)(((size_t)g->c * g->k + GROUP_FLOATS - 1) / GROUP_FLOATS);
    g->groups = min_int(g->groups, g->panels);
}

/* Rows and columns of cells, up to `cells` of them from `first`, whose pixel of class ci is inside the output. */
static int class_cells(const struct conv_gather *g, int ci, int size, int first, int cells)
{
    int all = (size - ci + g->out_step - 1) / g->out_step;
    return max_int(0, min_int(cells, all - first));
}

/* Where the pixels of a tile are a multiple of 2 KB apart, they share one or two of L1's sets: with more pixels than a set has
 * lines, each line is lost before its floats are used, and 2,048 channels reach 60 % of peak. Tiles get no more rows than that,
 * and lose nothing: copies that leave a line free between pixels cost a twentieth. Copied they are where L1's sets are small. */
static void choose_layout(struct conv_gather *g)
{
    bool aliased = (g->step * g->c) % 512 == 0;
    int rows = g->kernels->mr, fitting = min_int(rows, g->caches.l1_ways);
    g->copy = g->copy || g->low != 0 || g->read_step > 1 || span(g, g->rows) > g->h || span(g, g->cols) > g->w ||
              (aliased && 3 * fitting < 2 * rows);
    g->tile_rows = aliased && !g->copy ? fitting : rows;
    /* Where k comes in stretches, a matrix product goes through a stretch of a block's source at a time: so more rows fit into a
     * block, and B, which comes from L3 for each, is read less often. With all of k in a block of 32 rows 2048^3 gives 63 % with
     * tiles of 6 x 16, so 82 %. */
    g->part = g->window == 1 ? divide_up(g->c, divide_up(g->c, most_depth(g))) : g->c;
    g->pitch = g->copy ? g->part + (aliased ? LINE_FLOATS : 0) : g->c;
    choose_blocks(g);
    int copy_rows = span(g, g->unit_rows), copy_cols = span(g, g->cols);
    g->row_pitch = (g->copy ? copy_cols : g->w) * g->pitch;
    g->image_pitch = g->row_pitch * (g->copy ? copy_rows : g->h);
    g->copy_size = g->copy ? ((size_t)g->unit_images * g->image_pitch + 15) / 16 * 16 : 0;
}

void conv_gather_plan(struct conv_gather *g, struct arena *arena)
{
    choose_layout(g);
    choose_tasks(g);
    size_t weights = 0;
    for (int id = 0; id < g->out_step * g->out_step; id++) {
        struct conv_class *class = &g->classes[id];
        *class = (struct conv_class){.row = id / g->out_step, .column = id % g->out_step, .weights = weights};
        int vertical = g->axis[class->row].taps, horizontal = g->axis[class->column].taps;
        bool apart = g->pitch != g->c;
        class->taps = apart ? vertical * horizontal : horizontal ? vertical : 0;
        class->depth = apart ? g->c : horizontal * g->c;
        size_t rows = class_cells(g, class->row, g->ho, 0, g->unit_rows);
        size_t cols = class_cells(g, class->column, g->wo, 0, g->cols);
        size_t pixels = g->unit_images * rows * cols;
        class->a_row = arena_alloc(arena, pixels, sizeof *class->a_row);
        class->c_row = arena_alloc(arena, pixels, sizeof *class->c_row);
        class->a_tap = arena_alloc(arena, class->taps, sizeof *class->a_tap);
        weights += (size_t)class->taps * class->depth * g->panels * g->kernels->nr;
    }
    g->packed = arena_alloc(arena, weights, sizeof *g->packed);
    g->copies = arena_alloc(arena, g->copy_size * g->threads, sizeof *g->copies);
}

static void fill_indices(const struct conv_gather *g, const struct conv_class *class)
{
    const struct conv_axis *vertical = &g->axis[class->row], *horizontal = &g->axis[class->column];
    int rows = class_cells(g, class->row, g->ho, 0, g->unit_rows), cols = class_cells(g, class->column, g->wo, 0, g->cols);
    size_t p = 0;
    for (int image = 0; image < g->unit_images; image++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++, p++) {
                ptrdiff_t out_row = (ptrdiff_t)image * g->ho + i * g->out_step + class->row;
                class->a_row[p] = image * g->image_pitch + (ptrdiff_t)(i * g->step + vertical->offset) * g->row_pitch +
                                  (ptrdiff_t)(j * g->step + horizontal->offset) * g->pitch;
                class->c_row[p] = (out_row * g->wo + j * g->out_step + class->column) * g->k;
            }
    int across = g->pitch != g->c ? horizontal->taps : 1;
    for (int t = 0; t < class->taps; t++)
        class->a_tap[t] = t / across * g->row_pitch + t % across * g->pitch;
}

struct run {
    const struct conv_gather *g;
    float *out;
    bool accumulate;
    const struct conv_input *input;
    const float *w;
    const struct conv_sums *sums; /* NULL: none, or not by tasks */
    const struct slices *slices;
};

/* One panel of one class. */
static void pack_panel(void *ctx, size_t chunk, int thread)
{
    (void)thread;
    const struct run *run = ctx;
    const struct conv_gather *g = run->g;
    const struct conv_class *class = &g->classes[chunk / g->panels];
    const struct conv_axis *vertical = &g->axis[class->row], *horizontal = &g->axis[class->column];
    int panel = (int)(chunk % g->panels), nr = g->kernels->nr, first = panel * nr, n = min_int(nr, g->k - first);
    float *dst = g->packed + class->weights + (size_t)panel * class->taps * class->depth * nr;
    for (int i = 0; i < vertical->taps; i++)
        for (int j = 0; j < horizontal->taps; j++, dst += (ptrdiff_t)g->c * nr) {
            int tap = (vertical->first + i * vertical->step) * g->r + horizontal->first + j * horizontal->step;
            const float *w = run->w + (ptrdiff_t)tap * g->c * g->k;
            if (g->transposed)
                g->kernels->pack_bt(dst, w + (ptrdiff_t)first * g->c, g->c, g->c, n);
            else
                g->kernels->pack_b(dst, w + first, g->k, g->c, n);
        }
}

/* Whole images, or rows of cells of one. */
struct block {
    int image, images, row, rows;
    int64_t end; /* the line behind it */
};

static struct block block_at(const struct conv_gather *g, int64_t line, int64_t end)
{
    struct block b = {.image = (int)(line / g->rows), .images = 1, .row = (int)(line % g->rows), .rows = g->rows};
    int64_t left = end - line;
    if (b.row == 0 && g->unit_rows == g->rows && left >= g->rows)
        b.images = left / g->rows < g->unit_images ? (int)(left / g->rows) : g->unit_images;
    else {
        /* Evenly: a last block of one row would read every panel for it. */
        int rest = left < g->rows - b.row ? (int)left : g->rows - b.row;
        b.rows = divide_up(rest, divide_up(rest, g->unit_rows));
    }
    b.end = line + (int64_t)b.images * b.rows;
    return b;
}

/* The first line of a task. With sums, tasks are whole slices; else whole images, where blocks are. */
static int64_t task_begin(const struct run *run, int task)
{
    const struct conv_gather *g = run->g;
    if (run->sums) {
        size_t slice = run->slices->count * task / g->tasks, first;
        if (slice == run->slices->count)
            return (int64_t)g->n * g->rows;
        slice_pixels(run->slices, slice, &first);
        return (int64_t)(first / g->cols);
    }
    if (g->unit_rows == g->rows)
        return (int64_t)g->n * task / g->tasks * g->rows;
    return (int64_t)g->n * g->rows * task / g->tasks;
}

/* What the copy of a block holds of an image; or what is read without a copy: a part of the channels, from `channel` on. */
static struct conv_grid block_grid(const struct conv_gather *g, const struct block *b, int channel)
{
    return (struct conv_grid){g->h, g->w, g->c, b->row * g->step * g->read_step + g->low, span(g, b->rows),
                              g->low, span(g, g->cols), g->read_step, channel, min_int(g->part, g->c - channel)};
}

static const float *block_source(const struct run *run, const struct block *b, int channel, int thread)
{
    const struct conv_gather *g = run->g;
    if (!g->copy)
        return run->input->x + ((size_t)b->image * g->h + (size_t)b->row * g->step) * g->w * g->c + channel;
    float *copy = g->copies + (size_t)thread * g->copy_size;
    struct conv_grid grid = block_grid(g, b, channel);
    for (int i = 0; i < b->images; i++)
        conv_read_grid(g->kernels, copy + i * g->image_pitch, g->pitch, run->input, b->image + i, &grid);
    return copy;
}

/* How k goes to the calls of a panel: several whole taps, or an even part of one. Long stretches spare loads and stores of C. */
struct stretch {
    int taps, depth;
};

static struct stretch choose_stretch(const struct conv_gather *g, const struct conv_class *class)
{
    int most = most_depth(g);
    if (class->depth > most)
        return (struct stretch){1, divide_up(class->depth, divide_up(class->depth, most))};
    int taps = most / class->depth;
    return (struct stretch){divide_up(class->taps, divide_up(class->taps, taps)), class->depth};
}

static int class_pixels(const struct conv_gather *g, const struct conv_class *class, const struct block *b)
{
    return b->images * class_cells(g, class->row, g->ho, b->row, b->rows) * class_cells(g, class->column, g->wo, 0, g->cols);
}

/* Two tiles a call. More where calls are short; fewer where each is followed by a long burst of fetches, which it would wait for:
 * 256 channels and 64 outputs run at 85 % of peak in calls of 12 rows, at 77 % in calls of 24. */
static int strip_rows(const struct conv_gather *g, struct stretch s)
{
    int burst = 2 * g->tile_rows * g->step * g->step * g->c / (LINE_FLOATS * g->panels);
    int tiles = g->part < g->c ? 8 : s.taps * s.depth <= SHORT_STRETCH ? 4 : burst > BURST_LINES ? 1 : 2;
    return tiles * g->tile_rows;
}

/* Rows of the largest tile that brgemm makes of so many. */
static int largest_tile(const struct conv_gather *g, int rows) { return divide_up(rows, divide_up(rows, g->kernels->mr)); }

/* Calls that m rows of a class are divided among, evenly; each gets one tile where brgemm would make too tall ones of several. */
static int strips_of(const struct conv_gather *g, const struct conv_class *class, int m)
{
    int strips = divide_up(m, strip_rows(g, choose_stretch(g, class)));
    bool tall = largest_tile(g, m / strips) > g->tile_rows || largest_tile(g, divide_up(m, strips)) > g->tile_rows;
    return tall ? divide_up(m, g->tile_rows) : strips;
}

/* Of a class where parts are worked on one by one: what belongs to one. */
static int part_depth(const struct conv_gather *g, const struct conv_class *class, int channel)
{
    return g->part < g->c ? min_int(g->part, g->c - channel) : class->depth;
}

static int class_calls(const struct conv_gather *g, const struct conv_class *class, const struct block *b, int panels)
{
    if (!class->taps)
        return 0;
    struct stretch s = choose_stretch(g, class);
    int m = class_pixels(g, class, b);
    return m ? panels * divide_up(class->taps, s.taps) * divide_up(part_depth(g, class, 0), s.depth) * strips_of(g, class, m) : 0;
}

/* A part of a block's source. */
struct source {
    const float *a;
    int channel;
};

/* Rows begin .. end of a class: one panel. */
struct strip {
    int panel, begin, end;
};

/* What is added to takes the sum of one call, up to WHOLE_DEPTH; longer chains begin with it. By shape alone: it decides bits. */
static enum brgemm_mode first_mode(const struct run *run, const struct conv_class *class)
{
    if (!run->accumulate)
        return BRGEMM_WRITE;
    return (int64_t)class->taps * class->depth <= WHOLE_DEPTH ? BRGEMM_ADD : BRGEMM_CONTINUE;
}

/* All of the part's k. */
static void run_strip(const struct run *run, const struct conv_class *class, float *out, struct source source, struct strip strip,
                      struct conv_fetch *fetch)
{
    const struct conv_gather *g = run->g;
    int nr = g->kernels->nr, first = strip.panel * nr, n = min_int(nr, g->k - first), part = part_depth(g, class, source.channel);
    struct stretch s = choose_stretch(g, class);
    const float *b = g->packed + class->weights + ((size_t)strip.panel * class->taps * class->depth + source.channel) * nr;
    for (int t = 0; t < class->taps; t += s.taps)
        for (int d = 0; d < part; d += s.depth) {
            int taps = min_int(s.taps, class->taps - t), depth = min_int(s.depth, part - d);
            enum brgemm_mode mode = source.channel || t || d ? BRGEMM_CONTINUE : first_mode(run, class);
            g->kernels->brgemm(out + first, class->c_row + strip.begin, source.a + d, class->a_row + strip.begin, class->a_tap + t, b,
                               strip.end - strip.begin, n, depth, taps, mode);
            conv_fetch_share(fetch);
            b += (ptrdiff_t)taps * depth * nr;
        }
}

/* A few panels pass over every strip, and C is written in whole rows, as memory likes it: where k is short C is most of the
 * traffic. Many would come from L3 each time: then a panel passes over all strips. */
static void run_class(const struct run *run, const struct conv_class *class, float *out, struct source source, int m,
                      int panel_begin, int panel_end, struct conv_fetch *fetch)
{
    const struct conv_gather *g = run->g;
    int panels = panel_end - panel_begin, strips = strips_of(g, class, m);
    bool rows = (size_t)class->taps * class->depth * panels * g->kernels->nr <= ROWS_FLOATS;
    for (int i = 0; i < strips * panels; i++) {
        int index = rows ? i / panels : i % strips;
        struct strip strip = {panel_begin + (rows ? i % panels : i / strips), (int)((int64_t)m * index / strips),
                              (int)((int64_t)m * (index + 1) / strips)};
        run_strip(run, class, out, source, strip, fetch);
    }
}

/* Pixels that no tap reaches, in all channels of the group: runs of whole rows where they follow each other. */
static void clear_class(const struct conv_gather *g, const struct conv_class *class, float *out, int m, int panel_begin, int panel_end)
{
    int first = panel_begin * g->kernels->nr, last = min_int(g->k, panel_end * g->kernels->nr);
    if (!g->axis[class->row].taps && g->groups == 1) {
        if (class->column > 0)
            return; /* cleared with column 0's */
        int cols = class_cells(g, class->column, g->wo, 0, g->cols);
        for (int p = 0; p < m; p += cols)
            memset(out + class->c_row[p], 0, (size_t)g->wo * g->k * sizeof *out);
        return;
    }
    for (int p = 0; p < m; p++)
        memset(out + first + class->c_row[p], 0, (size_t)(last - first) * sizeof *out);
}

/* One part of the channels; next and next_channel are what comes after it. */
static void run_part(const struct run *run, const struct block *b, int channel, const struct block *next, int next_channel,
                     int panel_begin, int panel_end, int thread)
{
    const struct conv_gather *g = run->g;
    struct source source = {block_source(run, b, channel, thread), channel};
    float *out = run->out + ((ptrdiff_t)b->image * g->ho + (ptrdiff_t)b->row * g->out_step) * g->wo * g->k;
    int calls = 0;
    for (int id = 0; id < g->out_step * g->out_step; id++)
        calls += class_calls(g, &g->classes[id], b, panel_end - panel_begin);
    struct conv_fetch fetch = {0};
    if (next && calls) {
        struct conv_grid grid = block_grid(g, next, next_channel);
        fetch = conv_fetch_grid(run->input, next->image, next->images, &grid, calls);
    }
    for (int id = 0; id < g->out_step * g->out_step; id++) {
        const struct conv_class *class = &g->classes[id];
        int m = class_pixels(g, class, b);
        if (m && class->taps)
            run_class(run, class, out, source, m, panel_begin, panel_end, &fetch);
        else if (m && !run->accumulate && !channel)
            clear_class(g, class, out, m, panel_begin, panel_end);
    }
}

static void run_block(const struct run *run, const struct block *b, const struct block *next, int panel_begin, int panel_end,
                      int thread)
{
    const struct conv_gather *g = run->g;
    for (int channel = 0; channel < g->c; channel += g->part) {
        bool last = channel + g->part >= g->c;
        run_part(run, b, channel, last ? next : b, last ? 0 : channel + g->part, panel_begin, panel_end, thread);
    }
}

/* The sums of the slices that end at this line, which are still in L2. */
static size_t sum_slices(const struct run *run, size_t slice, int64_t line)
{
    const struct conv_gather *g = run->g;
    for (; slice < run->slices->count; slice++) {
        size_t first, pixels = slice_pixels(run->slices, slice, &first);
        if ((int64_t)(first + pixels) > line * g->cols)
            break;
        conv_sum_slice(g->kernels, run->sums, run->out, run->slices, slice, g->k);
    }
    return slice;
}

static void run_task(void *ctx, size_t chunk, int thread)
{
    const struct run *run = ctx;
    const struct conv_gather *g = run->g;
    int task = (int)(chunk % g->tasks), group = (int)(chunk / g->tasks);
    int panel_begin = (int)((int64_t)g->panels * group / g->groups), panel_end = (int)((int64_t)g->panels * (group + 1) / g->groups);
    for (int panel = panel_begin; g->own_panels && panel < panel_end; panel++)
        pack_panel(ctx, (size_t)panel, thread);
    int64_t line = task_begin(run, task), end = task_begin(run, task + 1);
    size_t slice = run->sums ? run->slices->count * task / g->tasks : 0;
    while (line < end) {
        struct block block = block_at(g, line, end), next;
        line = block.end;
        if (line < end)
            next = block_at(g, line, end);
        run_block(run, &block, line < end ? &next : NULL, panel_begin, panel_end, thread);
        if (run->sums)
            slice = sum_slices(run, slice, line);
    }
}

bool conv_gather_run(struct conv_gather *g, float *out, bool accumulate, const struct conv_input *input, const float *w,
                     const struct conv_sums *sums, const struct slices *slices)
{
    bool fused = sums && g->groups == 1;
    struct run run = {g, out, accumulate, input, w, fused ? sums : NULL, slices};
    int classes = g->out_step * g->out_step;
    for (int id = 0; id < classes; id++)
        fill_indices(g, &g->classes[id]);
    if (!g->own_panels)
        par_for(g->threads, (size_t)classes * g->panels, pack_panel, &run);
    par_for(g->threads, (size_t)g->tasks * g->groups, run_task, &run);
    return fused || !sums;
}
