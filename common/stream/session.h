/*
 * session.h - one connection of a client to a daemon: greeted, blocking with deadlines.
 *
 * Why: libbatchd has no loop and no thread; everything it says to a daemon is "send one packet" and "wait for one packet until".
 * Threads: one at a time.
 */
#ifndef BD_STREAM_SESSION_H
#define BD_STREAM_SESSION_H

#include "common/stream/wire.h"

/* No deadline. */
#define BD_SESSION_FOR_EVER UINT64_MAX
/* A daemon answers HELLO and questions from its loop at once; one that needs longer hangs. */
#define BD_SESSION_ANSWER_NS (UINT64_C(10) * 1000000000)

struct bd_session {
	int socket; /* -1: closed */
	enum bd_wire_state state;
	bool interruptible; /* a signal ends a wait with -EINTR */
	uint64_t deadline_ns; /* of all its questions together, CLOCK_MONOTONIC; 0: BD_SESSION_ANSWER_NS for each */
	char daemon_version[32];
	uint64_t daemon_pid;
	uint8_t *buffer; /* of the packet received last */
};

/* Connects to a listening socket; deadline_ns as in the struct: a stopped daemon whose queue is full would block. -ETIMEDOUT; -ENOENT, -ECONNREFUSED: nobody listens there, and the text says so. */
BD_MUST_CHECK int bd_session_connect(const char *path, uint64_t deadline_ns, int *ret_socket, struct bd_error *error);

/* Takes the connected socket and greets: HELLO, WELCOME. After a failure the socket is closed and nothing is owed. */
BD_MUST_CHECK int bd_session_start_take(int socket, bool interruptible, uint64_t deadline_ns, struct bd_session *ret_session,
                                        struct bd_error *error);

/* Ends the connection for forked copies of the socket too, unless `forked`: this process is such a copy. Idempotent. */
void bd_session_finish(struct bd_session *session, bool forked);

/* Sends one packet without descriptors, waiting where the socket is full. 0, or a negative errno of the socket. */
BD_MUST_CHECK int bd_session_send(struct bd_session *session, uint16_t type, const ProtobufCMessage *message,
                                  struct bd_error *error);

/*
 * The next packet, valid until the next call. deadline_ns: CLOCK_MONOTONIC; 0 polls. -EAGAIN: none until then; -EINTR; -ECONNRESET: the
 * daemon is gone; -EPROTO.
 */
BD_MUST_CHECK int bd_session_receive(struct bd_session *session, uint64_t deadline_ns, struct bd_packet *ret_packet,
                                     struct bd_error *error);

/* Sets *error from an ERROR packet and returns its code. */
int bd_session_error(const struct bd_packet *packet, struct bd_error *error);

/*
 * Sends a question and waits for its answer; DOORBELLs in between are dropped, an ERROR is the answer too. Only for sessions without a
 * running stream. The message is freed by bd_wire_free.
 */
BD_MUST_CHECK int bd_session_ask(struct bd_session *session, uint16_t question, const ProtobufCMessage *message, uint16_t answer,
                                 ProtobufCMessage **ret_message, struct bd_error *error);

/* An absolute deadline; milliseconds < 0: for ever. */
uint64_t bd_deadline_after_ms(int milliseconds);

#endif
