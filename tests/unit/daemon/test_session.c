#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/stream/messages.h"
#include "common/stream/spec.h"
#include "common/stream/wire.h"
#include "daemon/control/log.h"
#include "daemon/control/server.h"
#include "daemon/control/session.h"
#include "tests/unit/daemon/fake_pipeline.h"

#define PATIENCE_NS (10 * BD_NS_PER_S)

/* A whole server in this process, turned by the test; the clients are sockets of the same thread. */
struct fixture {
	struct bd_server server;
	char folder[64], socket_path[108], dataset_path[108];
	int lifeline; /* our end, of a private server */
	uint8_t buffer[BD_WIRE_MAX_BYTES];
	struct bd_error error;
};

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static struct fixture *set_up_files(void)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	memset(&fake, 0, sizeof fake);
	snprintf(fixture->folder, sizeof fixture->folder, "/tmp/batchd-test-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->socket_path, sizeof fixture->socket_path, "%s/s", fixture->folder);
	snprintf(fixture->dataset_path, sizeof fixture->dataset_path, "%s/cats.yaml", fixture->folder);
	char path[128];
	snprintf(path, sizeof path, "%s/a.tfrecord", fixture->folder);
	write_file(path, "");
	write_file(fixture->dataset_path, "shards: a.tfrecord\nfeatures: {label: {type: int64}}\n");
	setenv("BATCHD_CACHE_DIR", fixture->folder, 1);
	fixture->lifeline = -1;
	return fixture;
}

static int start(struct fixture *fixture, struct bd_config *config, int private_fd)
{
	struct bd_server_options options = { .config_take = config, .private_fd = private_fd };
	return bd_server_init(&fixture->server, &options, &fixture->error);
}

static int set_up(void **state)
{
	struct fixture *fixture = set_up_files();
	struct bd_config config;
	char argument[128];
	bd_config_init(&config);
	config.socket_path = strdup(fixture->socket_path);
	snprintf(argument, sizeof argument, "cats=%s", fixture->dataset_path);
	assert_int_equal(bd_config_add_dataset(&config, argument, NULL), 0);
	*state = fixture;
	return start(fixture, &config, -1);
}

static int set_up_private(void **state)
{
	struct fixture *fixture = set_up_files();
	struct bd_config config;
	int pair[2];
	bd_config_init(&config);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fixture->lifeline = pair[0];
	*state = fixture;
	return start(fixture, &config, pair[1]);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	bd_server_finish(&fixture->server);
	if (fixture->lifeline >= 0)
		close(fixture->lifeline);
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", fixture->folder);
	int result = system(command) || fake.pipelines || fake.consumers;
	free(fixture);
	return result;
}

static void turn(struct fixture *fixture)
{
	uv_run(&fixture->server.loop, UV_RUN_NOWAIT);
}

