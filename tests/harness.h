/* What the kernel tests share: guarded memory, every ISA against scalar, random fill. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include "simd/dispatch.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdint.h>

/* size bytes that end exactly at an unreadable page (or begin at one, if at_start): overruns by one byte crash. Filled with a
 * NaN pattern. Freed by guard_free. */
void *guard_alloc(size_t size, int at_start);
void guard_free(void *p);

/* The ISAs to compare: all supported on this CPU, scalar first. */
size_t test_isas(const struct kernels *isas[8]);

/* Uniform in [-1, 1), seeded; and mixtures that find edge cases: zeros, large, tiny, alternating signs. */
void fill_random(float *p, size_t count, uint64_t seed);
void fill_patterns(float *p, size_t count, uint64_t seed);

/* count * size bytes as alloc_aligned gives them, or the test fails; and so many floats of fill_random. Freed by free(). */
void *allocate(size_t count, size_t size);
float *random_array(size_t count, uint64_t seed);

/* Fails the test with the first differing index, both values and the label. Bits are compared; all NaNs are equal. */
void expect_same_bits(const float *expected, const float *got, size_t count, const char *label, ...)
    __attribute__((format(printf, 4, 5)));
/* Returns the first differing index, or -1. */
ptrdiff_t first_difference(const float *expected, const float *got, size_t count);

/* |got - want| / |want| in L2. */
double relative_l2(const float *got, const float *want, size_t count);

/* A file of tests/fixtures; the folder is found from the TEST_DATA environment variable or "tests/fixtures". */
const char *fixture_path(const char *name);

/* A sanitizer is at work, which reserves more address space than any limit allows. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

#endif
