#include "trainer/kernels/workers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* About 30 microseconds: longer than the serial part between two loops of a step, shorter than a time slice. */
#define SPINS 2000

struct bd_workers {
	uint32_t count; /* with the caller */
	pthread_t *threads; /* count - 1 */
	uint32_t started;
	/* the current loop: written by the caller before `tickets`, read by who has drawn one of its tickets */
	const struct bd_run *run;
	bd_task task;
	const void *argument;
	uint32_t tasks;
	/* upper half: the loop's number; lower half: tasks that nobody has begun */
	alignas(64) _Atomic uint64_t tickets;
	alignas(64) atomic_uint done; /* tasks of this loop */
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

static uint32_t loop_of(uint64_t tickets)
{
	return (uint32_t)(tickets >> 32);
}

/*
 * Does tasks of this loop until none is left. A worker that comes late, because the machine is busy with others, finds another loop's
 * tickets and draws none: nobody waits for workers that have not begun anything.
 */
static void work(struct bd_workers *workers, uint32_t loop, uint32_t index)
{
	/* acquire: pairs with the release in start_loop */
	uint64_t tickets = atomic_load_explicit(&workers->tickets, memory_order_acquire);
	while (loop_of(tickets) == loop && (uint32_t)tickets > 0) {
		/* acquire: as above, where the load has seen an older loop's */
		if (!atomic_compare_exchange_weak_explicit(&workers->tickets, &tickets, tickets - 1, memory_order_acquire,
		                                           memory_order_acquire))
			continue;
		float *scratch = workers->run->scratch + (size_t)index * workers->run->scratch_floats;
		workers->task(workers->argument, workers->tasks - (uint32_t)tickets, scratch);
		/* release: the task's writes, pairs with the acquire in bd_run_tasks */
		atomic_fetch_add_explicit(&workers->done, 1, memory_order_release);
		tickets = atomic_load_explicit(&workers->tickets, memory_order_acquire);
	}
}

/* Waits for another loop than the one `seen`: spins, then sleeps. */
static uint32_t next_loop(struct bd_workers *workers, uint32_t seen)
{
	uint32_t loop;
	for (int i = 0; i < SPINS; i++) {
		/* acquire: pairs with the release in start_loop */
		loop = loop_of(atomic_load_explicit(&workers->tickets, memory_order_acquire));
		if (loop != seen)
			return loop;
		pause_briefly();
	}
	pthread_mutex_lock(&workers->mutex);
	/* seq_cst: pairs with start_loop, which changes `tickets` and then looks for sleepers */
	atomic_fetch_add_explicit(&workers->sleepers, 1, memory_order_seq_cst);
	while ((loop = loop_of(atomic_load_explicit(&workers->tickets, memory_order_seq_cst))) == seen)
		pthread_cond_wait(&workers->wake, &workers->mutex);
	atomic_fetch_sub_explicit(&workers->sleepers, 1, memory_order_relaxed);
	pthread_mutex_unlock(&workers->mutex);
	return loop;
}

static void *worker_main(void *argument)
{
	struct worker worker = *(struct worker *)argument;
	free(argument);
	struct bd_workers *workers = worker.workers;
	for (uint32_t loop = 0;;) {
		loop = next_loop(workers, loop);
		if (atomic_load_explicit(&workers->stop, memory_order_relaxed))
			return NULL;
		work(workers, loop, worker.index);
	}
}

/* Returns the loop's number. Only the caller's thread comes here, and only when all tasks of the loop before are done. */
static uint32_t start_loop(struct bd_workers *workers, uint32_t tasks)
{
	uint32_t loop = loop_of(atomic_load_explicit(&workers->tickets, memory_order_relaxed)) + 1;
	/* seq_cst, a release among others: pairs with next_loop and work */
	atomic_store_explicit(&workers->tickets, (uint64_t)loop << 32 | tasks, memory_order_seq_cst);
	if (!atomic_load_explicit(&workers->sleepers, memory_order_seq_cst))
		return loop;
	pthread_mutex_lock(&workers->mutex);
	pthread_cond_broadcast(&workers->wake);
	pthread_mutex_unlock(&workers->mutex);
	return loop;
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
		return bd_error_set(error, result, "cannot start %u thread%s: %s", count, count == 1 ? "" : "s", strerror(-result));
	}
	*ret_workers = workers;
	return 0;
}

void bd_workers_destroy(struct bd_workers *workers)
{
	if (!workers)
		return;
	atomic_store_explicit(&workers->stop, true, memory_order_relaxed);
	(void)start_loop(workers, 0);
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
	if (!workers || workers->started == 0 || count < 2 || count > UINT32_MAX) {
		run_serially(run, count, task, argument);
		return;
	}
	workers->run = run;
	workers->task = task;
	workers->argument = argument;
	workers->tasks = (uint32_t)count;
	atomic_store_explicit(&workers->done, 0, memory_order_relaxed);
	work(workers, start_loop(workers, (uint32_t)count), 0);
	/* acquire: pairs with the release in work */
	for (unsigned spins = 0; atomic_load_explicit(&workers->done, memory_order_acquire) < count; spins++) {
		pause_briefly();
		if (spins > SPINS)
			sched_yield();
	}
}
