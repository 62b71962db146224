/* The data plane from shards to a consumer, in one process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "tests/support/data_stream.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#define MEMORY (64ull << 20)
#define RECORDS 103
#define ROOM 512
#define PIXELS (6 * 5 * 3)

static const char yaml[] = "shards: '*.tfrecord'\n"
			   "features:\n"
			   "  image: {type: image, encoding: raw, shape: [6, 5, 3], dtype: float32, channels: bgr, mean: [116.779, "
			   "116.779, 116.779]}\n"
			   "  label: {type: int64}\n";

static const char yaml_skip[] = "shards: '*.tfrecord'\n"
				"features:\n"
				"  label: {type: int64}\n"
				"  tokens: {type: int64, varlen: true}\n"
				"  name: {type: bytes}\n"
				"on_error: skip\n"
				"skip_limit: 1.0\n";

static char *folder;

static void make_record(struct bd_example_writer *writer, uint64_t number, void *context)
{
	uint8_t pixels[PIXELS];
	int64_t label = (int64_t)number, tokens[8];
	char name[32];
	(void)context;
	for (size_t i = 0; i < sizeof pixels; i++)
		pixels[i] = (uint8_t)(number * 31 + i * 7);
	for (size_t i = 0; i < BD_COUNT_OF(tokens); i++)
		tokens[i] = (int64_t)(number * 10 + i);
	snprintf(name, sizeof name, "record %llu", (unsigned long long)number);
	bd_example_writer_add_bytes(writer, "image", pixels, sizeof pixels);
	bd_example_writer_add_int64(writer, "label", &label, 1);
	bd_example_writer_add_int64(writer, "tokens", tokens, number % BD_COUNT_OF(tokens));
	bd_example_writer_add_bytes(writer, "name", name, strlen(name));
}

static char *shard(unsigned number)
{
	char name[32];
	snprintf(name, sizeof name, "%u.tfrecord", number);
	return bd_test_path(folder, name);
}

/* Three shards, one of them empty. */
static void make_shards(enum bd_compression compression)
{
	char *paths[] = { shard(0), shard(1), shard(2) };
	bd_test_shard(paths[0], compression, 0, 40, make_record, NULL);
	bd_test_shard(paths[1], BD_COMPRESSION_NONE, 0, 0, make_record, NULL);
	bd_test_shard(paths[2], compression, 40, RECORDS - 40, make_record, NULL);
	for (size_t i = 0; i < BD_COUNT_OF(paths); i++)
		free(paths[i]);
}

static int setup(void **state)
{
	(void)state;
	folder = bd_test_folder();
	make_shards(BD_COMPRESSION_NONE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bd_test_folder_remove(folder);
	return 0;
}

static struct bd_stream_spec spec_of(uint32_t batch, enum bd_shuffle shuffle, uint64_t epochs)
{
	struct bd_stream_spec spec;
	bd_stream_spec_init(&spec);
	spec.batch = batch;
	spec.shuffle = shuffle;
	spec.epochs = epochs;
	spec.seed = 7;
	return spec;
}

/* Reads a stream on its own engine. */
static int read_stream(unsigned threads, const char *text, const struct bd_stream_spec *spec, const struct bd_order_position *start,
                       struct bd_test_batch *ret_batches, size_t *ret_count, struct bd_error *ret_error)
{
	struct bd_engine *engine = bd_test_engine(threads, MEMORY);
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, text, spec, ret_error);
	int result = -EINVAL;
	*ret_count = 0;
	if (pipeline && bd_test_wait_ready(pipeline, ret_error) == BD_PIPELINE_READY) {
		result = bd_test_read_all(pipeline, start, ret_batches, ROOM, ret_count);
		bd_pipeline_state(pipeline, ret_error);
	} else if (pipeline) {
		result = ret_error->code;
	}
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
	return result;
}

static void assert_same(const struct bd_test_batch *a, size_t a_count, const struct bd_test_batch *b, size_t b_count)
{
	assert_int_equal(a_count, b_count);
	for (size_t i = 0; i < a_count; i++) {
		assert_int_equal(a[i].epoch, b[i].epoch);
		assert_int_equal(a[i].batch, b[i].batch);
		assert_string_equal(a[i].digest, b[i].digest);
	}
}

