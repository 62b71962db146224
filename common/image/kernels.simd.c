#include <math.h>
#include <string.h>

#include "common/base/simd.h"
#include "common/image/kernels.h"

#if BD_SIMD_LEVEL >= 1
#include <immintrin.h>
#endif

/* ---- bytes to floats ---- */

static void to_floats(float *restrict out, const uint8_t *restrict in, size_t count, const float *restrict mean, float scale)
{
	size_t i = 0;
	for (; i + BD_MEAN_PERIOD <= count; i += BD_MEAN_PERIOD)
		for (size_t j = 0; j < BD_MEAN_PERIOD; j++)
			out[i + j] = ((float)in[i + j] - mean[j]) * scale;
	for (size_t j = 0; i + j < count; j++)
		out[i + j] = ((float)in[i + j] - mean[j]) * scale;
}

static void to_floats_swapped(float *restrict out, const uint8_t *restrict in, size_t count, const float *restrict mean,
                              float scale)
{
	for (size_t i = 0; i + 3 <= count; i += 3) {
		out[i] = ((float)in[i + 2] - mean[0]) * scale;
		out[i + 1] = ((float)in[i + 1] - mean[1]) * scale;
		out[i + 2] = ((float)in[i] - mean[2]) * scale;
	}
}

#if BD_SIMD_LEVEL == 2
/* Reverses the 16 pixels of 48 bytes each in itself: 12 bytes to each lane, one byte shuffle, and close together again. */
static inline __m512i swap48(const uint8_t *in)
{
	const __m512i spread = _mm512_setr_epi32(0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11);
	const __m512i gather = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0, 0, 0, 0);
	const __m512i reverse = _mm512_broadcast_i32x4(_mm_setr_epi8(2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9, 12, 13, 14, 15));
	__m512i bytes = _mm512_maskz_loadu_epi8(0xffffffffffffull, in);
	bytes = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(spread, bytes), reverse);
	return _mm512_permutexvar_epi32(gather, bytes);
}

static inline __m512 to_float16(__m128i bytes, __m512 mean, __m512 scale)
{
	return _mm512_mul_ps(_mm512_sub_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)), mean), scale);
}

/* Whole runs of 48; returns how many elements are done. */
static size_t to_floats_runs(float *out, const uint8_t *in, size_t count, const float *mean, float scale_factor, bool swap,
                             bool stream)
{
	__m512 mean0 = _mm512_loadu_ps(mean), mean1 = _mm512_loadu_ps(mean + 16), mean2 = _mm512_loadu_ps(mean + 32);
	__m512 scale = _mm512_set1_ps(scale_factor);
	stream = stream && ((uintptr_t)out & 63) == 0;
	size_t i = 0;
	for (; i + 48 <= count; i += 48) {
		__m512i bytes = swap ? swap48(in + i) : _mm512_maskz_loadu_epi8(0xffffffffffffull, in + i);
		__m512 a = to_float16(_mm512_castsi512_si128(bytes), mean0, scale);
		__m512 b = to_float16(_mm512_extracti32x4_epi32(bytes, 1), mean1, scale);
		__m512 c = to_float16(_mm512_extracti32x4_epi32(bytes, 2), mean2, scale);
		if (stream) {
			_mm512_stream_ps(out + i, a);
			_mm512_stream_ps(out + i + 16, b);
			_mm512_stream_ps(out + i + 32, c);
		} else {
			_mm512_storeu_ps(out + i, a);
			_mm512_storeu_ps(out + i + 16, b);
			_mm512_storeu_ps(out + i + 32, c);
		}
	}
	if (stream)
		_mm_sfence();
	return i;
}
#elif BD_SIMD_LEVEL == 1
static inline __m256 to_float8(__m128i bytes, __m256 mean, __m256 scale)
{
	return _mm256_mul_ps(_mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)), mean), scale);
}

