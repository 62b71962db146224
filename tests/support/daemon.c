#include "tests/support/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/stream/messages.h"
#include "tests/support/records.h"

#define PATIENCE_NS (60 * BD_NS_PER_S)
#define ARGUMENTS_MAX 32

static void give_up(const char *what)
{
	fprintf(stderr, "daemon.c: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void make_number(struct bd_example_writer *writer, uint64_t number, void *context)
{
	(void)context;
	int64_t value = (int64_t)number;
	bd_example_writer_add_int64(writer, "label", &value, 1);
}

static int dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		give_up("socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

static void spawn(struct bd_test_daemon *daemon, const char *const *extra)
{
	const char *build = getenv("BUILD");
	char program[256], dataset[512];
	snprintf(program, sizeof program, "%s/bin/batchd", build ? build : "build/release");
	snprintf(dataset, sizeof dataset, "numbers=%s", daemon->dataset);
	const char *arguments[ARGUMENTS_MAX] = { program,    "--socket", daemon->socket, "--dataset", dataset,
		                                 "--memory", "256MiB",   "--threads",    "2",         "--quiet" };
	size_t count = 10;
	while (extra && *extra && count < ARGUMENTS_MAX - 1)
		arguments[count++] = *extra++;
	daemon->pid = fork();
	if (daemon->pid < 0)
		give_up("fork");
	if (daemon->pid == 0) {
		execv(program, (char *const *)arguments);
		give_up(program);
	}
	uint64_t end = bd_now_ns() + PATIENCE_NS;
	int fd;
	while ((fd = dial(daemon->socket)) < 0) {
		if (bd_now_ns() > end || waitpid(daemon->pid, NULL, WNOHANG) != 0)
			give_up("batchd does not listen");
		usleep(5000);
	}
	close(fd);
}

struct bd_test_daemon *bd_test_daemon_start(uint64_t records, const char *const *extra)
{
	struct bd_test_daemon *daemon = calloc(1, sizeof *daemon);
	if (!daemon)
		give_up("calloc");
	daemon->folder = bd_test_folder();
	daemon->socket = bd_test_path(daemon->folder, "s");
	daemon->dataset = bd_test_path(daemon->folder, "numbers.yaml");
	daemon->records = records;
	char *shard = bd_test_path(daemon->folder, "numbers.tfrecord");
	bd_test_shard(shard, BD_COMPRESSION_NONE, 0, records, make_number, NULL);
	free(shard);
	static const char text[] = "shards: numbers.tfrecord\nfeatures: {label: {type: int64}}\n";
	bd_test_write_file(daemon->dataset, text, strlen(text));
	setenv("BATCHD_CACHE_DIR", daemon->folder, 1);
	spawn(daemon, extra);
	return daemon;
}

void bd_test_daemon_restart(struct bd_test_daemon *daemon)
{
	kill(daemon->pid, SIGKILL);
	waitpid(daemon->pid, NULL, 0);
	spawn(daemon, NULL);
}

int bd_test_daemon_stop(struct bd_test_daemon *daemon)
{
	if (!daemon)
		return 0;
	int status = 0;
	uint64_t end = bd_now_ns() + PATIENCE_NS;
	kill(daemon->pid, SIGTERM);
	while (waitpid(daemon->pid, &status, WNOHANG) == 0) {
		if (bd_now_ns() > end) {
			kill(daemon->pid, SIGKILL);
			waitpid(daemon->pid, &status, 0);
		}
		usleep(2000);
	}
	bd_test_folder_remove(daemon->folder);
	free(daemon->socket);
	free(daemon->dataset);
	free(daemon);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

unsigned bd_test_daemon_descriptors(const struct bd_test_daemon *daemon)
{
	char path[64];
	unsigned count = 0;
	snprintf(path, sizeof path, "/proc/%d/fd", (int)daemon->pid);
	DIR *folder = opendir(path);
	if (!folder)
		give_up(path);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

void bd_test_daemon_wait_descriptors(const struct bd_test_daemon *daemon, unsigned most)
{
	uint64_t end = bd_now_ns() + PATIENCE_NS;
	unsigned count;
	while ((count = bd_test_daemon_descriptors(daemon)) > most) {
		if (bd_now_ns() > end) {
			fprintf(stderr, "daemon.c: %u descriptors stay open, not %u\n", count, most);
			exit(1);
		}
		usleep(2000);
	}
}

void bd_test_daemon_wait_idle(const struct bd_test_daemon *daemon)
{
	struct bd_client *client;
	struct bd_daemon_status status;
	struct bd_error error;
	uint64_t end = bd_now_ns() + PATIENCE_NS;
	if (bd_client_connect(daemon->socket, NULL, &client, &error) < 0)
		give_up(error.text);
	for (;;) {
		if (bd_client_status(client, &status, &error) < 0)
			give_up(error.text);
		if (!status.streams && status.sessions <= 1)
			break;
		if (bd_now_ns() > end) {
			fprintf(stderr, "daemon.c: %u streams and %u sessions are left\n", status.streams, status.sessions);
			exit(1);
		}
		usleep(2000);
	}
	bd_client_close(client);
}

/* ---- raw client ---- */

void bd_test_client_connect(const struct bd_test_daemon *daemon, struct bd_test_client *ret_client)
{
	*ret_client = (struct bd_test_client){ .socket = dial(daemon->socket), .arena = -1, .ctl = -1, .cons = -1 };
	if (ret_client->socket < 0)
		give_up("connect");
}

static int receive(struct bd_test_client *client, enum bd_wire_state state, uint8_t *buffer, struct bd_packet *ret_packet,
                   struct bd_error *error)
{
	struct pollfd poller = { .fd = client->socket, .events = POLLIN };
	if (poll(&poller, 1, 30000) != 1)
		give_up("the daemon does not answer");
	int result = bd_wire_receive(client->socket, BD_WIRE_DAEMON, state, buffer, true, ret_packet, error);
	if (result < 0 || ret_packet->type != BATCHD__TYPE__TYPE_ERROR)
		return result;
	ProtobufCMessage *message;
	result = bd_wire_unpack(ret_packet, &message, error);
	if (result < 0)
		return result;
	Batchd__Error *refusal = (Batchd__Error *)message;
	result = bd_error_set(error, refusal->code, "%s", refusal->text);
	bd_wire_free(message);
	return result;
}

void bd_test_client_greet(struct bd_test_client *client)
{
	uint8_t buffer[BD_WIRE_MAX_BYTES];
	struct bd_packet packet;
	struct bd_error error;
	Batchd__Hello hello = BATCHD__HELLO__INIT;
	hello.version_min = hello.version_max = 1;
	hello.program = (char *)"raw client";
	if (bd_wire_send(client->socket, BATCHD__TYPE__TYPE_HELLO, &hello.base, NULL, 0, true, &error) < 0 ||
	    receive(client, BD_WIRE_NEW, buffer, &packet, &error) < 0 || packet.type != BATCHD__TYPE__TYPE_WELCOME)
		give_up("no WELCOME");
}

int bd_test_client_open(struct bd_test_client *client, const char *dataset, const struct bd_stream_spec *spec,
                        struct bd_error *ret_error)
{
	uint8_t buffer[BD_WIRE_MAX_BYTES];
	struct bd_packet packet;
	Batchd__StreamSpec message = BATCHD__STREAM_SPEC__INIT;
	Batchd__Position start = BATCHD__POSITION__INIT;
	Batchd__Open open = BATCHD__OPEN__INIT;
	bd_spec_to_message(spec, &message);
	start.epoch = spec->start_epoch;
	start.batch = spec->start_batch;
	open.dataset = (char *)dataset;
	open.spec = &message;
	open.start = &start;
	int result = bd_wire_send(client->socket, BATCHD__TYPE__TYPE_OPEN, &open.base, NULL, 0, true, ret_error);
	while (result == 0) {
		result = receive(client, BD_WIRE_OPENING, buffer, &packet, ret_error);
		if (result == 0 && packet.type == BATCHD__TYPE__TYPE_OPENED)
			break;
	}
	if (result < 0)
		return result;
	client->arena = packet.descriptors[0];
	client->ctl = packet.descriptors[1];
	client->cons = packet.descriptors[2];
	return 0;
}

void bd_test_client_map(struct bd_test_client *client)
{
	struct bd_error error;
	if (bd_ring_view_open_take(client->arena, client->ctl, client->cons, &client->view, &error) < 0)
		give_up(error.text);
	client->arena = client->ctl = client->cons = -1;
}

int bd_test_client_take(struct bd_test_client *client, struct bd_ring_item *ret_item)
{
	uint8_t buffer[BD_WIRE_MAX_BYTES];
	struct bd_packet packet;
	struct bd_error error;
	for (;;) {
		int result = bd_ring_view_take(client->view, ret_item);
		if (result != -EAGAIN)
			return result;
		if (!bd_ring_view_sleep(client->view))
			continue;
		result = receive(client, BD_WIRE_STREAMING, buffer, &packet, &error);
		bd_ring_view_awake(client->view);
		if (result < 0)
			return result;
	}
}

void bd_test_client_close(struct bd_test_client *client)
{
	const int descriptors[] = { client->socket, client->arena, client->ctl, client->cons };
	if (client->view)
		bd_ring_view_close(client->view);
	for (size_t i = 0; i < 4; i++)
		if (descriptors[i] >= 0)
			close(descriptors[i]);
	*client = (struct bd_test_client){ .socket = -1, .arena = -1, .ctl = -1, .cons = -1 };
}
