/* Consumers of a stream's ring, and the stream's figures: what the loop asks while batches flow. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "daemon/data/engine_parts.h"
#include "daemon/data/pipeline_parts.h"

static bool is_before(const struct bd_order_position *a, const struct bd_order_position *b)
{
	return a->epoch < b->epoch || (a->epoch == b->epoch && a->batch < b->batch);
}

/* ---- attaching ---- */

static int check_state(const struct bd_pipeline *pipeline, struct bd_error *error)
{
	if (pipeline->error.code) {
		if (error)
			*error = pipeline->error;
		return pipeline->error.code;
	}
	if (pipeline->phase < BD_PHASE_FLOW)
		return bd_error_set(error, -EAGAIN, "the stream is not ready yet");
	return 0;
}

/* The position in its normal form; the one behind the last batch is one too. */
static int normalize(const struct bd_pipeline *pipeline, const struct bd_order_position *start,
                     struct bd_order_position *ret_position, struct bd_error *error)
{
	struct bd_order_batch batch;
	struct bd_order_position next;
	int result = bd_order_batch_at(&pipeline->order, *start, &batch, &next);
	if (result == -ENODATA) {
		*ret_position = *start;
		return 0;
	}
	if (result < 0 && pipeline->spec.epochs && start->epoch >= pipeline->spec.epochs)
		return bd_error_set(error, result, "start %" PRIu64 ":%" PRIu64 ": the stream ends at %" PRIu64 ":0", start->epoch,
		                    start->batch, pipeline->spec.epochs);
	if (result < 0)
		return bd_error_set(error, result, "start %" PRIu64 ":%" PRIu64 ": epoch %" PRIu64 " has %" PRIu64 " batches",
		                    start->epoch, start->batch, start->epoch, bd_order_batches(&pipeline->order, start->epoch));
	*ret_position = (struct bd_order_position){ batch.epoch, batch.batch };
	return 0;
}

/* Before the first row is handed out, or what is inflated ahead is planned, the stream may still begin anywhere; later it only goes on. */
static int agree_on_start(struct bd_pipeline *pipeline, const struct bd_order_position *start, struct bd_order_position *ret_first,
                          struct bd_error *error)
{
	struct bd_order_position first = pipeline->published;
	bool running = pipeline->batches > 0 || pipeline->job_count > 0 || pipeline->hoard.begun ||
	               pipeline->phase == BD_PHASE_OVER;
	int result = start ? normalize(pipeline, start, &first, error) : normalize(pipeline, &pipeline->published, &first, error);
	if (result < 0)
		return result;
	if (running && is_before(&first, &pipeline->published))
		return bd_error_set(error, -ESTALE,
		                    "start %" PRIu64 ":%" PRIu64 ": the shared stream has passed it and stands at %" PRIu64
		                    ":%" PRIu64,
		                    first.epoch, first.batch, pipeline->published.epoch, pipeline->published.batch);
	if (!running && (!pipeline->consumers || is_before(&first, &pipeline->position)))
		pipeline->position = pipeline->published = first;
	*ret_first = first;
	return 0;
}

static int attach(struct bd_pipeline *pipeline, int wake_fd, const struct bd_order_position *start, struct bd_consumer *consumer,
                  struct bd_consumer_files *ret_files, struct bd_error *error)
{
	struct bd_order_position first = { 0 };
	struct bd_ring_files files;
	int result = check_state(pipeline, error);
	if (result == 0)
		result = agree_on_start(pipeline, start, &first, error);
	if (result == 0)
		result = bd_ring_attach(pipeline->ring, wake_fd, first.epoch, first.batch, &consumer->ring, &files, error);
	if (result < 0)
		return result;
	consumer->pipeline = pipeline;
	consumer->first = first;
	consumer->next = pipeline->consumers;
	pipeline->consumers = consumer;
	*ret_files = (struct bd_consumer_files){ files.arena, files.ctl, files.cons };
	bd_tenant_wake(&pipeline->tenant);
	return 0;
}

int bd_pipeline_attach(struct bd_pipeline *pipeline, int wake_fd, const struct bd_order_position *start,
                       struct bd_consumer **ret_consumer, struct bd_consumer_files *ret_files,
                       struct bd_order_position *ret_position, struct bd_error *error)
{
	struct bd_consumer *consumer = calloc(1, sizeof *consumer);
	if (!consumer)
		return bd_error_set(error, -ENOMEM, "out of memory");
	bd_engine_lock(pipeline->engine);
	int result = attach(pipeline, wake_fd, start, consumer, ret_files, error);
	bd_engine_unlock(pipeline->engine);
	if (result < 0) {
		free(consumer);
		return result;
	}
	*ret_consumer = consumer;
	*ret_position = consumer->first;
	return 0;
}

/* ---- while it is attached ---- */

int bd_consumer_wake(struct bd_consumer *consumer, struct bd_error *error)
{
	struct bd_pipeline *pipeline = consumer->pipeline;
	uint32_t freed;
	bd_engine_lock(pipeline->engine);
	int result = bd_ring_collect(consumer->ring, &freed, error);
	if (result == 0)
		bd_tenant_wake(&pipeline->tenant);
	bd_engine_unlock(pipeline->engine);
	return result;
}

