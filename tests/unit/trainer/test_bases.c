#include "trainer/model/bases.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/golden.h"
#include "tests/unit/test.h"
#include "trainer/learning/network.h"
#include "trainer/model/model_file.h"

/* VGG16 is 13 GFLOP a picture: minutes under a sanitizer, and no line of code that the smaller nets do not run too. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#define PICTURES 1
#else
#define SANITIZED 0
#define PICTURES 2
#endif

struct base_case {
	const char *pixels, *features;
	const char *model; /* with %s for the weights' path */
	const char *weights; /* below shared/data/weights */
	uint32_t side;
	float mean[3], scale; /* of R, G, B */
	bool bgr;
	double atol, max_abs;
};

static const struct base_case base_cases[] = {
	{ "models_squeezenet/pixels_150.npy",
	  "models_squeezenet/squeezenet_150_features.npy",
	  "base: {name: squeezenet1_1, weights: %s}",
	  "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
	  150,
	  { 123.68f, 116.779f, 103.939f },
	  1,
	  true,
	  0.004,
	  743 },
	{ "models_squeezenet/pixels_224.npy",
	  "models_squeezenet/squeezenet_224_features.npy",
	  "base: {name: squeezenet1_1, weights: %s}",
	  "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
	  224,
	  { 123.68f, 116.779f, 103.939f },
	  1,
	  true,
	  0.005,
	  803 },
	{ "models_squeezenet/pixels_150.npy",
	  "models_mobilenet/mobilenet_150_same_features.npy",
	  "base: {name: mobilenet, alpha: 0.75, compatibility: keras2, trainable: false, weights: %s}",
	  "mobilenet_v1_0.75_224.h5",
	  150,
	  { 127.5f, 127.5f, 127.5f },
	  1 / 127.5f,
	  false,
	  0.0008,
	  6 },
	{ "models_squeezenet/pixels_150.npy",
	  "models_mobilenet/mobilenet_150_keras_applications_features.npy",
	  "base: {name: mobilenet, alpha: 0.75, trainable: false, weights: %s}",
	  "mobilenet_v1_0.75_224.h5",
	  150,
	  { 127.5f, 127.5f, 127.5f },
	  1 / 127.5f,
	  false,
	  0.0008,
	  6 },
	{ "models_squeezenet/pixels_224.npy",
	  "models_mobilenet/mobilenet_224_features.npy",
	  "base: {name: mobilenet, alpha: 0.75, trainable: false, weights: %s}",
	  "mobilenet_v1_0.75_224.h5",
	  224,
	  { 127.5f, 127.5f, 127.5f },
	  1 / 127.5f,
	  false,
	  0.0008,
	  6 },
};

/* The golden file, or the test is skipped. */
static struct bd_npy load_golden(const char *name)
{
	char relative[256], path[512];
	struct bd_npy npy = { 0 };
	snprintf(relative, sizeof relative, "golden/%s", name);
	if (!bd_shared_path(relative, path, sizeof path) || !bd_npy_load(path, &npy)) {
		print_message("../shared/%s is missing\n", relative);
		skip();
	}
	return npy;
}

static float *preprocess(const struct base_case *test, const uint8_t *pixels, size_t pictures)
{
	size_t count = pictures * test->side * test->side;
	float *input = malloc(3 * count * sizeof *input);
	assert_non_null(input);
	for (size_t i = 0; i < count; i++) {
		for (size_t c = 0; c < 3; c++)
			input[3 * i + (test->bgr ? 2 - c : c)] = ((float)pixels[3 * i + c] - test->mean[c]) * test->scale;
	}
	return input;
}

static void build(const char *yaml, uint32_t side, uint32_t batch, bool exact, struct bd_model_file *ret_file,
                  struct bd_network *ret_network)
{
	char text[2048];
	struct bd_error error = { 0 };
	const struct bd_network_options options = { .batch = batch, .threads = 2, .exact = exact };
	snprintf(text, sizeof text, "input: {height: %u, width: %u, channels: 3}\n%s\n", side, side, yaml);
	if (bd_model_file_parse("m.yaml", "/", text, strlen(text), ret_file, &error) < 0 ||
	    bd_network_init(ret_file, &options, ret_network, &error) < 0 ||
	    bd_network_load_weights(ret_network, ret_file, &error) < 0)
		fail_msg("%s", error.text);
}

static double largest_difference(const float *a, const float *b, size_t count)
{
	double largest = 0;
	for (size_t i = 0; i < count; i++) {
		double difference = fabs((double)a[i] - (double)b[i]);
		largest = difference > largest || isnan(difference) ? difference : largest;
	}
	return largest;
}

static void compare_base(const struct base_case *test, bool exact)
{
	char path[512], relative[256], yaml[1024];
	struct bd_npy pixels = load_golden(test->pixels), features = load_golden(test->features);
	snprintf(relative, sizeof relative, "data/weights/%s", test->weights);
	if (!bd_shared_path(relative, path, sizeof path)) {
		print_message("../shared/%s is missing\n", relative);
		skip();
	}
	struct bd_model_file file;
	struct bd_network network;
	snprintf(yaml, sizeof yaml, test->model, path);
	build(yaml, test->side, PICTURES, exact, &file, &network);
	float *input = preprocess(test, pixels.data, PICTURES);
	const struct bd_graph_input batch = { .data = input };
	const float *output = bd_graph_forward(network.graph, &batch, PICTURES, false, 0);
	size_t count = (size_t)PICTURES * network.width;
	assert_int_equal(network.width * (size_t)features.shape[0], features.count);
	/* Winograd loses a little on purpose: 2e-5 of the largest output, five times below what is asked of VGG16. */
	double limit = exact ? test->atol : fmax(test->atol, 2e-5 * test->max_abs);
	double difference = largest_difference(output, features.data, count);
	if (!(difference <= limit))
		fail_msg("%s: differs by %g, %g is allowed", test->features, difference, limit);
	free(input);
	bd_network_finish(&network);
	bd_model_file_finish(&file);
	bd_npy_free(&pixels);
	bd_npy_free(&features);
}

