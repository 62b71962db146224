#include "daemon/data/pipeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "common/stream/spec.h"
#include "daemon/data/engine_parts.h"
#include "daemon/data/pipeline_parts.h"

/* Worker time of one run: long against a lock and a wake-up, short against a batch, so that streams take turns often. */
#define RUN_NS (1 * BD_NS_PER_MS)

/* Pictures whose size is asked for in one run. */
#define FILES_OF_RUN 256

static void notify(const struct bd_pipeline *pipeline)
{
	if (pipeline->notify)
		pipeline->notify(pipeline->context);
}

static struct bd_pipeline *of_tenant(struct bd_tenant *tenant)
{
	return (struct bd_pipeline *)(void *)tenant;
}

static struct bd_job *job_at(const struct bd_pipeline *pipeline, uint32_t index)
{
	return &pipeline->jobs[(pipeline->job_first + index) % pipeline->slots];
}

/* ---- the end ---- */

static void fail(struct bd_pipeline *pipeline, const struct bd_error *error)
{
	if (pipeline->phase == BD_PHASE_OVER)
		return;
	pipeline->phase = BD_PHASE_OVER;
	pipeline->error = *error;
	if (pipeline->ring) {
		bd_ring_end(pipeline->ring, BD_SHM_FAILED);
		bd_pipeline_watch_ring(pipeline, bd_now_ns(), false);
	}
	notify(pipeline);
}

static void end(struct bd_pipeline *pipeline)
{
	pipeline->phase = BD_PHASE_OVER;
	bd_ring_end(pipeline->ring, BD_SHM_ENDED);
	bd_pipeline_watch_ring(pipeline, bd_now_ns(), false);
	notify(pipeline);
}

/* ---- publishing, in order ---- */

/*
 * That no slot is free says nothing yet: all may be being filled, or be held by a consumer that waits for the next one. The trainer is behind
 * only where finished batches lie there that it has not looked at, or where it holds every slot.
 */
void bd_pipeline_watch_ring(struct bd_pipeline *pipeline, uint64_t now_ns, bool no_slot)
{
	uint32_t used, ready, untaken = bd_ring_untaken(pipeline->ring);
	bool flows = pipeline->phase == BD_PHASE_FLOW && pipeline->started && pipeline->consumers;
	bd_ring_fill(pipeline->ring, &used, &ready);
	bool holds_all = ready == pipeline->slots;
	bd_clocks_ring(&pipeline->clocks, now_ns, flows && no_slot && (untaken > 0 || holds_all),
	               flows && untaken == 0 && !holds_all);
}

static void fail_with_fault(struct bd_pipeline *pipeline, const struct bd_job *job)
{
	const struct bd_fault *fault = bd_job_first_fault(job);
	struct bd_error error;
	char record[512];
	bd_records_name_record(&pipeline->source, fault->record, record, sizeof record);
	bd_error_set(&error, fault->code, "%s: %s; 'on_error: skip' leaves such records out", record, fault->reason);
	fail(pipeline, &error);
}

/* Lists the job's faults. False: the stream has failed, by more of them than skip_limit allows. */
static bool quarantine(struct bd_pipeline *pipeline, const struct bd_job *job)
{
	uint64_t unseen = pipeline->source.losses.unseen, records = pipeline->source.records + unseen;
	double limit = pipeline->dataset->skip_limit;
	struct bd_error error = { 0 };
	for (size_t i = 0; i < job->fault_count; i++) {
		const struct bd_fault *fault = &job->faults[i];
		struct bd_place place = bd_records_place(&pipeline->source, fault->record);
		int added = bd_quarantine_add(&pipeline->quarantine, fault->record, pipeline->dataset->paths[place.file],
		                              bd_records_header_offset(&pipeline->source, &place), fault->reason, &error);
		if (added < 0) {
			fail(pipeline, &error);
			return false;
		}
		if (limit < 1.0 && (double)(pipeline->quarantine.records + unseen) > limit * (double)records) {
			char record[512];
			bd_records_name_record(&pipeline->source, fault->record, record, sizeof record);
			bd_error_set(&error, fault->code,
			             "%s: %s; %" PRIu64 " of %" PRIu64 " records are damaged, more than skip_limit %g allows",
			             record, fault->reason, pipeline->quarantine.records + unseen, records, limit);
			fail(pipeline, &error);
			return false;
		}
	}
	if (job->fault_count && pipeline->quarantine.records == pipeline->source.records && !pipeline->spec.epochs) {
		bd_error_set(&error, -EBADMSG, "%s: all %" PRIu64 " records are damaged; the last: %s", pipeline->dataset->name,
		             pipeline->source.records, job->faults[0].reason);
		fail(pipeline, &error);
		return false;
	}
	pipeline->skipped += job->fault_count;
	if (job->fault_count)
		notify(pipeline);
	return true;
}

