#include "trainer/learning/network.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/model/weights.h"

/* What the model's last layer does at its end. */
static enum bd_activation last_activation(const struct bd_model *model)
{
	const struct bd_layer_config *last = &model->layers[model->layer_count - 1];
	return strcmp(last->type, "softmax") == 0 ? BD_ACTIVATION_SOFTMAX : last->activation;
}

static bool takes_logits(const struct bd_model_file *file)
{
	if (!file->training.has_loss || file->training.loss.from_logits || file->model.layer_count == 0)
		return false;
	enum bd_activation last = last_activation(&file->model);
	switch (file->training.loss.kind) {
	case BD_BINARY_CROSSENTROPY:
		return last == BD_ACTIVATION_SIGMOID;
	case BD_CATEGORICAL_CROSSENTROPY:
	case BD_SPARSE_CATEGORICAL_CROSSENTROPY:
		return last == BD_ACTIVATION_SOFTMAX;
	case BD_MEAN_SQUARED_ERROR:
		break;
	}
	return false;
}

bool bd_network_doubt(const struct bd_model_file *file, const struct bd_network *network, char *text, size_t size)
{
	static const char *const wanted[] = { [BD_BINARY_CROSSENTROPY] = "sigmoid",
		                              [BD_CATEGORICAL_CROSSENTROPY] = "softmax",
		                              [BD_SPARSE_CATEGORICAL_CROSSENTROPY] = "softmax",
		                              [BD_MEAN_SQUARED_ERROR] = NULL };
	enum bd_loss_kind kind = network->loss.kind;
	bool trained = false;
	for (size_t i = 0; i < network->parameter_count; i++)
		trained = trained || network->parameters[i]->trainable;
	if (!trained) {
		snprintf(text, size, "no weight of the model is trained: every layer is without weights or 'trainable: false'");
		return true;
	}
	if (file->model.unused) {
		snprintf(text, size, "layer '%s' leads nowhere and is left out: no layer up to the last one takes it",
		         file->model.unused);
		return true;
	}
	enum bd_activation last = last_activation(&file->model);
	if (!network->has_loss || network->loss.from_logits || !wanted[kind] || last == BD_ACTIVATION_SIGMOID ||
	    last == BD_ACTIVATION_SOFTMAX)
		return false;
	snprintf(text, size,
	         "%s takes probabilities, and the model does not end in them: its last layer wants 'activation: %s', or the loss "
	         "'from_logits: true'",
	         bd_loss_names[kind], wanted[kind]);
	return true;
}

static int list_parameters(struct bd_network *network, struct bd_error *error)
{
	network->parameter_count = bd_graph_parameter_count(network->graph);
	network->parameters = calloc(network->parameter_count + 1, sizeof(struct bd_parameter *));
	if (!network->parameters)
		return bd_error_set(error, -ENOMEM, "no memory for the model");
	for (size_t i = 0; i < network->parameter_count; i++)
		network->parameters[i] = bd_graph_parameter(network->graph, i);
	return 0;
}

int bd_network_init(const struct bd_model_file *file, const struct bd_network_options *options, struct bd_network *ret_network,
                    struct bd_error *error)
{
	struct bd_network network = { .has_loss = file->training.has_loss, .loss = file->training.loss };
	struct bd_graph_options graph_options = {
		.threads = options->threads,
		.training = options->training,
		.convolution = options->exact ? BD_CONVOLUTION_EXACT : BD_CONVOLUTION_FAST,
		.seed = options->seed,
		.logits = takes_logits(file),
		.streams_gradients = !bd_optimizer_needs_whole_gradients(&file->training.optimizer),
		.keep = options->keep,
	};
	int r = bd_graph_create(&file->model, options->batch, &graph_options, &network.graph, error);
	if (r < 0) {
		if (file->model.path)
			bd_error_prefix(error, "%s", file->model.path);
		return r;
	}
	network.output = bd_graph_output_shape(network.graph);
	network.width = bd_graph_output_count(network.graph);
	network.classes = (size_t)bd_shape_channels(&network.output);
	network.places = network.width / network.classes;
	network.loss.from_logits = network.loss.from_logits || bd_graph_left_out(network.graph) != BD_ACTIVATION_LINEAR;
	r = list_parameters(&network, error);
	if (r < 0) {
		bd_network_finish(&network);
		return r;
	}
	bd_graph_initialize(network.graph, options->seed);
	*ret_network = network;
	return 0;
}

