#include "trainer/model/isolated.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test.h"

static int write_text(void *context, FILE *output, struct bd_error *error)
{
	(void)error;
	return fputs(context, output) < 0 ? -EIO : 0;
}

static int fail_with_reason(void *context, FILE *output, struct bd_error *error)
{
	fputs("half", output);
	return bd_error_set(error, -ERANGE, "a reason: %s", (const char *)context);
}

static int die(void *context, FILE *output, struct bd_error *error)
{
	(void)output, (void)error;
	raise(*(int *)context);
	return 0;
}

static int leave(void *context, FILE *output, struct bd_error *error)
{
	(void)context, (void)output, (void)error;
	_exit(0);
}

static void output_of_the_child_is_returned(void **state)
{
	(void)state;
	FILE *output;
	char text[16] = { 0 }, words[] = "twelve bytes";
	assert_int_equal(bd_isolated("x", write_text, words, &output, NULL), 0);
	assert_int_equal(fread(text, 1, sizeof text, output), 12);
	assert_string_equal(text, "twelve bytes");
	fclose(output);
}

static void error_of_the_child_is_returned(void **state)
{
	(void)state;
	FILE *output = NULL;
	struct bd_error error = { 0 };
	char why[] = "too long";
	assert_int_equal(bd_isolated("x", fail_with_reason, why, &output, &error), -ERANGE);
	assert_string_equal(error.text, "a reason: too long");
	assert_null(output);
}

static void child_that_dies_is_ebadmsg(void **state)
{
	(void)state;
	const int signals[] = { SIGSEGV, SIGABRT, SIGXCPU, SIGKILL };
	FILE *output = NULL;
	struct bd_error error;
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		int number = signals[i];
		assert_int_equal(bd_isolated("weights.h5", die, &number, &output, &error), -EBADMSG);
		assert_non_null(strstr(error.text, "weights.h5: damaged"));
	}
	assert_int_equal(bd_isolated("weights.h5", leave, NULL, &output, &error), -EBADMSG);
	assert_null(output);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_of_the_child_is_returned),
		cmocka_unit_test(error_of_the_child_is_returned),
		cmocka_unit_test(child_that_dies_is_ebadmsg),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
