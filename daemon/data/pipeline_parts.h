/*
 * pipeline_parts.h - the struct of a stream, shared by the files that make up the pipeline; private to this room.
 *
 *   pipeline.c   life, turns (what is handed to workers, what comes back), publishing in order, the end
 *   prepare.c    from the opened files to a ring: layout, order, memory
 *   rows.c       a run of rows on a worker: read, check, decode
 *   consumer.c   consumers of the ring, and the figures
 *
 * Jobs stand in a queue in the order of their batches: the first is the next to be published, rows are handed out of the
 * last. So workers are at most as many batches apart as the ring has slots.
 */
#ifndef BD_DATA_PIPELINE_PARTS_H
#define BD_DATA_PIPELINE_PARTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/stream/order.h"
#include "common/stream/ring.h"
#include "daemon/data/cache.h"
#include "daemon/data/clocks.h"
#include "daemon/data/hoard.h"
#include "daemon/data/job.h"
#include "daemon/data/layout.h"
#include "daemon/data/pipeline.h"
#include "daemon/data/quarantine.h"
#include "daemon/data/readahead.h"
#include "daemon/data/reader.h"
#include "daemon/data/row.h"
#include "daemon/data/records.h"
#include "daemon/data/tenant.h"

enum bd_pipeline_phase {
	BD_PHASE_FILES, /* files are looked at */
	BD_PHASE_PREPARE, /* all are; one worker makes the ring */
	BD_PHASE_INFLATE, /* compressed shards are taken into memory, where they fit */
	BD_PHASE_FLOW, /* READY */
	BD_PHASE_OVER, /* the last batch is published, or it failed */
};

struct bd_consumer {
	struct bd_pipeline *pipeline;
	struct bd_ring_consumer *ring;
	struct bd_consumer *next;
	struct bd_order_position first; /* its first batch */
	uint64_t stalled_since_ns; /* 0: the ring does not wait for it alone */
	uint64_t released_before; /* batches it had given back at the last look */
	bool slow; /* detached as too slow */
};

struct bd_pipeline {
	struct bd_tenant tenant; /* first: the engine's view of it */
	struct bd_engine *engine;

	/* fixed at creation */
	struct bd_dataset *dataset;
	struct bd_file_identity *identities;
	struct bd_stream_spec spec;
	uint64_t quota_bytes;
	uint32_t rank_rows; /* of a full batch of this rank */

	/* fixed by prepare; read by workers */
	struct bd_records source;
	struct bd_layout layout;
	struct bd_row_plan plan;
	struct bd_order order;
	struct bd_ring *ring;
	struct bd_cache cache;
	struct bd_readahead readahead; /* parts of it under the lock */
	struct bd_hoard hoard; /* likewise; on where compressed shards are not kept uncompressed */
	uint32_t slots;
	bool inflates; /* compressed shards are kept uncompressed */
	uint64_t memory_bytes; /* taken of the budget */
	uint64_t staging_limit_bytes; /* of one job */
	uint64_t buffer_bytes; /* of `buffers`; 0: records fit the workers' own */
	uint8_t **buffers; /* one a worker, made when first needed */

	/* the engine's lock */
	void (*notify)(void *context);
	void *context;
	enum bd_pipeline_phase phase;
	struct bd_error error; /* code 0: none */
	size_t files_handed, files_back; /* of the phase */
	bool prepare_handed, started;
	bool last_opened; /* no batch follows the last job */
	bool failing; /* a job in the queue will fail the stream: nothing more is handed out */
	struct bd_job *jobs; /* `slots` of them */
	uint32_t job_first, job_count;
	struct bd_order_position position; /* of the next job to be opened */
	struct bd_order_position published; /* of the next batch to be published */
	struct bd_order_position *behind; /* positions behind the last `slots` + 1 published batches, a ring by `batches` */
	uint64_t rows_settled; /* of the batches published so far and the one at hand, until names_checked */
	bool began_within; /* an epoch: the first batch was not its beginning */
	bool names_checked; /* all features are known to be in the data */
	uint64_t row_ns; /* worker time of a row lately; 0: not known */
	struct bd_quarantine quarantine;
	struct bd_clocks clocks;
	uint64_t batches, bytes, skipped, cache_hits, cache_misses;
	struct bd_consumer *consumers;
};

/* prepare.c: all files are open. Fills in what is "fixed by prepare". On a worker, without the lock. */
BD_MUST_CHECK int bd_pipeline_prepare(struct bd_pipeline *pipeline, struct bd_error *error);
void bd_pipeline_unprepare(struct bd_pipeline *pipeline);

/* rows.c: reads and decodes the run's rows; the run's error is one of the disk or memory. On a worker, without the lock. */
void bd_pipeline_work_rows(struct bd_pipeline *pipeline, struct bd_worker *worker, struct bd_run *run);

/* pipeline.c: tells the clocks whether the trainer or the loader is behind now. no_slot: a worker found no free one. Locked. */
void bd_pipeline_watch_ring(struct bd_pipeline *pipeline, uint64_t now_ns, bool no_slot);

#endif
