#include "trainer/model/keras.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "trainer/model/export_plan.h"
#include "trainer/model/hdf5_file.h"

/* Keras reads weights of an older version's layout otherwise: this is the layout of 2 and 3. */
#define KERAS_VERSION "3.0.0"
#define BACKEND "tensorflow"
#define INPUT_NAME "input_layer"
#define ROOT "/model_weights"
#define PATH_BYTES 1024

struct export
{
	struct bd_export_plan plan;
	struct bd_hdf5 *file;
	char **names; /* (layer_count): Keras' names */
};

static const char *const classes[] = { "Conv2D",
	                               "DepthwiseConv2D",
	                               "Dense",
	                               "MaxPooling2D",
	                               "AveragePooling2D",
	                               "GlobalAveragePooling2D",
	                               "GlobalMaxPooling2D",
	                               "BatchNormalization",
	                               "ZeroPadding2D",
	                               "Concatenate",
	                               "Add",
	                               "Activation",
	                               "ReLU",
	                               "Softmax",
	                               "Dropout",
	                               "Flatten",
	                               "Rescaling" };

/* ---- the architecture ---- */

static json_t *pair(const uint32_t *values)
{
	return json_pack("[i, i]", (int)values[0], (int)values[1]);
}

static json_t *window_options(const struct bd_export_layer *layer, const char *window)
{
	return json_pack("{s:o, s:o, s:s, s:s}", window, pair(layer->window), "strides", pair(layer->strides), "padding",
	                 bd_padding_names[layer->config->padding], "data_format", "channels_last");
}

static json_t *convolution_options(const struct bd_export_layer *layer)
{
	const struct bd_layer_config *config = layer->config;
	json_t *options = window_options(layer, "kernel_size");
	if (layer->kind == BD_EXPORT_CONV2D)
		json_object_set_new(options, "filters", json_integer(config->filters));
	else
		json_object_set_new(options, "depth_multiplier", json_integer(config->depth_multiplier));
	json_object_set_new(options, "use_bias", json_boolean(config->use_bias));
	json_object_set_new(options, "activation", json_string(bd_activation_names[config->activation]));
	return options;
}

static json_t *options_of(const struct bd_export_layer *layer)
{
	const struct bd_layer_config *config = layer->config;
	const uint32_t *pad = config->pad;
	switch (layer->kind) {
	case BD_EXPORT_CONV2D:
	case BD_EXPORT_DEPTHWISE_CONV2D:
		return convolution_options(layer);
	case BD_EXPORT_DENSE:
		return json_pack("{s:i, s:b, s:s}", "units", (int)config->units, "use_bias", config->use_bias, "activation",
		                 bd_activation_names[config->activation]);
	case BD_EXPORT_MAX_POOLING2D:
	case BD_EXPORT_AVERAGE_POOLING2D:
		return window_options(layer, "pool_size");
	case BD_EXPORT_BATCH_NORMALIZATION:
		return json_pack("{s:i, s:o, s:o, s:b, s:b}", "axis", -1, "momentum", bd_json_float(config->momentum), "epsilon",
		                 bd_json_float(config->epsilon), "center", config->center, "scale", config->scale_gamma);
	case BD_EXPORT_ZERO_PADDING2D:
		return json_pack("{s:[[i, i], [i, i]], s:s}", "padding", (int)pad[0], (int)pad[1], (int)pad[2], (int)pad[3],
		                 "data_format", "channels_last");
	case BD_EXPORT_ACTIVATION:
		return json_pack("{s:s}", "activation", bd_activation_names[config->activation]);
	case BD_EXPORT_RELU:
		return json_pack("{s:o, s:f, s:f}", "max_value",
		                 config->max_value > 0 ? bd_json_float(config->max_value) : json_null(), "negative_slope", 0.0,
		                 "threshold", 0.0);
	case BD_EXPORT_CONCATENATE:
	case BD_EXPORT_SOFTMAX:
		return json_pack("{s:i}", "axis", -1);
	case BD_EXPORT_DROPOUT:
		return json_pack("{s:o}", "rate", bd_json_float(config->rate));
	case BD_EXPORT_RESCALING:
		return json_pack("{s:f, s:f}", "scale", config->scale, "offset", config->offset);
	case BD_EXPORT_GLOBAL_AVERAGE_POOLING2D:
	case BD_EXPORT_GLOBAL_MAX_POOLING2D:
	case BD_EXPORT_ADD:
	case BD_EXPORT_FLATTEN:
		break;
	}
	return json_object();
}

