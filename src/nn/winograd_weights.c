/* By weights: dw = G^T [sum over tiles of V^T M] G, with V = B^T x B and M = A dy A^T.
 *
 * The tiles are cut into chunks; each of a chunk's products (c x tiles) (tiles x k) is a chain from +0, then added to dU, in chunk
 * order. Where dU is small, up to 8 parts of the batch have a dU each, added in order of parts: threads then work apart, and sums of
 * fewer terms are more accurate. Chunks and parts come from shape alone: they decide the order of sums. */
#include "base/ints.h"
#include "base/par.h"
#include "nn/winograd_internal.h"

enum {
    OWN_WEIGHTS = 128 * 128, /* c x k up to which there are parts, each one thread's: its dU takes 2.4 MB */
    PARTS = 8,
    LARGE_WEIGHTS = 256 * 512, /* c x k from which dU, 18 MB, is better read for twice as many tiles */
    ROW_BLOCK = 8,             /* source channels of a task that transforms dU back */
};

struct pass {
    const struct kernels *kernels;
    int threads;
    struct tiling tiling;
    int c, k, k_panels, u_points;
    int parts, chunk_slices, chunk_tiles;
    size_t chunks;        /* of all parts */
    bool shared;
    /* V of a small layer fits into L1 as it is; of a large one, panels let brgemm_tn read it as one stream. */
    int v_width;          /* channels side by side: c, or nr */
    ptrdiff_t v_tile, v_panel, v_point, m_panel, m_point, u_point, u_part;
    float *u;             /* [part][point][c][k] */
    float *v, *m;         /* a chunk: [point][panel][tile][v_width or nr]; of each thread, or of each part */
    ptrdiff_t *v_bytes;   /* of a panel's tiles */
    float *copies;        /* per thread */
    size_t copy_floats;

    float *dw;
    const struct conv_input *input;
    const float *dy;
    size_t round;         /* shared: the chunk of each part that is worked on */
};

static struct pass plan(const struct engine *engine, const struct conv_shape *s, struct arena *arena)
{
    struct pass p = {.kernels = engine->kernels, .threads = engine->threads, .tiling = tiling_of(s, false), .c = s->c, .k = s->k};
    int nr = p.kernels->nr;
    size_t weights = (size_t)p.c * p.k;
    p.k_panels = divide_up(p.k, nr);
    int points = weights <= OWN_WEIGHTS ? 32 * 36 : weights < LARGE_WEIGHTS ? 128 * 36 : 256 * 36;
    p.chunk_slices = divide_up(points / p.tiling.points, p.tiling.slice_tiles);
    if ((size_t)p.chunk_slices > p.tiling.slices.count) /* one chunk is one chunk */
        p.chunk_slices = (int)p.tiling.slices.count;
    p.chunk_tiles = p.chunk_slices * p.tiling.slice_tiles;
    p.chunks = (p.tiling.slices.count + p.chunk_slices - 1) / p.chunk_slices;
    p.parts = weights > OWN_WEIGHTS ? 1 : p.chunks < PARTS ? (int)p.chunks : PARTS;
    p.shared = weights > OWN_WEIGHTS || p.parts < p.threads;
    p.v_width = weights <= OWN_WEIGHTS ? p.c : nr;
    p.v_tile = p.v_width == p.c ? p.c + CACHE_LINE : nr;
    p.v_panel = p.v_width == p.c ? nr : (ptrdiff_t)p.chunk_tiles * nr;
    p.v_point = point_stride((size_t)p.chunk_tiles * p.v_tile * divide_up(p.c, p.v_width));
    p.m_panel = (ptrdiff_t)p.chunk_tiles * nr;
    p.m_point = point_stride((size_t)p.k_panels * p.m_panel);
    p.u_point = point_stride(weights);
    p.u_points = weight_points(p.tiling.kind);
    p.u_part = p.u_points * p.u_point;
    size_t buffers = p.shared ? p.parts : p.threads, copy_x = tiling_copy_floats(&p.tiling, p.c), copy_y = tiling_copy_floats(&p.tiling, p.k);
    p.copy_floats = copy_x > copy_y ? copy_x : copy_y;
    p.u = arena_alloc(arena, p.parts * (size_t)p.u_part, sizeof *p.u);
    p.v = arena_alloc(arena, buffers * p.tiling.points * p.v_point, sizeof *p.v);
    p.m = arena_alloc(arena, buffers * p.tiling.points * p.m_point, sizeof *p.m);
    p.v_bytes = arena_alloc(arena, p.chunk_tiles, sizeof *p.v_bytes);
    p.copies = arena_alloc(arena, p.threads * p.copy_floats, sizeof *p.copies);
    return p;
}

void winograd_weights_measure(const struct engine *engine, const struct conv_shape *shape, struct arena *arena)
{
    plan(engine, shape, arena);
}

/* The slices begin .. end of a part's chunk; none past the part's last. */
struct chunk {
    size_t begin, end;
};

static size_t part_begin(const struct pass *p, int part) { return p->chunks * part / p->parts; }

static struct chunk chunk_of(const struct pass *p, int part, size_t index)
{
    size_t chunk = part_begin(p, part) + index, count = p->tiling.slices.count;
    if (chunk >= part_begin(p, part + 1))
        return (struct chunk){0, 0};
    size_t end = (chunk + 1) * p->chunk_slices;
    return (struct chunk){chunk * p->chunk_slices, end < count ? end : count};
}

