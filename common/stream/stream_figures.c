#include "common/stream/stream.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"

void bd_stream_note_packet(struct bd_stream *stream, const struct bd_packet *packet)
{
	if (packet->type == BATCHD__TYPE__TYPE_ERROR) {
		stream->failure.code = bd_session_error(packet, &stream->failure);
		stream->explained = true;
		stream->link->session.state = BD_WIRE_ENDED;
	} else if (packet->type == BATCHD__TYPE__TYPE_DETACHED) {
		stream->link->session.state = BD_WIRE_ENDED;
	}
	for (unsigned i = 0; i < packet->rule->descriptors; i++)
		close(packet->descriptors[i]);
}

/* An ERROR while the stream runs is about the stream; after its end it is the answer. */
static int wait_for_answer(struct bd_stream *stream, uint16_t answer, ProtobufCMessage **ret_message, struct bd_error *error)
{
	struct bd_session *session = &stream->link->session;
	uint64_t deadline_ns = bd_now_ns() + BD_SESSION_ANSWER_NS;
	for (;;) {
		struct bd_packet packet;
		int result = bd_session_receive(session, deadline_ns, &packet, error);
		if (result == -EINTR)
			continue;
		if (result < 0)
			return result;
		if (packet.type == answer)
			return bd_wire_unpack(&packet, ret_message, error);
		if (packet.type == BATCHD__TYPE__TYPE_ERROR && session->state == BD_WIRE_ENDED) {
			result = bd_session_error(&packet, error);
			assert(result < 0); /* no error of a daemon's passes for an answer: there is no message */
			return result;
		}
		bd_stream_note_packet(stream, &packet);
	}
}

static int ask(struct bd_stream *stream, uint16_t question, const ProtobufCMessage *message, uint16_t answer,
               ProtobufCMessage **ret_message, struct bd_error *error)
{
	int result = bd_client_check_fork(stream->client, error);
	if (result < 0)
		return result;
	if (!stream->link || stream->link->session.socket < 0)
		return bd_error_set(error, -ENOTCONN, "the daemon is away");
	result = bd_session_send(&stream->link->session, question, message, error);
	return result < 0 ? result : wait_for_answer(stream, answer, ret_message, error);
}

static void add_own_figures(const struct bd_stream *stream, struct bd_stream_statistics *statistics)
{
	statistics->batches = stream->batches;
	statistics->records = stream->records;
	statistics->bytes = stream->bytes;
	statistics->waited_ns = stream->waited_ns;
	statistics->handovers = stream->handover.count;
	statistics->handover_median_us = (double)bd_histogram_quantile(&stream->handover, 0.5) / 1e3;
	statistics->handover_p99_us = (double)bd_histogram_quantile(&stream->handover, 0.99) / 1e3;
	statistics->reconnects = stream->reconnects;
}

int bd_stream_statistics(struct bd_stream *stream, struct bd_stream_statistics *ret_statistics, struct bd_error *error)
{
	ProtobufCMessage *message;
	int result = ask(stream, BATCHD__TYPE__TYPE_ASK_STATISTICS, NULL, BATCHD__TYPE__TYPE_STATISTICS, &message, error);
	if (result < 0)
		return result;
	const Batchd__StreamInfo *info = (const Batchd__StreamInfo *)message;
	struct bd_stream_statistics statistics = {
		.skipped = info->skipped,
		.disk_ns = info->disk_ns,
		.decode_ns = info->decode_ns,
		.ring_full_ns = info->ring_full_ns,
		.ring_empty_ns = info->ring_empty_ns,
		.slots = info->slots,
		.slots_filled = info->slots_filled,
		.memory_bytes = info->memory_bytes,
		.cache_hits = info->cache_hits,
		.cache_misses = info->cache_misses,
		.records_per_s = info->records_per_s,
		.consumers = info->consumers,
		.daemon_peak_rss_bytes = info->daemon_peak_rss_bytes,
	};
	snprintf(statistics.bottleneck, sizeof statistics.bottleneck, "%s", info->bottleneck);
	add_own_figures(stream, &statistics);
	bd_wire_free(message);
	*ret_statistics = statistics;
	return 0;
}

int bd_stream_quarantine(struct bd_stream *stream, uint64_t from, struct bd_quarantine_entry *ret_entries, size_t room,
                         size_t *ret_count, struct bd_error *error)
{
	ProtobufCMessage *message;
	Batchd__Ask page = BATCHD__ASK__INIT;
	page.from = from;
	int result = ask(stream, BATCHD__TYPE__TYPE_ASK_QUARANTINE, &page.base, BATCHD__TYPE__TYPE_QUARANTINE, &message, error);
	if (result < 0)
		return result;
	const Batchd__Quarantine *quarantine = (const Batchd__Quarantine *)message;
	size_t count = quarantine->n_entries < room ? quarantine->n_entries : room;
	bd_stream_free_quarantine(stream);
	stream->quarantine_files = calloc(count + 1, sizeof *stream->quarantine_files);
	for (size_t i = 0; stream->quarantine_files && i < count; i++) {
		const Batchd__QuarantineEntry *entry = quarantine->entries[i];
		char *file = strdup(entry->file);
		if (!file)
			break;
		stream->quarantine_files[stream->quarantine_count++] = file;
		ret_entries[i] = (struct bd_quarantine_entry){ .record = entry->record, .file = file, .offset = entry->offset };
		snprintf(ret_entries[i].reason, sizeof ret_entries[i].reason, "%s", entry->reason);
	}
	bd_wire_free(message);
	if (stream->quarantine_count < count)
		return bd_error_set(error, -ENOMEM, "out of memory");
	*ret_count = count;
	return 0;
}
