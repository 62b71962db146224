#include "daemon/control/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/file.h"

/* Trainers of one host that start together; the kernel caps it at net.core.somaxconn. */
#define BACKLOG 1024

/* Another daemon holds the folder's lock for milliseconds; who holds it for seconds is no daemon. */
#define LOCK_TRIES 200
#define LOCK_WAIT_US 10000

static int lock_folder(const char *path, int *ret_fd, struct bd_error *error)
{
	char *folder = bd_path_folder(path);
	if (!folder)
		return bd_error_set(error, -ENOMEM, "%s: no memory", path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
	if (fd < 0) {
		int code = -errno;
		result = bd_error_set(error, code, "%s: cannot open its folder: %s", path, strerror(-code));
	}
	free(folder);
	for (int i = 0; result == 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			result = bd_error_set(error, -errno, "%s: cannot lock its folder: %s", path, strerror(errno));
		else if (i == LOCK_TRIES)
			result = bd_error_set(error, -EADDRINUSE, "%s: another program keeps its folder locked", path);
		else
			usleep(LOCK_WAIT_US);
	}
	if (result < 0) {
		if (fd >= 0)
			close(fd);
		return result;
	}
	*ret_fd = fd;
	return 0;
}

/* Removes a socket file without listener. 0 also where there is no file. */
static int remove_stale(const struct sockaddr_un *address, struct bd_error *error)
{
	const char *path = address->sun_path;
	struct stat status;
	if (lstat(path, &status) != 0)
		return errno == ENOENT ? 0 : bd_error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return bd_error_set(error, -EEXIST, "%s: is there and no socket; remove it, or name another path", path);
	int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return bd_error_set(error, -errno, "cannot create a socket: %s", strerror(errno));
	int code = connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
	close(probe);
	if (code == 0 || code == EAGAIN || code == EPROTOTYPE) /* EAGAIN: its backlog is full */
		return bd_error_set(error, -EADDRINUSE, "%s: another process listens there; stop it, or name another path", path);
	if (code != ECONNREFUSED)
		return bd_error_set(error, -code, "%s: cannot see whether a process listens there: %s", path, strerror(code));
	if (unlink(path) != 0)
		return bd_error_set(error, -errno, "%s: cannot replace the socket file left there: %s", path, strerror(errno));
	return 0;
}

/* The file gets its mode after its group, so that no one connects who may not. */
static int bind_file(int fd, const struct sockaddr_un *address, const struct bd_listener_options *options, struct bd_error *error)
{
	const char *path = address->sun_path;
	mode_t before = umask(0177);
	int bound = bind(fd, (const struct sockaddr *)address, sizeof *address), code = errno;
	umask(before);
	if (bound != 0)
		return bd_error_set(error, -code, "%s: cannot create the socket file: %s", path, strerror(code));
	if (options->group_given && lchown(path, (uid_t)-1, options->group) != 0)
		code = -errno;
	else
		code = chmod(path, options->mode) == 0 && listen(fd, BACKLOG) == 0 ? 0 : -errno;
	if (code < 0) {
		unlink(path);
		return bd_error_set(error, code, "%s: cannot set its group %u and mode %04o: %s", path, (unsigned)options->group,
		                    (unsigned)options->mode, strerror(-code));
	}
	return 0;
}

int bd_listener_open(const struct bd_listener_options *options, struct bd_listener *ret_listener, struct bd_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	/* the kernel would choose an abstract name for it */
	if (!options->path[0])
		return bd_error_set(error, -EINVAL, "the socket's path is empty: give --socket PATH");
	if (strlen(options->path) >= sizeof address.sun_path)
		return bd_error_set(error, -ENAMETOOLONG, "%s: a socket's path has at most %zu characters", options->path,
		                    sizeof address.sun_path - 1);
	memcpy(address.sun_path, options->path, strlen(options->path));
	struct bd_listener listener = { .fd = -1, .path = strdup(options->path) };
	int lock = -1;
	int result = listener.path ? lock_folder(options->path, &lock, error)
	                           : bd_error_set(error, -ENOMEM, "no memory for a path");
	if (result == 0)
		result = remove_stale(&address, error);
	if (result == 0) {
		listener.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		result = listener.fd >= 0 ? bind_file(listener.fd, &address, options, error)
		                          : bd_error_set(error, -errno, "cannot create a socket: %s", strerror(errno));
	}
	struct stat status;
	if (result == 0 && lstat(options->path, &status) == 0) {
		listener.device = status.st_dev;
		listener.inode = status.st_ino;
	}
	if (lock >= 0)
		close(lock);
	if (result < 0) {
		if (listener.fd >= 0)
			close(listener.fd);
		free(listener.path);
		return result;
	}
	*ret_listener = listener;
	return 0;
}

static int option_of(int fd, int name)
{
	int value = 0;
	socklen_t length = sizeof value;
	return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

static int set_flags(int fd, struct bd_error *error)
{
	int status = fcntl(fd, F_GETFL);
	if (status < 0 || fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return bd_error_set(error, -errno, "descriptor %d: %s", fd, strerror(errno));
	return 0;
}

int bd_listener_adopt(int fd, struct bd_listener *ret_listener, struct bd_error *error)
{
	if (option_of(fd, SO_DOMAIN) != AF_UNIX || option_of(fd, SO_TYPE) != SOCK_SEQPACKET || option_of(fd, SO_ACCEPTCONN) != 1)
		return bd_error_set(error, -EINVAL,
		                    "descriptor %d is no listening Unix socket of type SOCK_SEQPACKET (ListenSequentialPacket=)",
		                    fd);
	int result = set_flags(fd, error);
	if (result < 0)
		return result;
	*ret_listener = (struct bd_listener){ .fd = fd };
	return 0;
}

void bd_listener_close(struct bd_listener *listener)
{
	struct stat status;
	if (listener->path && lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
	    status.st_ino == listener->inode)
		unlink(listener->path);
	if (listener->fd >= 0)
		close(listener->fd);
	free(listener->path);
	*listener = BD_LISTENER_NONE;
}

int bd_listener_check_peer(int fd, struct bd_error *error)
{
	struct sockaddr_un peer;
	socklen_t length = sizeof peer;
	if (option_of(fd, SO_DOMAIN) != AF_UNIX || option_of(fd, SO_TYPE) != SOCK_SEQPACKET ||
	    getpeername(fd, (struct sockaddr *)&peer, &length) != 0)
		return bd_error_set(error, -EINVAL, "descriptor %d is no connected Unix socket of type SOCK_SEQPACKET", fd);
	return set_flags(fd, error);
}
