#include "trainer/layers/pointwise.h"

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	if (layer->config.axis != -1 && layer->config.axis != layer->inputs[0]->shape.rank)
		return bd_layer_error(layer, error, "axis must be the last one (-1)");
	layer->activation = BD_ACTIVATION_SOFTMAX;
	return bd_layer_same_shape(layer, error);
}

const struct bd_layer_type bd_layer_softmax = {
	.type = "softmax",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.configure = configure,
	.forward = bd_pointwise_forward,
	.backward = bd_pointwise_backward,
};
