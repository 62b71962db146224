/* The graph as a whole: gradients by finite differences, fusion, pieces, threads, resumable dropout. */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "tests/unit/test.h"
#include "trainer/model/graph.h"

static struct bd_layer_config *add(struct bd_model *model, const char *type, const char *name, const char *first,
                                   const char *second)
{
	struct bd_layer_config *config = bd_model_append(model, type, name);
	assert_non_null(config);
	if (first)
		assert_true(bd_layer_config_add_input(config, first));
	if (second)
		assert_true(bd_layer_config_add_input(config, second));
	return config;
}

static struct bd_layer_config *convolution(struct bd_model *model, const char *name, const char *input, uint32_t filters,
                                           uint32_t kernel, enum bd_activation activation)
{
	struct bd_layer_config *config = add(model, "conv2d", name, input, NULL);
	config->filters = filters;
	config->kernel_size[0] = config->kernel_size[1] = kernel;
	config->padding = BD_PADDING_SAME;
	config->activation = activation;
	return config;
}

static void model_of(struct bd_model *model, uint32_t side, uint32_t channels)
{
	bd_model_init(model);
	model->height = model->width = side;
	model->channels = channels;
}

/* Branches that meet twice, a stride, a depthwise layer, batch normalisation, both poolings: smooth activations only. */
static void branches(struct bd_model *model)
{
	model_of(model, 9, 3);
	convolution(model, "c1", NULL, 16, 3, BD_ACTIVATION_TANH);
	convolution(model, "left", "c1", 16, 3, BD_ACTIVATION_TANH);
	convolution(model, "right", "c1", 16, 1, BD_ACTIVATION_LINEAR);
	add(model, "add", "sum", "left", "right");
	add(model, "concatenate", "both", "sum", "c1");
	struct bd_layer_config *config = add(model, "depthwise_conv2d", "dw", NULL, NULL);
	config->kernel_size[0] = config->kernel_size[1] = 3;
	config->strides[0] = config->strides[1] = 2;
	config->padding = BD_PADDING_SAME;
	add(model, "batch_normalization", "bn", NULL, NULL);
	add(model, "activation", "act", NULL, NULL)->activation = BD_ACTIVATION_SIGMOID;
	config = convolution(model, "c2", NULL, 5, 3, BD_ACTIVATION_LINEAR);
	config->strides[0] = config->strides[1] = 2;
	config->l2 = 0.01f;
	config = add(model, "average_pooling2d", "pool", NULL, NULL);
	config->strides[0] = config->strides[1] = 1;
	add(model, "flatten", "flat", NULL, NULL);
	config = add(model, "dense", "d1", NULL, NULL);
	config->units = 17;
	config->activation = BD_ACTIVATION_TANH;
	add(model, "dense", "d2", NULL, NULL)->units = 3;
}

static struct bd_graph *graph_of(const struct bd_model *model, uint32_t batch, struct bd_graph_options options)
{
	struct bd_graph *graph;
	struct bd_error error = { 0 };
	if (bd_graph_create(model, batch, &options, &graph, &error))
		fail_msg("%s", error.text);
	bd_graph_initialize(graph, 7);
	return graph;
}

static float *random_floats(size_t count, uint64_t seed)
{
	float *floats = malloc(count * sizeof *floats);
	struct bd_random random = bd_random_of(seed, 1, 2);
	for (size_t i = 0; i < count; i++)
		floats[i] = (float)bd_random_uniform(&random, -1, 1);
	return floats;
}

/* loss = sum of output * weight */
static double loss_of(struct bd_graph *graph, const float *pixels, const float *weights, uint32_t rows)
{
	struct bd_graph_input input = { .data = pixels };
	const float *output = bd_graph_forward(graph, &input, rows, true, 3);
	double loss = bd_graph_penalty(graph);
	for (size_t i = 0; i < rows * bd_graph_output_count(graph); i++)
		loss += (double)output[i] * (double)weights[i];
	return loss;
}

