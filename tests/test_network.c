/* The whole network: against PyTorch, finite differences, and itself on other ISAs and thread counts. */
#include "base/arena.h"
#include "nn/network.h"
#include "nn/ntxent.h"
#include "nn/plan.h"
#include "tests/harness.h"
#include "tests/network_fixtures.h"
#include "train/optim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Making ---- */

static struct engine best_engine(int threads)
{
    const struct kernels *isas[8];
    return (struct engine){.kernels = isas[test_isas(isas) - 1], .threads = threads};
}

static struct network_config small_config(void)
{
    return (struct network_config){.depth = 18, .width = 0.25, .stem = STEM_CIFAR, .channels = 3, .image_size = 8,
                                   .head_layers = 3, .head_norm = true, .out_dim = 32, .seed = 7};
}

static struct network *make_network(const struct network_config *config, const struct engine *engine, int rows, bool training)
{
    struct network *network;
    struct simclr_error err;
    cr_assert_eq(network_create(&network, config, engine, rows, training, &err), SIMCLR_OK, "%s", err.text);
    return network;
}

/* ---- PyTorch ---- */

struct run {
    struct network *network;
    const struct engine *engine;
    float *images, *dz, *momentum;
    int rows, out_dim;
    void *scratch;
};

static struct run make_run(const struct network_config *config, const struct engine *engine, uint32_t seed, int count)
{
    int rows = 2 * count;
    struct run run = {.network = make_network(config, engine, rows, true), .engine = engine, .rows = rows, .out_dim = config->out_dim};
    size_t floats;
    network_params(run.network, &floats);
    run.images = make_images(seed, count, config->image_size, config->channels);
    run.dz = alloc_aligned((size_t)(rows * config->out_dim), sizeof(float));
    run.momentum = alloc_aligned(floats, sizeof(float));
    run.scratch = alloc_aligned(ntxent_scratch(engine, rows, config->out_dim), 1);
    hash_params(run.network, config->depth);
    return run;
}

static void free_run(struct run *run)
{
    network_free(run->network);
    free(run->images), free(run->dz), free(run->momentum), free(run->scratch);
}

static double loss_step(struct run *run, const float **h, const float **z)
{
    struct ntxent_result result;
    network_forward(run->network, run->images, run->rows, true, h, z);
    ntxent(run->engine, &result, run->dz, *z, run->rows, run->out_dim, 0.5f, run->scratch);
    network_backward(run->network, run->images, run->dz, run->rows);
    return result.loss;
}

static void sgd_step(struct run *run, int step, double lr)
{
    const struct optim_config sgd = {.kind = OPTIM_SGD, .momentum = 0.9, .weight_decay = 5e-4};
    size_t tensors, floats;
    const struct tensor_info *list = network_param_list(run->network, &tensors);
    float *const state[2] = {run->momentum, NULL}, *params = network_params(run->network, &floats);
    optim_step(run->engine, &sgd, list, tensors, params, network_grads(run->network), state, (uint64_t)step, lr);
}

static void expect_first_step(const struct fixture *fixture, struct run *run, double loss, const float *h, const float *z)
{
    size_t tensors, buffers, ignored, rows = (size_t)run->rows, d = (size_t)network_feature_dim(run->network);
    const struct tensor_info *list = network_param_list(run->network, &tensors);
    const struct tensor_info *buffer_list = network_buffer_list(run->network, &buffers);
    cr_expect_float_eq(loss, fixture->losses[0], 1e-5, "loss %.9g, torch's %.9g", loss, fixture->losses[0]);
    expect_close(fixture, "h", h, rows * d, 1e-5, 0);
    expect_close(fixture, "z", z, rows * (size_t)run->out_dim, 1e-5, 0);
    expect_all_close(fixture, list, tensors, network_grads(run->network), 1e-4);
    expect_all_close(fixture, buffer_list, buffers, network_buffers(run->network, &ignored), 1e-5);
    network_forward(run->network, run->images, run->rows, false, &h, NULL);
    expect_close(fixture, "eval.h", h, rows * d, 1e-5, 0);
    cr_expect_eq(fixture->line_count, (int)(tensors + buffers) + 3, "torch has other tensors");
}

static void compare_with_torch(const char *name, const struct network_config *config, uint32_t seed, double lr)
{
    struct fixture *fixture = read_fixture(name);
    struct engine engine = best_engine(1);
    struct run run = make_run(config, &engine, seed, 4);
    const float *h, *z;
    double loss = loss_step(&run, &h, &z);
    expect_first_step(fixture, &run, loss, h, z);
    for (int step = 1; step < TORCH_STEPS; step++) {
        sgd_step(&run, step, lr);
        loss = loss_step(&run, &h, &z);
        cr_expect_float_eq(loss, fixture->losses[step], 1e-4, "step %d: loss %.9g, torch's %.9g", step, loss, fixture->losses[step]);
    }
    free_run(&run);
    free(fixture);
}

