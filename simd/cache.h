/* Data caches, for blocking that cannot change bits. */
#ifndef SIMD_CACHE_H
#define SIMD_CACHE_H

#include <stddef.h>

/* Bytes that one CPU may count on: a cache's size over the CPUs that share it. */
struct cache_sizes {
    size_t l1, l2;
    int l1_ways; /* lines of L1 whose addresses share a set */
};

/* This machine's, from the kernel's files; 32 KB, 512 KB and 4 ways where it does not tell, as on many virtual machines and boards. */
struct cache_sizes cache_sizes(void);

/* The same from another folder than /sys/devices/system/cpu/cpu0/cache: for tests. */
struct cache_sizes cache_sizes_in(const char *folder);

#endif