static void check_derivative(struct bd_graph *graph, struct bd_parameter *parameter, size_t index, const float *pixels,
                             const float *weights, uint32_t rows)
{
	const float step = 4e-3f;
	float *value = &parameter->value[index], before = *value;
	*value = before + step;
	bd_graph_weights_changed(graph);
	double above = loss_of(graph, pixels, weights, rows);
	*value = before - step;
	bd_graph_weights_changed(graph);
	double below = loss_of(graph, pixels, weights, rows);
	*value = before;
	double numeric = (above - below) / (2 * (double)step), exact = (double)parameter->gradient[index];
	if (!(fabs(numeric - exact) <= 4e-3 * (1 + fabs(exact))))
		fail_msg("%s[%zu]: gradient %g, by differences %g", parameter->name, index, exact, numeric);
}

static void gradients_agree_with_finite_differences(void **state)
{
	(void)state;
	enum { ROWS = 3 };
	struct bd_model model;
	branches(&model);
	struct bd_graph *graph = graph_of(&model, 4, (struct bd_graph_options){ .threads = 2, .training = true });
	float *pixels = random_floats(9 * 9 * 3 * ROWS, 1), *weights = random_floats(ROWS * 3, 2);
	loss_of(graph, pixels, weights, ROWS);
	bd_graph_backward(graph, weights, NULL);
	for (size_t p = 0; p < bd_graph_parameter_count(graph); p++) {
		struct bd_parameter *parameter = bd_graph_parameter(graph, p);
		assert_int_equal(parameter->gradient != NULL, parameter->trainable);
		for (size_t i = 0; parameter->gradient && i < parameter->count; i += parameter->count / 5 + 1)
			check_derivative(graph, parameter, i, pixels, weights, ROWS);
	}
	free(pixels);
	free(weights);
	bd_graph_destroy(graph);
	bd_model_finish(&model);
}

static void results_do_not_depend_on_threads(void **state)
{
	(void)state;
	enum { ROWS = 7 };
	struct bd_model model;
	branches(&model);
	float *pixels = random_floats(9 * 9 * 3 * ROWS, 1), *weights = random_floats(ROWS * 3, 2);
	struct bd_graph *graphs[3];
	for (uint32_t i = 0; i < 3; i++) {
		graphs[i] = graph_of(&model, ROWS, (struct bd_graph_options){ .threads = 1 + i, .training = true });
		assert_int_equal(bd_graph_threads(graphs[i]), 1 + i);
		loss_of(graphs[i], pixels, weights, ROWS);
		bd_graph_backward(graphs[i], weights, NULL);
	}
	for (size_t p = 0; p < bd_graph_parameter_count(graphs[0]); p++)
		for (int i = 1; i < 3; i++) {
			const struct bd_parameter *a = bd_graph_parameter(graphs[0], p), *b = bd_graph_parameter(graphs[i], p);
			assert_memory_equal(a->value, b->value, a->count * sizeof(float));
			if (a->gradient)
				assert_memory_equal(a->gradient, b->gradient, a->count * sizeof(float));
		}
	for (int i = 0; i < 3; i++)
		bd_graph_destroy(graphs[i]);
	free(pixels);
	free(weights);
	bd_model_finish(&model);
}

struct taken {
	const struct bd_parameter *parameter;
	float *gradient; /* as it came */
	atomic_uchar *times; /* ... each float */
};

static void keep_piece(const void *context, struct bd_parameter *parameter, size_t first, size_t count, const float *gradient)
{
	const struct taken *taken = context;
	while (taken->parameter != parameter)
		taken++;
	for (size_t i = 0; i < count; i++) {
		taken->gradient[first + i] = gradient[i];
		atomic_fetch_add(&taken->times[first + i], 1);
		/* nothing of this step may read it any more */
		parameter->value[first + i] = NAN;
	}
}

