#include "tools/tfrecord/record_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/record/example_writer.h"
#include "tests/unit/test.h"
#include "tools/tfrecord/feature_table.h"

/* RFC 4648, 10 */
static void base64_has_the_vectors_of_the_rfc(void **state)
{
	(void)state;
	static const char *const vectors[][2] = { { "", "" },
		                                  { "f", "Zg==" },
		                                  { "fo", "Zm8=" },
		                                  { "foo", "Zm9v" },
		                                  { "foob", "Zm9vYg==" },
		                                  { "fooba", "Zm9vYmE=" },
		                                  { "foobar", "Zm9vYmFy" },
		                                  { "\xff\xfe\xfd", "//79" } };
	for (size_t i = 0; i < BD_COUNT_OF(vectors); i++) {
		json_t *text = bd_json_base64((const uint8_t *)vectors[i][0], strlen(vectors[i][0]));
		assert_string_equal(json_string_value(text), vectors[i][1]);
		json_decref(text);
	}
}

static void features_have_the_words_of_the_contract(void **state)
{
	(void)state;
	const int64_t label = -3;
	const float x[] = { 0.5f, NAN, INFINITY, -INFINITY };
	struct bd_example_writer writer = { 0 };
	struct bd_example example = { 0 };
	const uint8_t *bytes;
	size_t length;
	bd_example_writer_begin(&writer);
	bd_example_writer_add_int64(&writer, "label", &label, 1);
	bd_example_writer_add_float(&writer, "x", x, 4);
	bd_example_writer_add_bytes(&writer, "image", "foobar", 6);
	assert_int_equal(bd_example_writer_end(&writer, &bytes, &length, NULL), 0);
	assert_int_equal(bd_record_read_example(bytes, length, &example, NULL), 1);
	json_t *features = bd_json_features(&example);
	char *text = json_dumps(features, JSON_COMPACT);
	assert_string_equal(text, "{\"image\":{\"bytes\":[\"Zm9vYmFy\"]},\"label\":{\"int64\":[-3]},"
	                          "\"x\":{\"float\":[0.5,\"nan\",\"inf\",\"-inf\"]}}");
	free(text);
	json_decref(features);
	bd_example_finish(&example);
	bd_example_writer_finish(&writer);
}

/* A tf.Event parses as an Example that has unknown fields and nothing else. */
static void other_messages_are_no_example(void **state)
{
	(void)state;
	const uint8_t event[] = { 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0x05 };
	struct bd_example example = { 0 };
	struct bd_sequence_example sequence = { 0 };
	assert_int_equal(bd_example_read(&example, event, sizeof event, NULL), 0);
	assert_int_equal(bd_record_read_example(event, sizeof event, &example, NULL), 0);
	assert_int_equal(bd_record_read_sequence_example(event, sizeof event, &sequence, NULL), 0);
	assert_int_equal(bd_record_read_example(event, 0, &example, NULL), 1);
	bd_example_finish(&example);
	bd_sequence_example_finish(&sequence);
}

static void add(struct bd_feature_table *table, const int64_t *values, size_t count, const float *also)
{
	struct bd_example_writer writer = { 0 };
	struct bd_example example = { 0 };
	const uint8_t *bytes;
	size_t length;
	bd_example_writer_begin(&writer);
	if (also)
		bd_example_writer_add_float(&writer, "mixed", also, 1);
	else
		bd_example_writer_add_int64(&writer, "mixed", values, 1);
	bd_example_writer_add_int64(&writer, "n", values, count);
	bd_example_writer_add_int64(&writer, "pair", values, 2);
	assert_int_equal(bd_example_writer_end(&writer, &bytes, &length, NULL), 0);
	assert_int_equal(bd_example_read(&example, bytes, length, NULL), 0);
	assert_int_equal(bd_feature_table_add(table, &example, NULL), 0);
	bd_example_finish(&example);
	bd_example_writer_finish(&writer);
}

static void table_tells_kinds_and_shapes(void **state)
{
	(void)state;
	const int64_t values[] = { 1, 2, 3 };
	const float also = 1;
	struct bd_feature_table table = { 0 };
	add(&table, values, 1, NULL);
	add(&table, values, 3, &also);
	json_t *json = bd_feature_table_json(&table, false);
	char *text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(text, "{\"mixed\":{\"kind\":\"float|int64\",\"shape\":[],\"records\":2},"
	                          "\"n\":{\"kind\":\"int64\",\"shape\":[null],\"records\":2,\"values\":[1,3]},"
	                          "\"pair\":{\"kind\":\"int64\",\"shape\":[2],\"records\":2}}");
	free(text);
	json_decref(json);
	bd_feature_table_finish(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_has_the_vectors_of_the_rfc),
		cmocka_unit_test(features_have_the_words_of_the_contract),
		cmocka_unit_test(other_messages_are_no_example),
		cmocka_unit_test(table_tells_kinds_and_shapes),
	};
	return cmocka_run_group_tests_name("record_json", tests, NULL, NULL);
}
