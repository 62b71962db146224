#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/host_memory.h"
#include "common/base/units.h"
#include "trainer/model/graph_internal.h"

/* A piece takes so many pictures that its largest tensor is about this: small pictures are worth a call only together. */
#define PIECE_FLOATS 65536

/* At least this many pieces of a full batch, so that threads end at about the same time. */
#define LEAST_PIECES 8

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t count_of(const struct bd_layer *layer)
{
	return (size_t)bd_shape_count(&layer->shape);
}

/* ---- places: aliases, and inputs of a concatenation that lie in its memory ---- */

/* The layer that writes `layer`'s memory, through aliases with one reader each; NULL where another reads it too. */
static struct bd_layer *writer_of(const struct bd_graph *graph, struct bd_layer *layer)
{
	for (;;) {
		if (layer->consumer_count != 1 || layer->index == graph->keep || layer->index == graph->output || layer->active ||
		    !layer->type)
			return NULL;
		if (!layer->alias)
			return layer->type->writes_pitched ? layer : NULL;
		layer = layer->inputs[0];
	}
}

/* A picture that a flatten makes a vector has many pixels where the vector has one: it lies in no vector, pixel by pixel. */
static void join_inputs(struct bd_graph *graph, struct bd_layer *layer)
{
	size_t offset = 0;
	for (size_t i = 0; i < layer->input_count; i++) {
		const struct bd_layer *writer = writer_of(graph, layer->inputs[i]);
		if (!writer || writer->shape.rank != layer->shape.rank || layer->inputs[i]->shape.rank != layer->shape.rank)
			return;
	}
	for (size_t i = 0; i < layer->input_count; i++) {
		struct bd_layer *writer = writer_of(graph, layer->inputs[i]);
		writer->out_pitch = (size_t)bd_shape_channels(&layer->shape);
		graph->places[writer->index] = (struct bd_place){ layer->index, offset };
		offset += (size_t)bd_shape_channels(&layer->inputs[i]->shape);
	}
	layer->fused = true;
}

static void settle_places(struct bd_graph *graph)
{
	for (size_t i = 0; i < graph->layer_count; i++)
		graph->places[i] = (struct bd_place){ i, 0 };
	for (size_t i = 1; i < graph->layer_count; i++) {
		struct bd_layer *layer = &graph->layers[i];
		if (!layer->active && !strcmp(layer->type->type, "concatenate"))
			join_inputs(graph, layer);
	}
	for (size_t i = 1; i < graph->layer_count; i++)
		if (graph->layers[i].alias)
			graph->places[i] = graph->places[graph->layers[i].inputs[0]->index];
}

/* ---- the prefix that runs piece by piece ---- */

static bool runs_in_pieces(const struct bd_layer *layer)
{
	if (layer->active || !layer->type->by_picture)
		return false;
	/* weights larger than what they work on are better read once for the whole batch */
	return layer->alias || layer->packed_floats <= count_of(layer) + count_of(layer->inputs[0]);
}

static void settle_prefix(struct bd_graph *graph)
{
	size_t most = count_of(&graph->layers[0]), end = graph->features ? graph->features + 1 : graph->layer_count;
	graph->prefix = 1;
	while (graph->prefix < end && graph->most_inputs <= BD_GRAPH_PIECE_INPUTS &&
	       runs_in_pieces(&graph->layers[graph->prefix])) {
		most = larger(most, count_of(&graph->layers[graph->prefix]));
		graph->prefix++;
	}
	size_t limit = graph->max_batch / LEAST_PIECES;
	graph->piece_rows = PIECE_FLOATS / most;
	if (graph->piece_rows > limit)
		graph->piece_rows = limit;
	if (!graph->piece_rows)
		graph->piece_rows = 1;
}

/* ---- spans ---- */

static void touch(struct bd_span *span, size_t step)
{
	if (step < span->begin)
		span->begin = step;
	if (step > span->end)
		span->end = step;
}

static size_t backward_step(const struct bd_graph *graph, size_t index)
{
	return 2 * graph->layer_count - index;
}

