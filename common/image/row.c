#include "common/image/row.h"

#include <string.h>

/*
 * A row of this size is written around the cache: a batch of them is larger than the cache, and the one who reads it is
 * another process, later. Smaller ones are read back from the cache sooner than they are pushed out.
 */
#define STREAM_BYTES (64u << 10)

size_t bd_row_line_floats(uint32_t width, uint32_t channels)
{
	return (size_t)width * channels + BD_LINE_SLACK;
}

void bd_row_init(struct bd_row *ret_row, const struct bd_pixel_kernels *kernels, const struct bd_image_options *options,
                 uint32_t height, uint32_t width, float *staging, void *data)
{
	struct bd_row row = {
		.kernels = kernels,
		.data = data,
		.height = height,
		.width = width,
		.channels = bd_image_output_channels(options),
		.dtype = options->dtype,
		.nchw = options->nchw,
		.scale = options->scale,
		.staging = staging,
		.plain = options->scale == 1.0f,
	};
	for (uint32_t i = 0; i < BD_MEAN_PERIOD; i++) {
		uint32_t channel = row.channels == 1 ? 0 : options->channels == BD_CHANNELS_BGR ? 2 - i % 3 : i % 3;
		row.mean[i] = options->has_mean ? options->mean[channel] : 0;
		row.plain = row.plain && row.mean[i] == 0;
	}
	*ret_row = row;
}

static float *float_line(const struct bd_row *row, uint32_t y)
{
	return (float *)row->data + (size_t)y * row->width * row->channels;
}

static uint8_t *byte_line(const struct bd_row *row, uint32_t y)
{
	return (uint8_t *)row->data + (size_t)y * row->width * row->channels;
}

/* Channels apart: line y of each plane. */
static void split_floats(const struct bd_row *row, uint32_t y, const float *restrict line)
{
	for (uint32_t c = 0; c < row->channels; c++) {
		float *restrict out = (float *)row->data + ((size_t)c * row->height + y) * row->width;
		for (uint32_t x = 0; x < row->width; x++)
			out[x] = line[(size_t)x * row->channels + c];
	}
}

static void split_bytes(const struct bd_row *row, uint32_t y, const uint8_t *restrict line)
{
	for (uint32_t c = 0; c < row->channels; c++) {
		uint8_t *restrict out = (uint8_t *)row->data + ((size_t)c * row->height + y) * row->width;
		for (uint32_t x = 0; x < row->width; x++)
			out[x] = line[(size_t)x * row->channels + c];
	}
}

/* A finished line of floats in `staging` to where the row wants it. */
static void put_staged(struct bd_row *row, uint32_t y)
{
	size_t count = (size_t)row->width * row->channels;
	if (row->dtype == BD_FLOAT32) {
		split_floats(row, y, row->staging);
	} else if (!row->nchw) {
		row->kernels->floats_to_bytes(byte_line(row, y), row->staging, count);
	} else {
		uint8_t *bytes = (uint8_t *)(row->staging + bd_row_line_floats(row->width, row->channels));
		row->kernels->floats_to_bytes(bytes, row->staging, count);
		split_bytes(row, y, bytes);
	}
}

void bd_row_blend(struct bd_row *row, uint32_t y, const float *const *lines, const float *weights, uint32_t taps)
{
	size_t count = (size_t)row->width * row->channels;
	bool direct = row->dtype == BD_FLOAT32 && !row->nchw;
	row->kernels->down(direct ? float_line(row, y) : row->staging, lines, weights, taps, count, row->mean, row->scale);
	if (!direct)
		put_staged(row, y);
}

void bd_row_put(struct bd_row *row, uint32_t y, const uint8_t *line)
{
	size_t count = (size_t)row->width * row->channels;
	if (row->dtype == BD_FLOAT32 && !row->nchw) {
		row->kernels->bytes_to_floats(float_line(row, y), line, count, row->mean, row->scale, false, false);
	} else if (row->dtype == BD_UINT8 && row->plain) {
		if (row->nchw)
			split_bytes(row, y, line);
		else
			memcpy(byte_line(row, y), line, count);
	} else {
		row->kernels->bytes_to_floats(row->staging, line, count, row->mean, row->scale, false, false);
		put_staged(row, y);
	}
}

/* Bytes with a mean or a scale: through floats, a line at a time. */
static void put_all_staged(struct bd_row *row, const uint8_t *pixels, bool swap)
{
	size_t count = (size_t)row->width * row->channels;
	for (uint32_t y = 0; y < row->height; y++) {
		row->kernels->bytes_to_floats(row->staging, pixels + y * count, count, row->mean, row->scale, swap, false);
		put_staged(row, y);
	}
}

void bd_row_put_all(struct bd_row *row, const uint8_t *pixels, bool swap)
{
	size_t count = (size_t)row->height * row->width * row->channels;
	if (row->dtype == BD_FLOAT32)
		row->kernels->bytes_to_floats(row->data, pixels, count, row->mean, row->scale, swap,
		                              count * sizeof(float) >= STREAM_BYTES);
	else if (row->plain && swap)
		row->kernels->swap_bytes(row->data, pixels, count / 3);
	else if (row->plain)
		memcpy(row->data, pixels, count);
	else
		put_all_staged(row, pixels, swap);
}
