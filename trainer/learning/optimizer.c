#include "trainer/learning/optimizer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "trainer/learning/update.h"

/* Weights of one piece: large enough that handing it to a thread costs nothing beside it, small enough for its arrays to stay in L2. */
#define PIECE_FLOATS 32768
#define MAX_SLOTS 3
/* torch.nn.utils.clip_grad_norm_ */
#define TORCH_NORM_EPSILON 1e-6

const char *const bd_optimizer_names[] = { "sgd", "rmsprop", "adam", "adamw", NULL };

/* Keras' names for the slots, in the order of struct trained's array. */
static const char *const slot_names[][MAX_SLOTS] = {
	[BD_SGD] = { "momentum", NULL, NULL },
	[BD_RMSPROP] = { "velocity", "average_gradient", "momentum" },
	[BD_ADAM] = { "momentum", "velocity", "velocity_hat" },
	[BD_ADAMW] = { "momentum", "velocity", "velocity_hat" },
};

struct trained {
	struct bd_parameter *parameter;
	float *slots[MAX_SLOTS]; /* (count) each; NULL: the rule has none */
	float scale; /* of this step's gradient: clipping by norm */
	bool decays;
};

struct piece {
	size_t trained, first, count;
};

/* What one call of a rule changes. */
struct run {
	size_t first, count;
	const float *gradient; /* (count) */
};

struct state {
	size_t trained, slot;
	char *name;
};

struct bd_optimizer {
	struct bd_optimizer_config config;
	const struct bd_update_table *table;
	struct trained *trained;
	size_t trained_count;
	struct piece *pieces;
	size_t piece_count;
	struct state *states;
	size_t state_count;
	float *memory; /* all slots */
	uint64_t iterations;
	double rate; /* of the step begun last */
};

struct bd_optimizer_config bd_optimizer_defaults(enum bd_optimizer_kind kind, enum bd_compatibility compatibility)
{
	bool torch = compatibility == BD_TORCH, tf1 = compatibility == BD_TF1;
	struct bd_optimizer_config config = {
		.kind = kind, .compatibility = compatibility, .rho = 0.9, .beta_1 = 0.9, .beta_2 = 0.999
	};
	config.schedule.learning_rate = 0.001;
	config.epsilon = torch || tf1 ? 1e-8 : 1e-7;
	if (kind == BD_SGD)
		config.schedule.learning_rate = torch ? 0.001 : 0.01;
	if (kind == BD_RMSPROP && torch) {
		config.schedule.learning_rate = 0.01;
		config.rho = 0.99;
	}
	if (kind == BD_RMSPROP && tf1)
		config.epsilon = 1e-10;
	if (kind == BD_ADAMW)
		config.weight_decay = torch ? 0.01 : 0.004;
	return config;
}

static int check_number(const char *name, double value, double maximum, struct bd_error *error)
{
	if (value >= 0 && value <= maximum)
		return 0;
	return bd_error_set(error, -EINVAL, "optimizer: %s is %g; it lies between 0 and %g", name, value, maximum);
}

static int check_config(const struct bd_optimizer_config *config, struct bd_error *error)
{
	const struct {
		const char *name;
		double value, maximum;
	} numbers[] = {
		{ "momentum", config->momentum, 1 },      { "rho", config->rho, 1 },
		{ "beta_1", config->beta_1, 1 },          { "beta_2", config->beta_2, 1 },
		{ "epsilon", config->epsilon, 1e6 },      { "weight_decay", config->weight_decay, 1e6 },
		{ "clipnorm", config->clipnorm, 1e30 },   { "global_clipnorm", config->global_clipnorm, 1e30 },
		{ "clipvalue", config->clipvalue, 1e30 },
	};
	for (size_t i = 0; i < BD_COUNT_OF(numbers); i++) {
		int result = check_number(numbers[i].name, numbers[i].value, numbers[i].maximum, error);
		if (result < 0)
			return result;
	}
	if ((config->clipnorm > 0) + (config->global_clipnorm > 0) + (config->clipvalue > 0) > 1)
		return bd_error_set(error, -EINVAL, "optimizer: only one of clipnorm, global_clipnorm and clipvalue can be given");
	bool adam = config->kind == BD_ADAM || config->kind == BD_ADAMW;
	if (adam && (config->beta_1 >= 1 || config->beta_2 >= 1))
		return bd_error_set(error, -EINVAL, "optimizer: beta_1 and beta_2 are less than 1");
	return bd_schedule_check(&config->schedule, error);
}

static bool has_slot(const struct bd_optimizer_config *config, size_t slot)
{
	switch (config->kind) {
	case BD_SGD:
		return slot == 0 && config->momentum > 0;
	case BD_RMSPROP:
		return slot == 0 || (slot == 1 && config->centered) || (slot == 2 && config->momentum > 0);
	case BD_ADAM:
	case BD_ADAMW:
		return slot < 2 || config->amsgrad;
	}
	return false;
}

