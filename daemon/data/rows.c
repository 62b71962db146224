/* The rows of a run: which records they are, their bytes, their pixels. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/record/tfrecord.h"
#include "daemon/data/engine_parts.h"
#include "daemon/data/pipeline_parts.h"

struct rows {
	struct bd_pipeline *pipeline;
	struct bd_worker *worker;
	struct bd_job *job;
	struct bd_run *run;
	struct bd_read_item *items; /* BD_WORKER_MAX_ROWS */
	size_t count;
};

static int fault(const struct rows *rows, const struct bd_read_item *item, const struct bd_error *reason, struct bd_error *error)
{
	return bd_job_fault(rows->job, item->row, item->record, reason, error);
}

/* Where every byte of the record is known to be good, or a fault. -ESTALE in place of a fault where the file has changed. */
static int check(const struct rows *rows, const struct bd_read_item *item, struct bd_error *error)
{
	struct bd_records *source = &rows->pipeline->source;
	if (item->place.damage)
		return bd_error_set(error, -EBADMSG, "%s", item->place.damage);
	if (!source->files[item->place.file].index)
		return 0;
	return bd_tfrecord_check_data(item->data, item->place.length, item->data + item->place.length, error);
}

static int decode(const struct rows *rows, const struct bd_read_item *item, struct bd_error *error)
{
	struct bd_pipeline *pipeline = rows->pipeline;
	const struct bd_dataset *dataset = pipeline->dataset;
	struct bd_staging *staging = &rows->job->staging;
	struct bd_row_input input = { .data = item->data, .length = item->place.length };
	input.key = (struct bd_picture_key){ pipeline->spec.seed, item->epoch, item->record };
	if (dataset->source == BD_SOURCE_FOLDER) {
		input.has_label = true;
		input.label = dataset->labels[item->record];
	}
	return bd_row_write(&pipeline->plan, rows->worker, &input, rows->job->slot.data, item->row,
	                    staging->part_count ? &staging->rows[item->row] : NULL, error);
}

static int do_item(const struct rows *rows, const struct bd_read_item *item, struct bd_error *error)
{
	struct bd_error reason = { 0 };
	int result = check(rows, item, &reason);
	if (result == -EBADMSG && !item->place.damage) {
		int fits = bd_records_check_entry(&rows->pipeline->source, &item->place, error);
		if (fits < 0)
			return fits;
	}
	if (result == 0)
		result = decode(rows, item, &reason);
	if (result == 0) {
		bd_cache_put(&rows->pipeline->cache, &rows->pipeline->layout, item->record, rows->job->slot.data, item->row);
		return 0;
	}
	if (!bd_row_is_fault(result)) {
		*error = reason;
		return result;
	}
	result = bd_records_check(&rows->pipeline->source, item->place.file, -1, error);
	return result < 0 ? result : fault(rows, item, &reason, error);
}

static uint8_t *buffer_of(const struct rows *rows, size_t *ret_room, struct bd_error *error)
{
	struct bd_pipeline *pipeline = rows->pipeline;
	if (!pipeline->buffer_bytes) {
		*ret_room = BD_WORKER_READ_BYTES;
		return rows->worker->buffer;
	}
	uint8_t **buffer = &pipeline->buffers[rows->worker->number];
	if (!*buffer)
		*buffer = malloc(pipeline->buffer_bytes);
	if (!*buffer)
		bd_error_set(error, -ENOMEM, "out of memory");
	*ret_room = pipeline->buffer_bytes;
	return *buffer;
}

/* Reads as much as the buffer holds, decodes it while it is in the cache, and so on. */
static int do_items(struct rows *rows, struct bd_error *error)
{
	struct bd_pipeline *pipeline = rows->pipeline;
	size_t room;
	uint8_t *buffer = buffer_of(rows, &room, error);
	uint64_t before_ns = bd_now_ns();
	if (!buffer)
		return -ENOMEM;
	for (size_t at = 0; at < rows->count;) {
		size_t done;
		uint64_t bytes;
		int result = bd_reader_fill(&pipeline->source, rows->worker, buffer, room, pipeline->readahead.drops,
		                            rows->items + at, rows->count - at, &done, &bytes, error);
		uint64_t read_ns = bd_now_ns();
		rows->run->disk_ns += read_ns - before_ns;
		if (result == 0)
			bd_readahead_observe(&pipeline->readahead, read_ns, bytes, read_ns - before_ns);
		for (size_t i = 0; result == 0 && i < done; i++)
			result = do_item(rows, &rows->items[at + i], error);
		before_ns = bd_now_ns();
		rows->run->decode_ns += before_ns - read_ns;
		if (result < 0)
			return result;
		at += done;
	}
	return 0;
}

static uint64_t *record_numbers(const struct rows *rows)
{
	return (uint64_t *)(void *)(rows->job->slot.data + rows->pipeline->layout.records_offset);
}

static int by_place(const void *a, const void *b)
{
	const struct bd_place *left = &((const struct bd_read_item *)a)->place, *right = &((const struct bd_read_item *)b)->place;
	if (left->file != right->file)
		return left->file < right->file ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* Looks the rows up; those that the cache has are done with that. */
static void look_up(struct rows *rows, uint32_t first, uint32_t count)
{
	struct bd_pipeline *pipeline = rows->pipeline;
	uint64_t *numbers = record_numbers(rows);
	rows->count = 0;
	for (uint32_t row = first; row < first + count; row++) {
		struct bd_read_item *item = &rows->items[rows->count];
		*item = (struct bd_read_item){ .row = row };
		bd_order_row(&pipeline->order, &rows->job->batch, row, &item->epoch, &item->record);
		numbers[row] = item->record;
		if (bd_cache_get(&pipeline->cache, &pipeline->layout, item->record, rows->job->slot.data, row)) {
			rows->run->cache_hits++;
			continue;
		}
		if (rows->job->hoarded) {
			item->place = rows->job->hoarded[row].place;
			item->data = rows->job->hoarded[row].data;
		} else {
			item->place = bd_records_place(&pipeline->source, item->record);
		}
		rows->count++;
	}
	/* A compressed shard is inflated forward: in the order of the places each of them once for all of the run's rows. */
	if (pipeline->source.compressed && !pipeline->inflates)
		qsort(rows->items, rows->count, sizeof *rows->items, by_place);
	if (pipeline->cache.places)
		rows->run->cache_misses += rows->count;
}

void bd_pipeline_work_rows(struct bd_pipeline *pipeline, struct bd_worker *worker, struct bd_run *run)
{
	struct bd_read_item items[BD_WORKER_MAX_ROWS];
	struct rows rows = { .pipeline = pipeline, .worker = worker, .job = run->job, .run = run, .items = items };
	struct bd_error error = { 0 };
	int result = 0;
	if (run->first == 0 && rows.job->claim.count)
		bd_readahead_ask(&pipeline->source, &pipeline->order, &rows.job->claim, bd_now_ns());
	for (uint32_t done = 0; result == 0 && done < run->count;) {
		uint32_t count = run->count - done < BD_WORKER_MAX_ROWS ? run->count - done : BD_WORKER_MAX_ROWS;
		look_up(&rows, run->first + done, count);
		result = do_items(&rows, &error);
		done += count;
	}
	if (bd_job_give_back(rows.job, run->count)) {
		run->job_done = true;
		bool skip = pipeline->dataset->on_error == BD_ON_ERROR_SKIP;
		if (result == 0 && (skip || !rows.job->fault_count))
			result = bd_job_complete(rows.job, &pipeline->layout, pipeline->staging_limit_bytes, &error);
	}
	run->error = error;
	run->error.code = result;
}
