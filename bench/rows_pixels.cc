/* Kernels of augmentation at the sizes of CIFAR, STL-10 and ImageNet, three channels. */
#include "bench/peers.h"
#include "bench/rows_kernels.h"

#include <algorithm>

namespace {

const double F = sizeof(float);
const int sizes[] = {32, 96, 224};

std::string px(int size) { return std::to_string(size) + "px"; }
size_t plane(int size) { return static_cast<size_t>(size) * static_cast<size_t>(size); }

/* work is a pixel's; kernel works in place on three channels. */
void add_in_place(Rows &rows, const char *kernel, Work work, void (*call)(const struct kernels *, float *, int size))
{
    work.in_place = true;
    for (int size : sizes)
        add_kernel(rows, kernel, px(size), static_cast<double>(plane(size)) * work, [=](const struct kernels *k, Memory &m) -> Call {
            float *x = m.unit(3 * plane(size));
            return [=] { call(k, x, size); };
        });
}

size_t values(int size) { return 3 * plane(size); }

} // namespace

void u8_to_f32_rows(Rows &rows)
{
    for (int size : sizes)
        add_kernel(rows, "u8_to_f32", px(size), static_cast<double>(values(size)) * Work{0, 1, 1, F},
                   [size](const struct kernels *k, Memory &m) -> Call {
            uint8_t *src = m.bytes(values(size));
            float *dst = m.zeros<float>(values(size));
            return [=] { k->u8_to_f32(dst, src, values(size)); };
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

/* Columns to the network's input. */
void transpose_rows(Rows &rows)
{
    for (int size : sizes)
        add_kernel(rows, "transpose", px(size), static_cast<double>(values(size)) * Work{0, 0, F, F},
                   [size](const struct kernels *k, Memory &m) -> Call {
            float *src = m.unit(values(size)), *dst = m.zeros<float>(values(size));
            return [=] { k->transpose(dst, 3 * size, src, size, 3 * size, size); };
        });
}

/* A strip of a source twice as wide. */
void resize_columns_rows(Rows &rows)
{
    for (int size : sizes) {
        Work work{3 * TAPS * RESIZE_STRIP, 0, 2 * 3 * RESIZE_STRIP * F + TAPS * F + 2 * sizeof(int32_t), 3 * RESIZE_STRIP * F};
        add_kernel(rows, "resize_columns", px(size) + ".t4", size * work, [=](const struct kernels *k, Memory &m) -> Call {
            size_t outputs = static_cast<size_t>(size);
            float *src = m.unit(2 * 3 * RESIZE_STRIP * outputs), *dst = m.zeros<float>(3 * RESIZE_STRIP * outputs);
            float *weights = m.unit(TAPS * outputs);
            int32_t *at = m.zeros<int32_t>(outputs), *taps = m.zeros<int32_t>(outputs);
            for (int x = 0; x < size; x++) {
                int from = 2 * x - 1 < 0 ? 0 : 2 * x - 1;
                at[x] = from < 2 * size - TAPS ? from : 2 * size - TAPS;
                taps[x] = TAPS;
            }
            return [=] { k->resize_columns(dst, RESIZE_STRIP, src, 3, size, RESIZE_STRIP, at, taps, weights, TAPS); };
        });
    }
}

void brightness_rows(Rows &rows)
{
    add_in_place(rows, "brightness", 3.0 * Work{0, 1, F, F},
                 [](const struct kernels *k, float *x, int size) { k->brightness(x, 1.0f, values(size)); });
}

void grey_mean_rows(Rows &rows)
{
    for (int size : sizes)
        add_kernel(rows, "grey_mean", px(size), static_cast<double>(plane(size)) * Work{2, 2, 3 * F, 0},
                   [size](const struct kernels *k, Memory &m) -> Call {
            float *x = m.unit(values(size)), *mean = m.zeros<float>(1);
            return [=] { *mean = k->grey_mean(x, size, 3, size); };
        });
}

void contrast_rows(Rows &rows)
{
    add_in_place(rows, "contrast", 3.0 * Work{1, 1, F, F},
                 [](const struct kernels *k, float *x, int size) { k->contrast(x, 0.5f, 1.0f, values(size)); });
}

void saturation_rows(Rows &rows)
{
    add_in_place(rows, "saturation", Work{5, 4, 3 * F, 3 * F},
                 [](const struct kernels *k, float *x, int size) { k->saturation(x, 1.0f, size, size); });
}

void hue_rows(Rows &rows)
{
    add_in_place(rows, "hue", Work{5, 10, 3 * F, 3 * F},
                 [](const struct kernels *k, float *x, int size) { k->hue(x, 0.1f, size, size); });
}

void solarize_rows(Rows &rows)
{
    add_in_place(rows, "solarize", 3.0 * Work{0, 1, F, F},
                 [](const struct kernels *k, float *x, int size) { k->solarize(x, 0.5f, values(size)); });
}

/* A whole image, along x and along y, interleaved or plane by plane; taps are a tenth of the side, made odd. */
void blur_rows(Rows &rows)
{
    for (int size : sizes)
        for (bool interleaved : {true, false}) {
            int radius = size / 10 / 2, channels = interleaved ? 3 : 1, calls = 3 / channels;
            double samples = static_cast<double>(values(size));
            Work work = samples * Work{2.0 * radius, 2.0 * (radius + 1), F, F};
            std::string shape = px(size) + ".k" + std::to_string(2 * radius + 1) + (interleaved ? "" : ".planar");
            rows.push_back({"blur.f32", shape, work.flops(), [=](const struct engine &engine) {
                Job job = kernel_job(engine, work, [=](const struct kernels *k, Memory &m) -> Call {
                    size_t floats = static_cast<size_t>(channels) * plane(size), panel = BLUR_PANEL * static_cast<size_t>(channels);
                    float *src = m.unit(values(size)), *dst = m.zeros<float>(values(size));
                    float *weights = m.zeros<float>(static_cast<size_t>(radius) + 1);
                    std::vector<float> gaussian = blur_weights(radius);
                    std::copy(gaussian.begin(), gaussian.end(), weights);
                    float *columns = static_cast<float *>(m.scratch(floats * sizeof(float)));
                    float *tmp = static_cast<float *>(m.scratch(panel * static_cast<size_t>(size + 2 * radius) * sizeof(float)));
                    return [=] {
                        for (size_t i = 0; i < static_cast<size_t>(calls); i++) {
                            k->blur(columns, src + i * floats, tmp, weights, radius, size, channels, size, true);
                            k->blur(dst + i * floats, columns, tmp, weights, radius, size, 1, size * channels, true);
                        }
                    };
                });
                int threads = engine.threads;
                job.counters = [=](benchmark::State &state, double seconds) {
                    state.counters["Msamples/s"] = samples * threads / seconds / 1e6;
                };
                return job;
            }, [=](const Peer &peer) { return interleaved && peer.blur; },
               [=](const struct engine &e, const Peer &peer) { return blur_peer_job(e, peer, size, radius); }});
        }
}
