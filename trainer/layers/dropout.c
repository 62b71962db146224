#include <string.h>

#include "common/base/random.h"
#include "trainer/layers/layer.h"

static int configure(struct bd_layer *layer, struct bd_error *error)
{
	if (!(layer->config.rate >= 0 && layer->config.rate < 1))
		return bd_layer_error(layer, error, "rate must be at least 0 and below 1");
	return bd_layer_same_shape(layer, error);
}

static bool is_identity(const struct bd_layer *layer)
{
	(void)layer;
	return true;
}

struct rows_task {
	const struct bd_layer *layer;
	const struct bd_pass *pass;
	const float *from;
	float *to;
};

/*
 * What is dropped is a function of (seed, step, layer, row of the batch, value): backward and a resumed run draw the
 * same again. One 64-bit number decides two values.
 */
static void drop_row(const void *argument, size_t row, float *scratch)
{
	(void)scratch;
	const struct rows_task *task = argument;
	size_t count = bd_layer_count(task->layer);
	const float *from = task->from + row * count;
	float *to = task->to + row * count, rate = task->layer->config.rate, kept = 1 / (1 - rate);
	uint64_t threshold = (uint64_t)((double)rate * 0x1p32);
	struct bd_random random = bd_random_of(task->pass->seed, task->pass->step,
	                                       (uint64_t)task->layer->index << 32 | (task->pass->first_row + row));
	for (size_t i = 0; i < count; i += 2) {
		uint64_t bits = bd_random_next(&random);
		to[i] = (bits >> 32) < threshold ? 0 : from[i] * kept;
		if (i + 1 < count)
			to[i + 1] = (bits & UINT32_MAX) < threshold ? 0 : from[i + 1] * kept;
	}
}

static void forward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	if (!pass->training) {
		memcpy(pass->output, pass->inputs[0], pass->rows * bd_layer_count(layer) * sizeof(float));
		return;
	}
	struct rows_task task = { layer, pass, pass->inputs[0], pass->output };
	bd_run_tasks(pass->run, pass->rows, drop_row, &task);
}

static void backward(const struct bd_layer *layer, const struct bd_pass *pass)
{
	struct rows_task task = { layer, pass, pass->output_gradient, pass->input_gradients[0] };
	if (task.to)
		bd_run_tasks(pass->run, pass->rows, drop_row, &task);
}

const struct bd_layer_type bd_layer_dropout = {
	.type = "dropout",
	.minimum_inputs = 1,
	.maximum_inputs = 1,
	.by_picture = true,
	.is_identity = is_identity,
	.configure = configure,
	.forward = forward,
	.backward = backward,
};