static int dial(struct fixture *fixture)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strcpy(address.sun_path, fixture->socket_path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

/* The next packet in `state`; its type, or what bd_wire_receive failed with. */
static int next_packet(struct fixture *fixture, int fd, enum bd_wire_state state, struct bd_packet *ret_packet)
{
	uint64_t end = bd_now_ns() + PATIENCE_NS;
	for (;;) {
		turn(fixture);
		int result = bd_wire_receive(fd, BD_WIRE_DAEMON, state, fixture->buffer, false, ret_packet, &fixture->error);
		if (result != -EAGAIN)
			return result < 0 ? result : ret_packet->type;
		assert_true(bd_now_ns() < end);
		usleep(200);
	}
}

static void expect_end(struct fixture *fixture, int fd)
{
	struct bd_packet packet;
	assert_int_equal(next_packet(fixture, fd, BD_WIRE_READY, &packet), -ECONNRESET);
	close(fd);
}

/* An ERROR with that code whose text has `words` in it. */
static void expect_error(struct fixture *fixture, int fd, enum bd_wire_state state, int code, const char *words)
{
	struct bd_packet packet;
	int type;
	do {
		type = next_packet(fixture, fd, state, &packet);
	} while (type == BATCHD__TYPE__TYPE_INDEXING);
	assert_int_equal(type, BATCHD__TYPE__TYPE_ERROR);
	ProtobufCMessage *message;
	assert_int_equal(bd_wire_unpack(&packet, &message, &fixture->error), 0);
	Batchd__Error *error = (Batchd__Error *)message;
	if (error->code != code || !strstr(error->text, words))
		fail_msg("%d: %s", error->code, error->text);
	bd_wire_free(message);
}

static void say(int fd, uint16_t type, const ProtobufCMessage *message)
{
	assert_int_equal(bd_wire_send(fd, type, message, NULL, 0, true, NULL), 0);
}

static void say_hello(int fd, uint32_t version)
{
	Batchd__Hello hello = BATCHD__HELLO__INIT;
	hello.version_min = hello.version_max = version;
	hello.program = (char *)"test";
	say(fd, BATCHD__TYPE__TYPE_HELLO, &hello.base);
}

static void greet(struct fixture *fixture, int fd)
{
	struct bd_packet packet;
	say_hello(fd, 1);
	assert_int_equal(next_packet(fixture, fd, BD_WIRE_NEW, &packet), BATCHD__TYPE__TYPE_WELCOME);
}

static int connect_and_greet(struct fixture *fixture)
{
	int fd = dial(fixture);
	greet(fixture, fd);
	return fd;
}

static void say_open(int fd, const char *dataset, size_t text_bytes, const char *folder)
{
	struct bd_stream_spec spec;
	Batchd__StreamSpec message = BATCHD__STREAM_SPEC__INIT;
	bd_stream_spec_init(&spec);
	bd_spec_to_message(&spec, &message);
	Batchd__Open open = BATCHD__OPEN__INIT;
	open.dataset = (char *)dataset;
	open.text_bytes = text_bytes;
	if (folder)
		open.folder = (char *)folder;
	open.spec = &message;
	say(fd, BATCHD__TYPE__TYPE_OPEN, &open.base);
}

/* Until OPENED; returns its descriptors. */
static void expect_opened(struct fixture *fixture, int fd, int ret_descriptors[3])
{
	struct bd_packet packet;
	int type;
	do {
		type = next_packet(fixture, fd, BD_WIRE_OPENING, &packet);
		if (type == BATCHD__TYPE__TYPE_INDEXING && fake.last->state == BD_PIPELINE_INDEXING) {
			fake.last->state = BD_PIPELINE_READY;
			fake.last->options.notify(fake.last->options.context);
		}
	} while (type == BATCHD__TYPE__TYPE_INDEXING || type == BATCHD__TYPE__TYPE_SCHEMA);
	assert_int_equal(type, BATCHD__TYPE__TYPE_OPENED);
	memcpy(ret_descriptors, packet.descriptors, 3 * sizeof(int));
}

static int open_stream(struct fixture *fixture)
{
	int fd = connect_and_greet(fixture), descriptors[3];
	say_open(fd, "cats", 0, NULL);
	expect_opened(fixture, fd, descriptors);
	for (int i = 0; i < 3; i++)
		close(descriptors[i]);
	return fd;
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void wait_for_sessions(struct fixture *fixture, uint32_t count)
{
	uint64_t end = bd_now_ns() + PATIENCE_NS;
	while (fixture->server.session_count != count) {
		turn(fixture);
		assert_true(bd_now_ns() < end);
		usleep(200);
	}
	for (int i = 0; i < 3; i++)
		turn(fixture); /* handles close */
}

/* ---- greeting ---- */

static void hello_is_answered_by_welcome(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);
	struct bd_packet packet;
	ProtobufCMessage *message;
	say_hello(fd, 1);
	assert_int_equal(next_packet(fixture, fd, BD_WIRE_NEW, &packet), BATCHD__TYPE__TYPE_WELCOME);
	assert_int_equal(bd_wire_unpack(&packet, &message, NULL), 0);
	assert_int_equal(((Batchd__Welcome *)message)->version, 1);
	assert_int_equal(((Batchd__Welcome *)message)->pid, getpid());
	bd_wire_free(message);
	close(fd);
	wait_for_sessions(fixture, 0);
}

static void other_protocol_version_is_refused_with_both_versions(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);
	say_hello(fd, 99);
	expect_error(fixture, fd, BD_WIRE_NEW, -EPROTONOSUPPORT, "99");
	expect_end(fixture, fd);
	fd = dial(fixture);
	say_hello(fd, 0);
	expect_error(fixture, fd, BD_WIRE_NEW, -EPROTONOSUPPORT, "protocol versions");
	expect_end(fixture, fd);
}

