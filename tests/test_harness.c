/* The harness proves itself on kernels broken on purpose: what a test of a kernel relies on must be able to fail. */
#include "tests/harness.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static void scale(float *y, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] = 2.0f * x[i];
}

/* The volatile pointers keep the compiler from noticing the overrun. */
static void scale_reads_one_too_many(float *y, const float *x, size_t count)
{
    const float *volatile p = x;
    scale(y, x, count);
    volatile float unused = p[count];
    (void)unused;
}

static void scale_writes_one_too_many(float *y, const float *x, size_t count)
{
    float *volatile p = y;
    scale(y, x, count);
    p[count] = 0.0f;
}

static void scale_reads_one_before(float *y, const float *x, size_t count)
{
    const float *volatile p = x;
    scale(y, x, count);
    volatile float unused = p[-1];
    (void)unused;
}

static void scale_writes_a_vector_too_wide(float *y, const float *x, size_t count)
{
    float *volatile p = y;
    scale(y, x, count);
    for (size_t i = count; i % 8; i++)
        p[i] = 0.0f;
}

typedef void scale_fn(float *, const float *, size_t);

static void run_guarded(scale_fn *kernel, size_t count, int at_start)
{
    float *x = guard_alloc(count * sizeof *x, at_start), *y = guard_alloc(count * sizeof *y, at_start);
    fill_random(x, count, 1);
    kernel(y, x, count);
    for (size_t i = 0; i < count; i++)
        cr_assert(y[i] == 2.0f * x[i]);
    guard_free(x);
    guard_free(y);
}

Test(harness, a_sound_kernel_passes)
{
    for (size_t count = 1; count < 3000; count += 37)
        for (int at_start = 0; at_start <= 1; at_start++)
            run_guarded(scale, count, at_start);
}

Test(harness, reading_beyond_the_end_crashes, .signal = SIGSEGV) { run_guarded(scale_reads_one_too_many, 13, 0); }
Test(harness, writing_beyond_the_end_crashes, .signal = SIGSEGV) { run_guarded(scale_writes_one_too_many, 13, 0); }
Test(harness, reading_before_the_start_crashes, .signal = SIGSEGV) { run_guarded(scale_reads_one_before, 13, 1); }
Test(harness, a_vector_store_over_the_tail_crashes, .signal = SIGSEGV) { run_guarded(scale_writes_a_vector_too_wide, 13, 0); }
Test(harness, whole_pages_are_guarded_too, .signal = SIGSEGV)
{
    run_guarded(scale_reads_one_too_many, (size_t)sysconf(_SC_PAGESIZE) / sizeof(float), 1);
}

Test(harness, guarded_blocks_start_as_nan)
{
    float *x = guard_alloc(100 * sizeof *x, 0);
    for (int i = 0; i < 100; i++)
        cr_assert(isnan(x[i]));
    guard_free(x);
    guard_free(guard_alloc(0, 0));
    guard_free(guard_alloc(0, 1));
    guard_free(NULL);
}

Test(harness, one_wrong_bit_is_found_wherever_it_is)
{
    float a[67], b[67];
    fill_random(a, 67, 3);
    for (int at = 0; at < 67; at++)
        for (int bit = 0; bit < 32; bit++) {
            uint32_t word;
            memcpy(b, a, sizeof a);
            memcpy(&word, &b[at], sizeof word);
            word ^= (uint32_t)1 << bit;
            memcpy(&b[at], &word, sizeof word);
            cr_assert(first_difference(a, b, 67) == at);
        }
    cr_assert(first_difference(a, a, 67) == -1);
}

Test(harness, zeros_differ_by_sign_and_nans_are_one)
{
    float zero[2] = {1.0f, 0.0f}, minus[2] = {1.0f, -0.0f}, nan1[2] = {1.0f, NAN}, nan2[2] = {1.0f, -NAN};
    cr_assert(first_difference(zero, minus, 2) == 1);
    cr_assert(first_difference(nan1, nan2, 2) == -1);
    cr_assert(first_difference(nan1, zero, 2) == 1);
    cr_assert(first_difference(zero, nan1, 2) == 1);
}

Test(harness, fills_are_repeatable_and_varied)
{
    float a[4096], b[4096];
    fill_random(a, 4096, 1);
    fill_random(b, 4096, 1);
    cr_assert(!memcmp(a, b, sizeof a));
    fill_random(b, 4096, 2);
    cr_assert(first_difference(a, b, 4096) >= 0);
    double mean = 0;
    for (int i = 0; i < 4096; i++) {
        cr_assert(a[i] >= -1.0f && a[i] < 1.0f);
        mean += (double)a[i] / 4096;
    }
    cr_assert(fabs(mean) < 0.05);

    fill_patterns(a, 4096, 1);
    int zeros = 0, large = 0, denormal = 0;
    for (int i = 0; i < 4096; i++) {
        cr_assert(isfinite(a[i]));
        zeros += a[i] == 0.0f;
        large += fabsf(a[i]) > 1e17f;
        denormal += a[i] != 0.0f && fabsf(a[i]) < 1.17e-38f;
    }
    cr_assert(zeros > 0 && large > 0 && denormal > 0);
}

Test(harness, relative_error)
{
    const float want[2] = {3.0f, 4.0f}, got[2] = {3.0f, 4.5f};
    cr_assert(fabs(relative_l2(got, want, 2) - 0.1) < 1e-9);
    cr_assert(relative_l2(want, want, 2) == 0);
}
