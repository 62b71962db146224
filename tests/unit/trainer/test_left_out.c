/* What a batch that is left out, and a layer that is frozen, must not change. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random_model.h"
#include "tests/unit/test.h"

#define ROWS 6
#define SIDE 5
#define CHANNELS 2

/* A normalisation between convolutions, of which the first has an L2 penalty and may be frozen. */
static struct bd_graph *graph_of(bool frozen, bool training)
{
	struct bd_model model;
	bd_model_init(&model);
	model.height = model.width = SIDE;
	model.channels = CHANNELS;
	struct bd_layer_config *config = bd_model_append(&model, "conv2d", "first");
	config->filters = 4;
	config->kernel_size[0] = config->kernel_size[1] = 3;
	config->l2 = 0.5f;
	config->trainable = !frozen;
	assert_non_null(bd_model_append(&model, "batch_normalization", "norm"));
	config = bd_model_append(&model, "conv2d", "second");
	config->filters = 3;
	config->kernel_size[0] = config->kernel_size[1] = 3;
	struct bd_graph *graph = bd_random_graph(&model, ROWS, (struct bd_graph_options){ .threads = 1, .training = training });
	bd_model_finish(&model);
	return graph;
}

static void forward_alone_leaves_the_moving_averages_as_they_are(void **state)
{
	(void)state;
	struct bd_graph *graph = graph_of(false, true);
	float *pixels = bd_random_floats(ROWS * SIDE * SIDE * CHANNELS, 1), before[2][4];
	struct bd_parameter *averages[2] = { bd_graph_find(graph, "norm/moving_mean"),
		                             bd_graph_find(graph, "norm/moving_variance") };
	for (int i = 0; i < 2; i++)
		memcpy(before[i], averages[i]->value, sizeof before[i]);
	struct bd_graph_input input = { .data = pixels };
	for (int step = 0; step < 3; step++)
		(void)bd_graph_forward(graph, &input, ROWS, true, (uint64_t)step);
	for (int i = 0; i < 2; i++)
		assert_memory_equal(averages[i]->value, before[i], sizeof before[i]);
	float slopes[ROWS * 3] = { 1 };
	bd_graph_backward(graph, slopes, NULL);
	for (int i = 0; i < 2; i++)
		for (int c = 0; c < 4; c++)
			assert_true(averages[i]->value[c] != before[i][c] && isfinite(averages[i]->value[c]));
	free(pixels);
	bd_graph_destroy(graph);
}

/* Keras 3, layer.py, _get_regularization_losses: the penalties of trainable weights. */
static void penalty_of_a_frozen_layer_is_not_in_the_loss(void **state)
{
	(void)state;
	for (int training = 0; training < 2; training++) {
		struct bd_graph *trained = graph_of(false, training), *frozen = graph_of(true, training);
		const struct bd_parameter *kernel = bd_graph_find(trained, "first/kernel");
		double squares = 0;
		for (size_t i = 0; i < kernel->count; i++)
			squares += (double)kernel->value[i] * (double)kernel->value[i];
		assert_float_equal(bd_graph_penalty(trained), 0.5 * squares, 1e-6);
		assert_true(bd_graph_penalty(frozen) == 0);
		bd_graph_destroy(trained);
		bd_graph_destroy(frozen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forward_alone_leaves_the_moving_averages_as_they_are),
		cmocka_unit_test(penalty_of_a_frozen_layer_is_not_in_the_loss),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
