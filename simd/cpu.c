/* CPU identification: CPUID and XCR0 on x86-64, HWCAP on AArch64. */
#include "cpu.h"
#include "dispatch.h"

#include <stdio.h>
#include <string.h>

#if defined __x86_64__
#include <cpuid.h>
#elif defined __aarch64__ && defined __linux__
#include <sys/auxv.h>
#endif

static const struct {
    uint32_t bit;
    const char *name; /* as Linux spells it in /proc/cpuinfo, where it does */
} feature_names[] = {
    {CPU_AVX2, "avx2"},         {CPU_FMA, "fma"},           {CPU_F16C, "f16c"},
    {CPU_AVX512F, "avx512f"},   {CPU_AVX512VL, "avx512vl"}, {CPU_AVX512BW, "avx512bw"},
    {CPU_AVX512DQ, "avx512dq"}, {CPU_AVX512BF16, "avx512_bf16"}, {CPU_AMX_BF16, "amx_bf16"},
    {CPU_OS_YMM, "os-ymm"},     {CPU_OS_ZMM, "os-zmm"},
    {CPU_NEON, "neon"},         {CPU_NEON_BF16, "bf16"},    {CPU_SVE, "sve"},
};

#if defined __x86_64__

/* XCR0: which register files the OS saves. Legal only when CPUID says OSXSAVE. */
static uint64_t xgetbv0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint32_t cpu_features(void)
{
    unsigned a, b, c, d;
    uint32_t found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    found |= c >> 12 & 1 ? CPU_FMA : 0;
    found |= c >> 29 & 1 ? CPU_F16C : 0;
    uint64_t xcr0 = c >> 27 & 1 ? xgetbv0() : 0;
    found |= (xcr0 & 0x06) == 0x06 ? CPU_OS_YMM : 0;
    found |= (xcr0 & 0xe6) == 0xe6 ? CPU_OS_ZMM : 0;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return found;
    unsigned subleaves = a;
    found |= b >> 5 & 1 ? CPU_AVX2 : 0;
    found |= b >> 16 & 1 ? CPU_AVX512F : 0;
    found |= b >> 17 & 1 ? CPU_AVX512DQ : 0;
    found |= b >> 30 & 1 ? CPU_AVX512BW : 0;
    found |= b >> 31 & 1 ? CPU_AVX512VL : 0;
    found |= d >> 22 & 1 ? CPU_AMX_BF16 : 0;
    if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
        found |= a >> 5 & 1 ? CPU_AVX512BF16 : 0;
    return found;
}

static void cpu_model(char *model, size_t size)
{
    unsigned brand[12];
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2], &brand[4 * i + 3])) {
            snprintf(model, size, "x86-64");
            return;
        }
    char text[sizeof brand + 1];
    memcpy(text, brand, sizeof brand);
    text[sizeof brand] = 0;
    const char *begin = text + strspn(text, " ");
    size_t length = strlen(begin);
    while (length && begin[length - 1] == ' ')
        length--;
    snprintf(model, size, "%.*s", (int)length, begin);
}

#elif defined __aarch64__

uint32_t cpu_features(void)
{
    uint32_t found = CPU_NEON; /* part of the architecture's baseline */
#if defined __linux__
    found |= getauxval(AT_HWCAP) >> 22 & 1 ? CPU_SVE : 0;
    found |= getauxval(AT_HWCAP2) >> 14 & 1 ? CPU_NEON_BF16 : 0;
#endif
    return found;
}

/* Linux names no model here, only who made it and which part it is. */
static void cpu_model(char *model, size_t size)
{
    unsigned implementer = 0, part = 0;
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        const char *value = strchr(line, ':');
        if (value && !strncmp(line, "CPU implementer", 15))
            sscanf(value + 1, "%x", &implementer);
        if (value && !strncmp(line, "CPU part", 8))
            sscanf(value + 1, "%x", &part);
    }
    if (f)
        fclose(f);
    if (implementer)
        snprintf(model, size, "AArch64, implementer 0x%02x, part 0x%03x", implementer, part);
    else
        snprintf(model, size, "AArch64");
}

#else

uint32_t cpu_features(void) { return 0; }
static void cpu_model(char *model, size_t size) { snprintf(model, size, "unknown"); }

#endif

void cpu_describe(char *model, size_t model_size, char *features, size_t features_size)
{
    cpu_model(model, model_size);
    uint32_t found = cpu_features();
    size_t used = 0;
    if (features_size)
        features[0] = 0;
    for (size_t i = 0; i < sizeof feature_names / sizeof *feature_names; i++) {
        if (!(found & feature_names[i].bit) || used + strlen(feature_names[i].name) + 2 > features_size)
            continue;
        used += (size_t)snprintf(features + used, features_size - used, "%s%s", used ? " " : "", feature_names[i].name);
    }
}
