#include "tools/tfrecord/feature_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"
#include "tools/tfrecord/record_json.h"

/* A feature's name is bytes: one with a zero byte is another one than what stands before it. */
static void name_with_a_zero_byte_is_printed_whole(void **state)
{
	(void)state;
	static const uint8_t record[] = "\x0a\x0e\x0a\x0c\x0a\x03"
					"a\0b\x12\x05\x1a\x03\x0a\x01\x01";
	struct bd_feature_table table = { 0 };
	struct bd_example example = { 0 };
	char *text = NULL;
	size_t length = 0;
	assert_true(bd_record_read_example(record, sizeof record - 1, &example, NULL) > 0);
	assert_int_equal(bd_feature_table_add(&table, &example, NULL), 0);
	FILE *stream = open_memstream(&text, &length);
	assert_non_null(stream);
	bd_feature_table_print(&table, stream);
	assert_int_equal(fclose(stream), 0);
	assert_non_null(strstr(text, "  a?b: int64"));
	free(text);
	bd_feature_table_finish(&table);
	bd_example_finish(&example);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_with_a_zero_byte_is_printed_whole),
	};
	return cmocka_run_group_tests_name("feature_table", tests, NULL, NULL);
}
