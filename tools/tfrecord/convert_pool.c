#include "tools/tfrecord/convert_pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Slots for each thread: enough that none waits while the consumer compresses a record. */
#define SLOTS_PER_JOB 8u

struct slot {
	struct bd_example_writer writer;
	const uint8_t *bytes;
	size_t length;
	struct bd_record_shape shape;
	int status;
	struct bd_error error;
	bool ready; /* guarded by mutex; the rest belongs to the worker until then, to the consumer after */
};

struct worker {
	struct bd_convert_pool *pool;
	struct bd_record_maker *maker;
	pthread_t thread;
	bool started;
};

struct bd_convert_pool {
	const uint64_t *order;
	size_t count;
	struct slot *slots;
	size_t slot_count;
	struct worker *workers;
	uint32_t worker_count;
	pthread_mutex_t mutex;
	pthread_cond_t filled, freed;
	/* guarded by mutex */
	size_t taken; /* pictures that workers took */
	size_t consumed; /* records that the consumer is done with */
	bool stop;
	/* of the consumer */
	bool lent;
};

/* Waits for a slot and takes the next picture; false where there is none left. */
static bool take(struct bd_convert_pool *pool, size_t *ret_index)
{
	pthread_mutex_lock(&pool->mutex);
	while (!pool->stop && pool->taken < pool->count && pool->taken - pool->consumed >= pool->slot_count)
		pthread_cond_wait(&pool->freed, &pool->mutex);
	bool good = !pool->stop && pool->taken < pool->count;
	if (good)
		*ret_index = pool->taken++;
	pthread_mutex_unlock(&pool->mutex);
	return good;
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct bd_convert_pool *pool = worker->pool;
	size_t index = 0;
	while (take(pool, &index)) {
		struct slot *slot = &pool->slots[index % pool->slot_count];
		slot->status = bd_record_make(worker->maker, pool->order[index], &slot->writer, &slot->bytes, &slot->length,
		                              &slot->shape, &slot->error);
		pthread_mutex_lock(&pool->mutex);
		slot->ready = true;
		pthread_cond_signal(&pool->filled);
		pthread_mutex_unlock(&pool->mutex);
	}
	return NULL;
}

static int start_worker(struct bd_convert_pool *pool, uint32_t i, const struct bd_picture_list *list,
                        const struct bd_record_options *options, struct bd_error *error)
{
	struct worker *worker = &pool->workers[i];
	worker->pool = pool;
	int status = bd_record_maker_create(list, options, &worker->maker, error);
	if (status)
		return status;
	int result = pthread_create(&worker->thread, NULL, work, worker);
	if (result)
		return bd_error_set(error, -result, "cannot start a thread: %s", strerror(result));
	worker->started = true;
	return 0;
}

int bd_convert_pool_create(const struct bd_picture_list *list, const struct bd_record_options *options, const uint64_t *order,
                           size_t count, uint32_t jobs, struct bd_convert_pool **ret_pool, struct bd_error *error)
{
	struct bd_convert_pool *pool = calloc(1, sizeof *pool);
	if (!pool)
		return bd_error_set(error, -ENOMEM, "no memory");
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->filled, NULL);
	pthread_cond_init(&pool->freed, NULL);
	pool->order = order;
	pool->count = count;
	pool->slot_count = (size_t)jobs * SLOTS_PER_JOB;
	pool->slots = calloc(pool->slot_count, sizeof *pool->slots);
	pool->workers = calloc(jobs, sizeof *pool->workers);
	pool->worker_count = pool->workers ? jobs : 0;
	int status = pool->slots && pool->workers ? 0 : bd_error_set(error, -ENOMEM, "no memory");
	for (uint32_t i = 0; !status && i < jobs; i++)
		status = start_worker(pool, i, list, options, error);
	if (status) {
		bd_convert_pool_destroy(pool);
		return status;
	}
	*ret_pool = pool;
	return 0;
}

void bd_convert_pool_destroy(struct bd_convert_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->mutex);
	pool->stop = true;
	pthread_cond_broadcast(&pool->freed);
	pthread_mutex_unlock(&pool->mutex);
	for (uint32_t i = 0; i < pool->worker_count; i++) {
		if (pool->workers[i].started)
			pthread_join(pool->workers[i].thread, NULL);
		bd_record_maker_destroy(pool->workers[i].maker);
	}
	for (size_t i = 0; pool->slots && i < pool->slot_count; i++)
		bd_example_writer_finish(&pool->slots[i].writer);
	pthread_cond_destroy(&pool->filled);
	pthread_cond_destroy(&pool->freed);
	pthread_mutex_destroy(&pool->mutex);
	free(pool->slots);
	free(pool->workers);
	free(pool);
}

/* Gives the slot of the last record back and waits for the next one; NULL after the last. */
static struct slot *next_slot(struct bd_convert_pool *pool)
{
	struct slot *slot = NULL;
	pthread_mutex_lock(&pool->mutex);
	if (pool->lent) {
		pool->slots[pool->consumed % pool->slot_count].ready = false;
		pool->consumed++;
		pthread_cond_broadcast(&pool->freed);
	}
	pool->lent = pool->consumed < pool->count;
	if (pool->lent) {
		slot = &pool->slots[pool->consumed % pool->slot_count];
		while (!slot->ready)
			pthread_cond_wait(&pool->filled, &pool->mutex);
	}
	pthread_mutex_unlock(&pool->mutex);
	return slot;
}

int bd_convert_pool_next(struct bd_convert_pool *pool, const uint8_t **ret_bytes, size_t *ret_length,
                         struct bd_record_shape *ret_shape, struct bd_error *error)
{
	struct slot *slot = next_slot(pool);
	if (!slot)
		return -ENODATA;
	if (slot->status) {
		if (error)
			*error = slot->error;
		return slot->status;
	}
	*ret_bytes = slot->bytes;
	*ret_length = slot->length;
	*ret_shape = slot->shape;
	return 0;
}
