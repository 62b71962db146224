#include <string.h>

#include "trainer/layers/layer.h"

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	layer->shape = layer->inputs[0]->shape;
	for (size_t i = 1; i < layer->input_count; i++)
		if (!bd_shape_equal(&layer->shape, &layer->inputs[i]->shape)) {
			char first[64], other[64];
			bd_shape_format(&layer->shape, first, sizeof first);
			bd_shape_format(&layer->inputs[i]->shape, other, sizeof other);
			return bd_layer_error(layer, error, "cannot add %s and %s", first, other);
		}
	return 0;
}

struct rows_task {
	const struct bd_layer *layer;
	const struct bd_pass *pass;
};

static void add_row(const void *argument, size_t row, float *scratch)
{
	(void)scratch;
	const struct rows_task *task = argument;
	const struct bd_layer *layer = task->layer;
	size_t count = bd_layer_count(layer);
	float *to = task->pass->output + row * count;
	const float *sum = task->pass->inputs[0] + row * count;
	for (size_t i = 1; i < layer->input_count; i++, sum = to)
		layer->kernels->add(count, sum, task->pass->inputs[i] + row * count, to);
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct rows_task task = { layer, pass };
	bd_run_tasks(pass->run, pass->rows, add_row, &task);
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	for (size_t i = 0; i < layer->input_count; i++)
		if (pass->input_gradients[i])
			memcpy(pass->input_gradients[i], pass->output_gradient, pass->rows * bd_layer_count(layer) * sizeof(float));
}

const struct bd_layer_type bd_layer_add = {
	.type = "add",
	.minimum_inputs = 2,
	.maximum_inputs = SIZE_MAX,
	.by_picture = true,
	.configure = configure,
	.forward = forward,
	.backward = backward,
};
