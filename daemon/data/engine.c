#include "daemon/data/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "daemon/data/engine_parts.h"
#include "daemon/data/tenant.h"
#include "daemon/data/worker.h"

/* Of the memory bound this part may be working memory of picture decoders, shared evenly by the workers... */
#define DECODER_SHARE 8
/* ...but never less than a baseline picture of a camera needs, nor more than a progressive one of 16 megapixels. */
#define DECODER_LEAST_BYTES (4ull << 20)
#define DECODER_MOST_BYTES (96ull << 20)

struct bd_engine {
	struct bd_engine_options options;
	char *cache_folder, *quarantine_folder;
	struct bd_budget budget;
	uint64_t worker_bytes; /* taken of the budget for all workers */
	struct bd_worker *workers;
	pthread_t *threads;
	unsigned started;

	pthread_mutex_t lock;
	pthread_cond_t work;
	/* guarded by lock */
	struct bd_tenant *tenants;
	unsigned sleeping;
	unsigned lasting; /* runs out that `lasts` */
	uint64_t round;
	uint64_t floor_ns; /* worker time of the tenant that was last given a turn */
	bool stopping;
};

struct thread_start {
	struct bd_engine *engine;
	struct bd_worker *worker;
};

void bd_engine_lock(struct bd_engine *engine)
{
	pthread_mutex_lock(&engine->lock);
}

void bd_engine_unlock(struct bd_engine *engine)
{
	pthread_mutex_unlock(&engine->lock);
}

struct bd_budget *bd_engine_budget(struct bd_engine *engine)
{
	return &engine->budget;
}

const struct bd_engine_options *bd_engine_options(const struct bd_engine *engine)
{
	return &engine->options;
}

/* ---- turns ---- */

void bd_tenant_join(struct bd_tenant *tenant, struct bd_engine *engine, const struct bd_tenant_calls *calls)
{
	*tenant = (struct bd_tenant){ .calls = calls, .engine = engine, .idle = true };
	bd_engine_lock(engine);
	tenant->next = engine->tenants;
	engine->tenants = tenant;
	bd_engine_unlock(engine);
}

void bd_tenant_wake(struct bd_tenant *tenant)
{
	struct bd_engine *engine = tenant->engine;
	if (tenant->idle) {
		tenant->idle = false;
		tenant->worker_ns = bd_max_u64(tenant->worker_ns, engine->floor_ns);
	}
	if (engine->sleeping > 0)
		pthread_cond_signal(&engine->work);
}

static bool has_others(const struct bd_tenant *tenant)
{
	return tenant->engine->tenants != tenant || tenant->next;
}

bool bd_tenant_may_block(const struct bd_tenant *tenant)
{
	unsigned threads = tenant->engine->options.threads;
	return !has_others(tenant) || threads == 1 || tenant->running + 1 < threads;
}

bool bd_tenant_may_last(const struct bd_tenant *tenant)
{
	unsigned threads = tenant->engine->options.threads;
	return !has_others(tenant) || threads == 1 || tenant->engine->lasting + 1 < threads;
}

static void unlink_tenant(struct bd_engine *engine, struct bd_tenant *tenant)
{
	for (struct bd_tenant **at = &engine->tenants; *at; at = &(*at)->next) {
		if (*at == tenant) {
			*at = tenant->next;
			return;
		}
	}
}

void bd_tenant_leave(struct bd_tenant *tenant)
{
	struct bd_engine *engine = tenant->engine;
	bd_engine_lock(engine);
	tenant->leaving = true;
	tenant->idle = true;
	bool last = tenant->running == 0;
	if (last)
		unlink_tenant(engine, tenant);
	bd_engine_unlock(engine);
	if (last)
		tenant->calls->free(tenant);
}

/* The tenant that had least worker time among those not yet asked in this round. */
static struct bd_tenant *next_to_ask(struct bd_engine *engine)
{
	struct bd_tenant *least = NULL;
	for (struct bd_tenant *tenant = engine->tenants; tenant; tenant = tenant->next) {
		if (tenant->idle || tenant->leaving || tenant->asked == engine->round)
			continue;
		if (!least || tenant->worker_ns < least->worker_ns)
			least = tenant;
	}
	return least;
}

