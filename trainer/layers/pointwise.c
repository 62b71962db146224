#include "trainer/layers/pointwise.h"

#include <string.h>

#include "trainer/layers/activate.h"

struct rows_task {
	const struct bd_layer *layer;
	const struct bd_pass *pass;
};

static void clamp_row(const void *argument, size_t row, float *scratch)
{
	(void)scratch;
	const struct rows_task *task = argument;
	size_t count = bd_layer_count(task->layer);
	task->layer->kernels->scale_shift(1, count, task->pass->inputs[0] + row * count, count, NULL, NULL,
	                                  bd_activation_clamp(task->layer->activation), task->pass->output + row * count, count);
}

void bd_pointwise_forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct rows_task task = { layer, pass };
	bd_run_tasks(pass->run, pass->rows, clamp_row, &task);
	size_t channels = (size_t)bd_shape_channels(&layer->shape);
	bd_activate(layer->activation, pass->run, pass->rows * (bd_layer_count(layer) / channels), channels, channels,
	            pass->output);
}

void bd_pointwise_backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	if (!pass->input_gradients[0])
		return;
	size_t channels = (size_t)bd_shape_channels(&layer->shape), pixels = pass->rows * (bd_layer_count(layer) / channels);
	memcpy(pass->input_gradients[0], pass->output_gradient, pixels * channels * sizeof(float));
	bd_activate_gradient(layer->activation, layer->kernels, pass->run, pixels, channels, pass->output,
	                     pass->input_gradients[0]);
}
