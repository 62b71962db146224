/* One record's way into its row, and what a slot holds. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/record/example_writer.h"
#include "daemon/data/cache.h"
#include "daemon/data/row.h"
#include "proto/shm_layout.h"
#include "tests/unit/test.h"

#define ROWS 4

struct fixture {
	struct bd_dataset *dataset;
	struct bd_layout layout;
	struct bd_row_plan plan;
	struct bd_worker worker;
	struct bd_staging staging;
	struct bd_example_writer writer;
	uint8_t *slot;
	uint64_t slot_bytes;
	struct bd_error error;
};

static void open_fixture(struct fixture *fixture, const char *features)
{
	char text[1024];
	memset(fixture, 0, sizeof *fixture);
	/* the shard has to be there: this program is a file, and nothing reads it */
	snprintf(text, sizeof text, "shards: /proc/self/exe\nfeatures: %s\n", features);
	if (bd_dataset_parse("t", "/", text, strlen(text), &fixture->dataset, &fixture->error) < 0)
		fail_msg("%s", fixture->error.text);
	if (bd_layout_init(&fixture->layout, fixture->dataset, ROWS, &fixture->error) < 0)
		fail_msg("%s", fixture->error.text);
	assert_int_equal(bd_row_plan_init(&fixture->plan, &fixture->layout, fixture->dataset, &fixture->error), 0);
	assert_int_equal(bd_worker_init(&fixture->worker, 0, 1 << 20, &fixture->error), 0);
	assert_int_equal(bd_staging_init(&fixture->staging, ROWS, fixture->layout.part_count, 0, &fixture->error), 0);
	fixture->slot_bytes = fixture->layout.var_offset + bd_layout_var_bytes(&fixture->layout, 4096);
	fixture->slot = aligned_alloc(64, (fixture->slot_bytes + 63) / 64 * 64);
	memset(fixture->slot, 0xee, fixture->slot_bytes);
	bd_example_writer_begin(&fixture->writer);
}

static void close_fixture(struct fixture *fixture)
{
	free(fixture->slot);
	bd_staging_finish(&fixture->staging);
	bd_worker_finish(&fixture->worker);
	bd_row_plan_finish(&fixture->plan);
	bd_layout_finish(&fixture->layout);
	bd_dataset_destroy(fixture->dataset);
	bd_example_writer_finish(&fixture->writer);
}

/* Ends the Example that was begun, writes it and begins the next. */
static int write_row(struct fixture *fixture, uint32_t row)
{
	struct bd_row_input input = { .length = 0 };
	assert_int_equal(bd_example_writer_end(&fixture->writer, &input.data, &input.length, &fixture->error), 0);
	int result = bd_row_write(&fixture->plan, &fixture->worker, &input, fixture->slot, row,
	                          fixture->staging.part_count ? &fixture->staging.rows[row] : NULL, &fixture->error);
	bd_example_writer_begin(&fixture->writer);
	return result;
}

static const uint8_t *place(const struct fixture *fixture, size_t feature, uint32_t row)
{
	const struct bd_layout_feature *found = &fixture->layout.features[feature];
	return fixture->slot + found->offset + row * found->row_bytes;
}

static void numbers_lie_in_their_rows_and_nowhere_else(void **state)
{
	(void)state;
	struct fixture fixture;
	static const float floats[] = { 1.5f, -2.0f };
	static const int64_t label = -7;
	open_fixture(&fixture, "{f: {type: float, shape: [2]}, 'a/b': {type: int64}}");
	bd_example_writer_add_int64(&fixture.writer, "a/b", &label, 1);
	bd_example_writer_add_float(&fixture.writer, "f", floats, 2);
	assert_int_equal(write_row(&fixture, 2), 0);
	assert_memory_equal(place(&fixture, 0, 2), floats, sizeof floats);
	assert_memory_equal(place(&fixture, 1, 2), &label, sizeof label);
	assert_int_equal(*place(&fixture, 0, 3), 0xee);
	assert_int_equal(place(&fixture, 0, 2)[-1], 0xee);
	assert_int_equal(*place(&fixture, 1, 3), 0xee);
	assert_int_equal(fixture.layout.features[0].offset % BD_SHM_ALIGNMENT, 0);
	assert_int_equal(fixture.layout.features[1].offset % BD_SHM_ALIGNMENT, 0);
	close_fixture(&fixture);
}