static void anything_before_hello_ends_the_session(void **state)
{
	struct fixture *fixture = *state;
	static const uint16_t types[] = { BATCHD__TYPE__TYPE_ASK_STATUS, BATCHD__TYPE__TYPE_DOORBELL, BATCHD__TYPE__TYPE_DRAIN,
		                          BATCHD__TYPE__TYPE_ASK_STATISTICS };
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		int fd = dial(fixture);
		say(fd, types[i], NULL);
		expect_error(fixture, fd, BD_WIRE_NEW, -EPROTO, "WELCOME");
		expect_end(fixture, fd);
	}
	assert_false(fixture->server.draining);
}

static void second_hello_ends_the_session(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_and_greet(fixture);
	say_hello(fd, 1);
	expect_error(fixture, fd, BD_WIRE_READY, -EPROTO, "HELLO");
	expect_end(fixture, fd);
}

/* ---- hostile packets ---- */

static void hostile_bytes_end_their_session_only(void **state)
{
	struct fixture *fixture = *state;
	int good = connect_and_greet(fixture);
	struct bd_packet packet;
	unsigned before = open_descriptors();
	uint64_t random = 88172645463325252u;
	for (int round = 0; round < 300; round++) {
		uint8_t bytes[600];
		struct bd_wire_header header = { .magic = BD_WIRE_MAGIC, .version = 1 };
		int fd = dial(fixture);
		if (round % 3)
			greet(fixture, fd);
		for (size_t i = 0; i < sizeof bytes; i++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			bytes[i] = (uint8_t)random;
		}
		size_t length = 1 + random % (sizeof bytes - 1);
		if (round % 2) { /* a good header before the noise */
			length = sizeof header + random % (sizeof bytes - sizeof header);
			header.type = (uint16_t)(random >> 32) % 32;
			header.length = (uint32_t)(length - sizeof header);
			memcpy(bytes, &header, sizeof header);
		}
		assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
		for (int i = 0; i < 4; i++)
			turn(fixture);
		close(fd);
	}
	wait_for_sessions(fixture, 1);
	assert_int_equal(open_descriptors(), before);
	say(good, BATCHD__TYPE__TYPE_ASK_STATUS, NULL);
	assert_int_equal(next_packet(fixture, good, BD_WIRE_READY, &packet), BATCHD__TYPE__TYPE_STATUS);
	close(good);
}

static void header_that_lies_about_its_length_is_eproto(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_and_greet(fixture);
	struct bd_wire_header header = {
		.magic = BD_WIRE_MAGIC, .version = 1, .type = BATCHD__TYPE__TYPE_ASK_STATUS, .length = UINT32_MAX
	};
	assert_int_equal(send(fd, &header, sizeof header, 0), sizeof header);
	expect_error(fixture, fd, BD_WIRE_READY, -EPROTO, "4294967295");
	expect_end(fixture, fd);
}

static void other_header_version_is_told(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);
	struct bd_wire_header header = { .magic = BD_WIRE_MAGIC, .version = 2, .type = BATCHD__TYPE__TYPE_HELLO };
	assert_int_equal(send(fd, &header, sizeof header, 0), sizeof header);
	expect_error(fixture, fd, BD_WIRE_NEW, -EPROTONOSUPPORT, "version");
	expect_end(fixture, fd);
}

static void unasked_descriptors_are_closed_with_the_session(void **state)
{
	struct fixture *fixture = *state;
	unsigned before = open_descriptors();
	int fd = connect_and_greet(fixture);
	int extra[3] = { 0, 0, 0 };
	assert_int_equal(bd_wire_send(fd, BATCHD__TYPE__TYPE_ASK_STATUS, NULL, extra, 3, true, NULL), 0);
	expect_error(fixture, fd, BD_WIRE_READY, -EPROTO, "descriptors");
	expect_end(fixture, fd);
	wait_for_sessions(fixture, 0);
	assert_int_equal(open_descriptors(), before);
}

