/*
 * schedule.h - the learning rate as a function of the step.
 *
 * A pure function of (schedule, step): nothing to save. Steps count from 0. Formulas are those of keras.optimizers.schedules; under
 * compatibility torch the cosine is torch.optim.lr_scheduler.CosineAnnealingLR, which rises again after its last step.
 *
 *   constant      lr
 *   step          values[i], where i counts the boundaries < step (PiecewiseConstantDecay: at the boundary itself still the old value)
 *   exponential   lr decay_rate^(step / decay_steps); staircase: the exponent is rounded down
 *   inverse_time  lr / (1 + decay_rate step / decay_steps); staircase likewise
 *   cosine        lr ((1 - alpha) (1 + cos(pi min(t, T) / T)) / 2 + alpha), T = decay_steps
 *
 * Any of them may begin with a warm-up: linear from warmup_from to lr (step: values[0]) in warmup_steps; the schedule's own step
 * counts from the end of the warm-up. (Keras' CosineDecay: warmup_from = initial_learning_rate, lr = warmup_target.)
 */
#ifndef BD_LEARNING_SCHEDULE_H
#define BD_LEARNING_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#define BD_SCHEDULE_MAX_BOUNDARIES 64 /* more than anyone writes by hand into a model file */

enum bd_schedule_kind {
	BD_SCHEDULE_CONSTANT,
	BD_SCHEDULE_STEP,
	BD_SCHEDULE_EXPONENTIAL,
	BD_SCHEDULE_INVERSE_TIME,
	BD_SCHEDULE_COSINE,
	BD_SCHEDULE_COSINE_TORCH,
};

struct bd_schedule {
	enum bd_schedule_kind kind;
	double learning_rate;
	double decay_steps, decay_rate;
	bool staircase;
	double alpha; /* cosine: the smallest rate as a share of learning_rate */
	size_t boundary_count;
	uint64_t boundaries[BD_SCHEDULE_MAX_BOUNDARIES]; /* rising */
	double values[BD_SCHEDULE_MAX_BOUNDARIES + 1];
	uint64_t warmup_steps; /* 0 = none */
	double warmup_from;
};

/* -EINVAL with the reason: a rate that is negative or not finite, decay_steps of 0, boundaries that do not rise. */
BD_MUST_CHECK int bd_schedule_check(const struct bd_schedule *schedule, struct bd_error *error);

double bd_schedule_at(const struct bd_schedule *schedule, uint64_t step);

#endif