static void values_are_the_records(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_GLOBAL, 1);
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_error error;
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	struct bd_test_consumer consumer;
	struct bd_ring_item item;
	bool seen[RECORDS] = { false };
	assert_non_null(pipeline);
	assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_READY);
	const struct bd_schema *schema = bd_pipeline_schema(pipeline);
	assert_int_equal(schema->array_count, 2);
	assert_string_equal(schema->arrays[0].name, "image");
	assert_int_equal(schema->arrays[0].rank, 4);
	assert_int_equal(schema->arrays[0].shape[0], 10);
	assert_int_equal(schema->arrays[0].shape[3], 3);
	assert_int_equal(schema->arrays[1].rank, 1);
	assert_int_equal(schema->records, RECORDS);
	assert_int_equal(schema->batches_per_epoch, 11);
	assert_int_equal(bd_test_attach(pipeline, NULL, &consumer, &error), 0);
	bd_pipeline_start(pipeline);
	while (bd_test_next(&consumer, 60000, &item) == 0) {
		struct bd_ring_array image, label;
		const uint64_t *records;
		uint32_t arrays;
		assert_int_equal(bd_ring_item_records(&item, &arrays, &records), 0);
		assert_int_equal(bd_ring_item_array(&item, 0, &image), 0);
		assert_int_equal(bd_ring_item_array(&item, 1, &label), 0);
		for (uint32_t row = 0; row < item.rows; row++) {
			const float *pixels = (const float *)(const void *)image.data + row * PIXELS;
			assert_false(seen[records[row]]);
			seen[records[row]] = true;
			assert_int_equal(((const int64_t *)(const void *)label.data)[row], records[row]);
			for (size_t i = 0; i < PIXELS; i++) {
				size_t from = i / 3 * 3 + 2 - i % 3;
				assert_true(pixels[i] == (float)(uint8_t)(records[row] * 31 + from * 7) - 116.779f);
			}
		}
		bd_test_release(&consumer, &item);
	}
	for (size_t i = 0; i < RECORDS; i++)
		assert_true(seen[i]);
	bd_test_detach(&consumer);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

static void any_thread_count_is_the_same_stream(void **state)
{
	(void)state;
	static struct bd_test_batch one[ROOM], many[ROOM];
	const char *texts[] = { yaml, yaml_skip };
	for (int shuffle = BD_SHUFFLE_NONE; shuffle <= BD_SHUFFLE_GLOBAL; shuffle++) {
		for (size_t text = 0; text < BD_COUNT_OF(texts); text++) {
			struct bd_stream_spec spec = spec_of(8, (enum bd_shuffle)shuffle, 2);
			struct bd_error error;
			size_t one_count, many_count;
			assert_int_equal(read_stream(1, texts[text], &spec, NULL, one, &one_count, &error), -ENODATA);
			assert_int_equal(one_count, 26);
			for (unsigned threads = 2; threads <= 8; threads *= 4) {
				assert_int_equal(read_stream(threads, texts[text], &spec, NULL, many, &many_count, &error),
				                 -ENODATA);
				assert_same(one, one_count, many, many_count);
			}
		}
	}
}

static void start_anywhere_is_the_rest_of_the_stream(void **state)
{
	(void)state;
	static struct bd_test_batch whole[ROOM], rest[ROOM];
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_GLOBAL, 2);
	struct bd_error error;
	size_t whole_count, rest_count;
	spec.remainder = BD_REMAINDER_CARRY;
	assert_int_equal(read_stream(2, yaml, &spec, NULL, whole, &whole_count, &error), -ENODATA);
	for (size_t i = 0; i < whole_count; i++) {
		struct bd_order_position start = { whole[i].epoch, whole[i].batch };
		assert_int_equal(read_stream(2, yaml, &spec, &start, rest, &rest_count, &error), -ENODATA);
		assert_same(whole + i, whole_count - i, rest, rest_count);
	}
}