static void peer_that_never_reads_is_bounded_and_served_when_it_does(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_and_greet(fixture);
	Batchd__Ask ask = BATCHD__ASK__INIT;
	unsigned sent = 0;
	for (int i = 0; i < 200; i++) {
		while (bd_wire_send(fd, BATCHD__TYPE__TYPE_ASK_METRICS, &ask.base, NULL, 0, false, NULL) == 0)
			sent++;
		turn(fixture);
	}
	/* one answer, no more */
	assert_non_null(fixture->server.sessions);
	assert_true(fixture->server.sessions->outbox.bytes <= BD_WIRE_MAX_BYTES);
	assert_true(sent > 10);
	struct bd_packet packet;
	for (unsigned i = 0; i < sent; i++)
		assert_int_equal(next_packet(fixture, fd, BD_WIRE_READY, &packet), BATCHD__TYPE__TYPE_METRICS);
	close(fd);
	wait_for_sessions(fixture, 0);
}

/* ---- opening ---- */

static void named_dataset_is_opened_with_three_descriptors(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_and_greet(fixture), descriptors[3];
	say_open(fd, "cats", 0, NULL);
	expect_opened(fixture, fd, descriptors);
	for (int i = 0; i < 3; i++) {
		struct stat status;
		assert_int_equal(fstat(descriptors[i], &status), 0);
		assert_int_equal(status.st_size, 4096);
		close(descriptors[i]);
	}
	assert_true(fake.last->started);
	assert_int_equal(fixture->server.streams.count, 1);
	close(fd);
	wait_for_sessions(fixture, 0);
	assert_int_equal(fixture->server.streams.count, 0);
	assert_int_equal(fixture->server.quota.user_count, 0);
}

static void unknown_name_is_enoent(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_and_greet(fixture);
	say_open(fd, "dogs", 0, NULL);
	expect_error(fixture, fd, BD_WIRE_OPENING, -ENOENT, "no dataset 'dogs'");
	expect_end(fixture, fd);
}

static void path_and_text_are_opened(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_and_greet(fixture), descriptors[3];
	say_open(fd, fixture->dataset_path, 0, NULL);
	expect_opened(fixture, fd, descriptors);
	assert_non_null(fake.last->options.identities_take); /* a path counts by its user's rights */
	for (int i = 0; i < 3; i++)
		close(descriptors[i]);
	close(fd);
	fd = connect_and_greet(fixture);
	static const char first[] = "shards: a.tfrecord\nfeat", second[] = "ures: {label: {type: int64}}\n";
	Batchd__Text text = BATCHD__TEXT__INIT;
	text.part = (char *)first;
	say(fd, BATCHD__TYPE__TYPE_TEXT, &text.base);
	text.part = (char *)second;
	say(fd, BATCHD__TYPE__TYPE_TEXT, &text.base);
	say_open(fd, "inline", sizeof first + sizeof second - 2, fixture->folder);
	expect_opened(fixture, fd, descriptors);
	for (int i = 0; i < 3; i++)
		close(descriptors[i]);
	close(fd);
	wait_for_sessions(fixture, 0);
}

static void dataset_text_of_another_length_is_refused(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_and_greet(fixture);
	say_open(fd, "inline", 7, fixture->folder);
	expect_error(fixture, fd, BD_WIRE_OPENING, -EPROTO, "7 bytes");
	close(fd);
}

static void yaml_error_comes_with_file_and_line(void **state)
{
	struct fixture *fixture = *state;
	write_file(fixture->dataset_path, "shards: a.tfrecord\nfeatures: {label: {type: int64}}\non_eror: skip\n");
	int fd = connect_and_greet(fixture);
	say_open(fd, "cats", 0, NULL);
	expect_error(fixture, fd, BD_WIRE_OPENING, -EINVAL, "line 3");
	close(fd);
}

static void stream_that_fails_while_indexing_is_told(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_and_greet(fixture);
	struct bd_packet packet;
	say_open(fd, "cats", 0, NULL);
	assert_int_equal(next_packet(fixture, fd, BD_WIRE_OPENING, &packet), BATCHD__TYPE__TYPE_INDEXING);
	fake.last->state = BD_PIPELINE_FAILED;
	bd_error_set(&fake.last->error, -EBADMSG, "a.tfrecord: record 17 at byte 81920: data CRC mismatch");
	fake.last->options.notify(fake.last->options.context);
	expect_error(fixture, fd, BD_WIRE_OPENING, -EBADMSG, "record 17");
	assert_int_equal(fixture->server.streams.count, 0);
	expect_end(fixture, fd);
}

