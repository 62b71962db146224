#include "trainer/model/model_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

#define HEAD "input: {height: 32, width: 48, channels: 3}\n"

static int parse(const char *text, struct bd_model_file *ret_file, struct bd_error *error)
{
	return bd_model_file_parse("m.yaml", "/models", text, strlen(text), ret_file, error);
}

static void refuse(const char *text, const char *part)
{
	struct bd_model_file file;
	struct bd_error error = { 0 };
	assert_int_equal(parse(text, &file, &error), -EINVAL);
	if (!strstr(error.text, part))
		fail_msg("'%s' does not say '%s'", error.text, part);
}

static void examples_are_valid(void **state)
{
	(void)state;
	static const char *const names[] = { "fashion_cnn",  "cats_dogs_cnn",   "vgg16_head",
		                             "vgg16_block5", "squeezenet_head", "mobilenet_head" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[128];
		struct bd_model_file file;
		struct bd_error error = { 0 };
		snprintf(path, sizeof path, "examples/models/%s.yaml", names[i]);
		if (bd_model_file_load(path, &file, &error) < 0)
			fail_msg("%s", error.text);
		assert_true(file.training.has_loss);
		bd_model_file_finish(&file);
	}
}

static void layers_get_keras_defaults_and_names(void **state)
{
	(void)state;
	struct bd_model_file file;
	struct bd_error error = { 0 };
	assert_int_equal(parse(HEAD "layers:\n"
	                            "  - {type: conv2d, filters: 8, kernel_size: [3, 5]}\n"
	                            "  - {type: conv2d, filters: 8, kernel_size: 3, strides: 2, padding: same, use_bias: false}\n"
	                            "  - {type: relu, max_value: 6}\n"
	                            "  - {type: max_pooling2d}\n"
	                            "  - flatten\n"
	                            "  - {type: dense, units: 4, name: head, kernel_regularizer: {l2: 0.5}}\n"
	                            "  - {type: dense, units: 2}\n",
	                       &file, &error),
	                 0);
	const struct bd_layer_config *layers = file.model.layers;
	assert_int_equal(file.model.layer_count, 7);
	assert_int_equal(file.model.height, 32);
	assert_int_equal(file.model.width, 48);
	assert_string_equal(layers[0].name, "conv2d");
	assert_int_equal(layers[0].kernel_size[0], 3);
	assert_int_equal(layers[0].kernel_size[1], 5);
	assert_true(layers[0].use_bias && layers[0].trainable && layers[0].padding == BD_PADDING_VALID);
	assert_string_equal(layers[1].name, "conv2d_1");
	assert_int_equal(layers[1].strides[1], 2);
	assert_true(!layers[1].use_bias && layers[1].padding == BD_PADDING_SAME);
	assert_string_equal(layers[2].name, "re_lu");
	assert_float_equal(layers[2].max_value, 6, 0);
	assert_string_equal(layers[4].name, "flatten");
	assert_string_equal(layers[5].name, "head");
	assert_float_equal(layers[5].l2, 0.5, 0);
	assert_string_equal(layers[6].name, "dense");
	assert_false(file.training.has_loss);
	bd_model_file_finish(&file);
}

static void base_layers_come_first_and_are_frozen(void **state)
{
	(void)state;
	struct bd_model_file file;
	struct bd_error error = { 0 };
	assert_int_equal(parse(HEAD "base: {name: vgg16, weights: w.h5, trainable: {from: block5_conv1}}\nlayers: [flatten]\n",
	                       &file, &error),
	                 0);
	assert_int_equal(file.model.base_layer_count, 18);
	assert_int_equal(file.model.layer_count, 19);
	assert_string_equal(file.model.base.weights, "/models/w.h5");
	assert_string_equal(file.model.layers[13].name, "block4_pool");
	assert_false(file.model.layers[13].trainable);
	assert_string_equal(file.model.layers[14].name, "block5_conv1");
	assert_true(file.model.layers[14].trainable);
	bd_model_file_finish(&file);
}

