/* Small arithmetic on sizes. */
#ifndef BASE_INTS_H
#define BASE_INTS_H

#include <stdint.h>

static inline int min_int(int a, int b) { return a < b ? a : b; }
static inline int max_int(int a, int b) { return a > b ? a : b; }
static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline int divide_up(int a, int b) { return a / b + (a % b != 0); }

#endif
