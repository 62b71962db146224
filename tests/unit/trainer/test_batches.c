/* How records are cut into batches, and how many threads there are, changes no number. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "tests/support/random_model.h"
#include "tests/unit/test.h"
#include "trainer/learning/loss.h"

#define ROWS 200
#define MODELS 60

static const uint32_t batches[] = { 1, 7, 50, 200 };

static size_t input_count(const struct bd_model *model)
{
	return (size_t)model->height * model->width * model->channels;
}

/* The outputs (ROWS, width) of all rows, `batch` at a time, read from memory that holds not a byte more. malloc'd. */
static float *outputs_of(const struct bd_model *model, const float *pixels, uint32_t batch, struct bd_graph_options options,
                         size_t *ret_width)
{
	struct bd_graph *graph = bd_random_graph(model, batch, options);
	size_t width = bd_graph_output_count(graph), row = input_count(model);
	float *outputs = malloc(ROWS * width * sizeof *outputs);
	assert_non_null(outputs);
	for (uint32_t first = 0; first < ROWS; first += batch) {
		uint32_t rows = ROWS - first < batch ? ROWS - first : batch;
		float *own = malloc(rows * row * sizeof *own);
		assert_non_null(own);
		memcpy(own, pixels + first * row, rows * row * sizeof *own);
		struct bd_graph_input input = { .data = own };
		memcpy(outputs + first * width, bd_graph_forward(graph, &input, rows, false, 0), rows * width * sizeof *outputs);
		free(own);
	}
	bd_graph_destroy(graph);
	*ret_width = width;
	return outputs;
}

static void compare_batches(const struct bd_model *model, uint64_t number)
{
	float *pixels = bd_random_floats(ROWS * input_count(model), number);
	for (int training = 0; training < 2; training++) {
		struct bd_graph_options options = { .threads = 1, .training = training };
		size_t width;
		float *one = outputs_of(model, pixels, 1, options, &width);
		for (size_t i = 1; i < BD_COUNT_OF(batches); i++) {
			options.threads = 1 + (uint32_t)i % 3;
			float *more = outputs_of(model, pixels, batches[i], options, &width);
			if (memcmp(one, more, ROWS * width * sizeof *one) != 0)
				fail_msg("model %llu, training %d: batches of %u differ from batches of 1",
				         (unsigned long long)number, training, batches[i]);
			free(more);
		}
		free(one);
	}
	free(pixels);
}

static void outputs_are_the_same_at_any_batch_size(void **state)
{
	(void)state;
	for (uint64_t number = 0; number < MODELS; number++) {
		struct bd_model model;
		bd_random_model(number, &model);
		compare_batches(&model, number);
		bd_model_finish(&model);
	}
}

/* Keras' ResNets: a padding is the first layer, and the convolution behind it does its work in the caller's memory. */
static void padding_of_the_input_reads_each_picture(void **state)
{
	(void)state;
	static const char *const behind[] = { "conv2d", "depthwise_conv2d" };
	for (size_t i = 0; i < BD_COUNT_OF(behind); i++) {
		struct bd_model model;
		bd_model_init(&model);
		model.height = model.width = 9;
		model.channels = 3;
		struct bd_layer_config *config = bd_model_append(&model, "zero_padding2d", "pad");
		for (int side = 0; side < 4; side++)
			config->pad[side] = 3;
		config->trainable = false;
		config = bd_model_append(&model, behind[i], "first");
		config->filters = 8;
		config->depth_multiplier = 1;
		config->kernel_size[0] = config->kernel_size[1] = 7;
		config->strides[0] = config->strides[1] = 2;
		config->trainable = false;
		assert_non_null(bd_model_append(&model, "flatten", "flat"));
		bd_model_append(&model, "dense", "top")->units = 4;
		compare_batches(&model, i);
		bd_model_finish(&model);
	}
}

#define STEP_ROWS 9

/* One step of training: *ret_output and the gradients of all parameters, behind each other. malloc'd. */
static float *gradients_of(const struct bd_model *model, const float *pixels, uint32_t threads, size_t *ret_count, float *output)
{
	struct bd_graph *graph = bd_random_graph(model, STEP_ROWS,
	                                         (struct bd_graph_options){ .threads = threads, .training = true });
	struct bd_graph_input input = { .data = pixels };
	size_t width = bd_graph_output_count(graph), count = 0;
	float *slope = bd_random_floats(STEP_ROWS * width, 5);
	memcpy(output, bd_graph_forward(graph, &input, STEP_ROWS, true, 3), STEP_ROWS * width * sizeof *output);
	bd_graph_backward(graph, slope, NULL);
	for (size_t p = 0; p < bd_graph_parameter_count(graph); p++)
		count += bd_graph_parameter(graph, p)->count;
	float *gradients = calloc(count + 1, sizeof *gradients);
	assert_non_null(gradients);
	for (size_t p = 0, at = 0; p < bd_graph_parameter_count(graph); at += bd_graph_parameter(graph, p++)->count)
		if (bd_graph_parameter(graph, p)->gradient)
			memcpy(gradients + at, bd_graph_parameter(graph, p)->gradient,
			       bd_graph_parameter(graph, p)->count * sizeof *gradients);
	bd_graph_destroy(graph);
	free(slope);
	*ret_count = count;
	return gradients;
}