/* 8 pixels = 24 bytes at a time: bytes 0..15 and 8..23 hold all that the first 12 and the last 12 outputs need. */
static size_t to_floats_runs(float *out, const uint8_t *in, size_t count, const float *mean, float scale_factor, bool swap,
                             bool stream)
{
	if (!swap)
		return 0;
	const __m128i low = _mm_setr_epi8(2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9, -1, -1, -1, -1);
	const __m128i high = _mm_setr_epi8(6, 5, 4, 9, 8, 7, 12, 11, 10, 15, 14, 13, -1, -1, -1, -1);
	__m256 mean0 = _mm256_loadu_ps(mean), mean1 = _mm256_loadu_ps(mean + 8), mean2 = _mm256_loadu_ps(mean + 16);
	__m256 scale = _mm256_set1_ps(scale_factor);
	(void)stream;
	size_t i = 0;
	for (; i + 24 <= count; i += 24) {
		__m128i a = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(in + i)), low);
		__m128i b = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(in + i + 8)), high);
		__m128i middle = _mm_or_si128(_mm_srli_si128(a, 8), _mm_slli_si128(b, 4));
		_mm256_storeu_ps(out + i, to_float8(a, mean0, scale));
		_mm256_storeu_ps(out + i + 8, to_float8(middle, mean1, scale));
		_mm256_storeu_ps(out + i + 16, to_float8(_mm_srli_si128(b, 4), mean2, scale));
	}
	return i;
}
#endif

static void bytes_to_floats(float *out, const uint8_t *in, size_t count, const float *mean, float scale, bool swap, bool stream)
{
#if BD_SIMD_LEVEL >= 1
	size_t done = to_floats_runs(out, in, count, mean, scale, swap, stream);
#else
	size_t done = 0;
	(void)stream;
#endif
	/* `done` is a multiple of 3: the channels, and so the means, keep their places. */
	if (swap)
		to_floats_swapped(out + done, in + done, count - done, mean, scale);
	else
		to_floats(out + done, in + done, count - done, mean, scale);
}

static void swap_bytes(uint8_t *restrict out, const uint8_t *restrict in, size_t pixels)
{
	size_t i = 0, count = 3 * pixels;
#if BD_SIMD_LEVEL == 2
	for (; i + 48 <= count; i += 48)
		_mm512_mask_storeu_epi8(out + i, 0xffffffffffffull, swap48(in + i));
#endif
	for (; i + 3 <= count; i += 3) {
		out[i] = in[i + 2];
		out[i + 1] = in[i + 1];
		out[i + 2] = in[i];
	}
}

/* ---- along a line ---- */

static inline uint32_t load4(const uint8_t *bytes)
{
	uint32_t value;
	memcpy(&value, bytes, sizeof value);
	return value;
}

static void across_two_plain(float *restrict out, const uint8_t *restrict in, const int32_t *starts, const float *weights,
                             uint32_t width)
{
	for (uint32_t x = 0; x < width; x++) {
		const uint8_t *at = in + starts[x];
		for (uint32_t c = 0; c < 3; c++) {
			float a = at[c], b = at[3 + c];
			out[3 * x + c] = a + (b - a) * weights[x];
		}
	}
}

