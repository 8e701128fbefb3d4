/* What the CPU can do and the operating system lets it. */
#ifndef SIMD_CPU_H
#define SIMD_CPU_H

#include <stdint.h>

enum cpu_feature {
    CPU_AVX2 = 1 << 0,
    CPU_FMA = 1 << 1,
    CPU_F16C = 1 << 2,
    CPU_AVX512F = 1 << 3,
    CPU_AVX512VL = 1 << 4,
    CPU_AVX512BW = 1 << 5,
    CPU_AVX512DQ = 1 << 6,
    CPU_AVX512BF16 = 1 << 7,
    CPU_AMX_BF16 = 1 << 8,
    CPU_OS_YMM = 1 << 9,  /* the OS saves XMM and YMM on a context switch (XCR0 & 6) */
    CPU_OS_ZMM = 1 << 10, /* and the masks and ZMM (XCR0 & 0xe6) */
    CPU_NEON = 1 << 11,
    CPU_NEON_BF16 = 1 << 12,
    CPU_SVE = 1 << 13,
};

/* Set of enum cpu_feature. */
uint32_t cpu_features(void);

#endif