Test(network, basic_blocks_agree_with_torch)
{
    struct network_config config = small_config();
    compare_with_torch("network_basic.txt", &config, 1014, 0.01);
}

Test(network, odd_sizes_and_a_plain_head_agree_with_torch)
{
    struct network_config config = small_config();
    config.channels = 1;
    config.image_size = 12;
    config.head_layers = 2;
    config.head_norm = false;
    compare_with_torch("network_plain_head.txt", &config, 932, 0.02);
}

Test(network, bottlenecks_agree_with_torch)
{
    struct network_config config = {.depth = 50, .width = 0.125, .stem = STEM_IMAGENET, .channels = 3, .image_size = 40,
                                    .head_layers = 1, .out_dim = 32};
    compare_with_torch("network_bottleneck.txt", &config, 1335, 0.0003);
}

/* ---- Gradients ---- */

/* sum of z * weights in double: a loss with gradient weights */
static double weighted_sum(struct run *run, const float *weights)
{
    const float *h, *z;
    network_forward(run->network, run->images, run->rows, true, &h, &z);
    double sum = 0;
    for (int i = 0; i < run->rows * run->out_dim; i++)
        sum += (double)z[i] * weights[i];
    return sum;
}

/* Along the gradient of one tensor the loss must change by its squared norm. */
Test(network, gradients_agree_with_finite_differences)
{
    struct network_config config = small_config();
    struct engine engine = best_engine(1);
    struct run run = make_run(&config, &engine, 1014, 4);
    size_t tensors, floats;
    const struct tensor_info *list = network_param_list(run.network, &tensors);
    float *params = network_params(run.network, &floats), *grads = network_grads(run.network);
    float *weights = alloc_aligned((size_t)(run.rows * run.out_dim), sizeof(float)), *saved = alloc_aligned(floats, sizeof(float));
    fill_random(weights, (size_t)(run.rows * run.out_dim), 3);
    weighted_sum(&run, weights);
    network_backward(run.network, run.images, weights, run.rows);
    size_t checked = 0;
    for (size_t t = 0; t < tensors; t += 3) {
        const float *g = grads + list[t].offset;
        float *p = params + list[t].offset;
        double squares = 0;
        for (size_t i = 0; i < list[t].count; i++)
            squares += (double)g[i] * g[i];
        if (squares < 1e-2) /* a bias before a norm */
            continue;
        memcpy(saved, p, list[t].count * sizeof *p);
        double step = fmin(5e-3 / squares, 2e-3 / sqrt(squares)), change[2]; /* beyond rounding errors, short of kinks */
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < list[t].count; i++)
                p[i] = saved[i] + (float)((side ? -step : step) * g[i]);
            change[side] = weighted_sum(&run, weights);
        }
        memcpy(p, saved, list[t].count * sizeof *p);
        double slope = (change[0] - change[1]) / (2 * step);
        cr_expect(fabs(slope / squares - 1) < 0.03, "%s: slope %.6g, squared gradient %.6g", list[t].name, slope, squares);
        checked++;
    }
    cr_expect_geq(checked, tensors / 6, "only %zu of %zu tensors have a gradient", checked, tensors);
    free(weights), free(saved);
    free_run(&run);
}

/* A diverged run must show: a ReLU that made 0 of NaN would leave a finite loss over features that say nothing. */
Test(network, a_broken_weight_shows_in_the_loss)
{
    struct network_config config = small_config();
    struct engine engine = best_engine(1);
    const char *const broken[] = {"conv1.weight", "layer2.0.bn1.weight", "layer4.1.conv2.weight", "head.0.weight"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct run run = make_run(&config, &engine, 3, 2);
        size_t tensors, floats, t = 0;
        const struct tensor_info *list = network_param_list(run.network, &tensors);
        while (t < tensors && strcmp(list[t].name, broken[i]))
            t++;
        cr_assert_lt(t, tensors, "there is no %s", broken[i]);
        network_params(run.network, &floats)[list[t].offset] = NAN;
        const float *h, *z;
        double loss = loss_step(&run, &h, &z);
        cr_expect(isnan(loss), "%s: loss %g", broken[i], loss);
        free_run(&run);
    }
}

/* ---- The same bits everywhere ---- */