void bd_network_finish(struct bd_network *network)
{
	free(network->parameters);
	bd_graph_destroy(network->graph);
	*network = (struct bd_network){ 0 };
}

/* The base's layers come first in the model, and so do their parameters in the graph. */
static size_t base_parameter_count(const struct bd_network *network, const struct bd_model *model)
{
	size_t count = 0;
	for (; count < network->parameter_count; count++) {
		const char *name = network->parameters[count]->name;
		const char *slash = strrchr(name, '/');
		size_t length = slash ? (size_t)(slash - name) : strlen(name);
		bool in_base = false;
		for (size_t i = 0; !in_base && i < model->base_layer_count; i++)
			in_base = strlen(model->layers[i].name) == length && strncmp(model->layers[i].name, name, length) == 0;
		if (!in_base)
			break;
	}
	return count;
}

/* Variables of one layer follow each other and are called LAYER/VARIABLE. */
static size_t layer_count(const struct bd_network *network)
{
	size_t count = 0, length = 0;
	const char *name = "";
	for (size_t i = 0; i < network->parameter_count; i++) {
		const char *next = network->parameters[i]->name, *slash = strrchr(next, '/');
		size_t next_length = slash ? (size_t)(slash - next) : strlen(next);
		count += next_length != length || strncmp(next, name, length) != 0;
		name = next;
		length = next_length;
	}
	return count;
}

int bd_network_load_weights(struct bd_network *network, const struct bd_model_file *file, struct bd_error *error)
{
	const struct bd_model *model = &file->model;
	struct bd_weights_loaded base = { 0 }, own = { 0 };
	int r = 0;
	if (model->base.weights)
		r = bd_weights_load(model->base.weights, network->parameters, base_parameter_count(network, model), true, &base,
		                    error);
	if (r == 0 && model->weights)
		r = bd_weights_load(model->weights, network->parameters, network->parameter_count, false, &own, error);
	if (r < 0)
		return r;
	size_t layers = layer_count(network), loaded = base.layers + own.layers;
	network->random_layers = loaded < layers ? layers - loaded : 0;
	bd_graph_weights_changed(network->graph);
	return 0;
}

void bd_network_probabilities(const struct bd_network *network, float *output, size_t rows)
{
	bd_activation_apply(bd_graph_left_out(network->graph), output, rows * network->places, network->classes);
}

bool bd_network_gives_numbers(const struct bd_network *network)
{
	size_t count = bd_graph_input_count(network->graph);
	float *pixels = calloc(count, sizeof *pixels), sum = 0;
	if (!pixels)
		return true;
	for (size_t i = 0; i < count; i++)
		pixels[i] = (float)(i * 37 % 255) - 127;
	const float *output = bd_graph_forward(network->graph, &(struct bd_graph_input){ .data = pixels }, 1, false, 0);
	for (size_t i = 0; i < network->width; i++)
		sum += output[i] * 0.0f;
	free(pixels);
	return isfinite(sum);
}

int bd_network_check_finite(const struct bd_network *network, struct bd_error *error)
{
	for (size_t i = 0; i < network->parameter_count; i++) {
		const struct bd_parameter *parameter = network->parameters[i];
		/* A sum is NaN or infinite as soon as one of its terms is. */
		float sum = 0;
		if (!parameter->trainable && !parameter->is_statistic)
			continue;
		for (size_t k = 0; k < parameter->count; k++)
			sum += parameter->value[k] * 0.0f;
		if (!isfinite(sum))
			return bd_error_set(error, -EDOM, "weight %s is no longer a finite number", parameter->name);
	}
	return 0;
}