/*
 * Whether every record has been through a batch with this one, the next to be published. A rank sees a part of each epoch and `drop` leaves
 * its end out: they never know. A stream that begins within an epoch has read a whole one after twice as many rows.
 */
static bool has_read_all(struct bd_pipeline *pipeline, const struct bd_job *job)
{
	const struct bd_stream_spec *spec = &pipeline->spec;
	uint64_t records = pipeline->source.records;
	if (!pipeline->rows_settled)
		pipeline->began_within = job->batch.batch > 0 || (spec->remainder == BD_REMAINDER_CARRY && job->batch.epoch > 0);
	pipeline->rows_settled += job->batch.rows;
	if (spec->world > 1 || (spec->remainder == BD_REMAINDER_DROP && records % spec->batch))
		return false;
	return pipeline->rows_settled >= (pipeline->began_within ? 2 * records : records);
}

/* A feature that every record lacks is not in the data. False: the stream has failed with that. */
static bool check_names(struct bd_pipeline *pipeline, const struct bd_job *job)
{
	if (pipeline->names_checked || !has_read_all(pipeline, job) || pipeline->rows_settled <= pipeline->skipped)
		return true;
	const struct bd_feature *feature = bd_row_plan_not_found(&pipeline->plan);
	struct bd_error error;
	pipeline->names_checked = true;
	if (!feature)
		return true;
	bd_error_set(&error, -EINVAL,
	             "%s: %s '%s': none of the %" PRIu64
	             " records has it, so it would always be empty; 'tfrecord info %s' lists what "
	             "they have",
	             pipeline->dataset->name, feature->sequence ? "sequence feature" : "feature", feature->name,
	             pipeline->source.records, pipeline->dataset->paths[0]);
	fail(pipeline, &error);
	return false;
}

static void publish(struct bd_pipeline *pipeline, const struct bd_job *job)
{
	struct bd_ring_batch batch = { .epoch = job->batch.epoch,
		                       .batch = job->batch.batch,
		                       .next_epoch = job->next.epoch,
		                       .next_batch = job->next.batch,
		                       .length = job->length,
		                       .rows = job->rows };
	pipeline->published = job->next;
	/* Also with no row left: a consumer counts batches, and ranks keep step. */
	bd_ring_publish(pipeline->ring, &job->slot, &batch);
	pipeline->behind[pipeline->batches++ % (pipeline->slots + 1)] = job->next;
	pipeline->bytes += job->length;
	bd_clocks_published(&pipeline->clocks, job->rows);
}

/* What the first job of the queue has come to; true: it left the queue, look at the next. */
static bool settle_first(struct bd_pipeline *pipeline)
{
	struct bd_job *job = job_at(pipeline, 0);
	/* relaxed: the runs came back through the engine's lock */
	bool faulty = atomic_load_explicit(&job->faulty, memory_order_relaxed);
	if (job->running > 0)
		return false;
	if (job->error.code) {
		fail(pipeline, &job->error);
		return false;
	}
	if (faulty && pipeline->dataset->on_error == BD_ON_ERROR_FAIL) {
		fail_with_fault(pipeline, job);
		return false;
	}
	if (!job->finished || !quarantine(pipeline, job) || !check_names(pipeline, job))
		return false;
	publish(pipeline, job);
	pipeline->job_first = (pipeline->job_first + 1) % pipeline->slots;
	pipeline->job_count--;
	return true;
}

