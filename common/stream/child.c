#include "common/stream/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/descriptor.h"

extern char **environ;

/* The descriptor that the child finds its socket at, behind the standard ones. */
#define CHILD_SOCKET 3
/* A private daemon has nothing to save: it joins its threads and leaves. Longer means that it hangs on a disk. */
#define CHILD_END_MS 5000

/* The daemon beside this program's own executable: a build tree or an installation is used as a whole. */
static bool beside_ourselves(char *ret_path, size_t size)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	if (length <= 0)
		return false;
	self[length] = 0;
	char *slash = strrchr(self, '/');
	if (!slash)
		return false;
	*slash = 0;
	int wrote = snprintf(ret_path, size, "%s/batchd", self);
	return wrote > 0 && (size_t)wrote < size && access(ret_path, X_OK) == 0;
}

const char *bd_child_program(const struct bd_daemon_options *options, char *buffer, size_t size)
{
	const char *named = options->program ? options->program : getenv("BATCHD_DAEMON");
	if (named && named[0])
		return named;
	return beside_ourselves(buffer, size) ? buffer : "batchd";
}

/* 0 or the errno of the first step that could not be noted. */
static int choose_descriptors(posix_spawn_file_actions_t *actions, int socket)
{
	int code = posix_spawn_file_actions_adddup2(actions, socket, CHILD_SOCKET);
	if (!code)
		code = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	/* The program that loads libbatchd may run without a standard error. */
	if (!code && fcntl(STDERR_FILENO, F_GETFD) < 0)
		code = posix_spawn_file_actions_addopen(actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (!code)
		code = posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
	/* What the trainer has open is not the daemon's: inherited pipes and files would live as long as it. */
	if (!code)
		code = posix_spawn_file_actions_addclosefrom_np(actions, CHILD_SOCKET + 1);
	return code;
}

static int spawn(const char *program, char *const *arguments, int socket, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	int result = choose_descriptors(&actions, socket);
	if (!result)
		result = posix_spawnp(ret_pid, program, &actions, &attributes, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -result;
}

static int spawn_daemon(const struct bd_daemon_options *options, int socket, pid_t *ret_pid, struct bd_error *error)
{
	char path[PATH_MAX + 16], memory[32], threads[32], descriptor[16];
	const char *program = bd_child_program(options, path, sizeof path);
	char *arguments[8];
	size_t count = 0;
	snprintf(descriptor, sizeof descriptor, "%d", CHILD_SOCKET);
	arguments[count++] = (char *)"batchd";
	arguments[count++] = (char *)"--private-fd";
	arguments[count++] = descriptor;
	if (options->memory_bytes) {
		snprintf(memory, sizeof memory, "%" PRIu64, options->memory_bytes);
		arguments[count++] = (char *)"--memory";
		arguments[count++] = memory;
	}
	if (options->threads) {
		snprintf(threads, sizeof threads, "%" PRIu32, options->threads);
		arguments[count++] = (char *)"--threads";
		arguments[count++] = threads;
	}
	arguments[count] = NULL;
	int result = spawn(program, arguments, socket, ret_pid);
	if (result == -ENOENT)
		return bd_error_set(
			error, result,
			"no batchd found ($BATCHD_DAEMON, beside this program, PATH; tried '%s'); install it, or name a "
			"running one's socket ($BATCHD_SOCKET)",
			program);
	if (result < 0)
		return bd_error_set(error, result, "starting %s: %s", program, strerror(-result));
	return 0;
}

/* dup2 to the same number would leave CLOEXEC set; a socket above the target never is that number. */
static int pair_above(int ret_pair[2], struct bd_error *error)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bd_error_set(error, -errno, "socketpair: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		if (pair[i] > CHILD_SOCKET)
			continue;
		int moved = fcntl(pair[i], F_DUPFD_CLOEXEC, CHILD_SOCKET + 1);
		int code = -errno;
		close(pair[i]);
		pair[i] = moved;
		if (moved < 0) {
			close(pair[!i]);
			return bd_error_set(error, code, "socketpair: %s", strerror(-code));
		}
	}
	memcpy(ret_pair, pair, sizeof pair);
	return 0;
}

int bd_child_start(const struct bd_daemon_options *options, struct bd_child *ret_child, struct bd_error *error)
{
	struct bd_child child = { .session = { .socket = -1 } };
	int pair[2];
	int result = pair_above(pair, error);
	if (result < 0)
		return result;
	result = spawn_daemon(options, pair[1], &child.pid, error);
	close(pair[1]);
	if (result < 0) {
		close(pair[0]);
		return result;
	}
	result = bd_session_start_take(pair[0], false, 0, &child.session, error);
	if (result < 0) {
		child.session.socket = -1;
		if (result == -ECONNRESET || result == -EPIPE) {
			bd_child_note_ending(&child);
			bd_error_set(error, result,
			             "the private batchd ended at its start (%s); what it said, if anything, stands above",
			             child.ending[0] ? child.ending : "it is not known how");
		}
		bd_child_finish(&child, false);
		return result;
	}
	*ret_child = child;
	return 0;
}

int bd_child_connect(struct bd_child *child, int *ret_socket, struct bd_error *error)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bd_error_set(error, -errno, "socketpair: %s", strerror(errno));
	int result = bd_wire_send(child->session.socket, BATCHD__TYPE__TYPE_ADOPT, NULL, &pair[1], 1, true, error);
	close(pair[1]);
	if (result < 0) {
		close(pair[0]);
		return result;
	}
	int own = bd_descriptor_take(pair[0]);
	if (own < 0)
		return bd_error_set(error, -errno, "socketpair: %s", strerror(errno));
	*ret_socket = own;
	return 0;
}

static bool ends_within(pid_t pid, int milliseconds)
{
	int handle = (int)syscall(SYS_pidfd_open, pid, 0);
	if (handle < 0)
		return true;
	struct pollfd poll_handle = { .fd = handle, .events = POLLIN };
	int ready;
	do
		ready = poll(&poll_handle, 1, milliseconds);
	while (ready < 0 && errno == EINTR);
	close(handle);
	return ready != 0;
}

/* It has closed its socket: what is left of it takes milliseconds. */
#define CHILD_GONE_MS 1000

void bd_child_note_ending(struct bd_child *child)
{
	int status;
	if (child->pid <= 0 || !ends_within(child->pid, CHILD_GONE_MS) || waitpid(child->pid, &status, WNOHANG) != child->pid)
		return;
	child->pid = 0;
	if (WIFSIGNALED(status))
		snprintf(child->ending, sizeof child->ending, "killed by signal %d (%s)", WTERMSIG(status),
		         strsignal(WTERMSIG(status)));
	else
		snprintf(child->ending, sizeof child->ending, "exit status %d", WEXITSTATUS(status));
}

void bd_child_finish(struct bd_child *child, bool forked)
{
	bd_session_finish(&child->session, forked);
	if (child->pid > 0 && !forked) {
		if (!ends_within(child->pid, CHILD_END_MS))
			kill(child->pid, SIGKILL);
		/* ECHILD where the program ignores SIGCHLD: then the system has reaped it. */
		while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	child->pid = 0;
}
