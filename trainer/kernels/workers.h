/*
 * workers.h - the trainer's own threads, and the loop that runs numbered tasks on them.
 *
 * Why own: a BLAS' threads and OpenMP's beside them ruin each other on few cores. A task is a tile of work whose borders
 * depend on shapes only, so results are the same for any number of threads.
 * Threads: one caller at a time; it works too (as worker 0) and returns when all tasks are done. Workers spin for a
 * moment between two loops, since a step has many short ones, and then sleep.
 */
#ifndef BD_KERNELS_WORKERS_H
#define BD_KERNELS_WORKERS_H

#include <stddef.h>
#include <stdint.h>

#include "common/include/batchd/error.h"

/* More threads than this are not asked for by any machine this is made for. */
#define BD_WORKERS_MAX 256

struct bd_workers;

typedef void (*bd_task)(const void *argument, size_t index, float *scratch);

/* threads 0 = one per processor this process may use; a count above BD_WORKERS_MAX is cut. */
BD_MUST_CHECK int bd_workers_create(uint32_t threads, struct bd_workers **ret_workers, struct bd_error *error);
void bd_workers_destroy(struct bd_workers *workers);
uint32_t bd_workers_count(const struct bd_workers *workers);

/*
 * How a kernel runs its tasks: on all workers, or (workers NULL) one after the other by the calling worker, for a
 * layer that is itself inside a task. Each worker has its own scratch of scratch_floats.
 */
struct bd_run {
	struct bd_workers *workers;
	float *scratch; /* of worker 0, or of the calling worker where workers is NULL */
	size_t scratch_floats;
};

void bd_run_tasks(const struct bd_run *run, size_t count, bd_task task, const void *argument);

#endif
