/* Any bytes as a PNG; the first byte chooses the colours. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/image/picture.h"

#define LIMIT_BYTES (16u << 20)
#define SIDE_PX 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bd_picture_decoder *decoder;
	if (!decoder && bd_picture_decoder_create(LIMIT_BYTES, &decoder, NULL))
		abort();
	if (size < 2)
		return 0;
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.encoding = BD_ENCODING_PNG;
	options.resize_height = options.resize_width = SIDE_PX;
	options.channels = data[0] & 1 ? BD_CHANNELS_GREY : data[0] & 2 ? BD_CHANNELS_BGR : BD_CHANNELS_RGB;
	options.crop = data[0] & 4 ? BD_CROP_RANDOM_RESIZED : BD_CROP_NONE;
	float row[SIDE_PX * SIDE_PX * 3];
	struct bd_error error;
	if (bd_picture_decode(decoder, &options, data + 1, size - 1, (struct bd_picture_key){ .record = data[0] }, row, &error) > 0)
		abort();
	struct bd_pixels pixels;
	if (!bd_picture_decode_whole(decoder, data + 1, size - 1, data[0] & 8 ? 0 : 3, &pixels, &error))
		bd_pixels_finish(&pixels);
	return 0;
}
