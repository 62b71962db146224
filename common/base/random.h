/*
 * random.h - a counter-based generator: number n of a sequence is a pure function of its key and n.
 *
 * Why: augmentation, dropout and shuffles must come out the same at any thread count and after a resume, so there is no
 * state that could be lost: (seed, epoch, record) or (seed, step, layer) is the key, and a counter numbers the draws.
 * The mixing is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), applied to
 * the key's words one after the other and to the counter. Not for secrets.
 * Threads: pure functions, and one struct bd_random per user.
 */
#ifndef BD_BASE_RANDOM_H
#define BD_BASE_RANDOM_H

#include <stdint.h>

struct bd_random {
	uint64_t key, counter;
};

static inline uint64_t bd_random_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* The sequence of a key of three words, from its first number. */
static inline struct bd_random bd_random_of(uint64_t seed, uint64_t a, uint64_t b)
{
	uint64_t key = bd_random_mix(bd_random_mix(bd_random_mix(seed) ^ a) ^ b);
	return (struct bd_random){ .key = key };
}

static inline uint64_t bd_random_next(struct bd_random *random)
{
	return bd_random_mix(random->key ^ bd_random_mix(random->counter++));
}

/* Number `counter` of a sequence, without a struct. */
static inline uint64_t bd_random_u64(uint64_t seed, uint64_t a, uint64_t b, uint64_t counter)
{
	struct bd_random random = bd_random_of(seed, a, b);
	random.counter = counter;
	return bd_random_next(&random);
}

/* [0, 1), 53 bits */
static inline double bd_random_unit(uint64_t bits)
{
	return (double)(bits >> 11) * 0x1p-53;
}

/* [low, high) */
static inline double bd_random_uniform(struct bd_random *random, double low, double high)
{
	return low + (high - low) * bd_random_unit(bd_random_next(random));
}

/* Uniform in [0, bound), bound > 0; without bias (Lemire: Fast random integer generation in an interval, 2019). */
static inline uint64_t bd_random_below(struct bd_random *random, uint64_t bound)
{
	unsigned __int128 product = (unsigned __int128)bd_random_next(random) * bound;
	if ((uint64_t)product < bound) {
		uint64_t floor = -bound % bound;
		while ((uint64_t)product < floor)
			product = (unsigned __int128)bd_random_next(random) * bound;
	}
	return (uint64_t)(product >> 64);
}

/* Standard normal, by Box and Muller; takes two numbers. */
double bd_random_normal(struct bd_random *random);

#endif
