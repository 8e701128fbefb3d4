/* What `simclr selftest` runs: every kernel, the augmentation and a few training steps on fixed inputs, each to one hash that is the
 * same on every machine. Forks nothing, under 1 GFLOP in all. */
#ifndef CLI_SELFTEST_H
#define CLI_SELFTEST_H

#include "base/engine.h"
#include "simclr/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct selftest; /* a running case: its engine, its memory, its hash */

struct selftest_case {
    const char *name; /* a slot of struct kernels, or "augment", "decode", "train_..." */
    void (*run)(struct selftest *test);
};

struct selftest_group {
    const char *name;
    const struct selftest_case *cases;
    size_t count;
};

/* The one list: the command and the tests run it. */
const struct selftest_group *const *selftest_groups(size_t *count);

/* FNV-1a (64 bits) over all outputs of the case. An error means that it could not run. */
enum simclr_status selftest_run(uint64_t *hash, const struct selftest_case *which, const struct engine *engine,
                                struct simclr_error *err);

/* The hash that name must give; false if it has none. */
bool selftest_golden(uint64_t *hash, const char *name);

/* ---- For the cases ---- */

struct selftest {
    const struct engine *engine;
    const struct kernels *k;
    char *memory;
    size_t used;
    uint64_t seed; /* moves on with every filled block */
    uint64_t hash;
    enum simclr_status status;
    struct simclr_error err;
};

/* 64-byte aligned memory for count floats, every byte 0x5a; random: uniform in [-1, 1), a hash of the position. */
float *selftest_floats(struct selftest *test, size_t count);
float *selftest_random(struct selftest *test, size_t count);
float *selftest_unit(struct selftest *test, size_t count); /* in [0, 1) */
uint8_t *selftest_bytes(struct selftest *test, size_t count);
void *selftest_block(struct selftest *test, size_t bytes);
/* Adds bytes to the hash. */
void selftest_absorb(struct selftest *test, const void *data, size_t bytes);
void selftest_absorb_floats(struct selftest *test, const float *p, size_t count);

#endif