static void real_weights_give_keras_features(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof base_cases / sizeof *base_cases; i++) {
		compare_base(&base_cases[i], false);
		compare_base(&base_cases[i], true);
	}
}

/* ---- VGG16 with the recipe's weights: value[i] = ((splitmix64((tensor << 32) | i) >> 40) / 2^24 - 0.5) * scale ---- */

static uint64_t splitmix64(uint64_t counter)
{
	uint64_t z = counter + 0x9E3779B97F4A7C15u;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static void fill_by_recipe(struct bd_parameter *parameter, uint64_t tensor)
{
	size_t fan_in = parameter->rank == 4 ? (size_t)(parameter->shape[0] * parameter->shape[1] * parameter->shape[2])
	                                     : (size_t)parameter->shape[0];
	float scale = parameter->rank == 1 ? 2.0f : (float)sqrt(24.0 / (double)fan_in);
	if (strncmp(parameter->name, "dense_2/", 8) == 0)
		scale = parameter->rank == 1 ? 0.02f : (float)(sqrt(24.0 / (double)fan_in) * 0.02);
	for (size_t i = 0; i < parameter->count; i++)
		parameter->value[i] = ((float)(splitmix64(tensor << 32 | i) >> 40) / 16777216.0f - 0.5f) * scale;
}

static void vgg16_with_the_tutorials_head_gives_keras_logits(void **state)
{
	(void)state;
	if (SANITIZED) {
		print_message("not under a sanitizer\n");
		skip();
	}
	struct bd_npy pixels = load_golden("models_vgg16/pixels.npy"), features = load_golden("models_vgg16/no_top_features.npy"),
		      logits = load_golden("models_vgg16/full_logits.npy");
	struct bd_model_file file;
	struct bd_network network;
	struct bd_error error = { 0 };
	const char *yaml = "input: {height: 150, width: 150, channels: 3}\n"
			   "base: {name: vgg16, trainable: false}\nlayers:\n  - {type: flatten}\n"
			   "  - {type: dense, units: 256, activation: relu, name: dense_1}\n  - {type: dense, units: 1, "
			   "activation: sigmoid, name: dense_2}\n"
			   "loss: binary_crossentropy\n";
	const struct bd_network_options options = { .batch = 4, .threads = 2, .keep = "block5_pool" };
	assert_int_equal(bd_model_file_parse("m.yaml", "/", yaml, strlen(yaml), &file, &error), 0);
	assert_int_equal(bd_network_init(&file, &options, &network, &error), 0);
	for (size_t i = 0; i < network.parameter_count; i++)
		fill_by_recipe(network.parameters[i], i);
	bd_graph_weights_changed(network.graph);
	const struct base_case recipe = { .side = 150, .mean = { 116.779f, 116.779f, 116.779f }, .scale = 1, .bgr = true };
	float *input = preprocess(&recipe, pixels.data, 4);
	const struct bd_graph_input batch = { .data = input };
	const float *output = bd_graph_forward(network.graph, &batch, 4, false, 0);
	struct bd_shape shape;
	const float *no_top = bd_graph_layer_output(network.graph, "block5_pool", &shape);
	assert_non_null(no_top);
	/* relative to the largest, 536 and 1.28 */
	double difference = largest_difference(no_top, features.data, features.count);
	if (!(difference <= 1e-4 * 536))
		fail_msg("features differ by %g", difference);
	difference = largest_difference(output, logits.data, 4);
	if (!(difference <= 1e-4 * 1.284))
		fail_msg("logits differ by %g", difference);
	free(input);
	bd_network_finish(&network);
	bd_model_file_finish(&file);
	bd_npy_free(&pixels);
	bd_npy_free(&features);
	bd_npy_free(&logits);
}

static void weights_of_another_net_are_refused(void **state)
{
	(void)state;
	char path[512], text[1024];
	if (!bd_shared_path("data/weights/mobilenet_v1_0.75_224.h5", path, sizeof path)) {
		print_message("../shared/data/weights is missing\n");
		skip();
	}
	struct bd_model_file file;
	struct bd_network network;
	struct bd_error error = { 0 };
	const struct bd_network_options options = { .batch = 1, .threads = 1 };
	snprintf(text, sizeof text,
	         "input: {height: 64, width: 64, channels: 3}\nbase: {name: mobilenet, alpha: 0.5, weights: %s}\n", path);
	assert_int_equal(bd_model_file_parse("m.yaml", "/", text, strlen(text), &file, &error), 0);
	assert_int_equal(bd_network_init(&file, &options, &network, &error), 0);
	assert_int_equal(bd_network_load_weights(&network, &file, &error), -EINVAL);
	if (!strstr(error.text, "conv1"))
		fail_msg("'%s' does not name the layer", error.text);
	bd_network_finish(&network);
	bd_model_file_finish(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_weights_give_keras_features),
		cmocka_unit_test(vgg16_with_the_tutorials_head_gives_keras_logits),
		cmocka_unit_test(weights_of_another_net_are_refused),
	};
	return cmocka_run_group_tests_name("bases", tests, NULL, NULL);
}
