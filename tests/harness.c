/* For mmap's MAP_ANONYMOUS. */
#define _DEFAULT_SOURCE
#include "tests/harness.h"

#include "base/arena.h"

#include "base/rng.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined __has_feature
#if __has_feature(thread_sanitizer)
/* Criterion asks rand_r where to map what its tests inherit, 2^24 bytes a number above 0x200000000000: nearly all of it is the
 * thread sanitizer's own. These numbers stay within what it leaves to programs, 0x550000000000 to 0x568000000000. */
int rand_r(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return (int)((0x558000000000 - 0x200000000000) >> 24) + (int)(*seed >> 20);
}
#endif
#endif

/* Pages of one guarded block: [length of the mapping] [unreadable] [data ...] [unreadable]. */
enum { INFO_PAGES = 1, GUARDS = 2 };

void *guard_alloc(size_t size, int at_start)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t data = (size + page - 1) / page * page;
    size_t length = (INFO_PAGES + GUARDS) * page + data;
    unsigned char *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(base != MAP_FAILED, "no memory for a guarded block of %zu bytes", size);
    memcpy(base, &length, sizeof length);
    unsigned char *first = base + 2 * page;
    memset(first, 0xff, data);
    int failed = mprotect(base + page, page, PROT_NONE) || mprotect(first + data, page, PROT_NONE);
    cr_assert(!failed, "the guard pages cannot be protected");
    return at_start ? first : first + data - size;
}

void guard_free(void *p)
{
    if (!p)
        return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    /* The data begin less than a page before p, whichever end they were set to. */
    unsigned char *base = (unsigned char *)p - (uintptr_t)p % page - 2 * page;
    size_t length;
    memcpy(&length, base, sizeof length);
    munmap(base, length);
}

size_t test_isas(const struct kernels *isas[8])
{
    const struct isa_entry *entries;
    size_t listed = isa_list(&entries), count = 0;
    for (size_t i = 0; i < listed && count < 8; i++)
        if (entries[i].supported)
            isas[count++] = entries[i].kernels;
    cr_assert(count > 0 && !strcmp(isas[0]->name, "scalar"), "scalar is not the first ISA of the list");
    return count;
}

void fill_random(float *p, size_t count, uint64_t seed)
{
    struct rng rng = rng_stream(seed, RNG_TEST, 0, 0);
    for (size_t i = 0; i < count; i++)
        p[i] = rng_uniform(&rng, -1.0f, 1.0f);
}

void fill_patterns(float *p, size_t count, uint64_t seed)
{
    static const float scale[8] = {1.0f, 0.0f, -0.0f, 1e18f, 1e-22f, 1e-40f, 3.0f, 16777216.0f};
    struct rng rng = rng_stream(seed, RNG_TEST, 1, 0);
    for (size_t i = 0; i < count; i++) {
        float x = rng_uniform(&rng, 0.5f, 1.0f) * scale[rng_below(&rng, 8)];
        p[i] = i % 2 ? -x : x;
    }
}

ptrdiff_t first_difference(const float *expected, const float *got, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(expected + i, got + i, sizeof *got) && !(isnan(expected[i]) && isnan(got[i])))
            return (ptrdiff_t)i;
    return -1;
}

void expect_same_bits(const float *expected, const float *got, size_t count, const char *label, ...)
{
    ptrdiff_t at = first_difference(expected, got, count);
    if (at < 0)
        return;
    char name[256];
    va_list args;
    va_start(args, label);
    vsnprintf(name, sizeof name, label, args);
    va_end(args);
    cr_assert(0, "%s: element %td of %zu is %a (%.9g), expected %a (%.9g)", name, at, count, (double)got[at], (double)got[at],
              (double)expected[at], (double)expected[at]);
}

double relative_l2(const float *got, const float *want, size_t count)
{
    double error = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)got[i] - (double)want[i];
        error += d * d;
        norm += (double)want[i] * (double)want[i];
    }
    return norm > 0 ? sqrt(error / norm) : sqrt(error);
}

const char *fixture_path(const char *name)
{
    static char path[1024];
    const char *folder = getenv("TEST_DATA");
    snprintf(path, sizeof path, "%s/%s", folder && *folder ? folder : "tests/fixtures", name);
    return path;
}

void *allocate(size_t count, size_t size)
{
    void *p = alloc_aligned(count, size);
    cr_assert_not_null(p);
    return p;
}

float *random_array(size_t count, uint64_t seed)
{
    float *p = allocate(count, sizeof *p);
    fill_random(p, count, seed);
    return p;
}
