/*
 * Ioffe and Szegedy, Batch Normalization (2015), as Keras has it: over all but the last axis; the moving variance takes the
 * biased variance of the batch in Keras 3, and N / (N - 1) of it for pictures in Keras 2 and TensorFlow 1 (and in PyTorch).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/kernels/convolution.h"
#include "trainer/layers/fold.h"

struct state {
	struct bd_parameter *gamma, *beta, *mean, *variance;
	float *scale, *shift; /* of the last forward, or of pack when frozen */
	float *batch_mean, *batch_variance; /* what the moving averages take; mean of the moving statistics where those are used */
	float *inverse; /* 1 / sqrt(variance + epsilon) */
	float *sums; /* 3 channels: products, gradients, and the factor of x */
	bool batch; /* the last forward used the batch's own statistics */
};

#define CHUNKS 64

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	const struct bd_layer_config *config = &layer->config;
	layer->shape = layer->inputs[0]->shape;
	if (config->axis != -1 && config->axis != layer->shape.rank)
		return bd_layer_error(layer, error, "axis must be the last one (-1)");
	int64_t channels = bd_shape_channels(&layer->shape);
	struct bd_variable variables[] = {
		{ .name = "gamma", .initializer = BD_INITIALIZER_ONES },
		{ .name = "beta", .initializer = BD_INITIALIZER_ZEROS },
		{ .name = "moving_mean", .initializer = BD_INITIALIZER_ZEROS, .is_statistic = true },
		{ .name = "moving_variance", .initializer = BD_INITIALIZER_ONES, .is_statistic = true },
	};
	bool wanted[] = { config->scale_gamma, config->center, true, true };
	int result = 0;
	for (size_t i = 0; i < 4 && !result; i++) {
		variables[i].rank = 1;
		variables[i].shape[0] = variables[i].fan_in = variables[i].fan_out = channels;
		if (wanted[i])
			result = bd_layer_add_parameter(layer, &variables[i], error);
	}
	layer->multiply_adds = (uint64_t)bd_shape_count(&layer->shape);
	return result;
}

static size_t channels_of(const struct bd_layer *layer)
{
	return (size_t)bd_shape_channels(&layer->shape);
}

static int plan(struct bd_layer *layer, struct bd_error *error)
{
	struct state *state = layer->state = calloc(1, sizeof *state);
	size_t channels = channels_of(layer), i = 0;
	if (!state)
		return bd_error_set(error, -ENOMEM, "no memory for layer '%s'", layer->name);
	state->gamma = layer->config.scale_gamma ? layer->parameters[i++] : NULL;
	state->beta = layer->config.center ? layer->parameters[i++] : NULL;
	state->mean = layer->parameters[i++];
	state->variance = layer->parameters[i];
	state->scale = bd_floats(channels);
	state->shift = bd_floats(channels);
	state->batch_mean = bd_floats(channels);
	state->batch_variance = bd_floats(channels);
	state->inverse = bd_floats(channels);
	state->sums = bd_floats(3 * channels);
	layer->workspace_floats = layer->active ? CHUNKS * channels : 0;
	layer->kernel_name = "direct";
	if (!state->scale || !state->shift || !state->batch_mean || !state->batch_variance || !state->inverse || !state->sums)
		return bd_error_set(error, -ENOMEM, "no memory for layer '%s'", layer->name);
	return 0;
}

static void pack(struct bd_layer *layer, const struct bd_run *run)
{
	(void)run;
	struct state *state = layer->state;
	if (!layer->active)
		bd_fold_statistics(layer, state->scale, state->shift);
}

struct pixels_task {
	const struct bd_kernels *kernels;
	const struct state *state;
	size_t pixels, channels, chunk;
	const float *x, *mean, *y, *y_mean;
	float *out;
};

static size_t count_of(const struct pixels_task *task, size_t index)
{
	size_t first = index * task->chunk;
	return task->pixels - first < task->chunk ? task->pixels - first : task->chunk;
}

static void products_chunk(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct pixels_task *task = argument;
	size_t first = index * task->chunk * task->channels;
	task->kernels->column_products(count_of(task, index), task->channels, task->x + first, task->mean, task->y + first,
	                               task->y_mean, task->out + index * task->channels);
}

static void scale_chunk(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct pixels_task *task = argument;
	size_t first = index * task->chunk * task->channels;
	task->kernels->scale_shift(count_of(task, index), task->channels, task->x + first, task->channels, task->state->scale,
	                           task->state->shift, BD_CLAMP_NONE, task->out + first, task->channels);
}

static struct pixels_task pixels_task(const struct bd_layer *layer, const struct bd_pass *pass)
{
	size_t channels = channels_of(layer), pixels = pass->rows * (bd_layer_count(layer) / channels);
	return (struct pixels_task){ .kernels = layer->kernels,
		                     .state = layer->state,
		                     .pixels = pixels,
		                     .channels = channels,
		                     .chunk = (pixels + CHUNKS - 1) / CHUNKS };
}

static void run_chunks(const struct pixels_task *task, const struct bd_run *run, bd_task function)
{
	bd_run_tasks(run, (task->pixels + task->chunk - 1) / task->chunk, function, task);
}

/* sums[c] = sum (x - mean) * (y - y_mean) */
static void products(struct pixels_task task, const struct bd_pass *pass, const float *y, const float *y_mean, float *sums)
{
	task.x = pass->inputs[0];
	task.y = y;
	task.y_mean = y_mean;
	task.out = pass->workspace;
	run_chunks(&task, pass->run, products_chunk);
	bd_sum_parts(task.kernels, pass->run, pass->workspace, (task.pixels + task.chunk - 1) / task.chunk, task.channels, sums);
}

