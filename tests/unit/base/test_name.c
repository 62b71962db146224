#include "common/base/name.h"

#include <string.h>

#include "tests/unit/test.h"

static void bytes_that_are_no_text_are_shown_by_number(void **state)
{
	(void)state;
	char text[64];
	assert_string_equal(bd_name_escape("caf\xe9.png", text, sizeof text), "caf\\xe9.png");
	assert_string_equal(bd_name_escape("caf\xc3\xa9.png", text, sizeof text), "caf\xc3\xa9.png");
	assert_string_equal(bd_name_escape("a\nb\x7f", text, sizeof text), "a\\x0ab\\x7f");
	assert_string_equal(bd_name_escape("\xed\xa0\x80", text, sizeof text), "\\xed\\xa0\\x80"); /* a surrogate */
	assert_true(bd_name_is_utf8("caf\xc3\xa9") && !bd_name_is_utf8("caf\xe9") && bd_name_is_utf8(""));
}

static void long_names_are_cut_between_characters(void **state)
{
	(void)state;
	for (size_t size = 1; size < 12; size++) {
		char text[16];
		memset(text, 'x', sizeof text);
		bd_name_escape("a\xc3\xa9\xe9z", text, size);
		assert_true(strlen(text) < size);
		assert_true(bd_name_is_utf8(text));
		assert_true(text[size] == 'x');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_that_are_no_text_are_shown_by_number),
		cmocka_unit_test(long_names_are_cut_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