static void settle_jobs(struct bd_pipeline *pipeline)
{
	while (pipeline->phase == BD_PHASE_FLOW && pipeline->job_count > 0 && settle_first(pipeline))
		;
	if (pipeline->phase == BD_PHASE_FLOW && pipeline->last_opened && pipeline->job_count == 0)
		end(pipeline);
}

/* ---- handing out ---- */

/* A job for the next batch; NULL: the ring is full, or no batch follows. */
static struct bd_job *open_job(struct bd_pipeline *pipeline)
{
	struct bd_order_batch batch;
	struct bd_order_position next;
	struct bd_slot slot;
	if (bd_order_batch_at(&pipeline->order, pipeline->position, &batch, &next) < 0) {
		pipeline->last_opened = true;
		settle_jobs(pipeline);
		return NULL;
	}
	if (pipeline->hoard.on && !bd_hoard_is_ready(&pipeline->hoard))
		return NULL;
	if (pipeline->job_count == pipeline->slots || bd_ring_reserve(pipeline->ring, &slot) < 0) {
		bd_pipeline_watch_ring(pipeline, bd_now_ns(), true);
		return NULL;
	}
	struct bd_job *job = job_at(pipeline, pipeline->job_count++);
	bd_job_open(job, &slot, &batch, &next);
	if (pipeline->hoard.on)
		job->hoarded = bd_hoard_open(&pipeline->hoard, &job->window);
	pipeline->position = next;
	job->claim = bd_readahead_claim(&pipeline->readahead, &pipeline->order, next, bd_now_ns());
	if (pipeline->clocks.full_since_ns)
		bd_pipeline_watch_ring(pipeline, bd_now_ns(), false);
	return job;
}

/* An empty batch (a rank's share of a short one) has no run that could finish it. */
static void finish_empty(struct bd_pipeline *pipeline, struct bd_job *job)
{
	if (bd_job_complete(job, &pipeline->layout, pipeline->staging_limit_bytes, &job->error) == 0)
		job->finished = true;
	settle_jobs(pipeline);
}

/*
 * Rows of a run: about RUN_NS of work, but no more than leaves every worker its part of the slots that the ring has. A compressed
 * shard is inflated forward past all rows of a run, so there a run is as long as can be.
 */
static uint32_t run_rows(const struct bd_pipeline *pipeline, const struct bd_job *job)
{
	uint32_t rows = job->batch.rows - job->handed;
	uint64_t threads = bd_engine_threads(pipeline->engine);
	uint64_t share = ((uint64_t)job->batch.rows * (pipeline->slots - 1) + threads - 1) / threads;
	if (!pipeline->source.compressed || pipeline->inflates || pipeline->hoard.on) {
		uint64_t wanted = pipeline->row_ns ? RUN_NS / pipeline->row_ns
		                                   : (job->batch.rows + 2 * threads - 1) / (2 * threads);
		share = bd_min_u64(share, bd_max_u64(wanted, 1));
	}
	/* a rest of less than half a run is not worth one of its own */
	return rows < share + share / 2 ? rows : (uint32_t)share;
}

static bool take_rows(struct bd_pipeline *pipeline, struct bd_run *ret_run)
{
	struct bd_job *job = pipeline->job_count ? job_at(pipeline, pipeline->job_count - 1) : NULL;
	while (!job || job->handed == job->batch.rows) {
		if (pipeline->last_opened)
			return false;
		job = open_job(pipeline);
		if (!job || pipeline->phase != BD_PHASE_FLOW)
			return false;
		if (!job->batch.rows) {
			finish_empty(pipeline, job);
			job = NULL;
		}
	}
	*ret_run = (struct bd_run){ .job = job, .first = job->handed, .count = run_rows(pipeline, job) };
	job->handed += ret_run->count;
	job->running++;
	return true;
}

