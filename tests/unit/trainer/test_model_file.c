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

static void base_ends_where_it_is_left(void **state)
{
	(void)state;
	struct bd_model_file file;
	struct bd_error error = { 0 };
	assert_int_equal(parse(HEAD
	                       "base: {name: vgg16, trainable: {from: block2_conv1}}\n"
	                       "layers: [{type: flatten, name: low, inputs: [block1_pool]},\n"
	                       "  {type: flatten, name: high, inputs: [block2_conv2]}, {type: concatenate, inputs: [low, high]}]\n",
	                       &file, &error),
	                 0);
	assert_int_equal(file.model.base_layer_count, 5);
	assert_int_equal(file.model.layer_count, 8);
	assert_string_equal(file.model.layers[4].name, "block2_conv2");
	assert_true(file.model.layers[4].trainable && !file.model.layers[1].trainable);
	assert_string_equal(file.model.layers[5].name, "low");
	bd_model_file_finish(&file);
	refuse(HEAD "base: vgg16\nlayers: [{type: flatten, inputs: input}]\n", "does not depend on the base");
}

static void layers_that_lead_nowhere_are_left_out(void **state)
{
	(void)state;
	struct bd_model_file file;
	struct bd_error error = { 0 };
	assert_int_equal(parse(HEAD "layers:\n"
	                            "  - {type: flatten, name: a}\n"
	                            "  - {type: dense, name: b, units: 3, kernel_regularizer: l2}\n"
	                            "  - {type: dense, name: c, units: 3}\n"
	                            "  - {type: dense, name: d, units: 3, inputs: a}\n",
	                       &file, &error),
	                 0);
	assert_int_equal(file.model.layer_count, 2);
	assert_string_equal(file.model.layers[1].name, "d");
	assert_string_equal(file.model.unused, "c");
	bd_model_file_finish(&file);
}