/* Dense layers of more and fewer inputs than a piece has, with and without l2, of units that fit vectors and that do not. */
static void streamed_gradients_are_the_same_bits(void **state)
{
	(void)state;
	enum { ROWS = 5, HIDDEN = 2 };
	struct bd_model model;
	model_of(&model, 7, 3);
	convolution(&model, "c1", NULL, 9, 3, BD_ACTIVATION_TANH);
	add(&model, "flatten", "flat", NULL, NULL);
	add(&model, "dense", "wide", NULL, NULL)->units = 192;
	struct bd_layer_config *config = add(&model, "dense", "odd", NULL, NULL);
	config->units = 37;
	config->l2 = 0.01f;
	float *pixels = random_floats(7 * 7 * 3 * ROWS, 1), *weights = random_floats(ROWS * 37, 2);
	struct bd_graph *whole = graph_of(&model, ROWS, (struct bd_graph_options){ .threads = 1, .training = true });
	loss_of(whole, pixels, weights, ROWS);
	bd_graph_backward(whole, weights, NULL);
	for (uint32_t threads = 1; threads <= 3; threads++) {
		struct bd_graph *graph = graph_of(
			&model, ROWS, (struct bd_graph_options){ .threads = threads, .training = true, .streams_gradients = true });
		struct taken taken[HIDDEN] = { { .parameter = bd_graph_find(graph, "wide/kernel") },
			                       { .parameter = bd_graph_find(graph, "odd/kernel") } };
		for (int i = 0; i < HIDDEN; i++) {
			assert_true(taken[i].parameter->streamed && !taken[i].parameter->gradient);
			taken[i].gradient = calloc(taken[i].parameter->count, sizeof(float));
			taken[i].times = calloc(taken[i].parameter->count, sizeof *taken[i].times);
		}
		loss_of(graph, pixels, weights, ROWS);
		bd_graph_backward(graph, weights, &(struct bd_gradient_taker){ keep_piece, taken });
		for (int i = 0; i < HIDDEN; i++) {
			size_t count = taken[i].parameter->count;
			assert_memory_equal(taken[i].gradient, bd_graph_find(whole, taken[i].parameter->name)->gradient,
			                    count * sizeof(float));
			for (size_t k = 0; k < count; k++)
				assert_int_equal(taken[i].times[k], 1);
			free(taken[i].gradient);
			free(taken[i].times);
		}
		for (size_t p = 0; p < bd_graph_parameter_count(graph); p++) {
			const struct bd_parameter *a = bd_graph_parameter(whole, p), *b = bd_graph_parameter(graph, p);
			if (b->gradient)
				assert_memory_equal(a->gradient, b->gradient, a->count * sizeof(float));
		}
		bd_graph_destroy(graph);
	}
	bd_graph_destroy(whole);
	free(pixels);
	free(weights);
	bd_model_finish(&model);
}

/* Pieces of MobileNet and SqueezeNet: padding, norm and relu6 fused, a concatenation written in place, a dense head. */
static void frozen_base(struct bd_model *model, bool trainable)
{
	model_of(model, 33, 3);
	struct bd_layer_config *config = convolution(model, "c1", NULL, 24, 3, BD_ACTIVATION_LINEAR);
	config->strides[0] = config->strides[1] = 2;
	config->use_bias = false;
	add(model, "batch_normalization", "bn1", NULL, NULL);
	add(model, "relu", "relu1", NULL, NULL)->max_value = 6;
	config = add(model, "zero_padding2d", "pad", NULL, NULL);
	memcpy(config->pad, (uint32_t[]){ 0, 1, 0, 1 }, sizeof config->pad);
	config = add(model, "depthwise_conv2d", "dw", NULL, NULL);
	config->kernel_size[0] = config->kernel_size[1] = 3;
	config->strides[0] = config->strides[1] = 2;
	config->use_bias = false;
	add(model, "batch_normalization", "bn2", NULL, NULL);
	add(model, "activation", "relu2", NULL, NULL)->activation = BD_ACTIVATION_RELU6;
	convolution(model, "squeeze", NULL, 16, 1, BD_ACTIVATION_RELU);
	convolution(model, "e1", "squeeze", 64, 1, BD_ACTIVATION_RELU);
	convolution(model, "e3", "squeeze", 48, 3, BD_ACTIVATION_RELU);
	add(model, "concatenate", "fire", "e1", "e3");
	config = add(model, "max_pooling2d", "pool", NULL, NULL);
	config->pool_size[0] = config->pool_size[1] = 3;
	config->strides[0] = config->strides[1] = 2;
	for (size_t i = 0; i < model->layer_count; i++)
		model->layers[i].trainable = trainable;
	add(model, "flatten", "flat", NULL, NULL);
	config = add(model, "dense", "top", NULL, NULL);
	config->units = 2;
	config->activation = BD_ACTIVATION_SOFTMAX;
}

