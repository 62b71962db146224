#include "daemon/control/session_open.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/units.h"
#include "common/record/dataset.h"
#include "common/stream/messages.h"
#include "common/stream/spec.h"
#include "daemon/control/log.h"
#include "daemon/control/open_job.h"
#include "daemon/control/server.h"
#include "daemon/control/stream_table.h"

/* ---- giving up ---- */

static void drop_text(struct bd_control_session *session)
{
	free(session->text.bytes);
	session->text.bytes = NULL;
	session->text.length = 0;
}

void bd_control_session_drop_stream(struct bd_control_session *session)
{
	if (session->job)
		bd_open_job_forget(session->job);
	session->job = NULL;
	if (session->open)
		batchd__open__free_unpacked(session->open, NULL);
	session->open = NULL;
	if (session->member)
		bd_member_leave(session->member);
	session->member = NULL;
	if (session->stream_counted)
		bd_quota_remove_stream(&session->server->quota, session->peer.uid);
	session->stream_counted = false;
	drop_text(session);
}

/* OPEN did not work out: ERROR, then close. */
static void refuse_open(struct bd_control_session *session, const struct bd_error *error)
{
	bd_log(BD_LOG_INFO, "session %llu (user %u, process %d): refused: %s", (unsigned long long)session->id,
	       (unsigned)session->peer.uid, (int)session->peer.pid, error->text);
	bd_control_session_drop_stream(session);
	bd_control_session_end(session, error);
	bd_server_stream_gone(session->server);
}

/* ---- what the stream tells ---- */

static void on_indexing(void *context, uint64_t done, uint64_t total)
{
	struct bd_control_session *session = context;
	if (session->closed || !bd_outbox_is_empty(&session->outbox)) /* a later one says more */
		return;
	Batchd__Indexing message = BATCHD__INDEXING__INIT;
	message.done = done;
	message.total = total;
	message.what = (char *)"indexing";
	int result = bd_control_session_send(session, BATCHD__TYPE__TYPE_INDEXING, &message.base);
	(void)result; /* closed then */
}

static int send_schema_part(void *context, const Batchd__Schema *message, struct bd_error *error)
{
	int result = bd_control_session_send(context, BATCHD__TYPE__TYPE_SCHEMA, &message->base);
	return result < 0 ? bd_error_set(error, result, "the peer is gone") : 0;
}

static void on_opened(void *context, const struct bd_consumer_files *files, const struct bd_order_position *position)
{
	struct bd_control_session *session = context;
	struct bd_live *live = session->member->live;
	const struct bd_schema *schema = bd_pipeline_schema(live->pipeline);
	struct bd_error error;
	int result = bd_schema_to_messages(schema, send_schema_part, session, &error);
	if (session->closed)
		return;
	if (result < 0) {
		refuse_open(session, &error);
		return;
	}
	Batchd__Position start = BATCHD__POSITION__INIT;
	start.epoch = position->epoch;
	start.batch = position->batch;
	Batchd__Opened opened = BATCHD__OPENED__INIT;
	opened.array_count = (uint32_t)schema->array_count;
	opened.class_count = (uint32_t)schema->class_count;
	opened.records = schema->records;
	opened.batches_per_epoch = schema->batches_per_epoch;
	opened.position = &start;
	opened.stream = live->id;
	opened.consumers = live->attached_count;
	int descriptors[] = { files->arena, files->ctl, files->cons };
	session->state = BD_WIRE_STREAMING;
	if (bd_control_session_send_files(session, BATCHD__TYPE__TYPE_OPENED, &opened.base, descriptors, 3) < 0)
		return;
	bd_log(BD_LOG_INFO, "stream %llu: %s for user %s, process %d, from %llu:%llu%s%s", (unsigned long long)live->id,
	       live->dataset, live->user, (int)session->peer.pid, (unsigned long long)position->epoch,
	       (unsigned long long)position->batch, *live->spec.share_group ? ", group " : "", live->spec.share_group);
}

