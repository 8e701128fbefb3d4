/* The memory plan: nothing alive together may overlap, and memory is used again. */
#include "nn/plan.h"
#include "tests/harness.h"

#include "base/rng.h"

#include <stdint.h>
#include <stdlib.h>

/* Returns the bytes of the busiest moment, which no plan can undercut. */
static size_t check_plan(const struct plan_buffer *b, size_t count, size_t total, const char *label)
{
    int end = 0;
    for (size_t i = 0; i < count; i++) {
        if (!b[i].bytes)
            continue;
        end = b[i].last > end ? b[i].last : end;
        cr_expect_eq(b[i].offset % 64, 0);
        cr_expect_leq(b[i].first, b[i].last, "%s: buffer %zu lives from %d to %d", label, i, b[i].first, b[i].last);
        cr_expect_leq(b[i].offset + b[i].bytes, total, "%s: buffer %zu ends beyond the plan", label, i);
        for (size_t j = 0; j < i; j++) {
            bool together = b[j].bytes && b[i].first <= b[j].last && b[j].first <= b[i].last;
            bool overlap = b[i].offset < b[j].offset + b[j].bytes && b[j].offset < b[i].offset + b[i].bytes;
            cr_expect(!(together && overlap), "%s: buffers %zu and %zu overlap", label, i, j);
        }
    }
    size_t busiest = 0;
    for (int t = 0; t <= end; t++) {
        size_t now = 0;
        for (size_t i = 0; i < count; i++)
            now += b[i].first <= t && t <= b[i].last ? b[i].bytes : 0;
        busiest = now > busiest ? now : busiest;
    }
    cr_expect_geq(total, busiest);
    return busiest;
}

Test(plan, random_lifetimes_never_overlap)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rng rng = rng_stream(seed, RNG_TEST, 0, 0);
        struct plan_buffer b[60];
        size_t count = 1 + rng_below(&rng, 60), total;
        for (size_t i = 0; i < count; i++) {
            int first = (int)rng_below(&rng, 40);
            b[i] = (struct plan_buffer){rng_below(&rng, 5) ? rng_below(&rng, 10000) : 0, first, first + (int)rng_below(&rng, 20), 0};
        }
        cr_assert_eq(plan_offsets(&total, b, count), 0);
        check_plan(b, count, total, "random");
    }
}

Test(plan, buffers_that_follow_each_other_share_memory)
{
    struct plan_buffer chain[] = {{640, 0, 1, 0}, {640, 1, 2, 0}, {640, 2, 3, 0}, {100, 3, 4, 0}, {0, 0, 9, 0}};
    size_t total;
    cr_assert_eq(plan_offsets(&total, chain, 5), 0);
    cr_expect_eq(total, 1280);
    cr_expect_eq(chain[3].bytes, 128, "rounded up to 64");
}

Test(plan, sizes_that_overflow_are_refused)
{
    size_t total;
    struct plan_buffer one[] = {{SIZE_MAX, 0, 1, 0}}, two[] = {{SIZE_MAX / 4 * 3, 0, 0, 0}, {SIZE_MAX / 2, 1, 1, 0}};
    cr_expect_eq(plan_offsets(&total, one, 1), -1);
    cr_expect_eq(plan_offsets(&total, two, 2), -1);
}

static size_t sum_slots(const struct network_plan *plan, const struct resnet *net, int only)
{
    size_t sum = 0;
    for (int i = 0; i < net->count; i++)
        for (int s = 0; s < PLAN_SLOTS; s++)
            sum += only < 0 || only == s ? plan->slots[i][s].bytes : 0;
    return sum;
}

/* What is stored of node i. */
static void expect_stored(const struct network_plan *plan, int i, bool out, bool pre)
{
    cr_expect_eq(plan->slots[i][PLAN_OUT].bytes > 0, out, "node %d: output", i);
    cr_expect_eq(plan->slots[i][PLAN_PRE].bytes > 0, pre, "node %d: before the norm", i);
}