static bool decays(const struct bd_optimizer_config *config, const char *name)
{
	for (size_t i = 0; i < config->excluded_count; i++) {
		if (strstr(name, config->excluded[i]))
			return false;
	}
	return true;
}

static bool is_trained(const struct bd_parameter *parameter)
{
	return parameter->trainable && (parameter->gradient || parameter->streamed);
}

/* Floats of one slot of a parameter, rounded up so that every slot begins on a cache line. */
static size_t slot_floats(const struct bd_parameter *parameter)
{
	return (parameter->count + 15) & ~(size_t)15;
}

static char *state_name(const struct bd_parameter *parameter, const char *slot)
{
	char *name;
	return asprintf(&name, "optimizer/%s/%s", parameter->name, slot) < 0 ? NULL : name;
}

/* Streamed gradients come in pieces of their own. */
static size_t piece_count(const struct bd_parameter *parameter)
{
	return parameter->streamed ? 0 : (parameter->count + PIECE_FLOATS - 1) / PIECE_FLOATS;
}

/* Counts what the arrays must hold. */
static void measure(const struct bd_optimizer_config *config, struct bd_parameter *const *parameters, size_t count,
                    struct bd_optimizer *sizes, size_t *ret_floats)
{
	size_t slots = 0, floats = 0;
	for (size_t slot = 0; slot < MAX_SLOTS; slot++)
		slots += has_slot(config, slot);
	for (size_t i = 0; i < count; i++) {
		if (!is_trained(parameters[i]))
			continue;
		sizes->trained_count++;
		sizes->piece_count += piece_count(parameters[i]);
		sizes->state_count += slots;
		floats += slots * slot_floats(parameters[i]);
	}
	*ret_floats = floats;
}

static bool reserve(struct bd_optimizer *optimizer, size_t floats)
{
	size_t bytes;
	if (!bd_multiply_size(floats ? floats : 16, sizeof *optimizer->memory, &bytes))
		return false;
	optimizer->trained = calloc(optimizer->trained_count + 1, sizeof *optimizer->trained);
	optimizer->pieces = calloc(optimizer->piece_count + 1, sizeof *optimizer->pieces);
	optimizer->states = calloc(optimizer->state_count + 1, sizeof *optimizer->states);
	optimizer->memory = aligned_alloc(64, bytes);
	if (optimizer->memory)
		memset(optimizer->memory, 0, bytes);
	return optimizer->trained && optimizer->pieces && optimizer->states && optimizer->memory;
}

static bool add_slots(struct bd_optimizer *optimizer, size_t index, float **memory, size_t *state)
{
	struct trained *trained = &optimizer->trained[index];
	const struct bd_optimizer_config *config = &optimizer->config;
	for (size_t slot = 0; slot < MAX_SLOTS; slot++) {
		if (!has_slot(config, slot))
			continue;
		float *values = *memory;
		*memory += slot_floats(trained->parameter);
		/* TensorFlow 1 starts the mean square at 1 */
		for (size_t i = 0;
		     config->kind == BD_RMSPROP && config->compatibility == BD_TF1 && slot == 0 && i < trained->parameter->count;
		     i++)
			values[i] = 1;
		trained->slots[slot] = values;
		optimizer->states[*state] = (struct state){
			.trained = index, .slot = slot, .name = state_name(trained->parameter, slot_names[config->kind][slot])
		};
		if (!optimizer->states[(*state)++].name)
			return false;
	}
	return true;
}

static bool build(struct bd_optimizer *optimizer, struct bd_parameter *const *parameters, size_t count)
{
	size_t index = 0, piece = 0, state = 0;
	float *memory = optimizer->memory;
	for (size_t i = 0; i < count; i++) {
		if (!is_trained(parameters[i]))
			continue;
		optimizer->trained[index] = (struct trained){ .parameter = parameters[i],
			                                      .scale = 1,
			                                      .decays = decays(&optimizer->config, parameters[i]->name) };
		if (!add_slots(optimizer, index, &memory, &state))
			return false;
		for (size_t k = 0; k < piece_count(parameters[i]); k++) {
			size_t first = k * PIECE_FLOATS, left = parameters[i]->count - first;
			optimizer->pieces[piece++] = (struct piece){ index, first, left < PIECE_FLOATS ? left : PIECE_FLOATS };
		}
		index++;
	}
	return true;
}

