#include "tests/support/data_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/sha256.h"
#include "common/record/dataset.h"

#define REQUIRE(condition)                                                                                                         \
	do {                                                                                                                       \
		if (!(condition)) {                                                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
			abort();                                                                                                   \
		}                                                                                                                  \
	} while (0)

#define PATIENCE_NS (60 * BD_NS_PER_S)

struct bd_engine *bd_test_engine(unsigned threads, uint64_t memory_bytes)
{
	struct bd_engine_options options = { .threads = threads, .memory_bytes = memory_bytes };
	struct bd_engine *engine = NULL;
	struct bd_error error;
	if (bd_engine_create(&options, &engine, &error) < 0) {
		fprintf(stderr, "engine: %s\n", error.text);
		abort();
	}
	return engine;
}

struct bd_pipeline *bd_test_pipeline(struct bd_engine *engine, const char *folder, const char *yaml,
                                     const struct bd_stream_spec *spec, struct bd_error *ret_error)
{
	struct bd_pipeline_options options = { .spec = *spec };
	struct bd_pipeline *pipeline = NULL;
	if (bd_dataset_parse("test.yaml", folder, yaml, strlen(yaml), &options.dataset_take, ret_error) < 0)
		return NULL;
	return bd_pipeline_create(engine, &options, &pipeline, ret_error) < 0 ? NULL : pipeline;
}

enum bd_pipeline_state bd_test_wait_ready(struct bd_pipeline *pipeline, struct bd_error *ret_error)
{
	uint64_t begin_ns = bd_now_ns();
	enum bd_pipeline_state state;
	while ((state = bd_pipeline_state(pipeline, ret_error)) == BD_PIPELINE_INDEXING) {
		REQUIRE(bd_now_ns() - begin_ns < PATIENCE_NS);
		usleep(1000);
	}
	return state;
}

int bd_test_attach(struct bd_pipeline *pipeline, const struct bd_order_position *start, struct bd_test_consumer *ret_consumer,
                   struct bd_error *ret_error)
{
	struct bd_test_consumer *consumer = ret_consumer;
	struct bd_consumer_files files;
	*consumer = (struct bd_test_consumer){ .pipeline = pipeline };
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, consumer->sockets) == 0);
	int result = bd_pipeline_attach(pipeline, consumer->sockets[1], start, &consumer->consumer, &files, &consumer->first,
	                                ret_error);
	if (result < 0) {
		close(consumer->sockets[0]);
		close(consumer->sockets[1]);
		return result;
	}
	REQUIRE(bd_ring_view_open_take(dup(files.arena), dup(files.ctl), dup(files.cons), &consumer->view, ret_error) == 0);
	return 0;
}

void bd_test_detach(struct bd_test_consumer *consumer)
{
	bd_consumer_detach(consumer->consumer);
	bd_ring_view_close(consumer->view);
	close(consumer->sockets[0]);
	close(consumer->sockets[1]);
}

int bd_test_next(struct bd_test_consumer *consumer, int timeout_ms, struct bd_ring_item *ret_item)
{
	for (;;) {
		int result = bd_ring_view_take(consumer->view, ret_item);
		if (result != -EAGAIN)
			return result;
		if (!bd_ring_view_sleep(consumer->view))
			continue;
		struct pollfd wait = { .fd = consumer->sockets[0], .events = POLLIN };
		int ready = poll(&wait, 1, timeout_ms);
		bd_ring_view_awake(consumer->view);
		if (ready == 0)
			return -EAGAIN;
		char packet[256];
		REQUIRE(recv(consumer->sockets[0], packet, sizeof packet, 0) > 0);
	}
}

void bd_test_release(struct bd_test_consumer *consumer, const struct bd_ring_item *item)
{
	struct bd_error error;
	if (bd_ring_view_release(consumer->view, item->sequence + 1))
		REQUIRE(bd_consumer_wake(consumer->consumer, &error) == 0);
}

void bd_test_digest(const struct bd_ring_item *item, char ret_hex[65])
{
	struct bd_sha256 sha;
	uint32_t arrays;
	const uint64_t *records;
	bd_sha256_init(&sha);
	REQUIRE(bd_ring_item_records(item, &arrays, &records) == 0);
	bd_sha256_update(&sha, &item->rows, sizeof item->rows);
	bd_sha256_update(&sha, records, item->rows * sizeof *records);
	for (uint32_t i = 0; i < arrays; i++) {
		struct bd_ring_array array;
		REQUIRE(bd_ring_item_array(item, i, &array) == 0);
		bd_sha256_update(&sha, array.shape, sizeof array.shape);
		bd_sha256_update(&sha, array.data, array.bytes);
	}
	bd_sha256_finish(&sha, ret_hex);
}

int bd_test_read_all(struct bd_pipeline *pipeline, const struct bd_order_position *start, struct bd_test_batch *ret_batches,
                     size_t room, size_t *ret_count)
{
	struct bd_test_consumer consumer;
	struct bd_ring_item item;
	struct bd_error error;
	size_t count = 0;
	int result = bd_test_attach(pipeline, start, &consumer, &error);
	if (result < 0)
		return result;
	bd_pipeline_start(pipeline);
	while ((result = bd_test_next(&consumer, 60000, &item)) == 0) {
		REQUIRE(count < room);
		ret_batches[count] = (struct bd_test_batch){ item.epoch, item.batch, item.rows, "" };
		bd_test_digest(&item, ret_batches[count++].digest);
		bd_test_release(&consumer, &item);
	}
	bd_test_detach(&consumer);
	*ret_count = count;
	return result;
}
