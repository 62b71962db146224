#include "common/image/image_options.h"

#include <errno.h>

#include "common/base/arithmetic.h"

void bd_image_options_init(struct bd_image_options *ret_options)
{
	*ret_options = (struct bd_image_options){
		.resize_method = BD_RESIZE_BILINEAR,
		.crop_scale = { 0.08, 1.0 },
		.crop_ratio = { 3.0 / 4.0, 4.0 / 3.0 },
		.dtype = BD_FLOAT32,
		.scale = 1.0f,
	};
}

uint32_t bd_image_output_channels(const struct bd_image_options *options)
{
	return options->channels == BD_CHANNELS_GREY ? 1 : 3;
}

int bd_image_output_size(const struct bd_image_options *options, uint32_t *ret_height, uint32_t *ret_width, struct bd_error *error)
{
	uint32_t height = options->resize_height ? options->resize_height : options->raw_height;
	uint32_t width = options->resize_width ? options->resize_width : options->raw_width;
	if (!height || !width)
		return bd_error_set(
			error, -EINVAL,
			"pictures of mixed sizes cannot be batched: give 'resize: {height: H, width: W}' or 'shape: [H, W, C]'");
	*ret_height = height;
	*ret_width = width;
	return 0;
}

int bd_image_output_shape(const struct bd_image_options *options, int64_t ret_shape[3], struct bd_error *error)
{
	uint32_t height = 0, width = 0, channels = bd_image_output_channels(options);
	int status = bd_image_output_size(options, &height, &width, error);
	if (status)
		return status;
	ret_shape[0] = options->nchw ? channels : height;
	ret_shape[1] = options->nchw ? height : width;
	ret_shape[2] = options->nchw ? width : channels;
	return 0;
}

int bd_image_output_bytes(const struct bd_image_options *options, size_t *ret_bytes, struct bd_error *error)
{
	uint32_t height = 0, width = 0;
	int status = bd_image_output_size(options, &height, &width, error);
	if (status)
		return status;
	size_t element = options->dtype == BD_FLOAT32 ? sizeof(float) : 1, bytes;
	if (!bd_multiply_size(height, width, &bytes) ||
	    !bd_multiply_size(bytes, bd_image_output_channels(options) * element, &bytes))
		return bd_error_set(error, -EOVERFLOW, "a picture of %u x %u pixels is too large", height, width);
	*ret_bytes = bytes;
	return 0;
}
