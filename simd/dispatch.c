/* The list of kernel tables and the choice among them. */
#include "dispatch.h"

#include "cpu.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

extern const struct kernels kernels_scalar;
#if defined __x86_64__
extern const struct kernels kernels_avx2, kernels_avx512;
enum {
    AVX2_LEVEL = CPU_AVX2 | CPU_FMA | CPU_F16C | CPU_OS_YMM,
    AVX512_LEVEL = AVX2_LEVEL | CPU_AVX512F | CPU_AVX512VL | CPU_AVX512BW | CPU_AVX512DQ | CPU_OS_ZMM
};
#elif defined __aarch64__
extern const struct kernels kernels_neon;
#endif

/* Levels, not flags: an ISA is supported when all of its features are. */
static const uint32_t needs[] = {
    0,
#if defined __x86_64__
    AVX2_LEVEL,
    AVX512_LEVEL,
#elif defined __aarch64__
    CPU_NEON,
#endif
};

static struct isa_entry isas[] = {
    {&kernels_scalar, "nothing beyond plain C", 0},
#if defined __x86_64__
    {&kernels_avx2, "AVX2, FMA, F16C, OS saves YMM", 0},
    {&kernels_avx512, "AVX-512 F VL BW DQ, AVX2, FMA, F16C, OS saves ZMM", 0},
#elif defined __aarch64__
    {&kernels_neon, "NEON (every AArch64 CPU)", 0},
#endif
};
enum { ISAS = sizeof isas / sizeof *isas };
_Static_assert(ISAS == sizeof needs / sizeof *needs, "one set of needed features an ISA");

static void detect(void)
{
    uint32_t found = cpu_features();
    for (size_t i = 0; i < ISAS; i++)
        isas[i].supported = (found & needs[i]) == needs[i];
}

size_t isa_list(const struct isa_entry **entries)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, detect);
    *entries = isas;
    return ISAS;
}

const struct kernels *isa_resolve(const char *want)
{
    const struct isa_entry *list;
    size_t count = isa_list(&list);
    int best = !want || !strcmp(want, "auto");
    for (size_t i = count; i-- > 0;)
        if (list[i].supported && (best || !strcmp(want, list[i].kernels->name)))
            return list[i].kernels;
    return NULL;
}

void isa_supported_names(char *text, size_t size)
{
    const struct isa_entry *list;
    size_t count = isa_list(&list), used = 0;
    if (size)
        text[0] = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = list[i].kernels->name;
        if (list[i].supported && used + strlen(name) + 2 <= size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", name);
    }
}
