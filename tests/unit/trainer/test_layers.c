/* Every layer against Keras' own results (golden/layers), forward and backward. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/golden.h"
#include "tests/unit/test.h"
#include "trainer/kernels/openblas.h"
#include "trainer/layers/layer.h"

static const struct bd_kernels *openblas_kernels(enum bd_simd_level level)
{
	const struct bd_kernels *kernels = NULL;
	assert_int_equal(bd_openblas_kernels(level, &kernels, NULL), 0);
	return kernels;
}

#define MAX_INPUTS 2

struct fixture {
	char folder[512];
	struct bd_golden_cases cases;
	struct bd_layer inputs[MAX_INPUTS];
	struct bd_layer *pointers[MAX_INPUTS];
	struct bd_layer layer;
	struct bd_npy x[MAX_INPUTS];
	float *y, *dy, *dx[MAX_INPUTS], *workspace, *scratch;
	size_t rows;
	struct bd_workers *workers;
};

static bool find_folder(char *ret_folder, size_t size)
{
	if (!access("tests/golden/layers/index.txt", R_OK)) {
		snprintf(ret_folder, size, "tests/golden/layers");
		return true;
	}
	return bd_shared_path("golden/layers", ret_folder, size);
}

static bool load(const struct fixture *f, const char *name, const char *tensor, struct bd_npy *ret_npy)
{
	char path[700];
	snprintf(path, sizeof path, "%s/%s/%s.npy", f->folder, name, tensor);
	return !access(path, R_OK) && bd_npy_load(path, ret_npy);
}

static bool value(const struct fixture *f, const char *key, char *text, size_t size)
{
	return bd_golden_value(&f->cases, key, text, size);
}

static double number(const struct fixture *f, const char *key, double otherwise)
{
	char text[64];
	return value(f, key, text, sizeof text) ? strtod(text, NULL) : otherwise;
}

static void pair(const struct fixture *f, const char *key, uint32_t ret_pair[2])
{
	char text[64];
	if (!value(f, key, text, sizeof text))
		return;
	char *rest;
	ret_pair[0] = (uint32_t)strtoul(text, &rest, 10);
	ret_pair[1] = *rest == ',' ? (uint32_t)strtoul(rest + 1, NULL, 10) : ret_pair[0];
}

static struct bd_shape shape_of(const struct bd_npy *npy)
{
	struct bd_shape shape = { .rank = npy->rank - 1 };
	for (int i = 1; i < npy->rank; i++)
		shape.dims[i - 1] = npy->shape[i];
	return shape;
}

struct kind {
	const char *op, *type;
	enum bd_activation activation;
};

static const struct kind kinds[] = {
	{ "conv2d", "conv2d", BD_ACTIVATION_LINEAR },
	{ "depthwise_conv2d", "depthwise_conv2d", BD_ACTIVATION_LINEAR },
	{ "dense", "dense", BD_ACTIVATION_LINEAR },
	{ "maxpool", "max_pooling2d", BD_ACTIVATION_LINEAR },
	{ "avgpool", "average_pooling2d", BD_ACTIVATION_LINEAR },
	{ "global_avg_pool", "global_average_pooling2d", BD_ACTIVATION_LINEAR },
	{ "relu", "relu", BD_ACTIVATION_LINEAR },
	{ "relu6", "activation", BD_ACTIVATION_RELU6 },
	{ "sigmoid", "activation", BD_ACTIVATION_SIGMOID },
	{ "tanh", "activation", BD_ACTIVATION_TANH },
	{ "softmax", "softmax", BD_ACTIVATION_LINEAR },
	{ "batchnorm_train", "batch_normalization", BD_ACTIVATION_LINEAR },
	{ "batchnorm_inference", "batch_normalization", BD_ACTIVATION_LINEAR },
	{ "flatten", "flatten", BD_ACTIVATION_LINEAR },
	{ "add", "add", BD_ACTIVATION_LINEAR },
	{ "concat", "concatenate", BD_ACTIVATION_LINEAR },
	{ "zero_pad", "zero_padding2d", BD_ACTIVATION_LINEAR },
};

static const struct kind *kind_of(const char *op)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i].op, op))
			return &kinds[i];
	return NULL;
}

static void configure(struct fixture *f, const char *name, const struct kind *kind)
{
	struct bd_layer_config *config = &f->layer.config;
	char text[64];
	assert_true(bd_layer_config_init(config, kind->type));
	pair(f, "kernel", config->kernel_size);
	pair(f, "pool", config->pool_size);
	pair(f, "stride", config->strides);
	if (value(f, "padding", text, sizeof text))
		config->padding = !strcmp(text, "same") ? BD_PADDING_SAME : BD_PADDING_VALID;
	config->depth_multiplier = (uint32_t)number(f, "depth_multiplier", 1);
	config->epsilon = (float)number(f, "epsilon", 1e-3);
	config->momentum = (float)number(f, "momentum", 0.99);
	struct bd_npy w;
	if (load(f, name, "w", &w)) {
		config->filters = config->units = (uint32_t)w.shape[w.rank - 1];
		bd_npy_free(&w);
	}
	uint32_t rows[2] = { 0 }, columns[2] = { 0 };
	pair(f, "pad_top_bottom", rows);
	pair(f, "pad_left_right", columns);
	memcpy(config->pad, (uint32_t[]){ rows[0], rows[1], columns[0], columns[1] }, sizeof config->pad);
}

static const char *golden_name(const char *parameter)
{
	static const char *const names[][2] = { { "kernel", "w" },
		                                { "depthwise_kernel", "w" },
		                                { "bias", "b" },
		                                { "gamma", "gamma" },
		                                { "beta", "beta" },
		                                { "moving_mean", "moving_mean" },
		                                { "moving_variance", "moving_variance" } };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(strrchr(parameter, '/') + 1, names[i][0]))
			return names[i][1];
	return NULL;
}

static void load_parameters(struct fixture *f, const char *name)
{
	for (size_t p = 0; p < f->layer.parameter_count; p++) {
		struct bd_parameter *parameter = f->layer.parameters[p];
		struct bd_npy npy;
		bd_parameter_initialize(parameter, 1, p);
		if (load(f, name, golden_name(parameter->name), &npy)) {
			assert_int_equal(npy.count, parameter->count);
			memcpy(parameter->value, npy.data, npy.count * sizeof(float));
			bd_npy_free(&npy);
		}
		if (parameter->trainable)
			parameter->gradient = bd_floats(parameter->count);
	}
}

static void open_layer(struct fixture *f, const char *name, const struct kind *kind, const struct bd_kernels *kernels, bool exact)
{
	static const char *const input_names[][2] = { { "x", NULL }, { "a", "b" } };
	bool two = !strcmp(kind->op, "add") || !strcmp(kind->op, "concat");
	f->layer = (struct bd_layer){ .type = bd_layer_type_find(kind->type),
		                      .name = strdup("layer"),
		                      .index = 1,
		                      .inputs = f->pointers,
		                      .input_count = two ? 2 : 1,
		                      .kernels = kernels,
		                      .exact = exact,
		                      .activation = kind->activation,
		                      .active = true,
		                      .kernel_name = "" };
	assert_non_null(f->layer.type);
	configure(f, name, kind);
	for (size_t i = 0; i < f->layer.input_count; i++) {
		assert_true(load(f, name, input_names[two][i], &f->x[i]));
		f->inputs[i] = (struct bd_layer){ .name = (char *)(uintptr_t) "input",
			                          .shape = shape_of(&f->x[i]),
			                          .active = true };
		f->pointers[i] = &f->inputs[i];
		f->dx[i] = bd_floats(f->x[i].count);
	}
	f->rows = f->layer.max_rows = (size_t)f->x[0].shape[0];
	struct bd_error error = { 0 };
	assert_int_equal(f->layer.type->configure(&f->layer, &error), 0);
	f->layer.out_pitch = (size_t)bd_shape_channels(&f->layer.shape);
	load_parameters(f, name);
	if (f->layer.type->plan)
		assert_int_equal(f->layer.type->plan(&f->layer, &error), 0);
	f->y = bd_floats(f->rows * bd_layer_count(&f->layer));
	f->dy = bd_floats(f->rows * bd_layer_count(&f->layer));
	f->workspace = bd_floats(f->layer.workspace_floats);
	f->scratch = bd_floats(2 * (f->layer.scratch_floats + 16));
}

static void close_layer(struct fixture *f)
{
	if (f->layer.type->finish)
		f->layer.type->finish(&f->layer);
	for (size_t p = 0; p < f->layer.parameter_count; p++)
		bd_parameter_destroy(f->layer.parameters[p]);
	for (size_t i = 0; i < f->layer.input_count; i++) {
		bd_npy_free(&f->x[i]);
		free(f->dx[i]);
	}
	bd_layer_config_finish(&f->layer.config);
	free(f->layer.name);
	free(f->y);
	free(f->dy);
	free(f->workspace);
	free(f->scratch);
}

/* `loosened`: Winograd's own tolerance, a share of the largest value. */
static void compare(const struct fixture *f, const char *name, const char *tensor, const float *got, double loosened)
{
	struct bd_npy want;
	char key[80];
	if (!load(f, name, tensor, &want))
		return;
	snprintf(key, sizeof key, "outputs.%s.atol", tensor);
	double atol = number(f, key, 0);
	snprintf(key, sizeof key, "outputs.%s.max_abs", tensor);
	double most = number(f, key, 0) * loosened;
	atol = atol > most ? atol : most;
	for (size_t i = 0; i < want.count; i++) {
		double difference = fabs((double)got[i] - (double)((const float *)want.data)[i]);
		if (!(difference <= atol))
			fail_msg("%s (%s), %s[%zu]: %.9g instead of %.9g, atol %g", name, f->layer.kernel_name, tensor, i,
			         (double)got[i], (double)((const float *)want.data)[i], atol);
	}
	bd_npy_free(&want);
}

