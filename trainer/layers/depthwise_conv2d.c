#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/kernels/convolution.h"
#include "trainer/layers/activate.h"
#include "trainer/layers/fold.h"
#include "trainer/layers/geometry.h"

struct state {
	struct bd_window window; /* its channels are the output's: the input repeated depth_multiplier times */
	size_t in_channels, multiplier;
	float *folded, *scale, *shift; /* with a norm */
	float *repeated; /* multiplier > 1: (max_rows, height, width, channels * multiplier) */
};

static int geometry(const struct bd_layer *layer, struct bd_geometry *ret_geometry, struct bd_error *error)
{
	uint32_t stride[2];
	for (int i = 0; i < 2; i++)
		stride[i] = layer->config.strides[i] ? layer->config.strides[i] : 1;
	return bd_geometry_of(layer, layer->config.kernel_size, stride, ret_geometry, error);
}

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	const struct bd_layer_config *config = &layer->config;
	struct bd_geometry g;
	int result = geometry(layer, &g, error);
	if (result)
		return result;
	if (!config->depth_multiplier)
		return bd_layer_error(layer, error, "depth_multiplier must be at least 1");
	int64_t taps = (int64_t)g.kernel[0] * (int64_t)g.kernel[1], in = (int64_t)g.channels, out = in * config->depth_multiplier;
	layer->shape = bd_shape_picture((int64_t)g.out_height, (int64_t)g.out_width, out);
	result = bd_layer_add_parameter(
		layer,
		&(struct bd_variable){ .name = "depthwise_kernel",
	                               .rank = 4,
	                               .shape = { config->kernel_size[0], config->kernel_size[1], in, config->depth_multiplier },
	                               .initializer = config->kernel_initializer,
	                               .fan_in = taps * in,
	                               .fan_out = taps * config->depth_multiplier,
	                               .l2 = config->l2 },
		error);
	if (!result && config->use_bias)
		result = bd_layer_add_parameter(layer,
		                                &(struct bd_variable){ .name = "bias",
		                                                       .rank = 1,
		                                                       .shape = { out },
		                                                       .initializer = config->bias_initializer,
		                                                       .fan_in = out,
		                                                       .fan_out = out },
		                                error);
	if (!result)
		layer->multiply_adds = (uint64_t)taps * (uint64_t)bd_shape_count(&layer->shape);
	return result;
}

static int plan(struct bd_layer *layer, struct bd_error *error)
{
	struct bd_geometry g;
	struct state *state = layer->state = calloc(1, sizeof *state);
	if (!state)
		return bd_error_set(error, -ENOMEM, "no memory for layer '%s'", layer->name);
	int result = geometry(layer, &g, error);
	if (result)
		return result;
	bd_geometry_pad(layer, &g);
	state->in_channels = g.channels;
	state->multiplier = layer->config.depth_multiplier;
	g.channels *= state->multiplier;
	state->window = bd_geometry_window(&g, layer->out_pitch);
	layer->kernel_name = "direct";
	layer->workspace_floats = layer->active ? layer->parameters[0]->count * layer->max_rows + bd_sums_floats(g.channels) : 0;
	bool memory = true;
	if (layer->norm) {
		state->folded = bd_floats(layer->parameters[0]->count);
		state->scale = bd_floats(g.channels);
		state->shift = bd_floats(g.channels);
		memory = state->folded && state->scale && state->shift;
		layer->packed_floats = layer->parameters[0]->count;
	}
	if (state->multiplier > 1) {
		state->repeated = bd_floats(layer->max_rows * g.height * g.width * g.channels);
		memory = memory && state->repeated;
	}
	return memory ? 0 : bd_error_set(error, -ENOMEM, "no memory for layer '%s'", layer->name);
}

static void pack(struct bd_layer *layer, const struct bd_run *run)
{
	(void)run;
	struct state *state = layer->state;
	bd_fold_kernel(layer, state->window.channels, state->scale, state->folded, state->shift);
}

/* The input as the kernel wants it: each channel `multiplier` times. By row of the batch, so that pieces can run side by side. */
static const float *repeated(const struct state *state, const struct bd_pass *pass)
{
	if (state->multiplier == 1)
		return pass->inputs[0];
	size_t values = state->window.height * state->window.width * state->in_channels;
	float *to = state->repeated + pass->first_row * values * state->multiplier;
	for (size_t i = 0; i < pass->rows * values; i++)
		for (size_t m = 0; m < state->multiplier; m++)
			to[i * state->multiplier + m] = pass->inputs[0][i];
	return to;
}