static void on_failed(void *context, const struct bd_error *error)
{
	struct bd_control_session *session = context;
	if (session->closed)
		return;
	if (session->state == BD_WIRE_OPENING) {
		refuse_open(session, error);
		return;
	}
	/* A private daemon writes to the terminal on which its client says the same. */
	bd_log(session->server->is_private ? BD_LOG_INFO : BD_LOG_WARN, "stream %llu failed: %s",
	       (unsigned long long)session->member->live->id, error->text);
	session->state = BD_WIRE_ENDED;
	int result = bd_control_session_send_error(session, error);
	(void)result; /* closed then */
}

static void on_detached(void *context, const struct bd_order_position *next)
{
	struct bd_control_session *session = context;
	if (session->closed)
		return;
	struct bd_live *live = session->member->live;
	bd_log(BD_LOG_INFO, "stream %llu: process %d of user %s was too slow for group '%s' and was detached before %llu:%llu",
	       (unsigned long long)live->id, (int)session->peer.pid, live->user, live->spec.share_group,
	       (unsigned long long)next->epoch, (unsigned long long)next->batch);
	Batchd__Position position = BATCHD__POSITION__INIT;
	position.epoch = next->epoch;
	position.batch = next->batch;
	Batchd__Detached message = BATCHD__DETACHED__INIT;
	message.next = &position;
	message.text = (char *)"too slow for its share group";
	session->state = BD_WIRE_ENDED;
	int result = bd_control_session_send(session, BATCHD__TYPE__TYPE_DETACHED, &message.base);
	(void)result; /* closed then */
}

static const struct bd_member_events member_events = {
	.indexing = on_indexing,
	.opened = on_opened,
	.failed = on_failed,
	.detached = on_detached,
};

/* ---- OPEN ---- */

/* A private daemon's client says the same on the same terminal. */
static void log_notes(const struct bd_server *server, const struct bd_dataset *dataset)
{
	for (size_t i = 0; i < dataset->note_count; i++)
		bd_log(server->is_private ? BD_LOG_INFO : BD_LOG_WARN, "%s: %s", dataset->name, dataset->notes[i]);
}

static int read_spec(const Batchd__Open *open, struct bd_stream_spec *ret_spec, struct bd_error *error)
{
	if (!open->spec)
		return bd_error_set(error, -EPROTO, "OPEN without stream options");
	int result = bd_spec_from_message(open->spec, ret_spec, error);
	if (result < 0)
		return result;
	ret_spec->start_epoch = open->start ? open->start->epoch : 0;
	ret_spec->start_batch = open->start ? open->start->batch : 0;
	return bd_stream_spec_check(ret_spec, error);
}

static void on_job_done(void *context, struct bd_open_result *opened)
{
	struct bd_control_session *session = context;
	struct bd_server *server = session->server;
	struct bd_stream_spec spec;
	struct bd_error error = opened->error;
	session->job = NULL;
	int result = error.code;
	if (result == 0)
		result = read_spec(session->open, &spec, &error);
	if (result == 0 && server->draining)
		result = bd_error_set(&error, -ESHUTDOWN,
		                      "batchd is shutting down and opens no new streams; try again in a moment");
	if (result == 0) {
		log_notes(server, opened->dataset);
		struct bd_join join = {
			.dataset_name = session->open->dataset,
			.digest = opened->digest,
			.user = opened->user,
			.uid = session->peer.uid,
			.dataset_take = opened->dataset,
			.identities_take = opened->identities,
			.spec = &spec,
			.resume = session->open->resume,
			.quota_memory_bytes = server->config.quota_memory_bytes,
			.wake_fd = session->fd,
			.events = &member_events,
			.context = session,
		};
		opened->dataset = NULL;
		opened->identities = NULL;
		result = bd_stream_table_join(&server->streams, &join, &session->member, &error);
	}
	if (result < 0) {
		refuse_open(session, &error);
		return;
	}
	batchd__open__free_unpacked(session->open, NULL);
	session->open = NULL;
}

