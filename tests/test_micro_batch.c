/* Steps in micro-batches: against PyTorch, against the whole batch, on every ISA, in whole runs, and within a limit of memory. */
#define _DEFAULT_SOURCE /* wait4 */
#include "base/arena.h"
#include "io/safetensors.h"
#include "tests/harness.h"
#include "tests/network_fixtures.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"
#include "train/config.h"
#include "train/memory_limit.h"
#include "train/optim.h"
#include "train/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(micro_batch, .init = small_runs_begin, .fini = small_runs_end, .timeout = 120);

enum { IMAGES = 6, OUT_DIM = 32 }; /* of the fixture's batch */

/* A network with the fixture's weights and images. */
struct steps {
    struct network *network;
    struct step_memory memory;
    struct arena arena;
    float *images, *momentum;
    int asked;       /* how often for views */
    int change_when; /* what is asked for then has changed; 0: never */
};

/* A step_views_fn; ctx is a struct steps. */
static enum simclr_status stored_views(void *ctx, float *out, int first, int count, struct simclr_error *error)
{
    struct steps *s = ctx;
    size_t floats = s->memory.image_floats, n = (size_t)count * floats;
    (void)error;
    for (size_t view = 0; view < 2; view++)
        memcpy(out + view * n, s->images + (view * IMAGES + (size_t)first) * floats, n * sizeof *out);
    if (++s->asked == s->change_when)
        out[7] += 0.125f;
    return SIMCLR_OK;
}

static void steps_begin(struct steps *s, const struct engine *engine, int micro_batch)
{
    struct train_config c = config;
    c.network = (struct network_config){.depth = 18, .width = 0.25, .stem = STEM_CIFAR, .channels = 3, .image_size = 16,
                                        .head_layers = 2, .out_dim = OUT_DIM};
    c.micro_batch = micro_batch;
    c.temperature = 0.5;
    *s = (struct steps){.images = make_images(1006, IMAGES, 16, 3)};
    int pass = step_pass_images(&c, IMAGES);
    cr_assert_eq(network_create(&s->network, &c.network, engine, 2 * pass, true, &err), SIMCLR_OK, "%s", err.text);
    for (int measured = 0; measured < 2; measured++) {
        s->momentum = arena_alloc(&s->arena, network_sizes(s->network)->params, sizeof(float));
        s->memory = step_lay_out(engine, s->network, network_sizes(s->network), &c, IMAGES, pass, &s->arena);
        cr_assert(measured || arena_commit(&s->arena) == 0);
    }
    hash_params(s->network, 18);
}

static void steps_end(struct steps *s)
{
    network_free(s->network);
    arena_free(&s->arena);
    free(s->images);
}

static double step(struct steps *s)
{
    const struct step_batch batch = {IMAGES, stored_views, s};
    struct ntxent_result r;
    bool finite;
    cr_assert_eq(step_run(&s->memory, &batch, &r, &finite, &err), SIMCLR_OK, "%s", err.text);
    cr_assert(finite);
    return r.loss;
}

static void sgd(struct steps *s, int number)
{
    const struct optim_config c = {.kind = OPTIM_SGD, .momentum = 0.9, .weight_decay = 5e-4};
    size_t tensors, floats;
    const struct tensor_info *list = network_param_list(s->network, &tensors);
    float *const state[2] = {s->momentum, NULL};
    optim_step(s->memory.engine, &c, list, tensors, network_params(s->network, &floats), network_grads(s->network), state, (uint64_t)number, 0.01);
}

/* ---- the arithmetic ---- */

/* Passes of 4 and 2 images. */
Test(micro_batch, the_gradient_is_that_of_torch)
{
    struct fixture *fixture = read_fixture("network_micro_batch.txt");
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 2};
    struct steps s;
    steps_begin(&s, &engine, 4);
    double loss = step(&s);
    size_t tensors, buffers, ignored;
    const struct tensor_info *list = network_param_list(s.network, &tensors), *buffer_list = network_buffer_list(s.network, &buffers);
    cr_expect_float_eq(loss, fixture->losses[0], 1e-5, "loss %.9g, torch's %.9g", loss, fixture->losses[0]);
    expect_close(fixture, "z", s.memory.z, 2 * IMAGES * OUT_DIM, 1e-5, 0);
    expect_all_close(fixture, list, tensors, network_grads(s.network), 1e-4);
    expect_all_close(fixture, buffer_list, buffers, network_buffers(s.network, &ignored), 1e-5);
    for (int number = 1; number < TORCH_STEPS; number++) {
        sgd(&s, number);
        loss = step(&s);
        cr_expect_float_eq(loss, fixture->losses[number], 1e-4, "step %d: loss %.9g, torch's %.9g", number, loss, fixture->losses[number]);
    }
    steps_end(&s);
    free(fixture);
}