int bd_optimizer_create(const struct bd_optimizer_config *config, struct bd_parameter *const *parameters, size_t count,
                        struct bd_optimizer **ret_optimizer, struct bd_error *error)
{
	int result = check_config(config, error);
	for (size_t i = 0; result == 0 && i < count && bd_optimizer_needs_whole_gradients(config); i++)
		if (parameters[i]->streamed)
			result = bd_error_set(error, -EINVAL, "optimizer: clipping by norm needs the whole gradient of %s",
			                      parameters[i]->name);
	if (result < 0)
		return result;
	struct bd_optimizer *optimizer = calloc(1, sizeof *optimizer);
	if (!optimizer)
		return bd_error_set(error, -ENOMEM, "no memory for the optimizer");
	optimizer->config = *config;
	optimizer->table = bd_update_table();
	size_t floats;
	measure(config, parameters, count, optimizer, &floats);
	if (!reserve(optimizer, floats) || !build(optimizer, parameters, count)) {
		bd_optimizer_destroy(optimizer);
		return bd_error_set(error, -ENOMEM, "no memory for the optimizer's state of %zu floats", floats);
	}
	*ret_optimizer = optimizer;
	return 0;
}

void bd_optimizer_destroy(struct bd_optimizer *optimizer)
{
	if (!optimizer)
		return;
	for (size_t i = 0; optimizer->states && i < optimizer->state_count; i++)
		free(optimizer->states[i].name);
	free(optimizer->trained);
	free(optimizer->pieces);
	free(optimizer->states);
	free(optimizer->memory);
	free(optimizer);
}

/* A norm that is no number makes the gradients no numbers: nothing is hidden by clipping. */
static float clip_scale(const struct bd_optimizer_config *config, double norm, double limit)
{
	if (config->compatibility == BD_TORCH) {
		double scale = limit / (norm + TORCH_NORM_EPSILON);
		return (float)(scale > 1 ? 1 : scale);
	}
	return (float)(norm <= limit ? 1 : limit / norm);
}

bool bd_optimizer_needs_whole_gradients(const struct bd_optimizer_config *config)
{
	return config->clipnorm > 0 || config->global_clipnorm > 0;
}

double bd_optimizer_begin(struct bd_optimizer *optimizer)
{
	optimizer->rate = bd_schedule_at(&optimizer->config.schedule, optimizer->iterations);
	optimizer->iterations++;
	return optimizer->rate;
}

void bd_optimizer_measure(struct bd_optimizer *optimizer)
{
	const struct bd_optimizer_config *config = &optimizer->config;
	double total = 0;
	if (!bd_optimizer_needs_whole_gradients(config))
		return;
	for (size_t i = 0; i < optimizer->trained_count; i++) {
		struct trained *trained = &optimizer->trained[i];
		double squares = optimizer->table->sum_of_squares(trained->parameter->gradient, trained->parameter->count);
		total += squares;
		if (config->clipnorm > 0)
			trained->scale = clip_scale(config, sqrt(squares), config->clipnorm);
	}
	for (size_t i = 0; config->global_clipnorm > 0 && i < optimizer->trained_count; i++)
		optimizer->trained[i].scale = clip_scale(config, sqrt(total), config->global_clipnorm);
}

size_t bd_optimizer_piece_count(const struct bd_optimizer *optimizer)
{
	return optimizer->piece_count;
}

static struct bd_update_common common_of(const struct bd_optimizer *optimizer, const struct trained *trained)
{
	const struct bd_optimizer_config *config = &optimizer->config;
	double decay = trained->decays ? config->weight_decay : 0;
	bool coupled = config->compatibility == BD_TORCH && config->kind != BD_ADAMW;
	return (struct bd_update_common){ .scale = trained->scale,
		                          .limit = config->clipvalue > 0 ? (float)config->clipvalue : INFINITY,
		                          .coupled = coupled ? (float)decay : 0,
		                          .keep = coupled ? 1 : (float)(1 - optimizer->rate * decay) };
}

static void apply_sgd(const struct bd_optimizer *optimizer, const struct trained *trained, const struct run *run)
{
	const struct bd_optimizer_config *config = &optimizer->config;
	struct bd_update_sgd update = { .common = common_of(optimizer, trained),
		                        .rate = (float)optimizer->rate,
		                        .momentum = (float)config->momentum,
		                        .nesterov = config->nesterov,
		                        .scaled_momentum = config->compatibility == BD_KERAS3 ||
		                                           config->compatibility == BD_KERAS2 };
	float *momentum = trained->slots[0];
	optimizer->table->sgd(&update, trained->parameter->value + run->first, run->gradient,
	                      momentum ? momentum + run->first : NULL, run->count);
}

