#include <math.h>

#include "trainer/layers/layer.h"

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	if (!isfinite(layer->config.scale) || !isfinite(layer->config.offset))
		return bd_layer_error(layer, error, "scale and offset must be finite");
	return bd_layer_same_shape(layer, error);
}

struct rows_task {
	size_t count;
	float scale, offset;
	const float *from;
	float *to;
};

static void scale_row(const void *argument, size_t row, float *scratch)
{
	(void)scratch;
	const struct rows_task *task = argument;
	const float *from = task->from + row * task->count;
	float *to = task->to + row * task->count;
	for (size_t i = 0; i < task->count; i++)
		to[i] = from[i] * task->scale + task->offset;
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct rows_task task = { bd_layer_count(layer), (float)layer->config.scale, (float)layer->config.offset, pass->inputs[0],
		                  pass->output };
	bd_run_tasks(pass->run, pass->rows, scale_row, &task);
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct rows_task task = { bd_layer_count(layer), (float)layer->config.scale, 0, pass->output_gradient,
		                  pass->input_gradients[0] };
	if (task.to)
		bd_run_tasks(pass->run, pass->rows, scale_row, &task);
}

const struct bd_layer_type bd_layer_rescaling = {
	.type = "rescaling",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.configure = configure,
	.forward = forward,
	.backward = backward,
};
