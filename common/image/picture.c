#include "common/image/picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/image/augment.h"
#include "common/image/axis.h"
#include "common/image/kernels.h"
#include "common/image/row.h"
#include "common/image/source.h"

struct bd_picture_decoder {
	const struct bd_pixel_kernels *kernels;
	uint64_t memory_limit;
	struct bd_source source;
	struct bd_axis across, down;
	int32_t *offsets; /* across.starts in bytes of a line */
	float *pair_weights; /* with two taps: the second's weight */
	size_t columns_room;
	float *ring; /* (down.taps, line): lines resized across, line i at i % taps */
	size_t ring_room;
	const float **taps; /* (down.taps) the lines of one output line */
	size_t taps_room;
	float *staging; /* one output line, and one of bytes for flips */
	size_t staging_room;
};

int bd_picture_decoder_create(uint64_t memory_limit_bytes, struct bd_picture_decoder **ret_decoder, struct bd_error *error)
{
	struct bd_picture_decoder *decoder = calloc(1, sizeof *decoder);
	if (!decoder)
		return bd_error_set(error, -ENOMEM, "no memory for a picture decoder");
	decoder->kernels = bd_pixel_kernels();
	decoder->memory_limit = memory_limit_bytes;
	bd_source_init(&decoder->source, memory_limit_bytes);
	*ret_decoder = decoder;
	return 0;
}

void bd_picture_decoder_destroy(struct bd_picture_decoder *decoder)
{
	if (!decoder)
		return;
	bd_source_finish(&decoder->source);
	bd_axis_finish(&decoder->across);
	bd_axis_finish(&decoder->down);
	free(decoder->offsets);
	free(decoder->pair_weights);
	free(decoder->ring);
	free(decoder->taps);
	free(decoder->staging);
	free(decoder);
}

/* Buffers only grow; what they held is not wanted. */
static int grow(const struct bd_picture_decoder *decoder, void **buffer, size_t *room, size_t count, size_t element,
                struct bd_error *error)
{
	if (count <= *room)
		return 0;
	if (count > decoder->memory_limit / element)
		return bd_error_set(error, -EFBIG, "resizing needs more than the limit of %llu bytes of memory",
		                    (unsigned long long)decoder->memory_limit);
	free(*buffer);
	*buffer = calloc(count, element);
	*room = *buffer ? count : 0;
	return *buffer ? 0 : bd_error_set(error, -ENOMEM, "no memory to decode a picture");
}

/* ---- no resize: lines go straight to the row ---- */

static const uint8_t *mirrored(struct bd_picture_decoder *decoder, const uint8_t *line, uint32_t width, uint32_t channels)
{
	uint8_t *out = (uint8_t *)(decoder->staging + bd_row_line_floats(width, channels));
	for (uint32_t x = 0; x < width; x++)
		for (uint32_t c = 0; c < channels; c++)
			out[(size_t)x * channels + c] = line[(size_t)(width - 1 - x) * channels + c];
	return out;
}

static int copy_lines(struct bd_picture_decoder *decoder, struct bd_row *row, bool flip, struct bd_error *error)
{
	struct bd_source *source = &decoder->source;
	const uint8_t *all = flip || row->nchw ? NULL : bd_source_all(source);
	if (all) {
		bd_row_put_all(row, all, source->swap);
		return 0;
	}
	for (uint32_t y = 0; y < row->height; y++) {
		const uint8_t *line = NULL;
		int status = bd_source_line(source, y, &line, error);
		if (status)
			return status;
		bd_row_put(row, y, flip ? mirrored(decoder, line, row->width, row->channels) : line);
	}
	return 0;
}

/* ---- resize ---- */

