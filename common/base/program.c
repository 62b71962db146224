#include "common/base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/options.h"

int bd_program_begin(void)
{
	/* open() returns the lowest free number, so the loop fills 0, 1 and 2 in order. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
			return errno ? -errno : -EIO;
	signal(SIGXFSZ, SIG_IGN);
	return 0;
}

int bd_program_end(const char *program, int status)
{
	/* The error flag also remembers a write that failed before; its errno is gone by then. */
	bool failed_before = ferror(stdout) != 0;
	errno = 0;
	/* Closed, not only flushed: NFS tells of a full disk or a quota here. */
	bool failed_now = fclose(stdout) != 0;
	if (!failed_before && !failed_now)
		return status;
	/* A command that failed has said why: most often this. */
	if (status != BD_EXIT_DONE)
		return status;
	fprintf(stderr, "%s: the output could not be written whole%s%s\n", program, errno ? ": " : "",
	        errno ? strerror(errno) : "");
	return BD_EXIT_FAILED;
}
