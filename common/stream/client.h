/*
 * client.h - the insides of struct bd_client, for client.c and stream.c. The public manual is batchd/client.h.
 */
#ifndef BD_STREAM_CLIENT_H
#define BD_STREAM_CLIENT_H

#include <batchd/client.h>

#include "common/stream/child.h"
#include "common/stream/session.h"

struct bd_client {
	char *socket_path; /* NULL: a private daemon */
	struct bd_daemon_options options;
	char *program; /* behind options.program */
	struct bd_child child;
	uint8_t *fork_mark; /* a page that the kernel empties in a forked child */
};

/* True in a forked copy of the process that opened the client. No system call. */
bool bd_client_is_forked(const struct bd_client *client);

/* A new, greeted connection; starts a private daemon where it has ended. */
BD_MUST_CHECK int bd_client_open_session(struct bd_client *client, bool interruptible, struct bd_session *ret_session,
                                         struct bd_error *error);

/* The same; deadline_ns: of struct bd_session, for connecting, greeting and all questions. */
BD_MUST_CHECK int bd_client_open_session_until(struct bd_client *client, bool interruptible, uint64_t deadline_ns,
                                               struct bd_session *ret_session, struct bd_error *error);

/* -ECHILD with its text. */
BD_MUST_CHECK int bd_client_check_fork(const struct bd_client *client, struct bd_error *error);

#endif
