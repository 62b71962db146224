/*
 * kernels.h - the loops over pixels, for the instruction sets of simd.h.
 *
 * Every level gives the same bits: sums are taken in the same order and nothing is contracted, so a batch is the same
 * on every processor. Lines that are read may be read up to BD_LINE_SLACK bytes past their end, float lines that are
 * written to `across` up to as many past theirs; rows of a slot are never touched outside.
 */
#ifndef BD_IMAGE_KERNELS_H
#define BD_IMAGE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BD_LINE_SLACK 128u

/* The mean of three channels repeated until it fits whole vectors of any width: element i belongs to channel i % 3. */
#define BD_MEAN_PERIOD 48u

struct bd_pixel_kernels {
	/*
	 * out[i] = (in[i] - mean[i % 48]) * scale for `count` elements. With `swap` the first and third of every three
	 * elements change places (count is a multiple of 3). `stream`: out is not wanted in the cache.
	 */
	void (*bytes_to_floats)(float *out, const uint8_t *in, size_t count, const float *mean, float scale, bool swap,
	                        bool stream);

	/* The first and third of every three bytes change places. */
	void (*swap_bytes)(uint8_t *out, const uint8_t *in, size_t pixels);

	/*
	 * Three channels, two taps: out[3x+c] = a + (b - a) * weights[x], a = in[starts[x] + c], b = in[starts[x] + 3 + c].
	 */
	void (*across_two)(float *out, const uint8_t *in, const int32_t *starts, const float *weights, uint32_t width);

	/* out[x * channels + c] = sum over k < taps of weights[x * taps + k] * in[starts[x] + k * channels + c]; channels 1 or 3. */
	void (*across_many)(float *out, const uint8_t *in, const int32_t *starts, const float *weights, uint32_t taps,
	                    uint32_t width, uint32_t channels);

	/* out[i] = (sum over k of weights[k] * lines[k][i] - mean[i % 48]) * scale */
	void (*down)(float *out, const float *const *lines, const float *weights, uint32_t taps, size_t count, const float *mean,
	             float scale);

	/* Rounded half to even, clipped to 0 .. 255. */
	void (*floats_to_bytes)(uint8_t *out, const float *in, size_t count);
};

/* The best for this processor; chosen once. Any thread. */
const struct bd_pixel_kernels *bd_pixel_kernels(void);

/* One level, for tests and benchmarks; levels above the processor's must not be called. */
const struct bd_pixel_kernels *bd_pixel_kernels_of(int level);

#endif