static void corrupt_record_inside_a_batch_is_the_end_after_good_batches(void **state)
{
	(void)state;
	static struct bd_test_batch batches[ROOM];
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_NONE, 1);
	struct bd_error error;
	size_t count;
	char *path = shard(2);
	bd_test_damage(path, -6); /* the last record's data */
	for (unsigned threads = 1; threads <= 4; threads++) {
		assert_int_equal(read_stream(threads, yaml, &spec, NULL, batches, &count, &error), -EIO);
		assert_int_equal(count, 10);
		assert_int_equal(error.code, -EBADMSG);
		assert_non_null(strstr(error.text, "2.tfrecord: record 102 at byte "));
		assert_non_null(strstr(error.text, "data CRC mismatch"));
		assert_non_null(strstr(error.text, "on_error: skip"));
	}
	free(path);
}

static void corrupt_record_inside_a_batch_is_left_out_and_listed(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_NONE, 2);
	struct bd_engine *engine = bd_test_engine(3, MEMORY);
	struct bd_error error;
	struct bd_quarantine_entry entries[4];
	struct bd_pipeline_statistics statistics;
	static struct bd_test_batch batches[ROOM];
	size_t count;
	char *path = shard(0);
	bd_test_damage(path, 30); /* record 0 */
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml_skip, &spec, &error);
	assert_non_null(pipeline);
	assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_READY);
	assert_int_equal(bd_test_read_all(pipeline, NULL, batches, ROOM, &count), -ENODATA);
	assert_int_equal(count, 22);
	assert_int_equal(batches[0].rows, 9);
	assert_int_equal(batches[11].rows, 9);
	assert_int_equal(bd_pipeline_quarantine(pipeline, 0, entries, BD_COUNT_OF(entries)), 1);
	assert_int_equal(entries[0].record, 0);
	assert_int_equal(entries[0].offset, 0);
	assert_string_equal(entries[0].file, path);
	assert_non_null(strstr(entries[0].reason, "data CRC mismatch"));
	bd_pipeline_statistics(pipeline, &statistics);
	assert_int_equal(statistics.skipped, 2);
	assert_int_equal(statistics.records, 2 * RECORDS - 2);
	free(path);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

static void batch_without_good_records_is_empty(void **state)
{
	(void)state;
	static struct bd_test_batch batches[ROOM];
	struct bd_stream_spec spec = spec_of(1, BD_SHUFFLE_NONE, 1);
	struct bd_error error;
	size_t count;
	char *path = shard(0);
	bd_test_damage(path, 30);
	assert_int_equal(read_stream(2, yaml_skip, &spec, NULL, batches, &count, &error), -ENODATA);
	assert_int_equal(count, RECORDS);
	assert_int_equal(batches[0].rows, 0);
	assert_int_equal(batches[1].rows, 1);
	free(path);
}

static void more_damage_than_the_limit_is_the_end(void **state)
{
	(void)state;
	static struct bd_test_batch batches[ROOM];
	static const char text[] = "shards: '*.tfrecord'\nfeatures: {label: {type: int64}}\non_error: skip\nskip_limit: 0.005\n";
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_NONE, 1);
	struct bd_error error;
	size_t count;
	char *path = shard(2);
	bd_test_damage(path, -6);
	assert_int_equal(read_stream(2, text, &spec, NULL, batches, &count, &error), -EIO);
	assert_int_equal(count, 10);
	assert_non_null(strstr(error.text, "skip_limit"));
	free(path);
}

static void missing_feature_is_named(void **state)
{
	(void)state;
	static struct bd_test_batch batches[ROOM];
	static const char text[] = "shards: '*.tfrecord'\nfeatures: {labels: {type: int64}}\n";
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_NONE, 1);
	struct bd_error error;
	size_t count;
	assert_int_equal(read_stream(2, text, &spec, NULL, batches, &count, &error), -EIO);
	assert_non_null(strstr(error.text, "record 0 at byte 0: feature 'labels': is missing"));
}

static void no_records_is_an_error(void **state)
{
	(void)state;
	static struct bd_test_batch batches[ROOM];
	static const char text[] = "shards: 1.tfrecord\nfeatures: {label: {type: int64}}\n";
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_NONE, 1);
	struct bd_error error;
	size_t count;
	assert_int_equal(read_stream(2, text, &spec, NULL, batches, &count, &error), -ENODATA);
	assert_int_equal(count, 0);
	assert_non_null(strstr(error.text, "no records"));
}

