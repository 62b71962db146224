/*
 * job.h - one batch in the making: its slot, which rows are out at workers, which of them turned out bad.
 *
 * States: open (rows are handed out in order) -> all rows back (the last worker finishes it) -> published or dropped, in the order of the
 * batches. Jobs are made once, one a slot, and used again.
 * Threads: `handed` to `error` belong to the engine's lock; a row belongs to the worker that has it; `remaining` decides
 * who finishes the job.
 */
#ifndef BD_DATA_JOB_H
#define BD_DATA_JOB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <batchd/error.h>
#include "common/stream/order.h"
#include "common/stream/ring.h"
#include "daemon/data/layout.h"
#include "daemon/data/readahead.h"
#include "daemon/data/staging.h"

/* A record that cannot be decoded. */
struct bd_fault {
	uint32_t row;
	int code;
	uint64_t record;
	char reason[200];
};

struct bd_hoard_window;
struct bd_hoarded;

struct bd_job {
	/* set when the job is opened */
	struct bd_slot slot;
	struct bd_order_batch batch;
	struct bd_order_position next; /* the position behind it */
	struct bd_readahead_claim claim; /* for the first run to ask for */
	const struct bd_hoarded *hoarded; /* its records that are inflated already, one a row; NULL: none */
	struct bd_hoard_window *window; /* that they are in */
	/* the engine's lock */
	uint32_t handed; /* rows given to workers */
	uint32_t running; /* runs that are out */
	bool finished;
	struct bd_error error; /* of the disk or memory: the batch cannot be made; code 0: none */
	/* workers */
	_Atomic uint32_t remaining; /* rows that are not back yet */
	_Atomic bool faulty; /* there is a fault */
	struct bd_staging staging; /* row i belongs to who has row i */
	pthread_mutex_t fault_lock;
	struct bd_fault *faults; /* guarded by fault_lock until all rows are back */
	size_t fault_count, fault_room;
	/* the worker that brought the last row */
	uint32_t *row_of;
	uint32_t rows; /* good ones */
	uint64_t length; /* bytes used of the slot */
};

/* staging_bytes: what the var-len values of a batch should take (staging.h). *ret_job must not move. */
BD_MUST_CHECK int bd_job_init(struct bd_job *ret_job, const struct bd_layout *layout, uint64_t staging_bytes,
                              struct bd_error *error);
/* Takes a zeroed job. */
void bd_job_finish(struct bd_job *job);

/* For a new batch. */
void bd_job_open(struct bd_job *job, const struct bd_slot *slot, const struct bd_order_batch *batch,
                 const struct bd_order_position *next);

/* Any worker. -ENOMEM. */
BD_MUST_CHECK int bd_job_fault(struct bd_job *job, uint32_t row, uint64_t record, const struct bd_error *reason,
                               struct bd_error *error);

/* `rows` rows are back. True for exactly one caller: they were the last. */
bool bd_job_give_back(struct bd_job *job, uint32_t rows);

/*
 * After the last row: sorts the faults by row, closes the holes that they left, joins the var-len features and describes the batch.
 * -EFBIG: the var-len values do not fit the slot.
 */
BD_MUST_CHECK int bd_job_complete(struct bd_job *job, const struct bd_layout *layout, uint64_t staging_limit_bytes,
                                  struct bd_error *error);

/* The fault of the lowest row; NULL where there is none. */
const struct bd_fault *bd_job_first_fault(const struct bd_job *job);

#endif
