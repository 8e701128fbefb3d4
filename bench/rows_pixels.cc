/* Kernels of augmentation at the sizes of CIFAR, STL-10 and ImageNet, three channels. */
#include "bench/rows_kernels.h"

namespace {

const double F = sizeof(float);
const int sizes[] = {32, 96, 224};

std::string px(int size) { return std::to_string(size) + "px"; }
size_t plane(int size) { return static_cast<size_t>(size) * static_cast<size_t>(size); }

/* work is a pixel's; kernel works in place on three planes. */
void add_in_place(Rows &rows, const char *kernel, Work work, void (*call)(const struct kernels *, float *, int pixels))
{
    work.in_place = true;
    for (int size : sizes)
        add_kernel(rows, kernel, px(size), static_cast<double>(plane(size)) * work, [=](const struct kernels *k, Memory &m) -> Call {
            float *x = m.unit(3 * plane(size));
            int pixels = size * size;
            return [=] { call(k, x, pixels); };
        });
}

} // namespace

void u8_to_planar_rows(Rows &rows)
{
    for (int size : sizes)
        add_kernel(rows, "u8_to_planar", px(size), 3.0 * static_cast<double>(plane(size)) * Work{0, 1, 1, F},
                   [size](const struct kernels *k, Memory &m) -> Call {
            uint8_t *src = m.bytes(3 * plane(size));
            float *dst = m.zeros<float>(3 * plane(size));
            return [=] { k->u8_to_planar(dst, src, 3 * size, size, size, 3, false); };
        });
}

void planar_to_nhwc_rows(Rows &rows)
{
    for (int size : sizes)
        add_kernel(rows, "planar_to_nhwc", px(size), 3.0 * static_cast<double>(plane(size)) * Work{0, 0, F, F},
                   [size](const struct kernels *k, Memory &m) -> Call {
            float *src = m.unit(3 * plane(size)), *dst = m.zeros<float>(3 * plane(size));
            return [=] { k->planar_to_nhwc(dst, src, size * size, 3); };
        });
}

/* One row of output from sources twice as large: four taps. */
enum { TAPS = 4 };

void resize_rows_rows(Rows &rows)
{
    for (int size : sizes) {
        ptrdiff_t count = 2 * 3 * static_cast<ptrdiff_t>(size);
        add_kernel(rows, "resize_rows", px(size) + ".t4", static_cast<double>(count) * Work{TAPS, 0, TAPS, F},
                   [=](const struct kernels *k, Memory &m) -> Call {
            uint8_t *src = m.bytes(static_cast<size_t>(TAPS * count));
            float *dst = m.zeros<float>(static_cast<size_t>(count)), *weights = m.unit(TAPS);
            return [=] { k->resize_rows(dst, src, count, count, weights, TAPS); };
        });
    }
}

/* Weights and positions are read once for three channels. */
void resize_columns_rows(Rows &rows)
{
    for (int size : sizes) {
        Work work{3 * TAPS, 0, 2 * 3 * F + TAPS * F + sizeof(int32_t), 3 * F};
        add_kernel(rows, "resize_columns", px(size) + ".t4", size * work, [=](const struct kernels *k, Memory &m) -> Call {
            size_t outputs = static_cast<size_t>(size); /* a multiple of 16 already */
            float *src = m.unit(2 * 3 * outputs), *dst = m.zeros<float>(3 * outputs), *weights = m.unit(TAPS * outputs);
            int32_t *at = m.zeros<int32_t>(outputs);
            for (int x = 0; x < size; x++) {
                int from = 2 * x - 1 < 0 ? 0 : 2 * x - 1;
                at[x] = 3 * (from < 2 * size - TAPS ? from : 2 * size - TAPS);
            }
            return [=] { k->resize_columns(dst, size, src, 3, size, at, weights, size, TAPS); };
        });
    }
}

void brightness_rows(Rows &rows)
{
    add_in_place(rows, "brightness", 3.0 * Work{0, 1, F, F},
                 [](const struct kernels *k, float *x, int pixels) { k->brightness(x, 1.0f, 3 * static_cast<size_t>(pixels)); });
}

void grey_mean_rows(Rows &rows)
{
    for (int size : sizes)
        add_kernel(rows, "grey_mean", px(size), static_cast<double>(plane(size)) * Work{2, 2, 3 * F, 0},
                   [size](const struct kernels *k, Memory &m) -> Call {
            float *x = m.unit(3 * plane(size)), *mean = m.zeros<float>(1);
            return [=] { *mean = k->grey_mean(x, size * size, 3); };
        });
}

void contrast_rows(Rows &rows)
{
    add_in_place(rows, "contrast", 3.0 * Work{1, 1, F, F},
                 [](const struct kernels *k, float *x, int pixels) { k->contrast(x, 0.5f, 1.0f, 3 * static_cast<size_t>(pixels)); });
}

void saturation_rows(Rows &rows)
{
    add_in_place(rows, "saturation", Work{5, 4, 3 * F, 3 * F},
                 [](const struct kernels *k, float *x, int pixels) { k->saturation(x, 1.0f, pixels); });
}

void hue_rows(Rows &rows)
{
    add_in_place(rows, "hue", Work{4, 17, 3 * F, 3 * F},
               [](const struct kernels *k, float *x, int pixels) { k->hue(x, 0.1f, pixels); });
}

void solarize_rows(Rows &rows)
{
    add_in_place(rows, "solarize", 3.0 * Work{0, 1, F, F},
                 [](const struct kernels *k, float *x, int pixels) { k->solarize(x, 0.5f, 3 * static_cast<size_t>(pixels)); });
}

/* One plane; taps are a tenth of the side, made odd. */
void blur_rows(Rows &rows)
{
    for (int size : sizes) {
        int taps = size / 10 | 1;
        add_kernel(rows, "blur.f32", px(size) + ".k" + std::to_string(taps), static_cast<double>(plane(size)) * Work{2.0 * taps, 0, F, F},
                   [=](const struct kernels *k, Memory &m) -> Call {
            float *src = m.unit(plane(size)), *dst = m.zeros<float>(plane(size)), *weights = m.zeros<float>(static_cast<size_t>(taps));
            float *tmp = static_cast<float *>(m.scratch(sizeof(float) * static_cast<size_t>(BLUR_STRIP * (size + taps - 1))));
            for (int i = 0; i < taps; i++)
                weights[i] = 1.0f / static_cast<float>(taps);
            return [=] { k->blur(dst, src, tmp, weights, taps, size, size); };
        });
    }
}
