/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
 *
 * A stream is named by what it is for, (seed, purpose, a, b), e.g. (seed, RNG_AUGMENT, epoch, 2 * image + view): no state is
 * shared between threads and any draw can be repeated. Same values on every machine. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

enum rng_purpose { RNG_INIT = 1, RNG_SHUFFLE, RNG_AUGMENT, RNG_SPLIT, RNG_SHAPES, RNG_TEST };

struct rng {
    uint32_t key[2];
    uint32_t counter[4]; /* [0] counts blocks of four; [1..3] name the stream */
    uint32_t block[4];
    int left; /* words of block not yet used */
};

/* Stream (seed, purpose, a, b). a up to 2^32-1, b up to 2^56-1. */
struct rng rng_stream(uint64_t seed, enum rng_purpose purpose, uint32_t a, uint64_t b);

uint32_t rng_u32(struct rng *rng);
float rng_float(struct rng *rng);                               /* uniform in [0, 1), 24 bits */
float rng_uniform(struct rng *rng, float low, float high);      /* low + (high - low) * rng_float */
uint32_t rng_below(struct rng *rng, uint32_t n);                /* unbiased uniform in [0, n), n > 0 */
float rng_normal(struct rng *rng);                              /* standard normal (Box-Muller over base/fmath) */

/* Uniform random permutation of 0..n-1 into order (Fisher-Yates). */
void rng_permutation(struct rng *rng, uint32_t *order, uint32_t n);

#endif
