#include "common/image/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/image/jpeg.h"
#include "common/image/kernels.h"
#include "common/image/png.h"

/*
 * libjpeg-turbo's colour conversion writes around the cache where a line begins at a multiple of 32, and each line here is read
 * at once: from memory, that was a quarter of all time. So lines begin beside such a multiple.
 */
#define LINE_OFFSET 16u

void bd_source_init(struct bd_source *ret_source, uint64_t memory_limit_bytes)
{
	*ret_source = (struct bd_source){ .memory_limit = memory_limit_bytes };
}

void bd_source_finish(struct bd_source *source)
{
	bd_jpeg_destroy(source->jpeg);
	bd_png_destroy(source->png);
	free(source->block);
	*source = (struct bd_source){ 0 };
}

enum bd_image_encoding bd_encoding_of(const uint8_t *bytes, size_t length)
{
	static const uint8_t jpeg[] = { 0xff, 0xd8, 0xff }, png[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
	if (length >= sizeof jpeg && !memcmp(bytes, jpeg, sizeof jpeg))
		return BD_ENCODING_JPEG;
	if (length >= sizeof png && !memcmp(bytes, png, sizeof png))
		return BD_ENCODING_PNG;
	return BD_ENCODING_AUTO;
}

static uint64_t raw_bytes(const struct bd_image_options *options)
{
	return (uint64_t)options->raw_height * options->raw_width * options->raw_channels;
}

/*
 * Raw pixels may begin like a JPEG by chance; if they have the raw picture's length and do not end like a JPEG as well, they
 * are pixels.
 */
static bool looks_raw(const struct bd_image_options *options, const uint8_t *bytes, size_t length, enum bd_image_encoding magic)
{
	if (!options->raw_height || length != raw_bytes(options))
		return false;
	return magic != BD_ENCODING_PNG && !(magic == BD_ENCODING_JPEG && bytes[length - 2] == 0xff && bytes[length - 1] == 0xd9);
}

static int choose_encoding(struct bd_source *source, const struct bd_image_options *options, const uint8_t *bytes, size_t length,
                           struct bd_error *error)
{
	enum bd_image_encoding magic = bd_encoding_of(bytes, length), wanted = options->encoding;
	if (wanted == BD_ENCODING_AUTO && looks_raw(options, bytes, length, magic))
		wanted = BD_ENCODING_RAW;
	if (wanted == BD_ENCODING_AUTO)
		wanted = magic;
	if (wanted == BD_ENCODING_AUTO && options->raw_height)
		return bd_error_set(error, -EBADMSG, "neither JPEG nor PNG, and %zu bytes are no raw picture of %u x %u x %u",
		                    length, options->raw_height, options->raw_width, options->raw_channels);
	if (wanted == BD_ENCODING_AUTO)
		return bd_error_set(error, -EBADMSG, "neither JPEG nor PNG (raw pixels need 'shape: [height, width, channels]')");
	if (wanted == BD_ENCODING_RAW && length != raw_bytes(options))
		return bd_error_set(error, -EBADMSG, "a raw picture of %u x %u x %u has %" PRIu64 " bytes, not %zu",
		                    options->raw_height, options->raw_width, options->raw_channels, raw_bytes(options), length);
	if (wanted != BD_ENCODING_RAW && wanted != magic)
		return bd_error_set(error, -EBADMSG, "no %s by its first bytes", wanted == BD_ENCODING_JPEG ? "JPEG" : "PNG");
	source->encoding = wanted;
	return 0;
}

static int open_jpeg(struct bd_source *source, const uint8_t *bytes, size_t length, struct bd_error *error)
{
	struct bd_jpeg_header header = { 0 };
	int status = source->jpeg ? 0 : bd_jpeg_create(source->memory_limit, &source->jpeg, error);
	if (!status)
		status = bd_jpeg_open(source->jpeg, bytes, length, &header, error);
	source->height = header.height;
	source->width = header.width;
	source->stored_channels = header.channels;
	return status;
}

static int open_png(struct bd_source *source, enum bd_channels channels, const uint8_t *bytes, size_t length,
                    struct bd_error *error)
{
	static const enum bd_png_colour colours[] = {
		[BD_CHANNELS_RGB] = BD_PNG_RGB, [BD_CHANNELS_BGR] = BD_PNG_BGR, [BD_CHANNELS_GREY] = BD_PNG_GREY
	};
	struct bd_png_header header = { 0 };
	int status = source->png ? 0 : bd_png_create(source->memory_limit, &source->png, error);
	if (!status)
		status = bd_png_open(source->png, bytes, length, colours[channels], &header, error);
	source->height = header.height;
	source->width = header.width;
	source->stored_channels = header.channels;
	return status;
}

int bd_source_open(struct bd_source *source, const struct bd_image_options *options, const uint8_t *bytes, size_t length,
                   struct bd_error *error)
{
	int status = choose_encoding(source, options, bytes, length, error);
	if (status)
		return status;
	source->swap = source->luma = false;
	source->next = 0;
	source->channels = bd_image_output_channels(options);
	if (source->encoding == BD_ENCODING_JPEG)
		return open_jpeg(source, bytes, length, error);
	if (source->encoding == BD_ENCODING_PNG)
		return open_png(source, options->channels, bytes, length, error);
	source->pixels = bytes;
	source->height = options->raw_height;
	source->width = options->raw_width;
	source->stored_channels = options->raw_channels;
	source->swap = options->channels == BD_CHANNELS_BGR;
	source->luma = options->channels == BD_CHANNELS_GREY && options->raw_channels == 3;
	if (source->stored_channels == 1 && source->channels == 3)
		return bd_error_set(error, -EINVAL, "a raw picture of one channel needs 'channels: grey'");
	return 0;
}

static int reserve(struct bd_source *source, uint32_t width, struct bd_error *error)
{
	size_t room = ((size_t)width * 3 + LINE_OFFSET + BD_LINE_SLACK + 63) / 64 * 64;
	if (room <= source->block_room)
		return 0;
	free(source->block);
	source->block = aligned_alloc(64, room);
	source->block_room = source->block ? room : 0;
	if (!source->block)
		return bd_error_set(error, -ENOMEM, "no memory for a line of %u pixels", width);
	memset(source->block, 0, room); /* kernels read past a line's end, and weigh that with 0 */
	source->buffer = source->block + LINE_OFFSET;
	return 0;
}

/* x / denominator to the nearest whole pixel. */
static uint32_t scaled(uint32_t x, uint32_t denominator)
{
	return (uint32_t)(((uint64_t)x * 2 + denominator) / (2ull * denominator));
}

static struct bd_box scaled_box(struct bd_box box, uint32_t denominator, uint32_t height, uint32_t width)
{
	uint32_t bottom = scaled(box.top + box.height, denominator), right = scaled(box.left + box.width, denominator);
	struct bd_box small = { .top = scaled(box.top, denominator), .left = scaled(box.left, denominator) };
	bottom = bottom > height ? height : bottom;
	right = right > width ? width : right;
	small.top = small.top >= height ? height - 1 : small.top;
	small.left = small.left >= width ? width - 1 : small.left;
	small.height = bottom > small.top ? bottom - small.top : 1;
	small.width = right > small.left ? right - small.left : 1;
	return small;
}

static int start_jpeg(struct bd_source *source, const struct bd_image_options *options, struct bd_box box, uint32_t denominator,
                      struct bd_error *error)
{
	static const enum bd_jpeg_colour colours[] = {
		[BD_CHANNELS_RGB] = BD_JPEG_RGB, [BD_CHANNELS_BGR] = BD_JPEG_BGR, [BD_CHANNELS_GREY] = BD_JPEG_GREY
	};
	uint32_t height = (source->height + denominator - 1) / denominator, width = (source->width + denominator - 1) / denominator;
	bool whole = box.height == source->height && box.width == source->width;
	source->box = denominator == 1 ? box
	              : whole          ? (struct bd_box){ 0, 0, height, width }
	                               : scaled_box(box, denominator, height, width);
	struct bd_jpeg_request request = {
		.colour = colours[options->channels],
		.denominator = denominator,
		.fast = options->decode == BD_DECODE_SCALED,
		.part = !whole,
		.left = source->box.left,
		.width = source->box.width,
	};
	struct bd_jpeg_output output = { 0 };
	int status = bd_jpeg_start(source->jpeg, &request, &output, error);
	if (status)
		return status;
	source->height = output.height;
	source->width = output.width;
	source->skip_px = source->box.left - output.left;
	return 0;
}

int bd_source_start(struct bd_source *source, const struct bd_image_options *options, struct bd_box box, uint32_t denominator,
                    struct bd_error *error)
{
	source->box = box;
	source->skip_px = box.left;
	int status = 0;
	if (source->encoding == BD_ENCODING_JPEG)
		status = start_jpeg(source, options, box, denominator, error);
	return status ? status : reserve(source, source->width, error);
}

/* Rec. 601 in 16 bits, as Pillow turns RGB to grey. */
static void to_luma(uint8_t *out, const uint8_t *rgb, uint32_t width)
{
	for (uint32_t x = 0; x < width; x++)
		out[x] = (uint8_t)((rgb[3 * (size_t)x] * 19595u + rgb[3 * (size_t)x + 1] * 38470u + rgb[3 * (size_t)x + 2] * 7471u +
		                    0x8000u) >>
		                   16);
}

static void raw_line(struct bd_source *source, uint32_t y)
{
	const uint8_t *line = source->pixels + ((size_t)y * source->width + source->box.left) * source->stored_channels;
	if (source->luma)
		to_luma(source->buffer, line, source->box.width);
	else if (source->swap)
		bd_pixel_kernels()->swap_bytes(source->buffer, line, source->box.width);
	else
		memcpy(source->buffer, line, (size_t)source->box.width * source->channels);
}

static int png_line(struct bd_source *source, uint32_t y, struct bd_error *error)
{
	for (; source->next <= y; source->next++) {
		int status = bd_png_read(source->png, source->buffer, error);
		if (status)
			return status;
	}
	return 0;
}

static int jpeg_line(struct bd_source *source, uint32_t y, struct bd_error *error)
{
	int status = source->next < y ? bd_jpeg_skip(source->jpeg, y - source->next, source->buffer, error) : 0;
	if (!status)
		status = bd_jpeg_read(source->jpeg, source->buffer, error);
	source->next = y + 1;
	return status;
}

int bd_source_line(struct bd_source *source, uint32_t y, const uint8_t **ret_line, struct bd_error *error)
{
	y += source->box.top;
	if (source->encoding == BD_ENCODING_RAW) {
		raw_line(source, y);
		*ret_line = source->buffer;
		return 0;
	}
	int status = source->encoding == BD_ENCODING_PNG ? png_line(source, y, error) : jpeg_line(source, y, error);
	*ret_line = source->buffer + (size_t)source->skip_px * source->channels;
	return status;
}

const uint8_t *bd_source_all(const struct bd_source *source)
{
	bool whole = source->box.height == source->height && source->box.width == source->width;
	return source->encoding == BD_ENCODING_RAW && whole && !source->luma ? source->pixels : NULL;
}

int bd_source_end(struct bd_source *source, struct bd_error *error)
{
	if (source->encoding == BD_ENCODING_JPEG)
		return bd_jpeg_end(source->jpeg, source->buffer, error);
	return source->encoding == BD_ENCODING_PNG ? bd_png_end(source->png, error) : 0;
}