static void statistics(struct bd_graph *graph)
{
	for (size_t p = 0; p < bd_graph_parameter_count(graph); p++) {
		struct bd_parameter *parameter = bd_graph_parameter(graph, p);
		for (size_t i = 0; parameter->is_statistic && i < parameter->count; i++)
			parameter->value[i] = 0.5f + 0.03f * (float)(i % 11);
	}
	bd_graph_weights_changed(graph);
}

static void assert_near(const float *a, const float *b, size_t count, double tolerance)
{
	for (size_t i = 0; i < count; i++)
		if (!(fabs((double)a[i] - (double)b[i]) <= tolerance))
			fail_msg("value %zu: %g and %g", i, (double)a[i], (double)b[i]);
}

static void fused_pieces_equal_the_plain_graph(void **state)
{
	(void)state;
	enum { ROWS = 20 };
	struct bd_model frozen, plain;
	frozen_base(&frozen, false);
	frozen_base(&plain, true);
	struct bd_graph *fused = graph_of(&frozen, ROWS, (struct bd_graph_options){ .threads = 2, .training = true });
	struct bd_graph *whole = graph_of(
		&plain, ROWS, (struct bd_graph_options){ .threads = 1, .training = true, .convolution = BD_CONVOLUTION_EXACT });
	struct bd_graph *inference = graph_of(&plain, ROWS, (struct bd_graph_options){ .threads = 2, .keep = "fire" });
	statistics(fused);
	statistics(whole);
	statistics(inference);
	float *pixels = random_floats(33 * 33 * 3 * ROWS, 5);
	struct bd_graph_input input = { .data = pixels };
	const float *a = bd_graph_forward(fused, &input, ROWS, true, 0), *b = bd_graph_forward(whole, &input, ROWS, false, 0);
	const float *c = bd_graph_forward(inference, &input, ROWS, false, 0);
	assert_near(a, b, ROWS * 2, 2e-6);
	assert_near(c, b, ROWS * 2, 2e-6);
	struct bd_shape shape;
	assert_non_null(bd_graph_layer_output(inference, "fire", &shape));
	assert_int_equal(bd_shape_count(&shape), 8 * 8 * 112);
	assert_null(bd_graph_layer_output(inference, "e1", &shape));
	assert_null(bd_graph_layer_output(inference, "no such layer", &shape));
	bd_graph_destroy(fused);
	bd_graph_destroy(whole);
	bd_graph_destroy(inference);
	free(pixels);
	bd_model_finish(&frozen);
	bd_model_finish(&plain);
}

static void pooled(struct bd_model *model, enum bd_activation activation, bool separate)
{
	model_of(model, 13, 3);
	convolution(model, "c1", NULL, 32, 3, separate ? BD_ACTIVATION_LINEAR : activation);
	if (separate)
		add(model, "activation", "act1", NULL, NULL)->activation = activation;
	add(model, "max_pooling2d", "p1", NULL, NULL);
	convolution(model, "c2", NULL, 16, 3, separate ? BD_ACTIVATION_LINEAR : activation);
	if (separate)
		add(model, "activation", "act2", NULL, NULL)->activation = activation;
	struct bd_layer_config *config = add(model, "max_pooling2d", "p2", NULL, NULL);
	config->pool_size[0] = config->pool_size[1] = 3;
	config->strides[0] = config->strides[1] = 2;
	add(model, "flatten", "flat", NULL, NULL);
	add(model, "dense", "top", NULL, NULL)->units = 3;
}

