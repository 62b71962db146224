/* What picture.h does without decoding: the size from a header, and a decoded row back to pixels. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/image/picture.h"
#include "common/image/source.h"

struct size {
	uint32_t height, width, channels;
};

static uint32_t big16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t big32(const uint8_t *at)
{
	return big16(at) << 16 | big16(at + 2);
}

/* ISO/IEC 10918-1, B.2.2: a frame header is any SOFn; C4, C8 and CC in the same range are other markers. */
static bool is_frame(uint8_t marker)
{
	return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static bool jpeg_size(const uint8_t *bytes, size_t length, struct size *ret_size)
{
	size_t at = 2;
	while (at + 4 <= length) {
		if (bytes[at] != 0xff || bytes[at + 1] == 0xff || bytes[at + 1] == 0) { /* garbage or filling between markers */
			at++;
			continue;
		}
		uint8_t marker = bytes[at + 1];
		if (marker == 0xd8 || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
			at += 2;
			continue;
		}
		size_t segment = big16(bytes + at + 2);
		if (marker == 0xd9 || marker == 0xda || segment < 2)
			return false;
		if (is_frame(marker)) {
			if (at + 10 > length)
				return false;
			*ret_size = (struct size){ big16(bytes + at + 5), big16(bytes + at + 7), bytes[at + 9] == 1 ? 1 : 3 };
			return ret_size->height && ret_size->width;
		}
		at += 2 + segment;
	}
	return false;
}

/* PNG, 11.2.2 IHDR: width, height, depth, colour type; bit 1 of the type means colour. */
static bool png_size(const uint8_t *bytes, size_t length, struct size *ret_size)
{
	if (length < 26 || memcmp(bytes + 12, "IHDR", 4) != 0)
		return false;
	*ret_size = (struct size){ big32(bytes + 20), big32(bytes + 16), bytes[25] & 2 ? 3 : 1 };
	return ret_size->height && ret_size->width;
}

int bd_picture_size(const uint8_t *bytes, size_t length, uint32_t *ret_height, uint32_t *ret_width, uint32_t *ret_channels,
                    struct bd_error *error)
{
	struct size size = { 0 };
	enum bd_image_encoding encoding = bd_encoding_of(bytes, length);
	if (encoding == BD_ENCODING_AUTO)
		return bd_error_set(error, -EBADMSG, "neither JPEG nor PNG");
	bool good = encoding == BD_ENCODING_JPEG ? jpeg_size(bytes, length, &size) : png_size(bytes, length, &size);
	if (!good)
		return bd_error_set(error, -EBADMSG, "broken %s: no size in its header",
		                    encoding == BD_ENCODING_JPEG ? "JPEG" : "PNG");
	*ret_height = size.height;
	*ret_width = size.width;
	*ret_channels = size.channels;
	return 0;
}

static double element(const void *row, enum bd_dtype dtype, size_t index)
{
	if (dtype == BD_FLOAT32)
		return (double)((const float *)row)[index];
	return ((const uint8_t *)row)[index];
}

int bd_pixels_of_row(const void *row, enum bd_dtype dtype, const struct bd_image_options *options, struct bd_pixels *ret_pixels,
                     struct bd_error *error)
{
	uint32_t height = 0, width = 0, channels = bd_image_output_channels(options);
	struct bd_pixels pixels = { 0 };
	int status = bd_image_output_size(options, &height, &width, error);
	if (!status)
		status = bd_pixels_init(&pixels, height, width, channels, error);
	if (status)
		return status;
	size_t plane = (size_t)height * width;
	for (size_t i = 0; i < plane; i++)
		for (uint32_t c = 0; c < channels; c++) {
			uint32_t stored = options->channels == BD_CHANNELS_BGR ? 2 - c : c;
			double value = element(row, dtype, options->nchw ? stored * plane + i : i * channels + stored);
			double scale = options->scale != 0 ? (double)options->scale : 1;
			value = rint(value / scale + (options->has_mean ? (double)options->mean[c] : 0));
			pixels.data[i * channels + c] = value > 0 ? value < 255 ? (uint8_t)value : 255 : 0; /* not a number: 0 */
		}
	*ret_pixels = pixels;
	return 0;
}
