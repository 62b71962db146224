#include "common/image/axis.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"

/* TensorFlow takes bicubic weights at positions rounded to this part of a pixel. */
#define CUBIC_STEPS 1024

/* Keys' cubic, and what TensorFlow 1 used. */
#define KEYS_A (-0.5)
#define TF1_A (-0.75)

#define MAX_CUBIC_TAPS 4

void bd_axis_finish(struct bd_axis *axis)
{
	free(axis->starts);
	free(axis->weights);
	*axis = (struct bd_axis){ 0 };
}

static int reserve(struct bd_axis *axis, uint64_t limit_bytes, struct bd_error *error)
{
	size_t weights = (size_t)axis->out * axis->taps + axis->taps;
	if (weights > limit_bytes / sizeof(float))
		return bd_error_set(error, -EFBIG, "resizing %u pixels to %u needs more than the limit of %llu bytes of memory",
		                    axis->in, axis->out, (unsigned long long)limit_bytes);
	/* Vectors of weights are loaded whole: a little more than counted. */
	if (axis->room_out < axis->out) {
		free(axis->starts);
		axis->starts = malloc((axis->out + 16) * sizeof *axis->starts);
		axis->room_out = axis->starts ? axis->out : 0;
	}
	if (axis->room_weights < weights) {
		free(axis->weights);
		axis->weights = malloc((weights + 16) * sizeof *axis->weights);
		axis->room_weights = axis->weights ? weights : 0;
	}
	if (!axis->starts || !axis->weights)
		return bd_error_set(error, -ENOMEM, "no memory to resize a picture");
	return 0;
}

/*
 * Sets the taps of output x: `count` weights from input `first` on, where taps outside of the input have been left out.
 * Near the far edge the row of taps begins earlier, so that all of it lies inside.
 */
static void set(struct bd_axis *axis, uint32_t x, int64_t first, const float *weights, uint32_t count)
{
	int64_t start = first;
	if (start + axis->taps > axis->in)
		start = (int64_t)axis->in - axis->taps;
	float *row = axis->weights + (size_t)x * axis->taps;
	memset(row, 0, axis->taps * sizeof *row);
	memcpy(row + (first - start), weights, count * sizeof *row);
	axis->starts[x] = (int32_t)start;
}

static int64_t clamp(int64_t value, int64_t last)
{
	return value < 0 ? 0 : value > last ? last : value;
}

/* ---- TensorFlow's kernels without antialias; positions in float, as there ---- */

static float position(uint32_t x, float scale, bool half_pixel)
{
	return half_pixel ? ((float)x + 0.5f) * scale - 0.5f : (float)x * scale;
}

static void plan_nearest(struct bd_axis *axis, float scale, bool half_pixel)
{
	static const float one = 1;
	for (uint32_t x = 0; x < axis->out; x++) {
		float at = half_pixel ? ((float)x + 0.5f) * scale : (float)x * scale;
		set(axis, x, clamp((int64_t)floorf(at), (int64_t)axis->in - 1), &one, 1);
	}
}

static void plan_bilinear(struct bd_axis *axis, float scale, bool half_pixel)
{
	for (uint32_t x = 0; x < axis->out; x++) {
		float at = position(x, scale, half_pixel), below = floorf(at), part = at - below;
		int64_t last = (int64_t)axis->in - 1, lower = clamp((int64_t)below, last), upper = clamp((int64_t)ceilf(at), last);
		if (axis->taps == 1 || lower == upper) {
			/* On a pixel, or past an edge: that pixel alone, but as the pair with the next one where there is one. */
			set(axis, x, lower, (const float[]){ 1 }, 1);
			continue;
		}
		set(axis, x, lower, (const float[]){ 1 - part, part }, 2);
	}
}

static float cubic_near(double a, int step)
{
	float x = (float)(step * 1.0 / CUBIC_STEPS);
	return (float)(((a + 2) * x - (a + 3)) * x * x + 1);
}