static const char *input_name(const struct export *export, size_t number)
{
	return number == BD_EXPORT_INPUT ? INPUT_NAME : export->names[number];
}

/* Calls are written as Keras 2 did, [[name, 0, 0, {}], ...]: Keras 3 reads them too. */
static json_t *describe_layer(const struct export *export, size_t number)
{
	const struct bd_export_layer *layer = &export->plan.layers[number];
	const char *name = export->names[number];
	json_t *options = options_of(layer), *calls = json_array();
	json_object_set_new(options, "name", json_string(name));
	json_object_set_new(options, "trainable", json_boolean(layer->config->trainable));
	json_object_set_new(options, "dtype", json_string("float32"));
	for (size_t i = 0; i < layer->input_count; i++)
		json_array_append_new(calls, json_pack("[s, i, i, {}]", input_name(export, layer->inputs[i]), 0, 0));
	return json_pack("{s:s, s:o, s:s, s:[o]}", "class_name", classes[layer->kind], "config", options, "name", name,
	                 "inbound_nodes", calls);
}

static json_t *describe_input(const struct bd_shape *shape)
{
	return json_pack("{s:s, s:{s:[n, I, I, I], s:s, s:s}, s:s, s:[]}", "class_name", "InputLayer", "config", "batch_shape",
	                 (json_int_t)shape->dims[0], (json_int_t)shape->dims[1], (json_int_t)shape->dims[2], "dtype", "float32",
	                 "name", INPUT_NAME, "name", INPUT_NAME, "inbound_nodes");
}

static char *describe_model(const struct export *export)
{
	const char *output = export->names[export->plan.layer_count - 1];
	json_t *layers = json_array();
	json_array_append_new(layers, describe_input(&export->plan.input));
	for (size_t i = 0; i < export->plan.layer_count; i++)
		json_array_append_new(layers, describe_layer(export, i));
	json_t *model = json_pack("{s:s, s:{s:s, s:b, s:o, s:[s, i, i], s:[s, i, i]}}", "class_name", "Functional", "config",
	                          "name", "model", "trainable", 1, "layers", layers, "input_layers", INPUT_NAME, 0, 0,
	                          "output_layers", output, 0, 0);
	return bd_json_dump(model, JSON_COMPACT);
}

/* ---- the weights ---- */

static int write_parameter(struct export *export, const char *layer, const struct bd_parameter *parameter, const char *weight,
                           struct bd_error *error)
{
	char path[PATH_BYTES];
	if (snprintf(path, sizeof path, ROOT "/%s/%s", layer, weight) >= (int)sizeof path)
		return bd_error_set(error, -EINVAL, "layer '%s' has too long a name for an export", layer);
	return bd_hdf5_write(export->file, path, parameter->rank, parameter->shape, parameter->value, error);
}

static int write_layer(struct export *export, const struct bd_export_layer *layer, const char *name, struct bd_error *error)
{
	char group[PATH_BYTES], weights[BD_EXPORT_MAX_PARAMETERS][PATH_BYTES];
	const char *pointers[BD_EXPORT_MAX_PARAMETERS];
	size_t count = 0;
	if (snprintf(group, sizeof group, ROOT "/%s", name) >= (int)sizeof group)
		return bd_error_set(error, -EINVAL, "layer '%s' has too long a name for an export", name);
	int result = bd_hdf5_make_group(export->file, group, error);
	for (; layer && result == 0 && layer->parameters[count]; count++) {
		const char *variable = strrchr(layer->parameters[count]->name, '/') + 1;
		if (layer->kind == BD_EXPORT_DEPTHWISE_CONV2D && count == 0)
			variable = "depthwise_kernel";
		snprintf(weights[count], sizeof weights[count], "%.500s/%.100s:0", name, variable);
		pointers[count] = weights[count];
		result = write_parameter(export, name, layer->parameters[count], weights[count], error);
	}
	return result < 0 ? result : bd_hdf5_write_strings(export->file, group, "weight_names", pointers, count, error);
}

