/* From opened files to a ring: what has to be known or reserved before the first batch. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/host_memory.h"
#include "common/base/units.h"
#include "common/record/record_reader.h"
#include "common/record/tfrecord.h"
#include "common/stream/spec.h"
#include "daemon/data/engine_parts.h"
#include "daemon/data/pipeline_parts.h"

#define PAGE_BYTES 4096

/* Three quarters: the stream beside it shall find room too. */
#define VAR_SHARE 3
#define VAR_SHARE_OF 4

static int out_of_memory(struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "out of memory");
}

/* Takes of the daemon's memory and of the user's quota; what was taken is given back by unprepare. */
static int take(struct bd_pipeline *pipeline, uint64_t bytes, const char *what, struct bd_error *error)
{
	uint64_t of_quota = pipeline->quota_bytes - bd_min_u64(pipeline->memory_bytes, pipeline->quota_bytes);
	if (pipeline->quota_bytes && bytes > of_quota) {
		char needed[32], rest[32];
		bd_format_size(bytes, needed, sizeof needed);
		bd_format_size(of_quota, rest, sizeof rest);
		return bd_error_set(error, -EDQUOT, "%s: %s are needed, and of your quota of memory %s are left", what, needed,
		                    rest);
	}
	int result = bd_budget_take(bd_engine_budget(pipeline->engine), bytes, what, error);
	if (result == 0)
		pipeline->memory_bytes += bytes;
	return result;
}

/* For what is a wish only: streams that are prepared side by side see the same memory left, and the last of them goes without. */
static bool take_wish(struct bd_pipeline *pipeline, uint64_t bytes, const char *what)
{
	struct bd_error ignored;
	return take(pipeline, bytes, what, &ignored) == 0;
}

static uint64_t left(const struct bd_pipeline *pipeline)
{
	uint64_t bytes = bd_budget_free(bd_engine_budget(pipeline->engine));
	if (pipeline->quota_bytes)
		bytes = bd_min_u64(bytes, pipeline->quota_bytes - bd_min_u64(pipeline->memory_bytes, pipeline->quota_bytes));
	return bytes;
}

/* Records that do not fit the workers' own buffers need larger ones, one a worker: the record is named if that is too much. */
static int reserve_buffers(struct bd_pipeline *pipeline, struct bd_error *error)
{
	uint64_t needed = pipeline->source.largest + BD_TFRECORD_FOOTER_BYTES;
	unsigned threads = bd_engine_threads(pipeline->engine);
	char record[512], what[640];
	if (needed <= BD_WORKER_READ_BYTES)
		return 0;
	bd_records_name_record(&pipeline->source, pipeline->source.largest_record, record, sizeof record);
	if (pipeline->source.largest > BD_RECORD_LIMIT_BYTES)
		return bd_error_set(error, -EFBIG, "%s: its %" PRIu64 " bytes are more than the limit of %" PRIu64, record,
		                    pipeline->source.largest, (uint64_t)BD_RECORD_LIMIT_BYTES);
	snprintf(what, sizeof what, "%s: this record has %" PRIu64 " bytes; to read such ones on %u threads", record,
	         pipeline->source.largest, threads);
	uint64_t bytes;
	if (!bd_multiply_u64(needed, threads, &bytes))
		return bd_error_set(error, -EFBIG, "%s: too large", what);
	int result = take(pipeline, bytes, what, error);
	if (result < 0)
		return result;
	pipeline->buffer_bytes = needed;
	pipeline->buffers = calloc(threads, sizeof *pipeline->buffers);
	return pipeline->buffers ? 0 : out_of_memory(error);
}

/*
 * Bytes of a slot. The var-len area holds whatever the largest records of the dataset can make of a batch; where that is more
 * than VAR_SHARE of the memory left, it holds that share: a batch beyond it ends the stream with a clear error.
 */