static float cubic_far(double a, int step)
{
	float x = (float)(step * 1.0 / CUBIC_STEPS) + 1;
	return (float)(((a * x - 5 * a) * x + 8 * a) * x - 4 * a);
}

/* Half-pixel: taps outside are left out and the rest divided by its sum. TensorFlow 1: the edge pixel stands in for them. */
static void plan_bicubic(struct bd_axis *axis, float scale, bool half_pixel)
{
	double a = half_pixel ? KEYS_A : TF1_A;
	int64_t last = (int64_t)axis->in - 1;
	for (uint32_t x = 0; x < axis->out; x++) {
		float at = position(x, scale, half_pixel);
		int64_t base = (int64_t)floorf(at), first = clamp(base - 1, last), end = clamp(base + 2, last);
		int step = (int)lrintf((at - floorf(at)) * CUBIC_STEPS);
		const float tap[4] = { cubic_far(a, step), cubic_near(a, step), cubic_near(a, CUBIC_STEPS - step),
			               cubic_far(a, CUBIC_STEPS - step) };
		float row[MAX_CUBIC_TAPS] = { 0 }, sum = 0;
		for (int k = 0; k < 4; k++) {
			int64_t wanted = base - 1 + k, at_pixel = clamp(wanted, last);
			if (half_pixel && wanted != at_pixel)
				continue;
			row[at_pixel - first] += tap[k];
			sum += tap[k];
		}
		for (int k = 0; half_pixel && k < MAX_CUBIC_TAPS; k++)
			row[k] /= sum;
		set(axis, x, first, row, (uint32_t)(end - first + 1));
	}
}

/* The mean over [x, x + 1) * scale, parts of pixels by their share; TensorFlow divides by the scale, not by the sum. */
static void plan_area(struct bd_axis *axis, float scale, float *row)
{
	int64_t last = (int64_t)axis->in - 1;
	for (uint32_t x = 0; x < axis->out; x++) {
		float from = (float)x * scale, to = (float)(x + 1) * scale;
		int64_t begin = (int64_t)floorf(from), end = (int64_t)ceilf(to), first = clamp(begin, last),
			final = clamp(end - 1, last);
		memset(row, 0, axis->taps * sizeof *row);
		for (int64_t i = begin; i < end; i++) {
			float next = (float)(i + 1), share = (float)i < from ? (next > to ? scale : next - from)
			                                     : next > to     ? to - (float)i
			                                                     : 1;
			row[clamp(i, last) - first] += share / scale;
		}
		set(axis, x, first, row, (uint32_t)(final - first + 1));
	}
}

/* ---- antialias ---- */

static double triangle(double x)
{
	return x < 1 ? 1 - x : 0;
}

static double keys_cubic(double x)
{
	if (x >= 2)
		return 0;
	if (x >= 1)
		return ((KEYS_A * x - 5 * KEYS_A) * x + 8 * KEYS_A) * x - 4 * KEYS_A;
	return ((KEYS_A + 2) * x - (KEYS_A + 3)) * x * x + 1;
}

struct span {
	double centre, widen;
	int64_t first, end; /* inclusive */
};

static struct span span_of(const struct bd_axis *axis, uint32_t x, double radius)
{
	double scale = (double)axis->in / axis->out, widen = scale > 1 ? scale : 1, centre = (x + 0.5) * scale;
	int64_t last = (int64_t)axis->in - 1;
	return (struct span){
		.centre = centre,
		.widen = widen,
		.first = clamp((int64_t)ceil(centre - radius * widen - 0.5), last),
		.end = clamp((int64_t)floor(centre + radius * widen - 0.5), last),
	};
}

static void plan_antialias(struct bd_axis *axis, double radius, double (*kernel)(double), float *row)
{
	for (uint32_t x = 0; x < axis->out; x++) {
		struct span span = span_of(axis, x, radius);
		double sum = 0;
		for (int64_t i = span.first; i <= span.end; i++)
			sum += kernel(fabs((double)i + 0.5 - span.centre) / span.widen);
		for (int64_t i = span.first; i <= span.end; i++)
			row[i - span.first] = (float)(kernel(fabs((double)i + 0.5 - span.centre) / span.widen) / sum);
		set(axis, x, span.first, row, (uint32_t)(span.end - span.first + 1));
	}
}