static void run_case(struct fixture *f, const char *name, const struct kind *kind, const struct bd_kernels *kernels, bool exact)
{
	open_layer(f, name, kind, kernels, exact);
	struct bd_layer *layer = &f->layer;
	double loosened = exact ? 0 : 5e-6;
	struct bd_run run = { f->workers, f->scratch, layer->scratch_floats + 16 };
	const float *inputs[MAX_INPUTS] = { f->x[0].data, f->x[1].data };
	struct bd_pass pass = { .run = &run,
		                .rows = f->rows,
		                .training = !strstr(kind->op, "inference"),
		                .inputs = inputs,
		                .output = f->y,
		                .workspace = f->workspace,
		                .output_gradient = f->dy,
		                .input_gradients = f->dx };
	if (layer->type->pack)
		layer->type->pack(layer, &run);
	layer->type->forward(layer, &pass);
	compare(f, name, "y", f->y, loosened);
	struct bd_npy dy;
	assert_true(load(f, name, "dy", &dy));
	memcpy(f->dy, dy.data, dy.count * sizeof(float));
	bd_npy_free(&dy);
	layer->type->backward(layer, &pass);
	compare(f, name, layer->input_count > 1 ? "da" : "dx", f->dx[0], loosened);
	if (layer->input_count > 1)
		compare(f, name, "db", f->dx[1], loosened);
	for (size_t p = 0; p < layer->parameter_count; p++) {
		const struct bd_parameter *parameter = layer->parameters[p];
		char tensor[64];
		snprintf(tensor, sizeof tensor, parameter->is_statistic ? "new_%s" : "d%s", golden_name(parameter->name));
		compare(f, name, tensor, parameter->is_statistic ? parameter->value : parameter->gradient, loosened);
	}
	close_layer(f);
}

