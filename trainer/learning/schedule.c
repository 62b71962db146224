#include "trainer/learning/schedule.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

static bool is_rate(double value)
{
	return isfinite(value) && value >= 0;
}

static int check_boundaries(const struct bd_schedule *schedule, struct bd_error *error)
{
	if (schedule->boundary_count == 0 || schedule->boundary_count > BD_SCHEDULE_MAX_BOUNDARIES)
		return bd_error_set(error, -EINVAL, "a step schedule has 1 to %d boundaries, not %zu", BD_SCHEDULE_MAX_BOUNDARIES,
		                    schedule->boundary_count);
	for (size_t i = 0; i <= schedule->boundary_count; i++) {
		if (!is_rate(schedule->values[i]))
			return bd_error_set(error, -EINVAL, "value %zu of the step schedule is %g; a rate is 0 or more", i,
			                    schedule->values[i]);
		if (i > 0 && i < schedule->boundary_count && schedule->boundaries[i] <= schedule->boundaries[i - 1])
			return bd_error_set(error, -EINVAL,
			                    "boundary %" PRIu64 " of the step schedule comes after %" PRIu64 "; boundaries rise",
			                    schedule->boundaries[i], schedule->boundaries[i - 1]);
	}
	return 0;
}

int bd_schedule_check(const struct bd_schedule *schedule, struct bd_error *error)
{
	if (!is_rate(schedule->learning_rate))
		return bd_error_set(error, -EINVAL, "learning_rate is %g; it is 0 or more", schedule->learning_rate);
	if (schedule->warmup_steps && !is_rate(schedule->warmup_from))
		return bd_error_set(error, -EINVAL, "the warm-up starts at %g; a rate is 0 or more", schedule->warmup_from);
	if (schedule->kind == BD_SCHEDULE_STEP)
		return check_boundaries(schedule, error);
	if (schedule->kind == BD_SCHEDULE_CONSTANT)
		return 0;
	if (!(isfinite(schedule->decay_steps) && schedule->decay_steps > 0))
		return bd_error_set(error, -EINVAL, "decay_steps is %g; it is more than 0", schedule->decay_steps);
	if (!is_rate(schedule->decay_rate))
		return bd_error_set(error, -EINVAL, "decay_rate is %g; it is 0 or more", schedule->decay_rate);
	if (!is_rate(schedule->alpha))
		return bd_error_set(error, -EINVAL, "alpha is %g; it is 0 or more", schedule->alpha);
	return 0;
}

static double decayed(const struct bd_schedule *schedule, double step)
{
	double periods = step / schedule->decay_steps;
	if (schedule->staircase)
		periods = floor(periods);
	if (schedule->kind == BD_SCHEDULE_EXPONENTIAL)
		return schedule->learning_rate * pow(schedule->decay_rate, periods);
	return schedule->learning_rate / (1 + schedule->decay_rate * periods);
}

static double stepped(const struct bd_schedule *schedule, uint64_t step)
{
	size_t i = 0;
	while (i < schedule->boundary_count && step > schedule->boundaries[i])
		i++;
	return schedule->values[i];
}

static double after_warmup(const struct bd_schedule *schedule, uint64_t step)
{
	double t = (double)step;
	switch (schedule->kind) {
	case BD_SCHEDULE_CONSTANT:
		break;
	case BD_SCHEDULE_STEP:
		return stepped(schedule, step);
	case BD_SCHEDULE_EXPONENTIAL:
	case BD_SCHEDULE_INVERSE_TIME:
		return decayed(schedule, t);
	case BD_SCHEDULE_COSINE:
		t = fmin(t, schedule->decay_steps);
		__attribute__((fallthrough));
	case BD_SCHEDULE_COSINE_TORCH:
		return schedule->learning_rate *
		       ((1 - schedule->alpha) * 0.5 * (1 + cos(M_PI * t / schedule->decay_steps)) + schedule->alpha);
	}
	return schedule->learning_rate;
}

double bd_schedule_at(const struct bd_schedule *schedule, uint64_t step)
{
	if (step >= schedule->warmup_steps)
		return after_warmup(schedule, step - schedule->warmup_steps);
	double target = schedule->kind == BD_SCHEDULE_STEP ? schedule->values[0] : schedule->learning_rate;
	return schedule->warmup_from + (target - schedule->warmup_from) * (double)step / (double)schedule->warmup_steps;
}