static void consumers_of_one_stream_get_the_same(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_WINDOW, 1);
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_error error;
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	struct bd_test_consumer first, second;
	struct bd_ring_item item;
	struct bd_order_position start = { 0, 2 };
	char a[65], b[65];
	assert_non_null(pipeline);
	assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_READY);
	assert_int_equal(bd_test_attach(pipeline, NULL, &first, &error), 0);
	assert_int_equal(bd_test_attach(pipeline, &start, &second, &error), 0);
	assert_int_equal(second.first.batch, 2);
	bd_pipeline_start(pipeline);
	for (uint64_t batch = 0; batch < 11; batch++) {
		assert_int_equal(bd_test_next(&first, 60000, &item), 0);
		assert_int_equal(item.batch, batch);
		bd_test_digest(&item, a);
		bd_test_release(&first, &item);
		if (batch < 2)
			continue;
		assert_int_equal(bd_test_next(&second, 60000, &item), 0);
		assert_int_equal(item.batch, batch);
		bd_test_digest(&item, b);
		bd_test_release(&second, &item);
		assert_string_equal(a, b);
	}
	assert_int_equal(bd_test_next(&first, 60000, &item), -ENODATA);
	assert_int_equal(bd_test_next(&second, 60000, &item), -ENODATA);
	start.batch = 1;
	assert_int_equal(bd_pipeline_attach(pipeline, -1, &start, &first.consumer, NULL, NULL, &error), -ESTALE);
	bd_test_detach(&second);
	bd_test_detach(&first);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

static void consumer_that_stops_blocks_no_other_stream(void **state)
{
	(void)state;
	static struct bd_test_batch batches[ROOM];
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_GLOBAL, 0), short_spec = spec_of(10, BD_SHUFFLE_GLOBAL, 3);
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_error error;
	struct bd_pipeline *stuck = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	struct bd_pipeline *other = bd_test_pipeline(engine, folder, yaml, &short_spec, &error);
	struct bd_test_consumer consumer;
	struct bd_ring_item item;
	uint64_t stalled_ns;
	size_t count;
	assert_int_equal(bd_test_wait_ready(stuck, &error), BD_PIPELINE_READY);
	assert_int_equal(bd_test_wait_ready(other, &error), BD_PIPELINE_READY);
	assert_int_equal(bd_test_attach(stuck, NULL, &consumer, &error), 0);
	bd_pipeline_start(stuck);
	assert_int_equal(bd_test_next(&consumer, 60000, &item), 0);
	assert_int_equal(bd_test_read_all(other, NULL, batches, ROOM, &count), -ENODATA);
	assert_int_equal(count, 33);
	while (!bd_consumer_is_slow(consumer.consumer, &stalled_ns))
		usleep(1000);
	struct bd_order_position next;
	bd_consumer_detach_slow(consumer.consumer, &next);
	assert_int_equal(next.epoch, 0);
	assert_int_equal(next.batch, 1);
	bd_pipeline_destroy(other);
	bd_test_detach(&consumer);
	bd_pipeline_destroy(stuck);
	bd_engine_destroy(engine);
}

static void destroyed_stream_with_work_in_flight_ends_quietly(void **state)
{
	(void)state;
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	for (int i = 0; i < 30; i++) {
		struct bd_stream_spec spec = spec_of(64, BD_SHUFFLE_GLOBAL, 0);
		struct bd_error error;
		struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
		struct bd_test_consumer consumer;
		if (i % 3 == 0) {
			bd_pipeline_destroy(pipeline);
			continue;
		}
		assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_READY);
		assert_int_equal(bd_test_attach(pipeline, NULL, &consumer, &error), 0);
		bd_pipeline_start(pipeline);
		if (i % 3 == 1) {
			struct bd_ring_item item;
			assert_int_equal(bd_test_next(&consumer, 60000, &item), 0);
		}
		bd_test_detach(&consumer);
		bd_pipeline_destroy(pipeline);
	}
	uint64_t used, limit, idle;
	bd_engine_memory(engine, &used, &limit);
	bd_engine_destroy(engine);
	engine = bd_test_engine(2, MEMORY);
	bd_engine_memory(engine, &idle, &limit);
	bd_engine_destroy(engine);
	(void)idle;
	assert_true(used <= limit);
}

