#include "daemon/control/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/control/answers.h"
#include "daemon/control/log.h"
#include "daemon/control/listener.h"
#include "daemon/control/server.h"
#include "daemon/control/session_open.h"

/* Packets of one session before the others get their turn: a flood costs its sender's share of the loop only. */
#define PACKETS_PER_TURN 32

/* After the last packet a peer gets so long to read it. */
#define ENDING_MS 2000

/* ---- closing ---- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct bd_control_session *session = handle->data;
	if (--session->open_handles)
		return;
	close(session->fd);
	bd_peer_finish(&session->peer);
	bd_outbox_finish(&session->outbox);
	free(session->metrics);
	free(session);
}

static void close_handle(struct bd_control_session *session, uv_handle_t *handle)
{
	if (handle->data == session)
		uv_close(handle, on_handle_closed);
}

/* Packets that nobody read would turn the peer's next read into ECONNRESET, before it sees what was sent to it. */
static void discard_input(int fd)
{
	char byte;
	for (int i = 0; i < PACKETS_PER_TURN && recv(fd, &byte, sizeof byte, MSG_DONTWAIT) > 0; i++)
		;
}

void bd_control_session_close(struct bd_control_session *session, const char *why)
{
	if (session->closed)
		return;
	session->closed = true;
	struct bd_server *server = session->server;
	if (why)
		bd_log(BD_LOG_WARN, "session %llu (user %u, process %d, %s): %s", (unsigned long long)session->id,
		       (unsigned)session->peer.uid, (int)session->peer.pid, *session->program ? session->program : "no HELLO", why);
	else
		bd_log(BD_LOG_DEBUG, "session %llu: closed", (unsigned long long)session->id);
	bool had_stream = session->member || session->job;
	bd_control_session_drop_stream(session);
	discard_input(session->fd);
	/* A forked child of the peer may keep its end: it shall see the end, too. */
	shutdown(session->fd, SHUT_RDWR);
	*session->link = session->next;
	if (session->next)
		session->next->link = session->link;
	server->session_count--;
	bd_quota_remove_session(&server->quota, session->peer.uid);
	close_handle(session, (uv_handle_t *)&session->poll);
	close_handle(session, (uv_handle_t *)&session->death);
	close_handle(session, (uv_handle_t *)&session->timer);
	if (session->lifeline)
		bd_server_stop(server);
	else if (had_stream)
		bd_server_stream_gone(server);
}

/* ---- sending ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

/* Requests wait while an answer does. */
static void watch(struct bd_control_session *session)
{
	bool waits = !bd_outbox_is_empty(&session->outbox);
	int events = UV_DISCONNECT | (waits ? UV_WRITABLE : 0) | (waits || session->ending ? 0 : UV_READABLE);
	uv_poll_start(&session->poll, events, on_poll);
}

int bd_control_session_send_files(struct bd_control_session *session, uint16_t type, const ProtobufCMessage *message,
                                  const int *descriptors, unsigned count)
{
	struct bd_error error;
	if (session->closed)
		return -EPIPE;
	int result = bd_outbox_send(&session->outbox, session->fd, type, message, descriptors, count, &error);
	if (result < 0) {
		bd_control_session_close(session, result == -EPIPE || result == -ECONNRESET ? NULL : error.text);
		return -EPIPE;
	}
	if (!bd_outbox_is_empty(&session->outbox))
		watch(session);
	return 0;
}

int bd_control_session_send(struct bd_control_session *session, uint16_t type, const ProtobufCMessage *message)
{
	return bd_control_session_send_files(session, type, message, NULL, 0);
}

int bd_control_session_send_error(struct bd_control_session *session, const struct bd_error *error)
{
	Batchd__Error message = BATCHD__ERROR__INIT;
	message.code = error->code;
	message.text = (char *)error->text;
	return bd_control_session_send(session, BATCHD__TYPE__TYPE_ERROR, &message.base);
}

/* ---- receiving ---- */

static void on_ending_timer(uv_timer_t *timer)
{
	bd_control_session_close(timer->data, NULL);
}

/* Closes when the peer can read what waits for it; ENDING_MS later in any case. */
static void end(struct bd_control_session *session)
{
	if (bd_outbox_is_empty(&session->outbox)) {
		bd_control_session_close(session, NULL);
		return;
	}
	session->ending = true;
	uv_timer_start(&session->timer, on_ending_timer, ENDING_MS, 0);
	watch(session);
}

void bd_control_session_end(struct bd_control_session *session, const struct bd_error *error)
{
	if (bd_control_session_send_error(session, error) == 0)
		end(session);
}

/* A rule was broken. */
static void end_with_error(struct bd_control_session *session, const struct bd_error *error)
{
	session->server->protocol_errors++;
	bd_log(BD_LOG_WARN, "session %llu (user %u, process %d, %s): %s", (unsigned long long)session->id,
	       (unsigned)session->peer.uid, (int)session->peer.pid, *session->program ? session->program : "no HELLO", error->text);
	bd_control_session_end(session, error);
}