static void wrong_kind_or_count_is_a_fault(void **state)
{
	(void)state;
	struct fixture fixture;
	static const float floats[] = { 1, 2, 3 };
	open_fixture(&fixture, "{f: {type: float, shape: [2], default: 9}, i: {type: int64, default: 4}}");
	bd_example_writer_add_float(&fixture.writer, "f", floats, 3);
	assert_int_equal(write_row(&fixture, 0), -EBADMSG);
	assert_string_equal(fixture.error.text, "feature 'f': has 3 values where its shape needs 2");
	bd_example_writer_add_float(&fixture.writer, "f", floats, 0);
	assert_int_equal(write_row(&fixture, 0), -EBADMSG); /* an empty list does not take the default */
	bd_example_writer_add_float(&fixture.writer, "i", floats, 1);
	assert_int_equal(write_row(&fixture, 0), -EBADMSG);
	assert_string_equal(fixture.error.text, "feature 'i': holds values of kind float, not int64");
	assert_true(bd_row_is_fault(-EBADMSG));
	assert_false(bd_row_is_fault(-ENOMEM));
	assert_false(bd_row_is_fault(-EIO));
	close_fixture(&fixture);
}

static void absent_key_is_the_default_over_the_shape(void **state)
{
	(void)state;
	struct fixture fixture;
	static const float expected[] = { 9, 9 };
	open_fixture(&fixture, "{f: {type: float, shape: [2], default: 9}, s: {type: bytes, shape: [2], default: ab}}");
	assert_int_equal(write_row(&fixture, 1), 0);
	assert_memory_equal(place(&fixture, 0, 1), expected, sizeof expected);
	struct bd_staged_part *part = &fixture.staging.rows[1].parts[0];
	assert_int_equal(part->string_count, 2);
	assert_int_equal(part->value_bytes, 4);
	assert_memory_equal(fixture.staging.rows[1].bytes + part->values_at, "abab", 4);
	close_fixture(&fixture);
}

/* TensorFlow's parse_example reshapes a list; one value over the shape is ours. */
static void absent_key_is_the_list_of_its_default(void **state)
{
	(void)state;
	struct fixture fixture;
	static const float floats[] = { 1.5f, INFINITY, -INFINITY, 4 };
	static const int64_t integers[] = { 1, -2, INT64_MAX };
	open_fixture(&fixture,
	             "{f: {type: float, shape: [2, 2], default: [[1.5, .inf], [-.inf, 4]]}, n: {type: float, default: .nan}, "
	             "i: {type: int64, shape: [3], default: [1, -2, 9223372036854775807]}, "
	             "s: {type: bytes, shape: [3], default: [a, '', bcd]}, e: {type: bytes, default: \"\"}, "
	             "flat: {type: float, shape: [2, 2], default: [1.5, .inf, -.inf, 4]}, one: {type: int64, default: [7]}}");
	assert_int_equal(write_row(&fixture, 1), 0);
	assert_memory_equal(place(&fixture, 0, 1), floats, sizeof floats);
	assert_true(isnan(*(const float *)(const void *)place(&fixture, 1, 1)));
	assert_memory_equal(place(&fixture, 2, 1), integers, sizeof integers);
	assert_memory_equal(place(&fixture, 5, 1), floats, sizeof floats);
	assert_int_equal(*place(&fixture, 6, 1), 7);
	const struct bd_staged_row *row = &fixture.staging.rows[1];
	const struct bd_staged_part *strings = &row->parts[0], *empty = &row->parts[1];
	static const int64_t lengths[] = { 1, 0, 3 };
	assert_int_equal(strings->string_count, 3);
	assert_int_equal(strings->value_bytes, 4);
	assert_memory_equal(row->bytes + strings->lengths_at, lengths, sizeof lengths);
	assert_memory_equal(row->bytes + strings->values_at, "abcd", 4);
	assert_int_equal(empty->string_count, 1);
	assert_int_equal(empty->value_bytes, 0);
	close_fixture(&fixture);
}

