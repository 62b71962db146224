#include "tests/support/fake_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/stream/messages.h"
#include "common/stream/order.h"
#include "common/stream/ring.h"
#include "common/stream/spec.h"
#include "common/stream/wire.h"

#define MAX_SESSIONS 256

struct session {
	struct bd_fake_daemon *daemon;
	int socket;
	int bell; /* the socket as well, until it is muted */
	pthread_t thread;
	enum bd_wire_state state;
	uint8_t buffer[BD_WIRE_MAX_BYTES];
	struct bd_stream_spec spec;
	struct bd_order order;
	struct bd_order_position position;
	struct bd_ring *ring;
	struct bd_ring_consumer *consumer;
	uint64_t published;
	bool done, limited;
};

struct bd_fake_daemon {
	struct bd_fake_options options;
	int listener;
	pthread_t thread;
	atomic_bool stopping;
	atomic_uint_fast64_t sessions, doorbells, text_bytes;
	struct session *all[MAX_SESSIONS];
	size_t count;
};

static int send_message(struct session *session, uint16_t type, const ProtobufCMessage *message)
{
	return bd_wire_send(session->socket, type, message, NULL, 0, true, NULL);
}

static int send_error(struct session *session, int code, const char *text)
{
	Batchd__Error error = BATCHD__ERROR__INIT;
	error.code = code;
	error.text = (char *)text;
	return send_message(session, BATCHD__TYPE__TYPE_ERROR, &error.base);
}

/* ---- batches ---- */

/* x: (rows, 2); v.values: one number a row of an odd record. */
static uint64_t write_batch(struct session *session, const struct bd_order_batch *batch, uint8_t *slot)
{
	struct bd_shm_batch *header = (struct bd_shm_batch *)slot;
	struct bd_shm_array *arrays = (struct bd_shm_array *)(header + 1);
	uint64_t *records = (uint64_t *)(arrays + 2);
	int64_t *x = (int64_t *)(slot + 4096), *v = (int64_t *)(slot + 4096 + 64 * 512);
	int64_t odd = 0;
	for (uint32_t row = 0; row < batch->rows; row++) {
		uint64_t epoch, record;
		bd_order_row(&session->order, batch, row, &epoch, &record);
		records[row] = record;
		x[2 * row] = (int64_t)record;
		x[2 * row + 1] = (int64_t)epoch;
		if (record % 2)
			v[odd++] = (int64_t)record;
	}
	*header = (struct bd_shm_batch){ .array_count = 2,
		                         .rows = batch->rows,
		                         .records_offset = (uint64_t)((uint8_t *)records - slot) };
	arrays[0] = (struct bd_shm_array){ .offset = 4096, .bytes = batch->rows * 16, .shape = { batch->rows, 2 } };
	arrays[1] = (struct bd_shm_array){ .offset = 4096 + 64 * 512, .bytes = (uint64_t)odd * 8, .shape = { odd } };
	return 4096 + 64 * 512 + (uint64_t)odd * 8;
}

/* Doorbells go nowhere from now on. */
static void mute(struct session *session)
{
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (nowhere < 0 || dup2(nowhere, session->bell) < 0)
		abort();
	close(nowhere);
}

/* What is left behind in the middle of the work; false where there is no slot to do it in yet. */
static bool leave_half_done(struct session *session)
{
	struct bd_slot slot;
	if (session->daemon->options.dies != BD_FAKE_DIES_IN_A_SLOT)
		return true;
	if (bd_ring_reserve(session->ring, &slot) < 0)
		return false;
	memset(slot.data, 0xee, slot.bytes / 2);
	return true;
}

/* Publishes as long as there are slots; returns false when the session shall be dropped. */
static bool publish(struct session *session)
{
	const struct bd_fake_options *options = &session->daemon->options;
	while (!session->done) {
		struct bd_order_batch batch;
		struct bd_order_position next;
		struct bd_slot slot;
		if (options->publish_limit && session->published >= options->publish_limit && !session->limited) {
			if (!leave_half_done(session))
				return true;
			session->limited = true;
			if (options->fail_at_limit) {
				bd_ring_end(session->ring, BD_SHM_FAILED);
				session->done = true;
				session->state = BD_WIRE_STREAMING;
				send_error(session, -EBADMSG, "record 17 is damaged");
				return true;
			}
			if (options->detach_at_limit && session->spec.share_group[0]) {
				Batchd__Detached detached = BATCHD__DETACHED__INIT;
				bd_ring_detach_slow(session->consumer);
				send_message(session, BATCHD__TYPE__TYPE_DETACHED, &detached.base);
				session->done = true;
				return true;
			}
			if (!options->detach_at_limit)
				return false;
		}
		if (bd_order_batch_at(&session->order, session->position, &batch, &next) < 0) {
			bd_ring_end(session->ring, BD_SHM_ENDED);
			session->done = true;
			return true;
		}
		if (bd_ring_reserve(session->ring, &slot) < 0)
			return true;
		struct bd_ring_batch ready = {
			batch.epoch, batch.batch, next.epoch, next.batch, write_batch(session, &batch, slot.data), batch.rows
		};
		if (options->dies == BD_FAKE_DIES_BEFORE_THE_DOORBELL && session->published + 1 == options->publish_limit)
			mute(session);
		bd_ring_publish(session->ring, &slot, &ready);
		session->position = next;
		session->published++;
	}
	return true;
}

