#include "tests/network_fixtures.h"

#include "base/arena.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What fixtures_network.py computes too, bit for bit ---- */

enum { SIGN_SEED = 1000 };

static uint32_t hash_bits(uint32_t seed, uint32_t i)
{
    uint32_t x = i * 0x9E3779B9u + seed * 0x85EBCA6Bu;
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15)) * 0x846CA68Bu;
    return x ^ (x >> 16);
}

static float hash_uniform(uint32_t seed, uint32_t i)
{
    return (float)((int32_t)(hash_bits(seed, i) >> 8) - (1 << 23)) * 0x1p-23f;
}

float *make_images(uint32_t seed, int count, int size, int channels)
{
    float *images = alloc_aligned((size_t)2 * count * size * size * channels, sizeof(float)), *p = images;
    for (int n = 0; n < 2 * count; n++)
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++)
                for (int c = 0; c < channels; c++, p++) {
                    int quadrant = ((n % count * 2 + 2 * y / size) * 2 + 2 * x / size) * channels + c;
                    *p = (0.5f + 0.25f * hash_uniform(seed, (uint32_t)quadrant)) +
                         0.125f * hash_uniform(seed + 1, (uint32_t)(p - images));
                }
    return images;
}

/* A block's last norm has a smaller gain: or else rounding errors grow from block to block. */
static float hash_weight(const struct tensor_info *t, uint32_t tensor, uint32_t i, const char *last_norm)
{
    float u = hash_uniform(tensor, i);
    switch (t->role) {
    case ROLE_CONV:
        return u * (float)sqrt(6.0 / (t->dims[0] * t->dims[2] * t->dims[3]));
    case ROLE_LINEAR:
        return u * (float)(1 / sqrt(t->dims[1]));
    case ROLE_NORM_GAIN:
        return (1 + u * 0.125f) * (!strncmp(t->name, "layer", 5) && strstr(t->name, last_norm) ? 0.25f : 1.0f);
    default:
        return u * 0.125f;
    }
}

void hash_params(struct network *network, int depth)
{
    size_t tensors, floats;
    const struct tensor_info *list = network_param_list(network, &tensors);
    float *params = network_params(network, &floats), *file = malloc(floats * sizeof *file);
    for (size_t t = 0; t < tensors; t++) {
        for (size_t i = 0; i < list[t].count; i++)
            file[i] = hash_weight(&list[t], (uint32_t)t, (uint32_t)i, depth < 50 ? "bn2" : "bn3");
        tensor_import(&list[t], params + list[t].offset, file);
    }
    free(file);
}

static double projection(const float *x, size_t count, int p)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += hash_bits((uint32_t)(SIGN_SEED + p), (uint32_t)i) >> 31 ? -(double)x[i] : (double)x[i];
    return sum;
}

/* ---- Fixtures ---- */

struct fixture *read_fixture(const char *name)
{
    FILE *f = fopen(fixture_path(name), "r");
    cr_assert(f, "no fixture %s", name);
    struct fixture *fixture = calloc(1, sizeof *fixture);
    for (struct line *l = fixture->lines;; l++, fixture->line_count++) {
        cr_assert_eq(fscanf(f, "%63s", l->name), 1);
        if (!strcmp(l->name, "losses"))
            break;
        cr_assert_eq(fscanf(f, "%zu %lf", &l->count, &l->norm), 2);
        for (int p = 0; p < PROJECTIONS; p++)
            cr_assert_eq(fscanf(f, "%lf", &l->dots[p]), 1);
    }
    for (int i = 0; i < TORCH_STEPS; i++)
        cr_assert_eq(fscanf(f, "%lf", &fixture->losses[i]), 1);
    fclose(f);
    return fixture;
}

void expect_close(const struct fixture *fixture, const char *name, const float *x, size_t count, double tolerance, double floor)
{
    const struct line *l = fixture->lines;
    while (l < fixture->lines + fixture->line_count && strcmp(l->name, name))
        l++;
    cr_assert(l < fixture->lines + fixture->line_count, "the fixture has no %s", name);
    cr_expect_eq(l->count, count, "%s has %zu elements, torch's %zu", name, count, l->count);
    double sum = 0;
    for (int p = 0; p < PROJECTIONS; p++) {
        double d = projection(x, count, p) - l->dots[p];
        sum += d * d;
    }
    double error = sqrt(sum / PROJECTIONS) / fmax(l->norm, floor);
    cr_expect(error <= tolerance, "%s is off by %.3g of its norm %.3g, more than %.3g", name, error, l->norm, tolerance);
}

void expect_all_close(const struct fixture *fixture, const struct tensor_info *list, size_t tensors, const float *memory,
                             double tolerance)
{
    for (size_t t = 0; t < tensors; t++) {
        float *file = malloc(list[t].count * sizeof *file);
        tensor_export(&list[t], file, memory + list[t].offset);
        expect_close(fixture, list[t].name, file, list[t].count, tolerance, 1e-3);
        free(file);
    }
}