static void absent_key_without_default_is_missing(void **state)
{
	(void)state;
	struct fixture fixture;
	open_fixture(&fixture, "{image: {type: image, encoding: raw, shape: [2, 2, 3]}}");
	assert_int_equal(write_row(&fixture, 0), -EBADMSG);
	assert_string_equal(fixture.error.text, "feature 'image': is missing from the record. It has no features");
	close_fixture(&fixture);
}

static void missing_key_is_told_with_what_the_record_has(void **state)
{
	(void)state;
	static const struct {
		const char *first, *second, *message;
	} cases[] = {
		{ "image", "lable", "feature 'label': is missing from the record; did you mean 'lable'? It has image, lable" },
		{ "image", "train/label",
		  "feature 'label': is missing from the record; did you mean 'train/label'? It has "
		  "image, train/label" },
		{ "a", "b\n", "feature 'label': is missing from the record. It has a, b?" },
	};
	int64_t value = 1;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture fixture;
		open_fixture(&fixture, "{label: {type: int64}}");
		bd_example_writer_add_int64(&fixture.writer, cases[i].first, &value, 1);
		bd_example_writer_add_int64(&fixture.writer, cases[i].second, &value, 1);
		assert_int_equal(write_row(&fixture, 0), -EBADMSG);
		assert_string_equal(fixture.error.text, cases[i].message);
		close_fixture(&fixture);
	}
	/* of many, those that a line has room for */
	struct fixture fixture;
	open_fixture(&fixture, "{label: {type: int64}}");
	for (int i = 0; i < 1000; i++) {
		char name[32];
		snprintf(name, sizeof name, "feature number %d", i);
		bd_example_writer_add_int64(&fixture.writer, name, &value, 1);
	}
	assert_int_equal(write_row(&fixture, 0), -EBADMSG);
	assert_non_null(strstr(fixture.error.text, "It has feature number 0, feature number 1, "));
	assert_non_null(strstr(fixture.error.text, " more"));
	assert_true(strlen(fixture.error.text) < 200);
	/* a SequenceExample with an empty feature list `label` */
	static const uint8_t sequence[] = "\x12\x0b\x0a\x09\x0a\x05label\x12";
	struct bd_row_input input = { .data = sequence, .length = sizeof sequence };
	assert_int_equal(bd_row_write(&fixture.plan, &fixture.worker, &input, fixture.slot, 0, NULL, &fixture.error), -EBADMSG);
	assert_non_null(strstr(fixture.error.text, "it is a feature list there, for 'sequence_features'"));
	close_fixture(&fixture);
}

static void bytes_that_are_no_example_are_a_fault(void **state)
{
	(void)state;
	struct fixture fixture;
	static const uint8_t garbage[] = { 0xff, 0xff, 0xff, 0x01, 0x02 };
	struct bd_row_input input = { .data = garbage, .length = sizeof garbage };
	open_fixture(&fixture, "{i: {type: int64}}");
	assert_true(bd_row_is_fault(bd_row_write(&fixture.plan, &fixture.worker, &input, fixture.slot, 0, NULL, &fixture.error)));
	close_fixture(&fixture);
}

