#include "common/record/example_writer.h"

#include <string.h>

#include "common/record/example.h"
#include "tests/unit/test.h"

static void written_bytes_are_protobufs(void **state)
{
	(void)state;
	const int64_t label = 1;
	const uint8_t expected[] = { 0x0a, 0x10, 0x0a, 0x0e, 0x0a, 0x05, 'l',  'a',  'b',
		                     'e',  'l',  0x12, 0x05, 0x1a, 0x03, 0x0a, 0x01, 0x01 };
	struct bd_example_writer writer = { 0 };
	const uint8_t *bytes;
	size_t length;
	bd_example_writer_begin(&writer);
	bd_example_writer_add_int64(&writer, "label", &label, 1);
	assert_int_equal(bd_example_writer_end(&writer, &bytes, &length, NULL), 0);
	assert_int_equal(length, sizeof expected);
	assert_memory_equal(bytes, expected, length);
	bd_example_writer_finish(&writer);
}

static void every_kind_reads_back(void **state)
{
	(void)state;
	const int64_t numbers[] = { 0, -1, 300, INT64_MIN, INT64_MAX };
	const float floats[] = { 0.5f, -2.0f };
	static uint8_t picture[67500];
	memset(picture, 7, sizeof picture);
	struct bd_example_writer writer = { 0 };
	struct bd_example example = { 0 };
	for (int round = 0; round < 2; round++) {
		const uint8_t *bytes;
		size_t length, count;
		bd_example_writer_begin(&writer);
		bd_example_writer_add_bytes(&writer, "image", picture, sizeof picture);
		bd_example_writer_add_int64(&writer, "numbers", numbers, 5);
		bd_example_writer_add_float(&writer, "x", floats, 2);
		bd_example_writer_add_int64(&writer, "none", NULL, 0);
		assert_int_equal(bd_example_writer_end(&writer, &bytes, &length, NULL), 0);
		assert_int_equal(bd_example_read(&example, bytes, length, NULL), 0);
		assert_int_equal(example.count, 4);
		struct bd_bytes_view image;
		assert_int_equal(bd_feature_read_bytes(&example.features[0], &image, 1, &count, NULL), 0);
		assert_int_equal(count, 1);
		assert_int_equal(image.length, sizeof picture);
		assert_memory_equal(image.bytes, picture, sizeof picture);
		assert_int_equal(example.features[1].kind, BD_VALUE_INT64);
		assert_int_equal(bd_feature_count(&example.features[1], &count, NULL), 0);
		assert_int_equal(count, 0);
		int64_t read[5];
		assert_int_equal(bd_feature_read_int64(&example.features[2], read, 5, &count, NULL), 0);
		assert_int_equal(count, 5);
		assert_memory_equal(read, numbers, sizeof numbers);
		float read_floats[2];
		assert_int_equal(bd_feature_read_float(&example.features[3], read_floats, 2, &count, NULL), 0);
		assert_memory_equal(read_floats, floats, sizeof floats);
	}
	bd_example_finish(&example);
	bd_example_writer_finish(&writer);
}

static void empty_example_is_an_empty_features(void **state)
{
	(void)state;
	struct bd_example_writer writer = { 0 };
	const uint8_t *bytes;
	size_t length;
	bd_example_writer_begin(&writer);
	assert_int_equal(bd_example_writer_end(&writer, &bytes, &length, NULL), 0);
	assert_int_equal(length, 2);
	bd_example_writer_finish(&writer);
}

static void more_than_2_gib_is_emsgsize(void **state)
{
	(void)state;
	struct bd_example_writer writer = { 0 };
	const uint8_t *bytes;
	size_t length;
	bd_example_writer_begin(&writer);
	bd_example_writer_add_bytes(&writer, "image", "", (size_t)1 << 32);
	bd_example_writer_add_bytes(&writer, "rest", "x", 1);
	assert_true(bd_example_writer_end(&writer, &bytes, &length, NULL) < 0);
	bd_example_writer_finish(&writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_bytes_are_protobufs),
		cmocka_unit_test(every_kind_reads_back),
		cmocka_unit_test(empty_example_is_an_empty_features),
		cmocka_unit_test(more_than_2_gib_is_emsgsize),
	};
	return cmocka_run_group_tests_name("example_writer", tests, NULL, NULL);
}
