/*
 * arithmetic.h - checked arithmetic on numbers that come from files, sockets and options.
 *
 * Each returns false, leaving *ret untouched, where the exact result does not fit.
 */
#ifndef BD_BASE_ARITHMETIC_H
#define BD_BASE_ARITHMETIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BD_COUNT_OF(array) (sizeof(array) / sizeof *(array))

static inline bool bd_add_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t sum;
	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*ret = sum;
	return true;
}

static inline bool bd_multiply_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t product;
	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*ret = product;
	return true;
}

static inline bool bd_add_size(size_t a, size_t b, size_t *ret)
{
	size_t sum;
	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*ret = sum;
	return true;
}

static inline bool bd_multiply_size(size_t a, size_t b, size_t *ret)
{
	size_t product;
	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*ret = product;
	return true;
}

/* `value` rounded up to a multiple of `alignment`, a power of two. */
static inline bool bd_align_up(uint64_t value, uint64_t alignment, uint64_t *ret)
{
	uint64_t sum;
	if (__builtin_add_overflow(value, alignment - 1, &sum))
		return false;
	*ret = sum & ~(alignment - 1);
	return true;
}

static inline uint64_t bd_min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t bd_max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
