/* Names of features against what the records have: a stream that is read to its end, or ended with the name. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/stream/order.h"
#include "tests/support/data_stream.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#define MEMORY (64ull << 20)
#define RECORDS 300
#define ROOM 512

static char *folder;

static int setup(void **state)
{
	(void)state;
	folder = bd_test_folder();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bd_test_folder_remove(folder);
	return 0;
}

/* The last record of all has what the others lack; `context`: not even that one. */
static void make_rare_record(struct bd_example_writer *writer, uint64_t number, void *context)
{
	int64_t label = (int64_t)number;
	bd_example_writer_add_int64(writer, "label", &label, 1);
	if (number == RECORDS - 1 && !context)
		bd_example_writer_add_int64(writer, "rare", &label, 0);
}

static void feature_that_no_record_has_ends_the_stream(void **state)
{
	(void)state;
	static const struct {
		const char *features;
		void *context;
		uint32_t batch;
		const char *message; /* NULL: read to its end */
	} cases[] = {
		{ "features: {label: {type: int64}, rare: {type: int64, varlen: true}}\n", NULL, 16, NULL },
		{ "features: {label: {type: int64}, rare: {type: int64, varlen: true}}\n", &folder, 16,
		  "feature 'rare': none of the 300 records has it" },
		{ "features: {label: {type: int64}}\nsequence_features: {lable: {type: int64}}\n", NULL, RECORDS,
		  "sequence feature 'lable': none of the 300 records has it" },
		{ "features: {label: {type: int64}, other: {type: int64, default: 7}}\n", NULL, 16, NULL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bd_stream_spec spec;
		static struct bd_test_batch batches[ROOM];
		char text[256], *path = bd_test_path(folder, "rare.tfrecord");
		struct bd_engine *engine = bd_test_engine(2, MEMORY);
		struct bd_error error = { 0 };
		size_t count;
		bd_stream_spec_init(&spec);
		spec.batch = cases[i].batch;
		spec.shuffle = BD_SHUFFLE_GLOBAL;
		bd_test_shard(path, BD_COMPRESSION_NONE, 0, RECORDS, make_rare_record, cases[i].context);
		snprintf(text, sizeof text, "shards: rare.tfrecord\n%s", cases[i].features);
		struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, text, &spec, &error);
		assert_non_null(pipeline);
		assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_READY);
		int result = bd_test_read_all(pipeline, NULL, batches, ROOM, &count);
		if (!cases[i].message) {
			assert_int_equal(result, -ENODATA);
			assert_int_equal(count, (RECORDS + 15) / 16);
		} else {
			assert_int_equal(bd_pipeline_state(pipeline, &error), BD_PIPELINE_FAILED);
			assert_int_equal(error.code, -EINVAL);
			if (!strstr(error.text, cases[i].message))
				fail_msg("%s", error.text);
			assert_true(count < (RECORDS + 15) / 16);
		}
		bd_pipeline_destroy(pipeline);
		bd_engine_destroy(engine);
		free(path);
	}
}

/* Where as many rows as there are records need not be all of them, a feature of one record is never said to be in none. */
static void rare_feature_is_never_refused_where_not_all_records_were_read(void **state)
{
	(void)state;
	static const struct {
		uint32_t world;
		uint64_t epochs, start_batch;
		enum bd_remainder remainder;
	} cases[] = { { 1, 2, 9, BD_REMAINDER_SHORT }, { 4, 4, 0, BD_REMAINDER_SHORT }, { 1, 2, 0, BD_REMAINDER_DROP } };
	char *path = bd_test_path(folder, "rare.tfrecord");
	bd_test_shard(path, BD_COMPRESSION_NONE, 0, RECORDS, make_rare_record, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (uint64_t seed = 0; seed < 40; seed++) {
			static struct bd_test_batch batches[ROOM];
			static const char text[] = "shards: rare.tfrecord\nfeatures: {rare: {type: int64, varlen: true}}\n";
			struct bd_order_position start = { 0, cases[i].start_batch };
			struct bd_engine *engine = bd_test_engine(2, MEMORY);
			struct bd_stream_spec spec;
			struct bd_error error = { 0 };
			size_t count;
			bd_stream_spec_init(&spec);
			spec.batch = 16;
			spec.shuffle = BD_SHUFFLE_GLOBAL;
			spec.seed = seed;
			spec.world = cases[i].world;
			spec.epochs = cases[i].epochs;
			spec.remainder = cases[i].remainder;
			struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, text, &spec, &error);
			assert_non_null(pipeline);
			assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_READY);
			assert_int_equal(bd_test_read_all(pipeline, &start, batches, ROOM, &count), -ENODATA);
			bd_pipeline_destroy(pipeline);
			bd_engine_destroy(engine);
		}
	}
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(feature_that_no_record_has_ends_the_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(rare_feature_is_never_refused_where_not_all_records_were_read, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
