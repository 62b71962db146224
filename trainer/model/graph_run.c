#include <string.h>

#include "trainer/model/graph_internal.h"

static size_t count_of(const struct bd_layer *layer)
{
	return (size_t)bd_shape_count(&layer->shape);
}

const float *bd_graph_output_at(const struct bd_graph *graph, const struct bd_layer *layer, size_t row, float *piece)
{
	/* Rows are as long as the tensor that lies there: an alias of it may have another shape (a padding that the next layer does). */
	size_t storage = graph->places[layer->index].storage;
	if (graph->features_given && storage == graph->places[graph->features].storage)
		return graph->features_given + row * count_of(&graph->layers[graph->features]);
	if (storage == 0)
		return graph->input_pixels + row * count_of(&graph->layers[0]);
	return bd_graph_at(graph, layer, row, piece);
}

static void run_layer(const struct bd_graph *graph, const struct bd_layer *layer, struct bd_pass *pass, const float **inputs,
                      float *piece)
{
	if (layer->alias || layer->fused)
		return;
	for (size_t i = 0; i < layer->input_count; i++)
		inputs[i] = bd_graph_output_at(graph, layer->inputs[i], pass->first_row, piece);
	pass->inputs = inputs;
	pass->output = bd_graph_at(graph, layer, pass->first_row, piece);
	layer->type->forward(layer, pass);
}

static struct bd_run whole_run(const struct bd_graph *graph)
{
	return (struct bd_run){ graph->workers, graph->scratch, graph->scratch_floats + graph->piece_floats };
}

static struct bd_pass pass_of(const struct bd_graph *graph, const struct bd_run *run)
{
	return (struct bd_pass){ .run = run,
		                 .rows = graph->rows,
		                 .training = graph->training,
		                 .seed = graph->options.seed,
		                 .step = graph->step,
		                 .workspace = graph->workspace };
}

static void run_piece(const void *argument, size_t index, float *scratch)
{
	const struct bd_graph *graph = argument;
	const float *inputs[BD_GRAPH_PIECE_INPUTS];
	struct bd_run run = { NULL, scratch, 0 };
	struct bd_pass pass = pass_of(graph, &run);
	pass.first_row = index * graph->piece_rows;
	pass.rows = graph->rows - pass.first_row < graph->piece_rows ? graph->rows - pass.first_row : graph->piece_rows;
	pass.workspace = NULL;
	for (size_t i = 1; i < graph->prefix; i++)
		run_layer(graph, &graph->layers[i], &pass, inputs, scratch + graph->scratch_floats);
}

static const float *run_forward(struct bd_graph *graph, size_t first)
{
	struct bd_run run = whole_run(graph);
	if (first < graph->prefix) {
		bd_run_tasks(&run, (graph->rows + graph->piece_rows - 1) / graph->piece_rows, run_piece, graph);
		first = graph->prefix;
	}
	for (size_t i = first; i < graph->layer_count; i++) {
		struct bd_pass pass = pass_of(graph, &run);
		run_layer(graph, &graph->layers[i], &pass, graph->input_pointers, NULL);
	}
	return bd_graph_output_at(graph, &graph->layers[graph->output], 0, NULL);
}

/* ---- input ---- */

struct input_task {
	const struct bd_graph *graph;
	const struct bd_graph_input *input;
	size_t row_bytes;
};

static void convert_row(const void *argument, size_t row, float *scratch)
{
	(void)scratch;
	const struct input_task *task = argument;
	const struct bd_layer *layer = &task->graph->layers[0];
	const uint8_t *from = (const uint8_t *)task->input->data + row * task->row_bytes;
	float *to = task->graph->input + row * count_of(layer);
	if (task->input->dtype == BD_GRAPH_FLOAT32) {
		memcpy(to, from, count_of(layer) * sizeof *to);
		return;
	}
	size_t channels = (size_t)bd_shape_channels(&layer->shape);
	float scale = task->input->scale != 0 ? task->input->scale : 1;
	task->graph->kernels->from_bytes(count_of(layer) / channels, channels, from, task->input->mean, scale, to);
}

static const float *take_input(struct bd_graph *graph, const struct bd_graph_input *input)
{
	size_t row = count_of(&graph->layers[0]) * (input->dtype == BD_GRAPH_FLOAT32 ? sizeof(float) : 1);
	size_t row_bytes = input->row_bytes ? input->row_bytes : row;
	if (input->dtype == BD_GRAPH_FLOAT32 && row_bytes == row && (uintptr_t)input->data % sizeof(float) == 0)
		return input->data;
	struct input_task task = { graph, input, row_bytes };
	struct bd_run run = whole_run(graph);
	bd_run_tasks(&run, graph->rows, convert_row, &task);
	return graph->input;
}

