#include "common/base/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/sha256.h"
#include "tests/support/failing_malloc.h"
#include "tests/unit/test.h"

static json_t *some_result(void)
{
	json_t *list = json_array();
	for (int i = 0; i < 20; i++)
		json_array_append_new(list, json_integer(i));
	json_t *line = json_pack("{s:s, s:o}", "name", "value", "list", list);
	json_object_set_new(line, "text", bd_json_text("caf\xc3\xa9", 5));
	bd_json_set(line, "\xff", 1, bd_json_float(0.5f));
	return line;
}

static void failed_allocation_fails_the_line(void **state)
{
	(void)state;
	static const char whole[] = "{\"name\":\"value\",\"list\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19],"
				    "\"text\":\"caf\xc3\xa9\",\"\xef\xbf\xbd\":0.5}\n";
	static char buffer[1000];
	int refused = 0;
	if (!BD_MALLOC_FAILS)
		skip();
	for (int n = 0, done = 0; !done; n++) {
		char written[1000] = { 0 };
		struct bd_error error = { 0 };
		FILE *stream = fmemopen(written, sizeof written, "w");
		assert_non_null(stream);
		setvbuf(stream, buffer, _IOFBF, sizeof buffer);
		allocations_left = n;
		int result = bd_json_print_line(stream, some_result(), &error);
		done = allocations_left >= 0;
		allocations_left = -1;
		fclose(stream);
		refused += result == -ENOMEM;
		assert_true(result == 0 || result == -ENOMEM);
		assert_int_equal(result == 0, done);
		assert_string_equal(written, result == 0 ? whole : "");
	}
	assert_true(refused > 20);
}

static void lost_part_fails_the_line_and_the_next_one_is_whole(void **state)
{
	(void)state;
	json_t *line = json_object();
	json_object_set_new(line, "x", bd_json_lost());
	assert_null(bd_json_dump(line, JSON_COMPACT));
	char *text = bd_json_dump(json_object(), JSON_COMPACT);
	assert_string_equal(text, "{}");
	free(text);
}

static void line_that_cannot_be_written_is_an_error(void **state)
{
	(void)state;
	struct bd_error error = { 0 };
	FILE *full = fopen("/dev/full", "w");
	assert_non_null(full);
	assert_int_equal(bd_json_print_line(full, some_result(), &error), -ENOSPC);
	assert_string_equal(error.text, "cannot write JSON: No space left on device");
	fclose(full);
}

static char *print(json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(value);
	return text;
}

static void floats_are_written_with_few_digits(void **state)
{
	(void)state;
	char *text = print(bd_json_float(0.1f));
	assert_float_equal(strtof(text, NULL), 0.1f, 0);
	free(text);
	text = print(bd_json_real(NAN));
	assert_string_equal(text, "null");
	free(text);
}

static void bad_utf8_is_replaced(void **state)
{
	(void)state;
	json_t *value = bd_json_text("a\xff\xc3\xa9\xed\xa0\x80", 7);
	assert_string_equal(json_string_value(value), "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	json_decref(value);
}

static void parser_refuses_what_is_no_json(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "{", "{\"a\":1,\"a\":2}", "{} x", "{'a':1}" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		json_t *value = NULL;
		struct bd_error error;
		assert_int_equal(bd_json_parse("h", bad[i], strlen(bad[i]), &value, &error), -EINVAL);
		assert_null(value);
	}
}

/* Each allocation of the parser fails once: no memory, never a text that is damaged. */
static void parser_without_memory_does_not_call_the_text_damaged(void **state)
{
	(void)state;
	/* without strings: there jansson 2.14 aborts in an assertion of its own */
	static const char text[] = "[1,2.5,[3,4,[5,6,7,8,9,10,11,12,13]],{},[],[null,true]]";
	if (!BD_MALLOC_FAILS)
		skip();
	int refused = 0;
	for (int n = 0; n < 60; n++) {
		json_t *value = NULL;
		struct bd_error error = { 0 };
		allocations_left = n;
		int result = bd_json_parse("h", text, strlen(text), &value, &error);
		allocations_left = -1;
		if (result == 0) {
			json_decref(value);
			continue;
		}
		refused++;
		assert_int_equal(result, -ENOMEM);
		assert_string_equal(error.text, "h: no memory to read its JSON");
	}
	assert_true(refused >= 10);
	json_t *value;
	assert_int_equal(bd_json_parse("h", text, strlen(text), &value, NULL), 0);
	json_decref(value);
}

static void sha256_of_a_known_text(void **state)
{
	(void)state;
	char hex[BD_SHA256_HEX_BYTES];
	bd_sha256_hex("abc", 3, hex); /* FIPS 180-4, example */
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failed_allocation_fails_the_line),
		cmocka_unit_test(lost_part_fails_the_line_and_the_next_one_is_whole),
		cmocka_unit_test(line_that_cannot_be_written_is_an_error),
		cmocka_unit_test(floats_are_written_with_few_digits),
		cmocka_unit_test(bad_utf8_is_replaced),
		cmocka_unit_test(parser_refuses_what_is_no_json),
		cmocka_unit_test(parser_without_memory_does_not_call_the_text_damaged),
		cmocka_unit_test(sha256_of_a_known_text),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
