/* The selftest's own promises: a case for every kernel, and golden hashes on every ISA and for several threads. */
#include "cli/selftest.c"
#include "cli/selftest_cases.c"
#include "cli/selftest_decode.c"
#include "cli/selftest_optim.c"
#include "cli/selftest_pixels.c"
#include "cli/selftest_steps.c"
#include "cli/slots.c"
#include "tests/harness.h"

#include <inttypes.h>

static void check_all(const struct engine *engine)
{
    size_t groups;
    const struct selftest_group *const *group = selftest_groups(&groups);
    for (size_t g = 0; g < groups; g++)
        for (size_t i = 0; i < group[g]->count; i++) {
            const struct selftest_case *which = &group[g]->cases[i];
            uint64_t hash, expected;
            struct simclr_error err;
            cr_assert_eq(selftest_run(&hash, which, engine, &err), SIMCLR_OK, "%s: %s", which->name, err.text);
            cr_assert(selftest_golden(&expected, which->name), "%s has no golden hash", which->name);
            cr_expect_eq(hash, expected, "%s with %s kernels, %d threads: %016" PRIx64 ", expected %016" PRIx64, which->name,
                         engine->kernels->name, engine->threads, hash, expected);
        }
}

static const struct selftest_case *find(const char *name)
{
    size_t groups;
    const struct selftest_group *const *group = selftest_groups(&groups);
    for (size_t g = 0; g < groups; g++)
        for (size_t i = 0; i < group[g]->count; i++)
            if (strcmp(group[g]->cases[i].name, name) == 0)
                return &group[g]->cases[i];
    return NULL;
}

Test(selftest, every_kernel_has_a_case)
{
    size_t slot_count;
    const struct slot *slot = kernel_slots(&slot_count);
    for (size_t s = 0; s < slot_count; s++)
        cr_expect(find(slot[s].name), "no case for %s", slot[s].name);
}

Test(selftest, golden_hashes_on_every_isa)
{
    const struct kernels *isas[8];
    size_t n = test_isas(isas);
    for (size_t i = 0; i < n; i++)
        check_all(&(struct engine){.kernels = isas[i], .threads = i == 0 ? 1 : 3});
}

static struct kernels broken;

static void broken_add(float *y, const float *x, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++) /* forgets the last element */
        y[i] += x[i];
}

Test(selftest, sees_a_broken_kernel)
{
    uint64_t hash, expected;
    broken = *isa_resolve("scalar");
    broken.add = broken_add;
    cr_assert_eq(selftest_run(&hash, find("add"), &(struct engine){.kernels = &broken, .threads = 1}, NULL), SIMCLR_OK);
    cr_assert(selftest_golden(&expected, "add"));
    cr_assert_neq(hash, expected);
}