/* What get_config() of Keras 3 has, at the values that are computed. */
static void keras_own_configuration_is_taken(void **state)
{
	(void)state;
	struct bd_model_file file;
	struct bd_error error = { 0 };
	if (parse(HEAD
	          "base: {name: vgg16, include_top: false, pooling: null}\n"
	          "layers:\n"
	          "  - {type: conv2d, name: null, trainable: true, dtype: float32, filters: 8, kernel_size: [1, 1], strides: [2, "
	          "2],\n"
	          "     padding: valid, data_format: channels_last, dilation_rate: [1, 1], groups: 1, activation: null, use_bias: "
	          "true,\n"
	          "     kernel_initializer: glorot_uniform, bias_initializer: zeros, kernel_regularizer: null, bias_regularizer: "
	          "null,\n"
	          "     activity_regularizer: null, kernel_constraint: ~, bias_constraint: null}\n"
	          "  - {type: depthwise_conv2d, kernel_size: [1, 1], depth_multiplier: 1, dilation_rate: 1, data_format: null,\n"
	          "     depthwise_regularizer: null, depthwise_constraint: null}\n"
	          "  - {type: max_pooling2d, pool_size: [1, 1], strides: null, data_format: channels_last}\n"
	          "  - {type: batch_normalization, axis: -1, beta_initializer: zeros, gamma_initializer: ones, synchronized: "
	          "False,\n"
	          "     moving_mean_initializer: zeros, moving_variance_initializer: ones, beta_regularizer: null}\n"
	          "  - {type: relu, max_value: null, negative_slope: 0.0, threshold: 0}\n"
	          "  - {type: dropout, rate: 0.5, seed: null, noise_shape: null}\n"
	          "  - {type: global_average_pooling2d, keepdims: false}\n"
	          "  - {type: dense, units: 2, lora_rank: null}\n"
	          "loss: {name: mse, reduction: sum_over_batch_size}\n"
	          "optimizer: {name: adam, weight_decay: null, clipnorm: null, use_ema: false, ema_momentum: 0.99, "
	          "loss_scale_factor: null,\n"
	          "  gradient_accumulation_steps: null}\n",
	          &file, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(file.model.layers[18].strides[1], 2);
	assert_string_equal(file.model.layers[18].name, "conv2d");
	assert_int_equal(file.model.layers[18].activation, BD_ACTIVATION_LINEAR);
	assert_float_equal(file.training.optimizer.weight_decay, 0, 0);
	bd_model_file_finish(&file);
}

static void what_is_not_computed_is_refused_with_what_is(void **state)
{
	(void)state;
#define CONV "layers:\n  - {type: conv2d, filters: 8, kernel_size: 3, "
	refuse(HEAD CONV "dilation_rate: 2}\n", "line 3: layer conv2d: dilation_rate is always 1 here");
	refuse(HEAD CONV "dilation_rate: [1, 2]}\n", "dilation_rate is always 1 here");
	refuse(HEAD CONV "groups: 2}\n", "groups is always 1 here (depthwise_conv2d");
	refuse(HEAD CONV "data_format: channels_first}\n", "data_format is always channels_last here");
	refuse(HEAD CONV "bias_regularizer: l2}\n", "bias_regularizer is always null here");
	refuse(HEAD CONV "dtype: float16}\n", "dtype is always float32 here");
	refuse(HEAD CONV "group: 1}\n", "did you mean 'groups'?");
	refuse(HEAD CONV "keepdims: false}\n", "unknown key 'keepdims'");
	refuse(HEAD "layers:\n  - {type: dense, units: null}\n", "needs units");
	refuse(HEAD "layers:\n  - {type: relu, negative_slope: 0.2}\n", "negative_slope is always 0 here");
	refuse(HEAD "layers:\n  - {type: dropout, rate: 0.2, seed: 3}\n", "--seed");
	refuse(HEAD "base: {name: vgg16, include_top: true}\n", "without its top");
	refuse(HEAD "layers: [flatten]\nloss: mse\noptimizer: {name: sgd, use_ema: true}\n",
	       "optimizer sgd: use_ema is always false here");
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
	refuse("input: {shape: [8, 8, 1]}\nlayers: [flatten]\n", "unknown key 'shape' in input; known are height, width, channels");
	refuse(HEAD "layers: [{type: Conv2D, filters: 1, kernel_size: 1}]\n", "did you mean 'conv2d'?");
	refuse(HEAD "layers: [{type: MaxPooling2D}]\n", "did you mean 'max_pooling2d'?");
	refuse(HEAD "layers: [flatten]\nloss: mse\nmetrics: [AUC]\n", "did you mean 'auc'?");
	refuse(HEAD "layers: [flatten]\nloss: mse\noptimizer: {name: sgd, learning_rate: {name: cosine}}\n",
	       "stands in 'schedule:'");
	refuse(HEAD "base: {name: vgg16, weights: imagenet}\n", "keras.applications");
#define SCHEDULE "layers: [flatten]\nloss: mse\noptimizer: {name: sgd, schedule: "
	refuse(HEAD SCHEDULE "{name: constant, decay_steps: 5}}\n", "unknown key 'decay_steps' in a constant schedule");
	refuse(HEAD SCHEDULE "{name: cosine, decay_steps: 5, staircase: true}}\n", "unknown key 'staircase' in a cosine schedule");
	refuse(HEAD SCHEDULE "{name: exponential, decay_steps: 5, alpha: 0.5}}\n",
	       "unknown key 'alpha' in an exponential schedule");
	refuse(HEAD "layers: [flatten, softmax]\nloss: {name: categorical_crossentropy, from_logits: true}\n",
	       "m.yaml: line 3: from_logits: true is for a model that does not end in softmax");
	refuse(HEAD "layers: [flatten, {type: dense, units: 1, activation: sigmoid}]\nloss: {name: binary_crossentropy, "
	            "from_logits: true}\n",
	       "does not end in sigmoid");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_are_valid),
		cmocka_unit_test(layers_get_keras_defaults_and_names),
		cmocka_unit_test(base_layers_come_first_and_are_frozen),
		cmocka_unit_test(mobilenet_pads_by_compatibility),
		cmocka_unit_test(optimizers_take_their_own_defaults),
		cmocka_unit_test(base_ends_where_it_is_left),
		cmocka_unit_test(layers_that_lead_nowhere_are_left_out),
		cmocka_unit_test(keras_own_configuration_is_taken),
		cmocka_unit_test(what_is_not_computed_is_refused_with_what_is),
		cmocka_unit_test(errors_name_the_line_and_the_nearest_word),
	};
	return cmocka_run_group_tests_name("model_file", tests, NULL, NULL);
}
