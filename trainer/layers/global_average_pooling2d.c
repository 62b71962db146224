#include "trainer/layers/layer.h"

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	const struct bd_shape *in = &layer->inputs[0]->shape;
	if (in->rank != 3)
		return bd_layer_error(layer, error, "needs a picture (height, width, channels)");
	layer->shape = bd_shape_vector(in->dims[2]);
	return 0;
}

struct picture_task {
	const struct bd_layer *layer;
	const float *from;
	float *to;
};

static size_t pixels_of(const struct bd_layer *layer)
{
	const struct bd_shape *in = &layer->inputs[0]->shape;
	return (size_t)(in->dims[0] * in->dims[1]);
}

static void mean(const void *argument, size_t picture, float *scratch)
{
	(void)scratch;
	const struct picture_task *task = argument;
	size_t pixels = pixels_of(task->layer), channels = bd_layer_count(task->layer);
	float *to = task->to + picture * channels, share = 1 / (float)pixels;
	task->layer->kernels->column_sums(pixels, channels, task->from + picture * pixels * channels, channels, to);
	for (size_t c = 0; c < channels; c++)
		to[c] *= share;
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct picture_task task = { layer, pass->inputs[0], pass->output };
	bd_run_tasks(pass->run, pass->rows, mean, &task);
}

static void spread(const void *argument, size_t picture, float *scratch)
{
	(void)scratch;
	const struct picture_task *task = argument;
	size_t pixels = pixels_of(task->layer), channels = bd_layer_count(task->layer);
	const float *from = task->from + picture * channels;
	float *to = task->to + picture * pixels * channels, share = 1 / (float)pixels;
	for (size_t p = 0; p < pixels; p++)
		for (size_t c = 0; c < channels; c++)
			to[p * channels + c] = from[c] * share;
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct picture_task task = { layer, pass->output_gradient, pass->input_gradients[0] };
	if (task.to)
		bd_run_tasks(pass->run, pass->rows, spread, &task);
}

const struct bd_layer_type bd_layer_global_average_pooling2d = {
	.type = "global_average_pooling2d",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.configure = configure,
	.forward = forward,
	.backward = backward,
};
