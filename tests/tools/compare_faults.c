/* bench with a fault in one kernel, to see that --compare-isa finds it. `make build/tests/compare_faults` links bench with this file
 * around its list of ISAs (ld --wrap); relu_backward of FAULT_ISA (the best of this CPU, unless told) is then
 *
 *     FAULT=broken   wrong in the last bit of one result
 *     FAULT=slowed   called FAULT_TIMES times (20, unless told)
 *     FAULT=scalar   that of scalar
 *
 * and without FAULT as it should be. tests/bench_test.sh runs all. */
#include "simd/dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8 };

size_t __real_isa_list(const struct isa_entry **entries);
size_t __wrap_isa_list(const struct isa_entry **entries);

static void (*sound)(float *dx, const float *dy, const float *out, size_t count);
static int times;

static void broken(float *dx, const float *dy, const float *out, size_t count)
{
    unsigned char *last = (unsigned char *)(dx + count - 1);
    sound(dx, dy, out, count);
    *last ^= 1;
}

static void slowed(float *dx, const float *dy, const float *out, size_t count)
{
    for (int i = 0; i < times; i++)
        sound(dx, dy, out, count);
}

size_t __wrap_isa_list(const struct isa_entry **entries)
{
    static struct isa_entry list[MOST];
    static struct kernels faulty;
    const char *fault = getenv("FAULT"), *isa = getenv("FAULT_ISA"), *often = getenv("FAULT_TIMES");
    const struct isa_entry *real;
    size_t count = __real_isa_list(&real), at = 0;
    if (!fault || count > MOST) {
        *entries = real;
        return count;
    }
    memcpy(list, real, count * sizeof *list);
    for (size_t i = 1; i < count; i++)
        if (list[i].supported && (!isa || strcmp(isa, list[i].kernels->name) == 0))
            at = i;
    times = often ? atoi(often) : 20;
    faulty = *list[at].kernels;
    sound = faulty.relu_backward;
    if (strcmp(fault, "broken") == 0)
        faulty.relu_backward = broken;
    else if (strcmp(fault, "slowed") == 0)
        faulty.relu_backward = slowed;
    else if (strcmp(fault, "scalar") == 0)
        faulty.relu_backward = list[0].kernels->relu_backward;
    else
        fprintf(stderr, "FAULT=%s: broken, slowed or scalar\n", fault), exit(2);
    list[at].kernels = &faulty;
    *entries = list;
    return count;
}
