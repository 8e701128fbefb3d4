/* Small arithmetic on sizes. */
#ifndef BASE_INTS_H
#define BASE_INTS_H

static inline int min_int(int a, int b) { return a < b ? a : b; }
static inline int max_int(int a, int b) { return a > b ? a : b; }
static inline int divide_up(int a, int b) { return a / b + (a % b != 0); }

#endif
