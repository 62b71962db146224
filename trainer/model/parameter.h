/*
 * parameter.h - one named tensor of a model: a weight, or a moving statistic.
 *
 * Owned by the graph; value and gradient stay where they are for its whole life. Whoever writes `value` calls
 * bd_graph_weights_changed before the next forward. Kernels lie (height, width, in, out), depthwise kernels
 * (height, width, in, multiplier), dense kernels (in, out): as in Keras.
 */
#ifndef BD_MODEL_PARAMETER_H
#define BD_MODEL_PARAMETER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/model/model.h"

#define BD_PARAMETER_MAX_RANK 4

struct bd_parameter {
	char *name; /* LAYER/VARIABLE, e.g. conv1/kernel */
	int rank;
	int64_t shape[BD_PARAMETER_MAX_RANK];
	size_t count;
	float *value; /* count floats, 64-byte aligned */
	float *gradient; /* the same; NULL when it is not trained, or streamed */
	bool streamed; /* trained, but its gradient is never whole: backward hands it over piece by piece (bd_gradient_taker) */
	bool trainable; /* false: frozen, or a statistic */
	bool is_statistic; /* moving mean or variance: changed by forward, not by the optimizer */
	float l2; /* Keras' l2 regularizer: adds l2 * sum(w^2) to the loss; 0 = none */
	enum bd_initializer initializer;
	int64_t fan_in, fan_out; /* for the initializer */
};

/*
 * Takes the gradients of streamed parameters while backward runs: floats first .. first + count - 1, every float once a step, the l2 part
 * included. Called by the graph's threads, several at once. `gradient` is valid in the call only; `parameter->value` may be
 * changed in that range: nothing of this step reads it any more.
 */
struct bd_gradient_taker {
	void (*take)(const void *context, struct bd_parameter *parameter, size_t first, size_t count, const float *gradient);
	const void *context;
};

/*
 * Fill `value` from its initializer. The draws are a function of (seed, key) alone, whatever was drawn before.
 * Normal distributions are cut at two standard deviations, as in Keras.
 */
void bd_parameter_initialize(struct bd_parameter *parameter, uint64_t seed, uint64_t key);

#endif
