/* A dense layer on a picture is a convolution of 1 x 1: the same outputs and gradients. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random_model.h"
#include "tests/unit/test.h"

#define ROWS 3
#define SIDE 6
#define CHANNELS 3
#define UNITS 7

static struct bd_graph *graph_of(const char *type)
{
	struct bd_model model;
	bd_model_init(&model);
	model.height = model.width = SIDE;
	model.channels = CHANNELS;
	for (int i = 0; i < 2; i++) {
		struct bd_layer_config *config = bd_model_append(&model, type, i ? "second" : "first");
		config->units = config->filters = i ? UNITS : 20;
		config->kernel_size[0] = config->kernel_size[1] = 1;
		config->activation = BD_ACTIVATION_TANH;
		config->l2 = 0.01f;
	}
	struct bd_graph *graph = bd_random_graph(&model, ROWS, (struct bd_graph_options){ .threads = 2, .training = true });
	bd_model_finish(&model);
	return graph;
}

static void assert_near(const char *what, const float *a, const float *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!(fabs((double)a[i] - (double)b[i]) <= 1e-5 * (1 + fabs((double)b[i]))))
			fail_msg("%s[%zu]: %g and %g", what, i, (double)a[i], (double)b[i]);
}

static void dense_on_a_picture_is_a_convolution_of_one_pixel(void **state)
{
	(void)state;
	struct bd_graph *dense = graph_of("dense"), *convolution = graph_of("conv2d");
	for (size_t p = 0; p < bd_graph_parameter_count(dense); p++) {
		struct bd_parameter *from = bd_graph_parameter(dense, p), *to = bd_graph_parameter(convolution, p);
		assert_int_equal(from->count, to->count);
		memcpy(to->value, from->value, from->count * sizeof(float));
	}
	bd_graph_weights_changed(convolution);
	float *pixels = bd_random_floats(ROWS * SIDE * SIDE * CHANNELS, 1),
	      *slopes = bd_random_floats(ROWS * SIDE * SIDE * UNITS, 2);
	struct bd_graph_input input = { .data = pixels };
	const float *a = bd_graph_forward(dense, &input, ROWS, true, 0), *b = bd_graph_forward(convolution, &input, ROWS, true, 0);
	struct bd_shape shape = bd_graph_output_shape(dense);
	assert_true(shape.rank == 3 && shape.dims[0] == SIDE && shape.dims[2] == UNITS);
	assert_near("output", a, b, ROWS * SIDE * SIDE * UNITS);
	bd_graph_backward(dense, slopes, NULL);
	bd_graph_backward(convolution, slopes, NULL);
	for (size_t p = 0; p < bd_graph_parameter_count(dense); p++)
		assert_near(bd_graph_parameter(dense, p)->name, bd_graph_parameter(dense, p)->gradient,
		            bd_graph_parameter(convolution, p)->gradient, bd_graph_parameter(dense, p)->count);
	free(pixels);
	free(slopes);
	bd_graph_destroy(dense);
	bd_graph_destroy(convolution);
}

static void softmax_over_one_value_is_refused(void **state)
{
	(void)state;
	static const char *const types[] = { "dense", "conv2d", "softmax" };
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		struct bd_model model;
		bd_model_init(&model);
		model.height = model.width = 2;
		model.channels = 1;
		struct bd_layer_config *config = bd_model_append(&model, types[i], "last");
		config->units = config->filters = config->kernel_size[0] = config->kernel_size[1] = 1;
		config->activation = BD_ACTIVATION_SOFTMAX;
		struct bd_graph *graph;
		struct bd_error error = { 0 };
		assert_true(bd_graph_create(&model, 1, &(struct bd_graph_options){ .threads = 1 }, &graph, &error) < 0);
		assert_non_null(strstr(error.text, "softmax over one value is always 1"));
		bd_model_finish(&model);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dense_on_a_picture_is_a_convolution_of_one_pixel),
		cmocka_unit_test(softmax_over_one_value_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
