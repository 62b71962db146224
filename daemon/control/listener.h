/*
 * listener.h - the daemon's listening socket file.
 *
 * A socket file that nobody listens on (left by a killed daemon) is replaced; one with a listener, and anything that is no
 * socket, is refused. Two daemons that start at once are kept apart by a lock on the folder, held while the file is looked at.
 * Threads: call it before others start (it sets the umask for a moment).
 */
#ifndef BD_CONTROL_LISTENER_H
#define BD_CONTROL_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

#include <batchd/error.h>

struct bd_listener_options {
	const char *path;
	mode_t mode;
	bool group_given;
	gid_t group;
};

struct bd_listener {
	int fd; /* non-blocking; -1: none */
	char *path; /* owned; NULL: not our file (given by systemd) */
	dev_t device; /* of our file, so that only it is removed */
	ino_t inode;
};

/* 0; -EADDRINUSE (a daemon listens there); -EEXIST (no socket); -ENAMETOOLONG; -EPERM (group), or what bind says. */
BD_MUST_CHECK int bd_listener_open(const struct bd_listener_options *options, struct bd_listener *ret_listener,
                                   struct bd_error *error);

/* Takes a listening descriptor that was inherited. -EINVAL where it is no listening SOCK_SEQPACKET Unix socket. */
BD_MUST_CHECK int bd_listener_adopt(int fd, struct bd_listener *ret_listener, struct bd_error *error);

/* Stops listening; removes the file if it is still ours. Idempotent; a zeroed listener is not valid: use BD_LISTENER_NONE. */
void bd_listener_close(struct bd_listener *listener);

#define BD_LISTENER_NONE ((struct bd_listener){ .fd = -1 })

/* A connected SOCK_SEQPACKET Unix socket, as --private-fd and ADOPT want it? -EINVAL with the reason. Makes it non-blocking and close-on-exec. */
BD_MUST_CHECK int bd_listener_check_peer(int fd, struct bd_error *error);

#endif
