/*
 * layer.h - what a layer is to the graph, and the one table of layer types.
 *
 * Adding a layer: its own file with one struct bd_layer_type, and one line in table.c. The graph calls, in this order:
 *   configure  once: output shape and parameters from the config and the inputs' shapes
 *   (the graph decides which layers are active, that is: take part in backward, and fuses neighbours)
 *   plan       once: memory of its own and how much scratch and workspace its calls need
 *   pack       after weights changed: copies in the kernels' order
 *   forward    output from inputs; backward: gradients of inputs and parameters from the gradient of the output
 * Only configure and plan may fail or allocate.
 */
#ifndef BD_LAYERS_LAYER_H
#define BD_LAYERS_LAYER_H

#include "common/include/batchd/error.h"
#include "trainer/kernels/kernels.h"
#include "trainer/kernels/workers.h"
#include "trainer/model/model.h"
#include "trainer/model/parameter.h"
#include "trainer/model/shape.h"

#define BD_LAYER_MAX_PARAMETERS 4

struct bd_layer {
	const struct bd_layer_type *type; /* NULL: the model's input */
	char *name;
	struct bd_layer_config config; /* its strings are not valid here */
	size_t index; /* place in the graph; 0 is the input */
	struct bd_layer **inputs;
	size_t input_count, consumer_count;
	const struct bd_kernels *kernels;
	bool exact; /* no Winograd */
	size_t max_rows;

	/* by configure */
	struct bd_shape shape;
	struct bd_parameter *parameters[BD_LAYER_MAX_PARAMETERS];
	size_t parameter_count;
	uint64_t multiply_adds;

	/* by the graph between configure and plan */
	bool active; /* it or a layer before it is trained: backward comes here */
	bool varies; /* active, or drawn anew in each training step: one record's output is not the same twice */
	bool alias; /* its output is its first input's memory: nothing to run */
	bool fused; /* a neighbour does its work (then it is an alias too) */
	struct bd_layer *norm; /* frozen batch normalisation, folded into this layer's weights */
	enum bd_activation activation; /* done at the end of this layer */
	bool pooled; /* its only reader is a max pooling, which does activation's and bias' gradients */
	uint32_t more_pad[4]; /* top, bottom, left, right of a zero padding before this layer */
	size_t out_pitch; /* floats from pixel to pixel of its output */

	/* by plan */
	size_t packed_floats;
	size_t scratch_floats; /* of each worker */
	size_t workspace_floats; /* shared by the workers, for a batch of max_rows */
	const char *kernel_name; /* for summary; static */
	void *state;
};

/* One call of forward or backward. */
struct bd_pass {
	const struct bd_run *run;
	size_t rows, first_row; /* first_row: of the batch, where a piece of it is run */
	bool training;
	uint64_t seed, step;
	const float *const *inputs; /* (rows, inputs[i]->shape), packed */
	float *output; /* (rows, shape), pixels out_pitch apart */
	float *workspace;
	/* backward */
	float *output_gradient; /* (rows, shape), packed; may be changed */
	float *const *input_gradients; /* to be written; NULL where not wanted */
	const struct bd_gradient_taker *taker; /* of streamed parameters; NULL where there are none */
};

struct bd_layer_type {
	const char *type; /* Keras' class in snake case */
	size_t minimum_inputs, maximum_inputs;
	bool by_picture; /* forward needs no workspace and changes no state: a worker can run it for one picture */
	bool fuses; /* honours norm and activation */
	bool pads; /* honours more_pad */
	bool writes_pitched; /* honours out_pitch */
	bool streams_kernel; /* backward can hand the gradient of its first parameter to the taker, after all other uses of its value */
	bool always_alias; /* flatten */
	bool (*is_identity)(const struct bd_layer *layer); /* in inference; NULL: never */
	int (*configure)(struct bd_layer *layer, struct bd_error *error);
	int (*plan)(struct bd_layer *layer, struct bd_error *error); /* may be NULL */
	void (*pack)(struct bd_layer *layer, const struct bd_run *run); /* may be NULL */
	void (*forward)(const struct bd_layer *layer, const struct bd_pass *pass);
	void (*backward)(const struct bd_layer *layer, const struct bd_pass *pass);
	void (*finish)(struct bd_layer *layer); /* frees state; may be NULL */
};

/* The lookup by name; NULL where there is none. */
const struct bd_layer_type *bd_layer_type_find(const char *type);

/* A parameter NAME/variable of the layer; -ENOMEM, or -EINVAL for sizes that no tensor may have. */
struct bd_variable {
	const char *name;
	int rank;
	int64_t shape[BD_PARAMETER_MAX_RANK];
	enum bd_initializer initializer;
	int64_t fan_in, fan_out;
	bool is_statistic;
	float l2;
};
BD_MUST_CHECK int bd_layer_add_parameter(struct bd_layer *layer, const struct bd_variable *variable, struct bd_error *error);
void bd_parameter_destroy(struct bd_parameter *parameter);

/* Aligned to 64 bytes, zeros; a size that overflows gives NULL. Freed with free(). */
float *bd_floats(size_t count);

/* "layer 'NAME' (TYPE): …", -EINVAL */
int bd_layer_error(const struct bd_layer *layer, struct bd_error *error, const char *format, ...) BD_PRINTF(3, 4);

/* configure for layers whose output has their first input's shape. */
int bd_layer_same_shape(struct bd_layer *layer, struct bd_error *error);

/* Input and output gradient of layers that only pass values on. */
size_t bd_layer_count(const struct bd_layer *layer);

#endif
