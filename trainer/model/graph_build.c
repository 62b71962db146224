#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/layers/activate.h"
#include "trainer/model/graph_internal.h"

static struct bd_layer *find_before(struct bd_graph *graph, size_t index, const char *name)
{
	for (size_t i = index; i-- > 1;)
		if (!strcmp(graph->layers[i].name, name))
			return &graph->layers[i];
	return !strcmp(name, BD_MODEL_INPUT_NAME) ? &graph->layers[0] : NULL;
}

static bool comes_later(const struct bd_model *model, size_t index, const char *name)
{
	for (size_t i = index; i < model->layer_count; i++)
		if (model->layers[i].name && !strcmp(model->layers[i].name, name))
			return true;
	return false;
}

static int connect(struct bd_graph *graph, struct bd_layer *layer, const struct bd_model *model, struct bd_error *error)
{
	const struct bd_layer_config *config = &layer->config;
	size_t count = config->input_count ? config->input_count : 1;
	if (count < layer->type->minimum_inputs)
		return bd_layer_error(layer, error, "needs at least %zu inputs, has %zu", layer->type->minimum_inputs, count);
	if (count > layer->type->maximum_inputs)
		return bd_layer_error(layer, error, "takes one input, has %zu", count);
	layer->inputs = calloc(count, sizeof *layer->inputs);
	if (!layer->inputs)
		return bd_error_set(error, -ENOMEM, "no memory for layer '%s'", layer->name);
	layer->input_count = count;
	layer->inputs[0] = &graph->layers[layer->index - 1];
	for (size_t i = 0; i < config->input_count; i++) {
		layer->inputs[i] = find_before(graph, layer->index, config->inputs[i]);
		if (!layer->inputs[i])
			return bd_layer_error(layer, error, "its input '%s' %s", config->inputs[i],
			                      comes_later(model, layer->index - 1, config->inputs[i]) ? "must stand before it"
			                                                                              : "does not exist");
	}
	for (size_t i = 0; i < count; i++)
		layer->inputs[i]->consumer_count++;
	if (count > graph->most_inputs)
		graph->most_inputs = count;
	return 0;
}

/* Moving averages are trained too: a batch normalisation with neither gamma nor beta, such as one that scales the input, takes the batch's. */
static bool has_trained(const struct bd_layer *layer)
{
	for (size_t i = 0; i < layer->parameter_count; i++)
		if (layer->parameters[i]->trainable || (layer->parameters[i]->is_statistic && layer->config.trainable))
			return true;
	return false;
}

static void settle_activity(struct bd_graph *graph, struct bd_layer *layer)
{
	if (!graph->options.training)
		return;
	layer->active = has_trained(layer);
	graph->any_trained = graph->any_trained || layer->active;
	layer->varies = layer->active || (strcmp(layer->type->type, "dropout") == 0 && layer->config.rate > 0);
	for (size_t i = 0; i < layer->input_count; i++) {
		layer->active = layer->active || layer->inputs[i]->active;
		layer->varies = layer->varies || layer->inputs[i]->varies;
	}
}

static int allocate_gradients(const struct bd_graph *graph, struct bd_layer *layer, struct bd_error *error)
{
	for (size_t i = 0; i < layer->parameter_count; i++) {
		struct bd_parameter *parameter = layer->parameters[i];
		parameter->streamed = parameter->trainable && graph->options.streams_gradients && layer->type->streams_kernel &&
		                      i == 0;
		if (!parameter->trainable || parameter->streamed)
			continue;
		parameter->gradient = bd_floats(parameter->count);
		if (!parameter->gradient)
			return bd_error_set(error, -ENOMEM, "no memory for the gradient of %s", parameter->name);
	}
	return 0;
}

static int add_layer(struct bd_graph *graph, const struct bd_model *model, size_t index, struct bd_error *error)
{
	const struct bd_layer_config *config = &model->layers[index - 1];
	struct bd_layer *layer = &graph->layers[index];
	if (!config->name)
		return bd_error_set(error, -EINVAL, "layer %zu (%s) has no name", index, config->type);
	*layer = (struct bd_layer){ .type = bd_layer_type_find(config->type),
		                    .name = strdup(config->name),
		                    .config = *config,
		                    .index = index,
		                    .kernels = graph->kernels,
		                    .exact = graph->options.convolution == BD_CONVOLUTION_EXACT,
		                    .max_rows = graph->max_batch,
		                    .activation = config->activation,
		                    .kernel_name = "" };
	if (!layer->name)
		return bd_error_set(error, -ENOMEM, "no memory for layer %zu", index);
	if (!layer->type)
		return bd_error_set(error, -EINVAL, "layer '%s': there is no layer type '%s'", config->name, config->type);
	if (find_before(graph, index, config->name))
		return bd_error_set(error, -EINVAL, "two layers are named '%s'", config->name);
	int result = connect(graph, layer, model, error);
	if (!result)
		result = layer->type->configure(layer, error);
	if (!result && bd_shape_count(&layer->shape) < 0)
		result = bd_layer_error(layer, error, "its output is empty or too large");
	if (!result && layer->activation == BD_ACTIVATION_SOFTMAX && bd_shape_channels(&layer->shape) == 1)
		result = bd_layer_error(layer, error, "a softmax over one value is always 1 and learns nothing; use sigmoid");
	layer->config.name = layer->config.type = NULL;
	layer->config.inputs = NULL;
	layer->config.input_count = 0;
	if (result)
		return result;
	layer->out_pitch = (size_t)bd_shape_channels(&layer->shape);
	graph->layer_count++;
	settle_activity(graph, layer);
	return graph->options.training ? allocate_gradients(graph, layer, error) : 0;
}

