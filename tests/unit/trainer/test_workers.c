/* The trainer's threads: every task once, every write seen, whoever comes late. */
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "trainer/kernels/workers.h"

enum { TASKS_MAX = 97, SCRATCH = 16 };

struct loop {
	unsigned *times; /* (TASKS_MAX) plain: that tasks are done before bd_run_tasks returns is what is tested */
	unsigned number;
	bool dawdles;
};

static void count_task(const void *argument, size_t index, float *scratch)
{
	const struct loop *loop = argument;
	/* no two tasks use one scratch at a time */
	for (int i = 0; i < SCRATCH; i++)
		scratch[i] = (float)(index + loop->number);
	if (loop->dawdles && index % 7 == 0)
		sched_yield();
	for (int i = 0; i < SCRATCH; i++)
		if (scratch[i] < (float)(index + loop->number) || scratch[i] > (float)(index + loop->number))
			return;
	loop->times[index]++;
}

static void run_loops(uint32_t threads, unsigned loops, unsigned pause_every)
{
	struct bd_workers *workers;
	unsigned times[TASKS_MAX], expected[TASKS_MAX];
	assert_int_equal(bd_workers_create(threads, &workers, NULL), 0);
	struct bd_run run = { workers, calloc((size_t)bd_workers_count(workers) * SCRATCH, sizeof(float)), SCRATCH };
	memset(times, 0, sizeof times);
	memset(expected, 0, sizeof expected);
	for (unsigned i = 0; i < loops; i++) {
		size_t tasks = i % (TASKS_MAX + 1);
		struct loop loop = { times, i, i % 3 == 0 };
		bd_run_tasks(&run, tasks, count_task, &loop);
		for (size_t k = 0; k < tasks; k++)
			expected[k]++;
		assert_memory_equal(times, expected, sizeof times);
		/* long enough for the workers to fall asleep */
		if (pause_every && i % pause_every == 0)
			usleep(500);
	}
	bd_workers_destroy(workers);
	free(run.scratch);
}

static void every_task_is_done_once_before_the_loop_returns(void **state)
{
	(void)state;
	for (uint32_t threads = 1; threads <= 4; threads++)
		run_loops(threads, 3000, 0);
}

/* Most workers find their loop done when they are let run at last. */
static void more_threads_than_processors_change_nothing(void **state)
{
	(void)state;
	run_loops(24, 1000, 0);
}

static void sleeping_workers_are_woken(void **state)
{
	(void)state;
	run_loops(3, 400, 2);
}

static void no_workers_run_all_by_themselves(void **state)
{
	(void)state;
	float scratch[SCRATCH];
	unsigned times[TASKS_MAX] = { 0 };
	struct bd_run run = { NULL, scratch, 0 };
	bd_run_tasks(&run, TASKS_MAX, count_task, &(struct loop){ times, 0, false });
	for (size_t i = 0; i < TASKS_MAX; i++)
		assert_int_equal(times[i], 1);
}

static void thread_counts_have_bounds(void **state)
{
	(void)state;
	struct bd_workers *workers;
	assert_int_equal(bd_workers_create(0, &workers, NULL), 0);
	assert_true(bd_workers_count(workers) >= 1);
	bd_workers_destroy(workers);
	assert_int_equal(bd_workers_create(BD_WORKERS_MAX + 1, &workers, NULL), 0);
	assert_int_equal(bd_workers_count(workers), BD_WORKERS_MAX);
	bd_workers_destroy(workers);
	bd_workers_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_task_is_done_once_before_the_loop_returns),
		cmocka_unit_test(more_threads_than_processors_change_nothing),
		cmocka_unit_test(sleeping_workers_are_woken),
		cmocka_unit_test(no_workers_run_all_by_themselves),
		cmocka_unit_test(thread_counts_have_bounds),
	};
	return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
