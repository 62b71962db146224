/* One pass over memory each: what could not be done while the numbers were written. */
#include "trainer/kernels/micro.h"

#include <string.h>

void BD_SIMD(bd_scale_shift)(size_t pixels, size_t channels, const float *in, size_t in_pitch, const float *scale,
                             const float *shift, enum bd_clamp clamp, float *out, size_t out_pitch);
void BD_SIMD(bd_column_sums)(size_t pixels, size_t channels, const float *x, size_t pitch, float *sums);
void BD_SIMD(bd_column_products)(size_t pixels, size_t channels, const float *x, const float *mean, const float *y,
                                 const float *y_mean, float *sums);
void BD_SIMD(bd_add)(size_t count, const float *a, const float *b, float *out);
void BD_SIMD(bd_clamp_gradient)(size_t count, const float *y, enum bd_clamp clamp, float *dy);
void BD_SIMD(bd_from_bytes)(size_t pixels, size_t channels, const uint8_t *x, const float *mean, float scale, float *out);

static inline float clamp_one(float v, enum bd_clamp clamp)
{
	if (clamp == BD_CLAMP_NONE)
		return v;
	v = v < 0 ? 0 : v;
	return clamp == BD_CLAMP_RELU6 && v > 6 ? 6 : v;
}

BD_INLINE void scale_shift_pixel(size_t channels, const float *x, const float *scale, const float *shift, const enum bd_clamp clamp,
                                 float *y)
{
	size_t c = 0;
	for (; c + BD_VL <= channels; c += BD_VL) {
		bd_vector v = bd_load(x + c);
		if (scale)
			v *= bd_load(scale + c);
		if (shift)
			v += bd_load(shift + c);
		bd_store(y + c, bd_clamp(v, clamp));
	}
	for (; c < channels; c++)
		y[c] = clamp_one((scale ? x[c] * scale[c] : x[c]) + (shift ? shift[c] : 0), clamp);
}

void BD_SIMD(bd_scale_shift)(size_t pixels, size_t channels, const float *in, size_t in_pitch, const float *scale,
                             const float *shift, enum bd_clamp clamp, float *out, size_t out_pitch)
{
	if (!scale && !shift && in_pitch == channels && out_pitch == channels) {
		channels *= pixels;
		pixels = 1;
	}
	for (size_t p = 0; p < pixels; p++) {
		const float *x = in + p * in_pitch;
		float *y = out + p * out_pitch;
		if (clamp == BD_CLAMP_NONE)
			scale_shift_pixel(channels, x, scale, shift, BD_CLAMP_NONE, y);
		else if (clamp == BD_CLAMP_RELU)
			scale_shift_pixel(channels, x, scale, shift, BD_CLAMP_RELU, y);
		else
			scale_shift_pixel(channels, x, scale, shift, BD_CLAMP_RELU6, y);
	}
}

/* Sums `count` vectors of channels over the pixels; count is a constant. */
BD_INLINE void sum_block(size_t pixels, const float *x, size_t pitch, float *sums, const size_t count)
{
	bd_vector sum[4];
	BD_UNROLL for (size_t i = 0; i < count; i++) sum[i] = (bd_vector){ 0 };
	for (size_t p = 0; p < pixels; p++)
		BD_UNROLL for (size_t i = 0; i < count; i++) sum[i] += bd_load(x + p * pitch + i * BD_VL);
	BD_UNROLL for (size_t i = 0; i < count; i++) bd_store(sums + i * BD_VL, sum[i]);
}

void BD_SIMD(bd_column_sums)(size_t pixels, size_t channels, const float *x, size_t pitch, float *sums)
{
	size_t c = 0;
	for (; c + 4 * BD_VL <= channels; c += 4 * BD_VL)
		sum_block(pixels, x + c, pitch, sums + c, 4);
	for (; c + BD_VL <= channels; c += BD_VL)
		sum_block(pixels, x + c, pitch, sums + c, 1);
	for (; c < channels; c++) {
		float sum = 0;
		for (size_t p = 0; p < pixels; p++)
			sum += x[p * pitch + c];
		sums[c] = sum;
	}
}

void BD_SIMD(bd_column_products)(size_t pixels, size_t channels, const float *x, const float *mean, const float *y,
                                 const float *y_mean, float *sums)
{
	size_t c = 0;
	for (; c + BD_VL <= channels; c += BD_VL) {
		bd_vector sum = { 0 }, m = bd_load(mean + c), n = y_mean ? bd_load(y_mean + c) : (bd_vector){ 0 };
		for (size_t p = 0; p < pixels; p++)
			sum += (bd_load(x + p * channels + c) - m) * (bd_load(y + p * channels + c) - n);
		bd_store(sums + c, sum);
	}
	for (; c < channels; c++) {
		float sum = 0;
		for (size_t p = 0; p < pixels; p++)
			sum += (x[p * channels + c] - mean[c]) * (y[p * channels + c] - (y_mean ? y_mean[c] : 0));
		sums[c] = sum;
	}
}

void BD_SIMD(bd_add)(size_t count, const float *a, const float *b, float *out)
{
	size_t i = 0;
	for (; i + BD_VL <= count; i += BD_VL)
		bd_store(out + i, bd_load(a + i) + bd_load(b + i));
	for (; i < count; i++)
		out[i] = a[i] + b[i];
}

void BD_SIMD(bd_clamp_gradient)(size_t count, const float *y, enum bd_clamp clamp, float *dy)
{
	size_t i = 0;
	for (; i + BD_VL <= count; i += BD_VL) {
		bd_vector v = bd_load(y + i);
		bd_vector_mask open = v > 0.0f;
		if (clamp == BD_CLAMP_RELU6)
			open &= v < 6.0f;
		bd_store(dy + i, (bd_vector)((bd_vector_mask)bd_load(dy + i) & open));
	}
	for (; i < count; i++)
		if (!(y[i] > 0) || (clamp == BD_CLAMP_RELU6 && !(y[i] < 6)))
			dy[i] = 0;
}

void BD_SIMD(bd_from_bytes)(size_t pixels, size_t channels, const uint8_t *x, const float *mean, float scale, float *out)
{
	for (size_t p = 0; p < pixels; p++)
		for (size_t c = 0; c < channels; c++)
			out[p * channels + c] = ((float)x[p * channels + c] - mean[c]) * scale;
}
