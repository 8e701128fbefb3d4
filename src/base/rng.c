#include "base/rng.h"

#include "base/fmath.h"

#include <math.h>

/* One block of four words: ten rounds of two 32 x 32 -> 64 bit products, the key raised by Weyl constants each round. */
static void philox4x32_10(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

struct rng rng_stream(uint64_t seed, enum rng_purpose purpose, uint32_t a, uint64_t b)
{
    struct rng rng = {
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {0, a, (uint32_t)b, (uint32_t)purpose << 24 | (uint32_t)(b >> 32 & 0xffffffu)},
    };
    return rng;
}

uint32_t rng_u32(struct rng *rng)
{
    if (rng->left == 0) {
        philox4x32_10(rng->block, rng->counter, rng->key);
        rng->counter[0]++;
        rng->left = 4;
    }
    return rng->block[4 - rng->left--];
}

float rng_float(struct rng *rng)
{
    return (float)(rng_u32(rng) >> 8) * 0x1p-24f;
}

float rng_uniform(struct rng *rng, float low, float high)
{
    return low + (high - low) * rng_float(rng);
}

/* Lemire, "Fast random integer generation in an interval" (2019): the product's high word, low words under 2^32 mod n redrawn. */
uint32_t rng_below(struct rng *rng, uint32_t n)
{
    uint64_t product = (uint64_t)rng_u32(rng) * n;
    if ((uint32_t)product < n) {
        uint32_t reject_under = (uint32_t)-n % n;
        while ((uint32_t)product < reject_under)
            product = (uint64_t)rng_u32(rng) * n;
    }
    return (uint32_t)(product >> 32);
}

float rng_normal(struct rng *rng)
{
    /* half a step away from 0, where the logarithm is infinite; two statements, so that the order of the draws is fixed */
    double radius = sqrt(-2.0 * fm_log(((double)rng_u32(rng) + 0.5) * 0x1p-32));
    double angle = 6.28318530717958647693 * ((double)rng_u32(rng) * 0x1p-32);
    return (float)(radius * fm_cos(angle));
}

void rng_permutation(struct rng *rng, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = rng_below(rng, i), swapped = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swapped;
    }
}