static void span_outputs(struct bd_graph *graph)
{
	size_t last = 2 * graph->layer_count + 1;
	for (size_t i = 0; i < graph->layer_count; i++)
		graph->spans[i] = (struct bd_span){ .begin = SIZE_MAX, .in_piece = i > 0 && i < graph->prefix };
	for (size_t i = 1; i < graph->layer_count; i++) {
		const struct bd_layer *layer = &graph->layers[i];
		struct bd_span *own = &graph->spans[graph->places[i].storage];
		touch(own, i);
		if (layer->active)
			touch(own, backward_step(graph, i));
		if (i == graph->output || i == graph->keep || i == graph->features) {
			touch(own, last);
			own->in_piece = false;
		}
		for (size_t n = 0; n < layer->input_count; n++) {
			struct bd_span *input = &graph->spans[graph->places[layer->inputs[n]->index].storage];
			touch(input, i);
			if (layer->active)
				touch(input, backward_step(graph, i));
			if (i >= graph->prefix)
				input->in_piece = false;
		}
	}
	for (size_t i = 1; i < graph->layer_count; i++)
		if (graph->places[i].storage == i)
			graph->spans[i].floats = count_of(&graph->layers[i]);
}

static void span_gradients(struct bd_graph *graph)
{
	for (size_t i = 0; i < graph->layer_count; i++)
		graph->gradients[i] = (struct bd_span){ .begin = SIZE_MAX };
	for (size_t i = 1; i < graph->layer_count; i++) {
		const struct bd_layer *layer = &graph->layers[i];
		if (!layer->active)
			continue;
		touch(&graph->gradients[i], backward_step(graph, i));
		if (i == graph->output)
			touch(&graph->gradients[i], graph->layer_count);
		graph->gradients[i].floats = count_of(layer);
		for (size_t n = 0; n < layer->input_count; n++)
			touch(&graph->gradients[layer->inputs[n]->index], backward_step(graph, i));
	}
}

static bool overlap(const struct bd_span *a, const struct bd_span *b)
{
	return a->begin <= b->end && b->begin <= a->end;
}

/* First fit, the largest first: the usual answer to a problem without a fast exact one. Returns the arena's size. */
static size_t fit(struct bd_span **spans, size_t count)
{
	size_t size = 0;
	for (size_t i = 0; i < count; i++)
		for (size_t j = i + 1; j < count; j++)
			if (spans[j]->floats > spans[i]->floats) {
				struct bd_span *swap = spans[i];
				spans[i] = spans[j];
				spans[j] = swap;
			}
	for (size_t i = 0; i < count; i++) {
		struct bd_span *span = spans[i];
		span->offset = 0;
		for (bool moved = true; moved;) {
			moved = false;
			for (size_t j = 0; j < i; j++)
				if (overlap(span, spans[j]) && span->offset < spans[j]->offset + spans[j]->floats &&
				    spans[j]->offset < span->offset + span->floats) {
					span->offset = spans[j]->offset + spans[j]->floats;
					moved = true;
				}
		}
		size = larger(size, span->offset + span->floats);
	}
	return size;
}

/* Multiples of a cache line. */
static size_t aligned(size_t floats)
{
	return (floats + 15) / 16 * 16;
}

static int fit_spans(struct bd_graph *graph, struct bd_error *error)
{
	struct bd_span **chosen = calloc(2 * graph->layer_count, sizeof(struct bd_span *));
	if (!chosen)
		return bd_error_set(error, -ENOMEM, "no memory for the graph's plan");
	for (int in_piece = 0; in_piece < 2; in_piece++) {
		size_t count = 0, rows = in_piece ? graph->piece_rows : graph->max_batch;
		for (size_t i = 1; i < graph->layer_count; i++) {
			struct bd_span *span = &graph->spans[i];
			if (span->floats && span->in_piece == (bool)in_piece) {
				span->floats = aligned(span->floats * rows);
				chosen[count++] = span;
			}
			span = &graph->gradients[i];
			if (span->floats && !in_piece) {
				span->floats = aligned(span->floats * rows);
				chosen[count++] = span;
			}
		}
		*(in_piece ? &graph->piece_floats : &graph->arena_floats) = fit(chosen, count);
	}
	free(chosen);
	return 0;
}

/* ---- */

