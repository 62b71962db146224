#include "common/stream/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"

/* How long a caller that holds every slot is left to wait: the end of the stream may still come. */
#define HOLDS_ALL_NS UINT64_C(1000000000)
/* The packet that explains the ring's state word is sent right after it. */
#define EXPLANATION_NS (UINT64_C(10) * 1000000000)

/* The state word says FAILED: its reason came or is on the way. */
static int explain_failure(struct bd_stream *stream, struct bd_error *error)
{
	uint64_t deadline_ns = bd_now_ns() + EXPLANATION_NS;
	while (!stream->explained) {
		struct bd_packet packet;
		int result = bd_session_receive(&stream->link->session, deadline_ns, &packet, error);
		if (result == -EINTR)
			return result;
		if (result < 0) {
			bd_error_set(error, -EIO, "the stream failed, and the daemon did not say why");
			return bd_stream_fail(stream, -EIO, error);
		}
		bd_stream_note_packet(stream, &packet);
	}
	if (error)
		*error = stream->failure;
	return bd_stream_fail(stream, stream->failure.code, &stream->failure);
}

/* ---- batches ---- */

static bool fill_array(struct bd_array *array, const struct bd_array_schema *schema, const struct bd_ring_array *from)
{
	uint64_t bytes = bd_dtype_bytes(schema->dtype);
	array->name = schema->name;
	array->dtype = schema->dtype;
	array->rank = schema->rank;
	array->data = from->data;
	for (uint32_t i = schema->rank; i-- > 0;) {
		array->shape[i] = from->shape[i];
		array->strides_bytes[i] = (int64_t)bytes;
		if (from->shape[i] < 0 || !bd_multiply_u64(bytes, (uint64_t)from->shape[i], &bytes) || bytes > INT64_MAX)
			return false;
	}
	return bytes == from->bytes;
}

static int fill_batch(struct bd_stream *stream, const struct bd_ring_item *item, struct bd_batch *ret_batch)
{
	struct bd_stream_link *link = stream->link;
	size_t count = stream->schema.schema.array_count;
	struct bd_array *arrays = link->arrays + (item->sequence % link->slots) * count;
	uint32_t described;
	const uint64_t *records;
	if (bd_ring_item_records(item, &described, &records) < 0 || described != count)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		struct bd_ring_array from;
		if (bd_ring_item_array(item, i, &from) < 0 || !fill_array(&arrays[i], &stream->schema.schema.arrays[i], &from))
			return -EPROTO;
		stream->bytes += from.bytes;
	}
	*ret_batch = (struct bd_batch){
		.epoch = item->epoch,
		.batch = item->batch,
		.next_epoch = item->next_epoch,
		.next_batch = item->next_batch,
		.sequence = link->base + item->sequence,
		.published_ns = item->published_ns,
		.rows = item->rows,
		.array_count = count,
		.arrays = arrays,
		.records = records,
	};
	return 0;
}

static int deliver(struct bd_stream *stream, const struct bd_ring_item *item, uint64_t since_ns, struct bd_batch *ret_batch,
                   struct bd_error *error)
{
	struct bd_stream_link *link = stream->link;
	if (item->epoch != stream->position.epoch || item->batch != stream->position.batch ||
	    fill_batch(stream, item, ret_batch) < 0) {
		bd_error_set(error, -EPROTO, "the daemon's memory holds no valid batch %" PRIu64 ":%" PRIu64,
		             stream->position.epoch, stream->position.batch);
		return bd_stream_fail(stream, -EPROTO, error);
	}
	link->taken++;
	link->given_back[item->sequence % link->slots] = 0;
	stream->position.epoch = item->next_epoch;
	stream->position.batch = item->next_batch;
	stream->sequence++;
	stream->batches++;
	stream->records += item->rows;
	stream->reconnect.without_batch = 0;
	if (since_ns) {
		uint64_t now_ns = bd_now_ns();
		stream->waited_ns += now_ns - since_ns;
		/* Published before the wait began: that would be the time it lay ready, not the hand-over. */
		if (item->published_ns >= since_ns && now_ns >= item->published_ns)
			bd_histogram_add(&stream->handover, now_ns - item->published_ns);
	}
	return 0;
}

