/*
 * pipeline.h - the data plane of one stream: from the shards of a dataset to finished batches in a ring.
 *
 * States: INDEXING -> READY -> FAILED, INDEXING -> FAILED. A stream that has delivered its last batch stays READY; its
 * consumers see the end in the ring. An error while batches flow ends the stream after the good batches before it: they are
 * delivered first, then the consumers find the failure in the ring and bd_pipeline_state gives its text.
 *
 * Threads: every function here is called on the loop thread (or by one thread at a time); none of them waits for a disk or a
 * decoder. `notify` alone is called from the data threads; it may do nothing but wake the loop.
 */
#ifndef BD_DATA_PIPELINE_H
#define BD_DATA_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <batchd/error.h>
#include "common/stream/spec.h"

struct bd_consumer;
struct bd_dataset;
struct bd_engine;
struct bd_order_position;
struct bd_pipeline;
struct bd_schema;

enum bd_pipeline_state {
	BD_PIPELINE_INDEXING,
	BD_PIPELINE_READY, /* the schema is known; consumers may attach */
	BD_PIPELINE_FAILED, /* for good; the error is kept */
};

/* Which file a path led to when the user's right to read it was checked. */
struct bd_file_identity {
	dev_t device;
	ino_t inode;
};

struct bd_pipeline_options {
	struct bd_dataset *dataset_take; /* owned by the pipeline from the call on, also where it fails */
	/*
	 * One for each of the dataset's paths, owned by the pipeline like it; NULL: not checked. Whoever opens path i compares fstat of the
	 * descriptor before it reads a byte: another file now has the name, -EACCES "PATH: was replaced while it was opened".
	 */
	struct bd_file_identity *identities_take;
	struct bd_stream_spec spec;
	uint64_t memory_quota_bytes; /* what the user may still have; 0 = no quota */
	void (*notify)(void *context); /* "look at the pipeline": state, quarantine, progress or end have changed. May be NULL */
	void *context;
};

/*
 * Returns at once; the index is opened or built in the background. 0, -EINVAL (a feature or option that cannot be served),
 * -ENOMEM. Refusals that need the index (memory, a record that is too large) come as state FAILED.
 */
BD_MUST_CHECK int bd_pipeline_create(struct bd_engine *engine, const struct bd_pipeline_options *options,
                                     struct bd_pipeline **ret_pipeline, struct bd_error *error);

/*
 * Ends the stream; takes NULL. Consumers are detached before. No notify comes after the return. A worker that is still inside a read
 * or a picture of this stream finishes it without anybody waiting, an index is given up: the last one frees.
 */
void bd_pipeline_destroy(struct bd_pipeline *pipeline);

/* *ret_error (may be NULL) is written where the state is FAILED. */
enum bd_pipeline_state bd_pipeline_state(struct bd_pipeline *pipeline, struct bd_error *ret_error);

/* Of the index, in bytes of the shards. */
void bd_pipeline_progress(struct bd_pipeline *pipeline, uint64_t *ret_done, uint64_t *ret_total);

/* The struct of batchd/client.h, owned by the pipeline; NULL before READY. */
const struct bd_schema *bd_pipeline_schema(struct bd_pipeline *pipeline);

/* ---- consumers ---- */

struct bd_consumer_files {
	int arena, ctl; /* read-only re-opened */
	int cons; /* writable: the consumer's one page */
};

/*
 * Adds a consumer; nothing flows before bd_pipeline_start. `start` is its first batch, NULL the stream's current
 * position. A stream that has not started begins at the earliest start of its consumers, and each of them
 * receives from its own; one that has started cannot go back. *ret_position says where the consumer really begins.
 * wake_fd is the session's socket: doorbells are sent there with MSG_DONTWAIT; borrowed until detach, as are *ret_files by the caller.
 * Returns 0, -EAGAIN (not READY), -ERANGE (a start beyond its epoch or beyond the end), -ESTALE (a start that a running stream has passed), -EMFILE, -ENOMEM, or the error that the stream failed with.
 */
BD_MUST_CHECK int bd_pipeline_attach(struct bd_pipeline *pipeline, int wake_fd, const struct bd_order_position *start,
                                     struct bd_consumer **ret_consumer, struct bd_consumer_files *ret_files,
                                     struct bd_order_position *ret_position, struct bd_error *error);

/* Batches begin to flow; idempotent. Called when as many consumers are attached as the spec's share_start says. */
void bd_pipeline_start(struct bd_pipeline *pipeline);

/* The consumer's DOORBELL packet has arrived. 0, or -EPROTO: it broke the ring's contract, drop its session. */
BD_MUST_CHECK int bd_consumer_wake(struct bd_consumer *consumer, struct bd_error *error);

/*
 * Too slow for its group: what it has not taken is free at once, what it holds stays held until it releases it (doorbells of it
 * are still passed to bd_consumer_wake) or is detached for good. The client finds the state in its ring. *ret_next: its next batch.
 */
void bd_consumer_detach_slow(struct bd_consumer *consumer, struct bd_order_position *ret_next);

/* Frees what the consumer held, and the object; the others go on. Takes NULL. */
void bd_consumer_detach(struct bd_consumer *consumer);

/* True while the whole ring waits for this consumer alone; *ret_stalled_ns since when. */
bool bd_consumer_is_slow(struct bd_consumer *consumer, uint64_t *ret_stalled_ns);

/* ---- figures ---- */

struct bd_pipeline_statistics {
	uint64_t batches, records, bytes, skipped; /* published; bytes of the batches' arrays; skipped: rows left out */
	uint64_t disk_ns, decode_ns; /* worker time in either stage */
	uint64_t ring_full_ns, ring_empty_ns; /* wall time: finished batches filled the ring; none was there */
	const char *bottleneck; /* "disk", "decode" or "trainer" */
	uint32_t slots, slots_filled;
	uint64_t memory_bytes; /* of this stream: ring, staging, index, cache */
	uint64_t cache_hits, cache_misses;
	uint64_t epoch, batch; /* the next batch to be published */
	double records_per_s; /* over the last second or so */
};

/* The figures as of now. Any thread. */
void bd_pipeline_statistics(struct bd_pipeline *pipeline, struct bd_pipeline_statistics *ret_statistics);

/*
 * Copies entries `from`... in the order they were found, at most `room`; returns how many there are in all. Each record is
 * listed once; `file` is owned by the pipeline, `offset` is that of the record's header, 0 for a file of its own.
 */
size_t bd_pipeline_quarantine(struct bd_pipeline *pipeline, size_t from, struct bd_quarantine_entry *ret_entries, size_t room);

#endif