static int collect_parameters(struct bd_graph *graph, struct bd_error *error)
{
	for (size_t i = 1; i < graph->layer_count; i++)
		graph->parameter_count += graph->layers[i].parameter_count;
	graph->parameters = calloc(graph->parameter_count + 1, sizeof *graph->parameters);
	if (!graph->parameters)
		return bd_error_set(error, -ENOMEM, "no memory for %zu parameters", graph->parameter_count);
	for (size_t i = 1, n = 0; i < graph->layer_count; i++)
		for (size_t p = 0; p < graph->layers[i].parameter_count; p++)
			graph->parameters[n++] = graph->layers[i].parameters[p];
	return 0;
}

/* The last sigmoid or softmax, inside a layer or a layer of its own. */
static void leave_out_activation(struct bd_graph *graph)
{
	struct bd_layer *last = &graph->layers[graph->output];
	if (!graph->options.logits || (last->activation != BD_ACTIVATION_SIGMOID && last->activation != BD_ACTIVATION_SOFTMAX))
		return;
	graph->left_out = last->activation;
	last->activation = BD_ACTIVATION_LINEAR;
}

int bd_graph_build(struct bd_graph *graph, const struct bd_model *model, struct bd_error *error)
{
	if (!model->layer_count || model->layer_count > BD_MODEL_MAX_LAYERS)
		return bd_error_set(error, -EINVAL, "a model has 1 to %d layers, not %zu", BD_MODEL_MAX_LAYERS, model->layer_count);
	graph->layers = calloc(model->layer_count + 1, sizeof *graph->layers);
	if (!graph->layers)
		return bd_error_set(error, -ENOMEM, "no memory for %zu layers", model->layer_count);
	graph->layer_room = model->layer_count + 1;
	struct bd_layer *input = &graph->layers[0];
	input->shape = bd_shape_picture(model->height, model->width, model->channels);
	if (bd_shape_count(&input->shape) < 0)
		return bd_error_set(error, -EINVAL, "input of %ux%ux%u is empty or too large", model->height, model->width,
		                    model->channels);
	input->name = strdup(BD_MODEL_INPUT_NAME);
	input->out_pitch = model->channels;
	if (!input->name)
		return bd_error_set(error, -ENOMEM, "no memory for the input");
	graph->layer_count = 1;
	for (size_t i = 1; i <= model->layer_count; i++) {
		int result = add_layer(graph, model, i, error);
		if (result)
			return result;
	}
	graph->output = graph->layer_count - 1;
	graph->keep = graph->output;
	if (graph->options.keep) {
		struct bd_layer *kept = find_before(graph, graph->layer_count, graph->options.keep);
		if (!kept)
			return bd_error_set(error, -EINVAL, "there is no layer '%s'", graph->options.keep);
		graph->keep = kept->index;
	}
	leave_out_activation(graph);
	return collect_parameters(graph, error);
}

/* ---- fusion ---- */

static struct bd_layer *only_consumer(struct bd_graph *graph, const struct bd_layer *layer)
{
	if (layer->consumer_count != 1 || layer->index == graph->keep)
		return NULL;
	for (size_t i = layer->index + 1; i < graph->layer_count; i++)
		for (size_t n = 0; n < graph->layers[i].input_count; n++)
			if (graph->layers[i].inputs[n] == layer)
				return &graph->layers[i];
	return NULL;
}

static void absorb(struct bd_layer *layer)
{
	layer->fused = true;
	layer->alias = true;
}

/* Only layers that backward does not reach: their own output is then seen by nobody else. */
static void fuse_tail(struct bd_graph *graph, struct bd_layer *layer)
{
	if (!layer->type->fuses || layer->active || layer->activation != BD_ACTIVATION_LINEAR)
		return;
	struct bd_layer *next = only_consumer(graph, layer);
	if (next && !next->active && !strcmp(next->type->type, "batch_normalization")) {
		layer->norm = next;
		absorb(next);
		next = only_consumer(graph, next);
	}
	if (!next || next->active || bd_activation_clamp(next->activation) == BD_CLAMP_NONE || next->parameter_count ||
	    next->input_count != 1)
		return;
	layer->activation = next->activation;
	absorb(next);
}

/*
 * The gradient that a max pooling hands back stands at maxima only, and the maximum is the pooling's own output: what the
 * activation before it lets through is seen there, in a tensor of a quarter of the size.
 */
static void fuse_pooling(struct bd_graph *graph, struct bd_layer *layer)
{
	if (!layer->active || strcmp(layer->type->type, "conv2d") != 0 || bd_activation_clamp(layer->activation) == BD_CLAMP_NONE)
		return;
	if (layer->consumer_count != 1)
		return;
	for (size_t i = layer->index + 1; i < graph->layer_count; i++)
		if (graph->layers[i].inputs[0] == layer)
			layer->pooled = !strcmp(graph->layers[i].type->type, "max_pooling2d");
}

static void fuse_padding(struct bd_graph *graph, struct bd_layer *layer)
{
	if (strcmp(layer->type->type, "zero_padding2d") != 0 || layer->active)
		return;
	struct bd_layer *next = only_consumer(graph, layer);
	if (!next || next->active || !next->type->pads || next->config.padding != BD_PADDING_VALID)
		return;
	memcpy(next->more_pad, layer->config.pad, sizeof next->more_pad);
	absorb(layer);
}

void bd_graph_fuse(struct bd_graph *graph)
{
	for (size_t i = 1; i < graph->layer_count; i++) {
		struct bd_layer *layer = &graph->layers[i];
		if (layer->fused)
			continue;
		fuse_padding(graph, layer);
		fuse_tail(graph, layer);
		fuse_pooling(graph, layer);
		bool identity = layer->type->is_identity && layer->type->is_identity(layer) && !graph->options.training;
		layer->alias = layer->alias || layer->type->always_alias || identity;
	}
}
