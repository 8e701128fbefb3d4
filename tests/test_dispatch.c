/* The list of ISAs, the choice among them, and that no table passes a fallback off as a kernel. */
#include "tests/harness.h"

#include "simd/cpu.h"

#include <stdio.h>
#include <string.h>

Test(dispatch, list_begins_with_scalar_and_names_are_distinct)
{
    const struct isa_entry *list;
    size_t count = isa_list(&list);
    cr_assert(count >= 1);
    cr_assert_str_eq(list[0].kernels->name, "scalar");
    cr_assert(list[0].supported, "scalar runs everywhere");
#if defined __x86_64__
    cr_assert(count == 3);
    cr_assert_str_eq(list[1].kernels->name, "avx2");
    cr_assert_str_eq(list[2].kernels->name, "avx512");
    cr_assert(!list[2].supported || list[1].supported, "levels: avx512 includes avx2");
#elif defined __aarch64__
    cr_assert(count == 2);
    cr_assert_str_eq(list[1].kernels->name, "neon");
    cr_assert(list[1].supported);
#endif
    for (size_t i = 0; i < count; i++) {
        cr_assert(list[i].requires && *list[i].requires);
        cr_assert(list[i].kernels->mr > 0 && list[i].kernels->nr > 0);
    }
}

#if defined __x86_64__
Test(dispatch, agrees_with_the_operating_system)
{
    /* Linux lists a feature only if it also saves the registers. */
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f)
        cr_skip_test("no /proc/cpuinfo here");
    char line[8192] = "";
    while (fgets(line, sizeof line, f) && strncmp(line, "flags", 5))
        ;
    fclose(f);
    if (strncmp(line, "flags", 5))
        cr_skip_test("/proc/cpuinfo lists no flags here");
    line[strcspn(line, "\n")] = ' ';
    uint32_t found = cpu_features();
    cr_expect(!!strstr(line, " avx2 ") == ((found & CPU_AVX2) && (found & CPU_OS_YMM)));
    cr_expect(!!strstr(line, " fma ") == ((found & CPU_FMA) && (found & CPU_OS_YMM)));
    cr_expect(!!strstr(line, " avx512f ") == ((found & CPU_AVX512F) && (found & CPU_OS_ZMM)));
    cr_expect(!!strstr(line, " avx512dq ") == ((found & CPU_AVX512DQ) && (found & CPU_OS_ZMM)));
}
#endif

Test(dispatch, resolves_what_is_supported_and_nothing_else)
{
    const struct isa_entry *list;
    size_t count = isa_list(&list);
    const struct kernels *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct kernels *expected = list[i].supported ? list[i].kernels : NULL;
        cr_expect(isa_resolve(list[i].kernels->name) == expected, "%s", list[i].kernels->name);
        best = expected ? expected : best;
    }
    cr_expect(isa_resolve(NULL) == best);
    cr_expect(isa_resolve("auto") == best);
    static const char *const unknown[] = {"", "sse2", "AVX2", "avx2 ", "avx", "scalar,avx2"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        cr_expect(isa_resolve(unknown[i]) == NULL, "\"%s\" must not fall back", unknown[i]);
}

Test(dispatch, names_the_supported)
{
    const struct isa_entry *list;
    size_t count = isa_list(&list);
    char names[64], expected[64] = "", tiny[8];
    for (size_t i = 0; i < count; i++)
        if (list[i].supported) {
            strcat(expected, *expected ? " " : "");
            strcat(expected, list[i].kernels->name);
        }
    isa_supported_names(names, sizeof names);
    cr_expect_str_eq(names, expected);
    isa_supported_names(tiny, sizeof tiny);
    cr_expect_str_eq(tiny, "scalar", "a short buffer holds whole names only");
}

Test(dispatch, describes_the_cpu)
{
    char model[128], features[256];
    cpu_describe(model, sizeof model, features, sizeof features);
    cr_expect(strlen(model) > 0);
    cr_expect(!!strstr(features, "avx2") == !!(cpu_features() & CPU_AVX2));
    cpu_describe(model, sizeof model, features, 1);
    cr_expect_str_eq(features, "");
}

/* From brgemm on, struct kernels is function pointers only. Every one of them is compiled for its ISA, so no two tables may
 * share one: a slot that names scalar's function would pass every comparison with scalar. */
Test(dispatch, every_slot_of_every_isa_is_its_own)
{
    typedef void slot_fn(void);
    const struct isa_entry *list;
    size_t count = isa_list(&list), first = offsetof(struct kernels, brgemm);
    size_t slots = (sizeof(struct kernels) - first) / sizeof(slot_fn *);
    cr_assert(slots >= 37);
    for (size_t s = 0; s < slots; s++)
        for (size_t i = 0; i < count; i++) {
            slot_fn *fn, *other;
            memcpy(&fn, (const char *)list[i].kernels + first + s * sizeof fn, sizeof fn);
            cr_assert(fn, "slot %zu of %s is empty", s, list[i].kernels->name);
            for (size_t j = 0; j < i; j++) {
                memcpy(&other, (const char *)list[j].kernels + first + s * sizeof other, sizeof other);
                cr_expect(fn != other, "slot %zu of %s is that of %s", s, list[i].kernels->name, list[j].kernels->name);
            }
        }
}
