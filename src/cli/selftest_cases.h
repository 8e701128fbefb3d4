/* The parts of the selftest's list. */
#ifndef CLI_SELFTEST_CASES_H
#define CLI_SELFTEST_CASES_H

#include "cli/selftest.h"
#include "simd/kernels.h"

const struct selftest_case *selftest_pixel_cases(size_t *count); /* kernels of augmentation, and whole views */
const struct selftest_case *selftest_step_cases(size_t *count);  /* training steps */
void selftest_decode(struct selftest *test);

#endif