static void all_cases(const struct bd_kernels *kernels, bool exact, uint32_t threads)
{
	struct fixture f = { 0 };
	char path[700], op[64], name[128];
	size_t cases = 0;
	if (!find_folder(f.folder, sizeof f.folder)) {
		print_message("missing: golden/layers\n");
		skip();
	}
	struct bd_error error = { 0 };
	assert_int_equal(bd_workers_create(threads, &f.workers, &error), 0);
	snprintf(path, sizeof path, "%s/index.txt", f.folder);
	assert_true(bd_golden_cases_open(path, &f.cases));
	while (bd_golden_cases_next(&f.cases)) {
		if (!value(&f, "op", op, sizeof op) || !kind_of(op) || !value(&f, "name", name, sizeof name))
			continue;
		run_case(&f, name, kind_of(op), kernels, exact);
		cases++;
	}
	bd_golden_cases_close(&f.cases);
	bd_workers_destroy(f.workers);
	assert_true(cases > 50);
}

static void layers_agree_with_keras(void **state)
{
	(void)state;
	for (int level = BD_SIMD_BASELINE; level <= (int)bd_simd_level(); level++)
		all_cases(bd_kernels_of((enum bd_simd_level)level), true, 1);
	all_cases(openblas_kernels(bd_simd_level()), true, 1);
}

static void fast_layers_agree_with_keras_on_two_threads(void **state)
{
	(void)state;
	for (int level = BD_SIMD_BASELINE; level <= (int)bd_simd_level(); level++)
		all_cases(bd_kernels_of((enum bd_simd_level)level), false, 2);
}

static void unknown_type_is_not_found(void **state)
{
	(void)state;
	assert_null(bd_layer_type_find("conv3d"));
	assert_non_null(bd_layer_type_find("conv2d"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layers_agree_with_keras),
		cmocka_unit_test(fast_layers_agree_with_keras_on_two_threads),
		cmocka_unit_test(unknown_type_is_not_found),
	};
	return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
