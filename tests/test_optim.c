/* Optimisers against PyTorch and a literal LARS, on every ISA and thread count; the schedule. */
#include "base/arena.h"
#include "base/fmath.h"
#include "io/safetensors.h"
#include "tests/harness.h"
#include "train/optim.h"
#include "train/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kernels *scalar(void)
{
    const struct kernels *isas[8];
    test_isas(isas);
    return isas[0];
}

static const struct optim_config configs[] = {
    {.kind = OPTIM_SGD, .momentum = 0.9, .weight_decay = 0.01},
    {.kind = OPTIM_SGD, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01},
    {.kind = OPTIM_ADAM, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01},
    {.kind = OPTIM_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01},
    {.kind = OPTIM_LARS, .momentum = 0.9, .weight_decay = 0.01, .trust = 0.001},
};
static const char *const config_names[] = {"sgd", "nesterov", "adam", "adamw", "lars"};
enum { CONFIGS = sizeof configs / sizeof *configs };

static float *fixture(const struct safetensors *file, size_t *count, const char *format, const char *a, const char *b)
{
    char name[64];
    snprintf(name, sizeof name, format, a, b);
    const struct safetensors_entry *entry = safetensors_find(file, name);
    cr_assert_not_null(entry, "%s is not in the fixture", name);
    *count = entry->bytes / sizeof(float);
    float *copy = malloc(entry->bytes);
    cr_assert_not_null(copy);
    memcpy(copy, entry->data, entry->bytes);
    return copy;
}

Test(optim, five_steps_match_pytorch_and_google_lars)
{
    struct safetensors *file;
    struct simclr_error err;
    cr_assert_eq(safetensors_open(&file, fixture_path("training.safetensors"), &err), SIMCLR_OK, "%s", err.text);
    enum { TENSORS = 3, STEPS = 5, GAP = 3, TOTAL = 64 };
    static const char *const names[TENSORS] = {"weight", "zero", "bias"};
    static const enum tensor_role roles[TENSORS] = {ROLE_CONV, ROLE_LINEAR, ROLE_BIAS};
    size_t steps, count;
    float *rates = fixture(file, &steps, "optim.rates%s%s", "", "");
    cr_assert_eq(steps, STEPS);
    for (int c = 0; c < CONFIGS; c++) {
        /* gaps between the tensors must not be touched */
        struct tensor_info tensors[TENSORS];
        memset(tensors, 0, sizeof tensors);
        float params[TOTAL], grads[STEPS][TOTAL], first[TOTAL], second[TOTAL];
        memset(first, 0, sizeof first);
        memset(second, 0, sizeof second);
        for (int i = 0; i < TOTAL; i++)
            params[i] = grads[0][i] = 77.0f;
        size_t offset = GAP;
        for (int t = 0; t < TENSORS; t++) {
            float *start = fixture(file, &count, "optim.%s.%s", "start", names[t]);
            size_t all;
            float *g = fixture(file, &all, "optim.%s.%s", "grads", names[t]);
            tensors[t] = (struct tensor_info){.role = roles[t], .ndim = 1, .dims = {(int)count}, .offset = offset, .count = count};
            memcpy(params + offset, start, count * sizeof *start);
            for (int s = 0; s < STEPS; s++)
                memcpy(grads[s] + offset, g + (size_t)s * count, count * sizeof *g);
            offset += count + GAP;
            free(start);
            free(g);
        }
        struct engine engine = {.kernels = scalar(), .threads = 1};
        float *state[2] = {first, optim_state_arrays(configs[c].kind) > 1 ? second : NULL};
        for (uint64_t s = 0; s < STEPS; s++)
            optim_step(&engine, &configs[c], tensors, TENSORS, params, grads[s], state, s + 1, (double)rates[s]);
        for (int t = 0; t < TENSORS; t++) {
            float *want = fixture(file, &count, "optim.%s.%s", config_names[c], names[t]);
            double error = relative_l2(params + tensors[t].offset, want, count);
            cr_expect(error < 1e-6, "%s, %s: off by %g after %d steps", config_names[c], names[t], error, STEPS);
            for (size_t i = 0; i < GAP; i++)
                cr_expect_eq(params[tensors[t].offset - 1 - i], 77.0f);
            free(want);
        }
    }
    free(rates);
    safetensors_close(file);
}

