#include "tools/batchctl/screen.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char *text_of(unsigned rows, unsigned columns, const char *const *lines, size_t count)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	assert_non_null(out);
	struct bd_screen screen = { .out = out, .rows = rows, .columns = columns };
	for (size_t i = 0; i < count; i++)
		bd_screen_line(&screen, "%s", lines[i]);
	fclose(out);
	return text;
}

static void lines_are_cut_between_characters(void **state)
{
	(void)state;
	static const char *const lines[] = { "12345", "123456",
		                             "\xe2\x96\x81\xe2\x96\x82\xe2\x96\x83\xe2\x96\x84\xe2\x96\x85\xe2\x96\x86", "" };
	char *text = text_of(24, 5, lines, 4);
	assert_string_equal(text, "12345\n12345\n\xe2\x96\x81\xe2\x96\x82\xe2\x96\x83\xe2\x96\x84\xe2\x96\x85\n\n");
	free(text);
}

static void the_last_row_stays_free(void **state)
{
	(void)state;
	static const char *const lines[] = { "1", "2", "3", "4" };
	char *text = text_of(3, 80, lines, 4);
	assert_string_equal(text, "1\n2\n");
	free(text);
}

static void without_a_terminal_it_is_24_by_80(void **state)
{
	(void)state;
	struct bd_screen screen;
	int fd = open("/dev/null", O_WRONLY);
	bd_screen_init(&screen, stdout, fd);
	close(fd);
	assert_true(screen.rows == 24 && screen.columns == 80 && bd_screen_left(&screen) == 23);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_cut_between_characters),
		cmocka_unit_test(the_last_row_stays_free),
		cmocka_unit_test(without_a_terminal_it_is_24_by_80),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
