/*
 * axis.h - which input pixels make an output pixel along one side of a picture, and with what weights.
 *
 * Every method of image_options.h is separable, so a resize is one axis across and one down. All outputs of an axis have the
 * same number of taps; unused ones weigh 0, and no tap lies outside the input. Starts never fall (without a mirror), so lines
 * can be consumed as they are decoded.
 * Formulas: TensorFlow's resize kernels (half-pixel centres; the tf1 ones without), bicubic weights from a table of 1/1024
 * as there; antialias as ScaleAndTranslate and torchvision: a triangle or Keys' cubic widened by the scale. Tested against
 * golden/resize and golden/resized_crop. Threads: no state.
 */
#ifndef BD_IMAGE_AXIS_H
#define BD_IMAGE_AXIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/image/image_options.h"

struct bd_axis {
	uint32_t in, out, taps;
	int32_t *starts; /* (out), first tap of each output, in pixels */
	float *weights; /* (out, taps) */
	size_t room_out, room_weights; /* what the buffers hold; they are kept from plan to plan */
};

/* Takes zeroed ones too. */
void bd_axis_finish(struct bd_axis *axis);

/*
 * Plans `in` pixels to `out`. `mirror` reverses the outputs. A zeroed axis is a valid start; buffers grow and are kept.
 * Returns 0, -ENOMEM, or -EFBIG where the weights need more than limit_bytes.
 */
BD_MUST_CHECK int bd_axis_plan(struct bd_axis *axis, uint32_t in, uint32_t out, enum bd_resize_method method, bool mirror,
                               uint64_t limit_bytes, struct bd_error *error);

#endif
