#include <errno.h>
#include <stdlib.h>

#include "trainer/kernels/convolution.h"
#include "trainer/layers/activate.h"
#include "trainer/layers/fold.h"
#include "trainer/layers/geometry.h"

struct state {
	struct bd_conv conv;
	struct bd_conv turned; /* stride 1: computes the input's gradient */
	float *scatter; /* other strides: W^T */
	float *folded, *scale, *shift; /* with a norm */
	bool in_gradient;
};

static int strides(const struct bd_layer *layer, struct bd_geometry *ret_geometry, struct bd_error *error)
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
	int result = strides(layer, &g, error);
	if (result)
		return result;
	if (!config->filters)
		return bd_layer_error(layer, error, "needs filters");
	int64_t taps = (int64_t)g.kernel[0] * (int64_t)g.kernel[1], in = (int64_t)g.channels, out = config->filters;
	layer->shape = bd_shape_picture((int64_t)g.out_height, (int64_t)g.out_width, out);
	result = bd_layer_add_parameter(layer,
	                                &(struct bd_variable){ .name = "kernel",
	                                                       .rank = 4,
	                                                       .shape = { config->kernel_size[0], config->kernel_size[1], in, out },
	                                                       .initializer = config->kernel_initializer,
	                                                       .fan_in = taps * in,
	                                                       .fan_out = taps * out,
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
		layer->multiply_adds = (uint64_t)(taps * in) * (uint64_t)bd_shape_count(&layer->shape);
	return result;
}

static size_t most(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* What backward needs. */
static int plan_gradients(struct bd_layer *layer, struct state *state)
{
	const struct bd_conv *conv = &state->conv;
	layer->workspace_floats = most(bd_conv_gradient_floats(conv, layer->max_rows), bd_sums_floats(conv->filters));
	state->in_gradient = layer->inputs[0]->active;
	if (!state->in_gradient)
		return 0;
	if (conv->stride_y == 1 && conv->stride_x == 1) {
		state->turned = bd_conv_turned(conv, layer->exact);
		layer->packed_floats += bd_conv_packed_floats(&state->turned);
		layer->scratch_floats = most(layer->scratch_floats, bd_conv_scratch_floats(&state->turned));
		state->turned.packed = bd_floats(bd_conv_packed_floats(&state->turned));
		return state->turned.packed ? 0 : -ENOMEM;
	}
	layer->packed_floats += bd_conv_scatter_floats(conv);
	state->scatter = bd_floats(bd_conv_scatter_floats(conv));
	return state->scatter ? 0 : -ENOMEM;
}

static int plan_fold(const struct bd_layer *layer, struct state *state)
{
	if (!layer->norm)
		return 0;
	state->folded = bd_floats(layer->parameters[0]->count);
	state->scale = bd_floats(state->conv.filters);
	state->shift = bd_floats(state->conv.filters);
	return state->folded && state->scale && state->shift ? 0 : -ENOMEM;
}

static int plan(struct bd_layer *layer, struct bd_error *error)
{
	struct bd_geometry g;
	struct state *state = layer->state = calloc(1, sizeof *state);
	int result = state ? strides(layer, &g, error) : -ENOMEM;
	if (!result) {
		bd_geometry_pad(layer, &g);
		state->conv = (struct bd_conv){
			.kernels = layer->kernels,
			.height = g.height,
			.width = g.width,
			.channels = g.channels,
			.in_pitch = g.channels,
			.out_height = g.out_height,
			.out_width = g.out_width,
			.filters = layer->config.filters,
			.out_pitch = layer->out_pitch,
			.kernel_height = g.kernel[0],
			.kernel_width = g.kernel[1],
			.stride_y = g.stride[0],
			.stride_x = g.stride[1],
			.pad_top = g.pad[0],
			.pad_left = g.pad[1],
		};
		bd_conv_plan(&state->conv, layer->exact);
		layer->kernel_name = bd_conv_way_name(&state->conv);
		layer->packed_floats = bd_conv_packed_floats(&state->conv);
		layer->scratch_floats = bd_conv_scratch_floats(&state->conv);
		state->conv.packed = bd_floats(layer->packed_floats);
		result = state->conv.packed ? plan_fold(layer, state) : -ENOMEM;
	}
	if (!result && layer->active)
		result = plan_gradients(layer, state);
	return result ? bd_error_set(error, result, "no memory for layer '%s'", layer->name) : 0;
}

static void pack(struct bd_layer *layer, const struct bd_run *run)
{
	struct state *state = layer->state;
	const float *kernel = layer->parameters[0]->value;
	bd_fold_kernel(layer, state->conv.filters, state->scale, state->folded, state->shift);
	bd_conv_pack(&state->conv, run, layer->norm ? state->folded : kernel);
	if (state->turned.packed)
		bd_conv_pack(&state->turned, run, kernel);
	if (state->scatter)
		bd_conv_scatter_pack(&state->conv, run, kernel, state->scatter);
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	const struct state *state = layer->state;
	const struct bd_conv *conv = &state->conv;
	const float *bias = layer->norm ? state->shift : layer->parameter_count > 1 ? layer->parameters[1]->value : NULL;
	bd_conv_forward(conv, pass->run, pass->rows, pass->inputs[0], bias, bd_activation_clamp(layer->activation), pass->output);
	bd_activate(layer->activation, pass->run, pass->rows * conv->out_height * conv->out_width, conv->filters, conv->out_pitch,
	            pass->output);
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	const struct state *state = layer->state;
	const struct bd_conv *conv = &state->conv;
	size_t pixels = pass->rows * conv->out_height * conv->out_width;
	if (!layer->pooled)
		bd_activate_bias_gradient(layer, pass->run, pixels, pass->output, pass->output_gradient, pass->workspace);
	if (layer->parameters[0]->gradient)
		bd_conv_kernel_gradient(conv, pass->run, pass->rows, pass->inputs[0], pass->output_gradient, pass->workspace,
		                        layer->parameters[0]->gradient);
	if (!pass->input_gradients[0])
		return;
	if (state->turned.packed)
		bd_conv_forward(&state->turned, pass->run, pass->rows, pass->output_gradient, NULL, BD_CLAMP_NONE,
		                pass->input_gradients[0]);
	else
		bd_conv_scatter(conv, pass->run, pass->rows, pass->output_gradient, state->scatter, pass->input_gradients[0]);
}

static void finish(struct bd_layer *layer)
{
	struct state *state = layer->state;
	if (!state)
		return;
	free(state->conv.packed);
	free(state->turned.packed);
	free(state->scatter);
	free(state->folded);
	free(state->scale);
	free(state->shift);
	free(state);
}

const struct bd_layer_type bd_layer_conv2d = {
	.type = "conv2d",
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
