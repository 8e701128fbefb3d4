/* The parts of the selftest's list. */
#ifndef CLI_SELFTEST_CASES_H
#define CLI_SELFTEST_CASES_H

#include "cli/selftest.h"
#include "simd/kernels.h"

extern const struct selftest_group selftest_optimisers;
extern const struct selftest_group selftest_images; /* kernels of augmentation, whole views, decoding */
extern const struct selftest_group selftest_steps;  /* training */
void selftest_decode(struct selftest *test);

#endif