static void move(float *moving, float value, float momentum)
{
	if (isfinite(value))
		*moving = *moving * momentum + value * (1 - momentum);
}

/*
 * In backward, which follows only where the loss of the batch is finite: a batch that is left out for a NaN loss must leave no trace, also
 * where its numbers become NaN behind this layer. No layer reads the moving averages between forward and backward of a step.
 */
static void move_averages(const struct bd_layer *layer, size_t channels)
{
	struct state *state = layer->state;
	for (size_t c = 0; c < channels; c++) {
		move(&state->mean->value[c], state->batch_mean[c], layer->config.momentum);
		move(&state->variance->value[c], state->batch_variance[c], layer->config.momentum);
	}
}

static void batch_statistics(const struct bd_layer *layer, const struct bd_pass *pass, struct pixels_task task)
{
	struct state *state = layer->state;
	bool unbiased = layer->config.compatibility == BD_TORCH ||
	                (layer->config.compatibility != BD_KERAS3 && layer->shape.rank == 3);
	float correction = unbiased && task.pixels > 1 ? (float)task.pixels / (float)(task.pixels - 1) : 1;
	bd_sums(layer->kernels, pass->run, task.pixels, task.channels, pass->inputs[0], pass->workspace, state->batch_mean);
	for (size_t c = 0; c < task.channels; c++)
		state->batch_mean[c] /= (float)task.pixels;
	task.mean = state->batch_mean;
	products(task, pass, pass->inputs[0], state->batch_mean, state->sums);
	for (size_t c = 0; c < task.channels; c++) {
		float variance = state->sums[c] / (float)task.pixels;
		state->inverse[c] = 1 / sqrtf(variance + layer->config.epsilon);
		state->scale[c] = (state->gamma ? state->gamma->value[c] : 1) * state->inverse[c];
		state->shift[c] = (state->beta ? state->beta->value[c] : 0) - state->batch_mean[c] * state->scale[c];
		state->batch_variance[c] = variance * correction;
	}
}

static void moving_statistics(const struct bd_layer *layer, size_t channels)
{
	struct state *state = layer->state;
	bd_fold_statistics(layer, state->scale, state->shift);
	memcpy(state->batch_mean, state->mean->value, channels * sizeof(float));
	for (size_t c = 0; c < channels; c++)
		state->inverse[c] = 1 / sqrtf(state->variance->value[c] + layer->config.epsilon);
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct state *state = layer->state;
	struct pixels_task task = pixels_task(layer, pass);
	if (layer->active) {
		/* Keras: a layer with trainable: false takes its moving statistics in training too */
		state->batch = pass->training && layer->config.trainable;
		if (state->batch)
			batch_statistics(layer, pass, task);
		else
			moving_statistics(layer, task.channels);
	}
	task.x = pass->inputs[0];
	task.out = pass->output;
	run_chunks(&task, pass->run, scale_chunk);
}

/* dx = dy * scale + x * factor + shift, for each channel */
static void gradient_chunk(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct pixels_task *task = argument;
	size_t first = index * task->chunk * task->channels, channels = task->channels;
	const float *factor = task->state->sums + 2 * channels, *scale = task->state->scale, *shift = task->state->shift;
	for (size_t p = 0; p < count_of(task, index); p++) {
		const float *x = task->x + first + p * channels, *dy = task->y + first + p * channels;
		float *dx = task->out + first + p * channels;
		for (size_t c = 0; c < channels; c++)
			dx[c] = dy[c] * scale[c] + x[c] * factor[c] + shift[c];
	}
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct state *state = layer->state;
	struct pixels_task task = pixels_task(layer, pass);
	float *dgamma = state->sums, *dbeta = state->sums + task.channels, *factor = state->sums + 2 * task.channels;
	if (state->batch)
		move_averages(layer, task.channels);
	task.mean = state->batch_mean;
	products(task, pass, pass->output_gradient, NULL, dgamma);
	bd_sums(layer->kernels, pass->run, task.pixels, task.channels, pass->output_gradient, pass->workspace, dbeta);
	for (size_t c = 0; c < task.channels; c++) {
		dgamma[c] *= state->inverse[c];
		factor[c] = state->batch ? -state->scale[c] * state->inverse[c] * dgamma[c] / (float)task.pixels : 0;
		state->shift[c] = state->batch ? -state->scale[c] * dbeta[c] / (float)task.pixels - factor[c] * state->batch_mean[c]
		                               : 0;
	}
	if (state->gamma && state->gamma->gradient)
		memcpy(state->gamma->gradient, dgamma, task.channels * sizeof(float));
	if (state->beta && state->beta->gradient)
		memcpy(state->beta->gradient, dbeta, task.channels * sizeof(float));
	if (!pass->input_gradients[0])
		return;
	task.x = pass->inputs[0];
	task.y = pass->output_gradient;
	task.out = pass->input_gradients[0];
	run_chunks(&task, pass->run, gradient_chunk);
}

static void finish(struct bd_layer *layer)
{
	struct state *state = layer->state;
	if (!state)
		return;
	free(state->scale);
	free(state->shift);
	free(state->batch_mean);
	free(state->batch_variance);
	free(state->inverse);
	free(state->sums);
	free(state);
}

const struct bd_layer_type bd_layer_batch_normalization = {
	.type = "batch_normalization",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.configure = configure,
	.plan = plan,
	.pack = pack,
	.forward = forward,
	.backward = backward,
	.finish = finish,
};
