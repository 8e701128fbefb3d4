/* Which kernels this CPU can run. */
#ifndef SIMD_DISPATCH_H
#define SIMD_DISPATCH_H

#include "kernels.h"

#include <stddef.h>

/* Every ISA this build was compiled for, best last; supported says whether this CPU and OS can run it. */
struct isa_entry {
    const struct kernels *kernels;
    const char *requires; /* e.g. "AVX2, FMA, F16C, OS saves YMM" */
    int supported;
};
size_t isa_list(const struct isa_entry **entries);

/* want: NULL or "auto" (the best supported), or a name from the list. Returns NULL when the name is unknown or not supported
 * here, never a lesser table. */
const struct kernels *isa_resolve(const char *want);

/* Writes "scalar avx2" (the supported names) into text. */
void isa_supported_names(char *text, size_t size);

/* CPU model string, and its features that matter here ("avx2 fma f16c ..."). */
void cpu_describe(char *model, size_t model_size, char *features, size_t features_size);

#endif
