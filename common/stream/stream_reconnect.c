#include "common/stream/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"

/* A service that systemd restarts is back within a second or two; an index that has to be built anew counts as back. */
#define RECONNECT_LIMIT_NS (60 * BD_NS_PER_S)
#define RECONNECT_FIRST_NS UINT64_C(20000000)
#define RECONNECT_LONGEST_NS UINT64_C(2000000000)
/* A daemon that dies again and again without a batch in between is killed by this stream itself. */
#define RECONNECTS_WITHOUT_BATCH 8

int bd_stream_fail(struct bd_stream *stream, int code, const struct bd_error *error)
{
	struct bd_error failure = { .text = "the stream failed" };
	if (error)
		failure = *error;
	failure.code = code;
	stream->failure = failure;
	stream->state = BD_STREAM_FAILED;
	return code;
}

/* What passes when a daemon is restarted; everything else that it answers to OPEN will be its answer again. */
static bool may_pass(int code, bool connected)
{
	if (code == -ECONNRESET || code == -EPIPE || code == -ESHUTDOWN)
		return true;
	return !connected && (code == -ECONNREFUSED || code == -ENOENT || code == -EAGAIN);
}

static int sleep_until(uint64_t wake_ns, bool interruptible, struct bd_error *error)
{
	struct timespec wake = { .tv_sec = (time_t)(wake_ns / 1000000000), .tv_nsec = (long)(wake_ns % 1000000000) };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL) == EINTR)
		if (interruptible)
			return bd_error_set(error, -EINTR, "interrupted");
	return 0;
}

/* One pause of the back-off. -EAGAIN: the caller's deadline comes first. */
static int pause_before_attempt(struct bd_stream *stream, uint64_t deadline_ns, struct bd_error *error)
{
	if (bd_now_ns() >= stream->reconnect.next_ns)
		return 0;
	int result = sleep_until(bd_min_u64(stream->reconnect.next_ns, deadline_ns), stream->request.interruptible, error);
	if (result < 0)
		return result;
	return deadline_ns < stream->reconnect.next_ns ? bd_error_set(error, -EAGAIN, "the daemon is away") : 0;
}

static int note_failed_attempt(struct bd_stream *stream, int code, bool connected, struct bd_error *error)
{
	uint64_t now_ns = bd_now_ns();
	if (stream->reconnect.since_ns == 0)
		stream->reconnect.since_ns = now_ns;
	/* A private daemon that cannot be started, or does not greet, will not be there the next time either. */
	bool hopeless = !may_pass(code, connected) || (!stream->client->socket_path && stream->reconnect.attempts >= 2);
	if (hopeless || now_ns - stream->reconnect.since_ns > RECONNECT_LIMIT_NS)
		return bd_stream_fail(stream, code, error);
	stream->reconnect.attempts++;
	stream->reconnect.pause_ns = bd_min_u64(bd_max_u64(2 * stream->reconnect.pause_ns, RECONNECT_FIRST_NS),
	                                        RECONNECT_LONGEST_NS);
	stream->reconnect.next_ns = now_ns + stream->reconnect.pause_ns;
	uint64_t limit_ns = stream->client->socket_path ? RECONNECT_LIMIT_NS : 0;
	bd_stream_tell_progress(stream, BD_PROGRESS_RECONNECTING,
	                        limit_ns ? (now_ns - stream->reconnect.since_ns) / BD_NS_PER_S : 0, limit_ns / BD_NS_PER_S);
	return 0;
}

static int attempt(struct bd_stream *stream, uint64_t deadline_ns, struct bd_error *error)
{
	if (stream->state == BD_STREAM_CLOSED) {
		int result = pause_before_attempt(stream, deadline_ns, error);
		if (result < 0)
			return result;
		result = bd_stream_begin_opening(stream, error);
		if (result == -EINTR) /* says nothing about the daemon: the next call tries again */
			return result;
		if (result < 0)
			return note_failed_attempt(stream, result, false, error);
	}
	int result = bd_stream_go_on_opening(stream, deadline_ns, error);
	if (result == 0 || stream->state == BD_STREAM_OPENING)
		return result;
	return note_failed_attempt(stream, result, true, error);
}

int bd_stream_reopen(struct bd_stream *stream, uint64_t deadline_ns, struct bd_error *error)
{
	struct bd_error local;
	int result = 0;
	while (result == 0 && (stream->state == BD_STREAM_CLOSED || stream->state == BD_STREAM_OPENING))
		result = attempt(stream, deadline_ns, error ? error : &local);
	return result;
}

int bd_stream_lose_session(struct bd_stream *stream, struct bd_error *error)
{
	bd_session_finish(&stream->link->session, false);
	stream->state = BD_STREAM_CLOSED;
	stream->reconnects++;
	stream->reconnect.next_ns = 0;
	if (++stream->reconnect.without_batch <= RECONNECTS_WITHOUT_BATCH)
		return 0;
	struct bd_error gone = { .code = 0 };
	const char *ending = stream->client->child.ending;
	int code = bd_error_set(&gone, -ECONNRESET,
	                        "the daemon closed the connection %u times without giving the batch %" PRIu64 ":%" PRIu64 "%s%s",
	                        stream->reconnect.without_batch, stream->position.epoch, stream->position.batch,
	                        ending[0] ? "; the private batchd's last end: " : "", ending);
	if (error)
		*error = gone;
	return bd_stream_fail(stream, code, &gone);
}

void bd_stream_go_on_privately(struct bd_stream *stream)
{
	stream->request.spec.share_group[0] = 0;
	stream->request.spec.share_start = 0;
	stream->request.spec.share_timeout_ns = 0;
	stream->state = BD_STREAM_CLOSED;
	stream->reconnects++;
	stream->reconnect.next_ns = 0;
	if (stream->link->released == stream->link->taken)
		bd_session_finish(&stream->link->session, false);
}
