/*
 * Clients that are killed at a named step, or stopped. After each the daemon has freed what they held, nobody else has noticed, and
 * exact counts are checked: tests named after the rows of the failure table.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <batchd/client.h>

#include "common/base/clock.h"
#include "tests/support/daemon.h"

#define RECORDS 2000
#define BATCH 4
#define SLOTS 4

static struct bd_test_daemon *batchd;

static int start_daemon(void **state)
{
	(void)state;
	batchd = bd_test_daemon_start(RECORDS, NULL);
	return 0;
}

static int stop_daemon(void **state)
{
	(void)state;
	return bd_test_daemon_stop(batchd);
}

static struct bd_stream_spec make_spec(const char *group)
{
	struct bd_stream_spec spec;
	bd_stream_spec_init(&spec);
	spec.batch = BATCH;
	spec.slots = SLOTS;
	snprintf(spec.share_group, sizeof spec.share_group, "%s", group);
	return spec;
}

/* ---- steps at which a client dies ---- */

static void die(void)
{
	raise(SIGKILL);
}

static void reach(struct bd_test_client *client, const struct bd_stream_spec *spec)
{
	struct bd_error error;
	bd_test_client_connect(batchd, client);
	bd_test_client_greet(client);
	if (bd_test_client_open(client, "numbers", spec, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		_exit(1);
	}
}

static void before_hello(const struct bd_stream_spec *spec)
{
	(void)spec;
	struct bd_test_client client;
	bd_test_client_connect(batchd, &client);
	die();
}

static void after_welcome(const struct bd_stream_spec *spec)
{
	(void)spec;
	struct bd_test_client client;
	bd_test_client_connect(batchd, &client);
	bd_test_client_greet(&client);
	die();
}

static void between_opened_and_mmap(const struct bd_stream_spec *spec)
{
	struct bd_test_client client;
	reach(&client, spec);
	die();
}

static void hold(const struct bd_stream_spec *spec, unsigned count)
{
	struct bd_test_client client;
	struct bd_ring_item item;
	reach(&client, spec);
	bd_test_client_map(&client);
	for (unsigned i = 0; i < count; i++)
		if (bd_test_client_take(&client, &item) < 0)
			_exit(1);
	die();
}

static void holding_no_slot(const struct bd_stream_spec *spec)
{
	hold(spec, 0);
}

static void holding_one_slot(const struct bd_stream_spec *spec)
{
	hold(spec, 1);
}

static void holding_all_slots(const struct bd_stream_spec *spec)
{
	hold(spec, SLOTS);
}

static void between_flag_and_poll(const struct bd_stream_spec *spec)
{
	struct bd_test_client client;
	struct bd_ring_item item;
	reach(&client, spec);
	bd_test_client_map(&client);
	for (unsigned i = 0; i < 10; i++) {
		if (bd_test_client_take(&client, &item) < 0)
			_exit(1);
		bool rings = bd_ring_view_release(client.view, item.sequence + 1);
		if (rings)
			bd_wire_ring_doorbell(client.socket);
	}
	bool sleeps = bd_ring_view_sleep(client.view);
	(void)sleeps; /* the flag is set either way */
	die();
}

static void between_released_and_doorbell(const struct bd_stream_spec *spec)
{
	struct bd_test_client client;
	struct bd_ring_item item;
	reach(&client, spec);
	bd_test_client_map(&client);
	if (bd_test_client_take(&client, &item) < 0)
		_exit(1);
	usleep(50000); /* the daemon fills the ring and waits for a slot */
	bool rings = bd_ring_view_release(client.view, item.sequence + 1);
	(void)rings; /* this doorbell is never rung */
	die();
}

/* ---- a good client ---- */

static struct bd_stream *open_good(struct bd_client **ret_client, const struct bd_stream_spec *spec)
{
	struct bd_error error;
	struct bd_stream *stream = NULL;
	struct bd_stream_request request;
	bd_stream_request_init(&request);
	request.dataset = "numbers";
	request.spec = *spec;
	if (bd_client_connect(batchd->socket, NULL, ret_client, &error) < 0 ||
	    bd_stream_open(*ret_client, &request, &stream, &error) < 0)
		fail_msg("%s", error.text);
	return stream;
}

/* Reads `count` records on (0: to the end of the only epoch) and checks that they follow each other from *next on. */
static void read_good(struct bd_stream *stream, uint64_t *next, uint64_t count)
{
	struct bd_batch batch;
	struct bd_error error;
	uint64_t end = count ? *next + count : RECORDS;
	while (*next < end) {
		int result = bd_stream_next(stream, 30000, &batch, &error);
		if (result < 0)
			fail_msg("after record %llu: %s", (unsigned long long)*next, error.text);
		const int64_t *labels = batch.arrays[0].data;
		for (uint32_t row = 0; row < batch.rows; row++, (*next)++) {
			assert_int_equal(batch.records[row], *next % RECORDS);
			assert_int_equal(labels[row], *next % RECORDS);
		}
		bd_stream_release(stream, &batch);
	}
	if (!count)
		assert_int_equal(bd_stream_next(stream, 30000, &batch, &error), -ENODATA);
}

static void close_good(struct bd_client *client, struct bd_stream *stream)
{
	bd_stream_close(stream);
	bd_client_close(client);
}

/* ---- killed ---- */

static const struct {
	const char *name;
	void (*run)(const struct bd_stream_spec *spec);
} steps[] = {
	{ "before HELLO", before_hello },
	{ "after WELCOME", after_welcome },
	{ "between OPENED and mmap", between_opened_and_mmap },
	{ "holding 0 slots", holding_no_slot },
	{ "holding 1 slot", holding_one_slot },
	{ "holding all slots", holding_all_slots },
	{ "between flag and poll", between_flag_and_poll },
	{ "between released and doorbell", between_released_and_doorbell },
};

static pid_t start_victim(size_t step, const struct bd_stream_spec *spec)
{
	pid_t victim = fork();
	assert_true(victim >= 0);
	if (victim == 0) {
		steps[step].run(spec);
		_exit(2);
	}
	return victim;
}

static void check_victim(size_t step, int status)
{
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("%s: the victim did not get there (status %d)", steps[step].name, status);
}

static void client_killed_at_any_step_leaves_nothing(void **state)
{
	(void)state;
	struct bd_stream_spec spec = make_spec("");
	bd_test_daemon_wait_idle(batchd);
	unsigned before = bd_test_daemon_descriptors(batchd);
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		int status;
		pid_t victim = start_victim(i, &spec);
		assert_int_equal(waitpid(victim, &status, 0), victim);
		check_victim(i, status);
		bd_test_daemon_wait_idle(batchd);
		bd_test_daemon_wait_descriptors(batchd, before);
	}
}

