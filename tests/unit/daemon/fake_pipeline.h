/*
 * fake_pipeline.h - an engine and pipelines without threads and data, whose state a test sets; included by one test file
 * instead of linking the real ones. The rings are real memfds of one page, so that OPENED carries what it should.
 */
#ifndef BD_TESTS_UNIT_DAEMON_FAKE_PIPELINE_H
#define BD_TESTS_UNIT_DAEMON_FAKE_PIPELINE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <batchd/client.h>

#include "common/record/dataset.h"
#include "common/stream/order.h"
#include "daemon/data/engine.h"
#include "daemon/data/pipeline.h"

struct bd_engine {
	int none;
};

struct bd_consumer {
	struct bd_pipeline *pipeline;
	int fd;
	bool slow, breaks_contract, detached_slow;
	unsigned wakes;
};

struct bd_pipeline {
	struct bd_pipeline_options options;
	enum bd_pipeline_state state;
	struct bd_error error;
	struct bd_order_position position;
	bool started;
	unsigned consumers;
	struct bd_pipeline_statistics statistics;
	struct bd_schema schema;
};

/* What the next pipeline is born as, and the last one that was born; how many live. */
static struct {
	enum bd_pipeline_state state;
	int create_result;
	uint64_t memory_bytes;
	struct bd_pipeline *last;
	struct bd_consumer *last_consumer;
	int pipelines, consumers;
} fake;

static const struct bd_array_schema fake_arrays[] = {
	{ .name = "label", .dtype = BD_INT64, .rank = 1, .shape = { 4 } },
};

int bd_engine_create(const struct bd_engine_options *options, struct bd_engine **ret_engine, struct bd_error *error)
{
	(void)options, (void)error;
	*ret_engine = calloc(1, sizeof **ret_engine);
	return 0;
}

void bd_engine_destroy(struct bd_engine *engine)
{
	free(engine);
}

void bd_engine_memory(const struct bd_engine *engine, uint64_t *ret_used, uint64_t *ret_limit)
{
	(void)engine;
	*ret_used = 1;
	*ret_limit = 1 << 30;
}

void bd_engine_relieve(struct bd_engine *engine, uint64_t now_ns)
{
	(void)engine, (void)now_ns;
}

unsigned bd_engine_threads(const struct bd_engine *engine)
{
	(void)engine;
	return 1;
}

int bd_pipeline_create(struct bd_engine *engine, const struct bd_pipeline_options *options, struct bd_pipeline **ret_pipeline,
                       struct bd_error *error)
{
	(void)engine;
	if (fake.create_result < 0) {
		bd_dataset_destroy(options->dataset_take);
		free(options->identities_take);
		return bd_error_set(error, fake.create_result, "the fake refuses");
	}
	struct bd_pipeline *pipeline = calloc(1, sizeof *pipeline);
	pipeline->options = *options;
	pipeline->state = fake.state;
	pipeline->statistics.memory_bytes = fake.memory_bytes;
	pipeline->statistics.bottleneck = "disk";
	pipeline->schema = (struct bd_schema){ .array_count = 1, .arrays = fake_arrays, .records = 8, .batches_per_epoch = 2 };
	fake.last = pipeline;
	fake.pipelines++;
	*ret_pipeline = pipeline;
	return 0;
}

void bd_pipeline_destroy(struct bd_pipeline *pipeline)
{
	if (!pipeline)
		return;
	if (pipeline->consumers)
		abort();
	bd_dataset_destroy(pipeline->options.dataset_take);
	free(pipeline->options.identities_take);
	free(pipeline);
	fake.pipelines--;
}

enum bd_pipeline_state bd_pipeline_state(struct bd_pipeline *pipeline, struct bd_error *ret_error)
{
	if (pipeline->state == BD_PIPELINE_FAILED && ret_error)
		*ret_error = pipeline->error;
	return pipeline->state;
}

void bd_pipeline_progress(struct bd_pipeline *pipeline, uint64_t *ret_done, uint64_t *ret_total)
{
	(void)pipeline;
	*ret_done = 3;
	*ret_total = 10;
}

const struct bd_schema *bd_pipeline_schema(struct bd_pipeline *pipeline)
{
	return pipeline->state == BD_PIPELINE_INDEXING ? NULL : &pipeline->schema;
}

int bd_pipeline_attach(struct bd_pipeline *pipeline, int wake_fd, const struct bd_order_position *start,
                       struct bd_consumer **ret_consumer, struct bd_consumer_files *ret_files,
                       struct bd_order_position *ret_position, struct bd_error *error)
{
	(void)wake_fd;
	if (pipeline->started && start &&
	    (start->epoch < pipeline->position.epoch ||
	     (start->epoch == pipeline->position.epoch && start->batch < pipeline->position.batch)))
		return bd_error_set(error, -ESTALE, "the stream has passed it");
	if (!start && pipeline->options.spec.epochs && pipeline->position.epoch >= pipeline->options.spec.epochs)
		return bd_error_set(error, -ENODATA, "the stream has ended");
	struct bd_consumer *consumer = calloc(1, sizeof *consumer);
	consumer->pipeline = pipeline;
	consumer->fd = memfd_create("fake", MFD_CLOEXEC);
	if (consumer->fd < 0 || ftruncate(consumer->fd, 4096) != 0)
		abort();
	pipeline->consumers++;
	fake.consumers++;
	fake.last_consumer = consumer;
	*ret_consumer = consumer;
	*ret_files = (struct bd_consumer_files){ consumer->fd, consumer->fd, consumer->fd };
	*ret_position = start ? *start : pipeline->position;
	return 0;
}

void bd_pipeline_start(struct bd_pipeline *pipeline)
{
	pipeline->started = true;
}

int bd_consumer_wake(struct bd_consumer *consumer, struct bd_error *error)
{
	consumer->wakes++;
	return consumer->breaks_contract ? bd_error_set(error, -EPROTO, "released went backwards") : 0;
}

void bd_consumer_detach(struct bd_consumer *consumer)
{
	if (!consumer)
		return;
	consumer->pipeline->consumers--;
	fake.consumers--;
	close(consumer->fd);
	free(consumer);
}

void bd_consumer_detach_slow(struct bd_consumer *consumer, struct bd_order_position *ret_next)
{
	consumer->detached_slow = true;
	*ret_next = (struct bd_order_position){ 0, 7 };
}

bool bd_consumer_is_slow(struct bd_consumer *consumer, uint64_t *ret_stalled_ns)
{
	*ret_stalled_ns = UINT64_MAX;
	return consumer->slow;
}

void bd_pipeline_statistics(struct bd_pipeline *pipeline, struct bd_pipeline_statistics *ret_statistics)
{
	*ret_statistics = pipeline->statistics;
}

size_t bd_pipeline_quarantine(struct bd_pipeline *pipeline, size_t from, struct bd_quarantine_entry *ret_entries, size_t room)
{
	(void)pipeline;
	static const size_t all = 700;
	for (size_t i = from; i < all && i - from < room; i++) {
		ret_entries[i - from] = (struct bd_quarantine_entry){ .record = i, .file = "a.tfrecord", .offset = 12 * i };
		strcpy(ret_entries[i - from].reason, "data CRC");
	}
	return all;
}

#endif
