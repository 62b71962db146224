/*
 * stream.h - the insides of struct bd_stream, for stream*.c. The public manual is batchd/client.h.
 *
 * A state machine without threads: CLOSED -> (connect, OPEN) -> OPENING -> (OPENED) -> RUNNING -> ENDED | FAILED. RUNNING and OPENING
 * -> CLOSED when the daemon goes away, or the consumer was too slow for its group; CLOSED asks for the exact next position, so
 * nothing is lost or seen twice.
 *
 * A "link" is what one OPENED brought: session, mapping and the batches taken from it. An old link lives on until the batches
 * that the caller holds of it are released: a slow consumer's session too, for the daemon keeps its slots so long.
 */
#ifndef BD_STREAM_STREAM_H
#define BD_STREAM_STREAM_H

#include "common/stream/client.h"
#include "common/stream/histogram.h"
#include "common/stream/messages.h"
#include "common/stream/order.h"
#include "common/stream/ring.h"

struct bd_stream_link {
	struct bd_stream_link *older;
	struct bd_session session;
	struct bd_ring_view *view;
	uint64_t base, taken,
		released; /* stream sequence of its first batch; batches taken; all before `released` are given back */
	uint32_t slots;
	uint8_t *given_back; /* [slots], by batch number modulo slots */
	struct bd_array *arrays; /* [slots][array_count], the same */
};

enum bd_stream_state { BD_STREAM_CLOSED, BD_STREAM_OPENING, BD_STREAM_RUNNING, BD_STREAM_ENDED, BD_STREAM_FAILED };

struct bd_stream {
	struct bd_client *client;
	struct bd_stream_request request; /* owns its texts */
	enum bd_stream_state state;
	struct bd_session opening;
	struct bd_owned_schema arriving, schema;
	bool has_schema, resumes;
	struct bd_order_position position;
	struct bd_stream_link *link; /* the newest; older ones behind it */
	uint64_t sequence;
	bool explained; /* an ERROR packet came: its text is in `failure` */
	struct bd_error failure;
	struct {
		uint64_t next_ns, pause_ns, since_ns;
		unsigned without_batch, attempts;
	} reconnect;
	uint64_t batches, records, bytes, waited_ns, reconnects;
	struct bd_histogram handover;
	char **quarantine_files;
	size_t quarantine_count;
};

/* stream_open.c */
BD_MUST_CHECK int bd_stream_copy_request(struct bd_stream *stream, const struct bd_stream_request *request, struct bd_error *error);
/* CLOSED -> OPENING. */
BD_MUST_CHECK int bd_stream_begin_opening(struct bd_stream *stream, struct bd_error *error);
/* OPENING -> RUNNING. -EAGAIN: not before the deadline, call again. -ECONNRESET: the daemon is gone. Other errors are its answer. */
BD_MUST_CHECK int bd_stream_go_on_opening(struct bd_stream *stream, uint64_t deadline_ns, struct bd_error *error);
void bd_stream_link_destroy(struct bd_stream_link *link, bool forked);
/* Frees old links of which nothing is held; the newest stays. */
void bd_stream_drop_old_links(struct bd_stream *stream);
void bd_stream_tell_progress(struct bd_stream *stream, const char *what, uint64_t done, uint64_t total);

/* stream_reconnect.c */
/* -> FAILED with that error. Returns code. */
int bd_stream_fail(struct bd_stream *stream, int code, const struct bd_error *error);
/* CLOSED or OPENING -> RUNNING within the deadline (-EAGAIN), or FAILED. */
BD_MUST_CHECK int bd_stream_reopen(struct bd_stream *stream, uint64_t deadline_ns, struct bd_error *error);
/* The session is gone: RUNNING -> CLOSED, or FAILED where that does not help. */
BD_MUST_CHECK int bd_stream_lose_session(struct bd_stream *stream, struct bd_error *error);
/* Too slow for the group: the same stream privately from the next batch. */
void bd_stream_go_on_privately(struct bd_stream *stream);

/* stream_figures.c */
/* A packet that nobody waits for: an ERROR is kept for when the ring has been read empty. */
void bd_stream_note_packet(struct bd_stream *stream, const struct bd_packet *packet);
void bd_stream_free_quarantine(struct bd_stream *stream);

#endif
