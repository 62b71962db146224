#include <string.h>

#include "trainer/layers/layer.h"

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	const struct bd_shape *in = &layer->inputs[0]->shape;
	const uint32_t *pad = layer->config.pad;
	if (in->rank != 3)
		return bd_layer_error(layer, error, "needs a picture (height, width, channels)");
	layer->shape = bd_shape_picture(in->dims[0] + pad[0] + pad[1], in->dims[1] + pad[2] + pad[3], in->dims[2]);
	return bd_shape_count(&layer->shape) < 0 ? bd_layer_error(layer, error, "its output is too large") : 0;
}

struct pad_task {
	const struct bd_layer *layer;
	const float *from;
	float *to;
};

static void pad_picture(const void *argument, size_t row, float *scratch)
{
	(void)scratch;
	const struct pad_task *task = argument;
	const struct bd_shape *in = &task->layer->inputs[0]->shape, *out = &task->layer->shape;
	size_t line = (size_t)(in->dims[1] * in->dims[2]), out_line = (size_t)(out->dims[1] * out->dims[2]);
	float *to = task->to + row * bd_layer_count(task->layer);
	memset(to, 0, bd_layer_count(task->layer) * sizeof *to);
	to += task->layer->config.pad[0] * out_line + task->layer->config.pad[2] * (size_t)in->dims[2];
	const float *from = task->from + row * line * (size_t)in->dims[0];
	for (int64_t y = 0; y < in->dims[0]; y++, to += out_line, from += line)
		memcpy(to, from, line * sizeof *to);
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct pad_task task = { layer, pass->inputs[0], pass->output };
	bd_run_tasks(pass->run, pass->rows, pad_picture, &task);
}

static void cut_picture(const void *argument, size_t row, float *scratch)
{
	(void)scratch;
	const struct pad_task *task = argument;
	const struct bd_shape *in = &task->layer->inputs[0]->shape, *out = &task->layer->shape;
	size_t line = (size_t)(in->dims[1] * in->dims[2]), out_line = (size_t)(out->dims[1] * out->dims[2]);
	const float *from = task->from + row * bd_layer_count(task->layer);
	from += task->layer->config.pad[0] * out_line + task->layer->config.pad[2] * (size_t)in->dims[2];
	float *to = task->to + row * line * (size_t)in->dims[0];
	for (int64_t y = 0; y < in->dims[0]; y++, from += out_line, to += line)
		memcpy(to, from, line * sizeof *to);
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct pad_task task = { layer, pass->output_gradient, pass->input_gradients[0] };
	if (task.to)
		bd_run_tasks(pass->run, pass->rows, cut_picture, &task);
}

const struct bd_layer_type bd_layer_zero_padding2d = {
	.type = "zero_padding2d",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.configure = configure,
	.forward = forward,
	.backward = backward,
};