static void train_steps(float *params, float *buffers, const struct network_config *config, const struct engine *engine)
{
    struct run run = make_run(config, engine, 5, 2);
    const float *h, *z;
    for (int step = 1; step <= 2; step++) {
        loss_step(&run, &h, &z);
        sgd_step(&run, step, 0.01);
    }
    size_t count;
    const float *p = network_params(run.network, &count);
    memcpy(params, p, count * sizeof *p);
    p = network_buffers(run.network, &count);
    memcpy(buffers, p, count * sizeof *p);
    free_run(&run);
}

static void expect_same_training(const struct network_config *config)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas), param_count, buffer_count;
    const int threads[] = {1, 2, 3, 5};
    struct engine engine = {.kernels = isas[0], .threads = 1};
    struct network *network = make_network(config, &engine, 2, true);
    network_params(network, &param_count);
    network_buffers(network, &buffer_count);
    network_free(network);
    float *want = malloc((param_count + buffer_count) * sizeof *want), *got = malloc((param_count + buffer_count) * sizeof *got);
    train_steps(want, want + param_count, config, &engine);
    for (size_t i = 0; i < isa_count; i++)
        for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
            engine = (struct engine){.kernels = isas[i], .threads = threads[t]};
            train_steps(got, got + param_count, config, &engine);
            expect_same_bits(want, got, param_count + buffer_count, "two steps of ResNet-%d on %s, %d threads", config->depth,
                             isas[i]->name, threads[t]);
        }
    free(want), free(got);
}

Test(network, training_has_the_same_bits_on_every_isa_and_thread_count)
{
    struct network_config config = small_config();
    config.width = 0.125;
    expect_same_training(&config);
    config = (struct network_config){.depth = 50, .width = 0.125, .stem = STEM_IMAGENET, .channels = 1, .image_size = 32,
                                     .head_layers = 2, .out_dim = 20};
    expect_same_training(&config);
}

Test(network, initialisation_does_not_depend_on_threads)
{
    struct network_config config = small_config();
    struct engine one = best_engine(1), five = best_engine(5);
    struct network *a = make_network(&config, &one, 2, false), *b = make_network(&config, &five, 8, true);
    size_t count;
    network_params(a, &count);
    expect_same_bits(network_params(a, &count), network_params(b, &count), count, "initial parameters");
    config.seed++;
    struct network *c = make_network(&config, &one, 2, false);
    cr_expect_geq(first_difference(network_params(a, &count), network_params(c, &count), count), 0, "the seed changes nothing");
    network_free(a), network_free(b), network_free(c);
}

/* Fewer rows than planned, an inference-only plan, and passes in any order give the same features. */
Test(network, inference_does_not_depend_on_the_plan)
{
    struct network_config config = small_config();
    struct engine engine = best_engine(2);
    struct run run = make_run(&config, &engine, 9, 4);
    struct network *small = make_network(&config, &engine, 3, false);
    const float *h, *z, *few_h, *few_z;
    loss_step(&run, &h, &z); /* moves the running statistics */
    size_t count, d = (size_t)network_feature_dim(run.network);
    const float *trained = network_params(run.network, &count);
    memcpy(network_params(small, &count), trained, count * sizeof *trained);
    trained = network_buffers(run.network, &count);
    memcpy(network_buffers(small, &count), trained, count * sizeof *trained);
    network_forward(run.network, run.images, run.rows, false, &h, &z);
    for (int rows = 3; rows >= 1; rows--) {
        network_forward(small, run.images, rows, false, &few_h, &few_z);
        expect_same_bits(h, few_h, (size_t)rows * d, "h of %d rows", rows);
        expect_same_bits(z, few_z, (size_t)(rows * config.out_dim), "z of %d rows", rows);
    }
    cr_expect_lt(network_memory(small), network_memory(run.network));
    network_free(small);
    free_run(&run);
}

/* A last batch may be smaller than what was planned for. */
Test(network, fewer_rows_train_as_in_a_network_planned_for_them)
{
    struct network_config config = small_config();
    struct engine engine = best_engine(2);
    struct run run = make_run(&config, &engine, 11, 2);
    struct network *large = make_network(&config, &engine, 23, true);
    size_t count;
    const float *h, *z;
    network_forward(large, run.images, 4, true, &h, &z); /* leaves traces in scratch and activations */
    network_backward(large, run.images, z, 4);
    hash_params(large, config.depth);
    loss_step(&run, &h, &z);
    network_forward(large, run.images, run.rows, true, &h, &z);
    network_backward(large, run.images, run.dz, run.rows);
    network_params(large, &count);
    expect_same_bits(network_grads(run.network), network_grads(large), count, "gradients of 4 rows");
    network_free(large);
    free_run(&run);
}
