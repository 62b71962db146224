#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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

/* What a terminal of so many columns shows last of a bar at 74 of 150 that began at 73, with this note; its width in *ret_columns. */
static void show_on_terminal(unsigned short columns, const char *note, char *text, size_t size, size_t *ret_columns)
{
	const struct winsize window = { .ws_row = 24, .ws_col = columns };
	int master = posix_openpt(O_RDWR | O_NOCTTY), before = dup(STDERR_FILENO);
	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(terminal >= 0);
	assert_int_equal(ioctl(terminal, TIOCSWINSZ, &window), 0);
	assert_int_equal(dup2(terminal, STDERR_FILENO), STDERR_FILENO);
	setenv("TERM", "xterm", 1);
	setenv("NO_COLOR", "1", 1);
	struct bd_progress *progress = bd_progress_create("train", 150, "steps", false);
	bd_progress_go_on(progress, 73);
	usleep(110000); /* a bar is drawn ten times a second at most */
	bd_progress_update(progress, 74, note);
	dup2(before, STDERR_FILENO);
	/* A terminal hands on in pieces: read up to the mark behind the bar. */
	static const char mark[] = "\x04";
	assert_int_equal(write(terminal, mark, 1), 1);
	size_t length = 0;
	while (!length || text[length - 1] != mark[0]) {
		assert_true(length < size - 1);
		ssize_t got = read(master, text + length, size - 1 - length);
		assert_true(got > 0);
		length += (size_t)got;
	}
	text[length - 1] = 0;
	const char *line = strstr(text, "\x1b[K");
	assert_non_null(line);
	memmove(text, line + 3, strlen(line + 3) + 1);
	*ret_columns = 0;
	for (const char *at = text; *at; at++)
		*ret_columns += ((unsigned char)*at & 0xc0) != 0x80; /* what goes on is the same character */
	assert_int_equal(dup2(terminal, STDERR_FILENO), STDERR_FILENO);
	bd_progress_finish(progress);
	dup2(before, STDERR_FILENO);
	close(before);
	close(terminal);
	close(master);
}

static void bar_of_a_run_that_goes_on_counts_all_steps(void **state)
{
	(void)state;
	char text[1024];
	size_t columns;
	show_on_terminal(200, "loss 0.5000", text, sizeof text, &columns);
	assert_non_null(strstr(text, " 74/150 steps  "));
	/* 74 of 150 are 49 %: 11.8 of 24 cells. */
	assert_non_null(strstr(text, "███████████▊"));
	/* One step in 0.1 s and more, not 74. */
	double rate = strtod(strstr(text, "150 steps  ") + strlen("150 steps  "), NULL);
	assert_true(rate > 0 && rate <= 10);
}

static void a_narrow_terminal_loses_whole_parts_of_the_note(void **state)
{
	(void)state;
	static const char note[] = "loss 0.5000, accuracy 0.7500, waited 12 %, 34567 images/s";
	char text[1024];
	for (unsigned short width = 40; width <= 120; width += 4) {
		size_t columns;
		show_on_terminal(width, note, text, sizeof text, &columns);
		assert_true(columns < width);
		assert_null(strchr(text, '\n'));
		const char *shown = strstr(text, "loss");
		if (!shown)
			continue;
		size_t length = strlen(shown);
		assert_memory_equal(shown, note, length);
		assert_true(note[length] == ',' || note[length] == 0);
	}
	size_t columns;
	show_on_terminal(80, note, text, sizeof text, &columns);
	assert_non_null(strstr(text, "loss 0.5000, accuracy 0.7500"));
	show_on_terminal(80, "loss 0.5000", text, sizeof text, &columns);
	assert_non_null(strstr(text, "▕"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_state_is_told_once),
		cmocka_unit_test(bar_of_a_run_that_goes_on_counts_all_steps),
		cmocka_unit_test(a_narrow_terminal_loses_whole_parts_of_the_note),
	};
	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