/* Rows first: they are what a consumer waits for. */
static bool take_flow(struct bd_pipeline *pipeline, struct bd_run *ret_run)
{
	if (!pipeline->started || !pipeline->consumers || pipeline->failing)
		return false;
	if ((!pipeline->row_ns || bd_readahead_is_slow(&pipeline->readahead, bd_now_ns())) &&
	    !bd_tenant_may_block(&pipeline->tenant))
		return false;
	if (take_rows(pipeline, ret_run))
		return true;
	return pipeline->phase == BD_PHASE_FLOW && pipeline->hoard.on && !pipeline->last_opened &&
	       bd_hoard_take(&pipeline->hoard, pipeline->position, ret_run);
}

static bool take_files(struct bd_pipeline *pipeline, struct bd_run *ret_run)
{
	size_t left = pipeline->source.file_count - pipeline->files_handed;
	if (!left || pipeline->error.code || !bd_tenant_may_last(&pipeline->tenant))
		return false;
	size_t count = pipeline->dataset->source == BD_SOURCE_TFRECORD ? 1 : bd_min_u64(left, FILES_OF_RUN);
	*ret_run = (struct bd_run){ .first = (uint32_t)pipeline->files_handed, .count = (uint32_t)count, .lasts = true };
	pipeline->files_handed += count;
	return true;
}

static bool take(struct bd_tenant *tenant, struct bd_run *ret_run)
{
	struct bd_pipeline *pipeline = of_tenant(tenant);
	switch (pipeline->phase) {
	case BD_PHASE_FILES:
	case BD_PHASE_INFLATE:
		return take_files(pipeline, ret_run);
	case BD_PHASE_PREPARE:
		if (pipeline->prepare_handed)
			return false;
		pipeline->prepare_handed = true;
		return true;
	case BD_PHASE_FLOW:
		return take_flow(pipeline, ret_run);
	case BD_PHASE_OVER:
		break;
	}
	return false;
}

/* ---- on a worker ---- */

static void work_inflation(struct bd_pipeline *pipeline, struct bd_worker *worker, struct bd_run *run)
{
	struct bd_shard_cursor *cursor;
	int result = bd_worker_cursor(worker, &cursor, &run->error);
	for (uint32_t i = 0; result == 0 && i < run->count; i++)
		result = bd_records_inflate_file(&pipeline->source, run->first + i, cursor, &run->error);
	run->error.code = result;
}

static void work_files(struct bd_pipeline *pipeline, struct bd_run *run)
{
	int result = 0;
	for (uint32_t i = 0; result == 0 && i < run->count; i++)
		result = bd_records_open_file(&pipeline->source, run->first + i, &run->error);
	run->error.code = result;
}

static void work(struct bd_tenant *tenant, struct bd_worker *worker, struct bd_run *run)
{
	struct bd_pipeline *pipeline = of_tenant(tenant);
	if (run->job)
		bd_pipeline_work_rows(pipeline, worker, run);
	else if (run->window)
		run->error.code = bd_hoard_work(&pipeline->hoard, &pipeline->source, &pipeline->order, worker, run);
	else if (run->count && pipeline->inflates)
		work_inflation(pipeline, worker, run);
	else if (run->count)
		work_files(pipeline, run);
	else
		run->error.code = bd_pipeline_prepare(pipeline, &run->error);
}

/* ---- coming back ---- */

/* A moving average over some runs. */
static void learn_row_ns(struct bd_pipeline *pipeline, const struct bd_run *run)
{
	uint64_t row_ns = (run->disk_ns + run->decode_ns) / run->count + 1;
	pipeline->row_ns = pipeline->row_ns ? (pipeline->row_ns * 7 + row_ns) / 8 : row_ns;
}

