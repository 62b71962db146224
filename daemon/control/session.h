/*
 * session.h - one connection: its packets, its state, its stream.
 *
 * States and what may be sent in each: bd_wire_rules (common/stream/wire.h) and proto/PROTOCOL.md.
 *
 *   NEW -> READY -> OPENING -> STREAMING -> ENDED
 *
 * A session ends when its peer closes, when the peer's process is dead (pidfd; also while a child of it keeps the socket
 * open), when a packet breaks a rule, when no HELLO comes within BD_HELLO_MS, or when the daemon stops. Whatever it held is
 * free then, and nobody else notices.
 * Threads: the loop.
 */
#ifndef BD_CONTROL_SESSION_H
#define BD_CONTROL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "common/stream/wire.h"
#include "daemon/control/outbox.h"
#include "daemon/control/peer.h"

struct bd_member;
struct bd_open_job;
struct bd_server;

/* Who connects and says nothing holds a place of others. */
#define BD_HELLO_MS 10000

struct bd_control_session {
	struct bd_control_session *next, **link; /* in server->sessions */
	struct bd_server *server;
	uint64_t id;
	int fd;
	struct bd_peer peer;
	char program[64]; /* of HELLO */
	enum bd_wire_state state;
	bool lifeline; /* a private daemon's first connection */
	bool ending; /* say what waits in the outbox, then close */
	bool closed;
	struct bd_outbox outbox;
	struct { /* TEXT packets so far */
		char *bytes;
		size_t length;
	} text;
	char *metrics; /* the text of which further pages are still to be asked for, or NULL */
	struct bd_open_job *job;
	Batchd__Open *open; /* while OPENING and its job runs */
	struct bd_member *member;
	bool stream_counted; /* in server->quota */
	uv_poll_t poll, death;
	uv_timer_t timer;
	unsigned open_handles;
};

/*
 * Takes the socket and starts to read. -ENOMEM, -EDQUOT (the peer was told), -ESRCH (dead already); the socket is closed then.
 */
BD_MUST_CHECK int bd_control_session_create(struct bd_server *server, int fd_take, bool lifeline, struct bd_error *error);

/* At once; frees what it held. `why` for the log, NULL: the peer left. Idempotent; the memory goes when the loop turns. */
void bd_control_session_close(struct bd_control_session *session, const char *why);

/* Tells the error, then closes: at once, or when the peer has read what waits for it. */
void bd_control_session_end(struct bd_control_session *session, const struct bd_error *error);

/* Sends a packet, or closes the session where that is not possible: -EPIPE then, the session must not be used any more. */
BD_MUST_CHECK int bd_control_session_send(struct bd_control_session *session, uint16_t type, const ProtobufCMessage *message);
BD_MUST_CHECK int bd_control_session_send_files(struct bd_control_session *session, uint16_t type, const ProtobufCMessage *message,
                                                const int *descriptors, unsigned count);
BD_MUST_CHECK int bd_control_session_send_error(struct bd_control_session *session, const struct bd_error *error);

#endif
