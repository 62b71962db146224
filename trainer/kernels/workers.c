#include "trainer/kernels/workers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* About 30 microseconds: longer than the serial part between two loops of a step, shorter than a time slice. */
#define SPINS 2000

struct bd_workers {
	uint32_t count; /* with the caller */
	pthread_t *threads; /* count - 1 */
	uint32_t started;
	/* the current loop: written by the caller before `round` goes up */
	const struct bd_run *run;
	bd_task task;
	const void *argument;
	size_t tasks;
	alignas(64) atomic_uint round; /* goes up with each loop */
	alignas(64) atomic_size_t next; /* the next task */
	alignas(64) atomic_uint busy; /* workers that have not finished this round */
	alignas(64) atomic_uint sleepers;
	atomic_bool stop;
	pthread_mutex_t mutex; /* for `wake` alone */
	pthread_cond_t wake;
};

struct worker {
	struct bd_workers *workers;
	uint32_t index;
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static void work(struct bd_workers *workers, uint32_t index)
{
	float *scratch = workers->run->scratch + (size_t)index * workers->run->scratch_floats;
	for (;;) {
		size_t task = atomic_fetch_add_explicit(&workers->next, 1, memory_order_relaxed);
		if (task >= workers->tasks)
			return;
		workers->task(workers->argument, task, scratch);
	}
}

/* Waits until `round` differs from `seen`: spins, then sleeps. */
static unsigned next_round(struct bd_workers *workers, unsigned seen)
{
	unsigned round;
	for (int i = 0; i < SPINS; i++) {
		/* acquire: pairs with the release in start_round */
		round = atomic_load_explicit(&workers->round, memory_order_acquire);
		if (round != seen)
			return round;
		pause_briefly();
	}
	pthread_mutex_lock(&workers->mutex);
	/* seq_cst: pairs with start_round, which raises `round` and then looks for sleepers */
	atomic_fetch_add_explicit(&workers->sleepers, 1, memory_order_seq_cst);
	while ((round = atomic_load_explicit(&workers->round, memory_order_seq_cst)) == seen)
		pthread_cond_wait(&workers->wake, &workers->mutex);
	atomic_fetch_sub_explicit(&workers->sleepers, 1, memory_order_relaxed);
	pthread_mutex_unlock(&workers->mutex);
	return round;
}

static void *worker_main(void *argument)
{
	struct worker worker = *(struct worker *)argument;
	free(argument);
	struct bd_workers *workers = worker.workers;
	for (unsigned round = 0;;) {
		round = next_round(workers, round);
		if (atomic_load_explicit(&workers->stop, memory_order_relaxed))
			return NULL;
		work(workers, worker.index);
		/* release: the task's writes, pairs with the acquire in bd_run_tasks */
		atomic_fetch_sub_explicit(&workers->busy, 1, memory_order_release);
	}
}

static void start_round(struct bd_workers *workers)
{
	/* seq_cst, a release among others: pairs with next_round */
	atomic_fetch_add_explicit(&workers->round, 1, memory_order_seq_cst);
	if (!atomic_load_explicit(&workers->sleepers, memory_order_seq_cst))
		return;
	pthread_mutex_lock(&workers->mutex);
	pthread_cond_broadcast(&workers->wake);
	pthread_mutex_unlock(&workers->mutex);
}

static uint32_t processors(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set))
		return 1;
	int count = CPU_COUNT(&set);
	return count > 0 ? (uint32_t)count : 1;
}

int bd_workers_create(uint32_t threads, struct bd_workers **ret_workers, struct bd_error *error)
{
	uint32_t count = threads ? threads : processors();
	if (count > BD_WORKERS_MAX)
		count = BD_WORKERS_MAX;
	struct bd_workers *workers = aligned_alloc(64, (sizeof *workers + 63) / 64 * 64);
	if (!workers)
		return bd_error_set(error, -ENOMEM, "no memory for %u threads", count);
	*workers = (struct bd_workers){ .count = count, .threads = calloc(count, sizeof(pthread_t)) };
	pthread_mutex_init(&workers->mutex, NULL);
	pthread_cond_init(&workers->wake, NULL);
	int result = workers->threads ? 0 : -ENOMEM;
	for (uint32_t i = 1; i < count && !result; i++) {
		struct worker *worker = malloc(sizeof *worker);
		if (!worker) {
			result = -ENOMEM;
			break;
		}
		*worker = (struct worker){ workers, i };
		result = -pthread_create(&workers->threads[i - 1], NULL, worker_main, worker);
		if (result)
			free(worker);
		else
			workers->started++;
	}
	if (result) {
		bd_workers_destroy(workers);
		return bd_error_set(error, result, "cannot start %u threads", count);
	}
	*ret_workers = workers;
	return 0;
}

void bd_workers_destroy(struct bd_workers *workers)
{
	if (!workers)
		return;
	atomic_store_explicit(&workers->stop, true, memory_order_relaxed);
	start_round(workers);
	for (uint32_t i = 0; i < workers->started; i++)
		pthread_join(workers->threads[i], NULL);
	pthread_cond_destroy(&workers->wake);
	pthread_mutex_destroy(&workers->mutex);
	free(workers->threads);
	free(workers);
}

uint32_t bd_workers_count(const struct bd_workers *workers)
{
	return workers->count;
}

static void run_serially(const struct bd_run *run, size_t count, bd_task task, const void *argument)
{
	for (size_t i = 0; i < count; i++)
		task(argument, i, run->scratch);
}

void bd_run_tasks(const struct bd_run *run, size_t count, bd_task task, const void *argument)
{
	struct bd_workers *workers = run->workers;
	if (!workers || workers->started == 0 || count < 2) {
		run_serially(run, count, task, argument);
		return;
	}
	workers->run = run;
	workers->task = task;
	workers->argument = argument;
	workers->tasks = count;
	atomic_store_explicit(&workers->next, 0, memory_order_relaxed);
	atomic_store_explicit(&workers->busy, workers->started, memory_order_relaxed);
	start_round(workers);
	work(workers, 0);
	/* acquire: pairs with the release in worker_main */
	for (unsigned spins = 0; atomic_load_explicit(&workers->busy, memory_order_acquire); spins++) {
		pause_briefly();
		if (spins > SPINS)
			sched_yield();
	}
}