static void client_killed_at_any_step_does_not_disturb_its_group(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		struct bd_stream_spec spec = make_spec("g");
		struct bd_client *client;
		uint64_t next = 0;
		spec.epochs = 0; /* however long the victim takes to get there */
		struct bd_stream *stream = open_good(&client, &spec);
		read_good(stream, &next, 40);
		/* the victim joins where the group is, may block it while it lives, and gives everything free with its death */
		pid_t victim = start_victim(i, &spec);
		int status;
		while (waitpid(victim, &status, WNOHANG) == 0) {
			struct bd_batch batch;
			struct bd_error error;
			if (bd_stream_next(stream, 1, &batch, &error) < 0)
				continue;
			assert_int_equal(batch.records[0], next % RECORDS);
			next += batch.rows;
			bd_stream_release(stream, &batch);
			usleep(1000);
		}
		check_victim(i, status);
		read_good(stream, &next, RECORDS);
		close_good(client, stream);
		bd_test_daemon_wait_idle(batchd);
	}
}

static void all_of_a_group_killed_at_once_free_the_stream(void **state)
{
	(void)state;
	struct bd_stream_spec spec = make_spec("g");
	spec.share_start = 8;
	pid_t victims[8];
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	for (size_t i = 0; i < 8; i++) {
		victims[i] = fork();
		if (victims[i] == 0) {
			struct bd_test_client client;
			struct bd_ring_item item;
			reach(&client, &spec);
			bd_test_client_map(&client);
			if (bd_test_client_take(&client, &item) < 0 || write(ready[1], "x", 1) != 1)
				_exit(1);
			pause();
		}
	}
	for (size_t i = 0; i < 8; i++) {
		char byte;
		assert_int_equal(read(ready[0], &byte, 1), 1);
	}
	for (size_t i = 0; i < 8; i++)
		kill(victims[i], SIGKILL);
	for (size_t i = 0; i < 8; i++)
		waitpid(victims[i], NULL, 0);
	bd_test_daemon_wait_idle(batchd);
	close(ready[0]);
	close(ready[1]);
}

/* ---- stopped ---- */

/* A library client in a process of its own that reads to the end and checks every record; `started` is written to after the first batch. */
static pid_t start_reader(const struct bd_stream_spec *spec, int started)
{
	pid_t reader = fork();
	assert_true(reader >= 0);
	if (reader)
		return reader;
	struct bd_client *client;
	uint64_t next = 0;
	struct bd_stream *stream = open_good(&client, spec);
	struct bd_batch batch;
	struct bd_error error;
	while (bd_stream_next(stream, 30000, &batch, &error) == 0) {
		for (uint32_t row = 0; row < batch.rows; row++)
			if (batch.records[row] != next++)
				_exit(3);
		bd_stream_release(stream, &batch);
		if (next == BATCH && write(started, "x", 1) != 1)
			_exit(4);
		usleep(1000);
	}
	_exit(next == RECORDS ? 0 : 5);
}

static void stop_after_first_batch(pid_t reader, int pipe_end)
{
	char byte;
	assert_int_equal(read(pipe_end, &byte, 1), 1);
	kill(reader, SIGSTOP);
}

static void expect_success(pid_t reader)
{
	int status;
	assert_int_equal(waitpid(reader, &status, 0), reader);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the reader ended with status 0x%x", status);
}