static bool holds_all(const struct bd_stream *stream)
{
	return stream->link->taken - stream->link->released >= stream->link->slots;
}

/* Sleeps on the socket. 0: look again. */
static int wait_for_batch(struct bd_stream *stream, uint64_t deadline_ns, uint64_t since_ns, struct bd_error *error)
{
	uint64_t until_ns = deadline_ns;
	struct bd_packet packet;
	if (holds_all(stream) && deadline_ns != 0) {
		if (deadline_ns == BD_SESSION_FOR_EVER && bd_now_ns() - since_ns > HOLDS_ALL_NS)
			return bd_error_set(error, -EDEADLK,
			                    "all %" PRIu32
			                    " slots are held by this consumer: release a batch, or ask for more 'slots'",
			                    stream->link->slots);
		until_ns = bd_min_u64(deadline_ns, bd_now_ns() + HOLDS_ALL_NS / 4);
	}
	if (!bd_ring_view_sleep(stream->link->view))
		return 0;
	int result = bd_session_receive(&stream->link->session, until_ns, &packet, error);
	/* The ticket stands while the caller polls the descriptor itself. */
	if (result == -EAGAIN)
		return until_ns == deadline_ns ? result : 0;
	bd_ring_view_awake(stream->link->view);
	if (result == 0)
		bd_stream_note_packet(stream, &packet);
	return result;
}

/* The daemon closed. With a reason that will stand, coming back is no use. */
static int lose_or_explain(struct bd_stream *stream, struct bd_error *error)
{
	if (!stream->explained || stream->failure.code == -ESHUTDOWN) {
		stream->explained = false;
		return bd_stream_lose_session(stream, error);
	}
	return explain_failure(stream, error);
}

static int next_running(struct bd_stream *stream, uint64_t deadline_ns, uint64_t since_ns, struct bd_batch *ret_batch,
                        struct bd_error *error)
{
	struct bd_ring_item item;
	int result = bd_ring_view_take(stream->link->view, &item);
	switch (result) {
	case 0:
		return deliver(stream, &item, since_ns, ret_batch, error);
	case -ENODATA:
		stream->state = BD_STREAM_ENDED;
		return bd_error_set(error, -ENODATA, "the stream has ended");
	case -EIO:
		return explain_failure(stream, error);
	case -ESTALE:
		bd_stream_go_on_privately(stream);
		return 1;
	case -EAGAIN:
		break;
	default:
		bd_error_set(error, result, "the daemon's memory makes no sense");
		return bd_stream_fail(stream, result, error);
	}
	result = wait_for_batch(stream, deadline_ns, since_ns, error);
	if (result == -ECONNRESET || result == -EPIPE)
		result = lose_or_explain(stream, error);
	return result < 0 ? result : 1;
}

int bd_stream_next(struct bd_stream *stream, int timeout_ms, struct bd_batch *ret_batch, struct bd_error *error)
{
	if (bd_client_is_forked(stream->client))
		return bd_client_check_fork(stream->client, error);
	/* The way of almost every batch: no clock, no system call. */
	if (stream->state == BD_STREAM_RUNNING) {
		struct bd_ring_item item;
		if (bd_ring_view_ready(stream->link->view) && bd_ring_view_take(stream->link->view, &item) == 0)
			return deliver(stream, &item, 0, ret_batch, error);
	}
	uint64_t since_ns = bd_now_ns(), deadline_ns = timeout_ms == 0 ? 0 : bd_deadline_after_ms(timeout_ms);
	int result = 1;
	while (result > 0) {
		if (stream->state == BD_STREAM_FAILED) {
			if (error)
				*error = stream->failure;
			return stream->failure.code;
		}
		if (stream->state == BD_STREAM_ENDED)
			return bd_error_set(error, -ENODATA, "the stream has ended");
		if (stream->state != BD_STREAM_RUNNING) {
			result = bd_stream_reopen(stream, deadline_ns, error);
			if (result < 0)
				break;
		}
		result = next_running(stream, deadline_ns, since_ns, ret_batch, error);
	}
	if (result < 0)
		stream->waited_ns += bd_now_ns() - since_ns;
	return result;
}

static struct bd_stream_link *link_of(struct bd_stream *stream, uint64_t sequence)
{
	struct bd_stream_link *link = stream->link;
	while (link && sequence < link->base)
		link = link->older;
	return link && sequence - link->base < link->taken ? link : NULL;
}