/* ---- all ---- */

static double antialias_radius(enum bd_resize_method method)
{
	return method == BD_RESIZE_BICUBIC_ANTIALIAS ? 2 : 1;
}

/* The most taps that an output of this axis can have. */
static uint32_t taps_of(uint32_t in, uint32_t out, enum bd_resize_method method)
{
	double scale = (double)in / out, taps = 1;
	switch (method) {
	case BD_RESIZE_NEAREST:
	case BD_RESIZE_TF1_NEAREST:
		taps = 1;
		break;
	case BD_RESIZE_BILINEAR:
	case BD_RESIZE_TF1_BILINEAR:
		taps = 2;
		break;
	case BD_RESIZE_BICUBIC:
	case BD_RESIZE_TF1_BICUBIC:
		taps = MAX_CUBIC_TAPS;
		break;
	case BD_RESIZE_AREA:
	case BD_RESIZE_TF1_AREA:
		taps = ceil(scale) + 2; /* positions are floats: one more on each side may be touched */
		break;
	case BD_RESIZE_ANTIALIAS:
	case BD_RESIZE_BICUBIC_ANTIALIAS:
		taps = 2 * ceil(antialias_radius(method) * (scale > 1 ? scale : 1)) + 1;
		break;
	}
	return taps > in ? in : (uint32_t)taps;
}

static void plan(struct bd_axis *axis, enum bd_resize_method method, float *row)
{
	float scale = (float)axis->in / (float)axis->out;
	switch (method) {
	case BD_RESIZE_NEAREST:
	case BD_RESIZE_TF1_NEAREST:
		plan_nearest(axis, scale, method == BD_RESIZE_NEAREST);
		break;
	case BD_RESIZE_BILINEAR:
	case BD_RESIZE_TF1_BILINEAR:
		plan_bilinear(axis, scale, method == BD_RESIZE_BILINEAR);
		break;
	case BD_RESIZE_BICUBIC:
	case BD_RESIZE_TF1_BICUBIC:
		plan_bicubic(axis, scale, method == BD_RESIZE_BICUBIC);
		break;
	case BD_RESIZE_AREA:
	case BD_RESIZE_TF1_AREA:
		plan_area(axis, scale, row);
		break;
	case BD_RESIZE_ANTIALIAS:
		plan_antialias(axis, 1, triangle, row);
		break;
	case BD_RESIZE_BICUBIC_ANTIALIAS:
		plan_antialias(axis, 2, keys_cubic, row);
		break;
	}
}

static void mirror_outputs(struct bd_axis *axis)
{
	for (uint32_t i = 0; i < axis->out / 2; i++) {
		uint32_t j = axis->out - 1 - i;
		int32_t start = axis->starts[i];
		axis->starts[i] = axis->starts[j];
		axis->starts[j] = start;
		float *a = axis->weights + (size_t)i * axis->taps, *b = axis->weights + (size_t)j * axis->taps;
		for (uint32_t k = 0; k < axis->taps; k++) {
			float weight = a[k];
			a[k] = b[k];
			b[k] = weight;
		}
	}
}

int bd_axis_plan(struct bd_axis *axis, uint32_t in, uint32_t out, enum bd_resize_method method, bool mirror, uint64_t limit_bytes,
                 struct bd_error *error)
{
	axis->in = in;
	axis->out = out;
	axis->taps = taps_of(in, out, method);
	int status = reserve(axis, limit_bytes, error);
	if (status)
		return status;
	plan(axis, method,
	     axis->weights +
	             (size_t)axis->out * axis->taps); /* the spare taps at the end: one output's weights before they are set */
	if (mirror)
		mirror_outputs(axis);
	return 0;
}
