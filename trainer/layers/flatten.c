#include <string.h>

#include "trainer/layers/layer.h"

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	(void)error;
	layer->shape = bd_shape_vector(bd_shape_count(&layer->inputs[0]->shape));
	return 0;
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	memcpy(pass->output, pass->inputs[0], pass->rows * bd_layer_count(layer) * sizeof(float));
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	if (pass->input_gradients[0])
		memcpy(pass->input_gradients[0], pass->output_gradient, pass->rows * bd_layer_count(layer) * sizeof(float));
}

const struct bd_layer_type bd_layer_flatten = {
	.type = "flatten",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.always_alias = true,
	.configure = configure,
	.forward = forward,
	.backward = backward,
};
