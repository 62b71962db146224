/*
 * data_stream.h - a stream of the data plane within one process: engine, pipeline and a consumer that reads the ring as a client does.
 */
#ifndef BD_TESTS_SUPPORT_DATA_STREAM_H
#define BD_TESTS_SUPPORT_DATA_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/stream/order.h"
#include "common/stream/ring.h"
#include "common/stream/spec.h"
#include "daemon/data/engine.h"
#include "daemon/data/pipeline.h"

/* An engine with little memory and no folders; ends the test when it cannot be made. */
struct bd_engine *bd_test_engine(unsigned threads, uint64_t memory_bytes);

/* A pipeline for a dataset given as YAML; relative shards lie in `folder`. NULL with *ret_error where it is refused at once. */
struct bd_pipeline *bd_test_pipeline(struct bd_engine *engine, const char *folder, const char *yaml,
                                     const struct bd_stream_spec *spec, struct bd_error *ret_error);

/* Waits until it no longer indexes; a state that does not come within a minute ends the test. */
enum bd_pipeline_state bd_test_wait_ready(struct bd_pipeline *pipeline, struct bd_error *ret_error);

struct bd_test_consumer {
	struct bd_pipeline *pipeline;
	struct bd_consumer *consumer;
	struct bd_ring_view *view;
	int sockets[2]; /* ours, the daemon's */
	struct bd_order_position first;
};

/* Returns attach's result. */
int bd_test_attach(struct bd_pipeline *pipeline, const struct bd_order_position *start, struct bd_test_consumer *ret_consumer,
                   struct bd_error *ret_error);
void bd_test_detach(struct bd_test_consumer *consumer);

/* The next batch, waiting for it as a client does: 0, -ENODATA, -EIO, -ESTALE; -EAGAIN after `timeout_ms`. */
int bd_test_next(struct bd_test_consumer *consumer, int timeout_ms, struct bd_ring_item *ret_item);

/* Gives everything back up to and with this item. */
void bd_test_release(struct bd_test_consumer *consumer, const struct bd_ring_item *item);

/* SHA-256 over the batch: rows, record numbers, and shape and bytes of every array. */
void bd_test_digest(const struct bd_ring_item *item, char ret_hex[65]);

/* The whole stream from its start, or `start`, to its end: one digest a batch, at most `room`. *ret_count of them; returns what ended it. */
struct bd_test_batch {
	uint64_t epoch, batch;
	uint32_t rows;
	char digest[65];
};
int bd_test_read_all(struct bd_pipeline *pipeline, const struct bd_order_position *start, struct bd_test_batch *ret_batches,
                     size_t room, size_t *ret_count);

#endif