static void pooling_takes_over_the_activation_gradient_before_it(void **state)
{
	(void)state;
	enum { ROWS = 4 };
	float *pixels = random_floats(13 * 13 * 3 * ROWS, 1), *weights = random_floats(ROWS * 3, 2);
	for (enum bd_activation activation = BD_ACTIVATION_RELU; activation <= BD_ACTIVATION_RELU6; activation++) {
		struct bd_graph *graphs[2];
		for (int separate = 0; separate < 2; separate++) {
			struct bd_model model;
			pooled(&model, activation, separate);
			graphs[separate] = graph_of(&model, ROWS, (struct bd_graph_options){ .threads = 2, .training = true });
			loss_of(graphs[separate], pixels, weights, ROWS);
			bd_graph_backward(graphs[separate], weights, NULL);
			bd_model_finish(&model);
		}
		for (size_t p = 0; p < bd_graph_parameter_count(graphs[0]); p++) {
			const struct bd_parameter *a = bd_graph_parameter(graphs[0], p), *b = bd_graph_parameter(graphs[1], p);
			assert_near(a->gradient, b->gradient, a->count, 2e-5);
		}
		bd_graph_destroy(graphs[0]);
		bd_graph_destroy(graphs[1]);
	}
	free(pixels);
	free(weights);
}

static void row_has_the_same_numbers_anywhere_in_a_batch(void **state)
{
	(void)state;
	enum { ROWS = 11, FLOATS = 33 * 33 * 3 };
	struct bd_model model;
	frozen_base(&model, false);
	setenv("BATCHD_BLAS", "own", 1); /* OpenBLAS does not promise it */
	struct bd_graph *graph = graph_of(&model, ROWS, (struct bd_graph_options){ .threads = 2 });
	unsetenv("BATCHD_BLAS");
	float *pixels = random_floats(FLOATS * ROWS, 5), single[2];
	struct bd_graph_input input = { .data = pixels + 4 * FLOATS };
	memcpy(single, bd_graph_forward(graph, &input, 1, false, 0), sizeof single);
	input.data = pixels;
	assert_memory_equal(bd_graph_forward(graph, &input, ROWS, false, 0) + 4 * 2, single, sizeof single);
	bd_graph_destroy(graph);
	free(pixels);
	bd_model_finish(&model);
}

static void features_give_the_same_output(void **state)
{
	(void)state;
	enum { ROWS = 5 };
	struct bd_model model;
	frozen_base(&model, false);
	struct bd_graph *graph = graph_of(&model, ROWS, (struct bd_graph_options){ .threads = 2, .training = true });
	float *pixels = random_floats(33 * 33 * 3 * ROWS, 5), *features, output[ROWS * 2];
	struct bd_graph_input input = { .data = pixels };
	struct bd_shape shape;
	memcpy(output, bd_graph_forward(graph, &input, ROWS, true, 0), sizeof output);
	const float *seen = bd_graph_features(graph, &shape);
	assert_non_null(seen);
	size_t bytes = (size_t)bd_shape_count(&shape) * ROWS * sizeof(float);
	features = malloc(bytes);
	memcpy(features, seen, bytes);
	memset(pixels, 0, sizeof(float) * 33 * 33 * 3 * ROWS);
	bd_graph_forward(graph, &input, ROWS, true, 0);
	assert_memory_equal(bd_graph_forward_features(graph, features, ROWS, true, 0), output, sizeof output);
	bd_graph_backward(graph, output, NULL);
	free(features);
	free(pixels);
	bd_graph_destroy(graph);
	bd_model_finish(&model);
}

