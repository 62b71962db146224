#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "daemon/data/engine.h"
#include "daemon/data/engine_parts.h"
#include "daemon/data/tenant.h"
#include "tests/unit/test.h"

#define MEMORY (64ull << 20)

/* A tenant with `runs` runs, each of `work_us`. */
struct fake {
	struct bd_tenant tenant; /* first */
	uint64_t runs, work_us;
	sem_t *gate; /* not NULL: its runs last until the gate is posted, one run a post */
	bool serial; /* one run at a time, and none that `lasts` */
	uint64_t taken, finished, settled; /* locked; settled: by one worker at a time */
	_Atomic uint64_t worked, worked_ns;
	sem_t done, freed;
};

static struct fake *of(struct bd_tenant *tenant)
{
	return (struct fake *)(void *)tenant;
}

static bool fake_take(struct bd_tenant *tenant, struct bd_run *ret_run)
{
	struct fake *fake = of(tenant);
	if (fake->taken == fake->runs || (fake->serial ? tenant->running > 0 : fake->gate && !bd_tenant_may_last(tenant)))
		return false;
	ret_run->lasts = fake->gate && !fake->serial;
	ret_run->first = (uint32_t)fake->taken++;
	return true;
}

static void fake_work(struct bd_tenant *tenant, struct bd_worker *worker, struct bd_run *run)
{
	struct fake *fake = of(tenant);
	(void)worker;
	(void)run;
	uint64_t begin_ns = bd_now_ns();
	if (fake->gate)
		sem_wait(fake->gate);
	if (fake->work_us)
		usleep((unsigned)fake->work_us);
	atomic_fetch_add(&fake->worked_ns, bd_now_ns() - begin_ns);
	atomic_fetch_add(&fake->worked, 1);
}

static bool fake_finish(struct bd_tenant *tenant, const struct bd_run *run)
{
	struct fake *fake = of(tenant);
	(void)run;
	if (++fake->finished == fake->runs)
		sem_post(&fake->done);
	return fake->finished == 1;
}

static void fake_settle(struct bd_tenant *tenant)
{
	of(tenant)->settled++;
}

static void fake_free(struct bd_tenant *tenant)
{
	sem_post(&of(tenant)->freed);
}

static const struct bd_tenant_calls calls = { fake_take, fake_work, fake_finish, fake_settle, fake_free };

static void join(struct fake *fake, struct bd_engine *engine, uint64_t runs, uint64_t work_us)
{
	memset(fake, 0, sizeof *fake);
	fake->runs = runs;
	fake->work_us = work_us;
	sem_init(&fake->done, 0, 0);
	sem_init(&fake->freed, 0, 0);
	bd_tenant_join(&fake->tenant, engine, &calls);
}

static void wake(struct fake *fake)
{
	bd_engine_lock(fake->tenant.engine);
	bd_tenant_wake(&fake->tenant);
	bd_engine_unlock(fake->tenant.engine);
}

static struct bd_engine *engine_of(unsigned threads)
{
	struct bd_engine_options options = { .threads = threads, .memory_bytes = MEMORY };
	struct bd_engine *engine = NULL;
	struct bd_error error;
	assert_int_equal(bd_engine_create(&options, &engine, &error), 0);
	return engine;
}

static void every_run_is_done_once(void **state)
{
	(void)state;
	for (unsigned threads = 1; threads <= 8; threads *= 2) {
		struct bd_engine *engine = engine_of(threads);
		struct fake fake;
		join(&fake, engine, 2000, 0);
		wake(&fake);
		sem_wait(&fake.done);
		bd_tenant_leave(&fake.tenant);
		sem_wait(&fake.freed);
		assert_int_equal(atomic_load(&fake.worked), 2000);
		assert_int_equal(fake.settled, 1);
		bd_engine_destroy(engine);
	}
}

static void nothing_is_taken_before_the_wake(void **state)
{
	(void)state;
	struct bd_engine *engine = engine_of(2);
	struct fake fake;
	join(&fake, engine, 10, 0);
	usleep(20000);
	assert_int_equal(atomic_load(&fake.worked), 0);
	wake(&fake);
	sem_wait(&fake.done);
	/* more to do: taken only when woken again */
	bd_engine_lock(engine);
	fake.runs = 20;
	bd_tenant_wake(&fake.tenant);
	bd_engine_unlock(engine);
	sem_wait(&fake.done);
	bd_tenant_leave(&fake.tenant);
	sem_wait(&fake.freed);
	bd_engine_destroy(engine);
}

static void short_runs_get_as_much_time_as_long_ones(void **state)
{
	(void)state;
	struct bd_engine *engine = engine_of(2);
	struct fake slow, quick;
	join(&slow, engine, UINT64_MAX, 4000);
	join(&quick, engine, UINT64_MAX, 200);
	wake(&slow);
	wake(&quick);
	while (atomic_load(&slow.worked) < 40)
		usleep(1000);
	uint64_t slow_ns = atomic_load(&slow.worked_ns), quick_ns = atomic_load(&quick.worked_ns);
	bd_tenant_leave(&slow.tenant);
	bd_tenant_leave(&quick.tenant);
	sem_wait(&slow.freed);
	sem_wait(&quick.freed);
	/* By the time that they took, not the number of runs: on a loaded machine a short sleep may last as long as a long one. Turns by
	 * number would give the quick one a tenth of the time. */
	assert_true(quick_ns > slow_ns / 4);
	bd_engine_destroy(engine);
}

