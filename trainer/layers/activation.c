#include "trainer/layers/pointwise.h"

const struct bd_layer_type bd_layer_activation = {
	.type = "activation",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.configure = bd_layer_same_shape,
	.forward = bd_pointwise_forward,
	.backward = bd_pointwise_backward,
};