static void flattened_input_is_a_layer_like_others(void **state)
{
	(void)state;
	struct bd_model model;
	struct bd_shape shape;
	model_of(&model, 2, 1);
	add(&model, "flatten", "flat", NULL, NULL);
	add(&model, "dense", "d", NULL, NULL)->units = 3;
	struct bd_graph *graph = graph_of(&model, 2, (struct bd_graph_options){ .threads = 1, .training = true, .keep = "flat" });
	const float pixels[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	bd_graph_forward(graph, &(struct bd_graph_input){ .data = pixels }, 2, true, 1);
	assert_true(bd_graph_features(graph, &shape) == pixels && bd_graph_layer_output(graph, "flat", &shape) == pixels);
	bd_graph_destroy(graph);
	bd_model_finish(&model);
}

static void dropout_draws_by_step_and_keeps_the_mean(void **state)
{
	(void)state;
	enum { ROWS = 8, COUNT = 20 * 20 * 2 };
	struct bd_model model;
	model_of(&model, 20, 2);
	add(&model, "dropout", "drop", NULL, NULL)->rate = 0.25f;
	struct bd_graph *graph = graph_of(&model, ROWS, (struct bd_graph_options){ .threads = 2, .training = true, .seed = 5 });
	float *ones = malloc(sizeof(float) * COUNT * ROWS), *first = malloc(sizeof(float) * COUNT * ROWS);
	for (size_t i = 0; i < COUNT * ROWS; i++)
		ones[i] = 1;
	struct bd_graph_input input = { .data = ones };
	memcpy(first, bd_graph_forward(graph, &input, ROWS, true, 1), sizeof(float) * COUNT * ROWS);
	size_t kept = 0;
	for (size_t i = 0; i < COUNT * ROWS; i++) {
		assert_true(first[i] == 0 || fabsf(first[i] - 4 / 3.0f) < 1e-6f);
		kept += first[i] != 0;
	}
	assert_in_range(kept, COUNT * ROWS * 0.72, COUNT * ROWS * 0.78);
	assert_memory_equal(bd_graph_forward(graph, &input, ROWS, true, 1), first, sizeof(float) * COUNT * ROWS);
	assert_memory_not_equal(bd_graph_forward(graph, &input, ROWS, true, 2), first, sizeof(float) * COUNT * ROWS);
	assert_memory_equal(bd_graph_forward(graph, &input, ROWS, false, 2), ones, sizeof(float) * COUNT * ROWS);
	bd_graph_destroy(graph);
	free(ones);
	free(first);
	bd_model_finish(&model);
}

/* As an input is scaled in Keras; it has nothing that an optimizer trains, but statistics. */
static void normalisation_without_gamma_and_beta_takes_the_batch(void **state)
{
	(void)state;
	enum { ROWS = 4, PIXELS = 9 };
	struct bd_model model;
	model_of(&model, 3, 1);
	struct bd_layer_config *config = add(&model, "batch_normalization", "bn", NULL, NULL);
	config->center = config->scale_gamma = false;
	struct bd_graph *graph = graph_of(&model, ROWS, (struct bd_graph_options){ .threads = 1, .training = true });
	float pixels[ROWS * PIXELS];
	double sum = 0, squares = 0;
	for (size_t i = 0; i < ROWS * PIXELS; i++)
		pixels[i] = 100 + (float)(i % 7);
	const float *output = bd_graph_forward(graph, &(struct bd_graph_input){ .data = pixels }, ROWS, true, 1);
	for (size_t i = 0; i < ROWS * PIXELS; i++) {
		sum += (double)output[i];
		squares += (double)output[i] * (double)output[i];
	}
	assert_float_equal(sum, 0, 1e-3);
	assert_float_equal(squares / (ROWS * PIXELS), 1, 1e-2);
	bd_graph_backward(graph, (float[ROWS * PIXELS]){ 0 }, NULL);
	assert_true(bd_graph_parameter(graph, 0)->value[0] > 0.5f); /* the moving mean has moved */
	bd_graph_destroy(graph);
	bd_model_finish(&model);
}

static void bytes_become_floats_with_mean_and_scale(void **state)
{
	(void)state;
	struct bd_model model;
	model_of(&model, 2, 3);
	add(&model, "flatten", "flat", NULL, NULL);
	struct bd_graph *graph = graph_of(&model, 2, (struct bd_graph_options){ .threads = 1 });
	uint8_t pixels[2][16] = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255 }, { 9 } };
	struct bd_graph_input input = {
		.data = pixels, .dtype = BD_GRAPH_UINT8, .row_bytes = sizeof pixels[0], .mean = { 1, 2, 3 }, .scale = 0.5f
	};
	const float *output = bd_graph_forward(graph, &input, 2, false, 0);
	assert_true(output[0] == -0.5f && output[4] == 1 && output[11] == 126 && output[12] == 4);
	bd_graph_destroy(graph);
	bd_model_finish(&model);
}

