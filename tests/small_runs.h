/* Runs of a few steps on a few pictures, whole or interrupted, and the comparison of what they leave. */
#ifndef TESTS_SMALL_RUNS_H
#define TESTS_SMALL_RUNS_H

#include "train/trainer.h"

#include <stdbool.h>
#include <stddef.h>

enum { SIDE = 8, PICTURES = 20, BATCH = 4, STEPS = 8 }; /* 18 are trained on: 4 steps an epoch, 2 epochs */

/* Of the test that runs: a folder, the settings of its runs (a checkpoint every 3 steps, all kept), what the last one gave. */
extern char *root;
extern struct simclr_error err;
extern struct train_config config;
extern struct train_result result;
extern char told[8192]; /* its notices and warnings, "phase: text" a line */

void small_runs_begin(void);
void small_runs_end(void);

/* PICTURES pictures of one grey each, 10 i + shade for picture i, with labels of two classes: root/NAME.npy. */
void write_set(const char *name, int shade);

struct interruption {
    uint64_t step; /* 0: never */
    bool kill;     /* as by kill -9: no checkpoint is written */
};

/* Trains in root/run. */
enum simclr_status run_on(const char *isa, int threads, const char *run, bool resume, struct interruption stop);
void run_whole(const char *run);
void resume_on(const char *isa, int threads, const char *run);

/* Stops a run after step 7 of 8: BEFORE and NEWEST are its last checkpoints. */
#define NEWEST "checkpoint-00000007.safetensors"
#define BEFORE "checkpoint-00000006.safetensors"
void stop_at_seven(const char *run);
void copy_run(const char *from, const char *to);
bool is_there(const char *run, const char *name);

void expect_in(const char *text, const char *part);

/* Copies a checkpoint of root, or writes it again, with its right checksum and `size` bytes of a tensor changed, from byte `at` on; or
 * its first `count` floats, up to 1024, set to value. */
void rewrite_checkpoint(const char *to, const char *from, const char *tensor, size_t at, const void *bytes, size_t size);
void poison_checkpoint(const char *to, const char *from, const char *tensor, float value, size_t count);

/* A file of a run, freed with free(). */
char *file_of(size_t *size, const char *run, const char *name);

/* Metrics are compared without what was timed; a run by its last checkpoint and its metrics. */
void expect_same_file(const char *run, const char *other, const char *name);
void expect_same_metrics(const char *run, const char *other);
void expect_same_run(const char *run, const char *other);

#endif