static uint64_t slot_bytes(const struct bd_pipeline *pipeline, uint32_t slots)
{
	const struct bd_layout *layout = &pipeline->layout;
	uint64_t bytes = layout->var_offset;
	if (layout->part_count) {
		uint64_t most = bd_layout_var_bytes(layout, bd_records_largest_sum(&pipeline->source, layout->rows));
		/* each slot has a staging area of the same size beside it */
		uint64_t share = left(pipeline) / VAR_SHARE_OF * VAR_SHARE / slots;
		uint64_t allowed = share > bytes ? (share - bytes) / 2 : 0;
		bytes += bd_min_u64(most, allowed);
	}
	bd_align_up(bytes, PAGE_BYTES, &bytes);
	return bytes;
}

/* As many slots as the spec says; its default is lessened where memory is short, down to what still overlaps. */
static int make_ring(struct bd_pipeline *pipeline, struct bd_error *error)
{
	struct bd_stream_spec defaults;
	bd_stream_spec_init(&defaults);
	bool flexible = pipeline->spec.slots == 0 || pipeline->spec.slots == defaults.slots;
	uint32_t slots = pipeline->spec.slots ? pipeline->spec.slots : defaults.slots;
	uint64_t bytes = slot_bytes(pipeline, slots), staging;
	while (flexible && slots > BD_MIN_SLOTS && bytes > left(pipeline) / slots)
		bytes = slot_bytes(pipeline, --slots);
	staging = pipeline->layout.part_count ? bytes - pipeline->layout.var_offset : 0;
	char what[128];
	snprintf(what, sizeof what, "a ring of %u slots of %u rows", slots, pipeline->layout.rows);
	int result = take(pipeline, slots * (bytes + staging), what, error);
	if (result < 0)
		return result;
	struct bd_ring_options options = { .slots = slots,
		                           .slot_bytes = bytes,
		                           .array_count = (uint32_t)pipeline->layout.schema.array_count };
	result = bd_ring_create(&options, &pipeline->ring, error);
	if (result < 0)
		return result;
	pipeline->slots = slots;
	pipeline->staging_limit_bytes = staging;
	pipeline->jobs = calloc(slots, sizeof *pipeline->jobs);
	pipeline->behind = calloc(slots + 1, sizeof *pipeline->behind);
	if (!pipeline->jobs || !pipeline->behind)
		return out_of_memory(error);
	for (uint32_t i = 0; i < slots && result == 0; i++)
		result = bd_job_init(&pipeline->jobs[i], &pipeline->layout, bd_max_u64(staging, 1), error);
	return result;
}

/* A cache is optional: it gets what is left of the memory. One that the stream asks for must at least be possible. */
static int make_cache(struct bd_pipeline *pipeline, struct bd_error *error)
{
	uint64_t wish = pipeline->spec.cache_bytes ? pipeline->spec.cache_bytes : bd_engine_options(pipeline->engine)->cache_bytes;
	if (pipeline->spec.cache_bytes && !bd_cache_can_keep(&pipeline->layout))
		return bd_error_set(error, -EINVAL, "cache: decoded records of %s cannot be kept: %s", pipeline->dataset->name,
		                    pipeline->layout.part_count ? "they differ in length"
		                                                : "random crops and flips differ in each epoch");
	if (!wish || pipeline->spec.epochs == 1)
		return 0;
	int result = bd_cache_init(&pipeline->cache, &pipeline->layout, pipeline->source.records, bd_min_u64(wish, left(pipeline)),
	                           error);
	if (result == 0 && pipeline->cache.places && !take_wish(pipeline, pipeline->cache.bytes, "the cache of decoded records"))
		bd_cache_finish(&pipeline->cache);
	return result;
}

/*
 * Compressed shards that fit into half of what is left are inflated once, in parallel, and kept: a record in the middle then costs
 * nothing, where it costs half a distance between access points otherwise. Reading them once, in order, needs no such thing.
 */
static void plan_inflation(struct bd_pipeline *pipeline)
{
	uint64_t bytes = pipeline->source.inflated_bytes;
	bool once = pipeline->spec.shuffle == BD_SHUFFLE_NONE && pipeline->spec.epochs == 1;
	if (pipeline->source.compressed && !once && bytes <= left(pipeline) / 2)
		pipeline->inflates = take_wish(pipeline, bytes, "the uncompressed shards");
}

