/* Compiled once per ISA with the flags of its kernels, so that a probe meets the same instructions and the same limits. */
#include "bench/probe.h"

#include "vec.h"

enum { FMAS = 8, ADDS = 6, VECS = 4 };

/* Additions beside FMAs, in chains enough to hide the latency. The factor keeps every value near one. */
static void fma_8_add_6(float *data, long rounds)
{
    vf product[FMAS], sum[ADDS], half = vf_set1(data[0]), small = vf_set1(data[1]);
    UNROLL for (int j = 0; j < FMAS; j++) product[j] = vf_load(data + j);
    UNROLL for (int j = 0; j < ADDS; j++) sum[j] = vf_load(data + j);
    for (long i = 0; i < rounds; i++) {
        UNROLL for (int j = 0; j < FMAS; j++) product[j] = vf_fma(product[j], half, small);
        UNROLL for (int j = 0; j < ADDS; j++) sum[j] = vf_add(sum[j], small);
    }
    UNROLL for (int j = 0; j < FMAS; j++) vf_store(data + PROBE_GRAIN, vf_add(vf_load(data + PROBE_GRAIN), product[j]));
    UNROLL for (int j = 0; j < ADDS; j++) vf_store(data + PROBE_GRAIN, vf_add(vf_load(data + PROBE_GRAIN), sum[j]));
}

/* Multiplications and additions as the compiler vectorises them by itself: in the scalar table they are not scalar at all. */
static void polynomial(float *data, long rounds)
{
    float factor = data[0], term = data[1];
    for (long i = 0; i < rounds; i++)
        for (int j = 0; j < PROBE_GRAIN; j++) {
            float v = data[PROBE_GRAIN + j];
            v = v * factor + term;
            v = v * factor + term;
            v = v * factor + term;
            v = v * factor + term;
            v = v * factor + term;
            v = v * factor + term;
            v = v * factor + term;
            v = v * factor + term;
            data[PROBE_GRAIN + j] = v;
        }
}

static const struct probe_loop loops[] = {
    {fma_8_add_6, 22.0 * VL}, {polynomial, 16.0 * PROBE_GRAIN},
};

/* Two loads for an addition and a multiplication: the loads are what limits. y receives the sum. */
static void read_pass(float *y, const float *a, const float *b, size_t count)
{
    vf sum[VECS] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
    for (size_t i = 0; i < count; i += VECS * VL)
        UNROLL for (int j = 0; j < VECS; j++)
            sum[j] = vf_add(sum[j], vf_mul(vf_load(a + i + j * VL), vf_load(b + i + j * VL)));
    vf_store(y, vf_add(vf_add(sum[0], sum[1]), vf_add(sum[2], sum[3])));
}

/* Four lanes are in the baseline of every CPU that we know, and compilers use them in the scalar table too. */
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

static void read_fours(float *y, const float *a, const float *b, size_t count)
{
    four sum[8] = {{0}};
    for (size_t i = 0; i < count; i += 32) {
        UNROLL for (int j = 0; j < 8; j++) sum[j] += *(const four *)(a + i + 4 * j);
        UNROLL for (int j = 0; j < 8; j++) sum[j] += *(const four *)(b + i + 4 * j);
    }
    four all = {0};
    UNROLL for (int j = 0; j < 8; j++) all += sum[j];
    y[0] = all[0] + all[1] + all[2] + all[3];
}

static void triad_pass(float *y, const float *a, const float *b, size_t count)
{
    vf three = vf_set1(3.0f);
    for (size_t i = 0; i < count; i += VECS * VL)
        UNROLL for (int j = 0; j < VECS; j++)
            vf_store(y + i + j * VL, vf_add(vf_load(a + i + j * VL), vf_mul(three, vf_load(b + i + j * VL))));
}

static void triad_fours(float *y, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i += 16)
        UNROLL for (int j = 0; j < 16; j += 4)
            *(four *)(y + i + j) = *(const four *)(a + i + j) + 3.0f * *(const four *)(b + i + j);
}

static void copy_pass(float *y, const float *a, const float *b, size_t count)
{
    (void)b;
    for (size_t i = 0; i < count; i += VECS * VL)
        UNROLL for (int j = 0; j < VECS; j++) vf_store(y + i + j * VL, vf_load(a + i + j * VL));
}

/* Kernels call the C library where they only move; it has ways of its own. */
static void copy_library(float *y, const float *a, const float *b, size_t count)
{
    (void)b;
    memcpy(y, a, count * sizeof *y);
}

static void fill_pass(float *y, const float *a, const float *b, size_t count)
{
    (void)b;
    vf value = vf_set1(a[0]);
    for (size_t i = 0; i < count; i += VECS * VL)
        UNROLL for (int j = 0; j < VECS; j++) vf_store(y + i + j * VL, value);
}

static void fill_library(float *y, const float *a, const float *b, size_t count)
{
    (void)a;
    (void)b;
    memset(y, 0, count * sizeof *y);
}

static void update_pass(float *y, const float *a, const float *b, size_t count)
{
    (void)b;
    triad_pass(y, y, a, count);
}

static void update_fours(float *y, const float *a, const float *b, size_t count)
{
    (void)b;
    triad_fours(y, y, a, count);
}

/* One minus y: values come back, and no compiler leaves it out. */
static void scale_pass(float *y, const float *a, const float *b, size_t count)
{
    (void)a;
    (void)b;
    vf one = vf_set1(1.0f);
    for (size_t i = 0; i < count; i += VECS * VL)
        UNROLL for (int j = 0; j < VECS; j++) vf_store(y + i + j * VL, vf_sub(one, vf_load(y + i + j * VL)));
}

static void scale_fours(float *y, const float *a, const float *b, size_t count)
{
    (void)a;
    (void)b;
    for (size_t i = 0; i < count; i += 16)
        UNROLL for (int j = 0; j < 16; j += 4) *(four *)(y + i + j) = 1.0f - *(const four *)(y + i + j);
}

static const struct probe_stream streams[] = {
    {PROBE_READ, read_pass}, {PROBE_READ, read_fours}, {PROBE_TRIAD, triad_pass}, {PROBE_TRIAD, triad_fours},
    {PROBE_COPY, copy_pass}, {PROBE_COPY, copy_library}, {PROBE_FILL, fill_pass}, {PROBE_FILL, fill_library},
    {PROBE_UPDATE, update_pass}, {PROBE_UPDATE, update_fours}, {PROBE_SCALE, scale_pass}, {PROBE_SCALE, scale_fours},
};

extern const struct probe ISA_FN(probe);
const struct probe ISA_FN(probe) = {
    .isa = ISA_NAME,
    .loops = loops,
    .loop_count = sizeof loops / sizeof *loops,
    .streams = streams,
    .stream_count = sizeof streams / sizeof *streams,
};
