#include "common/image/pil_resize.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/arithmetic.h"

/* Weights are whole numbers of 1/2^22: 8 bits of a pixel, 2 bits for sums past 255 and below 0. */
#define PRECISION_BITS 22

struct filter {
	double (*weight)(double x);
	double support;
};

static double box(double x)
{
	return x > -0.5 && x <= 0.5;
}

static double bilinear(double x)
{
	x = fabs(x);
	return x < 1.0 ? 1.0 - x : 0.0;
}

static double bicubic(double x)
{
	const double a = -0.5;
	x = fabs(x);
	if (x < 1.0)
		return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
	if (x < 2.0)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0.0;
}

static const struct filter filters[] = {
	[BD_PIL_BOX] = { box, 0.5 },
	[BD_PIL_BILINEAR] = { bilinear, 1.0 },
	[BD_PIL_BICUBIC] = { bicubic, 2.0 },
};

/* Taps of each output along one side. */
struct taps {
	uint32_t most; /* room for each output */
	uint32_t *firsts, *counts;
	int32_t *weights; /* (out, most) */
};

static void taps_finish(struct taps *taps)
{
	free(taps->firsts);
	free(taps->counts);
	free(taps->weights);
}

static void plan_one(struct taps *taps, uint32_t x, uint32_t in, double scale, const struct filter *filter, double *row)
{
	double widen = scale < 1.0 ? 1.0 : scale, support = filter->support * widen, centre = (x + 0.5) * scale, sum = 0;
	double low = centre - support + 0.5, high = centre + support + 0.5;
	uint32_t first = low < 0 ? 0 : (uint32_t)low, end = high > in ? in : (uint32_t)high, count = end - first;
	for (uint32_t k = 0; k < count; k++) {
		row[k] = filter->weight((k + (double)first - centre + 0.5) * (1.0 / widen));
		sum += row[k];
	}
	int32_t *weights = taps->weights + (size_t)x * taps->most;
	for (uint32_t k = 0; k < count; k++) {
		double weight = (sum != 0.0 ? row[k] * (1.0 / sum) : row[k]) * (1 << PRECISION_BITS);
		weights[k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
	}
	taps->firsts[x] = first;
	taps->counts[x] = count;
}

static int taps_init(struct taps *ret_taps, uint32_t in, uint32_t out, const struct filter *filter, struct bd_error *error)
{
	double scale = (double)in / out, widen = scale < 1.0 ? 1.0 : scale;
	struct taps taps = { .most = (uint32_t)ceil(filter->support * widen) * 2 + 1 };
	taps.firsts = malloc(out * sizeof *taps.firsts);
	taps.counts = malloc(out * sizeof *taps.counts);
	taps.weights = malloc((size_t)out * taps.most * sizeof *taps.weights);
	double *row = malloc(taps.most * sizeof *row);
	if (!taps.firsts || !taps.counts || !taps.weights || !row) {
		taps_finish(&taps);
		free(row);
		return bd_error_set(error, -ENOMEM, "no memory to resize a picture");
	}
	for (uint32_t x = 0; x < out; x++)
		plan_one(&taps, x, in, scale, filter, row);
	free(row);
	*ret_taps = taps;
	return 0;
}

static uint8_t clip(int32_t sum)
{
	int32_t value = sum >> PRECISION_BITS;
	return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

static int across(const struct bd_pixels *in, uint32_t width, const struct filter *filter, struct bd_pixels *ret_pixels,
                  struct bd_error *error)
{
	struct taps taps = { 0 };
	struct bd_pixels out = { 0 };
	int status = taps_init(&taps, in->width, width, filter, error);
	if (!status)
		status = bd_pixels_init(&out, in->height, width, in->channels, error);
	uint32_t channels = in->channels;
	for (uint32_t y = 0; !status && y < in->height; y++) {
		const uint8_t *from = bd_pixels_line(in, y);
		uint8_t *to = bd_pixels_line(&out, y);
		for (uint32_t x = 0; x < width; x++)
			for (uint32_t c = 0; c < channels; c++) {
				const int32_t *weights = taps.weights + (size_t)x * taps.most;
				const uint8_t *at = from + (size_t)taps.firsts[x] * channels + c;
				int32_t sum = 1 << (PRECISION_BITS - 1);
				for (uint32_t k = 0; k < taps.counts[x]; k++)
					sum += at[(size_t)k * channels] * weights[k];
				to[(size_t)x * channels + c] = clip(sum);
			}
	}
	taps_finish(&taps);
	if (!status)
		*ret_pixels = out;
	return status;
}

/* One output line: sums over whole lines, which the compiler turns into vectors. */
static void down_line(const struct bd_pixels *in, uint32_t first, uint32_t count, const int32_t *weights, int32_t *sums,
                      uint8_t *to)
{
	size_t elements = (size_t)in->width * in->channels;
	for (size_t i = 0; i < elements; i++)
		sums[i] = 1 << (PRECISION_BITS - 1);
	for (uint32_t k = 0; k < count; k++) {
		const uint8_t *from = bd_pixels_line(in, first + k);
		for (size_t i = 0; i < elements; i++)
			sums[i] += from[i] * weights[k];
	}
	for (size_t i = 0; i < elements; i++)
		to[i] = clip(sums[i]);
}

static int down(const struct bd_pixels *in, uint32_t height, const struct filter *filter, struct bd_pixels *ret_pixels,
                struct bd_error *error)
{
	struct taps taps = { 0 };
	struct bd_pixels out = { 0 };
	int32_t *sums = malloc(((size_t)in->width * in->channels + 1) * sizeof *sums);
	int status = sums ? taps_init(&taps, in->height, height, filter, error)
	                  : bd_error_set(error, -ENOMEM, "no memory to resize a picture");
	if (!status)
		status = bd_pixels_init(&out, height, in->width, in->channels, error);
	for (uint32_t y = 0; !status && y < height; y++)
		down_line(in, taps.firsts[y], taps.counts[y], taps.weights + (size_t)y * taps.most, sums, bd_pixels_line(&out, y));
	taps_finish(&taps);
	free(sums);
	if (!status)
		*ret_pixels = out;
	return status;
}

static int copy(const struct bd_pixels *in, struct bd_pixels *ret_pixels, struct bd_error *error)
{
	int status = bd_pixels_init(ret_pixels, in->height, in->width, in->channels, error);
	for (size_t i = 0; !status && i < bd_pixels_bytes(in); i++)
		ret_pixels->data[i] = in->data[i];
	return status;
}

static int nearest(const struct bd_pixels *in, uint32_t height, uint32_t width, struct bd_pixels *ret_pixels,
                   struct bd_error *error)
{
	struct bd_pixels out;
	uint32_t *columns = malloc(width * sizeof *columns);
	int status = columns ? bd_pixels_init(&out, height, width, in->channels, error)
	                     : bd_error_set(error, -ENOMEM, "no memory to resize a picture");
	if (status) {
		free(columns);
		return status;
	}
	double step_x = (double)in->width / width, step_y = (double)in->height / height, at_x = step_x * 0.5, at_y = step_y * 0.5;
	for (uint32_t x = 0; x < width; x++, at_x += step_x)
		columns[x] = at_x < in->width ? (uint32_t)at_x : in->width - 1;
	for (uint32_t y = 0; y < height; y++, at_y += step_y) {
		const uint8_t *from = bd_pixels_line(in, at_y < in->height ? (uint32_t)at_y : in->height - 1);
		uint8_t *to = bd_pixels_line(&out, y);
		for (uint32_t x = 0; x < width; x++)
			for (uint32_t c = 0; c < in->channels; c++)
				to[(size_t)x * in->channels + c] = from[(size_t)columns[x] * in->channels + c];
	}
	free(columns);
	*ret_pixels = out;
	return 0;
}

int bd_pil_resize(const struct bd_pixels *in, uint32_t height, uint32_t width, enum bd_pil_filter filter,
                  struct bd_pixels *ret_pixels, struct bd_error *error)
{
	if (!in->height || !in->width || !height || !width)
		return bd_error_set(error, -EINVAL, "a picture without pixels cannot be resized");
	if (in->height == height && in->width == width)
		return copy(in, ret_pixels, error);
	if (filter == BD_PIL_NEAREST)
		return nearest(in, height, width, ret_pixels, error);
	const struct filter *kernel = &filters[filter];
	struct bd_pixels middle = { 0 };
	int status = in->width == width ? 0 : across(in, width, kernel, &middle, error);
	if (status)
		return status;
	const struct bd_pixels *wide = middle.data ? &middle : in;
	if (wide->height == height) {
		*ret_pixels = middle;
		return 0;
	}
	status = down(wide, height, kernel, ret_pixels, error);
	bd_pixels_finish(&middle);
	return status;
}
