#include "tools/batchctl/local_daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/stream/child.h"

extern char **environ;

/* How long a daemon may take from its start to its socket, and how often that is looked at. */
#define START_TRIES 500
#define TRY_NS 10000000

static int spawn(struct bd_local_daemon *daemon, uint64_t memory_bytes, uint32_t threads, struct bd_error *error)
{
	char path[PATH_MAX + 16], memory[32], thread_count[32];
	const struct bd_daemon_options options = { .program = NULL };
	const char *program = bd_child_program(&options, path, sizeof path);
	char *arguments[8] = { (char *)"batchd", (char *)"--socket", daemon->socket };
	size_t count = 3;
	if (memory_bytes) {
		snprintf(memory, sizeof memory, "%" PRIu64, memory_bytes);
		arguments[count++] = (char *)"--memory";
		arguments[count++] = memory;
	}
	if (threads) {
		snprintf(thread_count, sizeof thread_count, "%" PRIu32, threads);
		arguments[count++] = (char *)"--threads";
		arguments[count++] = thread_count;
	}
	setenv("BATCHD_LOG", "warn", 0);
	/* A group of its own: Ctrl-C reaches the consumers, which end in order, and then this daemon is told. */
	posix_spawnattr_t attributes;
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setpgroup(&attributes, 0);
	int result = posix_spawnp(&daemon->pid, program, NULL, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	if (result == 0)
		return 0;
	daemon->pid = 0;
	return bd_error_set(error, -result, "starting %s: %s", program, strerror(result));
}

static int wait_until_it_answers(struct bd_local_daemon *daemon, struct bd_error *error)
{
	for (int i = 0; i < START_TRIES; i++) {
		struct bd_client *client;
		if (bd_client_connect(daemon->socket, NULL, &client, error) == 0) {
			bd_client_close(client);
			return 0;
		}
		if (waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid) {
			daemon->pid = 0;
			return bd_error_set(error, -ECONNREFUSED, "batchd ended at its start; its own message stands above");
		}
		nanosleep(&(struct timespec){ .tv_nsec = TRY_NS }, NULL);
	}
	return bd_error_set(error, -ETIMEDOUT, "batchd does not answer");
}

int bd_local_daemon_start(struct bd_local_daemon *ret_daemon, uint64_t memory_bytes, uint32_t threads, struct bd_error *error)
{
	*ret_daemon = (struct bd_local_daemon){ .folder = "/tmp/batchctl-XXXXXX" };
	if (!mkdtemp(ret_daemon->folder)) {
		ret_daemon->folder[0] = 0;
		return bd_error_set(error, -errno, "a temporary folder: %s", strerror(errno));
	}
	snprintf(ret_daemon->socket, sizeof ret_daemon->socket, "%s/socket", ret_daemon->folder);
	int result = spawn(ret_daemon, memory_bytes, threads, error);
	return result < 0 ? result : wait_until_it_answers(ret_daemon, error);
}

void bd_local_daemon_finish(struct bd_local_daemon *daemon)
{
	if (daemon->pid > 0) {
		kill(daemon->pid, SIGTERM);
		while (waitpid(daemon->pid, NULL, 0) < 0 && errno == EINTR)
			;
		daemon->pid = 0;
	}
	if (daemon->folder[0]) {
		unlink(daemon->socket);
		rmdir(daemon->folder);
		daemon->folder[0] = 0;
	}
}
