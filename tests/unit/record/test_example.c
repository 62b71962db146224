#include "common/record/example.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/json.h"
#include "common/base/sha256.h"
#include "common/record/sequence_example.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"

/* ---- small cases, readable without the golden files ---- */

#define FIND(bytes, key, view) find_one((const uint8_t *)(bytes), sizeof(bytes) - 1, key, view)

static int find_one(const uint8_t *bytes, size_t length, const char *key, struct bd_feature_view *view)
{
	struct bd_feature_name name = { key, strlen(key) };
	return bd_example_find(bytes, length, &name, 1, view, NULL);
}

static void of_a_duplicate_key_the_last_entry_wins(void **state)
{
	(void)state;
	struct bd_feature_view view;
	int64_t values[4];
	size_t count;
	assert_int_equal(
		FIND("\x0a\x17\x0a\x0a\x0a\x01\x61\x12\x05\x1a\x03\x0a\x01\x01\x0a\x09\x0a\x01\x61\x12\x04\x1a\x02\x08\x02", "a",
	             &view),
		0);
	assert_int_equal(bd_feature_read_int64(&view, values, 4, &count, NULL), 0);
	assert_int_equal(count, 1);
	assert_int_equal(values[0], 2);
}

static void absent_key_is_none(void **state)
{
	(void)state;
	struct bd_feature_view view;
	size_t count;
	assert_int_equal(FIND("\x0a\x0c\x0a\x0a\x0a\x01\x61\x12\x05\x1a\x03\x0a\x01\x01", "b", &view), 0);
	assert_int_equal(view.kind, BD_VALUE_NONE);
	assert_false(view.present);
	assert_int_equal(bd_feature_count(&view, &count, NULL), 0);
	assert_int_equal(count, 0);
}

static void wrong_count_is_told_and_writes_no_further(void **state)
{
	(void)state;
	struct bd_feature_view view;
	int64_t values[2] = { 0, 77 };
	size_t count;
	assert_int_equal(FIND("\x0a\x0e\x0a\x0c\x0a\x01\x61\x12\x07\x1a\x05\x0a\x03\x01\x02\x03", "a", &view), 0);
	assert_int_equal(bd_feature_read_int64(&view, values, 1, &count, NULL), 0);
	assert_int_equal(count, 3);
	assert_int_equal(values[0], 1);
	assert_int_equal(values[1], 77);
}

static void wrong_kind_is_einval(void **state)
{
	(void)state;
	struct bd_feature_view view;
	struct bd_error error = { 0 };
	float value;
	size_t count;
	assert_int_equal(FIND("\x0a\x0c\x0a\x0a\x0a\x01\x61\x12\x05\x1a\x03\x0a\x01\x01", "a", &view), 0);
	assert_int_equal(bd_feature_read_float(&view, &value, 1, &count, &error), -EINVAL);
	assert_string_equal(error.text, "holds int64, not float");
}

static void deep_groups_are_ebadmsg(void **state)
{
	(void)state;
	uint8_t bytes[400];
	struct bd_feature_view view;
	memset(bytes, 0x2b, sizeof bytes);
	memset(bytes + 100, 0x2c, 100);
	assert_int_equal(find_one(bytes, 200, "a", &view), 0);
	memset(bytes, 0x2b, 101);
	memset(bytes + 101, 0x2c, 101);
	assert_int_equal(find_one(bytes, 202, "a", &view), -EBADMSG);
	memset(bytes, 0x2b, sizeof bytes);
	assert_int_equal(find_one(bytes, sizeof bytes, "a", &view), -EBADMSG);
}

static void every_truncation_is_refused_or_read(void **state)
{
	(void)state;
	const char whole[] =
		"\x0a\x18\x0a\x0a\x0a\x01\x61\x12\x05\x1a\x03\x0a\x01\x01\x0a\x0a\x0a\x01\x62\x12\x05\x1a\x03\x0a\x01\x02";
	struct bd_example example = { 0 };
	for (size_t length = 0; length < sizeof whole - 1; length++) {
		uint8_t *exact = malloc(length + !length);
		assert_non_null(exact);
		memcpy(exact, whole, length);
		int result = bd_example_read(&example, exact, length, NULL);
		assert_int_equal(result, length ? -EBADMSG : 0);
		assert_int_equal(example.count, 0);
		free(exact);
	}
	bd_example_finish(&example);
}

