#include "daemon/data/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "common/base/host_memory.h"
#include "daemon/data/engine_parts.h"
#include "daemon/data/tenant.h"
#include "daemon/data/worker.h"

/* Of the memory bound this part may be working memory of picture decoders, shared evenly by the workers... */
#define DECODER_SHARE 8
/* ...but never less than a baseline picture of a camera needs, nor more than a progressive one of 16 megapixels. */
#define DECODER_LEAST_BYTES (4ull << 20)
#define DECODER_MOST_BYTES (96ull << 20)

/* A thread and what it works with. States: empty -> started -> ended (a spare one, or at the end), which is joined -> empty. */
struct seat {
	struct bd_engine *engine;
	struct bd_worker worker;
	pthread_t thread;
	bool spare;
	/* guarded by the engine's lock */
	bool started, ended;
	struct bd_tenant *tenant; /* whose run it is in; NULL: none */
	uint64_t since_ns;
	bool stuck;
};

struct bd_engine {
	struct bd_engine_options options;
	char *cache_folder, *quarantine_folder;
	struct bd_budget budget;
	_Atomic int64_t descriptors;
	uint64_t decoder_bytes; /* of one worker */
	struct seat *seats; /* options.threads of them, and behind these BD_ENGINE_SPARES */

	pthread_mutex_t lock;
	pthread_cond_t work;
	/* guarded by lock */
	unsigned working; /* threads that run and are not stuck */
	unsigned spares; /* threads that may not serve every tenant */
	struct bd_tenant *tenants;
	unsigned sleeping;
	unsigned lasting; /* runs out that `lasts` */
	uint64_t round;
	uint64_t floor_ns; /* worker time of the tenant that was last given a turn */
	bool stopping;
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

_Atomic int64_t *bd_engine_descriptors(struct bd_engine *engine)
{
	return &engine->descriptors;
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

/* One who sleeps; all of them where that one may be a spare thread, which possibly must not do what there is to do. */
static void wake_sleeper(struct bd_engine *engine)
{
	if (engine->sleeping == 0)
		return;
	if (engine->spares)
		pthread_cond_broadcast(&engine->work);
	else
		pthread_cond_signal(&engine->work);
}

void bd_tenant_wake(struct bd_tenant *tenant)
{
	struct bd_engine *engine = tenant->engine;
	if (tenant->idle) {
		tenant->idle = false;
		tenant->worker_ns = bd_max_u64(tenant->worker_ns, engine->floor_ns);
	}
	wake_sleeper(engine);
}

static bool has_others(const struct bd_tenant *tenant)
{
	return tenant->engine->tenants != tenant || tenant->next;
}

bool bd_tenant_may_block(const struct bd_tenant *tenant)
{
	unsigned threads = tenant->engine->options.threads;
	return !has_others(tenant) || tenant->running == 0 || tenant->running + 1 < threads;
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

/* A spare thread is there for the streams beside the one that is stuck, and has no buffer for the largest records. */
static bool may_serve(const struct seat *seat, const struct bd_tenant *tenant)
{
	return !seat->spare || (!tenant->stuck && !tenant->large);
}

/* The tenant that had least worker time among those not yet asked in this round. */
static struct bd_tenant *next_to_ask(struct bd_engine *engine, const struct seat *seat)
{
	struct bd_tenant *least = NULL;
	for (struct bd_tenant *tenant = engine->tenants; tenant; tenant = tenant->next) {
		if (tenant->idle || tenant->leaving || tenant->asked == engine->round || !may_serve(seat, tenant))
			continue;
		if (!least || tenant->worker_ns < least->worker_ns)
			least = tenant;
	}
	return least;
}

static struct bd_tenant *take(struct bd_engine *engine, const struct seat *seat, struct bd_run *ret_run)
{
	engine->round++;
	struct bd_tenant *tenant;
	while ((tenant = next_to_ask(engine, seat))) {
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

static void wake_all(struct bd_engine *engine)
{
	for (struct bd_tenant *tenant = engine->tenants; tenant; tenant = tenant->next)
		if (!tenant->leaving)
			bd_tenant_wake(tenant);
}

static void begin_run(struct seat *seat, struct bd_tenant *tenant, uint64_t now_ns)
{
	seat->tenant = tenant;
	seat->since_ns = now_ns;
}

/* Who is back after all makes a spare thread superfluous: it shall look. */
static void end_run(struct seat *seat, const struct bd_run *run)
{
	struct bd_engine *engine = seat->engine;
	if (seat->stuck) {
		seat->stuck = false;
		seat->tenant->stuck--;
		engine->working++;
		pthread_cond_broadcast(&engine->work);
	}
	seat->tenant->running--;
	seat->tenant = NULL;
	engine->lasting -= run->lasts;
	if (run->lasts)
		wake_all(engine); /* others may have been refused one */
}

/* Locked at entry and exit. */
static void do_run(struct seat *seat, struct bd_tenant *tenant, struct bd_run *run)
{
	struct bd_engine *engine = seat->engine;
	uint64_t begin_ns = bd_now_ns();
	begin_run(seat, tenant, begin_ns);
	/* One thread wakes the next: who comes here with work left behind it needs help. */
	wake_sleeper(engine);
	bd_engine_unlock(engine);
	tenant->calls->work(tenant, &seat->worker, run);
	uint64_t spent_ns = bd_now_ns() - begin_ns;
	bd_engine_lock(engine);
	tenant->worker_ns += spent_ns;
	if (tenant->calls->finish(tenant, run)) {
		bd_engine_unlock(engine);
		tenant->calls->settle(tenant);
		bd_engine_lock(engine);
	}
	end_run(seat, run);
	if (!tenant->leaving) {
		/* What finish has settled may let take go on. This thread asks at once; but a spare one may end, or must not serve it. */
		tenant->idle = false;
		if (seat->spare)
			wake_sleeper(engine);
		return;
	}
	if (tenant->running > 0)
		return;
	unlink_tenant(engine, tenant);
	bd_engine_unlock(engine);
	tenant->calls->free(tenant);
	bd_engine_lock(engine);
}

/* By the thread itself, or where none was started: what a spare one had is for the streams when it has ended. */
static void release_worker(struct seat *seat)
{
	bd_worker_finish(&seat->worker);
	bd_budget_give(&seat->engine->budget, bd_worker_bytes(seat->engine->decoder_bytes));
}

static void *worker_main(void *context)
{
	struct seat *seat = context;
	struct bd_engine *engine = seat->engine;
	struct bd_run *run = malloc(sizeof *run);
	bd_engine_lock(engine);
	while (run && !engine->stopping && !(seat->spare && engine->working > engine->options.threads)) {
		struct bd_tenant *tenant = take(engine, seat, run);
		if (tenant) {
			do_run(seat, tenant, run);
			continue;
		}
		engine->sleeping++;
		pthread_cond_wait(&engine->work, &engine->lock);
		engine->sleeping--;
	}
	engine->working--;
	engine->spares -= seat->spare;
	seat->ended = true;
	bd_engine_unlock(engine);
	release_worker(seat);
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

/* One a core, but half of the memory at least is for streams: a large machine's many threads would leave a small budget nothing. */
static unsigned fitting_threads(uint64_t memory_bytes)
{
	uint64_t fitting = memory_bytes / 2 / bd_worker_bytes(DECODER_LEAST_BYTES);
	return (unsigned)bd_max_u64(1, bd_min_u64(cores(), fitting));
}

static int copy_options(struct bd_engine *engine, const struct bd_engine_options *options, struct bd_error *error)
{
	engine->options = *options;
	if (!engine->options.memory_bytes)
		engine->options.memory_bytes = bd_min_u64(BD_ENGINE_DEFAULT_MEMORY_BYTES, bd_host_memory() / 2);
	if (!engine->options.threads)
		engine->options.threads = fitting_threads(engine->options.memory_bytes);
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

/* Budget and buffers of a worker; -ENOMEM. */
static int make_worker(struct bd_engine *engine, struct seat *seat, struct bd_error *error)
{
	uint64_t bytes = bd_worker_bytes(engine->decoder_bytes);
	int result = bd_budget_take(&engine->budget, bytes, "buffers of a worker thread", error);
	if (result < 0)
		return result;
	result = bd_worker_init(&seat->worker, (unsigned)(seat - engine->seats), engine->decoder_bytes, error);
	if (result < 0)
		bd_budget_give(&engine->budget, bytes);
	return result;
}

/* Locked, or before there are threads. Returns 0 or -errno. */
static int start_thread(struct bd_engine *engine, struct seat *seat)
{
	seat->ended = false;
	int refused = pthread_create(&seat->thread, NULL, worker_main, seat);
	if (refused)
		return -refused;
	seat->started = true;
	engine->working++;
	engine->spares += seat->spare;
	return 0;
}

/* Of a thread that has ended, or will at once; without the lock where it has not ended yet. */
static void clear_seat(struct seat *seat)
{
	if (!seat->started)
		return;
	pthread_join(seat->thread, NULL);
	seat->started = false;
}

static int make_seats(struct bd_engine *engine, struct bd_error *error)
{
	unsigned count = engine->options.threads;
	engine->seats = calloc(count + BD_ENGINE_SPARES, sizeof *engine->seats);
	if (!engine->seats)
		return bd_error_set(error, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < count + BD_ENGINE_SPARES; i++) {
		engine->seats[i].engine = engine;
		engine->seats[i].spare = i >= count;
	}
	return 0;
}

static int start_threads(struct bd_engine *engine, struct bd_error *error)
{
	unsigned count = engine->options.threads;
	uint64_t decoder = engine->options.memory_bytes / DECODER_SHARE / count, bytes;
	engine->decoder_bytes = bd_min_u64(bd_max_u64(decoder, DECODER_LEAST_BYTES), DECODER_MOST_BYTES);
	char what[64];
	snprintf(what, sizeof what, "buffers of %u worker threads", count);
	/* all or none: the error says what they need together */
	bytes = count * bd_worker_bytes(engine->decoder_bytes);
	int result = bd_budget_take(&engine->budget, bytes, what, error);
	if (result < 0)
		return result;
	bd_budget_give(&engine->budget, bytes);
	bd_engine_lock(engine);
	for (unsigned i = 0; result == 0 && i < count; i++) {
		struct seat *seat = &engine->seats[i];
		result = make_worker(engine, seat, error);
		int refused = result == 0 ? start_thread(engine, seat) : 0;
		if (refused) {
			release_worker(seat);
			result = bd_error_set(error, refused, "worker thread %u of %u: %s", i + 1, count, strerror(-refused));
		}
	}
	bd_engine_unlock(engine);
	return result;
}

static int64_t descriptors_for_shards(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return INT32_MAX;
	return (int64_t)bd_min_u64(limit.rlim_cur / 2, INT32_MAX);
}

int bd_engine_create(const struct bd_engine_options *options, struct bd_engine **ret_engine, struct bd_error *error)
{
	struct bd_engine *engine = calloc(1, sizeof *engine);
	if (!engine)
		return bd_error_set(error, -ENOMEM, "out of memory");
	pthread_mutex_init(&engine->lock, NULL);
	pthread_cond_init(&engine->work, NULL);
	atomic_init(&engine->descriptors, descriptors_for_shards());
	int result = copy_options(engine, options, error);
	if (result == 0)
		result = check_host(engine->options.memory_bytes, error);
	bd_budget_init(&engine->budget, engine->options.memory_bytes);
	if (result == 0)
		result = make_seats(engine, error);
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
	for (unsigned i = 0; engine->seats && i < engine->options.threads + BD_ENGINE_SPARES; i++)
		clear_seat(&engine->seats[i]);
	free(engine->seats);
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

/* ---- threads that are stuck ---- */

static void find_stuck(struct bd_engine *engine, uint64_t now_ns)
{
	for (unsigned i = 0; i < engine->options.threads + BD_ENGINE_SPARES; i++) {
		struct seat *seat = &engine->seats[i];
		if (!seat->started || seat->ended || !seat->tenant || seat->stuck || seat->since_ns + BD_ENGINE_STUCK_NS > now_ns)
			continue;
		seat->stuck = true;
		seat->tenant->stuck++;
		engine->working--;
	}
}

static bool is_wanted(const struct bd_engine *engine)
{
	for (const struct bd_tenant *tenant = engine->tenants; tenant; tenant = tenant->next)
		if (!tenant->idle && !tenant->leaving && !tenant->stuck && !tenant->large)
			return true;
	return false;
}

static void start_spare(struct bd_engine *engine)
{
	struct seat *seat = &engine->seats[engine->options.threads], *end = seat + BD_ENGINE_SPARES;
	struct bd_error error;
	while (seat < end && seat->started && !seat->ended)
		seat++;
	if (seat == end)
		return;
	clear_seat(seat); /* it has ended, or does when it has freed its buffers: no wait */
	if (make_worker(engine, seat, &error) == 0 && start_thread(engine, seat) < 0)
		release_worker(seat);
}

void bd_engine_relieve(struct bd_engine *engine, uint64_t now_ns)
{
	bd_engine_lock(engine);
	find_stuck(engine, now_ns);
	if (!engine->working && !engine->stopping && is_wanted(engine))
		start_spare(engine);
	bd_engine_unlock(engine);
}
