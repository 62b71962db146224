/*
 * graph.h - a model ready to run: layers in order, memory planned once, its own threads.
 *
 * Layers form a directed acyclic graph (add, concatenate). bd_graph_create works out shapes, fuses (convolution or
 * dense + bias + activation, batch normalisation folded into the convolution before it where it is frozen,
 * zero padding into the convolution after it), and reserves all memory: a step allocates nothing. Layers before the first trained one are the
 * frozen prefix: forward only, no gradients, buffers used again.
 * Numbers do not depend on the number of threads: work is cut into tiles by shape, sums run in a fixed order.
 *
 * Calls on one graph come from one thread at a time; the graph's own threads live inside forward and backward only.
 */
#ifndef BD_MODEL_GRAPH_H
#define BD_MODEL_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>
#include "trainer/kernels/kernels.h"
#include "trainer/model/model.h"
#include "trainer/model/parameter.h"
#include "trainer/model/shape.h"

struct bd_graph;

enum bd_convolution {
	BD_CONVOLUTION_FAST, /* 3x3 convolutions as Winograd F(4x4) or F(3x3): error about 1e-6 of the largest output */
	BD_CONVOLUTION_EXACT, /* plain sums of products */
};

struct bd_graph_options {
	uint32_t threads; /* 0 = one per processor this process may use */
	bool training; /* reserve what backward needs */
	enum bd_convolution convolution;
	uint64_t seed; /* of dropout */
	bool logits; /* leave out a sigmoid or softmax at the end; see bd_graph_left_out */
	bool streams_gradients; /* of layers that can: the large kernels' gradients are never written to memory */
	const char *keep; /* a layer whose output bd_graph_layer_output can return; NULL: none but the last */
};

enum bd_graph_dtype { BD_GRAPH_FLOAT32, BD_GRAPH_UINT8 };

/* The batch as it lies in the ring: rows of NHWC pixels or features, only read, borrowed until the next forward. */
struct bd_graph_input {
	const void *data;
	enum bd_graph_dtype dtype;
	size_t row_bytes; /* from row to row; 0 = packed */
	float mean[4], scale; /* uint8 only: (x - mean[channel]) * scale; scale 0 counts as 1 */
};

/*
 * Build for batches of at most max_batch rows. The model is borrowed for the call only.
 * -EINVAL: a layer that is unknown, wrongly connected or wrongly shaped, named in the error; -ENOMEM.
 */
BD_MUST_CHECK int bd_graph_create(const struct bd_model *model, uint32_t max_batch, const struct bd_graph_options *options,
                                  struct bd_graph **ret_graph, struct bd_error *error);
void bd_graph_destroy(struct bd_graph *graph);

/* All parameters in the order of the layers, statistics included. The pointers live as long as the graph. */
size_t bd_graph_parameter_count(const struct bd_graph *graph);
struct bd_parameter *bd_graph_parameter(const struct bd_graph *graph, size_t index);
struct bd_parameter *bd_graph_find(const struct bd_graph *graph, const char *name);

/* Draw all parameters from their initializers: a function of seed and the parameter's name. */
void bd_graph_initialize(struct bd_graph *graph, uint64_t seed);

/* To be called after values were changed from outside (load, optimizer step): packed copies are made anew. */
void bd_graph_weights_changed(struct bd_graph *graph);

/* The same when only trained parameters changed: the frozen ones keep their packed copies. */
void bd_graph_trained_weights_changed(struct bd_graph *graph);

/*
 * Returns the output (rows, bd_graph_output_count), or the logits (options.logits); valid until the next forward.
 * training: dropout draws by (seed, step, layer, row), batch normalisation uses the batch. rows is 1..max_batch.
 */
const float *bd_graph_forward(struct bd_graph *graph, const struct bd_graph_input *input, uint32_t rows, bool training,
                              uint64_t step);

/*
 * After a forward of a graph made for training: output_gradient (rows, outputs) is d loss / d output (or logits), of a loss that is
 * already a mean over rows. Writes the gradient of every trained parameter, the l2 part included; those of streamed parameters go to
 * `taker`, which may be NULL where there are none.
 */
void bd_graph_backward(struct bd_graph *graph, const float *output_gradient, const struct bd_gradient_taker *taker);

/*
 * Runs task(argument, 0 .. count - 1) on the graph's threads, each index once, and returns when all are done: for the
 * optimizer's pieces between backward and the next forward.
 */
void bd_graph_parallel(struct bd_graph *graph, size_t count, void (*task)(const void *argument, size_t index),
                       const void *argument);

/* Sum over the trainable parameters of l2 * sum(w^2): what Keras 3 adds to the loss (layer.py, _get_regularization_losses). */
double bd_graph_penalty(const struct bd_graph *graph);

/* The values of one output row and of one input row, and the activation that options.logits left out (linear: none). */
size_t bd_graph_output_count(const struct bd_graph *graph);
size_t bd_graph_input_count(const struct bd_graph *graph);
struct bd_shape bd_graph_output_shape(const struct bd_graph *graph);
enum bd_activation bd_graph_left_out(const struct bd_graph *graph);

/* In place on (rows, columns); softmax runs over columns. For probabilities out of logits. */
void bd_activation_apply(enum bd_activation activation, float *values, size_t rows, size_t columns);

/*
 * Output of a layer after forward, (rows, shape); NULL where the name is unknown or the buffer was not kept
 * (options.keep). *ret_shape is written when the layer exists.
 */
const float *bd_graph_layer_output(const struct bd_graph *graph, const char *name, struct bd_shape *ret_shape);

/*
 * The features that enter the trained part, for a cache of frozen features: the layer that ends the frozen prefix.
 * ret_shape as above; NULL where nothing is frozen. Valid after forward.
 */
const float *bd_graph_features(const struct bd_graph *graph, struct bd_shape *ret_shape);

/* Forward from such features on: (rows, shape), packed. Only where bd_graph_features has something. */
const float *bd_graph_forward_features(struct bd_graph *graph, const float *features, uint32_t rows, bool training, uint64_t step);

/* For `summary`. */
struct bd_graph_layer {
	const char *name, *type; /* borrowed from the graph */
	struct bd_shape shape;
	size_t parameters; /* values */
	size_t trained_parameters;
	uint64_t multiply_adds; /* of one sample's forward */
	size_t output_bytes; /* of one sample */
	const char *kernel; /* "winograd f4", "gemm", "direct", …, or "" */
	bool fused; /* done by its neighbour */
};
size_t bd_graph_layer_count(const struct bd_graph *graph);
void bd_graph_layer(const struct bd_graph *graph, size_t index, struct bd_graph_layer *ret_layer);

/* Bytes of parameters and gradients, packed copies, activations and scratch. */
struct bd_graph_memory {
	size_t parameters, packed, activations, scratch;
};
struct bd_graph_memory bd_graph_memory(const struct bd_graph *graph);

uint32_t bd_graph_threads(const struct bd_graph *graph);
const struct bd_kernels *bd_graph_kernels(const struct bd_graph *graph);

#endif