/* ---- opening ---- */

static int send_schema_page(void *context, const Batchd__Schema *message, struct bd_error *error)
{
	(void)error;
	return send_message(context, BATCHD__TYPE__TYPE_SCHEMA, &message->base);
}

static void send_schema(struct session *session)
{
	const struct bd_array_schema arrays[] = {
		{ .name = "x", .dtype = BD_INT64, .rank = 2, .shape = { session->spec.batch / session->spec.world, 2 } },
		{ .name = "v.values", .dtype = BD_INT64, .rank = 1, .shape = { -1 }, .image = "{scale: 2}" },
	};
	unsigned count = session->daemon->options.classes;
	char **classes = calloc(count + 1, sizeof *classes);
	for (unsigned i = 0; i < count; i++)
		if (asprintf(&classes[i], "class number %u with a long name", i) < 0)
			abort();
	struct bd_schema schema = {
		.array_count = 2, .arrays = arrays, .class_count = count, .classes = (const char *const *)classes
	};
	if (bd_schema_to_messages(&schema, send_schema_page, session, NULL) < 0)
		session->done = true;
	for (unsigned i = 0; i < count; i++)
		free(classes[i]);
	free(classes);
}

static bool open_stream(struct session *session, const Batchd__Open *open)
{
	const struct bd_fake_options *options = &session->daemon->options;
	if (options->refuse_open) {
		send_error(session, -EACCES, "the dataset is not for you");
		return false;
	}
	if (options->drop_while_indexing && atomic_load(&session->daemon->sessions) == options->drop_while_indexing)
		return false;
	session->position = (struct bd_order_position){ open->start->epoch, open->start->batch };
	struct bd_error error;
	if (bd_spec_from_message(open->spec, &session->spec, &error) < 0 || bd_stream_spec_check(&session->spec, &error) < 0 ||
	    bd_order_init(&session->order, options->records, &session->spec, &error) < 0) {
		send_error(session, error.code, error.text);
		return false;
	}
	Batchd__Indexing indexing = BATCHD__INDEXING__INIT;
	indexing.done = 1;
	indexing.total = 2;
	send_message(session, BATCHD__TYPE__TYPE_INDEXING, &indexing.base);
	send_schema(session);
	struct bd_ring_options ring = { .slots = session->spec.slots, .slot_bytes = 65536, .array_count = 2 };
	struct bd_ring_files files;
	if (bd_ring_create(&ring, &session->ring, &error) < 0 ||
	    bd_ring_attach(session->ring, session->bell, session->position.epoch, session->position.batch, &session->consumer,
	                   &files, &error) < 0)
		return false;
	Batchd__Position position = BATCHD__POSITION__INIT;
	position.epoch = session->position.epoch;
	position.batch = session->position.batch;
	Batchd__Opened opened = BATCHD__OPENED__INIT;
	opened.array_count = 2;
	opened.class_count = options->classes;
	opened.records = options->records;
	opened.batches_per_epoch = bd_order_batches(&session->order, 0);
	opened.position = &position;
	int descriptors[] = { files.arena, files.ctl, files.cons };
	session->state = BD_WIRE_STREAMING;
	return bd_wire_send(session->socket, BATCHD__TYPE__TYPE_OPENED, &opened.base, descriptors, 3, true, NULL) == 0;
}

static bool answer_quarantine(struct session *session, const Batchd__Ask *ask)
{
	char file[32];
	Batchd__QuarantineEntry entries[2], *pointers[] = { &entries[0], &entries[1] };
	Batchd__Quarantine quarantine = BATCHD__QUARANTINE__INIT;
	quarantine.entries = pointers;
	for (uint64_t i = ask->from; i < 3 && quarantine.n_entries < 2; i++) {
		Batchd__QuarantineEntry *entry = &entries[quarantine.n_entries++];
		batchd__quarantine_entry__init(entry);
		entry->record = i;
		snprintf(file, sizeof file, "file");
		entry->file = file;
		entry->reason = (char *)"data CRC";
	}
	return send_message(session, BATCHD__TYPE__TYPE_QUARANTINE, &quarantine.base) == 0;
}