static void stream_that_fails_later_can_still_be_asked(void **state)
{
	struct fixture *fixture = *state;
	int fd = open_stream(fixture);
	struct bd_packet packet;
	fake.last->state = BD_PIPELINE_FAILED;
	bd_error_set(&fake.last->error, -EIO, "the disk is gone");
	fake.last->options.notify(fake.last->options.context);
	expect_error(fixture, fd, BD_WIRE_STREAMING, -EIO, "the disk is gone");
	say(fd, BATCHD__TYPE__TYPE_ASK_STATISTICS, NULL);
	assert_int_equal(next_packet(fixture, fd, BD_WIRE_ENDED, &packet), BATCHD__TYPE__TYPE_STATISTICS);
	close(fd);
}

static void second_open_on_one_connection_ends_the_session(void **state)
{
	struct fixture *fixture = *state;
	int fd = open_stream(fixture);
	say_open(fd, "cats", 0, NULL);
	expect_error(fixture, fd, BD_WIRE_STREAMING, -EPROTO, "OPEN");
	expect_end(fixture, fd);
	wait_for_sessions(fixture, 0);
}

static void peer_that_leaves_while_its_dataset_is_read_leaves_nothing(void **state)
{
	struct fixture *fixture = *state;
	unsigned before = open_descriptors();
	for (int i = 0; i < 50; i++) {
		int fd = connect_and_greet(fixture);
		say_open(fd, "cats", 0, NULL);
		turn(fixture);
		close(fd);
	}
	wait_for_sessions(fixture, 0);
	uint64_t end = bd_now_ns() + PATIENCE_NS;
	while (fixture->server.opens.jobs && bd_now_ns() < end)
		turn(fixture);
	assert_null(fixture->server.opens.jobs);
	for (int i = 0; i < 3; i++)
		turn(fixture);
	assert_int_equal(fake.pipelines, 0);
	assert_int_equal(open_descriptors(), before);
}

static void consumer_that_breaks_the_ring_contract_is_dropped(void **state)
{
	struct fixture *fixture = *state;
	int good = open_stream(fixture), bad = open_stream(fixture);
	fake.last_consumer->breaks_contract = true;
	say(bad, BATCHD__TYPE__TYPE_DOORBELL, NULL);
	expect_error(fixture, bad, BD_WIRE_STREAMING, -EPROTO, "backwards");
	expect_end(fixture, bad);
	wait_for_sessions(fixture, 1);
	assert_int_equal(fixture->server.streams.count, 1);
	close(good);
}

static void doorbell_flood_does_not_starve_others(void **state)
{
	struct fixture *fixture = *state;
	int flood = open_stream(fixture), good = connect_and_greet(fixture);
	struct bd_packet packet;
	for (int i = 0; i < 100; i++)
		while (bd_wire_send(flood, BATCHD__TYPE__TYPE_DOORBELL, NULL, NULL, 0, false, NULL) == 0)
			;
	say(good, BATCHD__TYPE__TYPE_ASK_STATUS, NULL);
	turn(fixture);
	turn(fixture);
	assert_int_equal(bd_wire_receive(good, BD_WIRE_DAEMON, BD_WIRE_READY, fixture->buffer, false, &packet, NULL), 0);
	assert_true(fake.last_consumer->wakes <= 2 * 32 + 32);
	close(flood);
	close(good);
}

static void stream_quota_is_edquot(void **state)
{
	struct fixture *fixture = *state;
	fixture->server.config.quota_streams = 1;
	int first = open_stream(fixture), second = connect_and_greet(fixture), descriptors[3];
	say_open(second, "cats", 0, NULL);
	expect_error(fixture, second, BD_WIRE_OPENING, -EDQUOT, "quota: streams");
	expect_end(fixture, second);
	close(first);
	wait_for_sessions(fixture, 0);
	second = connect_and_greet(fixture);
	say_open(second, "cats", 0, NULL);
	expect_opened(fixture, second, descriptors);
	for (int i = 0; i < 3; i++)
		close(descriptors[i]);
	close(second);
}

/* ---- questions ---- */

static void lists_come_in_pages(void **state)
{
	struct fixture *fixture = *state;
	int fd = open_stream(fixture);
	Batchd__Ask ask = BATCHD__ASK__INIT;
	bool more = true;
	while (more) {
		struct bd_packet packet;
		ProtobufCMessage *message;
		say(fd, BATCHD__TYPE__TYPE_ASK_QUARANTINE, &ask.base);
		assert_int_equal(next_packet(fixture, fd, BD_WIRE_STREAMING, &packet), BATCHD__TYPE__TYPE_QUARANTINE);
		assert_int_equal(bd_wire_unpack(&packet, &message, NULL), 0);
		Batchd__Quarantine *page = (Batchd__Quarantine *)message;
		assert_true(page->n_entries > 0);
		for (size_t i = 0; i < page->n_entries; i++)
			assert_int_equal(page->entries[i]->record, ask.from + i);
		ask.from += page->n_entries;
		more = page->more;
		bd_wire_free(message);
	}
	assert_int_equal(ask.from, 700);
	close(fd);
}

