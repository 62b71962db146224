#include "common/stream/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/stream/spec.h"

/* ---- request ---- */

void bd_stream_request_init(struct bd_stream_request *ret_request)
{
	*ret_request = (struct bd_stream_request){ .dataset = NULL };
	bd_stream_spec_init(&ret_request->spec);
}

static char *absolute(const char *path)
{
	char folder[PATH_MAX], *whole;
	if (path[0] == '/')
		return strdup(path);
	if (!getcwd(folder, sizeof folder) || asprintf(&whole, "%s/%s", folder, path) < 0)
		return NULL;
	return whole;
}

static bool is_file(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* A path, or a word of the daemon's configuration? Where both could be meant the file wins only for a private daemon, which has no configuration. */
static bool means_file(const struct bd_client *client, const struct bd_stream_request *request)
{
	if (request->dataset_text)
		return false;
	return strchr(request->dataset, '/') || !client->socket_path || is_file(request->dataset);
}

int bd_stream_copy_request(struct bd_stream *stream, const struct bd_stream_request *request, struct bd_error *error)
{
	const char *name = request->dataset ? request->dataset : "dataset";
	struct bd_stream_request *copy = &stream->request;
	*copy = *request;
	copy->dataset = copy->dataset_text = copy->dataset_folder = NULL;
	if (!request->dataset && !request->dataset_text)
		return bd_error_set(error, -EINVAL, "no dataset is named");
	copy->dataset = means_file(stream->client, request) ? absolute(name) : strdup(name);
	if (request->dataset_text) {
		copy->dataset_text = strdup(request->dataset_text);
		copy->dataset_folder = absolute(request->dataset_folder ? request->dataset_folder : ".");
	}
	if (!copy->dataset || (request->dataset_text && (!copy->dataset_text || !copy->dataset_folder)))
		return bd_error_set(error, -ENOMEM, "out of memory");
	if (request->dataset_text && strlen(request->dataset_text) > BD_WIRE_MAX_TEXT_BYTES)
		return bd_error_set(error, -EFBIG, "%s: a dataset text of %zu bytes, more than %u", name,
		                    strlen(request->dataset_text), BD_WIRE_MAX_TEXT_BYTES);
	return bd_stream_spec_check(&copy->spec, error);
}

/* ---- links ---- */

void bd_stream_link_destroy(struct bd_stream_link *link, bool forked)
{
	bd_session_finish(&link->session, forked);
	bd_ring_view_close(link->view);
	free(link->given_back);
	free(link->arrays);
	free(link);
}

void bd_stream_drop_old_links(struct bd_stream *stream)
{
	struct bd_stream_link **place = stream->link ? &stream->link->older : NULL;
	while (place && *place) {
		struct bd_stream_link *link = *place;
		if (link->released == link->taken) {
			*place = link->older;
			bd_stream_link_destroy(link, false);
		} else {
			place = &link->older;
		}
	}
}

static int link_create(struct bd_stream *stream, const struct bd_packet *opened, struct bd_stream_link **ret_link,
                       struct bd_error *error)
{
	struct bd_stream_link *link = calloc(1, sizeof *link);
	if (!link) {
		for (int i = 0; i < 3; i++)
			close(opened->descriptors[i]);
		return bd_error_set(error, -ENOMEM, "out of memory");
	}
	link->session.socket = -1;
	int result = bd_ring_view_open_take(opened->descriptors[0], opened->descriptors[1], opened->descriptors[2], &link->view,
	                                    error);
	if (result == 0 && bd_ring_view_arrays(link->view) != stream->schema.schema.array_count)
		result = bd_error_set(error, -EPROTO, "the daemon's schema and memory differ in the number of arrays");
	if (result == 0) {
		link->slots = bd_ring_view_slots(link->view);
		link->base = stream->sequence;
		link->given_back = calloc(link->slots, 1);
		link->arrays = calloc((size_t)link->slots * (stream->schema.schema.array_count + 1), sizeof link->arrays[0]);
		if (!link->given_back || !link->arrays)
			result = bd_error_set(error, -ENOMEM, "out of memory");
	}
	if (result < 0)
		bd_stream_link_destroy(link, false);
	else
		*ret_link = link;
	return result;
}

/* ---- opening ---- */

static int send_text(struct bd_session *session, const char *text, struct bd_error *error)
{
	size_t length = strlen(text);
	char part[BD_WIRE_PAGE_BYTES + 1];
	for (size_t at = 0; at < length;) {
		size_t bytes = length - at < BD_WIRE_PAGE_BYTES ? length - at : BD_WIRE_PAGE_BYTES;
		/* A protobuf string is UTF-8: no character is cut in two. */
		while (bytes > 1 && at + bytes < length && ((unsigned char)text[at + bytes] & 0xc0) == 0x80)
			bytes--;
		memcpy(part, text + at, bytes);
		part[bytes] = 0;
		Batchd__Text message = BATCHD__TEXT__INIT;
		message.part = part;
		int result = bd_session_send(session, BATCHD__TYPE__TYPE_TEXT, &message.base, error);
		if (result < 0)
			return result;
		at += bytes;
	}
	return 0;
}

static int send_open(struct bd_stream *stream, struct bd_error *error)
{
	const struct bd_stream_request *request = &stream->request;
	struct bd_session *session = &stream->opening;
	Batchd__Open open = BATCHD__OPEN__INIT;
	Batchd__StreamSpec spec;
	Batchd__Position start = BATCHD__POSITION__INIT;
	bd_spec_to_message(&request->spec, &spec);
	start.epoch = stream->position.epoch;
	start.batch = stream->position.batch;
	open.dataset = (char *)request->dataset;
	open.spec = &spec;
	open.start = &start;
	open.resume = stream->resumes;
	int result = 0;
	if (request->dataset_text) {
		open.text_bytes = strlen(request->dataset_text);
		open.folder = (char *)request->dataset_folder;
		result = send_text(session, request->dataset_text, error);
	}
	return result < 0 ? result : bd_session_send(session, BATCHD__TYPE__TYPE_OPEN, &open.base, error);
}

/* CLOSED -> OPENING. */
int bd_stream_begin_opening(struct bd_stream *stream, struct bd_error *error)
{
	int result = bd_client_open_session(stream->client, stream->request.interruptible, &stream->opening, error);
	if (result < 0)
		return result;
	bd_owned_schema_finish(&stream->arriving);
	result = send_open(stream, error);
	/* A daemon that closed after an ERROR: read that rather than report the broken pipe. */
	if (result < 0 && result != -EPIPE && result != -ECONNRESET) {
		bd_session_finish(&stream->opening, false);
		return result;
	}
	stream->opening.state = BD_WIRE_OPENING;
	stream->state = BD_STREAM_OPENING;
	return 0;
}

static bool same_arrays(const struct bd_schema *a, const struct bd_schema *b)
{
	if (a->array_count != b->array_count || a->records != b->records)
		return false;
	for (size_t i = 0; i < a->array_count; i++) {
		const struct bd_array_schema *x = &a->arrays[i], *y = &b->arrays[i];
		if (strcmp(x->name, y->name) != 0 || x->dtype != y->dtype || x->rank != y->rank ||
		    memcmp(x->shape, y->shape, sizeof x->shape) != 0)
			return false;
	}
	return true;
}

static int accept_schema(struct bd_stream *stream, const Batchd__Opened *opened, struct bd_error *error)
{
	struct bd_schema *schema = &stream->arriving.schema;
	if (opened->array_count != schema->array_count || opened->class_count != schema->class_count)
		return bd_error_set(error, -EPROTO, "the daemon's schema came incomplete");
	schema->records = opened->records;
	schema->batches_per_epoch = opened->batches_per_epoch;
	if (stream->has_schema && !same_arrays(schema, &stream->schema.schema))
		return bd_error_set(error, -ESTALE, "%s: the dataset has changed while the daemon was away",
		                    stream->request.dataset);
	if (stream->resumes && (!opened->position || opened->position->epoch != stream->position.epoch ||
	                        opened->position->batch != stream->position.batch))
		return bd_error_set(error, -EPROTO, "the daemon went on at another position than %" PRIu64 ":%" PRIu64,
		                    stream->position.epoch, stream->position.batch);
	if (opened->position) {
		stream->position.epoch = opened->position->epoch;
		stream->position.batch = opened->position->batch;
	}
	if (!stream->has_schema) {
		stream->schema = stream->arriving;
		stream->arriving = (struct bd_owned_schema){ .arrays = NULL };
		stream->has_schema = true;
	}
	return 0;
}

/* OPENING -> RUNNING. */
static int take_opened(struct bd_stream *stream, const struct bd_packet *packet, struct bd_error *error)
{
	ProtobufCMessage *message;
	struct bd_stream_link *link = NULL;
	int result = bd_wire_unpack(packet, &message, error);
	if (result == 0) {
		result = accept_schema(stream, (const Batchd__Opened *)message, error);
		bd_wire_free(message);
	}
	if (result < 0) {
		for (int i = 0; i < 3; i++)
			close(packet->descriptors[i]);
		return result;
	}
	result = link_create(stream, packet, &link, error);
	if (result < 0)
		return result;
	link->session = stream->opening;
	link->session.state = BD_WIRE_STREAMING;
	link->older = stream->link;
	stream->link = link;
	stream->opening = (struct bd_session){ .socket = -1 };
	stream->state = BD_STREAM_RUNNING;
	stream->resumes = true;
	stream->explained = false;
	stream->reconnect.next_ns = stream->reconnect.pause_ns = stream->reconnect.since_ns = 0;
	stream->reconnect.attempts = 0;
	bd_stream_drop_old_links(stream);
	return 0;
}

void bd_stream_tell_progress(struct bd_stream *stream, const char *what, uint64_t done, uint64_t total)
{
	if (stream->request.on_progress)
		stream->request.on_progress(stream->request.context, what, done, total);
}

static int take_opening_packet(struct bd_stream *stream, const struct bd_packet *packet, struct bd_error *error)
{
	if (packet->type == BATCHD__TYPE__TYPE_OPENED)
		return take_opened(stream, packet, error);
	if (packet->type == BATCHD__TYPE__TYPE_ERROR) {
		/* -EAGAIN and -EINTR have a meaning of their own here: call again. */
		int code = bd_session_error(packet, error);
		return code == -EAGAIN || code == -EINTR ? -EBUSY : code;
	}
	if (packet->type == BATCHD__TYPE__TYPE_DOORBELL)
		return 0;
	if (packet->type != BATCHD__TYPE__TYPE_INDEXING && packet->type != BATCHD__TYPE__TYPE_SCHEMA)
		return bd_error_set(error, -EPROTO, "the daemon answered OPEN with %s", packet->rule->name);
	ProtobufCMessage *message;
	int result = bd_wire_unpack(packet, &message, error);
	if (result < 0)
		return result;
	if (packet->type == BATCHD__TYPE__TYPE_SCHEMA) {
		result = bd_owned_schema_add(&stream->arriving, (const Batchd__Schema *)message, error);
	} else {
		const Batchd__Indexing *indexing = (const Batchd__Indexing *)message;
		bd_stream_tell_progress(stream, indexing->what[0] ? indexing->what : "indexing", indexing->done, indexing->total);
	}
	bd_wire_free(message);
	return result;
}

/* -EAGAIN: not opened before the deadline, call again. -ECONNRESET: the daemon is gone. Other errors are final. */
int bd_stream_go_on_opening(struct bd_stream *stream, uint64_t deadline_ns, struct bd_error *error)
{
	while (stream->state == BD_STREAM_OPENING) {
		struct bd_packet packet;
		int result = bd_session_receive(&stream->opening, deadline_ns, &packet, error);
		if (result == 0)
			result = take_opening_packet(stream, &packet, error);
		if (result == -EAGAIN || result == -EINTR)
			return result;
		if (result < 0) {
			bd_session_finish(&stream->opening, false);
			stream->state = BD_STREAM_CLOSED;
			return result;
		}
	}
	return 0;
}
