#include <batchd/error.h>

#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"

static void set_returns_the_code_and_writes_the_text(void **state)
{
	(void)state;
	struct bd_error error = { 0 };
	assert_int_equal(bd_error_set(&error, -EBADMSG, "record %d", 17), -EBADMSG);
	assert_int_equal(error.code, -EBADMSG);
	assert_string_equal(error.text, "record 17");
}

static void prefix_puts_context_in_front(void **state)
{
	(void)state;
	struct bd_error error = { 0 };
	bd_error_set(&error, -EBADMSG, "data CRC mismatch");
	assert_int_equal(bd_error_prefix(&error, "shard %s", "a.tfrecord"), -EBADMSG);
	assert_string_equal(error.text, "shard a.tfrecord: data CRC mismatch");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
	(void)state;
	struct bd_error error = { 0 };
	bd_error_set(&error, -EINVAL, "key %s", "a\x1b[31m\nb");
	assert_string_equal(error.text, "key a?[31m?b");
}

static void long_text_is_cut_and_says_so(void **state)
{
	(void)state;
	char name[2 * BD_ERROR_TEXT_BYTES];
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = 0;
	struct bd_error error = { 0 };
	bd_error_set(&error, -ENAMETOOLONG, "%s", name);
	assert_int_equal(strlen(error.text), BD_ERROR_TEXT_BYTES - 1);
	assert_string_equal(error.text + BD_ERROR_TEXT_BYTES - 4, "...");
	bd_error_prefix(&error, "%s", name);
	assert_int_equal(strlen(error.text), BD_ERROR_TEXT_BYTES - 1);
}

static void no_error_struct_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(bd_error_set(NULL, -ENOENT, "x"), -ENOENT);
	assert_int_equal(bd_error_prefix(NULL, "x"), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_returns_the_code_and_writes_the_text),
		cmocka_unit_test(prefix_puts_context_in_front),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(long_text_is_cut_and_says_so),
		cmocka_unit_test(no_error_struct_is_allowed),
	};
	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
