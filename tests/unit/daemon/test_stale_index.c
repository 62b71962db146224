/* A kept index of other records costs a stream no intact record: it is noticed, made anew and said. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/record/shard_index_parts.h"
#include "tests/support/data_stream.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#define RECORDS 1000u
#define CHANGED 502u

static char *folder, *shard, *cache;

static const char yaml[] = "shards: [shard]\nfeatures: {blob: {type: bytes}}\non_error: skip\n";

/* Lengths may be exchanged between two neighbours: the size stays. */
static void make_record(struct bd_example_writer *writer, uint64_t number, void *context)
{
	const size_t *lengths = context;
	uint8_t blob[128] = { 0 };
	bd_example_writer_add_bytes(writer, "blob", blob,
	                            number == CHANGED       ? lengths[0]
	                            : number == CHANGED + 1 ? lengths[1]
	                                                    : lengths[2]);
}

static void make_shard(size_t changed, size_t next, size_t others)
{
	size_t lengths[] = { changed, next, others };
	bd_test_shard(shard, BD_COMPRESSION_NONE, 0, RECORDS, make_record, lengths);
}

static int setup(void **state)
{
	(void)state;
	folder = bd_test_folder();
	shard = bd_test_path(folder, "shard");
	cache = bd_test_path(folder, "cache");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(shard);
	free(cache);
	bd_test_folder_remove(folder);
	return 0;
}

/* The kept index, with the key that the shard has now. */
static void keep_index_in_spite_of_the_change(struct bd_shard_index *index)
{
	struct stat status;
	assert_int_equal(stat(shard, &status), 0);
	index->key = bd_shard_key_of(&status);
	bd_shard_index_store_cached(cache, index);
}

static struct bd_shard_index *index_shard(void)
{
	struct bd_shard_index *index;
	assert_int_equal(bd_shard_index_open(shard, &(struct bd_index_options){ .ignore_text = true }, &index, NULL), 0);
	return index;
}

/* Reads the stream to its end; what ended it, and how many rows came. */
static int read_stream(uint64_t *ret_rows, char *ret_note, size_t note_size, struct bd_error *error)
{
	struct bd_engine_options options = { .threads = 2, .memory_bytes = 64u << 20, .cache_folder = cache };
	struct bd_engine *engine;
	struct bd_stream_spec spec;
	struct bd_test_consumer consumer;
	struct bd_ring_item item;
	int result;
	bd_stream_spec_init(&spec);
	assert_int_equal(bd_engine_create(&options, &engine, error), 0);
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, error);
	assert_non_null(pipeline);
	assert_int_equal(bd_test_wait_ready(pipeline, error), BD_PIPELINE_READY);
	const struct bd_schema *schema = bd_pipeline_schema(pipeline);
	snprintf(ret_note, note_size, "%s", schema->note_count ? schema->notes[0] : "");
	assert_int_equal(bd_test_attach(pipeline, NULL, &consumer, error), 0);
	bd_pipeline_start(pipeline);
	*ret_rows = 0;
	while ((result = bd_test_next(&consumer, 10000, &item)) == 0) {
		*ret_rows += item.rows;
		bd_test_release(&consumer, &item);
	}
	bd_pipeline_state(pipeline, error);
	bd_test_detach(&consumer);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
	return result;
}

static void kept_index_of_other_records_is_replaced_with_a_note(void **state)
{
	(void)state;
	struct bd_error error = { 0 };
	uint64_t rows;
	char note[512];
	make_shard(30, 40, 35);
	struct bd_shard_index *index = index_shard();
	index->offsets[1]++; /* record 0 seems to be longer than it is */
	keep_index_in_spite_of_the_change(index);
	bd_shard_index_destroy(index);
	assert_int_equal(read_stream(&rows, note, sizeof note, &error), -ENODATA);
	assert_int_equal(rows, RECORDS);
	assert_non_null(strstr(note, "the kept index does not fit the shard"));
	assert_int_equal(read_stream(&rows, note, sizeof note, &error), -ENODATA);
	assert_int_equal(rows, RECORDS);
	assert_string_equal(note, ""); /* made anew once */
}

/* No compared header lies behind the difference: a wrong CRC leads to it, and no record counts as damaged. */
static void entry_that_does_not_fit_ends_the_stream_and_the_next_one_has_all(void **state)
{
	(void)state;
	struct bd_error error = { 0 };
	uint64_t rows;
	char note[512];
	make_shard(30, 40, 35);
	struct bd_shard_index *index = index_shard();
	make_shard(40, 30, 35);
	keep_index_in_spite_of_the_change(index);
	bd_shard_index_destroy(index);
	assert_int_equal(read_stream(&rows, note, sizeof note, &error), -EIO);
	assert_int_equal(error.code, -ESTALE);
	assert_non_null(strstr(error.text, "the index does not fit record 502"));
	assert_int_equal(read_stream(&rows, note, sizeof note, &error), -ENODATA);
	assert_int_equal(rows, RECORDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kept_index_of_other_records_is_replaced_with_a_note, setup, teardown),
		cmocka_unit_test_setup_teardown(entry_that_does_not_fit_ends_the_stream_and_the_next_one_has_all, setup, teardown),
	};
	return cmocka_run_group_tests_name("stale_index", tests, NULL, NULL);
}
