/*
 * engine.h - what all streams of one daemon share: the worker threads and the memory budget.
 *
 * Why: one CPU and memory budget per host. There is one worker thread per core and no more (but see bd_engine_relieve); each takes a run of rows of
 * one slot of one stream, reads it, decodes it and comes back. Which stream is next is decided by worker time: the one
 * that has used least of it goes first, so that a stream of large pictures and one of small numbers get equal shares.
 * Threads: created, asked and destroyed on the loop thread. The threads inside are this module's own.
 */
#ifndef BD_DATA_ENGINE_H
#define BD_DATA_ENGINE_H

#include <stdint.h>

#include <batchd/error.h>

struct bd_engine;

struct bd_engine_options {
	/* 0 = one per core that this process may run on, or as many whose buffers take half of the memory if those are fewer */
	unsigned threads;
	/* For everything: rings, read buffers, decoders, cache. 0 = BD_ENGINE_DEFAULT_MEMORY_BYTES, or half of what the host can give if that is less. */
	uint64_t memory_bytes;
	uint64_t cache_bytes; /* the part of it that decoded records may take, for streams that do not ask for their own share */
	const char *cache_folder; /* indexes of shards; NULL: none are kept */
	const char *quarantine_folder; /* where lists of damaged records go, one JSON lines file a dataset; NULL: only in memory */
};

/* A run usually takes a millisecond; in one of so long its thread waits for a disk, or builds an index. */
#define BD_ENGINE_STUCK_NS 250000000ull

/* Threads beyond the configured ones, while all of those are stuck. */
#define BD_ENGINE_SPARES 8

#define BD_ENGINE_DEFAULT_MEMORY_BYTES (1ull << 30)

/* More threads than this are a wrong option, not a machine. */
#define BD_ENGINE_MAX_THREADS 1024

/*
 * Starts the threads. Returns 0; -ENOMEM where the host, or the memory group that this process runs in, cannot give memory_bytes,
 * or where they do not suffice for the buffers of that many threads; -EINVAL for too many threads; -EAGAIN where
 * the system refuses a thread. Options and their texts are copied.
 */
BD_MUST_CHECK int bd_engine_create(const struct bd_engine_options *options, struct bd_engine **ret_engine, struct bd_error *error);

/* After all pipelines were destroyed. Waits until the threads have ended; takes NULL. */
void bd_engine_destroy(struct bd_engine *engine);

/*
 * To be called a few times a second while there are streams. Where every thread has been in one run for BD_ENGINE_STUCK_NS and a stream that none of
 * them is stuck in has work, one more thread is started: a disk that does not answer (or a long index on a daemon of one thread)
 * holds up its own stream. Such a thread ends once the others are back. There is none past BD_ENGINE_SPARES, where the memory has no
 * room for its buffers, and for streams whose records are larger than BD_WORKER_READ_BYTES.
 */
void bd_engine_relieve(struct bd_engine *engine, uint64_t now_ns);

/* Bytes given away of the budget, and the budget. Any thread. */
void bd_engine_memory(const struct bd_engine *engine, uint64_t *ret_used, uint64_t *ret_limit);

/* The configured ones, without those that relieve stuck ones. Any thread. */
unsigned bd_engine_threads(const struct bd_engine *engine);

#endif