static bool answer(struct session *session, const struct bd_packet *packet, const ProtobufCMessage *message)
{
	Batchd__Welcome welcome = BATCHD__WELCOME__INIT;
	Batchd__StreamInfo info = BATCHD__STREAM_INFO__INIT;
	Batchd__Status status = BATCHD__STATUS__INIT;
	uint32_t freed;
	switch (packet->type) {
	case BATCHD__TYPE__TYPE_HELLO:
		if (session->daemon->options.other_version) {
			send_error(session, -EPROTONOSUPPORT, "this daemon speaks protocol version 7");
			return false;
		}
		welcome.version = BD_WIRE_VERSION_MAX;
		welcome.daemon_version = (char *)"fake";
		session->state = BD_WIRE_READY;
		return send_message(session, BATCHD__TYPE__TYPE_WELCOME, &welcome.base) == 0;
	case BATCHD__TYPE__TYPE_TEXT:
		atomic_fetch_add(&session->daemon->text_bytes, strlen(((const Batchd__Text *)message)->part));
		return true;
	case BATCHD__TYPE__TYPE_OPEN:
		atomic_fetch_add(&session->daemon->sessions, 1);
		session->state = BD_WIRE_OPENING;
		return open_stream(session, (const Batchd__Open *)message);
	case BATCHD__TYPE__TYPE_DOORBELL:
		atomic_fetch_add(&session->daemon->doorbells, 1);
		return bd_ring_collect(session->consumer, &freed, NULL) == 0;
	case BATCHD__TYPE__TYPE_ASK_STATISTICS:
		info.skipped = 3;
		info.bottleneck = (char *)"trainer";
		return send_message(session, BATCHD__TYPE__TYPE_STATISTICS, &info.base) == 0;
	case BATCHD__TYPE__TYPE_ASK_QUARANTINE:
		return answer_quarantine(session, (const Batchd__Ask *)message);
	case BATCHD__TYPE__TYPE_ASK_STATUS:
		status.version = (char *)"fake";
		status.streams = 5;
		return send_message(session, BATCHD__TYPE__TYPE_STATUS, &status.base) == 0;
	default:
		return false;
	}
}

static bool serve_packet(struct session *session)
{
	struct bd_packet packet;
	ProtobufCMessage *message = NULL;
	int result = bd_wire_receive(session->socket, BD_WIRE_CLIENT, session->state, session->buffer, false, &packet, NULL);
	if (result == -EAGAIN)
		return true;
	if (result < 0 || (packet.rule->message && bd_wire_unpack(&packet, &message, NULL) < 0))
		return false;
	bool good = answer(session, &packet, message);
	bd_wire_free(message);
	return good;
}

static void *serve(void *argument)
{
	struct session *session = argument;
	bool good = true;
	while (good && !atomic_load(&session->daemon->stopping)) {
		struct pollfd poll_socket = { .fd = session->socket, .events = POLLIN };
		poll(&poll_socket, 1, 20);
		good = serve_packet(session) && (!session->ring || publish(session));
	}
	bd_ring_detach(session->consumer);
	bd_ring_destroy(session->ring);
	shutdown(session->socket, SHUT_RDWR);
	close(session->bell);
	return NULL;
}

static void *accept_all(void *argument)
{
	struct bd_fake_daemon *daemon = argument;
	while (!atomic_load(&daemon->stopping)) {
		struct pollfd poll_socket = { .fd = daemon->listener, .events = POLLIN };
		if (poll(&poll_socket, 1, 20) <= 0 || daemon->count == MAX_SESSIONS)
			continue;
		int socket = accept4(daemon->listener, NULL, NULL, SOCK_CLOEXEC);
		if (socket < 0)
			continue;
		struct session *session = calloc(1, sizeof *session);
		if (!session)
			abort();
		session->daemon = daemon;
		session->socket = socket;
		session->bell = fcntl(socket, F_DUPFD_CLOEXEC, 0);
		session->state = BD_WIRE_NEW;
		daemon->all[daemon->count++] = session;
		pthread_create(&session->thread, NULL, serve, session);
	}
	return NULL;
}

struct bd_fake_daemon *bd_fake_daemon_start(const struct bd_fake_options *options)
{
	struct bd_fake_daemon *daemon = calloc(1, sizeof *daemon);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (!daemon)
		abort();
	daemon->options = *options;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", options->socket_path);
	unlink(options->socket_path);
	daemon->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(daemon->listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(daemon->listener, 16) < 0)
		abort();
	pthread_create(&daemon->thread, NULL, accept_all, daemon);
	return daemon;
}

void bd_fake_daemon_kill(struct bd_fake_daemon *daemon)
{
	atomic_store(&daemon->stopping, true);
	pthread_join(daemon->thread, NULL);
	close(daemon->listener);
	unlink(daemon->options.socket_path);
	for (size_t i = 0; i < daemon->count; i++) {
		pthread_join(daemon->all[i]->thread, NULL);
		close(daemon->all[i]->socket);
		free(daemon->all[i]);
	}
	free(daemon);
}

uint64_t bd_fake_daemon_sessions(struct bd_fake_daemon *daemon)
{
	return atomic_load(&daemon->sessions);
}

uint64_t bd_fake_daemon_doorbells(struct bd_fake_daemon *daemon)
{
	return atomic_load(&daemon->doorbells);
}

uint64_t bd_fake_daemon_text_bytes(struct bd_fake_daemon *daemon)
{
	return atomic_load(&daemon->text_bytes);
}
