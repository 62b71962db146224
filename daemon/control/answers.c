#include "daemon/control/answers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "common/stream/messages.h"
#include "daemon/control/metrics.h"
#include "daemon/control/server.h"

/* What a page of a list holds at most. Entries are counted by their packed size, so that long names cannot make a packet too large. */
#define PAGE_ENTRIES 256

int bd_answer_status(struct bd_control_session *session, uint16_t type)
{
	struct bd_server *server = session->server;
	Batchd__Status status = BATCHD__STATUS__INIT;
	status.version = (char *)BD_VERSION;
	status.pid = (uint64_t)getpid();
	status.uptime_s = (double)(bd_now_ns() - server->started_ns) / BD_NS_PER_S;
	status.streams = server->streams.count;
	status.sessions = server->session_count;
	bd_engine_memory(server->engine, &status.memory_used_bytes, &status.memory_limit_bytes);
	status.peak_rss_bytes = bd_peak_rss_bytes();
	status.draining = server->draining;
	return bd_control_session_send(session, type, &status.base);
}

/* ---- streams ---- */

struct info {
	Batchd__Member members[BD_STREAM_MEMBERS], *member_pointers[BD_STREAM_MEMBERS];
	Batchd__StreamInfo message;
	Batchd__StreamSpec spec;
	Batchd__Position position;
};

/* Texts are borrowed from the stream. */
static void fill_info(struct bd_live *live, struct info *info)
{
	struct bd_pipeline_statistics statistics;
	bd_pipeline_statistics(live->pipeline, &statistics);
	const struct bd_schema *schema = bd_pipeline_schema(live->pipeline);
	Batchd__StreamInfo *message = &info->message;
	batchd__stream_info__init(message);
	batchd__stream_spec__init(&info->spec);
	batchd__position__init(&info->position);
	bd_spec_to_message(&live->spec, &info->spec);
	info->position.epoch = statistics.epoch;
	info->position.batch = statistics.batch;
	message->id = live->id;
	message->dataset = live->dataset;
	message->user = live->user;
	message->state = (char *)bd_live_state_name(live, &statistics);
	message->bottleneck = (char *)(statistics.bottleneck ? statistics.bottleneck : "");
	message->spec = &info->spec;
	message->consumers = live->attached_count;
	message->slots = statistics.slots;
	message->slots_filled = statistics.slots_filled;
	message->position = &info->position;
	message->records_per_epoch = schema ? schema->records : 0;
	message->batches = statistics.batches;
	message->records = statistics.records;
	message->bytes = statistics.bytes;
	message->skipped = statistics.skipped;
	message->disk_ns = statistics.disk_ns;
	message->decode_ns = statistics.decode_ns;
	message->ring_full_ns = statistics.ring_full_ns;
	message->ring_empty_ns = statistics.ring_empty_ns;
	message->memory_bytes = statistics.memory_bytes;
	message->cache_hits = statistics.cache_hits;
	message->cache_misses = statistics.cache_misses;
	message->records_per_s = statistics.records_per_s;
	message->daemon_peak_rss_bytes = bd_peak_rss_bytes();
	message->members = info->member_pointers;
	for (const struct bd_member *member = live->members; member && message->n_members < BD_STREAM_MEMBERS;
	     member = member->next) {
		Batchd__Member *entry = info->member_pointers[message->n_members] = &info->members[message->n_members];
		batchd__member__init(entry);
		entry->pid = (uint64_t)((const struct bd_control_session *)member->context)->peer.pid;
		entry->user = live->user; /* a group is one user's */
		message->n_members++;
	}
}

static bool sees_all(const struct bd_control_session *session)
{
	return session->server->is_private || session->peer.uid == 0 || session->peer.uid == geteuid();
}

/*
 * By the id of the last one that was seen, since streams come and go between two pages: by their number one would come twice or not at
 * all. Clients of before know only the number.
 */
static bool was_seen(const struct bd_live *live, const Batchd__Ask *ask, uint64_t number)
{
	return ask->after ? live->id <= ask->after : number < ask->from;
}

void bd_answer_streams(struct bd_control_session *session, const Batchd__Ask *ask)
{
	struct info infos[PAGE_ENTRIES];
	Batchd__StreamInfo *entries[PAGE_ENTRIES];
	Batchd__Streams message = BATCHD__STREAMS__INIT;
	message.streams = entries;
	uint64_t number = 0;
	size_t bytes = 0;
	for (struct bd_live *live = session->server->streams.streams; live; live = live->next) {
		if ((!sees_all(session) && live->uid != session->peer.uid) || was_seen(live, ask, number++))
			continue;
		struct info *info = &infos[message.n_streams];
		fill_info(live, info);
		bytes += batchd__stream_info__get_packed_size(&info->message) + 8;
		if (message.n_streams && bytes > BD_WIRE_PAGE_BYTES) {
			message.more = true;
			break;
		}
		entries[message.n_streams++] = &info->message;
		if (message.n_streams == PAGE_ENTRIES) {
			message.more = live->next != NULL;
			break;
		}
	}
	int result = bd_control_session_send(session, BATCHD__TYPE__TYPE_STREAMS, &message.base);
	(void)result; /* closed then */
}

