#include "trainer/model/graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/model/graph_internal.h"

/* A batch of more rows does not fit the memory of a machine this is made for, at any picture size. */
#define MAX_BATCH 65536

int bd_graph_create(const struct bd_model *model, uint32_t max_batch, const struct bd_graph_options *options,
                    struct bd_graph **ret_graph, struct bd_error *error)
{
	if (!max_batch || max_batch > MAX_BATCH)
		return bd_error_set(error, -EINVAL, "a batch has 1 to %d rows, not %u", MAX_BATCH, max_batch);
	struct bd_graph *graph = calloc(1, sizeof *graph);
	if (!graph)
		return bd_error_set(error, -ENOMEM, "no memory for a graph");
	graph->options = *options;
	graph->max_batch = max_batch;
	graph->most_inputs = 1;
	int result = bd_kernels_choose(&graph->kernels, error);
	if (!result)
		result = bd_workers_create(options->threads, &graph->workers, error);
	if (!result)
		result = bd_graph_build(graph, model, error);
	if (!result) {
		bd_graph_fuse(graph);
		result = bd_graph_place(graph, error);
	}
	if (result) {
		bd_graph_destroy(graph);
		return result;
	}
	graph->options.keep = NULL;
	bd_graph_weights_changed(graph);
	*ret_graph = graph;
	return 0;
}

static void finish_layer(struct bd_layer *layer)
{
	if (layer->type && layer->type->finish)
		layer->type->finish(layer);
	for (size_t p = 0; p < layer->parameter_count; p++)
		bd_parameter_destroy(layer->parameters[p]);
	free(layer->inputs);
	free(layer->name);
}

void bd_graph_destroy(struct bd_graph *graph)
{
	if (!graph)
		return;
	bd_workers_destroy(graph->workers);
	/* a layer that failed half-way is not counted yet */
	for (size_t i = 0; graph->layers && i <= graph->layer_count && i < graph->layer_room; i++)
		finish_layer(&graph->layers[i]);
	free(graph->layers);
	free(graph->parameters);
	free(graph->places);
	free(graph->spans);
	free(graph->gradients);
	free(graph->input_pointers);
	free(graph->gradient_pointers);
	free(graph->arena);
	free(graph->input);
	free(graph->workspace);
	free(graph->scratch);
	free(graph);
}

size_t bd_graph_parameter_count(const struct bd_graph *graph)
{
	return graph->parameter_count;
}

struct bd_parameter *bd_graph_parameter(const struct bd_graph *graph, size_t index)
{
	return graph->parameters[index];
}

struct bd_parameter *bd_graph_find(const struct bd_graph *graph, const char *name)
{
	for (size_t i = 0; i < graph->parameter_count; i++)
		if (!strcmp(graph->parameters[i]->name, name))
			return graph->parameters[i];
	return NULL;
}

/* FNV-1a: a parameter keeps its draw when layers are added elsewhere. */
static uint64_t name_key(const char *name)
{
	uint64_t key = 14695981039346656037u;
	for (; *name; name++)
		key = (key ^ (unsigned char)*name) * 1099511628211u;
	return key;
}

void bd_graph_initialize(struct bd_graph *graph, uint64_t seed)
{
	for (size_t i = 0; i < graph->parameter_count; i++)
		bd_parameter_initialize(graph->parameters[i], seed, name_key(graph->parameters[i]->name));
	bd_graph_weights_changed(graph);
}

static void pack_layers(struct bd_graph *graph, bool trained_only)
{
	struct bd_run run = { graph->workers, graph->scratch, graph->scratch_floats + graph->piece_floats };
	for (size_t i = 1; i < graph->layer_count; i++) {
		struct bd_layer *layer = &graph->layers[i];
		if (layer->type->pack && !layer->fused && (layer->active || !trained_only))
			layer->type->pack(layer, &run);
	}
}

void bd_graph_weights_changed(struct bd_graph *graph)
{
	pack_layers(graph, false);
}

void bd_graph_trained_weights_changed(struct bd_graph *graph)
{
	pack_layers(graph, true);
}

double bd_graph_penalty(const struct bd_graph *graph)
{
	double penalty = 0;
	for (size_t p = 0; p < graph->parameter_count; p++) {
		const struct bd_parameter *parameter = graph->parameters[p];
		double squares = 0;
		for (size_t i = 0; parameter->trainable && parameter->l2 != 0 && i < parameter->count; i++)
			squares += (double)parameter->value[i] * (double)parameter->value[i];
		penalty += squares * (double)parameter->l2;
	}
	return penalty;
}

size_t bd_graph_output_count(const struct bd_graph *graph)
{
	return bd_layer_count(&graph->layers[graph->output]);
}

size_t bd_graph_input_count(const struct bd_graph *graph)
{
	return bd_layer_count(&graph->layers[0]);
}

struct bd_shape bd_graph_output_shape(const struct bd_graph *graph)
{
	return graph->layers[graph->output].shape;
}

enum bd_activation bd_graph_left_out(const struct bd_graph *graph)
{
	return graph->left_out;
}

const float *bd_graph_layer_output(const struct bd_graph *graph, const char *name, struct bd_shape *ret_shape)
{
	for (size_t i = 1; i < graph->layer_count; i++) {
		if (strcmp(graph->layers[i].name, name) != 0)
			continue;
		*ret_shape = graph->layers[i].shape;
		return i == graph->keep || i == graph->output ? bd_graph_output_at(graph, &graph->layers[i], 0, NULL) : NULL;
	}
	return NULL;
}

const float *bd_graph_features(const struct bd_graph *graph, struct bd_shape *ret_shape)
{
	if (!graph->features)
		return NULL;
	*ret_shape = graph->layers[graph->features].shape;
	return bd_graph_output_at(graph, &graph->layers[graph->features], 0, NULL);
}

size_t bd_graph_layer_count(const struct bd_graph *graph)
{
	return graph->layer_count - 1;
}

void bd_graph_layer(const struct bd_graph *graph, size_t index, struct bd_graph_layer *ret_layer)
{
	const struct bd_layer *layer = &graph->layers[index + 1];
	*ret_layer = (struct bd_graph_layer){
		.name = layer->name,
		.type = layer->type->type,
		.shape = layer->shape,
		.multiply_adds = layer->multiply_adds,
		.output_bytes = bd_layer_count(layer) * sizeof(float),
		.kernel = layer->kernel_name,
		.fused = layer->fused,
	};
	for (size_t p = 0; p < layer->parameter_count; p++) {
		ret_layer->parameters += layer->parameters[p]->count;
		if (layer->parameters[p]->trainable)
			ret_layer->trained_parameters += layer->parameters[p]->count;
	}
}

struct bd_graph_memory bd_graph_memory(const struct bd_graph *graph)
{
	struct bd_graph_memory memory = { .activations = graph->arena_floats * sizeof(float) };
	for (size_t p = 0; p < graph->parameter_count; p++)
		memory.parameters += graph->parameters[p]->count * sizeof(float) * (graph->parameters[p]->gradient ? 2 : 1);
	for (size_t i = 1; i < graph->layer_count; i++)
		memory.packed += graph->layers[i].packed_floats * sizeof(float);
	memory.scratch = (graph->scratch_floats + graph->piece_floats) * sizeof(float) * bd_workers_count(graph->workers);
	return memory;
}

const struct bd_kernels *bd_graph_kernels(const struct bd_graph *graph)
{
	return graph->kernels;
}

uint32_t bd_graph_threads(const struct bd_graph *graph)
{
	return bd_workers_count(graph->workers);
}
