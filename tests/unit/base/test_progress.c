#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/progress.h"
#include "tests/unit/test.h"

/* In a log a line is written every 5 s, and the last state at the end, where no line has told it yet. */
static void last_state_is_told_once(void **state)
{
	(void)state;
	char line[256], told[1024] = "";
	FILE *file = tmpfile();
	int before = dup(STDERR_FILENO);
	assert_non_null(file);
	assert_int_equal(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
	struct bd_progress *at_once = bd_progress_create("at once", 10, "records", false);
	struct bd_progress *in_steps = bd_progress_create("in steps", 10, "records", false);
	sleep(6);
	bd_progress_update(at_once, 10, NULL);
	bd_progress_update(in_steps, 4, NULL);
	bd_progress_update(in_steps, 10, NULL); /* too soon for a line */
	bd_progress_finish(at_once);
	bd_progress_finish(in_steps);
	dup2(before, STDERR_FILENO);
	close(before);
	rewind(file);
	while (fgets(line, sizeof line, file)) {
		strncat(told, line, (size_t)(strstr(line, " records") - line));
		strcat(told, ";");
	}
	fclose(file);
	assert_string_equal(told, "at once: 10/10;in steps: 4/10;in steps: 10/10;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_state_is_told_once),
	};
	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