static struct bd_tenant *take(struct bd_engine *engine, struct bd_run *ret_run)
{
	engine->round++;
	struct bd_tenant *tenant;
	while ((tenant = next_to_ask(engine))) {
		*ret_run = (struct bd_run){ 0 };
		if (tenant->calls->take(tenant, ret_run)) {
			engine->floor_ns = bd_max_u64(engine->floor_ns, tenant->worker_ns);
			tenant->running++;
			engine->lasting += ret_run->lasts;
			return tenant;
		}
		tenant->asked = engine->round;
		tenant->idle = true;
	}
	return NULL;
}

/* Others may have been refused one. */
static void end_lasting(struct bd_engine *engine)
{
	engine->lasting--;
	for (struct bd_tenant *tenant = engine->tenants; tenant; tenant = tenant->next)
		if (!tenant->leaving)
			bd_tenant_wake(tenant);
}

/* Locked at entry and exit. */
static void do_run(struct bd_engine *engine, struct bd_worker *worker, struct bd_tenant *tenant, struct bd_run *run)
{
	/* One thread wakes the next: who comes here with work left behind it needs help. */
	if (engine->sleeping > 0)
		pthread_cond_signal(&engine->work);
	bd_engine_unlock(engine);
	uint64_t begin_ns = bd_now_ns();
	tenant->calls->work(tenant, worker, run);
	uint64_t spent_ns = bd_now_ns() - begin_ns;
	bd_engine_lock(engine);
	tenant->worker_ns += spent_ns;
	if (tenant->calls->finish(tenant, run)) {
		bd_engine_unlock(engine);
		tenant->calls->settle(tenant);
		bd_engine_lock(engine);
	}
	tenant->running--;
	if (run->lasts)
		end_lasting(engine);
	if (!tenant->leaving) {
		tenant->idle =
			false; /* what finish has settled may let take go on; this thread asks at once, nobody need be woken */
		return;
	}
	if (tenant->running > 0)
		return;
	unlink_tenant(engine, tenant);
	bd_engine_unlock(engine);
	tenant->calls->free(tenant);
	bd_engine_lock(engine);
}

static void *worker_main(void *context)
{
	struct thread_start start = *(struct thread_start *)context;
	free(context);
	struct bd_engine *engine = start.engine;
	struct bd_run *run = malloc(sizeof *run);
	bd_engine_lock(engine);
	while (run && !engine->stopping) {
		struct bd_tenant *tenant = take(engine, run);
		if (tenant) {
			do_run(engine, start.worker, tenant, run);
			continue;
		}
		engine->sleeping++;
		pthread_cond_wait(&engine->work, &engine->lock);
		engine->sleeping--;
	}
	bd_engine_unlock(engine);
	free(run);
	return NULL;
}

/* ---- life ---- */

static unsigned cores(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
		return (unsigned)CPU_COUNT(&set);
	return 1;
}

static int copy_options(struct bd_engine *engine, const struct bd_engine_options *options, struct bd_error *error)
{
	engine->options = *options;
	if (!engine->options.threads)
		engine->options.threads = cores();
	if (!engine->options.memory_bytes)
		engine->options.memory_bytes = bd_min_u64(BD_ENGINE_DEFAULT_MEMORY_BYTES, bd_host_memory() / 2);
	if (engine->options.threads > BD_ENGINE_MAX_THREADS)
		return bd_error_set(error, -EINVAL, "threads: %u are more than %d", engine->options.threads, BD_ENGINE_MAX_THREADS);
	if (options->cache_folder && !(engine->cache_folder = strdup(options->cache_folder)))
		return bd_error_set(error, -ENOMEM, "out of memory");
	if (options->quarantine_folder && !(engine->quarantine_folder = strdup(options->quarantine_folder)))
		return bd_error_set(error, -ENOMEM, "out of memory");
	engine->options.cache_folder = engine->cache_folder;
	engine->options.quarantine_folder = engine->quarantine_folder;
	return 0;
}

