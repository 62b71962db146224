#include "common/stream/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/descriptor.h"

/* ... of this program, for the daemon's log. */
extern char *program_invocation_short_name;

uint64_t bd_deadline_after_ms(int milliseconds)
{
	return milliseconds < 0 ? BD_SESSION_FOR_EVER : bd_now_ns() + (uint64_t)milliseconds * 1000000;
}

/* What is left until the deadline holds for connect and for sends; receives wait with ppoll. */
static void limit_sends(int socket, uint64_t deadline_ns)
{
	uint64_t now_ns = bd_now_ns(), left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 1;
	struct timeval left = { .tv_sec = (time_t)(left_ns / 1000000000),
		                .tv_usec = (suseconds_t)(left_ns % 1000000000 / 1000 + 1) };
	(void)setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left);
}

static int no_answer(struct bd_error *error)
{
	return bd_error_set(error, -ETIMEDOUT, "the daemon does not answer: it is stopped, or its host is overloaded");
}

int bd_session_connect(const char *path, uint64_t deadline_ns, int *ret_socket, struct bd_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path)
		return bd_error_set(error, -ENAMETOOLONG, "socket %s: longer than %zu bytes", path, sizeof address.sun_path - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = bd_descriptor_take(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	if (fd < 0)
		return bd_error_set(error, -errno, "socket: %s", strerror(errno));
	if (deadline_ns)
		limit_sends(fd, deadline_ns);
	int result;
	do
		result = connect(fd, (const struct sockaddr *)&address, sizeof address);
	while (result < 0 && errno == EINTR);
	if (result == 0) {
		*ret_socket = fd;
		return 0;
	}
	int code = -errno;
	struct stat status;
	close(fd);
	if (code == -EAGAIN) { /* with SO_SNDTIMEO: its queue of connections is full and nobody takes one */
		code = no_answer(error);
		bd_error_prefix(error, "socket %s", path);
		return code;
	}
	if (stat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
		return bd_error_set(error, code, "socket %s: is no socket, but a %s", path,
		                    S_ISDIR(status.st_mode) ? "folder" : "file");
	if (code == -EACCES)
		return bd_error_set(error, code,
		                    "socket %s: you may not connect to it; its owner, or 'socket: {mode, group}' of its daemon's "
		                    "configuration, says who may",
		                    path);
	if (code == -ENOENT || code == -ECONNREFUSED)
		return bd_error_set(
			error, code,
			"socket %s: no batchd listens there; start one with 'batchd --socket %s --dataset NAME=FILE.yaml', or "
			"name no socket (nor $BATCHD_SOCKET) for a private one",
			path, path);
	return bd_error_set(error, code, "socket %s: %s", path, strerror(-code));
}

static int greet(struct bd_session *session, struct bd_error *error)
{
	char program[96];
	snprintf(program, sizeof program, "%s %s", program_invocation_short_name, BD_VERSION);
	Batchd__Hello hello = BATCHD__HELLO__INIT;
	hello.version_min = BD_WIRE_VERSION_MIN;
	hello.version_max = BD_WIRE_VERSION_MAX;
	hello.program = program;
	ProtobufCMessage *answer;
	int result = bd_session_ask(session, BATCHD__TYPE__TYPE_HELLO, &hello.base, BATCHD__TYPE__TYPE_WELCOME, &answer, error);
	if (result < 0)
		return result;
	const Batchd__Welcome *welcome = (const Batchd__Welcome *)answer;
	if (welcome->version < BD_WIRE_VERSION_MIN || welcome->version > BD_WIRE_VERSION_MAX)
		result = bd_error_set(
			error, -EPROTONOSUPPORT,
			"the daemon (batchd %s) speaks protocol version %u, this program %u to %u; install one release of both",
			welcome->daemon_version, welcome->version, BD_WIRE_VERSION_MIN, BD_WIRE_VERSION_MAX);
	snprintf(session->daemon_version, sizeof session->daemon_version, "%s", welcome->daemon_version);
	session->daemon_pid = welcome->pid;
	session->state = BD_WIRE_READY;
	bd_wire_free(answer);
	return result;
}

int bd_session_start_take(int socket, bool interruptible, uint64_t deadline_ns, struct bd_session *ret_session,
                          struct bd_error *error)
{
	struct bd_session session = { .socket = socket,
		                      .state = BD_WIRE_NEW,
		                      .interruptible = interruptible,
		                      .deadline_ns = deadline_ns,
		                      .buffer = malloc(BD_WIRE_MAX_BYTES) };
	int result = session.buffer ? greet(&session, error) : bd_error_set(error, -ENOMEM, "out of memory");
	if (result < 0)
		bd_session_finish(&session, false);
	else
		*ret_session = session;
	return result;
}

void bd_session_finish(struct bd_session *session, bool forked)
{
	if (session->socket >= 0) {
		if (!forked)
			(void)shutdown(session->socket, SHUT_RDWR);
		close(session->socket);
	}
	free(session->buffer);
	session->buffer = NULL;
	session->socket = -1;
}

int bd_session_send(struct bd_session *session, uint16_t type, const ProtobufCMessage *message, struct bd_error *error)
{
	return bd_wire_send(session->socket, type, message, NULL, 0, true, error);
}

static int wait_readable(const struct bd_session *session, uint64_t deadline_ns, struct bd_error *error)
{
	for (;;) {
		uint64_t now_ns = bd_now_ns();
		if (deadline_ns <= now_ns)
			return bd_error_set(error, -EAGAIN, "the daemon has not answered in time");
		struct timespec rest = { .tv_sec = (time_t)((deadline_ns - now_ns) / 1000000000),
			                 .tv_nsec = (long)((deadline_ns - now_ns) % 1000000000) };
		struct pollfd poll = { .fd = session->socket, .events = POLLIN };
		int ready = ppoll(&poll, 1, deadline_ns == BD_SESSION_FOR_EVER ? NULL : &rest, NULL);
		if (ready > 0)
			return 0;
		if (ready < 0 && errno == EINTR && session->interruptible)
			return bd_error_set(error, -EINTR, "interrupted");
		if (ready < 0 && errno != EINTR)
			return bd_error_set(error, -errno, "poll: %s", strerror(errno));
	}
}

/*
 * Whoever may wait has seen that nothing is there yet: wait first, then receive. A wait without end that no signal may cut short
 * is one call, for a blocking recvmsg; the others need ppoll, which alone is never restarted after a signal.
 */
int bd_session_receive(struct bd_session *session, uint64_t deadline_ns, struct bd_packet *ret_packet, struct bd_error *error)
{
	bool blocks = deadline_ns == BD_SESSION_FOR_EVER && !session->interruptible;
	for (;;) {
		int result = blocks || deadline_ns == 0 ? 0 : wait_readable(session, deadline_ns, error);
		/* What is there at the deadline still counts. */
		if (result < 0 && result != -EAGAIN)
			return result;
		result = bd_wire_receive(session->socket, BD_WIRE_DAEMON, session->state, session->buffer, blocks, ret_packet,
		                         error);
		if (result == -EINTR || (result == -EAGAIN && deadline_ns != 0 && bd_now_ns() < deadline_ns))
			continue;
		return result;
	}
}

int bd_session_error(const struct bd_packet *packet, struct bd_error *error)
{
	ProtobufCMessage *message;
	int result = bd_wire_unpack(packet, &message, error);
	if (result < 0)
		return result;
	const Batchd__Error *said = (const Batchd__Error *)message;
	/* Whatever it says, it is an error: the caller must not take it for success. */
	int code = said->code < 0 ? said->code : -EIO;
	bd_error_set(error, code, "%s", said->text);
	bd_wire_free(message);
	return code;
}

int bd_session_ask(struct bd_session *session, uint16_t question, const ProtobufCMessage *message, uint16_t answer,
                   ProtobufCMessage **ret_message, struct bd_error *error)
{
	uint64_t deadline_ns = session->deadline_ns ? session->deadline_ns : bd_now_ns() + BD_SESSION_ANSWER_NS;
	int result = bd_session_send(session, question, message, error);
	/* A daemon that refuses may have said why and gone before it read the question. */
	if (result < 0 && result != -EPIPE && result != -ECONNRESET)
		return result;
	for (;;) {
		struct bd_packet packet;
		result = bd_session_receive(session, deadline_ns, &packet, error);
		if (result == -EAGAIN)
			return no_answer(error);
		if (result < 0)
			return result;
		if (packet.type == BATCHD__TYPE__TYPE_ERROR)
			return bd_session_error(&packet, error);
		if (packet.type == answer)
			return bd_wire_unpack(&packet, ret_message, error);
		for (unsigned i = 0; i < packet.rule->descriptors; i++)
			close(packet.descriptors[i]);
		if (packet.type != BATCHD__TYPE__TYPE_DOORBELL)
			return bd_error_set(error, -EPROTO, "the daemon answered %s with %s", bd_wire_type_name(question),
			                    packet.rule->name);
	}
}
