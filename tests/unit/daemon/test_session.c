#include "tests/unit/daemon/session_fixture.h"

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
