/*
 * The tutorial's model, a frozen VGG16 with its head, on four pictures: logits, loss and the head's gradients against Keras'. The weights
 * come from the recipe of golden/models_vgg16 (59 MB that need not be stored).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"
#include "trainer/learning/loss.h"
#include "trainer/model/graph.h"
#include "trainer/model/model_file.h"

/* Unoptimized and watched builds take half a minute for VGG16: its layers are tested there one by one (test_layers). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
#define WATCHED true
#else
#define WATCHED false
#endif

#define MAX_PARAMETERS 64

struct net {
	struct bd_model_file file;
	struct bd_graph *graph;
	struct bd_parameter *all[MAX_PARAMETERS];
	size_t count;
};

static bool load(struct bd_npy *ret_npy, const char *format, ...) BD_PRINTF(2, 3);
static bool load(struct bd_npy *ret_npy, const char *format, ...)
{
	char relative[256], path[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(relative, sizeof relative, format, arguments);
	va_end(arguments);
	if (bd_shared_path(relative, path, sizeof path) && bd_npy_load(path, ret_npy))
		return true;
	print_message("missing: %s\n", path);
	return false;
}

static void build(struct net *net, const char *text, uint32_t batch, enum bd_convolution convolution, bool training)
{
	struct bd_error error = { 0 };
	struct bd_graph_options options = { .threads = 2, .convolution = convolution, .training = training, .logits = training };
	if (bd_model_file_parse("model.yaml", "/", text, strlen(text), &net->file, &error) != 0 ||
	    bd_graph_create(&net->file.model, batch, &options, &net->graph, &error) != 0)
		fail_msg("%s", error.text);
	net->count = bd_graph_parameter_count(net->graph);
	assert_true(net->count <= MAX_PARAMETERS);
	for (size_t i = 0; i < net->count; i++)
		net->all[i] = bd_graph_parameter(net->graph, i);
}

static void release(struct net *net)
{
	bd_graph_destroy(net->graph);
	bd_model_file_finish(&net->file);
}

/* float32(pixel) - mean, times scale; bgr: the channels change places. mean in the order of the output. */
static float *prepare(const struct bd_npy *pixels, const float *mean, float scale, bool bgr)
{
	float *values = malloc(pixels->count * sizeof *values);
	const uint8_t *bytes = pixels->data;
	for (size_t i = 0; i < pixels->count; i++) {
		size_t channel = i % 3, from = bgr ? i - channel + 2 - channel : i;
		values[i] = ((float)bytes[from] - mean[channel]) * scale;
	}
	return values;
}

static void assert_close(const char *what, const float *got, const struct bd_npy *wanted, double atol)
{
	for (size_t i = 0; i < wanted->count; i++) {
		double expected = (double)((const float *)wanted->data)[i];
		if (!(fabs((double)got[i] - expected) <= atol))
			fail_msg("%s[%zu]: %.9g instead of %.9g (atol %g)", what, i, (double)got[i], expected, atol);
	}
}

/* golden/models_vgg16/weights.json */
static void set_recipe_weights(struct net *net)
{
	for (size_t t = 0; t < net->count; t++) {
		struct bd_parameter *parameter = net->all[t];
		int64_t fan_in = 1;
		for (int i = 0; i + 1 < parameter->rank; i++)
			fan_in *= parameter->shape[i];
		double scale = (parameter->rank == 1 ? 2 : sqrt(24.0 / (double)fan_in)) *
		               (strncmp(parameter->name, "dense_2/", 8) ? 1 : 0.02);
		if (parameter->rank == 1 && !strncmp(parameter->name, "dense_2/", 8))
			scale = 0.02;
		for (size_t i = 0; i < parameter->count; i++)
			parameter->value[i] = ((float)(bd_random_mix((uint64_t)t << 32 | i) >> 40) / 16777216.0f - 0.5f) *
			                      (float)scale;
	}
	bd_graph_weights_changed(net->graph);
}

static void compare_gradient(struct net *net, const char *parameter, const char *file, double atol)
{
	struct bd_npy wanted;
	assert_true(load(&wanted, "golden/models_vgg16/%s.npy", file));
	assert_close(parameter, bd_graph_find(net->graph, parameter)->gradient, &wanted, atol);
	bd_npy_free(&wanted);
}

static void vgg16_with_the_tutorials_head_gives_keras_loss_and_gradients(void **state)
{
	(void)state;
	static const float mean[3] = { 116.779f, 116.779f, 116.779f };
	struct bd_npy pixels, labels, logits;
	struct net net;
	struct bd_loss loss = { .kind = BD_BINARY_CROSSENTROPY, .from_logits = true };
	float gradient[4];
	double value;
	if (WATCHED || !load(&pixels, "golden/models_vgg16/pixels.npy"))
		skip();
	assert_true(load(&labels, "golden/models_vgg16/labels.npy") && load(&logits, "golden/models_vgg16/full_logits.npy"));
	assert_string_equal(labels.dtype, "<f4");
	float *inputs = prepare(&pixels, mean, 1, true);
	build(&net,
	      "input: {height: 150, width: 150, channels: 3}\nbase: {name: vgg16, trainable: false}\n"
	      "layers: [{type: flatten}, {type: dense, name: dense_1, units: 256, activation: relu},\n"
	      "         {type: dense, name: dense_2, units: 1, activation: sigmoid}]\n",
	      4, BD_CONVOLUTION_EXACT, true);
	set_recipe_weights(&net);
	const float *outputs = bd_graph_forward(net.graph, &(struct bd_graph_input){ .data = inputs }, 4, true, 0);
	assert_close("logits", outputs, &logits, 3e-5);
	assert_int_equal(
		bd_loss_compute(&loss, outputs, &(struct bd_targets){ .values = labels.data }, 4, 1, &value, gradient, NULL), 0);
	assert_true(fabs(value - 1.0755811990822237) < 1e-5);
	bd_graph_backward(net.graph, gradient, NULL);
	compare_gradient(&net, "dense_1/kernel", "gradient_dense_1_kernel_rows_0_16", 2e-6);
	compare_gradient(&net, "dense_1/bias", "gradient_dense_1_bias", 5e-9);
	compare_gradient(&net, "dense_2/kernel", "gradient_dense_2_kernel", 0.001);
	compare_gradient(&net, "dense_2/bias", "gradient_dense_2_bias", 2e-6);
	free(inputs);
	release(&net);
	bd_npy_free(&pixels);
	bd_npy_free(&labels);
	bd_npy_free(&logits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vgg16_with_the_tutorials_head_gives_keras_loss_and_gradients),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
