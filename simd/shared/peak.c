/* Arithmetic alone, compiled with the flags of the kernels, so that what is measured here is what bounds them. */
#include "shared/shared.h"
#include "vec.h"

/* Independent chains hide the latency: units x latency is 8 to 16. Which number is best depends on the core, and on how many registers
 * the ISA has. */
ALWAYS_INLINE void repeat(float *x, float a, float b, size_t count, long rounds, const int chains)
{
    vf factor = vf_set1(a), term = vf_set1(b);
    for (size_t i = 0; i < count; i += (size_t)(chains * VL)) {
        vf v[FMA_MOST_CHAINS];
        UNROLL for (int j = 0; j < chains; j++) v[j] = vf_load(x + i + j * VL);
        for (long round = 0; round < rounds; round++)
            UNROLL for (int j = 0; j < chains; j++) v[j] = vf_fma(v[j], factor, term);
        UNROLL for (int j = 0; j < chains; j++) vf_store(x + i + j * VL, v[j]);
    }
}

void ISA_FN(fma_repeat)(float *x, float a, float b, size_t count, long rounds, int chains)
{
    switch (chains) {
    case 1: repeat(x, a, b, count, rounds, 1); break;
    case 4: repeat(x, a, b, count, rounds, 4); break;
    case 8: repeat(x, a, b, count, rounds, 8); break;
    case 12: repeat(x, a, b, count, rounds, 12); break;
    case 16: repeat(x, a, b, count, rounds, 16); break;
    default: repeat(x, a, b, count, rounds, FMA_MOST_CHAINS);
    }
}