Test(micro_batch, the_bits_are_the_same_on_every_isa_and_thread_count)
{
    const struct kernels *isas[8];
    const int threads[] = {1, 3, 5};
    size_t count = test_isas(isas);
    float *want = NULL;
    for (int micro_batch = 1; micro_batch < IMAGES; micro_batch += 3, free(want), want = NULL)
        for (size_t i = 0; i < count; i++)
            for (int t = 0; t < 3; t++) {
                struct engine engine = {.kernels = isas[i], .threads = threads[t]};
                struct steps s;
                steps_begin(&s, &engine, micro_batch);
                step(&s);
                size_t params = network_sizes(s.network)->params, buffers = network_sizes(s.network)->buffers, ignored;
                const float *grads = network_grads(s.network), *statistics = network_buffers(s.network, &ignored);
                if (!want) {
                    want = malloc((params + buffers) * sizeof *want);
                    memcpy(want, grads, params * sizeof *want);
                    memcpy(want + params, statistics, buffers * sizeof *want);
                }
                expect_same_bits(want, grads, params, "gradients, %d images a pass on %s, %d threads", micro_batch, isas[i]->name, threads[t]);
                expect_same_bits(want + params, statistics, buffers, "statistics, %d images a pass on %s, %d threads", micro_batch,
                                 isas[i]->name, threads[t]);
                steps_end(&s);
            }
}

/* A pass that holds the batch is the pass over the whole batch, and its images are asked for once. */
Test(micro_batch, the_whole_batch_is_one_pass)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 2};
    const int sizes[] = {0, IMAGES, IMAGES + 1};
    for (int i = 0; i < 3; i++) {
        struct steps s;
        struct ntxent_result want;
        const float *h, *z;
        steps_begin(&s, &engine, sizes[i]);
        double loss = step(&s);
        cr_expect_eq(s.asked, 1);
        size_t params = network_sizes(s.network)->params;
        float *grads = malloc(params * sizeof *grads);
        memcpy(grads, network_grads(s.network), params * sizeof *grads);
        network_forward(s.network, s.images, 2 * IMAGES, true, &h, &z);
        ntxent(&engine, &want, s.memory.dz, z, 2 * IMAGES, OUT_DIM, 0.5f, s.memory.loss_scratch);
        network_backward(s.network, s.images, s.memory.dz, 2 * IMAGES);
        cr_expect_eq(loss, want.loss);
        expect_same_bits(network_grads(s.network), grads, params, "a micro-batch of %d", sizes[i]);
        free(grads);
        steps_end(&s);
    }
}

/* Files may be changed by others between the two passes. */
Test(micro_batch, views_that_changed_meanwhile_are_an_error)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 1};
    struct steps s;
    struct ntxent_result r;
    bool finite;
    size_t count;
    steps_begin(&s, &engine, 2);
    s.change_when = 3 + 2; /* the second of three, the second time */
    const struct step_batch batch = {IMAGES, stored_views, &s};
    float *statistics = network_buffers(s.network, &count), *before = malloc(count * sizeof *before);
    memcpy(before, statistics, count * sizeof *before);
    cr_expect_eq(step_run(&s.memory, &batch, &r, &finite, &err), SIMCLR_ERR_IO);
    expect_in(err.text, "images were not the same when they were read a second time");
    cr_expect_not(finite);
    expect_same_bits(before, statistics, count, "running statistics");
    free(before);
    steps_end(&s);
}

/* ---- whole runs ---- */

Test(micro_batch, runs_have_the_same_bytes_on_every_isa_and_when_resumed)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    config.batch_size = 5; /* 18 images: the last batch has 3, one pass of 2 and one of 1 */
    config.micro_batch = 2;
    config.keep_last = true;
    config.epochs = 1;
    run_whole("whole");
    cr_expect_eq(result.steps, 4);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(run_on(isas[i]->name, 3, isas[i]->name, false, (struct interruption){.step = 2}), SIMCLR_ERR_CANCELLED, "%s", err.text);
        resume_on(isas[count - 1 - i]->name, 2, isas[i]->name);
        expect_same_file("whole", isas[i]->name, "checkpoint-00000004.safetensors");
        expect_same_metrics("whole", isas[i]->name);
    }
}

