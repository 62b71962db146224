/*
 * optimizer.h - SGD, RMSprop, Adam and AdamW over all trained parameters of a model.
 *
 * Why one module: the parts that differ are a few arithmetic operations for each weight; clipping, L2, weight decay, the schedule, the
 * state's names and the split into pieces for threads are the same for all.
 *
 * Order of a step, as Keras': gradient (the graph has added 2 l2 w already) -> clipping (clipnorm, else global_clipnorm, else
 * clipvalue) -> weight decay, w *= 1 - lr weight_decay -> the rule. Under compatibility torch: clipping by torch's formula, and
 * weight_decay is coupled (gradient += weight_decay w) except in AdamW.
 *
 *              keras3 (default)                        keras2              tf1                            torch
 *   sgd        m = mu m - lr g; w += m                 same                a = mu a + g; w -= lr a        as tf1
 *   rmsprop    lr g / sqrt(v + eps)                    eps outside root    inside, 1e-10, v starts at 1   outside, rho .99, 1e-8
 *   adam       eps before v's bias correction, 1e-7    same                same, eps 1e-8                 after, 1e-8
 *   adamw      as adam, weight_decay .004              same                same                           as adam, .01
 *
 * Threads: begin; take of the gradients that backward streams; measure; then apply of every piece once; take and apply in any order and by any threads. Pieces are cut by
 * parameter and position, never by threads, so the numbers do not depend on their count. bd_optimizer_step does all but take.
 */
#ifndef BD_LEARNING_OPTIMIZER_H
#define BD_LEARNING_OPTIMIZER_H

#include "trainer/learning/schedule.h"
#include "trainer/model/compatibility.h"
#include "trainer/model/parameter.h"
#include "trainer/model/tensor.h"

enum bd_optimizer_kind {
	BD_SGD,
	BD_RMSPROP,
	BD_ADAM,
	BD_ADAMW,
};

/* "sgd", "rmsprop", "adam", "adamw", NULL: in the order of the enum. */
extern const char *const bd_optimizer_names[];

#define BD_OPTIMIZER_MAX_EXCLUDED 16
#define BD_OPTIMIZER_NAME_BYTES 64

struct bd_optimizer_config {
	enum bd_optimizer_kind kind;
	enum bd_compatibility compatibility;
	struct bd_schedule schedule; /* learning_rate is in here */
	double momentum; /* sgd, rmsprop */
	bool nesterov; /* sgd */
	double rho; /* rmsprop */
	bool centered; /* rmsprop */
	double beta_1, beta_2; /* adam, adamw */
	bool amsgrad; /* adam, adamw */
	double epsilon; /* all but sgd */
	double weight_decay; /* 0 = none */
	double clipnorm, global_clipnorm, clipvalue; /* 0 = none; one of them at most */
	/* No weight decay for parameters whose name contains one of these (Keras' exclude_from_weight_decay). */
	char excluded[BD_OPTIMIZER_MAX_EXCLUDED][BD_OPTIMIZER_NAME_BYTES];
	size_t excluded_count;
};

/* The framework's own defaults for this rule. */
struct bd_optimizer_config bd_optimizer_defaults(enum bd_optimizer_kind kind, enum bd_compatibility compatibility);

struct bd_optimizer;

/*
 * `parameters` (all of the model; those without a gradient are left alone) are borrowed until destroy; names too.
 * -EINVAL: a number out of its range, or a streamed parameter where whole gradients are needed; -ENOMEM. Destroy takes NULL.
 */
BD_MUST_CHECK int bd_optimizer_create(const struct bd_optimizer_config *config, struct bd_parameter *const *parameters,
                                      size_t count, struct bd_optimizer **ret_optimizer, struct bd_error *error);
void bd_optimizer_destroy(struct bd_optimizer *optimizer);

/* One whole step: weights change by the gradients. Returns the learning rate used. */
double bd_optimizer_step(struct bd_optimizer *optimizer);

/*
 * The same in pieces. begin, before backward, counts the step and returns its learning rate; take is a bd_gradient_taker's, its context
 * the optimizer; measure, after backward, computes norms where clipping needs them; the pieces are those of all whole gradients.
 */
double bd_optimizer_begin(struct bd_optimizer *optimizer);
void bd_optimizer_take(const void *optimizer, struct bd_parameter *parameter, size_t first, size_t count, const float *gradient);
void bd_optimizer_measure(struct bd_optimizer *optimizer);
size_t bd_optimizer_piece_count(const struct bd_optimizer *optimizer);
void bd_optimizer_apply(const struct bd_optimizer *optimizer, size_t piece);

/* Clipping by norm: no weight may change before all gradients are there, so that none can be streamed. */
bool bd_optimizer_needs_whole_gradients(const struct bd_optimizer_config *config);

/* Steps done: the schedule's position and Adam's t. Set it when a checkpoint is loaded. */
uint64_t bd_optimizer_iterations(const struct bd_optimizer *optimizer);
void bd_optimizer_set_iterations(struct bd_optimizer *optimizer, uint64_t iterations);

/* The learning rate of the last step; 0 before the first. */
double bd_optimizer_rate(const struct bd_optimizer *optimizer);

/* One of bd_optimizer_names. */
const char *bd_optimizer_name(const struct bd_optimizer *optimizer);

/*
 * The state as named tensors ("optimizer/conv1/kernel/velocity"), borrowed: read them into a checkpoint, or have one written over
 * them. The same config and parameters give the same names in the same order.
 */
size_t bd_optimizer_state_count(const struct bd_optimizer *optimizer);
struct bd_tensor bd_optimizer_state(const struct bd_optimizer *optimizer, size_t index);

#endif