static void utf8_is_checked_as_protobuf_does(void **state)
{
	(void)state;
	const char *const good[] = {
		"", "abcdefghij", "gr\xc3\xb6\xc3\x9f", "\xe9\x94\xae", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"
	};
	const char *const bad[] = { "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x80\x80",
		                    "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		                    "\xff\xfe",     "abcdefgh\xc3",     "\xe9\x94" };
	for (size_t i = 0; i < BD_COUNT_OF(good); i++)
		assert_true(bd_is_utf8((const uint8_t *)good[i], strlen(good[i])));
	for (size_t i = 0; i < BD_COUNT_OF(bad); i++)
		assert_false(bd_is_utf8((const uint8_t *)bad[i], strlen(bad[i])));
}

/* ---- golden files ---- */

/* jansson takes no NUL in a key: one case has one, and its key is compared by key_hex. */
static json_t *load_golden(const char *relative)
{
	char path[512];
	size_t size;
	if (!bd_shared_path(relative, path, sizeof path)) {
		print_message("%s is missing\n", path);
		return NULL;
	}
	char *text = bd_golden_file(path, &size);
	assert_non_null(text);
	for (char *nul = text; (nul = strstr(nul, "\\u0000"));)
		memset(nul, '_', 6);
	json_t *golden = json_loadb(text, size, 0, NULL);
	assert_non_null(golden);
	free(text);
	return golden;
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static uint8_t *unhex(const char *hex, size_t *ret_length)
{
	size_t length = strlen(hex) / 2;
	uint8_t *bytes = malloc(length + 1);
	assert_non_null(bytes);
	for (size_t i = 0; i < length; i++) {
		unsigned value;
		assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
		bytes[i] = (uint8_t)value;
	}
	*ret_length = length;
	return bytes;
}

static void check_int64s(const struct bd_feature_view *view, const json_t *values, size_t count)
{
	int64_t *read = malloc((count + 1) * sizeof *read);
	size_t found;
	assert_int_equal(bd_feature_read_int64(view, read, count, &found, NULL), 0);
	assert_int_equal(found, count);
	for (size_t i = 0; i < count; i++)
		assert_true(read[i] == strtoll(json_string_value(json_array_get(values, i)), NULL, 10));
	free(read);
}

static void check_floats(const struct bd_feature_view *view, const json_t *bits, size_t count)
{
	float *read = malloc((count + 1) * sizeof *read);
	size_t found;
	assert_int_equal(bd_feature_read_float(view, read, count, &found, NULL), 0);
	assert_int_equal(found, count);
	for (size_t i = 0; i < count; i++) {
		uint32_t have;
		memcpy(&have, &read[i], sizeof have);
		assert_int_equal(have, strtoul(json_string_value(json_array_get(bits, i)), NULL, 16));
	}
	free(read);
}

static void check_strings(const struct bd_feature_view *view, const json_t *values, size_t count)
{
	struct bd_bytes_view *read = malloc((count + 1) * sizeof *read);
	size_t found;
	assert_int_equal(bd_feature_read_bytes(view, read, count, &found, NULL), 0);
	assert_int_equal(found, count);
	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_array_get(values, i);
		char hex[65];
		bd_sha256_hex(read[i].bytes, read[i].length, hex);
		assert_int_equal(read[i].length, json_integer_value(json_object_get(value, "length")));
		assert_string_equal(hex, text_of(value, "sha256"));
	}
	free(read);
}

static void check_values(const struct bd_feature_view *view, const json_t *expected)
{
	size_t count = (size_t)json_integer_value(json_object_get(expected, "count")), found;
	assert_string_equal(bd_value_kind_name(view->kind), text_of(expected, "kind"));
	assert_int_equal(bd_feature_count(view, &found, NULL), 0);
	assert_int_equal(found, count);
	if (view->kind == BD_VALUE_INT64)
		check_int64s(view, json_object_get(expected, "values"), count);
	else if (view->kind == BD_VALUE_FLOAT)
		check_floats(view, json_object_get(expected, "bits"), count);
	else if (view->kind == BD_VALUE_BYTES)
		check_strings(view, json_object_get(expected, "values"), count);
}

static void check_features(const struct bd_example *example, const json_t *expected)
{
	assert_int_equal(example->count, json_array_size(expected));
	for (size_t i = 0; i < example->count; i++) {
		const json_t *feature = json_array_get(expected, i);
		size_t length;
		uint8_t *key = unhex(text_of(feature, "key_hex") ? text_of(feature, "key_hex") : "", &length);
		if (text_of(feature, "key_hex")) {
			assert_int_equal(example->features[i].name_length, length);
			assert_memory_equal(example->features[i].name, key, length);
		}
		check_values(&example->features[i], feature);
		free(key);
	}
}

/* find on each key gives what read gave */
static void check_find(const struct bd_example *example, const uint8_t *bytes, size_t length, const json_t *expected)
{
	for (size_t i = 0; i < example->count; i++) {
		struct bd_feature_name name = { example->features[i].name, example->features[i].name_length };
		struct bd_feature_view view;
		assert_int_equal(bd_example_find(bytes, length, &name, 1, &view, NULL), 0);
		assert_true(view.present);
		check_values(&view, json_array_get(expected, i));
	}
}

/* the record of the framed golden file, for the one that has no hex */
static uint8_t *record_of_file(const char *relative, size_t index, size_t *ret_length)
{
	char path[512];
	size_t size, at = 0;
	assert_true(bd_shared_path(relative, path, sizeof path));
	uint8_t *file = bd_golden_file(path, &size);
	assert_non_null(file);
	for (;; index--) {
		uint64_t length;
		memcpy(&length, file + at, sizeof length);
		if (!index) {
			uint8_t *record = malloc(length + 1);
			memcpy(record, file + at + 12, length);
			*ret_length = length;
			free(file);
			return record;
		}
		at += 16 + length;
	}
}

static void golden_examples_read_as_protobuf_reads_them(void **state)
{
	(void)state;
	json_t *golden = load_golden("golden/tfrecords/examples.json");
	if (!golden)
		skip();
	struct bd_example example = { 0 };
	size_t index;
	json_t *entry;
	json_array_foreach(json_object_get(golden, "examples"), index, entry)
	{
		size_t length;
		uint8_t *bytes = record_of_file("golden/tfrecords/examples.tfrecord", index, &length);
		const json_t *expected = json_object_get(json_object_get(entry, "protobuf"), "features");
		int result = bd_example_read(&example, bytes, length, NULL);
		if (result != (expected ? 0 : -EBADMSG))
			fail_msg("%s: %d", text_of(entry, "name"), result);
		if (expected) {
			check_features(&example, expected);
			check_find(&example, bytes, length, expected);
		}
		free(bytes);
	}
	assert_int_equal(index, 49);
	bd_example_finish(&example);
	json_decref(golden);
}

static void check_steps(const struct bd_feature_list_view *list, const json_t *steps)
{
	struct bd_step_cursor cursor;
	struct bd_feature_view step;
	assert_int_equal(list->steps, json_array_size(steps));
	bd_step_cursor_begin(list, &cursor);
	for (size_t i = 0; i < list->steps; i++) {
		assert_int_equal(bd_step_cursor_next(&cursor, &step, NULL), 1);
		check_values(&step, json_array_get(steps, i));
	}
	assert_int_equal(bd_step_cursor_next(&cursor, &step, NULL), 0);
}

static void golden_sequences_read_as_protobuf_reads_them(void **state)
{
	(void)state;
	json_t *golden = load_golden("golden/tfrecords/sequence.json");
	if (!golden)
		skip();
	struct bd_sequence_example example = { 0 };
	size_t index;
	json_t *entry;
	json_array_foreach(json_object_get(golden, "examples"), index, entry)
	{
		size_t length;
		uint8_t *bytes = unhex(text_of(entry, "hex"), &length);
		const json_t *lists = json_object_get(entry, "feature_lists");
		assert_int_equal(bd_sequence_example_read(&example, bytes, length, NULL), 0);
		check_features(&example.context, json_object_get(entry, "context"));
		assert_int_equal(example.list_count, json_array_size(lists));
		for (size_t i = 0; i < example.list_count; i++) {
			const json_t *steps = json_object_get(json_array_get(lists, i), "steps");
			check_steps(&example.lists[i], steps);
			struct bd_feature_name name = { example.lists[i].name, example.lists[i].name_length };
			struct bd_feature_list_view list;
			assert_int_equal(bd_sequence_example_find(bytes, length, NULL, 0, NULL, &name, 1, &list, NULL), 0);
			assert_true(list.present);
			check_steps(&list, steps);
		}
		free(bytes);
	}
	assert_int_equal(index, 8);
	bd_sequence_example_finish(&example);
	json_decref(golden);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_duplicate_key_the_last_entry_wins),
		cmocka_unit_test(absent_key_is_none),
		cmocka_unit_test(wrong_count_is_told_and_writes_no_further),
		cmocka_unit_test(wrong_kind_is_einval),
		cmocka_unit_test(deep_groups_are_ebadmsg),
		cmocka_unit_test(every_truncation_is_refused_or_read),
		cmocka_unit_test(utf8_is_checked_as_protobuf_does),
		cmocka_unit_test(golden_examples_read_as_protobuf_reads_them),
		cmocka_unit_test(golden_sequences_read_as_protobuf_reads_them),
	};
	return cmocka_run_group_tests_name("example", tests, NULL, NULL);
}