static void apply_rmsprop(const struct bd_optimizer *optimizer, const struct trained *trained, const struct run *run)
{
	const struct bd_optimizer_config *config = &optimizer->config;
	bool inside = config->compatibility == BD_KERAS3 || config->compatibility == BD_TF1;
	/* PyTorch multiplies by the rate behind the momentum, the others before it. */
	bool late = config->compatibility == BD_TORCH;
	struct bd_update_rmsprop update = { .common = common_of(optimizer, trained),
		                            .rate = late ? 1 : (float)optimizer->rate,
		                            .late_rate = late ? (float)optimizer->rate : 1,
		                            .rho = (float)config->rho,
		                            .one_minus_rho = (float)(1 - config->rho),
		                            .momentum = (float)config->momentum,
		                            .inside = inside ? (float)config->epsilon : 0,
		                            .outside = inside ? 0 : (float)config->epsilon };
	float *average = trained->slots[1], *momentum = trained->slots[2];
	optimizer->table->rmsprop(&update, trained->parameter->value + run->first, run->gradient, trained->slots[0] + run->first,
	                          average ? average + run->first : NULL, momentum ? momentum + run->first : NULL, run->count);
}

static void apply_adam(const struct bd_optimizer *optimizer, const struct trained *trained, const struct run *run)
{
	const struct bd_optimizer_config *config = &optimizer->config;
	double t = (double)optimizer->iterations, root = sqrt(1 - pow(config->beta_2, t));
	/* PyTorch adds epsilon after v's bias correction, which is Keras' formula with a smaller one. */
	double epsilon = config->compatibility == BD_TORCH ? config->epsilon * root : config->epsilon;
	struct bd_update_adam update = { .common = common_of(optimizer, trained),
		                         .rate = (float)(optimizer->rate * root / (1 - pow(config->beta_1, t))),
		                         .one_minus_beta_1 = (float)(1 - config->beta_1),
		                         .one_minus_beta_2 = (float)(1 - config->beta_2),
		                         .epsilon = (float)epsilon };
	float *largest = trained->slots[2];
	optimizer->table->adam(&update, trained->parameter->value + run->first, run->gradient, trained->slots[0] + run->first,
	                       trained->slots[1] + run->first, largest ? largest + run->first : NULL, run->count);
}

static void apply(const struct bd_optimizer *optimizer, const struct trained *trained, const struct run *run)
{
	switch (optimizer->config.kind) {
	case BD_SGD:
		apply_sgd(optimizer, trained, run);
		break;
	case BD_RMSPROP:
		apply_rmsprop(optimizer, trained, run);
		break;
	case BD_ADAM:
	case BD_ADAMW:
		apply_adam(optimizer, trained, run);
		break;
	}
}

void bd_optimizer_apply(const struct bd_optimizer *optimizer, size_t index)
{
	const struct piece *piece = &optimizer->pieces[index];
	const struct trained *trained = &optimizer->trained[piece->trained];
	apply(optimizer, trained, &(struct run){ piece->first, piece->count, trained->parameter->gradient + piece->first });
}

void bd_optimizer_take(const void *context, struct bd_parameter *parameter, size_t first, size_t count, const float *gradient)
{
	const struct bd_optimizer *optimizer = context;
	const struct trained *trained = optimizer->trained;
	/* a model has few parameters beside the floats of a piece */
	while (trained->parameter != parameter)
		trained++;
	apply(optimizer, trained, &(struct run){ first, count, gradient });
}

double bd_optimizer_step(struct bd_optimizer *optimizer)
{
	double rate = bd_optimizer_begin(optimizer);
	bd_optimizer_measure(optimizer);
	for (size_t i = 0; i < optimizer->piece_count; i++)
		bd_optimizer_apply(optimizer, i);
	return rate;
}

uint64_t bd_optimizer_iterations(const struct bd_optimizer *optimizer)
{
	return optimizer->iterations;
}

void bd_optimizer_set_iterations(struct bd_optimizer *optimizer, uint64_t iterations)
{
	optimizer->iterations = iterations;
	optimizer->rate = iterations ? bd_schedule_at(&optimizer->config.schedule, iterations - 1) : 0;
}

double bd_optimizer_rate(const struct bd_optimizer *optimizer)
{
	return optimizer->rate;
}

const char *bd_optimizer_name(const struct bd_optimizer *optimizer)
{
	return bd_optimizer_names[optimizer->config.kind];
}

size_t bd_optimizer_state_count(const struct bd_optimizer *optimizer)
{
	return optimizer->state_count;
}

struct bd_tensor bd_optimizer_state(const struct bd_optimizer *optimizer, size_t index)
{
	const struct state *state = &optimizer->states[index];
	const struct trained *trained = &optimizer->trained[state->trained];
	struct bd_tensor tensor = { .name = state->name,
		                    .rank = trained->parameter->rank,
		                    .count = trained->parameter->count,
		                    .data = trained->slots[state->slot] };
	memcpy(tensor.shape, trained->parameter->shape, sizeof tensor.shape);
	return tensor;
}