static int plan(struct bd_picture_decoder *decoder, const struct bd_image_options *options, const struct bd_row *row, bool flip,
                struct bd_error *error)
{
	const struct bd_box *box = &decoder->source.box;
	uint64_t limit = decoder->memory_limit;
	int status = bd_axis_plan(&decoder->across, box->width, row->width, options->resize_method, flip, limit, error);
	if (!status)
		status = bd_axis_plan(&decoder->down, box->height, row->height, options->resize_method, false, limit, error);
	if (status)
		return status;
	size_t columns = decoder->columns_room;
	status = grow(decoder, (void **)&decoder->offsets, &columns, row->width + 16u, sizeof(int32_t), error);
	if (!status)
		status = grow(decoder, (void **)&decoder->pair_weights, &decoder->columns_room, row->width + 16u, sizeof(float),
		              error);
	if (!status)
		status = grow(decoder, (void **)&decoder->taps, &decoder->taps_room, decoder->down.taps, sizeof(float *), error);
	size_t line = bd_row_line_floats(row->width, row->channels), ring = 0;
	if (!status && !bd_multiply_size(line, decoder->down.taps, &ring))
		status = bd_error_set(error, -EFBIG, "resizing needs too much memory");
	if (!status)
		status = grow(decoder, (void **)&decoder->ring, &decoder->ring_room, ring, sizeof(float), error);
	if (status)
		return status;
	for (uint32_t x = 0; x < row->width; x++) {
		decoder->offsets[x] = decoder->across.starts[x] * (int32_t)row->channels;
		if (decoder->across.taps == 2)
			decoder->pair_weights[x] = decoder->across.weights[2 * (size_t)x + 1];
	}
	return 0;
}

static void resize_across(struct bd_picture_decoder *decoder, float *out, const uint8_t *line, const struct bd_row *row)
{
	const struct bd_axis *axis = &decoder->across;
	if (axis->taps == 2 && row->channels == 3)
		decoder->kernels->across_two(out, line, decoder->offsets, decoder->pair_weights, row->width);
	else
		decoder->kernels->across_many(out, line, decoder->offsets, axis->weights, axis->taps, row->width, row->channels);
}

static int resize_lines(struct bd_picture_decoder *decoder, struct bd_row *row, struct bd_error *error)
{
	const struct bd_axis *down = &decoder->down;
	size_t stride = bd_row_line_floats(row->width, row->channels);
	uint32_t next = 0; /* the first line that is not in the ring yet */
	for (uint32_t y = 0; y < row->height; y++) {
		uint32_t first = (uint32_t)down->starts[y];
		if (next < first)
			next = first;
		for (; next < first + down->taps; next++) {
			const uint8_t *line = NULL;
			int status = bd_source_line(&decoder->source, next, &line, error);
			if (status)
				return status;
			resize_across(decoder, decoder->ring + (next % down->taps) * stride, line, row);
		}
		for (uint32_t k = 0; k < down->taps; k++)
			decoder->taps[k] = decoder->ring + ((first + k) % down->taps) * stride;
		bd_row_blend(row, y, decoder->taps, down->weights + (size_t)y * down->taps, down->taps);
	}
	return 0;
}

/* ---- all ---- */

/* The largest reduction of the decoder that leaves the box at least as large as the output. */
static uint32_t denominator_of(const struct bd_image_options *options, struct bd_box box, uint32_t height, uint32_t width)
{
	uint32_t denominator = 1;
	if (options->decode == BD_DECODE_SCALED)
		while (denominator < 8 && box.height >= 2ull * denominator * height && box.width >= 2ull * denominator * width)
			denominator *= 2;
	return denominator;
}

static int check_size(const struct bd_image_options *options, struct bd_box box, uint32_t height, uint32_t width,
                      struct bd_error *error)
{
	bool resizes = options->resize_height || options->crop != BD_CROP_NONE;
	if (resizes || (box.height == height && box.width == width))
		return 0;
	return bd_error_set(error, -EBADMSG, "the picture has %u x %u pixels, not the %u x %u of its shape; 'resize:' would fit it",
	                    box.height, box.width, height, width);
}

static int decode(struct bd_picture_decoder *decoder, const struct bd_image_options *options, struct bd_augment augment,
                  uint32_t height, uint32_t width, void *data, struct bd_error *error)
{
	uint32_t denominator = decoder->source.encoding == BD_ENCODING_JPEG ? denominator_of(options, augment.box, height, width)
	                                                                    : 1;
	int status = bd_source_start(&decoder->source, options, augment.box, denominator, error);
	size_t line = bd_row_line_floats(width, 3);
	if (!status)
		status = grow(decoder, (void **)&decoder->staging, &decoder->staging_room, 2 * line, sizeof(float), error);
	if (status)
		return status;
	struct bd_row row;
	bd_row_init(&row, decoder->kernels, options, height, width, decoder->staging, data);
	bool same = decoder->source.box.height == height && decoder->source.box.width == width;
	if (same) {
		status = copy_lines(decoder, &row, augment.flip, error);
	} else {
		status = plan(decoder, options, &row, augment.flip, error);
		if (!status)
			status = resize_lines(decoder, &row, error);
	}
	return status ? status : bd_source_end(&decoder->source, error);
}