/* Two streams that build indexes for ever, however many workers they would like. */
static void runs_that_last_leave_a_worker_for_others(void **state)
{
	(void)state;
	enum { RUNS = 8 };
	struct bd_engine *engine = engine_of(3);
	struct fake lasting[2], quick;
	sem_t gate;
	sem_init(&gate, 0, 0);
	for (int i = 0; i < 2; i++) {
		join(&lasting[i], engine, RUNS, 0);
		lasting[i].gate = &gate;
	}
	join(&quick, engine, 100, 0);
	wake(&lasting[0]);
	wake(&lasting[1]);
	usleep(20000);
	wake(&quick);
	sem_wait(&quick.done);
	for (int i = 0; i < 2 * RUNS; i++)
		sem_post(&gate);
	bd_tenant_leave(&quick.tenant);
	sem_wait(&quick.freed);
	for (int i = 0; i < 2; i++) {
		sem_wait(&lasting[i].done);
		bd_tenant_leave(&lasting[i].tenant);
		sem_wait(&lasting[i].freed);
	}
	sem_destroy(&gate);
	bd_engine_destroy(engine);
}

static void leaving_does_not_wait_for_the_run(void **state)
{
	(void)state;
	struct bd_engine *engine = engine_of(1);
	struct fake fake;
	sem_t gate;
	sem_init(&gate, 0, 0);
	join(&fake, engine, 1, 0);
	fake.gate = &gate;
	wake(&fake);
	for (;;) {
		bd_engine_lock(engine);
		bool taken = fake.taken == 1;
		bd_engine_unlock(engine);
		if (taken)
			break;
		usleep(100);
	}
	bd_tenant_leave(&fake.tenant);
	assert_int_equal(atomic_load(&fake.worked), 0);
	sem_post(&gate);
	sem_wait(&fake.freed);
	assert_int_equal(atomic_load(&fake.worked), 1);
	sem_destroy(&gate);
	bd_engine_destroy(engine);
}

/* Until the tenant's run is out at a worker. */
static void wait_for_run(struct fake *fake)
{
	for (;;) {
		bd_engine_lock(fake->tenant.engine);
		bool out = fake->tenant.running > 0;
		bd_engine_unlock(fake->tenant.engine);
		if (out)
			return;
		usleep(100);
	}
}

static void leave_all(struct fake *fakes, int count)
{
	for (int i = 0; i < count; i++) {
		sem_wait(&fakes[i].done);
		bd_tenant_leave(&fakes[i].tenant);
		sem_wait(&fakes[i].freed);
	}
}

/* One thread, and two streams that hang on a disk: a third one is served all the same, and the spare threads go when they are back. */
static void streams_that_hang_do_not_hold_up_another(void **state)
{
	(void)state;
	struct bd_engine *engine = engine_of(1);
	struct fake fakes[3];
	uint64_t used[3], limit, early_ns = bd_now_ns();
	sem_t gate;
	sem_init(&gate, 0, 0);
	bd_engine_memory(engine, &used[0], &limit);
	for (int i = 0; i < 2; i++) {
		join(&fakes[i], engine, 3, 0);
		fakes[i].gate = &gate;
		wake(&fakes[i]);
		bd_engine_relieve(engine, bd_now_ns() + BD_ENGINE_STUCK_NS); /* of the first: nobody waits for its thread yet */
		wait_for_run(&fakes[i]);
	}
	join(&fakes[2], engine, 100, 0);
	wake(&fakes[2]);
	bd_engine_relieve(engine, early_ns); /* not long enough, however long this test was kept from running */
	bd_engine_lock(engine);
	assert_int_equal(fakes[2].taken, 0);
	bd_engine_unlock(engine);
	bd_engine_relieve(engine, bd_now_ns() + BD_ENGINE_STUCK_NS);
	sem_wait(&fakes[2].done);
	sem_post(&fakes[2].done);
	bd_engine_memory(engine, &used[1], &limit);
	assert_true(used[1] > used[0]);
	assert_int_equal(fakes[0].taken + fakes[1].taken, 2); /* a spare thread is not lost to a stream that hangs */
	for (int i = 0; i < 6; i++)
		sem_post(&gate);
	leave_all(fakes, 3);
	/* and their memory is there for others */
	do {
		usleep(100);
		bd_engine_memory(engine, &used[2], &limit);
	} while (used[2] > used[0]);
	bd_engine_destroy(engine);
	sem_destroy(&gate);
}