/*
 * Compressed shards that did not fit: half of what is left takes their records ahead. In their own order there is nothing to be saved, and
 * what the cache keeps decoded would be inflated for nothing.
 */
static int make_hoard(struct bd_pipeline *pipeline, struct bd_error *error)
{
	uint64_t bytes = bd_min_u64(left(pipeline) / 2, BD_HOARD_WINDOWS * pipeline->source.inflated_bytes);
	if (!pipeline->source.compressed || pipeline->inflates || pipeline->cache.places ||
	    pipeline->spec.shuffle == BD_SHUFFLE_NONE)
		return 0;
	int result = bd_hoard_init(&pipeline->hoard, &pipeline->source, pipeline->rank_rows, bytes, error);
	if (result == 0 && pipeline->hoard.on && !take_wish(pipeline, bytes, "records inflated ahead"))
		bd_hoard_finish(&pipeline->hoard);
	return result;
}

static void make_figures(struct bd_pipeline *pipeline)
{
	pipeline->layout.schema.records = pipeline->source.records;
	pipeline->layout.schema.notes = (const char *const *)pipeline->source.notes.texts;
	pipeline->layout.schema.note_count = pipeline->source.notes.count;
	pipeline->layout.schema.batches_per_epoch = bd_order_batches(&pipeline->order, 0);
	bd_readahead_init(&pipeline->readahead, &pipeline->source, pipeline->rank_rows, bd_host_memory());
}

/* The dataset is this stream's own. What is left of a random crop is the resize. */
static void leave_out_augmentation(struct bd_dataset *dataset)
{
	for (size_t i = 0; i < dataset->feature_count; i++) {
		struct bd_image_options *image = &dataset->features[i].image;
		image->flip = false;
		if (image->crop == BD_CROP_RANDOM_RESIZED)
			image->crop = BD_CROP_NONE;
	}
}

int bd_pipeline_prepare(struct bd_pipeline *pipeline, struct bd_error *error)
{
	if (pipeline->spec.augment == BD_AUGMENT_OFF)
		leave_out_augmentation(pipeline->dataset);
	int result = bd_records_settle(&pipeline->source, error);
	if (result == 0)
		result = take(pipeline, pipeline->source.index_bytes, "the index of the records", error);
	if (result == 0)
		result = bd_order_init(&pipeline->order, pipeline->source.records, &pipeline->spec, error);
	if (result == 0)
		result = bd_layout_init(&pipeline->layout, pipeline->dataset, pipeline->rank_rows, error);
	if (result == 0)
		result = bd_row_plan_init(&pipeline->plan, &pipeline->layout, pipeline->dataset, error);
	if (result == 0)
		result = reserve_buffers(pipeline, error);
	if (result == 0)
		result = make_ring(pipeline, error);
	if (result == 0)
		plan_inflation(pipeline);
	if (result == 0)
		result = make_cache(pipeline, error);
	if (result == 0)
		result = make_hoard(pipeline, error);
	if (result == 0)
		make_figures(pipeline);
	return result;
}

void bd_pipeline_unprepare(struct bd_pipeline *pipeline)
{
	bd_ring_destroy(pipeline->ring);
	for (uint32_t i = 0; pipeline->jobs && i < pipeline->slots; i++)
		bd_job_finish(&pipeline->jobs[i]);
	free(pipeline->jobs);
	free(pipeline->behind);
	for (unsigned i = 0; pipeline->buffers && i < bd_engine_threads(pipeline->engine); i++)
		free(pipeline->buffers[i]);
	free(pipeline->buffers);
	bd_cache_finish(&pipeline->cache);
	bd_hoard_finish(&pipeline->hoard);
	bd_row_plan_finish(&pipeline->plan);
	bd_layout_finish(&pipeline->layout);
	bd_budget_give(bd_engine_budget(pipeline->engine), pipeline->memory_bytes);
}