static void batch_is_described_joined_and_closed(void **state)
{
	(void)state;
	struct fixture fixture;
	static const uint32_t row_of[] = { 0, 2, 3 };
	open_fixture(&fixture, "{i: {type: int64}, v: {type: int64, varlen: true}, s: {type: bytes}}");
	for (uint32_t row = 0; row < ROWS; row++) {
		int64_t values[ROWS] = { row, row + 10, row + 20, row + 30 };
		bd_example_writer_add_int64(&fixture.writer, "i", values, 1);
		bd_example_writer_add_int64(&fixture.writer, "v", values, row);
		bd_example_writer_add_bytes(&fixture.writer, "s", "wxyz", row + 1);
		assert_int_equal(write_row(&fixture, row), 0);
		((uint64_t *)(void *)(fixture.slot + fixture.layout.records_offset))[row] = 100 + row;
	}
	bd_layout_close_holes(&fixture.layout, fixture.slot, row_of, 3);
	bd_staging_close_holes(&fixture.staging, row_of, 3);
	bd_layout_describe(&fixture.layout, fixture.slot, 3);
	uint64_t bytes;
	assert_int_equal(
		bd_layout_join(&fixture.layout, &fixture.staging, fixture.slot, fixture.slot_bytes, 3, &bytes, &fixture.error), 0);
	assert_true(bytes <= fixture.slot_bytes);
	const struct bd_shm_batch *header = (const struct bd_shm_batch *)(const void *)fixture.slot;
	const struct bd_shm_array *arrays = (const struct bd_shm_array *)(const void *)(header + 1);
	assert_int_equal(header->rows, 3);
	assert_int_equal(header->array_count, 5); /* i, v.values, v.row_splits, s.values, s.value_splits */
	static const int64_t i_values[] = { 0, 2, 3 }, v_values[] = { 2, 12, 3, 13, 23 }, v_splits[] = { 0, 0, 2, 5 },
			     s_splits[] = { 0, 1, 4, 8 };
	static const uint64_t records[] = { 100, 102, 103 };
	assert_memory_equal(fixture.slot + header->records_offset, records, sizeof records);
	assert_memory_equal(fixture.slot + arrays[0].offset, i_values, sizeof i_values);
	assert_int_equal(arrays[1].shape[0], 5);
	assert_memory_equal(fixture.slot + arrays[1].offset, v_values, sizeof v_values);
	assert_memory_equal(fixture.slot + arrays[2].offset, v_splits, sizeof v_splits);
	assert_memory_equal(fixture.slot + arrays[3].offset, "wwxywxyz", 8);
	assert_memory_equal(fixture.slot + arrays[4].offset, s_splits, sizeof s_splits);
	assert_int_equal(bd_layout_join(&fixture.layout, &fixture.staging, fixture.slot, fixture.layout.var_offset + 64, 3, &bytes,
	                                &fixture.error),
	                 -EFBIG);
	close_fixture(&fixture);
}

static void feature_that_cannot_be_batched_is_refused(void **state)
{
	(void)state;
	static const char *const features[] = {
		"{image: {type: image, encoding: jpeg}}",
		"{f: {type: float, shape: [1000, 1000, 1000, 1000]}}",
	};
	for (size_t i = 0; i < 2; i++) {
		char text[512];
		struct bd_dataset *dataset;
		struct bd_layout layout;
		struct bd_error error;
		snprintf(text, sizeof text, "shards: /proc/self/exe\nfeatures: %s\n", features[i]);
		if (bd_dataset_parse("t", "/", text, strlen(text), &dataset, &error) < 0)
			continue;
		assert_true(bd_layout_init(&layout, dataset, 1u << 20, &error) < 0);
		bd_dataset_destroy(dataset);
	}
}

