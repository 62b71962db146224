#include <string.h>

#include "trainer/layers/layer.h"

/* Along the last axis. Where the graph lets the inputs' layers write into this one's memory, nothing is left to do. */
static int configure(struct bd_layer *layer, struct bd_error *error)
{
	struct bd_shape shape = layer->inputs[0]->shape;
	if (layer->config.axis != -1 && layer->config.axis != shape.rank)
		return bd_layer_error(layer, error, "axis must be the last one (-1)");
	for (size_t i = 1; i < layer->input_count; i++) {
		struct bd_shape other = layer->inputs[i]->shape;
		int last = shape.rank - 1;
		int64_t channels = other.dims[last];
		other.dims[last] = shape.dims[last];
		if (!bd_shape_equal(&shape, &other))
			return bd_layer_error(layer, error, "its inputs '%s' and '%s' differ in more than the last dimension",
			                      layer->inputs[0]->name, layer->inputs[i]->name);
		shape.dims[last] += channels;
	}
	layer->shape = shape;
	return bd_shape_count(&shape) < 0 ? bd_layer_error(layer, error, "its output is too large") : 0;
}

struct copy_task {
	size_t pixels, channels, from_pitch, to_pitch; /* pixels of one row of the batch */
	const float *from;
	float *to;
};

static void copy_row(const void *argument, size_t row, float *scratch)
{
	(void)scratch;
	const struct copy_task *task = argument;
	const float *from = task->from + row * task->pixels * task->from_pitch;
	float *to = task->to + row * task->pixels * task->to_pitch;
	for (size_t p = 0; p < task->pixels; p++)
		memcpy(to + p * task->to_pitch, from + p * task->from_pitch, task->channels * sizeof *to);
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	size_t all = (size_t)bd_shape_channels(&layer->shape), offset = 0;
	for (size_t i = 0; i < layer->input_count; i++) {
		size_t channels = (size_t)bd_shape_channels(&layer->inputs[i]->shape);
		struct copy_task task = { bd_layer_count(layer) / all, channels, channels, all, pass->inputs[i],
			                  pass->output + offset };
		bd_run_tasks(pass->run, pass->rows, copy_row, &task);
		offset += channels;
	}
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	size_t all = (size_t)bd_shape_channels(&layer->shape), offset = 0;
	for (size_t i = 0; i < layer->input_count; i++) {
		size_t channels = (size_t)bd_shape_channels(&layer->inputs[i]->shape);
		struct copy_task task = { bd_layer_count(layer) / all, channels, all, channels, pass->output_gradient + offset,
			                  pass->input_gradients[i] };
		if (task.to)
			bd_run_tasks(pass->run, pass->rows, copy_row, &task);
		offset += channels;
	}
}

const struct bd_layer_type bd_layer_concatenate = {
	.type = "concatenate",
	.minimum_inputs = 2,
	.maximum_inputs = SIZE_MAX,
	.by_picture = true,
	.configure = configure,
	.forward = forward,
	.backward = backward,
};