void bd_consumer_detach_slow(struct bd_consumer *consumer, struct bd_order_position *ret_next)
{
	struct bd_pipeline *pipeline = consumer->pipeline;
	uint32_t waiting, taken, alone;
	bd_engine_lock(pipeline->engine);
	bd_ring_consumer_held(consumer->ring, &waiting, &alone);
	bd_ring_detach_slow(consumer->ring);
	bd_ring_consumer_held(consumer->ring, &taken, &alone);
	consumer->slow = true;
	/* Of what waited for it, the batches published last were not taken. */
	uint64_t untaken = waiting - taken;
	*ret_next = pipeline->published;
	if (untaken && pipeline->batches > untaken)
		*ret_next = pipeline->behind[(pipeline->batches - untaken - 1) % (pipeline->slots + 1)];
	else if (untaken || is_before(ret_next, &consumer->first))
		*ret_next = consumer->first;
	bd_tenant_wake(&pipeline->tenant);
	bd_engine_unlock(pipeline->engine);
}

void bd_consumer_detach(struct bd_consumer *consumer)
{
	if (!consumer)
		return;
	struct bd_pipeline *pipeline = consumer->pipeline;
	bd_engine_lock(pipeline->engine);
	struct bd_consumer **at = &pipeline->consumers;
	while (*at != consumer)
		at = &(*at)->next;
	*at = consumer->next;
	bd_ring_detach(consumer->ring);
	bd_tenant_wake(&pipeline->tenant);
	bd_engine_unlock(pipeline->engine);
	free(consumer);
}

bool bd_consumer_is_slow(struct bd_consumer *consumer, uint64_t *ret_stalled_ns)
{
	struct bd_pipeline *pipeline = consumer->pipeline;
	uint32_t held, alone, used, ready;
	uint64_t now_ns = bd_now_ns();
	bd_engine_lock(pipeline->engine);
	bd_ring_collect_all(pipeline->ring);
	bd_ring_consumer_held(consumer->ring, &held, &alone);
	bd_ring_fill(pipeline->ring, &used, &ready);
	bool stalls = !consumer->slow && used == pipeline->slots && alone > 0 && alone == ready;
	/* One that goes on, however slowly, is not stuck: it is looked at ten times a second and may be behind each time. */
	uint64_t released = bd_ring_consumer_released(consumer->ring);
	bool moved = released != consumer->released_before;
	consumer->released_before = released;
	if (!stalls)
		consumer->stalled_since_ns = 0;
	else if (!consumer->stalled_since_ns || moved)
		consumer->stalled_since_ns = now_ns;
	*ret_stalled_ns = stalls ? now_ns - consumer->stalled_since_ns : 0;
	bd_tenant_wake(&pipeline->tenant);
	bd_engine_unlock(pipeline->engine);
	return stalls;
}

/* ---- figures ---- */

void bd_pipeline_statistics(struct bd_pipeline *pipeline, struct bd_pipeline_statistics *ret_statistics)
{
	struct bd_pipeline_statistics statistics = { 0 };
	uint32_t used;
	bd_engine_lock(pipeline->engine);
	uint64_t now_ns = bd_now_ns(); /* under the lock: the clocks never go back */
	/* Nothing happens while a trainer does something else: the time until now counts, too. */
	if (pipeline->phase == BD_PHASE_FLOW)
		bd_pipeline_watch_ring(pipeline, now_ns, pipeline->clocks.full_since_ns != 0);
	if (pipeline->phase == BD_PHASE_FLOW || pipeline->phase == BD_PHASE_OVER) {
		if (pipeline->ring)
			bd_ring_fill(pipeline->ring, &used, &statistics.slots_filled);
		statistics.slots = pipeline->slots;
		statistics.memory_bytes = pipeline->memory_bytes;
	}
	statistics.batches = pipeline->batches;
	statistics.records = pipeline->clocks.total.records;
	statistics.bytes = pipeline->bytes;
	statistics.skipped = pipeline->skipped;
	statistics.disk_ns = pipeline->clocks.total.disk_ns;
	statistics.decode_ns = pipeline->clocks.total.decode_ns;
	statistics.ring_full_ns = pipeline->clocks.total.ring_full_ns;
	statistics.ring_empty_ns = pipeline->clocks.total.ring_empty_ns;
	statistics.bottleneck = bd_clocks_bottleneck(&pipeline->clocks);
	statistics.cache_hits = pipeline->cache_hits;
	statistics.cache_misses = pipeline->cache_misses;
	statistics.epoch = pipeline->published.epoch;
	statistics.batch = pipeline->published.batch;
	statistics.records_per_s = bd_clocks_records_per_s(&pipeline->clocks, now_ns);
	bd_engine_unlock(pipeline->engine);
	*ret_statistics = statistics;
}

size_t bd_pipeline_quarantine(struct bd_pipeline *pipeline, size_t from, struct bd_quarantine_entry *ret_entries, size_t room)
{
	bd_engine_lock(pipeline->engine);
	size_t count = pipeline->quarantine.count;
	for (size_t i = 0; i < room && from + i < count; i++)
		ret_entries[i] = pipeline->quarantine.entries[from + i];
	bd_engine_unlock(pipeline->engine);
	return count;
}
