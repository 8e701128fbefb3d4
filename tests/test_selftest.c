/* The selftest's own promises: a case for every kernel, and golden hashes on every ISA and for several threads. */
#include "cli/selftest.c"
#include "cli/selftest_cases.c"
#include "cli/selftest_decode.c"
#include "cli/selftest_pixels.c"
#include "cli/selftest_steps.c"
#include "cli/slots.c"
#include "tests/harness.h"

#include <inttypes.h>

static void check_all(const struct engine *engine)
{
    size_t count;
    const struct selftest_case *all = selftest_cases(&count);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash, expected;
        struct simclr_error err;
        cr_assert_eq(selftest_run(&hash, &all[i], engine, &err), SIMCLR_OK, "%s: %s", all[i].name, err.text);
        cr_assert(selftest_golden(&expected, all[i].name), "%s has no golden hash", all[i].name);
        cr_expect_eq(hash, expected, "%s with %s kernels, %d threads: %016" PRIx64 ", expected %016" PRIx64, all[i].name,
                     engine->kernels->name, engine->threads, hash, expected);
    }
}

Test(selftest, every_kernel_has_a_case)
{
    size_t slot_count, count;
    const struct slot *slot = kernel_slots(&slot_count);
    const struct selftest_case *all = selftest_cases(&count);
    for (size_t s = 0; s < slot_count; s++) {
        bool found = false;
        for (size_t i = 0; i < count; i++)
            found |= strcmp(all[i].name, slot[s].name) == 0;
        cr_expect(found, "no case for %s", slot[s].name);
    }
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
    size_t count;
    uint64_t hash, expected;
    const struct selftest_case *all = selftest_cases(&count);
    broken = *isa_resolve("scalar");
    broken.add = broken_add;
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].name, "add") == 0) {
            cr_assert_eq(selftest_run(&hash, &all[i], &(struct engine){.kernels = &broken, .threads = 1}, NULL), SIMCLR_OK);
            cr_assert(selftest_golden(&expected, "add"));
            cr_assert_neq(hash, expected);
        }
}