struct rows_task {
	const struct state *state;
	const struct bd_kernels *kernels;
	const float *in, *kernel, *bias, *out_gradient;
	enum bd_clamp clamp;
	float *out;
};

static void forward_row(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct rows_task *task = argument;
	const struct bd_window *w = &task->state->window;
	size_t picture = index / w->out_height;
	task->kernels->depthwise_row(w, task->in + picture * w->height * w->width * w->in_pitch, task->kernel, task->bias,
	                             task->clamp, index % w->out_height, task->out + index * w->out_width * w->out_pitch);
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	const struct state *state = layer->state;
	const struct bd_window *w = &state->window;
	struct rows_task task = {
		.state = state,
		.kernels = layer->kernels,
		.in = repeated(state, pass),
		.kernel = layer->norm ? state->folded : layer->parameters[0]->value,
		.bias = layer->norm                  ? state->shift
		        : layer->parameter_count > 1 ? layer->parameters[1]->value
		                                     : NULL,
		.clamp = bd_activation_clamp(layer->activation),
		.out = pass->output,
	};
	bd_run_tasks(pass->run, pass->rows * w->out_height, forward_row, &task);
	bd_activate(layer->activation, pass->run, pass->rows * w->out_height * w->out_width, w->channels, w->out_pitch,
	            pass->output);
}

static void kernel_gradient(const void *argument, size_t picture, float *scratch)
{
	(void)scratch;
	const struct rows_task *task = argument;
	const struct bd_window *w = &task->state->window;
	size_t floats = w->kernel_height * w->kernel_width * w->channels;
	memset(task->out + picture * floats, 0, floats * sizeof(float));
	task->kernels->depthwise_kernel_gradient(w, task->in + picture * w->height * w->width * w->in_pitch,
	                                         task->out_gradient + picture * w->out_height * w->out_width * w->channels,
	                                         task->out + picture * floats);
}

static void input_gradient(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct rows_task *task = argument;
	const struct bd_window *w = &task->state->window;
	size_t picture = index / w->height;
	task->kernels->depthwise_row_gradient(w, task->out_gradient + picture * w->out_height * w->out_width * w->channels,
	                                      task->kernel, index % w->height, task->out + index * w->width * w->channels);
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	const struct state *state = layer->state;
	const struct bd_window *w = &state->window;
	size_t pixels = pass->rows * w->out_height * w->out_width;
	bd_activate_gradient(layer->activation, layer->kernels, pass->run, pixels, w->channels, pass->output,
	                     pass->output_gradient);
	if (layer->parameter_count > 1 && layer->parameters[1]->gradient)
		bd_sums(layer->kernels, pass->run, pixels, w->channels, pass->output_gradient, pass->workspace,
		        layer->parameters[1]->gradient);
	struct rows_task task = { .state = state,
		                  .kernels = layer->kernels,
		                  .kernel = layer->parameters[0]->value,
		                  .out_gradient = pass->output_gradient,
		                  .out = pass->workspace };
	if (layer->parameters[0]->gradient) {
		task.in = repeated(state, pass);
		bd_run_tasks(pass->run, pass->rows, kernel_gradient, &task);
		bd_sum_parts(layer->kernels, pass->run, pass->workspace, pass->rows, layer->parameters[0]->count,
		             layer->parameters[0]->gradient);
	}
	if (!pass->input_gradients[0])
		return;
	task.out = state->multiplier > 1 ? state->repeated : pass->input_gradients[0];
	bd_run_tasks(pass->run, pass->rows * w->height, input_gradient, &task);
	for (size_t i = 0; state->multiplier > 1 && i < pass->rows * w->height * w->width * state->in_channels; i++) {
		float sum = 0;
		for (size_t m = 0; m < state->multiplier; m++)
			sum += state->repeated[i * state->multiplier + m];
		pass->input_gradients[0][i] = sum;
	}
}

static void finish(struct bd_layer *layer)
{
	struct state *state = layer->state;
	if (!state)
		return;
	free(state->folded);
	free(state->scale);
	free(state->shift);
	free(state->repeated);
	free(state);
}

const struct bd_layer_type bd_layer_depthwise_conv2d = {
	.type = "depthwise_conv2d",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.fuses = true,
	.pads = true,
	.writes_pitched = true,
	.configure = configure,
	.plan = plan,
	.pack = pack,
	.forward = forward,
	.backward = backward,
	.finish = finish,
};