static void streams_and_metrics_name_the_stream(void **state)
{
	struct fixture *fixture = *state;
	int stream = open_stream(fixture), fd = connect_and_greet(fixture);
	Batchd__Ask ask = BATCHD__ASK__INIT;
	struct bd_packet packet;
	ProtobufCMessage *message;
	say(fd, BATCHD__TYPE__TYPE_ASK_STREAMS, &ask.base);
	assert_int_equal(next_packet(fixture, fd, BD_WIRE_READY, &packet), BATCHD__TYPE__TYPE_STREAMS);
	assert_int_equal(bd_wire_unpack(&packet, &message, NULL), 0);
	Batchd__Streams *streams = (Batchd__Streams *)message;
	assert_int_equal(streams->n_streams, 1);
	assert_string_equal(streams->streams[0]->dataset, "cats");
	assert_string_equal(streams->streams[0]->state, "running");
	bd_wire_free(message);
	say(fd, BATCHD__TYPE__TYPE_ASK_METRICS, &ask.base);
	assert_int_equal(next_packet(fixture, fd, BD_WIRE_READY, &packet), BATCHD__TYPE__TYPE_METRICS);
	assert_int_equal(bd_wire_unpack(&packet, &message, NULL), 0);
	assert_non_null(
		strstr(((Batchd__Metrics *)message)->part, "batchd_stream_batches_total{stream=\"1\",dataset=\"cats\",user=\""));
	bd_wire_free(message);
	close(fd);
	close(stream);
}

/* ---- ends ---- */

static void drain_refuses_new_streams_and_stops_after_the_last(void **state)
{
	struct fixture *fixture = *state;
	int stream = open_stream(fixture), fd = connect_and_greet(fixture);
	struct bd_packet packet;
	say(fd, BATCHD__TYPE__TYPE_DRAIN, NULL);
	assert_int_equal(next_packet(fixture, fd, BD_WIRE_READY, &packet), BATCHD__TYPE__TYPE_DRAINING);
	assert_int_equal(access(fixture->socket_path, F_OK), -1);
	say_open(fd, "cats", 0, NULL);
	expect_error(fixture, fd, BD_WIRE_OPENING, -ESHUTDOWN, "shutting down");
	assert_false(fixture->server.stopped);
	close(stream);
	uint64_t end = bd_now_ns() + PATIENCE_NS;
	while (!fixture->server.stopped && bd_now_ns() < end)
		turn(fixture);
	assert_true(fixture->server.stopped);
	close(fd);
}

static void stream_that_is_cut_is_told_to_come_back(void **state)
{
	struct fixture *fixture = *state;
	int fd = open_stream(fixture);
	bd_server_stop(&fixture->server);
	expect_error(fixture, fd, BD_WIRE_STREAMING, -ESHUTDOWN, "shutting down");
	expect_end(fixture, fd);
}

/*
 * The process that connected is dead while its child lives and holds the socket: what the session held must become free.
 */
static void dead_parent_with_a_living_child_is_noticed(void **state)
{
	struct fixture *fixture = *state;
	int report[2];
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	pid_t parent = fork();
	if (parent == 0) {
		int fd = dial(fixture);
		pid_t child = fork();
		if (child == 0) {
			pause();
			_exit(0);
		}
		if (write(report[1], &child, sizeof child) != sizeof child || fd < 0)
			_exit(1);
		pause();
		_exit(0);
	}
	pid_t child;
	assert_int_equal(read(report[0], &child, sizeof child), sizeof child);
	wait_for_sessions(fixture, 1);
	kill(parent, SIGKILL);
	waitpid(parent, NULL, 0);
	wait_for_sessions(fixture, 0);
	assert_int_equal(kill(child, 0), 0);
	kill(child, SIGKILL);
	close(report[0]);
	close(report[1]);
}

