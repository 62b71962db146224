/*
 * graph_internal.h - the graph's parts, for graph*.c only.
 *
 * Built by graph_build.c (layers, shapes, fusion), placed by graph_plan.c (memory), run by graph_run.c.
 */
#ifndef BD_MODEL_GRAPH_INTERNAL_H
#define BD_MODEL_GRAPH_INTERNAL_H

#include "trainer/layers/layer.h"
#include "trainer/model/graph.h"

/* Inputs of one layer for which a piece has room; a graph with more is not run piece by piece. */
#define BD_GRAPH_PIECE_INPUTS 64

/*
 * Where a tensor lies: `storage` names the layer whose memory it shares (itself, or the one it is an alias of or a part of),
 * `channel` the first float of a pixel in it.
 */
struct bd_place {
	size_t storage;
	size_t channel;
};

/* The memory of one tensor for the time between two steps (0 .. 2n: forward, then backward). */
struct bd_span {
	size_t floats; /* 0: no memory */
	size_t begin, end; /* first and last step that touch it */
	size_t offset; /* floats in its arena */
	bool in_piece; /* lies in the memory of the worker that runs a piece of the batch */
};

struct bd_graph {
	struct bd_graph_options options;
	const struct bd_kernels *kernels;
	struct bd_workers *workers;
	size_t max_batch;
	struct bd_layer *layers; /* layers[0] is the input */
	size_t layer_count, layer_room;
	struct bd_parameter **parameters;
	size_t parameter_count;
	size_t output; /* the layer that gives the output */
	size_t keep; /* index of options.keep, or the output */
	enum bd_activation left_out;
	bool any_trained;

	/* placed */
	struct bd_place *places; /* of outputs */
	struct bd_span *spans; /* of outputs, by storage */
	struct bd_span *gradients; /* of output gradients */
	size_t prefix; /* layers 1 .. prefix - 1 run piece by piece */
	size_t piece_rows; /* pictures of a piece */
	size_t piece_floats; /* of each worker, for the tensors of a piece */
	size_t arena_floats;
	float *arena; /* tensors of the whole batch */
	float *input; /* the batch as floats, where it does not come so */
	float *workspace;
	size_t spare; /* where in it a second consumer's gradient is put */
	float *scratch; /* workers x scratch_floats */
	size_t scratch_floats;
	size_t features; /* the one frozen tensor that enters the trained part; 0: none */

	/* of the last forward */
	size_t rows;
	const float *input_pixels;
	const float *features_given; /* forward began at `features` with these */
	bool training;
	uint64_t step;
	const float **input_pointers; /* of one layer, in loops over the whole batch */
	float **gradient_pointers;
	size_t most_inputs;
};

/* graph_build.c */
int bd_graph_build(struct bd_graph *graph, const struct bd_model *model, struct bd_error *error);
void bd_graph_fuse(struct bd_graph *graph);

/* graph_plan.c: layers' own plans, places, spans, arenas */
int bd_graph_place(struct bd_graph *graph, struct bd_error *error);

/* Where a layer writes its output for batch row `row`; `piece` is the memory of the worker's piece, NULL outside of pieces. */
float *bd_graph_at(const struct bd_graph *graph, const struct bd_layer *layer, size_t row, float *piece);

/* graph_run.c: where that output is read: the caller's memory where the layer is the input under another name, or features that were given */
const float *bd_graph_output_at(const struct bd_graph *graph, const struct bd_layer *layer, size_t row, float *piece);

#endif
