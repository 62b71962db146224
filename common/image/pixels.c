#include "common/image/pixels.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/arithmetic.h"

int bd_pixels_init(struct bd_pixels *ret_pixels, uint32_t height, uint32_t width, uint32_t channels, struct bd_error *error)
{
	size_t bytes;
	if (!bd_multiply_size(height, width, &bytes) || !bd_multiply_size(bytes, channels, &bytes))
		return bd_error_set(error, -EOVERFLOW, "a picture of %u x %u pixels is too large", height, width);
	uint8_t *data = calloc(bytes ? bytes : 1, 1);
	if (!data)
		return bd_error_set(error, -ENOMEM, "no memory for a picture of %u x %u pixels", height, width);
	*ret_pixels = (struct bd_pixels){ .height = height, .width = width, .channels = channels, .data = data };
	return 0;
}

void bd_pixels_finish(struct bd_pixels *pixels)
{
	free(pixels->data);
	*pixels = (struct bd_pixels){ 0 };
}