static void begin(struct bd_graph *graph, uint32_t rows, bool training, uint64_t step)
{
	graph->rows = rows < graph->max_batch ? rows : graph->max_batch;
	graph->training = training;
	graph->step = step;
	graph->features_given = NULL;
}

const float *bd_graph_forward(struct bd_graph *graph, const struct bd_graph_input *input, uint32_t rows, bool training,
                              uint64_t step)
{
	begin(graph, rows, training, step);
	graph->input_pixels = take_input(graph, input);
	return run_forward(graph, 1);
}

const float *bd_graph_forward_features(struct bd_graph *graph, const float *features, uint32_t rows, bool training, uint64_t step)
{
	begin(graph, rows, training, step);
	graph->features_given = features;
	return run_forward(graph, graph->features + 1);
}

/* ---- backward ---- */

static float *gradient_at(const struct bd_graph *graph, const struct bd_layer *layer)
{
	return layer->active ? graph->arena + graph->gradients[layer->index].offset : NULL;
}

static bool is_first_to_write(const struct bd_graph *graph, const struct bd_layer *layer, size_t input)
{
	const struct bd_layer *target = layer->inputs[input];
	for (size_t i = 0; i < input; i++)
		if (layer->inputs[i] == target)
			return false;
	for (size_t i = layer->index + 1; i < graph->layer_count; i++)
		for (size_t n = 0; n < graph->layers[i].input_count; n++)
			if (graph->layers[i].inputs[n] == target)
				return false;
	return true;
}

static void backward_layer(struct bd_graph *graph, const struct bd_layer *layer, struct bd_pass *pass)
{
	/* behind the layers' own workspace: gradients that are added to what another consumer wrote */
	float *spare = graph->workspace + graph->spare;
	for (size_t i = 0; i < layer->input_count; i++) {
		graph->input_pointers[i] = bd_graph_output_at(graph, layer->inputs[i], 0, NULL);
		bool first = is_first_to_write(graph, layer, i);
		graph->gradient_pointers[i] = first                      ? gradient_at(graph, layer->inputs[i])
		                              : layer->inputs[i]->active ? spare
		                                                         : NULL;
		if (!first && layer->inputs[i]->active)
			spare += graph->rows * count_of(layer->inputs[i]);
	}
	pass->inputs = graph->input_pointers;
	pass->output = (float *)(uintptr_t)bd_graph_output_at(graph, layer, 0, NULL);
	pass->output_gradient = gradient_at(graph, layer);
	pass->input_gradients = graph->gradient_pointers;
	layer->type->backward(layer, pass);
	for (size_t i = 0; i < layer->input_count; i++) {
		float *to = gradient_at(graph, layer->inputs[i]), *from = graph->gradient_pointers[i];
		if (from && from != to)
			graph->kernels->add(graph->rows * count_of(layer->inputs[i]), to, from, to);
	}
}

static void add_penalties(struct bd_graph *graph)
{
	for (size_t p = 0; p < graph->parameter_count; p++) {
		struct bd_parameter *parameter = graph->parameters[p];
		for (size_t i = 0; parameter->gradient && parameter->l2 != 0 && i < parameter->count; i++)
			parameter->gradient[i] += 2 * parameter->l2 * parameter->value[i];
	}
}

void bd_graph_backward(struct bd_graph *graph, const float *output_gradient, const struct bd_gradient_taker *taker)
{
	struct bd_run run = whole_run(graph);
	const struct bd_layer *output = &graph->layers[graph->output];
	if (!output->active)
		return;
	memcpy(gradient_at(graph, output), output_gradient, graph->rows * count_of(output) * sizeof(float));
	for (size_t i = graph->layer_count; i-- > 1;) {
		struct bd_pass pass = pass_of(graph, &run);
		pass.taker = taker;
		if (graph->layers[i].active)
			backward_layer(graph, &graph->layers[i], &pass);
	}
	add_penalties(graph);
}

/* ---- */

struct outside_task {
	void (*task)(const void *argument, size_t index);
	const void *argument;
};

static void run_outside_task(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct outside_task *outside = argument;
	outside->task(outside->argument, index);
}

void bd_graph_parallel(struct bd_graph *graph, size_t count, void (*task)(const void *argument, size_t index), const void *argument)
{
	struct bd_run run = whole_run(graph);
	struct outside_task outside = { task, argument };
	bd_run_tasks(&run, count, run_outside_task, &outside);
}