static void check_threads(uint64_t number)
{
	struct bd_model model;
	bd_random_model(number, &model);
	float *pixels = bd_random_floats(STEP_ROWS * input_count(&model), number), outputs[2][STEP_ROWS * 16] = { { 0 } };
	size_t count;
	float *one = gradients_of(&model, pixels, 1, &count, outputs[0]);
	for (uint32_t threads = 2; threads <= 3; threads++) {
		float *more = gradients_of(&model, pixels, threads, &count, outputs[1]);
		if (memcmp(one, more, count * sizeof *one) != 0 || memcmp(outputs[0], outputs[1], sizeof *outputs) != 0)
			fail_msg("model %llu: outputs or gradients of 1 and %u threads differ", (unsigned long long)number,
			         threads);
		free(more);
	}
	free(one);
	free(pixels);
	bd_model_finish(&model);
}

static void steps_are_the_same_at_any_number_of_threads(void **state)
{
	(void)state;
	for (uint64_t number = 0; number < 2 * MODELS; number++)
		check_threads(number);
	setenv("BATCHD_BLAS", "openblas", 1);
	for (uint64_t number = 0; number < 2 * MODELS; number++)
		check_threads(number);
	setenv("BATCHD_BLAS", "own", 1);
}

/*
 * A graph for inference fuses, aliases and uses memory again where one that trains everything keeps every tensor: a tensor that is
 * overwritten too early, or read from a wrong place, shows as a difference far above rounding.
 */
static void plans_give_the_same_outputs(void **state)
{
	(void)state;
	for (uint64_t number = 0; number < 3 * MODELS; number++) {
		struct bd_model model;
		bd_random_model(number, &model);
		struct bd_graph *planned = bd_random_graph(&model, STEP_ROWS, (struct bd_graph_options){ .threads = 1 });
		for (size_t i = 0; i < model.layer_count; i++)
			model.layers[i].trainable = true;
		struct bd_graph *plain = bd_random_graph(
			&model, STEP_ROWS,
			(struct bd_graph_options){ .threads = 1, .training = true, .convolution = BD_CONVOLUTION_EXACT });
		float *pixels = bd_random_floats(STEP_ROWS * input_count(&model), number);
		struct bd_graph_input input = { .data = pixels };
		const float *a = bd_graph_forward(planned, &input, STEP_ROWS, false, 0);
		const float *b = bd_graph_forward(plain, &input, STEP_ROWS, false, 0);
		double largest = 1;
		for (size_t i = 0; i < STEP_ROWS * bd_graph_output_count(plain); i++)
			largest = fmax(largest, fabs((double)b[i]));
		for (size_t i = 0; i < STEP_ROWS * bd_graph_output_count(plain); i++)
			if (!(fabs((double)a[i] - (double)b[i]) <= 1e-4 * largest))
				fail_msg("model %llu, output %zu: %g and %g", (unsigned long long)number, i, (double)a[i],
				         (double)b[i]);
		bd_graph_destroy(planned);
		bd_graph_destroy(plain);
		free(pixels);
		bd_model_finish(&model);
	}
}

static void loss_is_the_same_at_any_batch_size(void **state)
{
	(void)state;
	enum { WIDTH = 5 };
	struct bd_loss loss = { .kind = BD_SPARSE_CATEGORICAL_CROSSENTROPY, .from_logits = true };
	float *outputs = bd_random_floats(ROWS * WIDTH, 3);
	int64_t classes[ROWS];
	for (int row = 0; row < ROWS; row++)
		classes[row] = row * 7 % WIDTH;
	double sums[BD_COUNT_OF(batches)] = { 0 };
	for (size_t i = 0; i < BD_COUNT_OF(batches); i++) {
		for (uint32_t first = 0; first < ROWS; first += batches[i]) {
			uint32_t rows = ROWS - first < batches[i] ? ROWS - first : batches[i];
			struct bd_targets targets = { .classes = classes + first };
			assert_int_equal(bd_loss_add(&loss, outputs + first * WIDTH, &targets, rows, WIDTH, &sums[i], NULL), 0);
		}
		assert_memory_equal(&sums[i], &sums[0], sizeof *sums);
	}
	double mean;
	assert_int_equal(
		bd_loss_compute(&loss, outputs, &(struct bd_targets){ .classes = classes }, ROWS, WIDTH, &mean, NULL, NULL), 0);
	assert_memory_equal(&(double){ sums[0] * (1.0 / ROWS) }, &mean, sizeof mean);
	classes[3] = WIDTH;
	double before = sums[0];
	assert_true(bd_loss_add(&loss, outputs, &(struct bd_targets){ .classes = classes }, ROWS, WIDTH, &sums[0], NULL) < 0);
	assert_memory_equal(&before, &sums[0], sizeof before);
	free(outputs);
}

int main(void)
{
	/* with OpenBLAS numbers depend on how many rows a product has */
	setenv("BATCHD_BLAS", "own", 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outputs_are_the_same_at_any_batch_size),
		cmocka_unit_test(padding_of_the_input_reads_each_picture),
		cmocka_unit_test(steps_are_the_same_at_any_number_of_threads),
		cmocka_unit_test(plans_give_the_same_outputs),
		cmocka_unit_test(loss_is_the_same_at_any_batch_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