#if BD_SIMD_LEVEL == 2
/* Four pixels a turn, each in a lane of four floats of which the last is of no use; 16 floats are stored, 12 are meant. */
static uint32_t across_two_runs(float *out, const uint8_t *in, const int32_t *starts, const float *weights, uint32_t width)
{
	const __m512i pack = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15);
	const __m512i spread = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
	const __m128i split = _mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 3, 4, 5, 6, 11, 12, 13, 14);
	uint32_t x = 0;
	for (; x + 4 <= width; x += 4) {
		__m128i p01 = _mm_loadl_epi64((const __m128i *)(in + starts[x])),
			p23 = _mm_loadl_epi64((const __m128i *)(in + starts[x + 2]));
		p01 = _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(p01), (const double *)(const void *)(in + starts[x + 1])));
		p23 = _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(p23), (const double *)(const void *)(in + starts[x + 3])));
		p01 = _mm_shuffle_epi8(p01, split);
		p23 = _mm_shuffle_epi8(p23, split);
		__m512 a = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_unpacklo_epi64(p01, p23)));
		__m512 b = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_unpackhi_epi64(p01, p23)));
		__m512 weight = _mm512_permutexvar_ps(spread, _mm512_castps128_ps512(_mm_loadu_ps(weights + x)));
		__m512 value = _mm512_add_ps(a, _mm512_mul_ps(_mm512_sub_ps(b, a), weight));
		_mm512_storeu_ps(out + 3 * (size_t)x, _mm512_permutexvar_ps(pack, value));
	}
	return x;
}
#elif BD_SIMD_LEVEL == 1
static uint32_t across_two_runs(float *out, const uint8_t *in, const int32_t *starts, const float *weights, uint32_t width)
{
	const __m128i split = _mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 3, 4, 5, 6, 11, 12, 13, 14);
	uint32_t x = 0;
	for (; x + 2 <= width; x += 2) {
		__m128i pair = _mm_loadl_epi64((const __m128i *)(in + starts[x]));
		pair = _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(pair), (const double *)(const void *)(in + starts[x + 1])));
		pair = _mm_shuffle_epi8(pair, split);
		__m256 a = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(pair));
		__m256 b = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(pair, pair)));
		__m256 weight = _mm256_set_m128(_mm_set1_ps(weights[x + 1]), _mm_set1_ps(weights[x]));
		__m256 value = _mm256_add_ps(a, _mm256_mul_ps(_mm256_sub_ps(b, a), weight));
		_mm_storeu_ps(out + 3 * (size_t)x, _mm256_castps256_ps128(value));
		_mm_storeu_ps(out + 3 * (size_t)x + 3, _mm256_extractf128_ps(value, 1));
	}
	return x;
}
#endif

static void across_two(float *out, const uint8_t *in, const int32_t *starts, const float *weights, uint32_t width)
{
#if BD_SIMD_LEVEL >= 1
	uint32_t done = across_two_runs(out, in, starts, weights, width);
#else
	uint32_t done = 0;
#endif
	across_two_plain(out + 3 * (size_t)done, in, starts + done, weights + done, width - done);
}

static void across_grey(float *restrict out, const uint8_t *restrict in, const int32_t *starts, const float *weights, uint32_t taps,
                        uint32_t width)
{
	for (uint32_t x = 0; x < width; x++) {
		const uint8_t *at = in + starts[x];
		float sum = 0;
		for (uint32_t k = 0; k < taps; k++)
			sum += (float)at[k] * weights[(size_t)x * taps + k];
		out[x] = sum;
	}
}

#if BD_SIMD_LEVEL >= 1
static inline __m128 pixel_floats(const uint8_t *at)
{
	return _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128((int)load4(at))));
}

static void across_colour(float *out, const uint8_t *in, const int32_t *starts, const float *weights, uint32_t taps, uint32_t width)
{
	uint32_t x = 0;
	for (; x + 2 <= width; x += 2) { /* two sums at a time hide the latency of the additions */
		const uint8_t *at0 = in + starts[x], *at1 = in + starts[x + 1];
		const float *weight0 = weights + (size_t)x * taps, *weight1 = weight0 + taps;
		__m128 sum0 = _mm_setzero_ps(), sum1 = _mm_setzero_ps();
		for (uint32_t k = 0; k < taps; k++) {
			sum0 = _mm_add_ps(sum0, _mm_mul_ps(pixel_floats(at0 + 3 * (size_t)k), _mm_set1_ps(weight0[k])));
			sum1 = _mm_add_ps(sum1, _mm_mul_ps(pixel_floats(at1 + 3 * (size_t)k), _mm_set1_ps(weight1[k])));
		}
		_mm_storeu_ps(out + 3 * (size_t)x, sum0);
		_mm_storeu_ps(out + 3 * (size_t)x + 3, sum1);
	}
	for (; x < width; x++) {
		__m128 sum = _mm_setzero_ps();
		for (uint32_t k = 0; k < taps; k++)
			sum = _mm_add_ps(sum, _mm_mul_ps(pixel_floats(in + starts[x] + 3 * (size_t)k),
			                                 _mm_set1_ps(weights[(size_t)x * taps + k])));
		_mm_storeu_ps(out + 3 * (size_t)x, sum);
	}
}
#else
static void across_colour(float *restrict out, const uint8_t *restrict in, const int32_t *starts, const float *weights,
                          uint32_t taps, uint32_t width)
{
	(void)load4;
	for (uint32_t x = 0; x < width; x++) {
		const uint8_t *at = in + starts[x];
		float sum[3] = { 0 };
		for (uint32_t k = 0; k < taps; k++)
			for (uint32_t c = 0; c < 3; c++)
				sum[c] += (float)at[3 * (size_t)k + c] * weights[(size_t)x * taps + k];
		memcpy(out + 3 * (size_t)x, sum, sizeof sum);
	}
}
#endif