static int write_weights(struct export *export, struct bd_error *error)
{
	const struct bd_export_plan *plan = &export->plan;
	const char **order = calloc(plan->layer_count + 1, sizeof *order);
	int result = order ? bd_hdf5_make_group(export->file, ROOT, error)
	                   : bd_error_set(error, -ENOMEM, "no memory for the export");
	if (result == 0)
		result = write_layer(export, NULL, INPUT_NAME, error);
	if (result == 0)
		order[0] = INPUT_NAME;
	for (size_t i = 0; result == 0 && i < plan->layer_count; i++) {
		size_t number = plan->keras_order[i];
		order[i + 1] = export->names[number];
		result = write_layer(export, &plan->layers[number], export->names[number], error);
	}
	if (result == 0)
		result = bd_hdf5_write_strings(export->file, ROOT, "layer_names", order, plan->layer_count + 1, error);
	free(order);
	return result;
}

static int write_attributes(struct export *export, struct bd_error *error)
{
	char *config = describe_model(export);
	if (!config)
		return bd_error_set(error, -ENOMEM, "no memory for the export, or a layer's name is no UTF-8");
	int result = bd_hdf5_write_text(export->file, "/", "model_config", config, error);
	const char *const places[] = { "/", ROOT };
	for (size_t i = 0; result == 0 && i < 2; i++) {
		result = bd_hdf5_write_text(export->file, places[i], "keras_version", KERAS_VERSION, error);
		if (result == 0)
			result = bd_hdf5_write_text(export->file, places[i], "backend", BACKEND, error);
	}
	free(config);
	return result;
}

static int make_names(struct export *export, struct bd_error *error)
{
	size_t count = export->plan.layer_count;
	export->names = calloc(count, sizeof *export->names);
	if (!export->names)
		return bd_error_set(error, -ENOMEM, "no memory for the export");
	for (size_t i = 0; i < count; i++) {
		export->names[i] = strdup(export->plan.layers[i].config->name);
		if (!export->names[i])
			return bd_error_set(error, -ENOMEM, "no memory for the export");
		for (char *c = export->names[i]; *c; c++)
			*c = *c == '/' ? '_' : *c;
		for (size_t k = 0; k < i; k++) {
			if (!strcmp(export->names[k], export->names[i]))
				return bd_error_set(error, -EINVAL, "layers '%s' and '%s' would have one name in Keras",
				                    export->plan.layers[k].config->name, export->plan.layers[i].config->name);
		}
		if (!strcmp(export->names[i], INPUT_NAME))
			return bd_error_set(error, -EINVAL, "layer '%s' would have the name of Keras' input layer", INPUT_NAME);
	}
	return 0;
}

int bd_keras_export(const char *path, bool force, const struct bd_model *model, struct bd_parameter *const *parameters,
                    size_t count, struct bd_error *error)
{
	struct export export = { 0 };
	int result = bd_export_plan_init(&export.plan, model, parameters, count, error);
	if (result < 0)
		return result;
	result = make_names(&export, error);
	if (result == 0)
		result = bd_hdf5_create(&export.file, error);
	if (result == 0)
		result = write_weights(&export, error);
	if (result == 0)
		result = write_attributes(&export, error);
	if (result == 0)
		result = bd_hdf5_save(export.file, path, force, error);
	for (size_t i = 0; export.names && i < export.plan.layer_count; i++)
		free(export.names[i]);
	free(export.names);
	bd_hdf5_close(export.file);
	bd_export_plan_finish(&export.plan);
	return result;
}