static void finish_rows(struct bd_pipeline *pipeline, const struct bd_run *run)
{
	struct bd_job *job = run->job;
	job->running--;
	if (job->window)
		bd_hoard_give_back(job->window, run->count);
	job->finished = job->finished || run->job_done;
	if (run->error.code && !job->error.code)
		job->error = run->error;
	if (run->error.code ||
	    (pipeline->dataset->on_error == BD_ON_ERROR_FAIL && atomic_load_explicit(&job->faulty, memory_order_relaxed)))
		pipeline->failing = true;
	bd_clocks_worked(&pipeline->clocks, run->disk_ns, run->decode_ns);
	pipeline->cache_hits += run->cache_hits;
	pipeline->cache_misses += run->cache_misses;
	learn_row_ns(pipeline, run);
	settle_jobs(pipeline);
	if (pipeline->phase == BD_PHASE_FLOW)
		bd_pipeline_watch_ring(pipeline, bd_now_ns(), false);
}

static void finish_window(struct bd_pipeline *pipeline, const struct bd_run *run)
{
	if (run->error.code) {
		fail(pipeline, &run->error);
		return;
	}
	bd_hoard_finish_run(&pipeline->hoard, run);
	bd_clocks_worked(&pipeline->clocks, run->disk_ns, 0);
}

static void finish_files(struct bd_pipeline *pipeline, const struct bd_run *run)
{
	pipeline->files_back += run->count;
	if (run->error.code)
		fail(pipeline, &run->error);
	else if (pipeline->files_back == pipeline->source.file_count && pipeline->phase == BD_PHASE_FILES)
		pipeline->phase = BD_PHASE_PREPARE;
	else if (pipeline->files_back == pipeline->source.file_count && pipeline->phase == BD_PHASE_INFLATE)
		pipeline->phase = BD_PHASE_FLOW;
	notify(pipeline);
}

static bool finish(struct bd_tenant *tenant, const struct bd_run *run)
{
	struct bd_pipeline *pipeline = of_tenant(tenant);
	if (run->job) {
		finish_rows(pipeline, run);
	} else if (run->window) {
		finish_window(pipeline, run);
	} else if (run->count) {
		finish_files(pipeline, run);
	} else if (run->error.code) {
		fail(pipeline, &run->error);
	} else {
		pipeline->phase = pipeline->inflates ? BD_PHASE_INFLATE : BD_PHASE_FLOW;
		pipeline->tenant.large = pipeline->buffer_bytes > 0;
		pipeline->files_handed = pipeline->files_back = 0;
		notify(pipeline);
	}
	return pipeline->quarantine.written < pipeline->quarantine.count && pipeline->quarantine.path;
}

static void settle(struct bd_tenant *tenant)
{
	struct bd_pipeline *pipeline = of_tenant(tenant);
	bd_engine_lock(pipeline->engine);
	char *text = bd_quarantine_take_text(&pipeline->quarantine);
	bd_engine_unlock(pipeline->engine);
	bd_quarantine_write(&pipeline->quarantine, text);
}

/* ---- life ---- */

static void free_pipeline(struct bd_tenant *tenant)
{
	struct bd_pipeline *pipeline = of_tenant(tenant);
	bd_pipeline_unprepare(pipeline);
	bd_records_finish(&pipeline->source);
	bd_quarantine_finish(&pipeline->quarantine);
	bd_dataset_destroy(pipeline->dataset);
	free(pipeline->identities);
	free(pipeline);
}

static const struct bd_tenant_calls calls = { take, work, finish, settle, free_pipeline };