static int check_host(uint64_t memory_bytes, struct bd_error *error)
{
	uint64_t host = bd_host_memory();
	if (memory_bytes <= host)
		return 0;
	return bd_error_set(error, -ENOMEM,
	                    "memory: %.0f MiB were asked for (--memory), and this host or its memory group can give %.0f MiB",
	                    (double)memory_bytes / 1048576.0, (double)host / 1048576.0);
}

static int make_workers(struct bd_engine *engine, struct bd_error *error)
{
	unsigned count = engine->options.threads;
	uint64_t decoder = engine->options.memory_bytes / DECODER_SHARE / count;
	decoder = bd_min_u64(bd_max_u64(decoder, DECODER_LEAST_BYTES), DECODER_MOST_BYTES);
	uint64_t bytes = count * bd_worker_bytes(decoder);
	char what[64];
	snprintf(what, sizeof what, "buffers of %u worker threads", count);
	int result = bd_budget_take(&engine->budget, bytes, what, error);
	if (result < 0)
		return result;
	engine->worker_bytes = bytes;
	engine->workers = calloc(count, sizeof *engine->workers);
	engine->threads = calloc(count, sizeof *engine->threads);
	if (!engine->workers || !engine->threads)
		return bd_error_set(error, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < count; i++) {
		result = bd_worker_init(&engine->workers[i], i, decoder, error);
		if (result < 0)
			return result;
	}
	return 0;
}

static int start_threads(struct bd_engine *engine, struct bd_error *error)
{
	for (unsigned i = 0; i < engine->options.threads; i++) {
		struct thread_start *start = malloc(sizeof *start);
		if (!start)
			return bd_error_set(error, -ENOMEM, "out of memory");
		*start = (struct thread_start){ engine, &engine->workers[i] };
		int refused = pthread_create(&engine->threads[i], NULL, worker_main, start);
		if (refused) {
			free(start);
			return bd_error_set(error, -refused, "worker thread %u of %u: %s", i + 1, engine->options.threads,
			                    strerror(refused));
		}
		engine->started++;
	}
	return 0;
}

int bd_engine_create(const struct bd_engine_options *options, struct bd_engine **ret_engine, struct bd_error *error)
{
	struct bd_engine *engine = calloc(1, sizeof *engine);
	if (!engine)
		return bd_error_set(error, -ENOMEM, "out of memory");
	pthread_mutex_init(&engine->lock, NULL);
	pthread_cond_init(&engine->work, NULL);
	int result = copy_options(engine, options, error);
	if (result == 0)
		result = check_host(engine->options.memory_bytes, error);
	bd_budget_init(&engine->budget, engine->options.memory_bytes);
	if (result == 0)
		result = make_workers(engine, error);
	if (result == 0)
		result = start_threads(engine, error);
	if (result < 0) {
		bd_engine_destroy(engine);
		return result;
	}
	*ret_engine = engine;
	return 0;
}

void bd_engine_destroy(struct bd_engine *engine)
{
	if (!engine)
		return;
	bd_engine_lock(engine);
	engine->stopping = true;
	pthread_cond_broadcast(&engine->work);
	bd_engine_unlock(engine);
	for (unsigned i = 0; i < engine->started; i++)
		pthread_join(engine->threads[i], NULL);
	for (unsigned i = 0; engine->workers && i < engine->options.threads; i++)
		bd_worker_finish(&engine->workers[i]);
	free(engine->workers);
	free(engine->threads);
	pthread_cond_destroy(&engine->work);
	pthread_mutex_destroy(&engine->lock);
	free(engine->cache_folder);
	free(engine->quarantine_folder);
	free(engine);
}

void bd_engine_memory(const struct bd_engine *engine, uint64_t *ret_used, uint64_t *ret_limit)
{
	*ret_limit = engine->budget.limit_bytes;
	*ret_used = engine->budget.limit_bytes - bd_budget_free(&engine->budget);
}

unsigned bd_engine_threads(const struct bd_engine *engine)
{
	return engine->options.threads;
}
