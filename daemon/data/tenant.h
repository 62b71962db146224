/*
 * tenant.h - a stream as the engine sees it: something that has runs of work to give away.
 *
 * A worker asks the tenant with the least worker time for a run (take), does it without the lock (work) and reports it (finish);
 * that is one lock for many records. What must not happen under the lock (writing a log) is left to settle.
 * A tenant that had nothing to give is not asked again before bd_tenant_wake.
 *
 * Threads: take and finish are called with the engine's lock held, work and settle without it, each run on one worker.
 */
#ifndef BD_DATA_TENANT_H
#define BD_DATA_TENANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_engine;
struct bd_tenant;
struct bd_worker;

/* A run of rows of one job (or, while indexing, of shards), on its way through one worker. */
struct bd_run {
	void *job;
	void *window; /* NULL, or what the run inflates ahead (hoard.h); job is NULL then */
	uint32_t first, count;
	bool lasts; /* set by take: it may keep its worker for minutes (an index that has to be built) */
	bool job_done; /* set by work: this run held the last rows of its job */
	uint64_t disk_ns, decode_ns;
	uint64_t cache_hits, cache_misses;
	struct bd_error error; /* of the run as a whole; code 0 where there is none */
};

struct bd_tenant_calls {
	bool (*take)(struct bd_tenant *tenant, struct bd_run *ret_run); /* locked; false: nothing now */
	void (*work)(struct bd_tenant *tenant, struct bd_worker *worker, struct bd_run *run);
	bool (*finish)(struct bd_tenant *tenant, const struct bd_run *run); /* locked; true: call settle */
	void (*settle)(struct bd_tenant *tenant);
	void (*free)(struct bd_tenant *tenant); /* after leave and the last run */
};

struct bd_tenant {
	const struct bd_tenant_calls *calls;
	struct bd_engine *engine;
	/* guarded by the engine's lock */
	struct bd_tenant *next;
	uint64_t worker_ns; /* taken so far, raised on waking so that nobody saves up time while asleep */
	uint32_t running; /* runs out at workers */
	uint32_t stuck; /* of them: for so long that their thread counts for nothing (bd_engine_relieve) */
	bool idle, leaving;
	bool large; /* its records need the buffers that it has for the configured threads only */
	uint64_t asked; /* the round in which take said no */
};

/* "Locked" below: between these two, on any thread. Short: every worker takes the lock for each run. */
void bd_engine_lock(struct bd_engine *engine);
void bd_engine_unlock(struct bd_engine *engine);

/* Joins; idle until woken. Without the lock. */
void bd_tenant_join(struct bd_tenant *tenant, struct bd_engine *engine, const struct bd_tenant_calls *calls);

/*
 * Whether the tenant may have one more run out although it could keep a worker for long (a disk that is slow or does not answer): one
 * worker stays for the others, where there are others. Locked.
 */
bool bd_tenant_may_block(const struct bd_tenant *tenant);

/* Whether one more run that lasts may go out: one worker stays without, where there are other tenants, however many of them want one. Locked. */
bool bd_tenant_may_last(const struct bd_tenant *tenant);

/* There may be something to take again. Locked. */
void bd_tenant_wake(struct bd_tenant *tenant);

/* Takes no more runs; `free` follows at once or when the last run has come back. Without the lock; the tenant is gone for the caller. */
void bd_tenant_leave(struct bd_tenant *tenant);

#endif