static void adopt_on_a_listening_daemon_ends_the_session(void **state)
{
	struct fixture *fixture = *state;
	int fd = connect_and_greet(fixture), pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(bd_wire_send(fd, BATCHD__TYPE__TYPE_ADOPT, NULL, &pair[1], 1, true, NULL), 0);
	expect_error(fixture, fd, BD_WIRE_READY, -EPROTO, "ADOPT");
	expect_end(fixture, fd);
	close(pair[0]);
	close(pair[1]);
}

static void private_daemon_adopts_further_connections(void **state)
{
	struct fixture *fixture = *state;
	greet(fixture, fixture->lifeline);
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(bd_wire_send(fixture->lifeline, BATCHD__TYPE__TYPE_ADOPT, NULL, &pair[1], 1, true, NULL), 0);
	close(pair[1]);
	greet(fixture, pair[0]);
	assert_int_equal(fixture->server.session_count, 2);
	/* what is no such socket is closed, and nothing else happens */
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(bd_wire_send(fixture->lifeline, BATCHD__TYPE__TYPE_ADOPT, NULL, &pipes[1], 1, true, NULL), 0);
	struct bd_packet packet;
	say(fixture->lifeline, BATCHD__TYPE__TYPE_ASK_STATUS, NULL);
	assert_int_equal(next_packet(fixture, fixture->lifeline, BD_WIRE_READY, &packet), BATCHD__TYPE__TYPE_STATUS);
	assert_int_equal(fixture->server.session_count, 2);
	close(pipes[0]);
	close(pipes[1]);
	close(pair[0]);
}

static void private_daemon_ends_with_its_first_connection(void **state)
{
	struct fixture *fixture = *state;
	greet(fixture, fixture->lifeline);
	close(fixture->lifeline);
	fixture->lifeline = -1;
	uint64_t end = bd_now_ns() + PATIENCE_NS;
	while (!fixture->server.stopped && bd_now_ns() < end)
		turn(fixture);
	assert_true(fixture->server.stopped);
}

static void connections_over_the_limit_are_told(void **state)
{
	struct fixture *fixture = *state;
	fixture->server.session_limit = 2;
	int first = connect_and_greet(fixture), second = connect_and_greet(fixture), third = dial(fixture);
	expect_error(fixture, third, BD_WIRE_NEW, -EAGAIN, "connections");
	close(first);
	wait_for_sessions(fixture, 1);
	int fourth = connect_and_greet(fixture);
	close(second);
	close(third);
	close(fourth);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define PRIVATE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_private, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(hello_is_answered_by_welcome),
		TEST(other_protocol_version_is_refused_with_both_versions),
		TEST(anything_before_hello_ends_the_session),
		TEST(second_hello_ends_the_session),
		TEST(hostile_bytes_end_their_session_only),
		TEST(header_that_lies_about_its_length_is_eproto),
		TEST(other_header_version_is_told),
		TEST(unasked_descriptors_are_closed_with_the_session),
		TEST(peer_that_never_reads_is_bounded_and_served_when_it_does),
		TEST(named_dataset_is_opened_with_three_descriptors),
		TEST(unknown_name_is_enoent),
		TEST(path_and_text_are_opened),
		TEST(dataset_text_of_another_length_is_refused),
		TEST(yaml_error_comes_with_file_and_line),
		TEST(stream_that_fails_while_indexing_is_told),
		TEST(stream_that_fails_later_can_still_be_asked),
		TEST(second_open_on_one_connection_ends_the_session),
		TEST(peer_that_leaves_while_its_dataset_is_read_leaves_nothing),
		TEST(consumer_that_breaks_the_ring_contract_is_dropped),
		TEST(doorbell_flood_does_not_starve_others),
		TEST(stream_quota_is_edquot),
		TEST(lists_come_in_pages),
		TEST(streams_and_metrics_name_the_stream),
		TEST(drain_refuses_new_streams_and_stops_after_the_last),
		TEST(stream_that_is_cut_is_told_to_come_back),
		TEST(dead_parent_with_a_living_child_is_noticed),
		TEST(adopt_on_a_listening_daemon_ends_the_session),
		TEST(connections_over_the_limit_are_told),
		PRIVATE_TEST(private_daemon_adopts_further_connections),
		PRIVATE_TEST(private_daemon_ends_with_its_first_connection),
	};
	bd_log_start(BD_LOG_INFO, true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
