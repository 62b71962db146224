#include "trainer/layers/activate.h"
#include "trainer/layers/pooling.h"

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	bd_pooling_forward(layer, pass, layer->kernels->max_pool_row);
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	const struct bd_layer *input = layer->inputs[0];
	size_t channels = (size_t)bd_shape_channels(&layer->shape), pixels = pass->rows * (bd_layer_count(layer) / channels);
	if (input->pooled)
		bd_activate_bias_gradient(input, pass->run, pixels, pass->output, pass->output_gradient, pass->workspace);
	bd_pooling_backward(layer, pass, layer->kernels->max_pool_gradient);
}

const struct bd_layer_type bd_layer_max_pooling2d = {
	.type = "max_pooling2d",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.writes_pitched = true,
	.configure = bd_pooling_configure,
	.plan = bd_pooling_plan,
	.forward = forward,
	.backward = backward,
	.finish = bd_pooling_finish,
};
