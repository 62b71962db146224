#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "trainer/commands/interrupt.h"

/* What a process comes to that watches and gets these signals: wait's status; its exit is the number that it sees then. */
static int after(bool hangup_is_ignored, int first, int second)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGHUP, hangup_is_ignored ? SIG_IGN : SIG_DFL);
		const volatile int *stop = bd_interrupt_watch();
		raise(first);
		if (second)
			raise(second);
		_exit(*stop);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void expect_seen(int status, int number)
{
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), number);
}

static void expect_killed(int status, int number)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), number);
}

static void first_signal_is_a_number_and_the_second_kills(void **state)
{
	(void)state;
	expect_seen(after(false, SIGINT, 0), SIGINT);
	expect_seen(after(false, SIGTERM, 0), SIGTERM);
	expect_killed(after(false, SIGINT, SIGINT), SIGINT);
	expect_killed(after(false, SIGTERM, SIGTERM), SIGTERM);
}

/* The kernel tells of a closed terminal, and the shell tells its jobs once more. */
static void closed_terminal_says_so_twice(void **state)
{
	(void)state;
	expect_seen(after(false, SIGHUP, 0), SIGHUP);
	expect_seen(after(false, SIGHUP, SIGHUP), SIGHUP);
	expect_seen(after(true, SIGHUP, SIGHUP), 0);
}

/* Slurm's --signal=USR1@60, and a soft limit of processor time, which the kernel says each second. */
static void schedulers_that_announce_the_end_are_heard(void **state)
{
	(void)state;
	expect_seen(after(false, SIGUSR1, 0), SIGUSR1);
	expect_seen(after(false, SIGUSR1, SIGUSR1), SIGUSR1);
	expect_seen(after(false, SIGXCPU, SIGXCPU), SIGXCPU);
	expect_seen(after(false, SIGUSR1, SIGTERM), SIGTERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_signal_is_a_number_and_the_second_kills),
		cmocka_unit_test(closed_terminal_says_so_twice),
		cmocka_unit_test(schedulers_that_announce_the_end_are_heard),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