/* With the nearest of those that this user may use. */
static int refuse_name(const struct bd_control_session *session, const char *name, struct bd_error *error)
{
	const struct bd_config *config = &session->server->config;
	const char **names = calloc(config->dataset_count + 1, sizeof *names);
	for (size_t i = 0, count = 0; names && i < config->dataset_count; i++)
		if (bd_access_list_allows(&config->datasets[i].allow, &session->peer))
			names[count++] = config->datasets[i].name;
	const char *nearest = names ? bd_nearest_word(name, names) : NULL;
	if (nearest)
		bd_error_set(error, -ENOENT, "no dataset '%s' is configured here; did you mean '%s'?", name, nearest);
	else
		bd_error_set(error, -ENOENT,
		             "no dataset '%s' is configured here; name one of the daemon's (batchctl datasets), or a dataset file",
		             name);
	free(names);
	return -ENOENT;
}

/* A name of the configuration, a dataset file's path, or a text: what is to be read, and whether the peer's own rights count. */
static int choose_dataset(struct bd_control_session *session, const Batchd__Open *open, struct bd_open_request *ret_request,
                          struct bd_error *error)
{
	const struct bd_config *config = &session->server->config;
	struct bd_open_request request = { .name = open->dataset, .peer = &session->peer, .trusted = session->server->is_private };
	if (open->text_bytes != session->text.length)
		return bd_error_set(error, -EPROTO, "OPEN speaks of a dataset text of %llu bytes, %zu were sent",
		                    (unsigned long long)open->text_bytes, session->text.length);
	if (!*open->dataset)
		return bd_error_set(error, -EINVAL, "no dataset was named");
	if (session->text.length) {
		if (open->folder[0] != '/')
			return bd_error_set(error, -EINVAL, "%s: the folder of a dataset text must be absolute", open->dataset);
		request.folder = open->folder;
		request.text_length = session->text.length;
		request.text_take = session->text.bytes;
		session->text.bytes = NULL;
		session->text.length = 0;
	} else if (open->dataset[0] == '/') {
		request.file = open->dataset;
	} else {
		const struct bd_config_dataset *dataset = bd_config_find_dataset(config, open->dataset);
		if (!dataset)
			return refuse_name(session, open->dataset, error);
		if (!bd_access_list_allows(&dataset->allow, &session->peer))
			return bd_error_set(
				error, -EACCES,
				"user %u may not use the dataset '%s': its 'allow' does not list this user or its groups",
				(unsigned)session->peer.uid, open->dataset);
		request.file = dataset->file;
		request.trusted = true;
	}
	*ret_request = request;
	return 0;
}

void bd_control_session_receive_text(struct bd_control_session *session, const Batchd__Text *text)
{
	struct bd_error error;
	size_t length = strlen(text->part);
	if (length > BD_WIRE_MAX_TEXT_BYTES - session->text.length) {
		bd_error_set(&error, -EFBIG, "a dataset text of more than %u bytes", BD_WIRE_MAX_TEXT_BYTES);
		refuse_open(session, &error);
		return;
	}
	char *bytes = realloc(session->text.bytes, session->text.length + length + 1);
	if (!bytes) {
		bd_error_set(&error, -ENOMEM, "no memory for a dataset text");
		refuse_open(session, &error);
		return;
	}
	memcpy(bytes + session->text.length, text->part, length + 1);
	session->text.bytes = bytes;
	session->text.length += length;
}

void bd_control_session_receive_open(struct bd_control_session *session, Batchd__Open *open_take)
{
	struct bd_server *server = session->server;
	struct bd_stream_spec spec;
	struct bd_open_request request;
	struct bd_error error;
	session->open = open_take;
	session->state = BD_WIRE_OPENING;
	int result = server->draining ? bd_error_set(&error, -ESHUTDOWN,
	                                             "batchd is shutting down and opens no new streams; try again in a moment")
	                              : read_spec(open_take, &spec, &error);
	if (result == 0) {
		result = bd_quota_add_stream(&server->quota, session->peer.uid, server->config.quota_streams, &error);
		session->stream_counted = result == 0;
	}
	if (result == 0)
		result = choose_dataset(session, open_take, &request, &error);
	if (result == 0)
		result = bd_open_queue_add(&server->opens, &request, on_job_done, session, &session->job, &error);
	if (result < 0)
		refuse_open(session, &error);
}