/* Outputs that only convolutions and sums read are not stored, with training or without. */
Test(plan, outputs_that_are_read_through_the_norm_have_no_buffer)
{
    struct resnet *net = malloc(sizeof *net);
    struct network_plan *plan = malloc(sizeof *plan);
    struct network_config config = {.depth = 50, .width = 1, .stem = STEM_CIFAR, .channels = 3, .image_size = 32, .head_layers = 2,
                                    .head_norm = true, .out_dim = 128};
    for (int stem = 0; stem < 2; stem++)
        for (int training = 0; training < 2; training++) {
            config.stem = stem ? STEM_IMAGENET : STEM_CIFAR;
            cr_assert_eq(resnet_build(net, &config, NULL), SIMCLR_OK);
            cr_assert_eq(plan_network(plan, net, 8, training), 0);
            expect_stored(plan, 0, stem, training || !stem); /* max pooling reads what is stored */
            int first = stem ? 2 : 1, count = net->count;    /* of the first block: its downsample */
            cr_assert_eq(net->nodes[first + 3].residual, first);
            expect_stored(plan, first, false, true);
            expect_stored(plan, first + 1, false, true);
            expect_stored(plan, first + 2, false, true);
            expect_stored(plan, first + 3, true, training);
            expect_stored(plan, count - 2, true, training); /* the head's hidden layer */
            expect_stored(plan, count - 1, true, false);
            int conv3 = 2 * count - 1 - (first + 3);
            cr_expect_eq(plan->slots[first + 2][PLAN_PRE].last, training ? conv3 + 1 : first + 3, "until its own backward, or its reader");
            if (stem && training)
                cr_expect_eq(plan->slots[0][PLAN_OUT].last, 1, "the mask comes from before the norm");
        }
    free(net), free(plan);
}

/* What training must keep: what a layer makes before its norm, and the sum at the end of a block. At its busiest moment, when
 * forward has ended, little else may be there. */
static size_t must_keep(const struct resnet *net, int rows)
{
    size_t sum = 0;
    for (int i = 0; i < net->count; i++) {
        const struct node *node = &net->nodes[i];
        size_t bytes = (size_t)rows * node->shape.ho * node->shape.wo * node->shape.k * sizeof(float);
        sum += node->norm && node->residual >= 0 ? 2 * bytes : node->kind == NODE_MAXPOOL ? bytes + bytes / sizeof(float) : bytes;
    }
    return sum;
}

static void check_network(struct network_config config, int rows)
{
    struct resnet *net = malloc(sizeof *net);
    struct network_plan *plan = malloc(sizeof *plan);
    cr_assert_eq(resnet_build(net, &config, NULL), SIMCLR_OK);
    size_t slots = (size_t)net->count * PLAN_SLOTS;

    cr_assert_eq(plan_network(plan, net, rows, true), 0);
    size_t busiest = check_plan(&plan->slots[0][0], slots, plan->bytes, "training");
    size_t kept = sum_slots(plan, net, PLAN_OUT) + sum_slots(plan, net, PLAN_PRE), gradients = sum_slots(plan, net, PLAN_GRAD);
    cr_expect_lt(plan->bytes, kept + gradients / 3, "gradients do not share memory: %zu, kept %zu", plan->bytes, kept);
    cr_expect_leq((double)plan->bytes, 1.05 * (double)must_keep(net, rows), "%zu planned, %zu must be kept", plan->bytes,
                  must_keep(net, rows));
    cr_expect_leq((double)plan->bytes, 1.15 * (double)busiest, "%zu planned, %zu used at once", plan->bytes, busiest);

    cr_assert_eq(plan_network(plan, net, rows, false), 0);
    busiest = check_plan(&plan->slots[0][0], slots, plan->bytes, "inference");
    cr_expect_lt(plan->bytes, sum_slots(plan, net, -1) / 2, "activations do not share memory");
    cr_expect_leq((double)plan->bytes, 1.15 * (double)busiest, "%zu planned, %zu used at once", plan->bytes, busiest);
    cr_expect_eq(sum_slots(plan, net, PLAN_GRAD), 0);
    for (int i = 0; i < net->count; i++)
        cr_expect(!plan->slots[i][PLAN_OUT].bytes || !plan->slots[i][PLAN_PRE].bytes, "node %d does not work in place", i);

    cr_expect_eq(plan_network(plan, net, INT32_MAX, true), 0, "hundreds of terabytes can be planned, if not had");
    free(plan), free(net);
}

Test(plan, networks_share_memory)
{
    struct network_config config = {.depth = 18, .width = 1, .stem = STEM_CIFAR, .channels = 3, .image_size = 32, .head_layers = 3,
                                    .head_norm = true, .out_dim = 128};
    check_network(config, 512);
    config.depth = 50;
    config.stem = STEM_IMAGENET;
    config.image_size = 96;
    check_network(config, 64);
    config.depth = 152;
    check_network(config, 2);
}