static void receive_hello(struct bd_control_session *session, const Batchd__Hello *hello)
{
	struct bd_error error;
	uint32_t version = hello->version_max < BD_WIRE_VERSION_MAX ? hello->version_max : BD_WIRE_VERSION_MAX;
	if (version < BD_WIRE_VERSION_MIN || version < hello->version_min || hello->version_min > hello->version_max) {
		bd_error_set(&error, -EPROTONOSUPPORT,
		             "this batchd %s speaks protocol versions %u to %u, the client %u to %u: update the older of the two",
		             BD_VERSION, BD_WIRE_VERSION_MIN, BD_WIRE_VERSION_MAX, hello->version_min, hello->version_max);
		end_with_error(session, &error);
		return;
	}
	snprintf(session->program, sizeof session->program, "%s", hello->program);
	uv_timer_stop(&session->timer);
	session->state = BD_WIRE_READY;
	bd_log(BD_LOG_DEBUG, "session %llu: %s, user %u, process %d", (unsigned long long)session->id, session->program,
	       (unsigned)session->peer.uid, (int)session->peer.pid);
	Batchd__Welcome welcome = BATCHD__WELCOME__INIT;
	welcome.version = version;
	welcome.daemon_version = (char *)BD_VERSION;
	welcome.pid = (uint64_t)getpid();
	int result = bd_control_session_send(session, BATCHD__TYPE__TYPE_WELCOME, &welcome.base);
	(void)result; /* closed then */
}

static void receive_doorbell(struct bd_control_session *session)
{
	struct bd_error error;
	struct bd_member *member = session->member;
	if (!member || !member->consumer)
		return;
	if (bd_consumer_wake(member->consumer, &error) < 0)
		end_with_error(session, &error);
}

static bool may_drain(const struct bd_control_session *session)
{
	return session->server->is_private || session->peer.uid == 0 || session->peer.uid == geteuid();
}

static void receive_drain(struct bd_control_session *session, bool waits)
{
	struct bd_error error;
	int result;
	if (!may_drain(session)) {
		bd_error_set(&error, -EPERM, "only root and the user that batchd runs as may drain it");
		result = bd_control_session_send_error(session, &error);
	} else {
		result = bd_answer_status(session, BATCHD__TYPE__TYPE_DRAINING);
		bd_server_drain(session->server, "a client", waits);
	}
	(void)result; /* closed then */
}

static void receive_adopt(struct bd_control_session *session, int fd_take)
{
	struct bd_error error;
	if (session->lifeline) {
		bd_server_adopt(session->server, fd_take, false);
		return;
	}
	close(fd_take);
	bd_error_set(&error, -EPROTO, "ADOPT is for the first connection of a private daemon: connect to the socket");
	end_with_error(session, &error);
}

/* Packets with a message; returns true where the message was taken. */
static bool dispatch_message(struct bd_control_session *session, uint16_t type, ProtobufCMessage *message)
{
	switch (type) {
	case BATCHD__TYPE__TYPE_HELLO:
		receive_hello(session, (Batchd__Hello *)message);
		return false;
	case BATCHD__TYPE__TYPE_TEXT:
		bd_control_session_receive_text(session, (Batchd__Text *)message);
		return false;
	case BATCHD__TYPE__TYPE_OPEN:
		bd_control_session_receive_open(session, (Batchd__Open *)message);
		return true;
	case BATCHD__TYPE__TYPE_ASK_STREAMS:
		bd_answer_streams(session, (Batchd__Ask *)message);
		return false;
	case BATCHD__TYPE__TYPE_ASK_METRICS:
		bd_answer_metrics(session, (Batchd__Ask *)message);
		return false;
	case BATCHD__TYPE__TYPE_ASK_DATASETS:
		bd_answer_datasets(session, (Batchd__Ask *)message);
		return false;
	case BATCHD__TYPE__TYPE_ASK_QUARANTINE:
		bd_answer_quarantine(session, (Batchd__Ask *)message);
		return false;
	}
	return false;
}

static void dispatch(struct bd_control_session *session, const struct bd_packet *packet)
{
	ProtobufCMessage *message;
	struct bd_error error;
	int result;
	switch (packet->type) {
	case BATCHD__TYPE__TYPE_DOORBELL:
		receive_doorbell(session);
		return;
	case BATCHD__TYPE__TYPE_ASK_STATUS:
		result = bd_answer_status(session, BATCHD__TYPE__TYPE_STATUS);
		(void)result; /* closed then */
		return;
	case BATCHD__TYPE__TYPE_ASK_STATISTICS:
		bd_answer_statistics(session);
		return;
	case BATCHD__TYPE__TYPE_DRAIN:
	case BATCHD__TYPE__TYPE_DRAIN_WAIT:
		receive_drain(session, packet->type == BATCHD__TYPE__TYPE_DRAIN_WAIT);
		return;
	case BATCHD__TYPE__TYPE_ADOPT:
		receive_adopt(session, packet->descriptors[0]);
		return;
	}
	result = bd_wire_unpack(packet, &message, &error);
	if (result < 0) {
		end_with_error(session, &error);
		return;
	}
	if (!dispatch_message(session, packet->type, message))
		bd_wire_free(message);
}

