#include "trainer/layers/pointwise.h"

/* Keras' ReLU with max_value: none or 6. */
static int configure(struct bd_layer *layer, struct bd_error *error)
{
	float most = layer->config.max_value;
	if (most != 0 && most != 6)
		return bd_layer_error(layer, error, "max_value must be 6, or left out");
	layer->activation = most == 6 ? BD_ACTIVATION_RELU6 : BD_ACTIVATION_RELU;
	return bd_layer_same_shape(layer, error);
}

const struct bd_layer_type bd_layer_relu = {
	.type = "relu",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.configure = configure,
	.forward = bd_pointwise_forward,
	.backward = bd_pointwise_backward,
};
