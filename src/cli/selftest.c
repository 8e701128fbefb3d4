#include "cli/selftest.h"

#include "base/arena.h"
#include "base/status.h"
#include "cli/selftest_golden.h"

#include <stdlib.h>
#include <string.h>

enum { MEMORY = 2 << 20 };

void *selftest_block(struct selftest *test, size_t bytes)
{
    size_t rounded = (bytes + 63) / 64 * 64;
    if (rounded > MEMORY - test->used) {
        test->status = fail(&test->err, SIMCLR_ERR_MEMORY, "the selftest's memory is too small");
        test->used = 0; /* the case ends as failed; until then it stays inside its memory */
    }
    void *block = test->memory + test->used;
    test->used += rounded;
    memset(block, 0x5a, rounded);
    return block;
}

/* The finalizer of splitmix64 over a counter. */
static uint32_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((x ^ x >> 31) >> 32);
}

float *selftest_floats(struct selftest *test, size_t count)
{
    return selftest_block(test, count * sizeof(float));
}

float *selftest_unit(struct selftest *test, size_t count)
{
    float *p = selftest_floats(test, count);
    for (size_t i = 0; i < count; i++)
        p[i] = (float)(mix(test->seed + i) >> 8) * 0x1p-24f;
    test->seed += count;
    return p;
}

float *selftest_random(struct selftest *test, size_t count)
{
    float *p = selftest_unit(test, count);
    for (size_t i = 0; i < count; i++)
        p[i] = 2 * p[i] - 1;
    return p;
}

uint8_t *selftest_bytes(struct selftest *test, size_t count)
{
    uint8_t *p = selftest_block(test, count);
    for (size_t i = 0; i < count; i++)
        p[i] = (uint8_t)(mix(test->seed + i) >> 24);
    test->seed += count;
    return p;
}

void selftest_absorb(struct selftest *test, const void *data, size_t bytes)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < bytes; i++)
        test->hash = (test->hash ^ p[i]) * 0x100000001b3u;
}

void selftest_absorb_floats(struct selftest *test, const float *p, size_t count)
{
    selftest_absorb(test, p, count * sizeof *p);
}

enum simclr_status selftest_run(uint64_t *hash, const struct selftest_case *which, const struct engine *engine,
                                struct simclr_error *err)
{
    struct selftest test = {.engine = engine, .k = engine->kernels, .hash = 0xcbf29ce484222325u};
    test.memory = alloc_aligned(MEMORY, 1);
    if (!test.memory)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the selftest (%d MB)", MEMORY >> 20);
    which->run(&test);
    free(test.memory);
    *hash = test.hash;
    if (test.status != SIMCLR_OK && err)
        *err = test.err;
    return test.status;
}

bool selftest_golden(uint64_t *hash, const char *name)
{
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++)
        if (golden[i].name && strcmp(golden[i].name, name) == 0) {
            *hash = golden[i].hash;
            return true;
        }
    return false;
}