static void across_many(float *out, const uint8_t *in, const int32_t *starts, const float *weights, uint32_t taps, uint32_t width,
                        uint32_t channels)
{
	if (channels == 1)
		across_grey(out, in, starts, weights, taps, width);
	else
		across_colour(out, in, starts, weights, taps, width);
}

/* ---- across lines ---- */

static void down_one(float *restrict out, const float *restrict a, float weight, size_t count, const float *restrict mean,
                     float scale)
{
	size_t i = 0;
	for (; i + BD_MEAN_PERIOD <= count; i += BD_MEAN_PERIOD)
		for (size_t j = 0; j < BD_MEAN_PERIOD; j++)
			out[i + j] = (a[i + j] * weight - mean[j]) * scale;
	for (size_t j = 0; i + j < count; j++)
		out[i + j] = (a[i + j] * weight - mean[j]) * scale;
}

/* The weights of two taps sum to 1: this form gives a level colour back exactly. */
static void down_two(float *restrict out, const float *restrict a, const float *restrict b, float weight, size_t count,
                     const float *restrict mean, float scale)
{
	size_t i = 0;
	for (; i + BD_MEAN_PERIOD <= count; i += BD_MEAN_PERIOD)
		for (size_t j = 0; j < BD_MEAN_PERIOD; j++)
			out[i + j] = (a[i + j] + (b[i + j] - a[i + j]) * weight - mean[j]) * scale;
	for (size_t j = 0; i + j < count; j++)
		out[i + j] = (a[i + j] + (b[i + j] - a[i + j]) * weight - mean[j]) * scale;
}

static void down(float *restrict out, const float *const *lines, const float *weights, uint32_t taps, size_t count,
                 const float *restrict mean, float scale)
{
	if (taps == 1) {
		down_one(out, lines[0], weights[0], count, mean, scale);
		return;
	}
	if (taps == 2) {
		down_two(out, lines[0], lines[1], weights[1], count, mean, scale);
		return;
	}
	for (size_t i = 0; i < count; i += BD_MEAN_PERIOD) {
		float sum[BD_MEAN_PERIOD] = { 0 };
		for (uint32_t k = 0; k < taps; k++) {
			const float *restrict line = lines[k] + i; /* may run into the line's slack: those sums are not stored */
			for (size_t j = 0; j < BD_MEAN_PERIOD; j++)
				sum[j] += line[j] * weights[k];
		}
		size_t room = count - i < BD_MEAN_PERIOD ? count - i : BD_MEAN_PERIOD;
		for (size_t j = 0; j < room; j++)
			out[i + j] = (sum[j] - mean[j]) * scale;
	}
}

static void floats_to_bytes(uint8_t *restrict out, const float *restrict in, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		float value = in[i] < 0 ? 0 : in[i] > 255 ? 255 : in[i];
		out[i] = (uint8_t)(int32_t)rintf(value);
	}
}

const struct bd_pixel_kernels BD_SIMD(bd_pixel_kernels);
const struct bd_pixel_kernels BD_SIMD(bd_pixel_kernels) = {
	.bytes_to_floats = bytes_to_floats,
	.swap_bytes = swap_bytes,
	.across_two = across_two,
	.across_many = across_many,
	.down = down,
	.floats_to_bytes = floats_to_bytes,
};
