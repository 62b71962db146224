/* The formulas themselves are compared with Keras and PyTorch in test_optimizer. */
#include "trainer/learning/schedule.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "tests/unit/test.h"

static void assert_rate(const struct bd_schedule *schedule, uint64_t step, double wanted)
{
	double got = bd_schedule_at(schedule, step);
	if (!(fabs(got - wanted) <= 1e-12 * (1 + fabs(wanted))))
		fail_msg("step %llu: %.15g instead of %.15g", (unsigned long long)step, got, wanted);
}

static void boundary_itself_has_the_old_value(void **state)
{
	(void)state;
	const struct bd_schedule schedule = {
		.kind = BD_SCHEDULE_STEP, .boundary_count = 2, .boundaries = { 5, 12 }, .values = { 3, 2, 1 }
	};
	assert_rate(&schedule, 0, 3);
	assert_rate(&schedule, 5, 3);
	assert_rate(&schedule, 6, 2);
	assert_rate(&schedule, 12, 2);
	assert_rate(&schedule, UINT64_MAX, 1);
}

static void warmup_ends_where_the_schedule_begins(void **state)
{
	(void)state;
	struct bd_schedule schedule = { .kind = BD_SCHEDULE_CONSTANT, .learning_rate = 0.1, .warmup_steps = 4 };
	assert_rate(&schedule, 0, 0);
	assert_rate(&schedule, 2, 0.05);
	assert_rate(&schedule, 4, 0.1);
	schedule = (struct bd_schedule){ .kind = BD_SCHEDULE_STEP,
		                         .boundary_count = 1,
		                         .boundaries = { 1 },
		                         .values = { 8, 4 },
		                         .warmup_steps = 4,
		                         .warmup_from = 4 };
	assert_rate(&schedule, 2, 6);
	assert_rate(&schedule, 5, 8);
	assert_rate(&schedule, 6, 4);
}

static void keras_cosine_stays_and_torchs_rises_again(void **state)
{
	(void)state;
	struct bd_schedule schedule = { .kind = BD_SCHEDULE_COSINE, .learning_rate = 1, .decay_steps = 10, .alpha = 0.25 };
	assert_rate(&schedule, 10, 0.25);
	assert_rate(&schedule, 15, 0.25);
	schedule.kind = BD_SCHEDULE_COSINE_TORCH;
	assert_rate(&schedule, 10, 0.25);
	assert_rate(&schedule, 15, 0.625);
	assert_rate(&schedule, 20, 1);
}

static void staircase_keeps_its_rate_for_a_period(void **state)
{
	(void)state;
	const struct bd_schedule schedule = {
		.kind = BD_SCHEDULE_EXPONENTIAL, .learning_rate = 1, .decay_steps = 3, .decay_rate = 0.5, .staircase = true
	};
	assert_rate(&schedule, 2, 1);
	assert_rate(&schedule, 3, 0.5);
	assert_rate(&schedule, 8, 0.25);
}

static void nonsense_is_einval(void **state)
{
	(void)state;
	struct bd_error error;
	const struct bd_schedule bad[] = {
		{ .kind = BD_SCHEDULE_CONSTANT, .learning_rate = -0.1 },
		{ .kind = BD_SCHEDULE_CONSTANT, .learning_rate = NAN },
		{ .kind = BD_SCHEDULE_CONSTANT, .learning_rate = 1, .warmup_steps = 1, .warmup_from = INFINITY },
		{ .kind = BD_SCHEDULE_EXPONENTIAL, .learning_rate = 1, .decay_rate = 0.5 },
		{ .kind = BD_SCHEDULE_COSINE, .learning_rate = 1, .decay_steps = 5, .alpha = -1 },
		{ .kind = BD_SCHEDULE_STEP, .values = { 1 } },
		{ .kind = BD_SCHEDULE_STEP, .boundary_count = BD_SCHEDULE_MAX_BOUNDARIES + 1 },
		{ .kind = BD_SCHEDULE_STEP, .boundary_count = 2, .boundaries = { 7, 7 }, .values = { 1, 1, 1 } },
		{ .kind = BD_SCHEDULE_STEP, .boundary_count = 1, .boundaries = { 7 }, .values = { 1, -1 } },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (bd_schedule_check(&bad[i], &error) != -EINVAL)
			fail_msg("schedule %zu was accepted", i);
	}
	assert_int_equal(bd_schedule_check(&(struct bd_schedule){ .kind = BD_SCHEDULE_CONSTANT }, &error), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boundary_itself_has_the_old_value),
		cmocka_unit_test(warmup_ends_where_the_schedule_begins),
		cmocka_unit_test(keras_cosine_stays_and_torchs_rises_again),
		cmocka_unit_test(staircase_keeps_its_rate_for_a_period),
		cmocka_unit_test(nonsense_is_einval),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
