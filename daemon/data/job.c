#include "daemon/data/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_FAULTS 8

int bd_job_init(struct bd_job *ret_job, const struct bd_layout *layout, uint64_t staging_bytes, struct bd_error *error)
{
	struct bd_job *job = ret_job;
	*job = (struct bd_job){ .row_of = calloc(layout->rows, sizeof *job->row_of) };
	if (!job->row_of)
		return bd_error_set(error, -ENOMEM, "out of memory");
	int result = bd_staging_init(&job->staging, layout->rows, layout->part_count, staging_bytes, error);
	if (result < 0) {
		free(job->row_of);
		job->row_of = NULL;
		return result;
	}
	pthread_mutex_init(&job->fault_lock, NULL);
	return 0;
}

void bd_job_finish(struct bd_job *job)
{
	if (!job->row_of)
		return;
	free(job->row_of);
	free(job->faults);
	bd_staging_finish(&job->staging);
	pthread_mutex_destroy(&job->fault_lock);
	job->row_of = NULL;
}

void bd_job_open(struct bd_job *job, const struct bd_slot *slot, const struct bd_order_batch *batch,
                 const struct bd_order_position *next)
{
	job->slot = *slot;
	job->batch = *batch;
	job->next = *next;
	job->claim.count = 0;
	job->hoarded = NULL;
	job->window = NULL;
	job->handed = job->running = 0;
	job->finished = false;
	job->error.code = 0;
	job->fault_count = 0;
	job->rows = batch->rows;
	/* relaxed: the engine's lock hands the job to the workers */
	atomic_store_explicit(&job->remaining, batch->rows, memory_order_relaxed);
	atomic_store_explicit(&job->faulty, false, memory_order_relaxed);
}

int bd_job_fault(struct bd_job *job, uint32_t row, uint64_t record, const struct bd_error *reason, struct bd_error *error)
{
	int result = 0;
	pthread_mutex_lock(&job->fault_lock);
	if (job->fault_count == job->fault_room) {
		size_t room = job->fault_room ? job->fault_room * 2 : FIRST_FAULTS;
		struct bd_fault *grown = realloc(job->faults, room * sizeof *grown);
		if (grown) {
			job->faults = grown;
			job->fault_room = room;
		} else {
			result = bd_error_set(error, -ENOMEM, "out of memory");
		}
	}
	if (result == 0) {
		struct bd_fault *fault = &job->faults[job->fault_count++];
		*fault = (struct bd_fault){ .row = row, .code = reason->code, .record = record };
		memcpy(fault->reason, reason->text, strnlen(reason->text, sizeof fault->reason - 1));
		/* relaxed: who reads it has the lock or came after the last give_back */
		atomic_store_explicit(&job->faulty, true, memory_order_relaxed);
	}
	pthread_mutex_unlock(&job->fault_lock);
	return result;
}

bool bd_job_give_back(struct bd_job *job, uint32_t rows)
{
	/* acq_rel: the last one sees the rows that the others wrote; pairs with itself */
	return atomic_fetch_sub_explicit(&job->remaining, rows, memory_order_acq_rel) == rows;
}

static int by_row(const void *a, const void *b)
{
	uint32_t left = ((const struct bd_fault *)a)->row, right = ((const struct bd_fault *)b)->row;
	return left < right ? -1 : left > right;
}

static void close_holes(struct bd_job *job, const struct bd_layout *layout)
{
	uint32_t rows = 0;
	size_t next = 0;
	qsort(job->faults, job->fault_count, sizeof *job->faults, by_row);
	for (uint32_t row = 0; row < job->batch.rows; row++) {
		if (next < job->fault_count && job->faults[next].row == row)
			next++;
		else
			job->row_of[rows++] = row;
	}
	bd_layout_close_holes(layout, job->slot.data, job->row_of, rows);
	bd_staging_close_holes(&job->staging, job->row_of, rows);
	job->rows = rows;
}

int bd_job_complete(struct bd_job *job, const struct bd_layout *layout, uint64_t staging_limit_bytes, struct bd_error *error)
{
	int result = 0;
	if (job->fault_count)
		close_holes(job, layout);
	job->length = layout->var_offset;
	bd_layout_describe(layout, job->slot.data, job->rows);
	if (layout->part_count) {
		result = bd_layout_join(layout, &job->staging, job->slot.data, job->slot.bytes, job->rows, &job->length, error);
		bd_staging_trim(&job->staging, staging_limit_bytes);
	}
	return result;
}

const struct bd_fault *bd_job_first_fault(const struct bd_job *job)
{
	const struct bd_fault *first = NULL;
	for (size_t i = 0; i < job->fault_count; i++) {
		if (!first || job->faults[i].row < first->row)
			first = &job->faults[i];
	}
	return first;
}
