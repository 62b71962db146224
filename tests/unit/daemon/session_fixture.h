/*
 * session_fixture.h - a whole server in the test's own process, on fake pipelines, and clients that are sockets of the same thread.
 */
#ifndef BD_TESTS_UNIT_DAEMON_SESSION_FIXTURE_H
#define BD_TESTS_UNIT_DAEMON_SESSION_FIXTURE_H

/* No test program uses all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

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

#define PATIENCE_NS (60 * BD_NS_PER_S)

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

#endif