/* Reads an endless stream until what `change` does to shard 2 is noticed. */
static void read_until_stale(void (*change)(const char *path))
{
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_NONE, 0);
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_error error = { 0 };
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	struct bd_test_consumer consumer;
	struct bd_ring_item item;
	char *path = shard(2);
	int result;
	assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_READY);
	assert_int_equal(bd_test_attach(pipeline, NULL, &consumer, &error), 0);
	bd_pipeline_start(pipeline);
	assert_int_equal(bd_test_next(&consumer, 60000, &item), 0);
	change(path);
	do {
		bd_test_release(&consumer, &item);
		result = bd_test_next(&consumer, 60000, &item);
	} while (result == 0);
	assert_int_equal(result, -EIO);
	assert_int_equal(bd_pipeline_state(pipeline, &error), BD_PIPELINE_FAILED);
	assert_int_equal(error.code, -ESTALE);
	assert_non_null(strstr(error.text, "2.tfrecord"));
	free(path);
	bd_test_detach(&consumer);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

static void cut_short(const char *path)
{
	assert_int_equal(truncate(path, 100), 0);
}

static void replace(const char *path)
{
	char *fresh = bd_test_path(folder, "fresh");
	bd_test_shard(fresh, BD_COMPRESSION_NONE, 40, RECORDS - 40, make_record, NULL);
	assert_int_equal(rename(fresh, path), 0);
	free(fresh);
}

static void shard_truncated_while_it_is_read_is_noticed(void **state)
{
	(void)state;
	read_until_stale(cut_short);
}

/* The open descriptor still reads the old file: the name is looked at too. */
static void shard_replaced_while_it_is_read_is_noticed(void **state)
{
	(void)state;
	read_until_stale(replace);
}

static void ring_beyond_the_memory_is_refused(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(100000, BD_SHUFFLE_NONE, 0);
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_error error = { 0 };
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	assert_non_null(pipeline);
	assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_FAILED);
	assert_int_equal(error.code, -ENOMEM);
	assert_non_null(strstr(error.text, "--memory"));
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

static void cache_that_could_keep_nothing_is_refused(void **state)
{
	(void)state;
	static const char ragged[] = "shards: '*.tfrecord'\nfeatures:\n  tokens: {type: int64, varlen: true}\n";
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_GLOBAL, 4);
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_error error;
	spec.cache_bytes = 1 << 20;
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, ragged, &spec, &error);
	assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_FAILED);
	assert_int_equal(error.code, -EINVAL);
	assert_non_null(strstr(error.text, "cannot be kept: they differ in length"));
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

static void cached_share_is_the_hit_rate(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_GLOBAL, 4);
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_error error;
	struct bd_pipeline_statistics statistics;
	static struct bd_test_batch cached[ROOM], plain[ROOM];
	size_t cached_count, plain_count;
	assert_int_equal(read_stream(2, yaml, &spec, NULL, plain, &plain_count, &error), -ENODATA);
	spec.cache_bytes = 40 * (PIXELS * 4 + 8 + 1);
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_READY);
	assert_int_equal(bd_test_read_all(pipeline, NULL, cached, ROOM, &cached_count), -ENODATA);
	bd_pipeline_statistics(pipeline, &statistics);
	assert_int_equal(statistics.cache_hits, 3 * 40);
	assert_int_equal(statistics.cache_misses, 4 * RECORDS - 3 * 40);
	assert_same(plain, plain_count, cached, cached_count);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(values_are_the_records, setup, teardown),
		cmocka_unit_test_setup_teardown(any_thread_count_is_the_same_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(start_anywhere_is_the_rest_of_the_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(corrupt_record_inside_a_batch_is_the_end_after_good_batches, setup, teardown),
		cmocka_unit_test_setup_teardown(corrupt_record_inside_a_batch_is_left_out_and_listed, setup, teardown),
		cmocka_unit_test_setup_teardown(batch_without_good_records_is_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(more_damage_than_the_limit_is_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_feature_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(no_records_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(consumers_of_one_stream_get_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(consumer_that_stops_blocks_no_other_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(destroyed_stream_with_work_in_flight_ends_quietly, setup, teardown),
		cmocka_unit_test_setup_teardown(shard_truncated_while_it_is_read_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(shard_replaced_while_it_is_read_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(ring_beyond_the_memory_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(cache_that_could_keep_nothing_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(cached_share_is_the_hit_rate, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
