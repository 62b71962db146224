#include "trainer/layers/geometry.h"

static size_t same_padding(size_t size, size_t out, size_t kernel, size_t stride)
{
	size_t covered = (out - 1) * stride + kernel;
	return covered > size ? (covered - size) / 2 : 0;
}

int bd_geometry_of(const struct bd_layer *layer, const uint32_t kernel[2], const uint32_t strides[2],
                   struct bd_geometry *ret_geometry, struct bd_error *error)
{
	const struct bd_shape *in = &layer->inputs[0]->shape;
	if (in->rank != 3)
		return bd_layer_error(layer, error, "needs a picture (height, width, channels), not %d dimension%s", in->rank,
		                      in->rank == 1 ? "" : "s");
	struct bd_geometry g = { (size_t)in->dims[0], (size_t)in->dims[1], (size_t)in->dims[2], 0, 0, { 0 }, { 0 }, { 0 } };
	size_t out[2];
	for (int i = 0; i < 2; i++) {
		size_t size = (size_t)in->dims[i];
		g.kernel[i] = kernel[i];
		g.stride[i] = strides[i];
		if (!kernel[i] || !strides[i] || kernel[i] > INT32_MAX || strides[i] > INT32_MAX)
			return bd_layer_error(layer, error, "window %ux%u, strides %ux%u: must be at least 1", kernel[0], kernel[1],
			                      strides[0], strides[1]);
		if (layer->config.padding == BD_PADDING_SAME) {
			out[i] = (size + strides[i] - 1) / strides[i];
			g.pad[i] = same_padding(size, out[i], kernel[i], strides[i]);
		} else if (size < kernel[i]) {
			return bd_layer_error(layer, error, "the window %ux%u is larger than its input %zux%zu", kernel[0],
			                      kernel[1], g.height, g.width);
		} else {
			out[i] = (size - kernel[i]) / strides[i] + 1;
		}
	}
	g.out_height = out[0];
	g.out_width = out[1];
	*ret_geometry = g;
	return 0;
}

void bd_geometry_pad(const struct bd_layer *layer, struct bd_geometry *geometry)
{
	geometry->height -= layer->more_pad[0] + layer->more_pad[1];
	geometry->width -= layer->more_pad[2] + layer->more_pad[3];
	geometry->pad[0] += layer->more_pad[0];
	geometry->pad[1] += layer->more_pad[2];
}

struct bd_window bd_geometry_window(const struct bd_geometry *geometry, size_t out_pitch)
{
	return (struct bd_window){
		.height = geometry->height,
		.width = geometry->width,
		.channels = geometry->channels,
		.out_height = geometry->out_height,
		.out_width = geometry->out_width,
		.kernel_height = geometry->kernel[0],
		.kernel_width = geometry->kernel[1],
		.stride_y = geometry->stride[0],
		.stride_x = geometry->stride[1],
		.pad_top = geometry->pad[0],
		.pad_left = geometry->pad[1],
		.in_pitch = geometry->channels,
		.out_pitch = out_pitch,
	};
}