static void two_arrays_of_one_name_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *features, *sequence_features, *message;
	} cases[] = {
		{ "{s: {type: bytes}, t: {type: int64}, s.values: {type: int64}}", "{}",
		  "the features 's' and 's.values' would both give an array 's.values'" },
		{ "{s.row_splits: {type: float}, s: {type: float, varlen: true}}", "{}",
		  "the features 's.row_splits' and 's' would both give an array 's.row_splits'" },
		{ "{s: {type: int64, varlen: true}}", "{s: {type: int64}}",
		  "the features 's' and 's' (of sequence_features) would both give an array 's.row_splits'" },
		{ "{s: {type: bytes}, s.step_splits: {type: int64}, a/b: {type: int64}, a_b: {type: int64}}", "{}", NULL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bd_dataset *dataset;
		struct bd_layout layout = { 0 };
		struct bd_error error = { 0 };
		char text[512];
		snprintf(text, sizeof text, "shards: /proc/self/exe\nfeatures: %s\nsequence_features: %s\n", cases[i].features,
		         cases[i].sequence_features);
		assert_int_equal(bd_dataset_parse("t", "/", text, strlen(text), &dataset, &error), 0);
		assert_int_equal(bd_layout_init(&layout, dataset, ROWS, &error), cases[i].message ? -EINVAL : 0);
		if (cases[i].message && !strstr(error.text, cases[i].message))
			fail_msg("%s", error.text);
		bd_layout_finish(&layout);
		bd_dataset_destroy(dataset);
	}
}

static void cache_keeps_a_fixed_part(void **state)
{
	(void)state;
	struct fixture fixture;
	struct bd_cache cache;
	unsigned kept = 0, kept_again = 0;
	open_fixture(&fixture, "{i: {type: int64}, f: {type: float, shape: [3]}}");
	assert_int_equal(bd_cache_init(&cache, &fixture.layout, 1000, 300 * (8 + 12 + 1), &fixture.error), 0);
	assert_int_equal(cache.places, 300);
	for (uint64_t record = 0; record < 1000; record++) {
		memset(fixture.slot + fixture.layout.features[0].offset, (int)record & 0xff, 8);
		assert_false(bd_cache_get(&cache, &fixture.layout, record, fixture.slot, 1));
		bd_cache_put(&cache, &fixture.layout, record, fixture.slot, 0);
	}
	for (int pass = 0; pass < 2; pass++) {
		for (uint64_t record = 0; record < 1000; record++) {
			if (!bd_cache_get(&cache, &fixture.layout, record, fixture.slot, 1))
				continue;
			assert_int_equal(*place(&fixture, 0, 1), record & 0xff);
			*(pass ? &kept_again : &kept) += 1;
		}
	}
	assert_int_equal(kept, 300);
	assert_int_equal(kept_again, 300);
	bd_cache_finish(&cache);
	close_fixture(&fixture);
}

static void random_or_ragged_rows_are_not_cached(void **state)
{
	(void)state;
	static const char *const features[] = {
		"{image: {type: image, encoding: raw, shape: [2, 2, 3], flip: horizontal}}",
		"{i: {type: int64, varlen: true}}",
	};
	for (size_t i = 0; i < 2; i++) {
		struct fixture fixture;
		struct bd_cache cache;
		open_fixture(&fixture, features[i]);
		assert_int_equal(bd_cache_init(&cache, &fixture.layout, 1000, 1 << 20, &fixture.error), 0);
		assert_int_equal(cache.places, 0);
		assert_false(bd_cache_get(&cache, &fixture.layout, 1, fixture.slot, 0));
		bd_cache_put(&cache, &fixture.layout, 1, fixture.slot, 0);
		bd_cache_finish(&cache);
		close_fixture(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_lie_in_their_rows_and_nowhere_else),
		cmocka_unit_test(wrong_kind_or_count_is_a_fault),
		cmocka_unit_test(absent_key_is_the_default_over_the_shape),
		cmocka_unit_test(absent_key_is_the_list_of_its_default),
		cmocka_unit_test(absent_key_without_default_is_missing),
		cmocka_unit_test(missing_key_is_told_with_what_the_record_has),
		cmocka_unit_test(bytes_that_are_no_example_are_a_fault),
		cmocka_unit_test(batch_is_described_joined_and_closed),
		cmocka_unit_test(feature_that_cannot_be_batched_is_refused),
		cmocka_unit_test(two_arrays_of_one_name_are_refused),
		cmocka_unit_test(cache_keeps_a_fixed_part),
		cmocka_unit_test(random_or_ragged_rows_are_not_cached),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