Test(micro_batch, it_decides_the_weights_and_a_run_keeps_it)
{
    config.micro_batch = 2;
    cr_assert_eq(run_on("auto", 1, "run", false, (struct interruption){.step = 3}), SIMCLR_ERR_CANCELLED);
    config.micro_batch = 3;
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "--micro-batch 2, not --micro-batch 3");
}

/* ---- a limit of memory ---- */

/* What --memory makes of the settings of this run, if it makes anything. */
static enum simclr_status limited(struct train_config *c, size_t bytes, bool settled)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 2};
    struct run_data data;
    size_t for_cache;
    c->memory = bytes;
    cr_assert_eq(run_data_open(&data, c, &engine, &err), SIMCLR_OK, "%s", err.text);
    enum simclr_status status = memory_limit_apply(c, settled, &for_cache, &data, &engine, &err);
    cr_expect(status != SIMCLR_OK || (bytes ? for_cache <= bytes : for_cache == SIZE_MAX));
    run_data_close(&data);
    return status;
}

static void larger_pictures(void)
{
    config.network.image_size = 64;
    config.batch_size = 10;
    config.knn_every = 0;
}

Test(micro_batch, more_memory_gives_larger_ones_to_the_whole_batch)
{
    larger_pictures();
    int last = 0, different = 0;
    for (size_t megabytes = 16; megabytes < 1024; megabytes += megabytes / 8) {
        struct train_config c = config;
        if (limited(&c, megabytes << 20, false) != SIMCLR_OK) {
            expect_in(err.text, "is too little: even with micro-batches of one image this run needs ");
            cr_expect_eq(last, 0);
            continue;
        }
        int now = step_pass_images(&c, 10);
        cr_expect(now == 1 || now == 2 || now == 3 || now == 4 || now == 5 || now == 10, "%d is not even over 10", now);
        cr_expect_geq(now, last);
        different += now != last;
        last = now;
    }
    cr_expect(last == 10 && different >= 4, "%d, %d", last, different);
    struct train_config c = config;
    cr_expect_eq(limited(&c, 0, false), SIMCLR_OK);
    cr_expect_eq(c.micro_batch, 0);
}

Test(micro_batch, what_a_run_began_with_is_only_checked)
{
    larger_pictures();
    struct train_config c = config;
    c.micro_batch = 2;
    cr_expect_eq(limited(&c, (size_t)1 << 30, true), SIMCLR_OK);
    cr_expect_eq(c.micro_batch, 2);
    c.micro_batch = 0;
    cr_expect_eq(limited(&c, (size_t)1 << 30, true), SIMCLR_OK);
    cr_expect_eq(c.micro_batch, 0);
    cr_expect_eq(limited(&c, (size_t)30 << 20, true), SIMCLR_ERR_USAGE);
    expect_in(err.text, "the batch of this run needs ");
}

#ifndef SANITIZED
/* The largest that a process of the run has been, in bytes. */
static size_t peak_of_run(const char *run, bool resume)
{
    struct rusage usage;
    int status;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        enum simclr_status want = resume ? SIMCLR_OK : SIMCLR_ERR_CANCELLED;
        _exit(run_on("auto", 2, run, resume, (struct interruption){.step = resume ? 0 : 1}) != want);
    }
    cr_assert_eq(wait4(child, &status, 0, &usage), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return (size_t)usage.ru_maxrss << 10;
}

Test(micro_batch, a_run_stays_within_its_memory)
{
    const size_t limit = (size_t)48 << 20;
    larger_pictures();
    config.memory = limit;
    config.epochs = 1; /* of two steps */
    size_t peak = peak_of_run("run", false);
    cr_expect(peak < limit && peak > limit / 10 * 7, "%zu", peak);
    cr_assert_eq(train_config_load(&config, temp_path(root, "run/config.json"), &err), SIMCLR_OK, "%s", err.text);
    cr_expect(config.micro_batch > 0 && config.micro_batch < 10);
    cr_expect_lt(peak_of_run("run", true), limit);
}
#endif