Test(optim, state_names)
{
    cr_expect_eq(optim_state_arrays(OPTIM_SGD), 1);
    cr_expect_eq(optim_state_arrays(OPTIM_LARS), 1);
    cr_expect_eq(optim_state_arrays(OPTIM_ADAM), 2);
    cr_expect_eq(optim_state_arrays(OPTIM_ADAMW), 2);
    cr_expect_str_eq(optim_state_name(OPTIM_LARS, 0), "momentum");
    cr_expect_str_eq(optim_state_name(OPTIM_ADAMW, 0), "exp_avg");
    cr_expect_str_eq(optim_state_name(OPTIM_ADAM, 1), "exp_avg_sq");
}

/* ---- kernels ---- */

/* Calls one kernel on guarded copies; out receives the arrays it wrote. */
static void run_kernel(const struct kernels *k, int which, float *out, size_t count, int at_start)
{
    float *p[4]; /* w, first, second, g */
    for (int i = 0; i < 4; i++) {
        p[i] = guard_alloc(count * sizeof(float), at_start);
        fill_patterns(p[i], count, (uint64_t)i);
    }
    for (size_t i = 0; i < count; i++)
        p[2][i] = fabsf(p[2][i]);
    switch (which) {
    case 0: k->sgd(p[0], p[1], p[3], 0.1f, 0.9f, 1e-4f, false, count); break;
    case 1: k->sgd(p[0], p[1], p[3], 0.1f, 0.9f, 1e-4f, true, count); break;
    case 2: k->lars(p[0], p[1], p[3], 0.1f, 0.9f, 1e-4f, count); break;
    case 3: k->adam(p[0], p[1], p[2], p[3], 0.1f, 0.001f, 1e-4f, 0.0f, 0.01f, 0.3f, 1e-8f, count); break;
    case 4: k->adam(p[0], p[1], p[2], p[3], 0.1f, 0.001f, 0.0f, 1e-5f, 0.01f, 0.3f, 1e-8f, count); break;
    case 5: {
        double sums[2] = {k->sum_squares(p[3], NULL, 0.0f, count), k->sum_squares(p[3], p[0], 0.5f, count)};
        memcpy(p[0], sums, count * sizeof(float) < sizeof sums ? count * sizeof(float) : sizeof sums);
        break;
    }
    }
    for (int i = 0; i < 3; i++) {
        memcpy(out + (size_t)i * count, p[i], count * sizeof(float));
        guard_free(p[i]);
    }
    guard_free(p[3]);
}

Test(optim, kernels_agree_on_every_isa)
{
    static const size_t sizes[] = {1, 3, 7, 8, 15, 16, 17, 63, 4096, 9001};
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    float *want = alloc_aligned(3 * 9001, sizeof *want), *got = alloc_aligned(3 * 9001, sizeof *got);
    for (int which = 0; which < 6; which++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int at_start = 0; at_start < 2; at_start++) {
                run_kernel(isas[0], which, want, sizes[s], at_start);
                for (size_t i = 1; i < count; i++) {
                    run_kernel(isas[i], which, got, sizes[s], at_start);
                    expect_same_bits(want, got, 3 * sizes[s], "%s, kernel %d, %zu elements", isas[i]->name, which, sizes[s]);
                }
            }
    free(want);
    free(got);
}

Test(optim, sum_squares_matches_double)
{
    enum { COUNT = 10007 };
    static float g[COUNT], w[COUNT];
    fill_random(g, COUNT, 1);
    fill_random(w, COUNT, 2);
    double plain = 0, decayed = 0;
    for (int i = 0; i < COUNT; i++) {
        double x = (double)g[i] + 0.25 * (double)w[i];
        plain += (double)g[i] * g[i];
        decayed += x * x;
    }
    cr_expect_float_eq(scalar()->sum_squares(g, NULL, 0.0f, COUNT) / plain, 1.0, 1e-6);
    cr_expect_float_eq(scalar()->sum_squares(g, w, 0.25f, COUNT) / decayed, 1.0, 1e-6);
}