static void logits_leave_out_the_last_activation(void **state)
{
	(void)state;
	struct bd_model model;
	frozen_base(&model, false);
	float *pixels = random_floats(33 * 33 * 3, 5);
	struct bd_graph_input input = { .data = pixels };
	struct bd_graph *graph = graph_of(&model, 1, (struct bd_graph_options){ .threads = 1, .logits = true });
	struct bd_graph *probabilities = graph_of(&model, 1, (struct bd_graph_options){ .threads = 1 });
	assert_int_equal(bd_graph_left_out(graph), BD_ACTIVATION_SOFTMAX);
	assert_int_equal(bd_graph_left_out(probabilities), BD_ACTIVATION_LINEAR);
	float output[2];
	memcpy(output, bd_graph_forward(graph, &input, 1, false, 0), sizeof output);
	bd_activation_apply(bd_graph_left_out(graph), output, 1, 2);
	assert_near(output, bd_graph_forward(probabilities, &input, 1, false, 0), 2, 1e-7);
	bd_graph_destroy(graph);
	bd_graph_destroy(probabilities);
	free(pixels);
	bd_model_finish(&model);
}

static void wrong(struct bd_model *model, const char *expected)
{
	struct bd_graph *graph = NULL;
	struct bd_error error = { 0 };
	assert_int_equal(bd_graph_create(model, 2, &(struct bd_graph_options){ .threads = 1 }, &graph, &error), -EINVAL);
	assert_null(graph);
	if (!strstr(error.text, expected))
		fail_msg("'%s' does not say '%s'", error.text, expected);
	bd_model_finish(model);
}

static void wrong_model_is_einval_with_the_layer_named(void **state)
{
	(void)state;
	struct bd_model model;
	model_of(&model, 4, 3);
	wrong(&model, "1 to");
	model_of(&model, 4, 3);
	add(&model, "softmax", "top", NULL, NULL)->axis = 1;
	wrong(&model, "'top' (softmax): axis must be the last one");
	model_of(&model, 4, 3);
	add(&model, "conv9d", "c", NULL, NULL);
	wrong(&model, "no layer type 'conv9d'");
	model_of(&model, 4, 3);
	convolution(&model, "c", "later", 2, 3, BD_ACTIVATION_LINEAR);
	convolution(&model, "later", "c", 2, 3, BD_ACTIVATION_LINEAR);
	wrong(&model, "must stand before it");
	model_of(&model, 4, 3);
	convolution(&model, "c", "nowhere", 2, 3, BD_ACTIVATION_LINEAR);
	wrong(&model, "does not exist");
	model_of(&model, 4, 3);
	convolution(&model, "c", NULL, 2, 5, BD_ACTIVATION_LINEAR)->padding = BD_PADDING_VALID;
	wrong(&model, "larger than its input");
	model_of(&model, 4, 3);
	convolution(&model, "c", NULL, 2, 3, BD_ACTIVATION_LINEAR);
	add(&model, "add", "sum", "c", "input");
	wrong(&model, "cannot add");
	model_of(&model, 4, 3);
	convolution(&model, "c", NULL, UINT32_MAX, 3, BD_ACTIVATION_LINEAR);
	wrong(&model, "too large");
	model_of(&model, 0, 3);
	convolution(&model, "c", NULL, 2, 3, BD_ACTIVATION_LINEAR);
	wrong(&model, "empty");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gradients_agree_with_finite_differences),
		cmocka_unit_test(results_do_not_depend_on_threads),
		cmocka_unit_test(streamed_gradients_are_the_same_bits),
		cmocka_unit_test(fused_pieces_equal_the_plain_graph),
		cmocka_unit_test(pooling_takes_over_the_activation_gradient_before_it),
		cmocka_unit_test(row_has_the_same_numbers_anywhere_in_a_batch),
		cmocka_unit_test(features_give_the_same_output),
		cmocka_unit_test(flattened_input_is_a_layer_like_others),
		cmocka_unit_test(dropout_draws_by_step_and_keeps_the_mean),
		cmocka_unit_test(normalisation_without_gamma_and_beta_takes_the_batch),
		cmocka_unit_test(bytes_become_floats_with_mean_and_scale),
		cmocka_unit_test(logits_leave_out_the_last_activation),
		cmocka_unit_test(wrong_model_is_einval_with_the_layer_named),
	};
	return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