static int init(struct bd_pipeline *pipeline, struct bd_error *error)
{
	const struct bd_engine_options *options = bd_engine_options(pipeline->engine);
	int result = bd_stream_spec_check(&pipeline->spec, error);
	if (result < 0)
		return result;
	pipeline->rank_rows = pipeline->spec.batch / pipeline->spec.world;
	pipeline->position.epoch = pipeline->spec.start_epoch;
	pipeline->position.batch = pipeline->spec.start_batch;
	pipeline->published = pipeline->position;
	result = bd_quarantine_init(&pipeline->quarantine, options->quarantine_folder, pipeline->dataset->name, error);
	if (result < 0)
		return result;
	result = bd_records_init(&pipeline->source, pipeline->dataset, pipeline->identities, options->cache_folder, error);
	if (result < 0)
		return result;
	pipeline->source.descriptors = bd_engine_descriptors(pipeline->engine);
	/* How long an index is, is known when it is built: until prepare takes its bytes, what is free now is the bound for each. */
	uint64_t limit = bd_min_u64(bd_budget_free(bd_engine_budget(pipeline->engine)), BD_SHARD_INDEX_MEMORY_BYTES);
	if (pipeline->quota_bytes)
		limit = bd_min_u64(limit, pipeline->quota_bytes);
	pipeline->source.index_limit_bytes = bd_max_u64(limit, 1);
	return 0;
}

int bd_pipeline_create(struct bd_engine *engine, const struct bd_pipeline_options *options, struct bd_pipeline **ret_pipeline,
                       struct bd_error *error)
{
	struct bd_pipeline *pipeline = calloc(1, sizeof *pipeline);
	if (!pipeline) {
		bd_dataset_destroy(options->dataset_take);
		free(options->identities_take);
		return bd_error_set(error, -ENOMEM, "out of memory");
	}
	*pipeline = (struct bd_pipeline){ .engine = engine,
		                          .dataset = options->dataset_take,
		                          .identities = options->identities_take,
		                          .spec = options->spec,
		                          .quota_bytes = options->memory_quota_bytes,
		                          .notify = options->notify,
		                          .context = options->context };
	int result = init(pipeline, error);
	if (result < 0) {
		free_pipeline(&pipeline->tenant);
		return result;
	}
	if (!pipeline->source.file_count)
		pipeline->phase = BD_PHASE_PREPARE;
	bd_tenant_join(&pipeline->tenant, engine, &calls);
	bd_engine_lock(engine);
	bd_tenant_wake(&pipeline->tenant);
	bd_engine_unlock(engine);
	*ret_pipeline = pipeline;
	return 0;
}

void bd_pipeline_destroy(struct bd_pipeline *pipeline)
{
	if (!pipeline)
		return;
	bd_engine_lock(pipeline->engine);
	pipeline->notify = NULL;
	bd_engine_unlock(pipeline->engine);
	/* relaxed: seen soon is enough */
	atomic_store_explicit(&pipeline->source.stop, true, memory_order_relaxed);
	bd_tenant_leave(&pipeline->tenant);
}

void bd_pipeline_start(struct bd_pipeline *pipeline)
{
	bd_engine_lock(pipeline->engine);
	pipeline->started = true;
	bd_tenant_wake(&pipeline->tenant);
	bd_engine_unlock(pipeline->engine);
}

enum bd_pipeline_state bd_pipeline_state(struct bd_pipeline *pipeline, struct bd_error *ret_error)
{
	enum bd_pipeline_state state = BD_PIPELINE_READY;
	bd_engine_lock(pipeline->engine);
	if (pipeline->error.code) {
		state = BD_PIPELINE_FAILED;
		if (ret_error)
			*ret_error = pipeline->error;
	} else if (pipeline->phase < BD_PHASE_FLOW) {
		state = BD_PIPELINE_INDEXING;
	}
	bd_engine_unlock(pipeline->engine);
	return state;
}

void bd_pipeline_progress(struct bd_pipeline *pipeline, uint64_t *ret_done, uint64_t *ret_total)
{
	/* relaxed: figures for people */
	*ret_done = atomic_load_explicit(&pipeline->source.bytes_done, memory_order_relaxed);
	*ret_total = atomic_load_explicit(&pipeline->source.bytes_total, memory_order_relaxed);
}

const struct bd_schema *bd_pipeline_schema(struct bd_pipeline *pipeline)
{
	bd_engine_lock(pipeline->engine);
	bool known = pipeline->phase == BD_PHASE_FLOW || (pipeline->phase == BD_PHASE_OVER && pipeline->ring);
	bd_engine_unlock(pipeline->engine);
	return known ? &pipeline->layout.schema : NULL;
}
