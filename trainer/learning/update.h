/*
 * update.h - the arithmetic of one optimizer step over a run of weights.
 *
 * Inner loops of optimizer.c, compiled for each instruction set (update.simd.c). Every element is computed by itself with one rounding
 * an operation, so that weights are bit-identical whatever the vector length and however the weights were cut into runs.
 */
#ifndef BD_LEARNING_UPDATE_H
#define BD_LEARNING_UPDATE_H

#include <stdbool.h>
#include <stddef.h>

/* What happens to a gradient before the rule: g = clamp(scale g, -limit, limit) + coupled w; and to the weight: w *= keep. */
struct bd_update_common {
	float scale; /* clipping by norm; 1 = none */
	float limit; /* clipping by value; INFINITY = none */
	float coupled; /* PyTorch's weight_decay */
	float keep; /* 1 - lr weight_decay */
};

struct bd_update_sgd {
	struct bd_update_common common;
	float rate, momentum;
	bool nesterov;
	bool scaled_momentum; /* Keras: the rate is inside the momentum */
};

struct bd_update_rmsprop {
	struct bd_update_common common;
	float rate, late_rate; /* before and behind the momentum */
	float rho, one_minus_rho, momentum;
	float inside, outside; /* epsilon under the root, and beside it */
};

struct bd_update_adam {
	struct bd_update_common common;
	float rate; /* with both bias corrections */
	float one_minus_beta_1, one_minus_beta_2, epsilon;
};

/* Arrays of `count` floats; slots that a rule does not have are NULL. */
struct bd_update_table {
	void (*sgd)(const struct bd_update_sgd *update, float *w, const float *g, float *momentum, size_t count);
	void (*rmsprop)(const struct bd_update_rmsprop *update, float *w, const float *g, float *velocity, float *average,
	                float *momentum, size_t count);
	void (*adam)(const struct bd_update_adam *update, float *w, const float *g, float *momentum, float *velocity,
	             float *largest, size_t count);
	double (*sum_of_squares)(const float *values,
	                         size_t count); /* 16 sums in double, added in a fixed order: the same at every level */
};

extern const struct bd_update_table bd_update_baseline, bd_update_avx2, bd_update_avx512;

/* The table for this processor. */
const struct bd_update_table *bd_update_table(void);

#endif
