#include "trainer/layers/pooling.h"

#include <errno.h>
#include <stdlib.h>

#include "trainer/kernels/convolution.h"
#include "trainer/layers/geometry.h"

static int geometry(const struct bd_layer *layer, struct bd_geometry *ret_geometry, struct bd_error *error)
{
	uint32_t stride[2];
	for (int i = 0; i < 2; i++)
		stride[i] = layer->config.strides[i] ? layer->config.strides[i] : layer->config.pool_size[i];
	return bd_geometry_of(layer, layer->config.pool_size, stride, ret_geometry, error);
}

int bd_pooling_configure(struct bd_layer *layer, struct bd_error *error)
{
	struct bd_geometry g;
	int result = geometry(layer, &g, error);
	if (!result)
		layer->shape = bd_shape_picture((int64_t)g.out_height, (int64_t)g.out_width, (int64_t)g.channels);
	return result;
}

int bd_pooling_plan(struct bd_layer *layer, struct bd_error *error)
{
	struct bd_geometry g = { 0 };
	struct bd_window *window = layer->state = malloc(sizeof *window);
	if (!window)
		return bd_error_set(error, -ENOMEM, "no memory for layer '%s'", layer->name);
	int result = geometry(layer, &g, error);
	if (result)
		return result;
	*window = bd_geometry_window(&g, layer->out_pitch);
	/* of max_pooling2d: the gradient of the bias before it */
	layer->workspace_floats = layer->active ? bd_sums_floats(g.channels) : 0;
	return 0;
}

struct pool_task {
	const struct bd_window *window;
	bd_pool_row row;
	bd_pool_gradient gradient;
	const float *in, *y, *dy;
	float *out;
};

static void pool_one_row(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct pool_task *task = argument;
	const struct bd_window *w = task->window;
	size_t picture = index / w->out_height;
	task->row(w, task->in + picture * w->height * w->width * w->channels, index % w->out_height,
	          task->out + index * w->out_width * w->out_pitch);
}

void bd_pooling_forward(const struct bd_layer *layer, const struct bd_pass *pass, bd_pool_row row)
{
	const struct bd_window *w = layer->state;
	struct pool_task task = { .window = w, .row = row, .in = pass->inputs[0], .out = pass->output };
	bd_run_tasks(pass->run, pass->rows * w->out_height, pool_one_row, &task);
}

static void pool_gradient(const void *argument, size_t picture, float *scratch)
{
	(void)scratch;
	const struct pool_task *task = argument;
	const struct bd_window *w = task->window;
	size_t in = picture * w->height * w->width * w->channels, out = picture * w->out_height * w->out_width * w->channels;
	task->gradient(w, task->in + in, task->y + out, task->dy + out, task->out + in);
}

void bd_pooling_backward(const struct bd_layer *layer, const struct bd_pass *pass, bd_pool_gradient gradient)
{
	if (!pass->input_gradients[0])
		return;
	struct pool_task task = { .window = layer->state,
		                  .gradient = gradient,
		                  .in = pass->inputs[0],
		                  .y = pass->output,
		                  .dy = pass->output_gradient,
		                  .out = pass->input_gradients[0] };
	bd_run_tasks(pass->run, pass->rows, pool_gradient, &task);
}

void bd_pooling_finish(struct bd_layer *layer)
{
	free(layer->state);
}
