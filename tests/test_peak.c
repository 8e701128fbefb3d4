/* What the machine gives at most: the kernel that is measured, and how. */
#include "tests/harness.h"
#include "train/peak.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

Test(peak, the_kernel_computes_its_contract_on_every_isa)
{
    static const int chains[] = {1, 4, 8, 12, 16, FMA_MOST_CHAINS};
    enum { MOST = 2 * FMA_MOST_CHAINS * LINE_FLOATS, ROUNDS = 7 };
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    float x[MOST], want[MOST];
    fill_random(x, MOST, 1);
    for (size_t c = 0; c < sizeof chains / sizeof *chains; c++)
        for (size_t isa = 0; isa < isa_count; isa++) {
            size_t count = (size_t)(2 * chains[c] * LINE_FLOATS);
            float *got = guard_alloc(count * sizeof *got, isa % 2);
            memcpy(got, x, count * sizeof *got);
            isas[isa]->fma_repeat(got, 0.75f, -0.3f, count, ROUNDS, chains[c]);
            for (size_t i = 0; i < count; i++) {
                want[i] = x[i];
                for (int round = 0; round < ROUNDS; round++)
                    want[i] = fmaf(want[i], 0.75f, -0.3f);
            }
            expect_same_bits(want, got, count, "%s, %d chains", isas[isa]->name, chains[c]);
            guard_free(got);
        }
}

/* Each thread counts its rounds, and makes them take time. */
static void work(void *ctx, int thread, long rounds)
{
    _Atomic long *done = ctx;
    volatile double x = 1;
    for (long i = 0; i < rounds; i++)
        for (int j = 0; j < 1000; j++)
            x = x * 0.5 + 0.5;
    done[thread] += rounds;
}

Test(peak, every_thread_has_its_share)
{
    static _Atomic long done[3];
    double rate = peak_rate(3, (struct peak_effort){.seconds = 0.0005, .samples = 4}, 1000, work, done);
    cr_expect(rate > 1e5 && rate < 1e13, "%g", rate);
    for (int thread = 0; thread < 3; thread++) /* thread 0 has first looked for how many rounds there are to be */
        cr_expect(done[thread] >= 4 && (thread == 0 || done[thread] == done[1]), "thread %d: %ld rounds", thread, (long)done[thread]);
}

Test(peak, fmas_reach_more_in_wider_vectors)
{
    const struct kernels *isas[8];
    size_t isa_count = test_isas(isas);
    double scalar = peak_fma(isas[0], 1, (struct peak_effort){.seconds = 0.001, .samples = 5});
    double best = peak_fma(isas[isa_count - 1], 1, (struct peak_effort){.seconds = 0.001, .samples = 5});
    cr_expect(scalar > 1e5 && best >= scalar / 2 && best < 1e13, "%g, %g", scalar, best);
}