static void receive(struct bd_control_session *session)
{
	static uint8_t buffer[BD_WIRE_MAX_BYTES]; /* one loop, one packet at a time */
	for (int i = 0; i < PACKETS_PER_TURN; i++) {
		struct bd_packet packet;
		struct bd_error error;
		int result = bd_wire_receive(session->fd, BD_WIRE_CLIENT, session->state, buffer, false, &packet, &error);
		if (result == -EAGAIN)
			return;
		if (result == -EINTR)
			continue;
		if (result == -EPROTO || result == -EPROTONOSUPPORT) {
			end_with_error(session, &error);
			return;
		}
		if (result < 0) {
			bd_control_session_close(session, result == -ECONNRESET ? NULL : error.text);
			return;
		}
		dispatch(session, &packet);
		if (session->closed || session->ending || !bd_outbox_is_empty(&session->outbox))
			return;
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct bd_control_session *session = poll->data;
	struct bd_error error;
	if (status < 0) {
		bd_control_session_close(session, NULL);
		return;
	}
	if (events & UV_WRITABLE) {
		int result = bd_outbox_flush(&session->outbox, session->fd, &error);
		if (result < 0) {
			bd_control_session_close(session, result == -EPIPE || result == -ECONNRESET ? NULL : error.text);
			return;
		}
		if (bd_outbox_is_empty(&session->outbox) && session->ending) {
			bd_control_session_close(session, NULL);
			return;
		}
		watch(session);
	}
	if (events & UV_READABLE)
		receive(session);
	else if (events & UV_DISCONNECT)
		bd_control_session_close(session, NULL);
}

/* ---- creation ---- */

static void on_death(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	struct bd_control_session *session = poll->data;
	bd_log(BD_LOG_DEBUG, "session %llu: process %d is dead", (unsigned long long)session->id, (int)session->peer.pid);
	bd_control_session_close(session, NULL);
}

static void on_hello_timer(uv_timer_t *timer)
{
	struct bd_control_session *session = timer->data;
	struct bd_error error;
	bd_error_set(&error, -ETIMEDOUT, "no HELLO within %d s of connecting", BD_HELLO_MS / 1000);
	end_with_error(session, &error);
}

static int start_handles(struct bd_control_session *session)
{
	uv_loop_t *loop = &session->server->loop;
	int result = uv_timer_init(loop, &session->timer);
	session->timer.data = session;
	session->open_handles++;
	if (result == 0)
		result = uv_poll_init(loop, &session->poll, session->fd);
	if (result < 0)
		return result;
	session->poll.data = session;
	session->open_handles++;
	if (session->peer.pidfd >= 0) {
		result = uv_poll_init(loop, &session->death, session->peer.pidfd);
		if (result < 0)
			return result;
		session->death.data = session;
		session->open_handles++;
		uv_poll_start(&session->death, UV_READABLE, on_death);
	}
	uv_timer_start(&session->timer, on_hello_timer, BD_HELLO_MS, 0);
	watch(session);
	return 0;
}

/* A last word to somebody who gets no session. */
static int refuse(int fd_take, const struct bd_error *error)
{
	Batchd__Error message = BATCHD__ERROR__INIT;
	message.code = error->code;
	message.text = (char *)error->text;
	int result = bd_wire_send(fd_take, BATCHD__TYPE__TYPE_ERROR, &message.base, NULL, 0, false, NULL);
	(void)result; /* it may be gone */
	discard_input(fd_take);
	close(fd_take);
	return error->code;
}

int bd_control_session_create(struct bd_server *server, int fd_take, bool lifeline, struct bd_error *error)
{
	struct bd_control_session *session = calloc(1, sizeof *session);
	if (!session) {
		bd_error_set(error, -ENOMEM, "no memory for a session");
		return refuse(fd_take, error);
	}
	int result = bd_peer_init(&session->peer, fd_take, error);
	if (result < 0) {
		free(session);
		return refuse(fd_take, error);
	}
	result = bd_quota_add_session(&server->quota, session->peer.uid, server->is_private ? 0 : BD_SESSIONS_PER_USER, error);
	if (result < 0) {
		bd_peer_finish(&session->peer);
		free(session);
		return refuse(fd_take, error);
	}
	session->server = server;
	session->id = ++server->next_session_id;
	session->fd = fd_take;
	session->lifeline = lifeline;
	session->state = BD_WIRE_NEW;
	session->next = server->sessions;
	session->link = &server->sessions;
	if (session->next)
		session->next->link = &session->next;
	server->sessions = session;
	server->session_count++;
	result = start_handles(session);
	if (result < 0) {
		bd_error_set(error, result, "cannot watch a connection: %s", uv_strerror(result));
		bd_control_session_close(session, error->text);
		return result;
	}
	return 0;
}
