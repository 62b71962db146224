#include "common/record/crc32c.h"

#include <endian.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLYNOMIAL 0x82f63b78u

typedef uint32_t crc_function(uint32_t state, const uint8_t *bytes, size_t length);

static uint32_t tables[8][256];
static crc_function *best;

/* tables[k][b]: what byte b contributes after k more zero bytes. */
static void fill_tables(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t crc = b;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		tables[0][b] = crc;
	}
	for (uint32_t b = 0; b < 256; b++)
		for (int k = 1; k < 8; k++)
			tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 0xff];
}

static uint64_t load_u64(const uint8_t *bytes)
{
	uint64_t value;
	memcpy(&value, bytes, sizeof value);
	return le64toh(value);
}

static uint32_t crc_by_tables(uint32_t state, const uint8_t *bytes, size_t length)
{
	for (; length >= 8; bytes += 8, length -= 8) {
		uint64_t word = load_u64(bytes) ^ state;
		state = 0;
#pragma GCC unroll 8
		for (int k = 0; k < 8; k++)
			state ^= tables[7 - k][word >> 8 * k & 0xff];
	}
	for (; length; bytes++, length--)
		state = state >> 8 ^ tables[0][(state ^ *bytes) & 0xff];
	return state;
}

#if defined(__x86_64__)

/*
 * Multiplying the polynomial of a CRC by x^(8n) is what n zero bytes after it do. A carry-less product of two reflected
 * words comes out multiplied by x, and crc32 of a word with state 0 multiplies by x^32 and reduces: so the factor for n
 * bytes is x^(8n - 33) mod P. test_crc32c compares with the tables at every length around the block sizes.
 */
#define LONG_BLOCK 1024
#define LONG_SHIFT_1 0x170076fau /* x^(8 * 1024 - 33) */
#define LONG_SHIFT_2 0xa51b6135u /* x^(8 * 2048 - 33) */
#define SHORT_BLOCK 128
#define SHORT_SHIFT_1 0x0d3b6092u /* x^(8 * 128 - 33) */
#define SHORT_SHIFT_2 0xb9e02b86u /* x^(8 * 256 - 33) */

#define TARGET_STREAMS __attribute__((target("sse4.2,pclmul")))
#define TARGET_FOLD __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.2")))

TARGET_STREAMS static inline uint64_t shift(uint64_t crc, uint32_t factor)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi32_si128((int)factor), 0);
	return (uint64_t)_mm_cvtsi128_si64(product);
}

/* Three blocks side by side, joined. */
TARGET_STREAMS static inline uint64_t three_blocks(uint64_t a, const uint8_t *bytes, size_t block, uint32_t shift_1,
                                                   uint32_t shift_2)
{
	uint64_t b = 0, c = 0;
	for (size_t i = 0; i < block; i += 8) {
		a = _mm_crc32_u64(a, load_u64(bytes + i));
		b = _mm_crc32_u64(b, load_u64(bytes + block + i));
		c = _mm_crc32_u64(c, load_u64(bytes + 2 * block + i));
	}
	return c ^ _mm_crc32_u64(0, shift(a, shift_2) ^ shift(b, shift_1));
}

TARGET_STREAMS static uint32_t crc_by_streams(uint32_t state, const uint8_t *bytes, size_t length)
{
	uint64_t crc = state;
	for (; length >= 3 * LONG_BLOCK; bytes += 3 * LONG_BLOCK, length -= 3 * LONG_BLOCK)
		crc = three_blocks(crc, bytes, LONG_BLOCK, LONG_SHIFT_1, LONG_SHIFT_2);
	for (; length >= 3 * SHORT_BLOCK; bytes += 3 * SHORT_BLOCK, length -= 3 * SHORT_BLOCK)
		crc = three_blocks(crc, bytes, SHORT_BLOCK, SHORT_SHIFT_1, SHORT_SHIFT_2);
	for (; length >= 8; bytes += 8, length -= 8)
		crc = _mm_crc32_u64(crc, load_u64(bytes));
	for (; length; bytes++, length--)
		crc = _mm_crc32_u8((uint32_t)crc, *bytes);
	return (uint32_t)crc;
}

/*
 * Folding: four vectors hold 256 bytes that are congruent, mod P, to all that was read; each step multiplies them by
 * x^2048 and adds the next 256 bytes. In a lane of 128 bits the low word comes first and so is x^64 ahead; as above a
 * product is one power too high: factors x^(2048 + 63) for low words, x^(2048 - 1) for high ones,
 * each in the upper half of a word, since a reflected word begins with its highest power.
 */
#define FOLD_BYTES 256
#define FOLD_LOW 0xe9a5d8be00000000ull /* x^2111 */
#define FOLD_HIGH 0x1426a81500000000ull /* x^2047 */
#define FOLD_MINIMUM (4 * FOLD_BYTES) /* below, the 32 dependent crc32 steps at the end cost more than is won */

TARGET_FOLD static inline __m512i fold(__m512i x, __m512i factors, __m512i next)
{
	__m512i low = _mm512_clmulepi64_epi128(x, factors, 0x00), high = _mm512_clmulepi64_epi128(x, factors, 0x11);
	return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

TARGET_FOLD static uint32_t crc_by_folding(uint32_t state, const uint8_t *bytes, size_t length)
{
	if (length < FOLD_MINIMUM)
		return crc_by_streams(state, bytes, length);
	const __m512i factors = _mm512_set4_epi64((long long)FOLD_HIGH, (long long)FOLD_LOW, (long long)FOLD_HIGH,
	                                          (long long)FOLD_LOW);
	__m512i a = _mm512_xor_si512(_mm512_loadu_si512(bytes), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
	__m512i b = _mm512_loadu_si512(bytes + 64), c = _mm512_loadu_si512(bytes + 128), d = _mm512_loadu_si512(bytes + 192);
	bytes += FOLD_BYTES;
	length -= FOLD_BYTES;
	for (; length >= FOLD_BYTES; bytes += FOLD_BYTES, length -= FOLD_BYTES) {
		a = fold(a, factors, _mm512_loadu_si512(bytes));
		b = fold(b, factors, _mm512_loadu_si512(bytes + 64));
		c = fold(c, factors, _mm512_loadu_si512(bytes + 128));
		d = fold(d, factors, _mm512_loadu_si512(bytes + 192));
	}
	uint8_t rest[FOLD_BYTES];
	_mm512_storeu_si512(rest, a);
	_mm512_storeu_si512(rest + 64, b);
	_mm512_storeu_si512(rest + 128, c);
	_mm512_storeu_si512(rest + 192, d);
	/*
	 * Which the compiler does by itself only in files that are made for AVX as a whole. Without it, the scalar floating-point code that
	 * follows in this thread, whoever's it is, runs up to five times as slowly (Zen 4).
	 */
	_mm256_zeroupper();
	return crc_by_streams(crc_by_streams(0, rest, sizeof rest), bytes, length);
}

static crc_function *choose(void)
{
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("pclmul"))
		return crc_by_tables;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("vpclmulqdq"))
		return crc_by_folding;
	return crc_by_streams;
}

#else

static crc_function *choose(void)
{
	return crc_by_tables;
}

#endif

__attribute__((constructor)) static void prepare(void)
{
	fill_tables();
	best = choose();
}

uint32_t bd_crc32c(uint32_t crc, const void *bytes, size_t length)
{
	return ~best(~crc, bytes, length);
}

uint32_t bd_crc32c_portable(uint32_t crc, const void *bytes, size_t length)
{
	return ~crc_by_tables(~crc, bytes, length);
}