/*
 * A picture file of a dataset that was converted: what `tfrecord convert` did comes first, and its result is a raw record. Only single
 * files come here, so that this may allocate.
 */
static int decode_converted(struct bd_picture_decoder *decoder, const struct bd_image_options *options, const uint8_t *bytes,
                            size_t length, struct bd_picture_key key, void *ret_row, struct bd_error *error)
{
	struct bd_image_options raw = *options;
	struct bd_pixels whole = { 0 }, small = { 0 };
	int status = bd_picture_decode_whole(decoder, bytes, length, options->channels == BD_CHANNELS_GREY ? 0 : 3, &whole, error);
	if (!status)
		status = bd_pil_resize(&whole, options->converted_height, options->converted_width, options->converted_filter,
		                       &small, error);
	bd_pixels_finish(&whole);
	if (status)
		return status;
	raw.encoding = BD_ENCODING_RAW;
	raw.decode = BD_DECODE_EXACT;
	raw.raw_height = small.height;
	raw.raw_width = small.width;
	raw.raw_channels = small.channels;
	raw.converted_height = raw.converted_width = 0;
	status = bd_picture_decode(decoder, &raw, small.data, (size_t)small.height * small.width * small.channels, key, ret_row,
	                           error);
	bd_pixels_finish(&small);
	return status;
}

int bd_picture_decode(struct bd_picture_decoder *decoder, const struct bd_image_options *options, const uint8_t *bytes,
                      size_t length, struct bd_picture_key key, void *ret_row, struct bd_error *error)
{
	uint32_t height = 0, width = 0;
	int status = bd_image_output_size(options, &height, &width, error);
	if (!status)
		status = bd_source_open(&decoder->source, options, bytes, length, error);
	if (status)
		return status;
	struct bd_source *source = &decoder->source;
	if (options->converted_height && source->encoding != BD_ENCODING_RAW &&
	    (source->height != options->converted_height || source->width != options->converted_width))
		return decode_converted(decoder, options, bytes, length, key, ret_row, error);
	struct bd_augment augment = bd_augment_draw(options, source->height, source->width, key.seed, key.epoch, key.record);
	status = check_size(options, augment.box, height, width, error);
	return status ? status : decode(decoder, options, augment, height, width, ret_row, error);
}

int bd_picture_decode_whole(struct bd_picture_decoder *decoder, const uint8_t *bytes, size_t length, uint32_t channels,
                            struct bd_pixels *ret_pixels, struct bd_error *error)
{
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.dtype = BD_UINT8;
	uint32_t height = 0, width = 0, stored = 0;
	int status = bd_picture_size(bytes, length, &height, &width, &stored, error);
	if (status)
		return status;
	options.channels = (channels ? channels : stored) == 1 ? BD_CHANNELS_GREY : BD_CHANNELS_RGB;
	options.raw_height = height;
	options.raw_width = width;
	options.encoding = bd_encoding_of(bytes, length);
	struct bd_pixels pixels = { 0 };
	uint64_t samples = (uint64_t)height * width * bd_image_output_channels(&options);
	if (samples > decoder->memory_limit)
		return bd_error_set(error, -EFBIG, "a picture of %u x %u pixels needs more than the limit of %llu bytes of memory",
		                    height, width, (unsigned long long)decoder->memory_limit);
	status = bd_pixels_init(&pixels, height, width, bd_image_output_channels(&options), error);
	if (!status)
		status = bd_picture_decode(decoder, &options, bytes, length, (struct bd_picture_key){ 0 }, pixels.data, error);
	if (status)
		bd_pixels_finish(&pixels);
	else
		*ret_pixels = pixels;
	return status;
}