/* The one tensor that a record always gives and that enters what varies, a dropout before the first trained layer included; nothing before it is read after it. */
static void settle_features(struct bd_graph *graph)
{
	size_t found = 0;
	for (size_t i = 1; i < graph->layer_count; i++)
		for (size_t n = 0; n < graph->layers[i].input_count && graph->layers[i].varies; n++) {
			const struct bd_layer *input = graph->layers[i].inputs[n];
			if (input->varies)
				continue;
			if (!input->index || (found && found != input->index))
				return;
			found = input->index;
		}
	for (size_t i = found + 1; i < graph->layer_count && found; i++) {
		if (!graph->layers[i].varies && !graph->layers[i].alias)
			return;
		for (size_t n = 0; n < graph->layers[i].input_count; n++)
			if (graph->layers[i].inputs[n]->index < found)
				return;
	}
	graph->features = found;
}

static int plan_layers(struct bd_graph *graph, size_t *ret_workspace, struct bd_error *error)
{
	size_t workspace = 0, most_shared = 0;
	for (size_t i = 1; i < graph->layer_count; i++) {
		struct bd_layer *layer = &graph->layers[i];
		if (layer->type->plan) {
			int result = layer->type->plan(layer, error);
			if (result)
				return result;
		}
		workspace = larger(workspace, layer->workspace_floats);
		graph->scratch_floats = larger(graph->scratch_floats, layer->scratch_floats);
		size_t shared = 0;
		for (size_t n = 0; n < layer->input_count; n++)
			if (layer->active && layer->inputs[n]->active && layer->inputs[n]->consumer_count > 1)
				shared += count_of(layer->inputs[n]) * graph->max_batch;
		most_shared = larger(most_shared, shared);
	}
	graph->spare = aligned(workspace);
	*ret_workspace = graph->spare + most_shared;
	return 0;
}

/* All of it is used: a host that has less would kill the process in the middle of the first step. */
static int check_host(size_t bytes, size_t rows, struct bd_error *error)
{
	char need[32], rest[32];
	uint64_t host = bd_host_memory();
	if (bytes <= host)
		return 0;
	bd_format_size(bytes, need, sizeof need);
	bd_format_size(host, rest, sizeof rest);
	return bd_error_set(error, -ENOMEM,
	                    "batches of %zu rows need %s in this model, and the host has %s left; make --batch smaller", rows, need,
	                    rest);
}

int bd_graph_place(struct bd_graph *graph, struct bd_error *error)
{
	size_t count = graph->layer_count, workspace = 0;
	graph->places = calloc(count, sizeof *graph->places);
	graph->spans = calloc(count, sizeof *graph->spans);
	graph->gradients = calloc(count, sizeof *graph->gradients);
	graph->input_pointers = calloc(graph->most_inputs, sizeof *graph->input_pointers);
	graph->gradient_pointers = calloc(graph->most_inputs, sizeof *graph->gradient_pointers);
	if (!graph->places || !graph->spans || !graph->gradients || !graph->input_pointers || !graph->gradient_pointers)
		return bd_error_set(error, -ENOMEM, "no memory for the graph's plan");
	settle_features(graph);
	settle_places(graph);
	int result = plan_layers(graph, &workspace, error);
	if (result)
		return result;
	settle_prefix(graph);
	span_outputs(graph);
	span_gradients(graph);
	result = fit_spans(graph, error);
	if (result)
		return result;
	graph->scratch_floats = aligned(graph->scratch_floats + 16);
	size_t input = count_of(&graph->layers[0]) * graph->max_batch;
	size_t scratch = (graph->scratch_floats + graph->piece_floats) * bd_workers_count(graph->workers);
	result = check_host((graph->arena_floats + input + workspace + scratch) * sizeof(float), graph->max_batch, error);
	if (result)
		return result;
	graph->arena = bd_floats(graph->arena_floats);
	graph->input = bd_floats(input);
	graph->workspace = bd_floats(workspace);
	graph->scratch = bd_floats(scratch);
	if (!graph->arena || !graph->input || !graph->workspace || !graph->scratch)
		return bd_error_set(error, -ENOMEM, "no memory for the activations of %zu rows (%zu MiB)", graph->max_batch,
		                    graph->arena_floats * sizeof(float) >> 20);
	return 0;
}

float *bd_graph_at(const struct bd_graph *graph, const struct bd_layer *layer, size_t row, float *piece)
{
	struct bd_place place = graph->places[layer->index];
	const struct bd_span *span = &graph->spans[place.storage];
	size_t row_floats = count_of(&graph->layers[place.storage]);
	if (span->in_piece)
		return piece + span->offset + place.channel;
	return graph->arena + span->offset + row * row_floats + place.channel;
}