/* Without gradient a moment decays to 0, not to a denormal that would slow every later step. */
Test(optim, moments_do_not_become_denormal)
{
    float w = 1.0f, m = 1e-37f, v = 1e-37f, g = 0.0f;
    for (int i = 0; i < 40; i++) {
        scalar()->adam(&w, &m, &v, &g, 0.1f, 0.1f, 0.0f, 0.0f, 0.0f, 1.0f, 1e-8f, 1);
        cr_assert((m == 0.0f || m >= 0x1p-126f) && (v == 0.0f || v >= 0x1p-126f));
    }
    cr_expect_eq(m, 0.0f);
    cr_expect_eq(v, 0.0f);
    float velocity = -1e-37f;
    for (int i = 0; i < 40; i++)
        scalar()->sgd(&w, &velocity, &g, 0.1f, 0.9f, 0.0f, false, 1);
    cr_expect_eq(velocity, 0.0f);
}

/* Tensors of one block, of several, and of so many that LARS's partial sums cover more than a block. */
Test(optim, same_bits_for_every_thread_count)
{
    static const size_t sizes[] = {5, 16384, 16385, 100003, 16384 * 256 + 17};
    enum { TENSORS = sizeof sizes / sizeof *sizes };
    struct tensor_info tensors[TENSORS];
    memset(tensors, 0, sizeof tensors);
    size_t total = 0;
    for (int t = 0; t < TENSORS; t++) {
        tensors[t].role = t == 1 ? ROLE_NORM_GAIN : ROLE_CONV;
        tensors[t].offset = total;
        tensors[t].count = sizes[t];
        total += sizes[t];
    }
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    float *w = alloc_aligned(total, sizeof *w), *g = alloc_aligned(total, sizeof *g), *v = alloc_aligned(total, sizeof *v);
    float *s = alloc_aligned(total, sizeof *s), *want = alloc_aligned(total, sizeof *want), *start = alloc_aligned(total, sizeof *start);
    cr_assert(w && g && v && s && want && start);
    fill_random(start, total, 1);
    fill_random(g, total, 2);
    for (int c = 2; c < CONFIGS; c += 2) /* adam, lars */
        for (int threads = 1; threads <= 5; threads += threads == 3 ? 2 : 1) {
            struct engine engine = {.kernels = isas[count - 1], .threads = threads};
            float *state[2] = {v, s};
            memcpy(w, start, total * sizeof *w);
            memset(v, 0, total * sizeof *v);
            memset(s, 0, total * sizeof *s);
            optim_step(&engine, &configs[c], tensors, TENSORS, w, g, state, 1, 0.1);
            if (threads == 1)
                memcpy(want, w, total * sizeof *w);
            else
                expect_same_bits(want, w, total, "%s, %d threads", config_names[c], threads);
        }
    free(w);
    free(g);
    free(v);
    free(s);
    free(want);
    free(start);
}

/* ---- schedule ---- */

Test(schedule, base_scales_with_the_batch)
{
    cr_expect_eq(schedule_base(0.3, LR_NONE, 512), 0.3);
    cr_expect_eq(schedule_base(0.3, LR_LINEAR, 512), 0.6);
    cr_expect_eq(schedule_base(0.075, LR_SQRT, 256), 1.2);
}

Test(schedule, warms_up_then_follows_a_cosine)
{
    cr_expect_eq(schedule_lr(2.0, 0, 4, 20), 0.5);
    cr_expect_eq(schedule_lr(2.0, 3, 4, 20), 2.0);
    cr_expect_eq(schedule_lr(2.0, 4, 4, 20), 2.0);
    cr_expect_float_eq(schedule_lr(2.0, 12, 4, 20), 1.0, 1e-15);
    for (uint64_t t = 4; t < 20; t++)
        cr_expect_float_eq(schedule_lr(2.0, t, 4, 20), 1.0 + cos(3.14159265358979323846 * (double)(t - 4) / 16.0), 1e-14);
    cr_expect_eq(schedule_lr(2.0, 20, 4, 20), 0.0);
    cr_expect_eq(schedule_lr(2.0, 0, 0, 10), 2.0);
    cr_expect_eq(schedule_lr(2.0, 5, 10, 10), 1.2); /* all warm-up */
}