/* Its records fit the buffers of the configured threads only; a signal for it must not be lost on a spare thread. */
static void stream_of_large_records_waits_for_a_configured_thread(void **state)
{
	(void)state;
	struct bd_engine *engine = engine_of(1);
	struct fake fakes[3];
	sem_t gate;
	sem_init(&gate, 0, 0);
	join(&fakes[0], engine, 1, 0);
	fakes[0].gate = &gate;
	wake(&fakes[0]);
	wait_for_run(&fakes[0]);
	join(&fakes[1], engine, 1, 0);
	fakes[1].tenant.large = true;
	wake(&fakes[1]);
	bd_engine_relieve(engine, bd_now_ns() + BD_ENGINE_STUCK_NS);
	join(&fakes[2], engine, 10, 0);
	wake(&fakes[2]);
	bd_engine_relieve(engine, bd_now_ns() + BD_ENGINE_STUCK_NS);
	sem_wait(&fakes[2].done);
	sem_post(&fakes[2].done);
	assert_int_equal(atomic_load(&fakes[1].worked), 0);
	sem_post(&gate);
	leave_all(fakes, 3);
	bd_engine_destroy(engine);
	sem_destroy(&gate);
}

/* Until a thread has asked the tenant in vain and sleeps. */
static void wait_for_idle(struct fake *fake)
{
	for (;;) {
		bd_engine_lock(fake->tenant.engine);
		bool idle = fake->tenant.idle;
		bd_engine_unlock(fake->tenant.engine);
		if (idle)
			return;
		usleep(100);
	}
}

/* A spare thread ends after the run that makes the next one possible, and the configured one sleeps. */
static void work_that_a_spare_thread_leaves_behind_is_done(void **state)
{
	(void)state;
	struct bd_engine *engine = engine_of(1);
	struct fake fakes[2];
	sem_t gates[2];
	for (int i = 0; i < 2; i++) {
		sem_init(&gates[i], 0, 0);
		join(&fakes[i], engine, 1 + (uint64_t)i, 0);
		fakes[i].gate = &gates[i];
		fakes[i].serial = true;
		wake(&fakes[i]);
		bd_engine_relieve(engine, bd_now_ns() + BD_ENGINE_STUCK_NS);
		wait_for_run(&fakes[i]);
	}
	sem_post(&gates[0]);
	wait_for_idle(&fakes[1]);
	sem_post(&gates[1]);
	sem_post(&gates[1]);
	leave_all(fakes, 2);
	bd_engine_destroy(engine);
	for (int i = 0; i < 2; i++)
		sem_destroy(&gates[i]);
}

static void memory_that_the_host_has_not_is_refused(void **state)
{
	(void)state;
	struct bd_engine_options options = { .threads = 1, .memory_bytes = 1ull << 60 };
	struct bd_engine *engine = NULL;
	struct bd_error error;
	assert_int_equal(bd_engine_create(&options, &engine, &error), -ENOMEM);
	assert_non_null(strstr(error.text, "--memory"));
	options.memory_bytes = 1 << 20;
	assert_int_equal(bd_engine_create(&options, &engine, &error), -ENOMEM);
	assert_non_null(strstr(error.text, "buffers of 1 worker threads"));
	options.threads = BD_ENGINE_MAX_THREADS + 1;
	assert_int_equal(bd_engine_create(&options, &engine, &error), -EINVAL);
	assert_null(engine);
}

/* As on a large machine with a small --memory: the streams have half of it at least. */
static void threads_left_out_fit_into_the_memory(void **state)
{
	(void)state;
	const uint64_t memories[] = { 9ull << 20, 17ull << 20, 64ull << 20 };
	for (size_t i = 0; i < sizeof memories / sizeof *memories; i++) {
		struct bd_engine_options options = { .memory_bytes = memories[i] };
		struct bd_engine *engine;
		uint64_t used, limit;
		assert_int_equal(bd_engine_create(&options, &engine, NULL), 0);
		bd_engine_memory(engine, &used, &limit);
		assert_true(bd_engine_threads(engine) >= 1);
		assert_true(used <= limit / 2);
		bd_engine_destroy(engine);
	}
}

static void options_left_out_have_defaults(void **state)
{
	(void)state;
	struct bd_engine_options options = { 0 };
	struct bd_engine *engine = NULL;
	struct bd_error error;
	uint64_t used, limit;
	assert_int_equal(bd_engine_create(&options, &engine, &error), 0);
	assert_true(bd_engine_threads(engine) >= 1);
	bd_engine_memory(engine, &used, &limit);
	assert_true(used > 0 && used < limit);
	assert_true(limit <= BD_ENGINE_DEFAULT_MEMORY_BYTES);
	bd_engine_destroy(engine);
	bd_engine_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_run_is_done_once),
		cmocka_unit_test(nothing_is_taken_before_the_wake),
		cmocka_unit_test(short_runs_get_as_much_time_as_long_ones),
		cmocka_unit_test(runs_that_last_leave_a_worker_for_others),
		cmocka_unit_test(leaving_does_not_wait_for_the_run),
		cmocka_unit_test(streams_that_hang_do_not_hold_up_another),
		cmocka_unit_test(stream_of_large_records_waits_for_a_configured_thread),
		cmocka_unit_test(work_that_a_spare_thread_leaves_behind_is_done),
		cmocka_unit_test(memory_that_the_host_has_not_is_refused),
		cmocka_unit_test(threads_left_out_fit_into_the_memory),
		cmocka_unit_test(options_left_out_have_defaults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
