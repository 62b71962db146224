/* Any bytes as a JPEG, by every way of decoding; the first byte chooses the way. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/picture.h"

#define LIMIT_BYTES (16u << 20)
#define SIDE_PX 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bd_image_options options_of(uint8_t way)
{
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.encoding = BD_ENCODING_JPEG;
	options.resize_height = SIDE_PX;
	options.resize_width = SIDE_PX - 5;
	options.resize_method = (enum bd_resize_method)(way % 10);
	options.decode = way & 16 ? BD_DECODE_SCALED : BD_DECODE_EXACT;
	options.crop = way & 32 ? BD_CROP_RANDOM_RESIZED : way & 64 ? BD_CROP_CENTER : BD_CROP_NONE;
	options.channels = way & 128 ? BD_CHANNELS_GREY : BD_CHANNELS_BGR;
	return options;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bd_picture_decoder *decoder;
	if (!decoder && bd_picture_decoder_create(LIMIT_BYTES, &decoder, NULL))
		abort();
	if (size < 2)
		return 0;
	struct bd_image_options options = options_of(data[0]);
	float row[SIDE_PX * SIDE_PX * 3];
	struct bd_error error;
	int status = bd_picture_decode(decoder, &options, data + 1, size - 1, (struct bd_picture_key){ .record = data[0] }, row,
	                               &error);
	if (status > 0)
		abort();
	uint32_t height, width, channels;
	if (!bd_picture_size(data + 1, size - 1, &height, &width, &channels, &error) && (!height || !width))
		abort();
	return 0;
}
