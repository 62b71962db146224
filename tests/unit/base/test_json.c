#include "common/base/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/sha256.h"
#include "tests/unit/test.h"

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
		cmocka_unit_test(floats_are_written_with_few_digits),
		cmocka_unit_test(bad_utf8_is_replaced),
		cmocka_unit_test(parser_refuses_what_is_no_json),
		cmocka_unit_test(sha256_of_a_known_text),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
