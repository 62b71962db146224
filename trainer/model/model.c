#include "trainer/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const bd_padding_names[] = { "valid", "same", NULL };
const char *const bd_activation_names[] = { "linear", "relu", "relu6", "sigmoid", "tanh", "softmax", NULL };
const char *const bd_initializer_names[] = { "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform",
	                                     "lecun_normal",   "zeros",         "ones",       NULL };
const char *const bd_compatibility_names[] = { "keras3", "keras2", "tf1", "torch", NULL };

bool bd_layer_config_init(struct bd_layer_config *config, const char *type)
{
	*config = (struct bd_layer_config){
		.type = strdup(type),
		.trainable = true,
		.kernel_size = { 1, 1 },
		.pool_size = { 2, 2 },
		.use_bias = true,
		.epsilon = 1e-3f,
		.momentum = 0.99f,
		.center = true,
		.scale_gamma = true,
		.axis = -1,
		.scale = 1,
		.depth_multiplier = 1,
		.kernel_initializer = BD_INITIALIZER_GLOROT_UNIFORM,
		.bias_initializer = BD_INITIALIZER_ZEROS,
	};
	if (!strcmp(type, "zero_padding2d"))
		for (int i = 0; i < 4; i++)
			config->pad[i] = 1;
	return config->type != NULL;
}

static void free_strings(char **strings, size_t count)
{
	for (size_t i = 0; strings && i < count; i++)
		free(strings[i]);
	free(strings);
}

void bd_layer_config_finish(struct bd_layer_config *config)
{
	free(config->name);
	free(config->type);
	free_strings(config->inputs, config->input_count);
	*config = (struct bd_layer_config){ 0 };
}

bool bd_layer_config_add_input(struct bd_layer_config *config, const char *name)
{
	char **inputs = realloc(config->inputs, (config->input_count + 1) * sizeof *inputs);
	if (!inputs)
		return false;
	config->inputs = inputs;
	inputs[config->input_count] = strdup(name);
	if (!inputs[config->input_count])
		return false;
	config->input_count++;
	return true;
}

void bd_model_init(struct bd_model *model)
{
	*model = (struct bd_model){ .base = { .alpha = 1 } };
}

void bd_model_finish(struct bd_model *model)
{
	if (!model)
		return;
	for (size_t i = 0; i < model->layer_count; i++)
		bd_layer_config_finish(&model->layers[i]);
	free(model->layers);
	free(model->base.name);
	free(model->base.weights);
	free(model->base.trainable_from);
	free(model->unused);
	free(model->weights);
	free_strings(model->classes, model->class_count);
	free(model->path);
	*model = (struct bd_model){ 0 };
}

struct bd_layer_config *bd_model_append(struct bd_model *model, const char *type, const char *name)
{
	struct bd_layer_config *layers = realloc(model->layers, (model->layer_count + 1) * sizeof *layers);
	if (!layers)
		return NULL;
	model->layers = layers;
	struct bd_layer_config *config = &layers[model->layer_count];
	if (!bd_layer_config_init(config, type) || (name && !(config->name = strdup(name)))) {
		bd_layer_config_finish(config);
		return NULL;
	}
	model->layer_count++;
	return config;
}

static bool name_is_taken(const struct bd_model *model, const char *name)
{
	for (size_t i = 0; i < model->layer_count; i++)
		if (model->layers[i].name && !strcmp(model->layers[i].name, name))
			return true;
	return false;
}

bool bd_model_name_layers(struct bd_model *model)
{
	for (size_t i = 0; i < model->layer_count; i++) {
		struct bd_layer_config *config = &model->layers[i];
		if (config->name)
			continue;
		char name[128];
		snprintf(name, sizeof name, "%s", config->type);
		for (unsigned n = 1; name_is_taken(model, name); n++)
			snprintf(name, sizeof name, "%.100s_%u", config->type, n);
		config->name = strdup(name);
		if (!config->name)
			return false;
	}
	return true;
}

static void mark_named(const struct bd_model *model, size_t below, const char *name, bool *used)
{
	for (size_t i = 0; i < below; i++)
		used[i] = used[i] || (model->layers[i].name && strcmp(model->layers[i].name, name) == 0);
}

/* Inputs stand above the layer that takes them: one way up finds all. */
void bd_model_mark_used(const struct bd_model *model, bool *ret_used)
{
	for (size_t i = 0; i < model->layer_count; i++)
		ret_used[i] = i + 1 == model->layer_count;
	for (size_t i = model->layer_count; i-- > 0;) {
		const struct bd_layer_config *layer = &model->layers[i];
		if (!ret_used[i])
			continue;
		if (layer->input_count == 0 && i > 0)
			ret_used[i - 1] = true;
		for (size_t k = 0; k < layer->input_count; k++)
			mark_named(model, i, layer->inputs[k], ret_used);
	}
}
