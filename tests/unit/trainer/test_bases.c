/*
 * The bases against Keras on real pictures: SqueezeNet 1.1 and MobileNet 0.75 with their real weights, VGG16 with weights from the recipe of
 * golden/models_vgg16 (59 MB that need not be stored), alone and with the tutorial's head: features, logits, loss, gradients.
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
#include "trainer/model/weights.h"

/* Unoptimized and watched builds take half a minute for VGG16: its layers are tested there one by one. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
#define WATCHED true
#else
#define WATCHED false
#endif

#define MAX_PARAMETERS 256

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

static void load_weights(struct net *net, const char *relative)
{
	char path[512];
	struct bd_weights_loaded loaded;
	struct bd_error error = { 0 };
	assert_true(bd_shared_path(relative, path, sizeof path));
	if (bd_weights_load(path, net->all, net->count, true, &loaded, &error) != 0)
		fail_msg("%s", error.text);
	bd_graph_weights_changed(net->graph);
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

struct golden_base {
	const char *folder, *name, *weights, *model;
	unsigned size;
	double atol;
};

static const struct golden_base bases[] = {
	{ "models_squeezenet", "squeezenet_150", "data/weights/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
	  "{name: squeezenet1_1}", 150, 0.004 },
	{ "models_squeezenet", "squeezenet_224", "data/weights/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
	  "{name: squeezenet1_1}", 224, 0.005 },
	{ "models_mobilenet", "mobilenet_224", "data/weights/mobilenet_v1_0.75_224.h5", "{name: mobilenet, alpha: 0.75}", 224,
	  0.0008 },
	{ "models_mobilenet", "mobilenet_150_same", "data/weights/mobilenet_v1_0.75_224.h5",
	  "{name: mobilenet, alpha: 0.75, compatibility: keras2}", 150, 0.0008 },
	{ "models_mobilenet", "mobilenet_150_keras_applications", "data/weights/mobilenet_v1_0.75_224.h5",
	  "{name: mobilenet, alpha: 0.75}", 150, 0.0008 },
};

static void compare_base(const struct golden_base *base)
{
	static const float caffe[3] = { 103.939f, 116.779f, 123.68f }, half[3] = { 127.5f, 127.5f, 127.5f };
	char text[512];
	struct bd_npy pixels, features;
	struct net net;
	bool squeezenet = !strcmp(base->folder, "models_squeezenet");
	assert_true(load(&pixels, "golden/models_squeezenet/pixels_%u.npy", base->size));
	assert_true(load(&features, "golden/%s/%s_features.npy", base->folder, base->name));
	float *inputs = squeezenet ? prepare(&pixels, caffe, 1, true) : prepare(&pixels, half, 1 / 127.5f, false);
	uint32_t rows = (uint32_t)features.shape[0];
	snprintf(text, sizeof text,
	         "input: {height: %u, width: %u, channels: 3}\nbase: %s\nlayers: [{type: activation, activation: linear}]\n",
	         base->size, base->size, base->model);
	build(&net, text, rows, BD_CONVOLUTION_FAST, false);
	load_weights(&net, base->weights);
	assert_int_equal(rows * bd_graph_output_count(net.graph), features.count);
	assert_close(base->name, bd_graph_forward(net.graph, &(struct bd_graph_input){ .data = inputs }, rows, false, 0), &features,
	             base->atol);
	free(inputs);
	release(&net);
	bd_npy_free(&pixels);
	bd_npy_free(&features);
}

static bool has_golden(const char *relative)
{
	char path[512];
	if (bd_shared_path(relative, path, sizeof path))
		return true;
	print_message("missing: %s\n", path);
	return false;
}

static void real_weights_give_keras_features(void **state)
{
	(void)state;
	if (!has_golden("golden/models_squeezenet/pixels_150.npy") || !has_golden("data/weights/mobilenet_v1_0.75_224.h5"))
		skip();
	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
		compare_base(&bases[i]);
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

static void vgg16_gives_keras_features(void **state)
{
	(void)state;
	static const float mean[3] = { 116.779f, 116.779f, 116.779f };
	struct bd_npy pixels, features;
	struct net net;
	if (WATCHED || !load(&pixels, "golden/models_vgg16/pixels.npy"))
		skip();
	assert_true(load(&features, "golden/models_vgg16/no_top_features.npy"));
	float *inputs = prepare(&pixels, mean, 1, true);
	for (int way = BD_CONVOLUTION_FAST; way <= BD_CONVOLUTION_EXACT; way++) {
		build(&net,
		      "input: {height: 150, width: 150, channels: 3}\nbase: {name: vgg16}\nlayers: [{type: activation, activation: "
		      "linear}]\n",
		      4, (enum bd_convolution)way, false);
		set_recipe_weights(&net);
		/* exact: the reference's own tolerance; fast: 1e-4 of the largest feature, 536 */
		assert_close("vgg16", bd_graph_forward(net.graph, &(struct bd_graph_input){ .data = inputs }, 4, false, 0),
		             &features, way == BD_CONVOLUTION_EXACT ? 0.004 : 0.0536);
		release(&net);
	}
	free(inputs);
	bd_npy_free(&pixels);
	bd_npy_free(&features);
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
	bd_graph_backward(net.graph, gradient);
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
		cmocka_unit_test(real_weights_give_keras_features),
		cmocka_unit_test(vgg16_gives_keras_features),
		cmocka_unit_test(vgg16_with_the_tutorials_head_gives_keras_loss_and_gradients),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
