/* One entry a slot of struct kernels, in its order; shapes are those that training meets. A row's name is the slot's, but for
 * blur, whose arithmetic is part of its name. In-place kernels are given factors that keep the values as they are. */
#include "bench/rows_kernels.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <stdexcept>

namespace {

const double F = sizeof(float);

ptrdiff_t *offsets(Memory &m, int rows, ptrdiff_t stride)
{
    ptrdiff_t *offset = m.zeros<ptrdiff_t>(static_cast<size_t>(rows));
    for (int i = 0; i < rows; i++)
        offset[i] = i * stride;
    return offset;
}

/* ---- GEMM: 32 columns, which are one to four panels of B ---- */

enum { COLUMNS = 32 };

/* B (k, COLUMNS) in panels, one call of a kernel for each. */
float *packed(const struct kernels *kernels, Memory &m, int k)
{
    Memory plain;
    size_t depth = static_cast<size_t>(k);
    float *b = plain.floats(depth * COLUMNS), *panels = m.panels(kernels->nr, depth, COLUMNS, 1, depth * COLUMNS);
    for (int j = 0; j < COLUMNS; j += kernels->nr)
        kernels->pack_b(panels + j * k, b + j, COLUMNS, k, kernels->nr);
    return panels;
}

/* Two rows of a 3x3 convolution over 64 channels: three rows of taps, each one stretch of 3 x 64 floats of a 34 pixel wide copy. */
void brgemm_rows(Rows &rows)
{
    enum { M = 64, K = 192, TAPS = 3, C = 64, WIDTH = 34 };
    rows.push_back({"brgemm", "m64.n32.k192.t3", 2.0 * M * K * TAPS * COLUMNS, [](const struct engine &engine) {
        double calls = COLUMNS / engine.kernels->nr, inputs = (M / 32 + 2) * WIDTH * C;
        Work work{M * COLUMNS * K * TAPS, 0, F * (calls * inputs + TAPS * K * COLUMNS), F * M * COLUMNS};
        return kernel_job(engine, work, [](const struct kernels *k, Memory &m) -> Call {
            float *a = m.floats((M / 32 + 2) * WIDTH * C), *b = packed(k, m, K * TAPS), *c = m.zeros<float>(M * COLUMNS);
            ptrdiff_t *a_row = offsets(m, M, C), *c_row = offsets(m, M, COLUMNS), *a_tap = offsets(m, TAPS, WIDTH * C);
            for (int i = M / 2; i < M; i++)
                a_row[i] += (WIDTH - 32) * C;
            return [=] {
                for (int j = 0; j < COLUMNS; j += k->nr)
                    k->brgemm(c + j, c_row, a, a_row, a_tap, b + j * K * TAPS, M, k->nr, K, TAPS, BRGEMM_WRITE);
            };
        });
    }});
}

void brgemm_tn_rows(Rows &rows)
{
    enum { M = 128, PIXELS = 256 };
    rows.push_back({"brgemm_tn", "m128.n32.k256", 2.0 * M * PIXELS * COLUMNS, [](const struct engine &engine) {
        double calls = COLUMNS / engine.kernels->nr;
        Work work{M * COLUMNS * PIXELS, M * COLUMNS, F * PIXELS * (calls * M + COLUMNS) + F * M * COLUMNS, F * M * COLUMNS, true};
        return kernel_job(engine, work, [](const struct kernels *k, Memory &m) -> Call {
            float *a = m.floats(PIXELS * M), *b = packed(k, m, PIXELS), *c = m.zeros<float>(M * COLUMNS);
            ptrdiff_t *a_bytes = offsets(m, PIXELS, M * static_cast<ptrdiff_t>(sizeof(float)));
            return [=] {
                for (int j = 0; j < COLUMNS; j += k->nr)
                    k->brgemm_tn(c + j, COLUMNS, a, a_bytes, b + j * PIXELS, 0, nullptr, M, k->nr, PIXELS, true, nullptr, 0);
            };
        });
    }});
}

void pack_rows(Rows &rows, bool transposed)
{
    enum { K = 256 };
    add_kernel(rows, transposed ? "pack_bt" : "pack_b", "n32.k256", K * COLUMNS * Work{0, 0, F, F},
               [transposed](const struct kernels *k, Memory &m) -> Call {
        float *src = m.floats(K * COLUMNS), *dst = m.panels(k->nr, K, COLUMNS, 1, K * COLUMNS);
        return [=] {
            for (int j = 0; j < COLUMNS; j += k->nr)
                if (transposed)
                    k->pack_bt(dst + j * K, src + j * K, K, K, k->nr);
                else
                    k->pack_b(dst + j * K, src + j, COLUMNS, K, k->nr);
        };
    });
}

void pack_b_rows(Rows &rows) { pack_rows(rows, false); }
void pack_bt_rows(Rows &rows) { pack_rows(rows, true); }

/* ---- Winograd: eight tiles side by side, 64 channels; operations of the transforms as they are written ---- */

enum { POINTS = 36, TILES = 8, CHANNELS = 64, TILE_WIDTH = 4 * TILES + 2, POINT = TILES * CHANNELS + 16 };

void winograd_input_rows(Rows &rows)
{
    double read = F * 6 * TILE_WIDTH * CHANNELS, written = F * POINTS * TILES * CHANNELS;
    add_kernel(rows, "winograd_input", "t8.c64", Work{12.0 * TILES * CHANNELS * 6, 12.0 * TILES * CHANNELS * 7, read, written},
               [](const struct kernels *k, Memory &m) -> Call {
        float *x = m.floats(6 * TILE_WIDTH * CHANNELS), *v = m.zeros<float>(POINTS * POINT);
        return [=] { k->winograd_input(WINOGRAD_4X4, v, CHANNELS, k->nr, POINT, x, TILE_WIDTH * CHANNELS, CHANNELS, TILES, CHANNELS); };
    });
}

void winograd_output_rows(Rows &rows)
{
    add_kernel(rows, "winograd_output", "k64", CHANNELS * Work{10.0 * 3, 10.0 * 7, POINTS * F, 16 * F},
               [](const struct kernels *k, Memory &m) -> Call {
        float *in = m.floats(POINTS * (CHANNELS + 16)), *y = m.zeros<float>(16 * CHANNELS);
        return [=] { k->winograd_output(WINOGRAD_4X4, y, 4 * CHANNELS, CHANNELS, false, in, CHANNELS + 16, CHANNELS); };
    });
}

void winograd_gradient_rows(Rows &rows)
{
    add_kernel(rows, "winograd_gradient", "t8.k64", TILES * CHANNELS * Work{10.0 * 2, 10.0 * 7, 16 * F, POINTS * F},
               [](const struct kernels *k, Memory &m) -> Call {
        float *dy = m.floats(16 * TILES * CHANNELS), *to = m.panels(k->nr, TILES, CHANNELS, POINTS, POINT);
        return [=] { k->winograd_gradient(WINOGRAD_4X4, to, k->nr, TILES * k->nr, POINT, dy, 4 * TILES * CHANNELS, CHANNELS, TILES, CHANNELS); };
    });
}

enum { FILTERS = 1024 };

void winograd_weights_rows(Rows &rows)
{
    add_kernel(rows, "winograd_weights", "1024", FILTERS * Work{9.0, 9.0 * 11, 9 * F, POINTS * F},
               [](const struct kernels *k, Memory &m) -> Call {
        float *w = m.floats(9 * FILTERS), *u = m.zeros<float>(POINTS * (FILTERS + 16));
        return [=] { k->winograd_weights(WINOGRAD_4X4, u, FILTERS + 16, w, FILTERS, FILTERS); };
    });
}

void winograd_weights_gradient_rows(Rows &rows)
{
    add_kernel(rows, "winograd_weights_gradient", "1024", FILTERS * Work{9.0 * 4, 9.0 * 8, POINTS * F, 9 * F},
               [](const struct kernels *k, Memory &m) -> Call {
        float *u = m.floats(POINTS * (FILTERS + 16)), *dw = m.zeros<float>(9 * FILTERS);
        return [=] { k->winograd_weights_gradient(WINOGRAD_4X4, dw, FILTERS, u, FILTERS + 16, 0, 1, FILTERS); };
    });
}

/* ---- Rows of channels: few and many, 64 KB either way ---- */

struct Grid {
    const char *name;
    size_t rows;
    int c;
    double count() const { return static_cast<double>(rows) * c; }
    size_t size() const { return rows * static_cast<size_t>(c); }
};
const Grid grids[] = {{"256x64", 256, 64}, {"32x512", 32, 512}};

/* The vectors of c floats are left out of the bytes, not of the footprint. */
void norm_stats_rows(Rows &rows)
{
    for (const Grid &g : grids)
        add_kernel(rows, "norm_stats", g.name, g.count() * Work{1, 2, 2 * F, 0}, [g](const struct kernels *k, Memory &m) -> Call {
            float *x = m.floats(g.size()), *mean = m.zeros<float>(g.c), *m2 = m.zeros<float>(g.c);
            return [=] { k->norm_stats(mean, m2, x, g.rows, g.c); };
        });
}

void norm_apply_rows(Rows &rows)
{
    for (const Grid &g : grids)
        for (bool residual : {false, true})
            add_kernel(rows, "norm_apply", g.name + std::string(residual ? ".res" : ""),
                       g.count() * Work{1, residual ? 2.0 : 1.0, residual ? 2 * F : F, F},
                                  [=](const struct kernels *k, Memory &m) -> Call {
                float *x = m.floats(g.size()), *y = m.zeros<float>(g.size()), *mean = m.floats(g.c), *scale = m.unit(g.c);
                float *shift = m.floats(g.c), *res = residual ? m.floats(g.size()) : nullptr;
                return [=] { k->norm_apply(y, x, res, mean, scale, shift, true, g.rows, g.c); };
            });
}

/* With a residual the ReLU's mask is read from its output, else it is computed from x. */
void norm_backward_sums_rows(Rows &rows)
{
    for (const Grid &g : grids)
        for (bool residual : {false, true})
            add_kernel(rows, "norm_backward_sums", g.name + std::string(residual ? ".res" : ""),
                       g.count() * Work{residual ? 1.0 : 2.0, 3, residual ? 3 * F : 2 * F, 0},
                       [=](const struct kernels *k, Memory &m) -> Call {
                float *dy = m.floats(g.size()), *out = residual ? m.floats(g.size()) : nullptr, *x = m.floats(g.size());
                float *mean = m.floats(g.c), *invstd = m.unit(g.c), *scale = m.unit(g.c), *shift = m.floats(g.c);
                float *sum_g = m.zeros<float>(g.c), *sum_gx = m.zeros<float>(g.c);
                return [=] { k->norm_backward_sums(sum_g, sum_gx, dy, out, x, mean, invstd, scale, shift, g.rows, g.c); };
            });
}

void norm_backward_apply_rows(Rows &rows)
{
    for (const Grid &g : grids)
        for (bool residual : {false, true})
            add_kernel(rows, "norm_backward_apply", g.name + std::string(residual ? ".res" : ""),
                       g.count() * Work{residual ? 1.0 : 2.0, 4, residual ? 3 * F : 2 * F, residual ? 2 * F : F},
                       [=](const struct kernels *k, Memory &m) -> Call {
                float *dy = m.floats(g.size()), *out = residual ? m.floats(g.size()) : nullptr, *x = m.floats(g.size());
                float *mean = m.floats(g.c), *invstd = m.unit(g.c), *scale = m.unit(g.c), *shift = m.floats(g.c);
                float *a = m.floats(g.c), *b = m.floats(g.c);
                float *dx = m.zeros<float>(g.size()), *dres = residual ? m.zeros<float>(g.size()) : nullptr;
                return [=] {
                    k->norm_backward_apply(dx, dres, false, dy, out, x, mean, invstd, scale, shift, a, b, g.rows, g.c);
                };
            });
}

void bias_act_rows(Rows &rows)
{
    for (const Grid &g : grids)
        add_kernel(rows, "bias_act", g.name, g.count() * Work{0, 1, F, F}, [g](const struct kernels *k, Memory &m) -> Call {
            float *x = m.floats(g.size()), *y = m.zeros<float>(g.size()), *bias = m.floats(g.c);
            return [=] { k->bias_act(y, x, bias, true, g.rows, g.c); };
        });
}

void relu_backward_rows(Rows &rows)
{
    enum { COUNT = 16384 };
    add_kernel(rows, "relu_backward", "16384", COUNT * Work{0, 0, 2 * F, F}, [](const struct kernels *k, Memory &m) -> Call {
        float *dx = m.zeros<float>(COUNT), *dy = m.floats(COUNT), *out = m.floats(COUNT);
        return [=] { k->relu_backward(dx, dy, out, COUNT); };
    });
}

void add_rows(Rows &rows)
{
    enum { COUNT = 16384 };
    add_kernel(rows, "add", "16384", COUNT * Work{0, 1, 2 * F, F, true}, [](const struct kernels *k, Memory &m) -> Call {
        float *y = m.floats(COUNT), *x = m.floats(COUNT);
        return [=] { k->add(y, x, COUNT); };
    });
}

void column_sums_rows(Rows &rows)
{
    for (const Grid &g : grids)
        add_kernel(rows, "column_sums", g.name, g.count() * Work{0, 1, F, 0}, [g](const struct kernels *k, Memory &m) -> Call {
            float *x = m.floats(g.size()), *sum = m.zeros<float>(g.c);
            return [=] { k->column_sums(sum, x, g.rows, g.c); };
        });
}

/* ---- Pooling: the stem of a ResNet at 96 px, the end of ResNet-50 at 224 px ---- */

enum { SIDE = 48, HALF = SIDE / 2, STEM = 64, PIXELS = 49, WIDE = 2048 };

void maxpool_rows(Rows &rows)
{
    double in = SIDE * SIDE * STEM, out = HALF * HALF * STEM;
    add_kernel(rows, "maxpool", "48x48x64", Work{0, 0, F * in, (F + 1) * out}, [](const struct kernels *k, Memory &m) -> Call {
        float *x = m.floats(SIDE * SIDE * STEM), *y = m.zeros<float>(HALF * HALF * STEM);
        uint8_t *which = m.zeros<uint8_t>(HALF * HALF * STEM);
        return [=] { k->maxpool(y, which, x, SIDE, SIDE, STEM); };
    });
}

/* Every window's gradient is offered to nine inputs. */
void maxpool_backward_rows(Rows &rows)
{
    double in = SIDE * SIDE * STEM, out = HALF * HALF * STEM;
    add_kernel(rows, "maxpool_backward", "48x48x64", Work{0, 9 * out, (F + 1) * out, F * in},
               [](const struct kernels *k, Memory &m) -> Call {
        float *x = m.floats(SIDE * SIDE * STEM), *dx = m.zeros<float>(SIDE * SIDE * STEM), *dy = m.floats(HALF * HALF * STEM);
        uint8_t *which = m.zeros<uint8_t>(HALF * HALF * STEM);
        k->maxpool(dy, which, x, SIDE, SIDE, STEM);
        return [=] { k->maxpool_backward(dx, dy, which, SIDE, SIDE, STEM); };
    });
}

void avgpool_rows(Rows &rows)
{
    add_kernel(rows, "avgpool", "49x2048", WIDE * Work{0, PIXELS + 1, F * PIXELS, F}, [](const struct kernels *k, Memory &m) -> Call {
        float *x = m.floats(PIXELS * WIDE), *y = m.zeros<float>(WIDE);
        return [=] { k->avgpool(y, x, PIXELS, WIDE); };
    });
}

void avgpool_backward_rows(Rows &rows)
{
    add_kernel(rows, "avgpool_backward", "49x2048", WIDE * Work{0, 1, F, F * PIXELS}, [](const struct kernels *k, Memory &m) -> Call {
        float *dx = m.zeros<float>(PIXELS * WIDE), *dy = m.floats(WIDE);
        return [=] { k->avgpool_backward(dx, dy, PIXELS, WIDE); };
    });
}

/* ---- NT-Xent: one tile of similarities, and the rows of one ---- */

enum { TILE = NTXENT_TILE, DIM = 128 };
const Work exp_work{7, 4, 0, 0}; /* its argument, and vf_exp2 of simd/vec_math.h: range reduction, degree 6, scaling */

void l2_normalize_rows(Rows &rows)
{
    add_kernel(rows, "l2_normalize", "64x128", TILE * DIM * Work{1, 1, F, F}, [](const struct kernels *k, Memory &m) -> Call {
        float *x = m.floats(TILE * DIM), *u = m.zeros<float>(TILE * DIM), *norm = m.zeros<float>(TILE);
        return [=] { k->l2_normalize(u, norm, x, TILE, DIM); };
    });
}

void l2_normalize_backward_rows(Rows &rows)
{
    add_kernel(rows, "l2_normalize_backward", "64x128", TILE * DIM * Work{2, 1, 2 * F, F},
               [](const struct kernels *k, Memory &m) -> Call {
        float *du = m.floats(TILE * DIM), *u = m.zeros<float>(TILE * DIM);
        float *norm = m.zeros<float>(TILE), *dx = m.zeros<float>(TILE * DIM);
        k->l2_normalize(u, norm, du, TILE, DIM);
        return [=] { k->l2_normalize_backward(dx, du, u, norm, TILE, DIM); };
    });
}

void ntxent_sums_rows(Rows &rows)
{
    add_kernel(rows, "ntxent_sums", "64x64", TILE * TILE * (exp_work + Work{0, 2, F, 0}), [](const struct kernels *k, Memory &m) -> Call {
        float *s = m.floats(TILE * TILE), *row = m.zeros<float>(TILE * 16), *col = m.zeros<float>(TILE);
        return [=] { k->ntxent_sums(row, col, s, 2.0f, TILE); };
    });
}

void ntxent_total_rows(Rows &rows)
{
    add_kernel(rows, "ntxent_total", "64x64", TILE * TILE * (exp_work + Work{0, 1, F, 0}), [](const struct kernels *k, Memory &m) -> Call {
        float *s = m.floats(TILE * TILE), *total = m.zeros<float>(1);
        return [=] { *total = k->ntxent_total(s, 4.0f, TILE); };
    });
}

void ntxent_ahead_rows(Rows &rows)
{
    add_kernel(rows, "ntxent_ahead", "64x64", TILE * TILE * Work{0, 0, F, 0}, [](const struct kernels *k, Memory &m) -> Call {
        float *s = m.floats(TILE * TILE), *bound = m.floats(2 * TILE);
        int32_t *ahead = m.zeros<int32_t>(2 * TILE);
        return [=] {
            std::fill(ahead, ahead + 2 * TILE, 0);
            k->ntxent_ahead(ahead, ahead + TILE, s, bound, bound + TILE, TILE);
        };
    });
}

void ntxent_gradient_rows(Rows &rows)
{
    add_kernel(rows, "ntxent_gradient", "64x64", TILE * TILE * (exp_work + Work{0, 2, F, F, true}),
               [](const struct kernels *k, Memory &m) -> Call {
        float *s = m.floats(TILE * TILE), *row = m.unit(TILE), *col = m.unit(TILE);
        for (int i = 0; i < TILE; i++)
            row[i] += 0.5f; /* in place, over and over: results must not dwindle */
        return [=] { k->ntxent_gradient(s, row, col, 2.0f, TILE); };
    });
}

void dot_rows(Rows &rows)
{
    enum { COUNT = 2048 };
    add_kernel(rows, "dot", "2048", COUNT * Work{1, 0, 2 * F, 0}, [](const struct kernels *k, Memory &m) -> Call {
        float *a = m.floats(COUNT), *b = m.floats(COUNT), *result = m.zeros<float>(1);
        return [=] { *result = k->dot(a, b, COUNT); };
    });
}

/* ---- t-SNE: what all points do to 16 of them ---- */

void tsne_forces_rows(Rows &rows)
{
    enum { POINTS = 2000 };
    /* A division counts as one operation, and takes the time of ten. */
    Work work = POINTS * (TSNE_POINTS * Work{0, 18, F, 0} + Work{0, 0, 2 * F, 0});
    add_kernel(rows, "tsne_forces", "16x2000", work, [](const struct kernels *k, Memory &m) -> Call {
        float *x = m.floats(POINTS), *y = m.floats(POINTS), *p = m.unit(POINTS * TSNE_POINTS), *forces = m.zeros<float>(TSNE_SUMS * TSNE_POINTS);
        return [=] { k->tsne_forces(forces, x, y, p, POINTS / 2, POINTS); };
    });
}

/* ---- Optimisers ---- */

enum { WEIGHTS = 16384 };

void sgd_rows(Rows &rows)
{
    add_kernel(rows, "sgd", "16384", WEIGHTS * Work{3, 0, 3 * F, 2 * F, true}, [](const struct kernels *k, Memory &m) -> Call {
        float *w = m.floats(WEIGHTS), *v = m.floats(WEIGHTS), *g = m.floats(WEIGHTS);
        return [=] { k->sgd(w, v, g, 1e-6f, 0.9f, 5e-4f, false, WEIGHTS); };
    });
}

void lars_rows(Rows &rows)
{
    add_kernel(rows, "lars", "16384", WEIGHTS * Work{2, 2, 3 * F, 2 * F, true}, [](const struct kernels *k, Memory &m) -> Call {
        float *w = m.floats(WEIGHTS), *v = m.floats(WEIGHTS), *g = m.floats(WEIGHTS);
        return [=] { k->lars(w, v, g, 1e-6f, 0.9f, 5e-4f, WEIGHTS); };
    });
}

void adam_rows(Rows &rows)
{
    add_kernel(rows, "adam", "16384", WEIGHTS * Work{5, 7, 4 * F, 3 * F, true}, [](const struct kernels *k, Memory &m) -> Call {
        float *w = m.floats(WEIGHTS), *first = m.floats(WEIGHTS), *second = m.unit(WEIGHTS), *g = m.floats(WEIGHTS);
        return [=] { k->adam(w, first, second, g, 0.1f, 0.001f, 1e-4f, 0.0f, 1e-6f, 0.5f, 1e-8f, WEIGHTS); };
    });
}

void sum_squares_rows(Rows &rows)
{
    add_kernel(rows, "sum_squares", "16384", WEIGHTS * Work{2, 0, 2 * F, 0}, [](const struct kernels *k, Memory &m) -> Call {
        float *g = m.floats(WEIGHTS), *w = m.floats(WEIGHTS);
        double *result = m.zeros<double>(1);
        return [=] { *result = k->sum_squares(g, w, 1e-4f, WEIGHTS); };
    });
}

/* ---- Arithmetic alone ---- */

void fma_repeat_rows(Rows &rows)
{
    enum { CHAINS = 12, COUNT = CHAINS * LINE_FLOATS, ROUNDS = 1000 };
    add_kernel(rows, "fma_repeat", "192x1000", COUNT * Work{ROUNDS, 0, F, F, true}, [](const struct kernels *k, Memory &m) -> Call {
        float *x = m.floats(COUNT);
        return [=] { k->fma_repeat(x, 0.5f, 0.5f, COUNT, ROUNDS, CHAINS); };
    });
}

/* ---- The table ---- */

#define SLOT(name) {#name, offsetof(struct kernels, name), name##_rows}

const KernelSlot slots[] = {
    SLOT(brgemm), SLOT(brgemm_tn), SLOT(pack_b), SLOT(pack_bt),
    SLOT(winograd_input), SLOT(winograd_output), SLOT(winograd_gradient), SLOT(winograd_weights), SLOT(winograd_weights_gradient),
    SLOT(norm_stats), SLOT(norm_apply), SLOT(norm_backward_sums), SLOT(norm_backward_apply),
    SLOT(bias_act), SLOT(relu_backward), SLOT(add), SLOT(column_sums),
    SLOT(maxpool), SLOT(maxpool_backward), SLOT(avgpool), SLOT(avgpool_backward),
    SLOT(l2_normalize), SLOT(l2_normalize_backward), SLOT(ntxent_sums), SLOT(ntxent_total), SLOT(ntxent_ahead),
    SLOT(ntxent_gradient), SLOT(dot), SLOT(tsne_forces),
    SLOT(sgd), SLOT(lars), SLOT(adam), SLOT(sum_squares),
    SLOT(u8_to_f32), SLOT(resize_rows), SLOT(transpose), SLOT(resize_columns), SLOT(brightness), SLOT(grey_mean),
    SLOT(contrast), SLOT(saturation), SLOT(hue), SLOT(solarize), SLOT(blur),
    SLOT(fma_repeat),
};
static_assert(sizeof(struct kernels) == offsetof(struct kernels, brgemm) + sizeof slots / sizeof *slots * sizeof(void (*)()),
              "every slot of struct kernels has rows here");

} // namespace

std::vector<KernelSlot> kernel_slots() { return {std::begin(slots), std::end(slots)}; }

void add_kernel(Rows &rows, const char *kernel, const std::string &shape, const Work &work, const MakeCall &make)
{
    rows.push_back({kernel, shape, work.flops(), [=](const struct engine &engine) { return kernel_job(engine, work, make); }});
}

void add_kernel_rows(Rows &rows, const Scale &)
{
    size_t expected = offsetof(struct kernels, brgemm);
    for (const KernelSlot &slot : slots) {
        if (slot.offset != expected)
            throw std::logic_error(format("the slots of struct kernels and bench's table part at %s", slot.name));
        expected += sizeof(void (*)());
        size_t before = rows.size();
        slot.add(rows);
        if (rows.size() == before)
            throw std::logic_error(format("kernel %s has no row", slot.name));
    }
}
