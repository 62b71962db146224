#include "trainer/layers/activate.h"

#include <math.h>

#include "trainer/kernels/convolution.h"
#include "trainer/model/graph.h"

#define TASK_FLOATS 16384

enum bd_clamp bd_activation_clamp(enum bd_activation activation)
{
	return activation == BD_ACTIVATION_RELU    ? BD_CLAMP_RELU
	       : activation == BD_ACTIVATION_RELU6 ? BD_CLAMP_RELU6
	                                           : BD_CLAMP_NONE;
}

static float sigmoid(float x)
{
	/* exp of a negative number only: no overflow */
	float e = expf(-fabsf(x));
	return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

static void softmax(float *x, size_t count)
{
	float most = x[0], sum = 0;
	for (size_t i = 1; i < count; i++)
		most = x[i] > most ? x[i] : most;
	for (size_t i = 0; i < count; i++)
		sum += x[i] = expf(x[i] - most);
	for (size_t i = 0; i < count; i++)
		x[i] /= sum;
}

static void apply_row(enum bd_activation activation, float *x, size_t count)
{
	switch (activation) {
	case BD_ACTIVATION_LINEAR:
		break;
	case BD_ACTIVATION_RELU:
		for (size_t i = 0; i < count; i++)
			x[i] = x[i] < 0 ? 0 : x[i];
		break;
	case BD_ACTIVATION_RELU6:
		for (size_t i = 0; i < count; i++)
			x[i] = x[i] < 0 ? 0 : x[i] > 6 ? 6 : x[i];
		break;
	case BD_ACTIVATION_SIGMOID:
		for (size_t i = 0; i < count; i++)
			x[i] = sigmoid(x[i]);
		break;
	case BD_ACTIVATION_TANH:
		for (size_t i = 0; i < count; i++)
			x[i] = tanhf(x[i]);
		break;
	case BD_ACTIVATION_SOFTMAX:
		softmax(x, count);
		break;
	}
}

void bd_activation_apply(enum bd_activation activation, float *values, size_t rows, size_t columns)
{
	for (size_t row = 0; row < rows; row++)
		apply_row(activation, values + row * columns, columns);
}

struct activate_task {
	enum bd_activation activation;
	const struct bd_kernels *kernels;
	size_t pixels, channels, pitch, pixels_per_task;
	const float *y;
	float *values;
};

static void activate_pixels(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct activate_task *task = argument;
	size_t first = index * task->pixels_per_task, end = first + task->pixels_per_task;
	for (size_t p = first; p < end && p < task->pixels; p++)
		apply_row(task->activation, task->values + p * task->pitch, task->channels);
}

static size_t per_task(size_t channels)
{
	return channels < TASK_FLOATS ? TASK_FLOATS / channels : 1;
}

void bd_activate(enum bd_activation activation, const struct bd_run *run, size_t pixels, size_t channels, size_t pitch,
                 float *values)
{
	if (activation == BD_ACTIVATION_LINEAR || bd_activation_clamp(activation) != BD_CLAMP_NONE)
		return;
	struct activate_task task = { .activation = activation,
		                      .pixels = pixels,
		                      .channels = channels,
		                      .pitch = pitch,
		                      .pixels_per_task = per_task(channels),
		                      .values = values };
	bd_run_tasks(run, (pixels + task.pixels_per_task - 1) / task.pixels_per_task, activate_pixels, &task);
}

static void gradient_row(enum bd_activation activation, const float *y, float *dy, size_t count)
{
	if (activation == BD_ACTIVATION_SIGMOID) {
		for (size_t i = 0; i < count; i++)
			dy[i] *= y[i] * (1 - y[i]);
	} else if (activation == BD_ACTIVATION_TANH) {
		for (size_t i = 0; i < count; i++)
			dy[i] *= 1 - y[i] * y[i];
	} else {
		float sum = 0;
		for (size_t i = 0; i < count; i++)
			sum += dy[i] * y[i];
		for (size_t i = 0; i < count; i++)
			dy[i] = y[i] * (dy[i] - sum);
	}
}

static void gradient_pixels(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct activate_task *task = argument;
	size_t first = index * task->pixels_per_task, end = first + task->pixels_per_task;
	end = end < task->pixels ? end : task->pixels;
	enum bd_clamp clamp = bd_activation_clamp(task->activation);
	if (clamp != BD_CLAMP_NONE) {
		task->kernels->clamp_gradient((end - first) * task->channels, task->y + first * task->channels, clamp,
		                              task->values + first * task->channels);
		return;
	}
	for (size_t p = first; p < end; p++)
		gradient_row(task->activation, task->y + p * task->channels, task->values + p * task->channels, task->channels);
}

void bd_activate_gradient(enum bd_activation activation, const struct bd_kernels *kernels, const struct bd_run *run, size_t pixels,
                          size_t channels, const float *y, float *gradient)
{
	if (activation == BD_ACTIVATION_LINEAR)
		return;
	struct activate_task task = { .activation = activation,
		                      .kernels = kernels,
		                      .pixels = pixels,
		                      .channels = channels,
		                      .pixels_per_task = per_task(channels),
		                      .y = y,
		                      .values = gradient };
	bd_run_tasks(run, (pixels + task.pixels_per_task - 1) / task.pixels_per_task, gradient_pixels, &task);
}

void bd_activate_bias_gradient(const struct bd_layer *layer, const struct bd_run *run, size_t pixels, const float *y,
                               float *gradient, float *workspace)
{
	size_t channels = (size_t)bd_shape_channels(&layer->shape);
	float *bias = layer->parameter_count > 1 ? layer->parameters[1]->gradient : NULL;
	bd_activate_gradient(layer->activation, layer->kernels, run, pixels, channels, y, gradient);
	if (bias)
		bd_sums(layer->kernels, run, pixels, channels, gradient, workspace, bias);
}
