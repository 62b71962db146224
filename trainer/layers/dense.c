#include <errno.h>
#include <stdlib.h>

#include "trainer/kernels/convolution.h"
#include "trainer/kernels/matrix.h"
#include "trainer/layers/activate.h"
#include "trainer/layers/fold.h"

struct state {
	struct bd_dense dense;
	float *folded, *scale, *shift; /* with a norm */
};

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	const struct bd_layer_config *config = &layer->config;
	const struct bd_shape *in = &layer->inputs[0]->shape;
	int64_t width = bd_shape_channels(in);
	if (!config->units)
		return bd_layer_error(layer, error, "needs units");
	/* Keras: the last axis; a picture's pixels each get the same product. */
	layer->shape = *in;
	layer->shape.dims[in->rank - 1] = config->units;
	layer->multiply_adds = (uint64_t)bd_shape_count(in) * config->units;
	int result = bd_layer_add_parameter(layer,
	                                    &(struct bd_variable){ .name = "kernel",
	                                                           .rank = 2,
	                                                           .shape = { width, config->units },
	                                                           .initializer = config->kernel_initializer,
	                                                           .fan_in = width,
	                                                           .fan_out = config->units,
	                                                           .l2 = config->l2 },
	                                    error);
	if (result || !config->use_bias)
		return result;
	return bd_layer_add_parameter(layer,
	                              &(struct bd_variable){ .name = "bias",
	                                                     .rank = 1,
	                                                     .shape = { config->units },
	                                                     .initializer = config->bias_initializer,
	                                                     .fan_in = config->units,
	                                                     .fan_out = config->units },
	                              error);
}

/* Vectors of a sample: 1, or the pixels of a picture. */
static size_t vectors_of(const struct bd_layer *layer)
{
	return bd_layer_count(layer) / layer->config.units;
}

static int plan(struct bd_layer *layer, struct bd_error *error)
{
	struct state *state = layer->state = calloc(1, sizeof *state);
	bool memory = state != NULL;
	if (memory) {
		state->dense = (struct bd_dense){ layer->kernels, (size_t)bd_shape_channels(&layer->inputs[0]->shape),
			                          layer->config.units };
		layer->kernel_name = "gemm";
		layer->scratch_floats = bd_dense_scratch_floats(&state->dense);
		layer->workspace_floats = bd_dense_workspace_floats(&state->dense, layer->max_rows * vectors_of(layer)) +
		                          bd_sums_floats(state->dense.units);
	}
	if (memory && layer->norm) {
		layer->packed_floats = layer->parameters[0]->count;
		state->folded = bd_floats(layer->parameters[0]->count);
		state->scale = bd_floats(state->dense.units);
		state->shift = bd_floats(state->dense.units);
		memory = state->folded && state->scale && state->shift;
	}
	return memory ? 0 : bd_error_set(error, -ENOMEM, "no memory for layer '%s'", layer->name);
}

static void pack(struct bd_layer *layer, const struct bd_run *run)
{
	(void)run;
	struct state *state = layer->state;
	bd_fold_kernel(layer, state->dense.units, state->scale, state->folded, state->shift);
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	const struct state *state = layer->state;
	size_t rows = pass->rows * vectors_of(layer);
	const float *kernel = layer->norm ? state->folded : layer->parameters[0]->value;
	const float *bias = layer->norm ? state->shift : layer->parameter_count > 1 ? layer->parameters[1]->value : NULL;
	bd_dense_forward(&state->dense, pass->run, rows, pass->inputs[0], kernel, bias, bd_activation_clamp(layer->activation),
	                 pass->workspace, pass->output);
	bd_activate(layer->activation, pass->run, rows, state->dense.units, state->dense.units, pass->output);
}

struct piece {
	const struct bd_gradient_taker *taker;
	struct bd_parameter *kernel;
};

static void take_piece(const void *context, size_t first, size_t count, float *gradient)
{
	const struct piece *piece = context;
	const float *value = piece->kernel->value + first;
	for (size_t i = 0; piece->kernel->l2 != 0 && i < count; i++)
		gradient[i] += 2 * piece->kernel->l2 * value[i];
	piece->taker->take(piece->taker->context, piece->kernel, first, count, gradient);
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	const struct state *state = layer->state;
	size_t units = state->dense.units, rows = pass->rows * vectors_of(layer);
	bd_activate_gradient(layer->activation, layer->kernels, pass->run, rows, units, pass->output, pass->output_gradient);
	if (layer->parameter_count > 1 && layer->parameters[1]->gradient)
		bd_sums(layer->kernels, pass->run, rows, units, pass->output_gradient, pass->workspace,
		        layer->parameters[1]->gradient);
	if (pass->input_gradients[0])
		bd_dense_input_gradient(&state->dense, pass->run, rows, pass->output_gradient, layer->parameters[0]->value,
		                        pass->input_gradients[0]);
	if (layer->parameters[0]->gradient)
		bd_dense_kernel_gradient(&state->dense, pass->run, rows, pass->inputs[0], pass->output_gradient,
		                         layer->parameters[0]->gradient);
	/* last: who takes it changes the kernel */
	if (layer->parameters[0]->streamed)
		bd_dense_stream_kernel_gradient(&state->dense, pass->run, rows, pass->inputs[0], pass->output_gradient, take_piece,
		                                &(struct piece){ pass->taker, layer->parameters[0] });
}

static void finish(struct bd_layer *layer)
{
	struct state *state = layer->state;
	if (!state)
		return;
	free(state->folded);
	free(state->scale);
	free(state->shift);
	free(state);
}

const struct bd_layer_type bd_layer_dense = {
	.type = "dense",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.fuses = true,
	.streams_kernel = true,
	.configure = configure,
	.plan = plan,
	.pack = pack,
	.forward = forward,
	.backward = backward,
	.finish = finish,
};