static void stopped_client_alone_does_not_hold_up_others(void **state)
{
	(void)state;
	struct bd_stream_spec spec = make_spec("");
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	pid_t reader = start_reader(&spec, pipes[1]);
	stop_after_first_batch(reader, pipes[0]);
	struct bd_client *client;
	uint64_t next = 0;
	struct bd_stream *stream = open_good(&client, &spec);
	read_good(stream, &next, 0);
	close_good(client, stream);
	kill(reader, SIGCONT);
	expect_success(reader);
	close(pipes[0]);
	close(pipes[1]);
}

static void stopped_client_blocks_its_group_until_it_goes_on(void **state)
{
	(void)state;
	struct bd_stream_spec spec = make_spec("g");
	spec.share_start = 2;
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	pid_t reader = start_reader(&spec, pipes[1]);
	struct bd_client *client;
	uint64_t next = 0;
	struct bd_stream *stream = open_good(&client, &spec);
	read_good(stream, &next, BATCH);
	stop_after_first_batch(reader, pipes[0]);
	struct bd_batch batch;
	struct bd_error error;
	/* what lies in the ring can be read, then nothing comes */
	int result;
	uint64_t taken = 0;
	while ((result = bd_stream_next(stream, 300, &batch, &error)) == 0) {
		assert_int_equal(batch.records[0], next);
		next += batch.rows;
		bd_stream_release(stream, &batch);
		taken++;
	}
	assert_int_equal(result, -EAGAIN);
	assert_true(taken < RECORDS / BATCH / 2);
	kill(reader, SIGCONT);
	read_good(stream, &next, 0);
	assert_int_equal(next, RECORDS);
	close_good(client, stream);
	expect_success(reader);
	close(pipes[0]);
	close(pipes[1]);
}

static void stopped_client_is_detached_and_goes_on_privately(void **state)
{
	(void)state;
	struct bd_stream_spec spec = make_spec("g");
	spec.share_start = 2;
	spec.share_timeout_ns = 300 * BD_NS_PER_MS;
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	pid_t reader = start_reader(&spec, pipes[1]);
	struct bd_client *client;
	uint64_t next = 0;
	struct bd_stream *stream = open_good(&client, &spec);
	read_good(stream, &next, BATCH);
	stop_after_first_batch(reader, pipes[0]);
	read_good(stream, &next, 0); /* to the end, while the other is stopped */
	assert_int_equal(next, RECORDS);
	close_good(client, stream);
	kill(reader, SIGCONT);
	expect_success(reader); /* every record, once */
	bd_test_daemon_wait_idle(batchd);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- the daemon dies ---- */

static void clients_of_a_killed_daemon_get_each_batch_once(void **state)
{
	(void)state;
	struct bd_stream_spec private_spec = make_spec(""), group_spec = make_spec("g");
	struct bd_client *clients[3];
	struct bd_stream *streams[3];
	uint64_t next[3] = { 0 };
	streams[0] = open_good(&clients[0], &private_spec);
	group_spec.share_start = 2;
	for (int i = 1; i < 3; i++)
		streams[i] = open_good(&clients[i], &group_spec);
	read_good(streams[0], &next[0], 100);
	/* the two of the group stand at different batches */
	read_good(streams[1], &next[1], 3 * BATCH);
	read_good(streams[2], &next[2], 1 * BATCH);
	for (int round = 0; round < 2; round++) {
		bd_test_daemon_restart(batchd);
		read_good(streams[0], &next[0], 40);
	}
	/* each of the group in turn: they must not wait for each other's reading for longer than the ring is deep */
	struct bd_batch batch;
	struct bd_error error;
	while (next[1] < RECORDS || next[2] < RECORDS) {
		for (int i = 1; i < 3; i++) {
			if (next[i] >= RECORDS)
				continue;
			int result = bd_stream_next(streams[i], 200, &batch, &error);
			if (result == -EAGAIN)
				continue;
			if (result < 0)
				fail_msg("stream %d after record %llu: %s", i, (unsigned long long)next[i], error.text);
			assert_int_equal(batch.records[0], next[i]);
			next[i] += batch.rows;
			bd_stream_release(streams[i], &batch);
		}
	}
	read_good(streams[0], &next[0], 0);
	for (int i = 0; i < 3; i++)
		close_good(clients[i], streams[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_killed_at_any_step_leaves_nothing),
		cmocka_unit_test(client_killed_at_any_step_does_not_disturb_its_group),
		cmocka_unit_test(all_of_a_group_killed_at_once_free_the_stream),
		cmocka_unit_test(stopped_client_alone_does_not_hold_up_others),
		cmocka_unit_test(stopped_client_blocks_its_group_until_it_goes_on),
		cmocka_unit_test(stopped_client_is_detached_and_goes_on_privately),
		cmocka_unit_test(clients_of_a_killed_daemon_get_each_batch_once),
	};
	return cmocka_run_group_tests(tests, start_daemon, stop_daemon);
}
