/* Slow consumers, and the figures about who waits for whom. */
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/data_stream.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#define MEMORY (64ull << 20)

static const char yaml[] = "shards: '*.tfrecord'\nfeatures:\n  label: {type: int64}\n";

static char *folder;

static void make_record(struct bd_example_writer *writer, uint64_t number, void *context)
{
	int64_t label = (int64_t)number;
	(void)context;
	bd_example_writer_add_int64(writer, "label", &label, 1);
}

static int setup(void **state)
{
	(void)state;
	folder = bd_test_folder();
	char *path = bd_test_path(folder, "0.tfrecord");
	bd_test_shard(path, BD_COMPRESSION_NONE, 0, 103, make_record, NULL);
	free(path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bd_test_folder_remove(folder);
	return 0;
}

static struct bd_stream_spec spec_of(uint64_t epochs)
{
	struct bd_stream_spec spec;
	bd_stream_spec_init(&spec);
	spec.batch = 10;
	spec.epochs = epochs;
	return spec;
}

/* A stream of `yaml` that flows to one consumer. */
static struct bd_pipeline *begin(struct bd_engine *engine, const struct bd_stream_spec *spec, struct bd_test_consumer *ret_consumer)
{
	struct bd_error error;
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, spec, &error);
	assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_READY);
	assert_int_equal(bd_test_attach(pipeline, NULL, ret_consumer, &error), 0);
	bd_pipeline_start(pipeline);
	return pipeline;
}

/* Between two batches: it holds nothing, and every slot waits for it. */
static void consumer_that_takes_nothing_is_detached_before_its_next_batch(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(0);
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_test_consumer consumer;
	struct bd_pipeline *pipeline = begin(engine, &spec, &consumer);
	struct bd_ring_item item;
	struct bd_order_position next;
	uint64_t stalled_ns;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(bd_test_next(&consumer, 60000, &item), 0);
		bd_test_release(&consumer, &item);
	}
	while (!bd_consumer_is_slow(consumer.consumer, &stalled_ns))
		usleep(1000);
	bd_consumer_detach_slow(consumer.consumer, &next);
	assert_int_equal(next.epoch, 0);
	assert_int_equal(next.batch, 3);
	bd_test_detach(&consumer);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

/* Full for longer than it was empty before its first batch, which takes any time on a loaded machine. */
static void wait_until_mostly_full(struct bd_pipeline *pipeline, struct bd_pipeline_statistics *ret_statistics)
{
	do {
		usleep(1000);
		bd_pipeline_statistics(pipeline, ret_statistics);
	} while (ret_statistics->ring_full_ns <= ret_statistics->ring_empty_ns);
}

/* The time counts while nothing else happens, and no longer when the stream has ended. */
static void full_ring_names_the_trainer(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(1);
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_test_consumer consumer;
	struct bd_pipeline *pipeline = begin(engine, &spec, &consumer);
	struct bd_ring_item item, before;
	struct bd_pipeline_statistics statistics;
	wait_until_mostly_full(pipeline, &statistics);
	assert_string_equal(statistics.bottleneck, "trainer");
	assert_int_equal(statistics.slots_filled, statistics.slots);
	assert_int_equal(bd_test_next(&consumer, 60000, &before), 0);
	while (bd_test_next(&consumer, 60000, &item) == 0) {
		bd_test_release(&consumer, &before);
		before = item;
	}
	/* Ended: the clocks stand still. */
	bd_pipeline_statistics(pipeline, &statistics);
	uint64_t full_ns = statistics.ring_full_ns, empty_ns = statistics.ring_empty_ns;
	usleep(5000);
	bd_pipeline_statistics(pipeline, &statistics);
	assert_int_equal(statistics.ring_full_ns, full_ns);
	assert_int_equal(statistics.ring_empty_ns, empty_ns);
	bd_test_detach(&consumer);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(consumer_that_takes_nothing_is_detached_before_its_next_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(full_ring_names_the_trainer, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