void bd_answer_statistics(struct bd_control_session *session)
{
	struct info info;
	fill_info(session->member->live, &info);
	int result = bd_control_session_send(session, BATCHD__TYPE__TYPE_STATISTICS, &info.message.base);
	(void)result; /* closed then */
}

/* ---- datasets ---- */

void bd_answer_datasets(struct bd_control_session *session, const Batchd__Ask *ask)
{
	const struct bd_config *config = &session->server->config;
	Batchd__Dataset infos[PAGE_ENTRIES], *entries[PAGE_ENTRIES];
	Batchd__Datasets message = BATCHD__DATASETS__INIT;
	message.datasets = entries;
	uint64_t number = 0;
	size_t bytes = 0;
	for (size_t i = 0; i < config->dataset_count; i++) {
		const struct bd_config_dataset *dataset = &config->datasets[i];
		if (!bd_access_list_allows(&dataset->allow, &session->peer) || number++ < ask->from)
			continue;
		Batchd__Dataset *info = &infos[message.n_datasets];
		batchd__dataset__init(info);
		info->name = dataset->name;
		info->file = dataset->file;
		bytes += batchd__dataset__get_packed_size(info) + 8;
		if (message.n_datasets == PAGE_ENTRIES || (message.n_datasets && bytes > BD_WIRE_PAGE_BYTES)) {
			message.more = true;
			break;
		}
		entries[message.n_datasets++] = info;
	}
	int result = bd_control_session_send(session, BATCHD__TYPE__TYPE_DATASETS, &message.base);
	(void)result; /* closed then */
}

/* ---- metrics ---- */

/* A page ends between two lines, so that no UTF-8 character is cut; a line is shorter than a page. */
static size_t page_length(const char *text, size_t length)
{
	if (length <= BD_WIRE_PAGE_BYTES)
		return length;
	for (size_t end = BD_WIRE_PAGE_BYTES; end; end--)
		if (text[end - 1] == '\n')
			return end;
	return BD_WIRE_PAGE_BYTES;
}

/* The first page's question makes a text, which the further ones are cut from: a newer one would have other lines at their place. */
static const char *metrics_text(struct bd_control_session *session, const Batchd__Ask *ask)
{
	if (!ask->from || !session->metrics) {
		free(session->metrics);
		session->metrics = bd_metrics_text(session->server, sees_all(session) ? NULL : &session->peer.uid);
	}
	return session->metrics;
}

void bd_answer_metrics(struct bd_control_session *session, const Batchd__Ask *ask)
{
	struct bd_error error;
	int result;
	const char *text = metrics_text(session, ask);
	if (!text) {
		bd_error_set(&error, -ENOMEM, "no memory for the metrics");
		result = bd_control_session_send_error(session, &error);
		(void)result; /* closed then */
		return;
	}
	size_t length = strlen(text), from = ask->from < length ? (size_t)ask->from : length;
	char *page = strndup(text + from, page_length(text + from, length - from));
	Batchd__Metrics message = BATCHD__METRICS__INIT;
	message.more = page && from + strlen(page) < length;
	if (page)
		message.part = page;
	if (!message.more) {
		free(session->metrics);
		session->metrics = NULL;
	}
	result = bd_control_session_send(session, BATCHD__TYPE__TYPE_METRICS, &message.base);
	(void)result; /* closed then */
	free(page);
}

/* ---- quarantine ---- */

void bd_answer_quarantine(struct bd_control_session *session, const Batchd__Ask *ask)
{
	struct bd_quarantine_entry found[PAGE_ENTRIES];
	Batchd__QuarantineEntry messages[PAGE_ENTRIES], *entries[PAGE_ENTRIES];
	Batchd__Quarantine message = BATCHD__QUARANTINE__INIT;
	message.entries = entries;
	size_t from = ask->from > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)ask->from, bytes = 0;
	size_t total = bd_pipeline_quarantine(session->member->live->pipeline, from, found, PAGE_ENTRIES);
	size_t count = total > from ? (size_t)bd_min_u64(total - from, PAGE_ENTRIES) : 0;
	for (size_t i = 0; i < count; i++) {
		Batchd__QuarantineEntry *entry = &messages[i];
		batchd__quarantine_entry__init(entry);
		entry->record = found[i].record;
		entry->file = (char *)found[i].file;
		entry->offset = found[i].offset;
		entry->reason = found[i].reason;
		bytes += batchd__quarantine_entry__get_packed_size(entry) + 8;
		if (i && bytes > BD_WIRE_PAGE_BYTES)
			break;
		entries[message.n_entries++] = entry;
	}
	message.more = from + message.n_entries < total;
	int result = bd_control_session_send(session, BATCHD__TYPE__TYPE_QUARANTINE, &message.base);
	(void)result; /* closed then */
}
