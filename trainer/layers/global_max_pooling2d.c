#include <string.h>

#include "trainer/layers/layer.h"

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	const struct bd_shape *in = &layer->inputs[0]->shape;
	if (in->rank != 3)
		return bd_layer_error(layer, error, "needs a picture (height, width, channels)");
	layer->shape = bd_shape_vector(in->dims[2]);
	return 0;
}

static size_t pixels_of(const struct bd_layer *layer)
{
	const struct bd_shape *in = &layer->inputs[0]->shape;
	return (size_t)(in->dims[0] * in->dims[1]);
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	size_t pixels = pixels_of(layer), channels = bd_layer_count(layer);
	for (size_t row = 0; row < pass->rows; row++) {
		const float *from = pass->inputs[0] + row * pixels * channels;
		float *to = pass->output + row * channels;
		memcpy(to, from, channels * sizeof *to);
		for (size_t p = 1; p < pixels; p++)
			for (size_t c = 0; c < channels; c++)
				to[c] = from[p * channels + c] > to[c] ? from[p * channels + c] : to[c];
	}
}

/* Equal maxima: Keras' reduction shares the gradient between them. */
static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	if (!pass->input_gradients[0])
		return;
	size_t pixels = pixels_of(layer), channels = bd_layer_count(layer);
	for (size_t row = 0; row < pass->rows; row++) {
		const float *from = pass->inputs[0] + row * pixels * channels;
		float *to = pass->input_gradients[0] + row * pixels * channels;
		for (size_t c = 0; c < channels; c++) {
			float most = pass->output[row * channels + c];
			size_t equal = 0;
			for (size_t p = 0; p < pixels; p++)
				equal += from[p * channels + c] == most;
			float share = equal ? pass->output_gradient[row * channels + c] / (float)equal : 0;
			for (size_t p = 0; p < pixels; p++)
				to[p * channels + c] = from[p * channels + c] == most ? share : 0;
		}
	}
}

const struct bd_layer_type bd_layer_global_max_pooling2d = {
	.type = "global_max_pooling2d",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.configure = configure,
	.forward = forward,
	.backward = backward,
};
