/*
 * network.h - a model file turned into something that runs: the graph, its loss, its parameters, its first weights.
 *
 * Why: train, evaluate, predict and export all begin so. A sigmoid before binary cross-entropy, and a softmax before categorical cross-entropy, are
 * left out of the graph, and the loss is taken from the logits, as Keras does behind the scenes: bd_network_probabilities gives
 * what the model file calls the output.
 * Threads: one.
 */
#ifndef BD_LEARNING_NETWORK_H
#define BD_LEARNING_NETWORK_H

#include "trainer/model/graph.h"
#include "trainer/model/model_file.h"

struct bd_network {
	struct bd_graph *graph;
	struct bd_parameter **parameters; /* all, in the graph's order; borrowed from it */
	size_t parameter_count;
	struct bd_shape output; /* of one record */
	size_t width; /* values of an output row: places x classes */
	size_t places; /* of one output: 1 for a vector, the pixels of a picture; each has a target of its own */
	size_t classes; /* values of a place: the output's last axis */
	size_t random_layers; /* after bd_network_load_weights: layers with weights that no file gave any, at least */
	struct bd_loss loss;
	bool has_loss;
};

struct bd_network_options {
	uint32_t batch; /* rows at most */
	uint32_t threads; /* 0 = one a processor */
	bool training;
	bool exact; /* plain convolutions instead of Winograd */
	uint64_t seed; /* of dropout and of the first weights */
	const char *keep; /* a layer whose output is wanted; NULL */
};

/*
 * Builds the graph and draws the first weights; no file is read. Gradients are streamed (graph.h) where the model's optimizer can
 * take them so. -EINVAL with the model's name: layers that do not fit; -ENOMEM.
 */
BD_MUST_CHECK int bd_network_init(const struct bd_model_file *file, const struct bd_network_options *options,
                                  struct bd_network *ret_network, struct bd_error *error);

/* Takes zeroed. */
void bd_network_finish(struct bd_network *network);

/* The weight files that the model file names: the base's, then the model's own. */
BD_MUST_CHECK int bd_network_load_weights(struct bd_network *network, const struct bd_model_file *file, struct bd_error *error);

/* What somebody has most likely forgotten (a last activation, something to train) as one line; false: nothing. */
bool bd_network_doubt(const struct bd_model_file *file, const struct bd_network *network, char *text, size_t size);

/* Turns the graph's output (rows, width) in place into what the model file calls the output. */
void bd_network_probabilities(const struct bd_network *network, float *output, size_t rows);

/* Whether the output for one picture of all values from -127 to 127 is made of finite numbers. True without memory to try. */
bool bd_network_gives_numbers(const struct bd_network *network);

/* -EINVAL with the parameter's name where one is NaN or infinite. */
BD_MUST_CHECK int bd_network_check_finite(const struct bd_network *network, struct bd_error *error);

#endif