void bd_stream_release(struct bd_stream *stream, const struct bd_batch *batch)
{
	if (bd_client_is_forked(stream->client))
		return;
	struct bd_stream_link *link = link_of(stream, batch->sequence);
	if (!link || batch->sequence - link->base < link->released)
		return;
	link->given_back[(batch->sequence - link->base) % link->slots] = 1;
	uint64_t released = link->released;
	while (released < link->taken && link->given_back[released % link->slots])
		released++;
	if (released == link->released)
		return;
	link->released = released;
	if (bd_ring_view_release(link->view, released) && link->session.socket >= 0)
		bd_wire_ring_doorbell(link->session.socket);
	if (link != stream->link)
		bd_stream_drop_old_links(stream);
	else if (stream->state == BD_STREAM_CLOSED && released == link->taken)
		bd_session_finish(&link->session, false);
}

/* ---- opening and closing ---- */

static int first_opening(struct bd_stream *stream, struct bd_error *error)
{
	int result = bd_stream_go_on_opening(stream, BD_SESSION_FOR_EVER, error);
	if (result != -ECONNRESET && result != -EPIPE)
		return result;
	if (stream->client->socket_path)
		return bd_error_set(error, result,
		                    "the daemon went away while it opened '%s'; open it again when the daemon is back",
		                    stream->request.dataset);
	struct bd_child *child = &stream->client->child;
	bd_child_note_ending(child);
	return bd_error_set(error, result,
	                    "the private batchd ended while it opened '%s': %s; what it said, if anything, stands above",
	                    stream->request.dataset, child->ending[0] ? child->ending : "it is not known how");
}

int bd_stream_open(struct bd_client *client, const struct bd_stream_request *request, struct bd_stream **ret_stream,
                   struct bd_error *error)
{
	struct bd_stream *stream = calloc(1, sizeof *stream);
	if (!stream)
		return bd_error_set(error, -ENOMEM, "out of memory");
	stream->client = client;
	stream->opening.socket = -1;
	int result = bd_client_check_fork(client, error);
	if (result == 0)
		result = bd_stream_copy_request(stream, request, error);
	stream->position.epoch = request->spec.start_epoch;
	stream->position.batch = request->spec.start_batch;
	/* The first opening is not tried again: a socket that is not there is a mistake until it was there once. */
	if (result == 0)
		result = bd_stream_begin_opening(stream, error);
	if (result == 0)
		result = first_opening(stream, error);
	if (result < 0) {
		bd_stream_close(stream);
		return result;
	}
	*ret_stream = stream;
	return 0;
}

void bd_stream_free_quarantine(struct bd_stream *stream)
{
	for (size_t i = 0; i < stream->quarantine_count; i++)
		free(stream->quarantine_files[i]);
	free(stream->quarantine_files);
	stream->quarantine_files = NULL;
	stream->quarantine_count = 0;
}

void bd_stream_close(struct bd_stream *stream)
{
	if (!stream)
		return;
	bool forked = bd_client_is_forked(stream->client);
	bd_session_finish(&stream->opening, forked);
	while (stream->link) {
		struct bd_stream_link *link = stream->link;
		stream->link = link->older;
		bd_stream_link_destroy(link, forked);
	}
	bd_owned_schema_finish(&stream->arriving);
	bd_owned_schema_finish(&stream->schema);
	bd_stream_free_quarantine(stream);
	free((char *)stream->request.dataset);
	free((char *)stream->request.dataset_text);
	free((char *)stream->request.dataset_folder);
	free(stream);
}

const struct bd_schema *bd_stream_schema(const struct bd_stream *stream)
{
	return &stream->schema.schema;
}

int bd_stream_descriptor(const struct bd_stream *stream)
{
	if (stream->state == BD_STREAM_OPENING)
		return stream->opening.socket;
	return stream->state != BD_STREAM_CLOSED && stream->link ? stream->link->session.socket : -1;
}

void bd_stream_position(const struct bd_stream *stream, uint64_t *ret_epoch, uint64_t *ret_batch)
{
	*ret_epoch = stream->position.epoch;
	*ret_batch = stream->position.batch;
}
