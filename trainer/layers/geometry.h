/*
 * geometry.h - windows that move over a picture: sizes and padding as TensorFlow defines them.
 *
 * same: ceil(size / stride) outputs, and the odd pixel of padding at the bottom and right. valid: only whole windows.
 */
#ifndef BD_LAYERS_GEOMETRY_H
#define BD_LAYERS_GEOMETRY_H

#include "trainer/layers/layer.h"

struct bd_geometry {
	size_t height, width, channels;
	size_t out_height, out_width;
	size_t kernel[2], stride[2], pad[2]; /* height, width; pad: top, left */
};

/* -EINVAL: the input is no picture, a size or stride is 0, or the window is larger than the picture. */
BD_MUST_CHECK int bd_geometry_of(const struct bd_layer *layer, const uint32_t kernel[2], const uint32_t strides[2],
                                 struct bd_geometry *ret_geometry, struct bd_error *error);

/* Applies layer->more_pad: the input is then the picture before its zero padding. */
void bd_geometry_pad(const struct bd_layer *layer, struct bd_geometry *geometry);

struct bd_window bd_geometry_window(const struct bd_geometry *geometry, size_t out_pitch);

#endif