static void mobilenet_pads_by_compatibility(void **state)
{
	(void)state;
	struct bd_model_file keras3, keras2;
	struct bd_error error = { 0 };
	assert_int_equal(parse(HEAD "base: {name: mobilenet, alpha: 0.75, weights: random}\n", &keras3, &error), 0);
	assert_int_equal(parse(HEAD "base: {name: mobilenet, compatibility: keras2}\n", &keras2, &error), 0);
	assert_int_equal(keras3.model.layer_count, keras2.model.layer_count + 4);
	assert_null(keras3.model.base.weights);
	assert_int_equal(keras3.model.layers[0].filters, 24);
	assert_string_equal(keras3.model.layers[keras3.model.layer_count - 1].name, "conv_pw_13_relu");
	bd_model_file_finish(&keras3);
	bd_model_file_finish(&keras2);
}

static void optimizers_take_their_own_defaults(void **state)
{
	(void)state;
	struct bd_model_file file;
	struct bd_error error = { 0 };
	assert_int_equal(parse(HEAD "layers: [flatten]\nloss: {name: binary_crossentropy, label_smoothing: 0.25}\n"
	                            "optimizer: {name: sgd, learning_rate: 0.5, momentum: 0.9, nesterov: true, clip_norm: 2,\n"
	                            "  schedule: {name: step, boundaries: [10, 20], values: [1, 0.5, 0.25]}}\n"
	                            "metrics: [accuracy, auc]\n",
	                       &file, &error),
	                 0);
	assert_float_equal(file.training.loss.label_smoothing, 0.25, 0);
	assert_float_equal(file.training.optimizer.momentum, 0.9, 1e-12);
	assert_float_equal(file.training.optimizer.global_clipnorm, 2, 0);
	assert_true(file.training.optimizer.nesterov);
	assert_int_equal(file.training.optimizer.schedule.kind, BD_SCHEDULE_STEP);
	assert_float_equal(file.training.optimizer.schedule.values[2], 0.25, 0);
	assert_int_equal(file.training.metric_count, 2);
	bd_model_file_finish(&file);
}

static void errors_name_the_line_and_the_nearest_word(void **state)
{
	(void)state;
	refuse("layers: [flatten]\n", "no input");
	refuse(HEAD, "neither a base nor layers");
	refuse(HEAD "layers:\n  - {type: conv2d, filters: 8, kernel_size: 3}\n  - {type: dens, units: 3}\n", "m.yaml: line 4");
	refuse(HEAD "layers:\n  - {type: dens, units: 3}\n", "'dense'");
	refuse(HEAD "layers:\n  - {type: dense, unit: 3}\n", "'units'");
	refuse(HEAD "layers:\n  - {type: dense}\n", "needs units");
	refuse(HEAD "layers:\n  - {type: dense, units: 0}\n", "units");
	refuse(HEAD "layers:\n  - {type: dense, units: 3, activation: rel}\n", "'relu'");
	refuse(HEAD "layers:\n  - {type: flatten, name: a}\n  - {type: flatten, name: a}\n", "two layers are called 'a'");
	refuse(HEAD "layers:\n  - {type: flatten, name: left}\n  - {type: dense, units: 2, inputs: [lefd]}\n",
	       "did you mean 'left'?");
	refuse(HEAD "base: {name: vgg61}\n", "'vgg16'");
	refuse(HEAD "base: {name: vgg16, alpha: 0.5}\n", "alpha");
	refuse(HEAD "base: {name: vgg16, trainable: {from: block5_conv}}\n", "did you mean 'block5_conv");
	refuse(HEAD "layers: [flatten]\nloss: binary_crossentropi\n", "binary_crossentropy");
	refuse(HEAD "layers: [flatten]\nloss: mse\noptimizer: {name: sgd, rho: 0.9}\n", "rho");
	refuse(HEAD "layers: [flatten]\nloss: mse\noptimizer: {name: adam, clipnorm: 1, clipvalue: 1}\n", "only one of");
	refuse(HEAD "layers: [flatten]\nmetrics: [acuracy]\n", "'accuracy'");
	refuse(HEAD "layers: [{type: dropout, rate: 1}]\n", "rate");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_are_valid),
		cmocka_unit_test(layers_get_keras_defaults_and_names),
		cmocka_unit_test(base_layers_come_first_and_are_frozen),
		cmocka_unit_test(mobilenet_pads_by_compatibility),
		cmocka_unit_test(optimizers_take_their_own_defaults),
		cmocka_unit_test(errors_name_the_line_and_the_nearest_word),
	};
	return cmocka_run_group_tests_name("model_file", tests, NULL, NULL);
}