static void transform(const struct pass *p, const struct chunk *chunk, size_t slice, int buffer, int thread)
{
    struct area area = slice_area(&p->tiling, slice);
    ptrdiff_t first = tiles_of(&p->tiling, chunk->begin, slice);
    float *v = p->v + (size_t)buffer * p->tiling.points * p->v_point, *m = p->m + (size_t)buffer * p->tiling.points * p->m_point;
    float *copy = p->copies + thread * p->copy_floats;
    int nr = p->kernels->nr;
    tiling_input(p->kernels, v + first * p->v_tile, p->v_tile, p->v_panel, p->v_point, &p->tiling, &area, p->input, p->c, copy);
    tiling_gradient(p->kernels, m + first * nr, nr, p->m_panel, p->m_point, &p->tiling, &area, p->dy, p->k, copy);
}

/* dU of one weight point and panel += the chunk's products of all tile points that meet it, in their order. */
static void multiply(const struct pass *p, int part, size_t index, int tiles, int point, int panel, int buffer)
{
    int nr = p->kernels->nr, n = p->k - panel * nr < nr ? p->k - panel * nr : nr;
    float *u = p->u + part * p->u_part + point * p->u_point + panel * nr;
    struct meeting meeting = tile_points(p->tiling.kind, point);
    for (int i = 0; i < meeting.rows * meeting.cols; i++) {
        size_t at = (size_t)buffer * p->tiling.points + meeting.first + i / meeting.cols * meeting.side + i % meeting.cols;
        const float *v = p->v + at * p->v_point, *m = p->m + at * p->m_point + panel * p->m_panel;
        for (int c = 0; c < p->c; c += p->v_width, v += p->v_panel)
            p->kernels->brgemm_tn(u + (ptrdiff_t)c * p->k, p->k, v, p->v_bytes, m, 0, NULL, min_int(p->v_width, p->c - c), n, tiles, index || i,
                                  NULL, 0);
    }
}

/* Part of what a chunk will read. */
static void prefetch(const struct pass *p, int of, size_t index, int part, int parts)
{
    struct chunk chunk = chunk_of(p, of, index);
    const struct tiling *t = &p->tiling;
    tiling_prefetch(t, chunk.begin, chunk.end, p->input->x, t->source_h, t->source_w, p->c, part, parts);
    tiling_prefetch(t, chunk.begin, chunk.end, p->dy, t->h, t->w, p->k, part, parts);
}

static void run_part(void *ctx, size_t part, int thread)
{
    const struct pass *p = ctx;
    struct chunk chunk;
    for (size_t index = 0; (chunk = chunk_of(p, (int)part, index)).end; index++) {
        for (size_t slice = chunk.begin; slice < chunk.end; slice++)
            transform(p, &chunk, slice, thread, thread);
        int tiles = tiles_of(&p->tiling, chunk.begin, chunk.end);
        for (int point = 0; point < p->u_points; point++) {
            prefetch(p, (int)part, index + 1, point, p->u_points);
            for (int panel = 0; panel < p->k_panels; panel++)
                multiply(p, (int)part, index, tiles, point, panel, thread);
        }
    }
}

static void shared_transform(void *ctx, size_t task, int thread)
{
    const struct pass *p = ctx;
    int part = (int)(task / p->chunk_slices);
    struct chunk chunk = chunk_of(p, part, p->round);
    size_t slice = chunk.begin + task % p->chunk_slices;
    if (slice < chunk.end)
        transform(p, &chunk, slice, part, thread);
}

static void shared_multiply(void *ctx, size_t task, int thread)
{
    (void)thread;
    const struct pass *p = ctx;
    int panel = (int)(task % p->k_panels), point = (int)(task / p->k_panels % p->u_points),
        part = (int)(task / p->k_panels / p->u_points);
    struct chunk chunk = chunk_of(p, part, p->round);
    prefetch(p, part, p->round + 1, point * p->k_panels + panel, p->u_points * p->k_panels);
    if (chunk.end)
        multiply(p, part, p->round, tiles_of(&p->tiling, chunk.begin, chunk.end), point, panel, part);
}

static void transform_back(void *ctx, size_t block, int thread)
{
    (void)thread;
    const struct pass *p = ctx;
    size_t begin = block * ROW_BLOCK * p->k, all = (size_t)p->c * p->k, end = begin + (size_t)ROW_BLOCK * p->k;
    p->kernels->winograd_weights_gradient(p->tiling.kind, p->dw + begin, (ptrdiff_t)all, p->u + begin, p->u_point, p->u_part, p->parts,
                                          (end < all ? end : all) - begin);
}

void winograd_backward_weights(const struct engine *engine, float *dw, const struct conv_input *input, const float *dy,
                               const struct conv_shape *shape, void *scratch)
{
    struct arena arena = {.base = scratch, .capacity = (size_t)-1};
    struct pass p = plan(engine, shape, &arena);
    p.dw = dw;
    p.input = input;
    p.dy = dy;
    for (int i = 0; i < p.chunk_tiles; i++)
        p.v_bytes[i] = i * p.v_tile * (ptrdiff_t)sizeof(float);
    if (p.shared) {
        size_t rounds = (p.chunks + p.parts - 1) / p.parts; /* of the longest part */
        for (p.round = 0; p.round < rounds; p.round++) {
            par_for(p.threads, (size_t)p.parts * p.chunk_slices, shared_transform, &p);
            par_for(p.threads, (size_t)p.parts * p.u_points * p.k_panels, shared_multiply, &p);
        }
    } else {
        par_for(p.threads, p.parts, run_part, &p);
    }
    par_for(p.threads, divide_up(p.c, ROW_BLOCK), transform_back, &p);
}
