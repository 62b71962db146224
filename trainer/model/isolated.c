#include "trainer/model/isolated.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child says at its end. */
struct report {
	bool finished;
	int result;
	struct bd_error error;
};

static void prepare_child(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU, SIGTERM, SIGINT };
	struct rlimit time = { .rlim_cur = BD_ISOLATED_CPU_SECONDS, .rlim_max = BD_ISOLATED_CPU_SECONDS }, none = { 0 };
	for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
		signal(fatal[i], SIG_DFL);
	setrlimit(RLIMIT_CPU, &time);
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (quiet >= 0) {
		dup2(quiet, STDOUT_FILENO);
		dup2(quiet, STDERR_FILENO);
	}
}

static void run_child(int fd, struct report *report, int (*work)(void *context, FILE *output, struct bd_error *error),
                      void *context)
{
	prepare_child();
	FILE *output = fdopen(fd, "wb");
	if (output) {
		report->result = work(context, output, &report->error);
		report->finished = fflush(output) == 0;
	}
	_exit(0);
}

static int judge(const char *what, const struct report *report, int status, struct bd_error *error)
{
	if (report->finished && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		if (report->result < 0 && error)
			*error = report->error;
		return report->result;
	}
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
		return bd_error_set(error, -EBADMSG, "%s: damaged, or more than %d s of work to read", what,
		                    BD_ISOLATED_CPU_SECONDS);
	return bd_error_set(error, -EBADMSG, "%s: damaged: reading it crashes", what);
}

int bd_isolated(const char *what, int (*work)(void *context, FILE *output, struct bd_error *error), void *context,
                FILE **ret_output, struct bd_error *error)
{
	struct report *report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("isolated", MFD_CLOEXEC), status = 0;
	FILE *output = fd >= 0 ? fdopen(fd, "rb") : NULL;
	pid_t child = report != MAP_FAILED && output ? fork() : -1;
	int result = child < 0 ? bd_error_set(error, -errno, "%s: no process to read it in: %s", what, strerror(errno)) : 0;
	if (child == 0)
		run_child(fd, report, work, context);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (child > 0)
		result = judge(what, report, status, error);
	if (report != MAP_FAILED)
		munmap(report, sizeof *report);
	if (result == 0) {
		rewind(output);
		*ret_output = output;
		return 0;
	}
	if (output)
		fclose(output);
	else if (fd >= 0)
		close(fd);
	return result;
}
