#include "common/base/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/descriptor.h"
#include "common/base/options.h"
#include "tests/unit/test.h"

/* Runs `body` in a process of its own and returns its exit status: it closes and limits what the tests need. */
static int in_child(int (*body)(int argument), int argument)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(body(argument));
	int status = -1;
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int next_file_after_begin(int closed)
{
	for (int fd = 0; fd < 3; fd++)
		if (closed & 1 << fd)
			close(fd);
	if (bd_program_begin() < 0)
		return 102;
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return 100;
	return open("/dev/null", O_RDONLY) > STDERR_FILENO ? 0 : 101;
}

static void closed_standard_streams_are_opened_on_dev_null(void **state)
{
	(void)state;
	for (int closed = 0; closed < 8; closed++)
		assert_int_equal(in_child(next_file_after_begin, closed), 0);
}

static int write_past_the_limit(int argument)
{
	(void)argument;
	if (bd_program_begin() < 0)
		return 102;
	struct rlimit limit = { .rlim_cur = 1, .rlim_max = 1 };
	FILE *file = tmpfile();
	return file && setrlimit(RLIMIT_FSIZE, &limit) == 0 && fputs("two", file) >= 0 && fflush(file) != 0 ? 0 : 1;
}

static void a_file_past_its_limit_is_an_error_and_no_signal(void **state)
{
	(void)state;
	assert_int_equal(in_child(write_past_the_limit, 0), 0);
}

static int end_with_a_full_disk(int status)
{
	int full = open("/dev/full", O_WRONLY);
	if (full < 0 || dup2(full, STDOUT_FILENO) < 0 || !freopen("/dev/null", "w", stderr))
		return 100;
	printf("a result\n");
	return bd_program_end("program", status);
}

static int end_after_an_earlier_failure(int status)
{
	int full = open("/dev/full", O_WRONLY);
	if (full < 0 || dup2(full, STDOUT_FILENO) < 0 || !freopen("/dev/null", "w", stderr))
		return 100;
	printf("lost");
	if (fflush(stdout) == 0)
		return 101;
	return bd_program_end("program", status);
}

static int end_well(int status)
{
	return freopen("/dev/null", "w", stdout) ? (printf("a result\n"), bd_program_end("program", status)) : 100;
}

static void output_that_is_lost_is_a_failure(void **state)
{
	(void)state;
	assert_int_equal(in_child(end_with_a_full_disk, BD_EXIT_DONE), BD_EXIT_FAILED);
	assert_int_equal(in_child(end_after_an_earlier_failure, BD_EXIT_DONE), BD_EXIT_FAILED);
	assert_int_equal(in_child(end_with_a_full_disk, BD_EXIT_INTERRUPTED), BD_EXIT_INTERRUPTED);
	assert_int_equal(in_child(end_well, BD_EXIT_DONE), BD_EXIT_DONE);
	assert_int_equal(in_child(end_well, BD_EXIT_USAGE), BD_EXIT_USAGE);
}

static int take_low_numbers(int closed)
{
	for (int fd = 0; fd < 3; fd++)
		if (closed & 1 << fd)
			close(fd);
	int opened = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int taken = bd_descriptor_take(opened);
	if (taken <= STDERR_FILENO || fcntl(taken, F_GETFD) != FD_CLOEXEC)
		return 1;
	return opened == taken || fcntl(opened, F_GETFD) < 0 ? 0 : 2;
}

static void descriptors_keep_clear_of_the_standard_streams(void **state)
{
	(void)state;
	for (int closed = 0; closed < 8; closed++)
		assert_int_equal(in_child(take_low_numbers, closed), 0);
	assert_int_equal(bd_descriptor_take(-1), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closed_standard_streams_are_opened_on_dev_null),
		cmocka_unit_test(a_file_past_its_limit_is_an_error_and_no_signal),
		cmocka_unit_test(output_that_is_lost_is_a_failure),
		cmocka_unit_test(descriptors_keep_clear_of_the_standard_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
