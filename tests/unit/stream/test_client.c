#include <batchd/client.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/stream/order.h"
#include "tests/support/fake_daemon.h"
#include "tests/unit/test.h"

#define RECORDS 1000

static char socket_path[64];

static struct bd_fake_daemon *start(struct bd_fake_options options)
{
	options.socket_path = socket_path;
	if (!options.records)
		options.records = RECORDS;
	return bd_fake_daemon_start(&options);
}

static struct bd_client *connect_client(void)
{
	struct bd_client *client;
	struct bd_error error = { .code = 0 };
	if (bd_client_connect(socket_path, NULL, &client, &error) < 0)
		fail_msg("%s", error.text);
	return client;
}

static struct bd_stream_request request_of(uint64_t epochs)
{
	struct bd_stream_request request;
	bd_stream_request_init(&request);
	request.dataset = "made-up";
	request.spec.batch = 30;
	request.spec.shuffle = BD_SHUFFLE_GLOBAL;
	request.spec.remainder = BD_REMAINDER_CARRY;
	request.spec.epochs = epochs;
	return request;
}

static struct bd_stream *open_stream(struct bd_client *client, const struct bd_stream_request *request)
{
	struct bd_stream *stream;
	struct bd_error error = { .code = 0 };
	if (bd_stream_open(client, request, &stream, &error) < 0)
		fail_msg("%s", error.text);
	return stream;
}

/* Compares a batch with what the order says, and moves the position on. */
static void assert_batch(const struct bd_batch *batch, const struct bd_order *order, struct bd_order_position *position)
{
	struct bd_order_batch wanted;
	assert_int_equal(bd_order_batch_at(order, *position, &wanted, position), 0);
	assert_int_equal(batch->epoch, wanted.epoch);
	assert_int_equal(batch->batch, wanted.batch);
	assert_int_equal(batch->rows, wanted.rows);
	assert_int_equal(batch->next_epoch, position->epoch);
	assert_int_equal(batch->next_batch, position->batch);
	const int64_t *x = batch->arrays[0].data;
	assert_int_equal(batch->arrays[0].shape[0], wanted.rows);
	assert_int_equal(batch->arrays[0].strides_bytes[0], 16);
	for (uint32_t row = 0; row < wanted.rows; row++) {
		uint64_t epoch, record;
		bd_order_row(order, &wanted, row, &epoch, &record);
		assert_int_equal(x[2 * row], record);
		assert_int_equal(x[2 * row + 1], epoch);
		assert_int_equal(batch->records[row], record);
	}
}

static int read_all(struct bd_stream *stream, const struct bd_stream_request *request, uint64_t *ret_batches,
                    struct bd_error *error)
{
	struct bd_order order;
	struct bd_order_position position = { request->spec.start_epoch, request->spec.start_batch };
	assert_int_equal(bd_order_init(&order, RECORDS, &request->spec, NULL), 0);
	*ret_batches = 0;
	for (;;) {
		struct bd_batch batch;
		int result = bd_stream_next(stream, 20000, &batch, error);
		if (result < 0)
			return result;
		assert_batch(&batch, &order, &position);
		bd_stream_release(stream, &batch);
		++*ret_batches;
	}
}

static void every_batch_comes_once_and_in_order(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .records = 0 });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(7);
	struct bd_stream *stream = open_stream(client, &request);
	struct bd_error error = { .code = 0 };
	uint64_t batches;
	assert_int_equal(read_all(stream, &request, &batches, &error), -ENODATA);
	assert_int_equal(batches, (7 * RECORDS + 29) / 30);
	struct bd_batch batch;
	assert_int_equal(bd_stream_next(stream, 0, &batch, &error), -ENODATA);
	struct bd_stream_statistics statistics;
	assert_int_equal(bd_stream_statistics(stream, &statistics, &error), 0);
	assert_int_equal(statistics.batches, batches);
	assert_int_equal(statistics.records, 7 * RECORDS);
	assert_int_equal(statistics.skipped, 3);
	assert_string_equal(statistics.bottleneck, "trainer");
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

/* No copy: what the caller gets is the daemon's memory, mapped without the right to write. */
static void a_batch_lies_in_the_daemons_memory(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .records = 0 });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(1);
	struct bd_stream *stream = open_stream(client, &request);
	struct bd_error error = { .code = 0 };
	struct bd_batch batch;
	assert_int_equal(bd_stream_next(stream, -1, &batch, &error), 0);
	FILE *maps = fopen("/proc/self/maps", "re");
	assert_non_null(maps);
	char line[512];
	unsigned found = 0;
	while (fgets(line, sizeof line, maps)) {
		unsigned long begin, end;
		char rights[8];
		if (!strstr(line, "batchd-arena") || sscanf(line, "%lx-%lx %7s", &begin, &end, rights) != 3)
			continue;
		unsigned long data = (unsigned long)batch.arrays[0].data, records = (unsigned long)batch.records;
		if (strcmp(rights, "r--s") == 0 && data >= begin && data < end && records >= begin && records < end)
			found++;
	}
	fclose(maps);
	assert_int_equal(found, 1);
	bd_stream_release(stream, &batch);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

static void schema_pages_add_up(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .classes = 9000 });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(1);
	struct bd_stream *stream = open_stream(client, &request);
	const struct bd_schema *schema = bd_stream_schema(stream);
	assert_int_equal(schema->array_count, 2);
	assert_int_equal(schema->class_count, 9000);
	assert_string_equal(schema->classes[8999], "class number 8999 with a long name");
	assert_string_equal(schema->arrays[0].name, "x");
	assert_int_equal(schema->arrays[0].shape[1], 2);
	assert_null(schema->arrays[0].image);
	assert_string_equal(schema->arrays[1].image, "{scale: 2}");
	assert_int_equal(schema->records, RECORDS);
	assert_int_equal(schema->batches_per_epoch, 34);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

/* Dropped after every 11 batches: of 34 batches an epoch, at ever other places. */
static void read_over_deaths(struct bd_fake_options options)
{
	options.publish_limit = 11;
	struct bd_fake_daemon *daemon = start(options);
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(3);
	struct bd_stream *stream = open_stream(client, &request);
	struct bd_error error = { .code = 0 };
	uint64_t batches;
	assert_int_equal(read_all(stream, &request, &batches, &error), -ENODATA);
	assert_int_equal(batches, 100);
	assert_int_equal(bd_fake_daemon_sessions(daemon), options.drop_while_indexing ? 11 : 10);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

static void a_daemon_killed_between_batches_costs_none(void **state)
{
	(void)state;
	read_over_deaths((struct bd_fake_options){ .dies = BD_FAKE_DIES_BETWEEN_BATCHES });
}

static void a_daemon_killed_with_a_slot_half_filled_costs_no_batch(void **state)
{
	(void)state;
	read_over_deaths((struct bd_fake_options){ .dies = BD_FAKE_DIES_IN_A_SLOT });
}

static void a_daemon_killed_before_the_doorbell_costs_no_batch(void **state)
{
	(void)state;
	read_over_deaths((struct bd_fake_options){ .dies = BD_FAKE_DIES_BEFORE_THE_DOORBELL });
}

/* The one that came after the first death dies as well, before it has anything to give. */
static void a_daemon_killed_while_indexing_costs_no_batch(void **state)
{
	(void)state;
	read_over_deaths((struct bd_fake_options){ .drop_while_indexing = 2 });
}

static void a_restarted_daemon_goes_on_with_the_next_batch(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .records = 0 });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(0);
	struct bd_stream *stream = open_stream(client, &request);
	struct bd_error error = { .code = 0 };
	struct bd_order order;
	struct bd_order_position position = { 0, 0 };
	assert_int_equal(bd_order_init(&order, RECORDS, &request.spec, NULL), 0);
	struct bd_batch batch, held;
	int64_t held_record = -1;
	/* Killed before the first batch as well. */
	for (unsigned n = 0; n < 60; n++) {
		if (n == 0 || n == 9 || n == 31) {
			bd_fake_daemon_kill(daemon);
			daemon = start((struct bd_fake_options){ .records = 0 });
		}
		assert_int_equal(bd_stream_next(stream, 20000, &batch, &error), 0);
		assert_batch(&batch, &order, &position);
		/* One batch is held over the daemon's death, and its memory stays. */
		if (n == 8) {
			held = batch;
			held_record = *(const int64_t *)batch.arrays[0].data;
			continue;
		}
		if (n == 20) {
			assert_int_equal(*(const int64_t *)held.arrays[0].data, held_record);
			bd_stream_release(stream, &held);
		}
		bd_stream_release(stream, &batch);
	}
	uint64_t epoch, number;
	bd_stream_position(stream, &epoch, &number);
	assert_int_equal(epoch, position.epoch);
	assert_int_equal(number, position.batch);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

static void on_alarm(int number)
{
	(void)number;
}

/* Accepts, and does not greet. */
static int listen_only(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
	unlink(socket_path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void a_signal_while_reconnecting_does_not_fail_the_stream(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .records = 0 });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(2);
	request.interruptible = true;
	struct bd_stream *stream = open_stream(client, &request);
	struct bd_error error = { .code = 0 };
	struct bd_order order;
	struct bd_order_position position = { 0, 0 };
	struct bd_batch batch;
	int result, interrupted = 0, batches = 0;
	assert_int_equal(bd_order_init(&order, RECORDS, &request.spec, NULL), 0);
	bd_fake_daemon_kill(daemon);
	int listener = listen_only();
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval often = { .it_interval.tv_usec = 50000, .it_value.tv_usec = 50000 }, never = { 0 };
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	while ((result = bd_stream_next(stream, -1, &batch, &error)) == 0 || (result == -EINTR && interrupted < 10)) {
		if (result < 0 && ++interrupted == 3) {
			assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
			close(listener);
			unlink(socket_path);
			daemon = start((struct bd_fake_options){ .records = 0 });
		}
		if (result < 0)
			continue;
		assert_batch(&batch, &order, &position);
		bd_stream_release(stream, &batch);
		batches++;
	}
	assert_int_equal(result, -ENODATA);
	assert_int_equal(batches, (2 * RECORDS + 29) / 30);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

static void a_daemon_that_dies_while_opening_is_an_error_at_first(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .drop_while_indexing = 1 });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(1);
	struct bd_stream *stream;
	struct bd_error error = { .code = 0 };
	assert_int_equal(bd_stream_open(client, &request, &stream, &error), -ECONNRESET);
	assert_non_null(strstr(error.text, "went away while it opened '"));
	assert_int_equal(bd_stream_open(client, &request, &stream, &error), 0);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

static void a_failed_stream_gives_its_good_batches_first(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .publish_limit = 5, .fail_at_limit = true });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(1);
	struct bd_stream *stream = open_stream(client, &request);
	struct bd_error error = { .code = 0 };
	uint64_t batches;
	assert_int_equal(read_all(stream, &request, &batches, &error), -EBADMSG);
	assert_int_equal(batches, 5);
	assert_string_equal(error.text, "record 17 is damaged");
	struct bd_batch batch;
	assert_int_equal(bd_stream_next(stream, -1, &batch, &error), -EBADMSG);
	struct bd_quarantine_entry entries[2];
	size_t count;
	assert_int_equal(bd_stream_quarantine(stream, 0, entries, 2, &count, &error), 0);
	assert_int_equal(count, 2);
	assert_int_equal(bd_stream_quarantine(stream, 2, entries, 2, &count, &error), 0);
	assert_int_equal(count, 1);
	assert_int_equal(entries[0].record, 2);
	assert_string_equal(entries[0].file, "file");
	assert_int_equal(bd_stream_quarantine(stream, 3, entries, 2, &count, &error), 0);
	assert_int_equal(count, 0);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

static void a_slow_consumer_goes_on_privately(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .publish_limit = 6, .detach_at_limit = true });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(1);
	snprintf(request.spec.share_group, sizeof request.spec.share_group, "g");
	struct bd_stream *stream = open_stream(client, &request);
	struct bd_error error = { .code = 0 };
	uint64_t batches;
	assert_int_equal(read_all(stream, &request, &batches, &error), -ENODATA);
	assert_int_equal(batches, 34);
	assert_int_equal(bd_fake_daemon_sessions(daemon), 2);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

static void a_refusal_is_the_daemons_own_words(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .refuse_open = true });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(1);
	struct bd_stream *stream;
	struct bd_error error = { .code = 0 };
	assert_int_equal(bd_stream_open(client, &request, &stream, &error), -EACCES);
	assert_string_equal(error.text, "the dataset is not for you");
	request.spec.world = 7;
	assert_int_equal(bd_stream_open(client, &request, &stream, &error), -EINVAL);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

static void no_daemon_is_one_clear_line(void **state)
{
	(void)state;
	struct bd_client *client;
	struct bd_error error = { .code = 0 };
	unlink(socket_path);
	assert_int_equal(bd_client_connect(socket_path, NULL, &client, &error), -ENOENT);
	assert_non_null(strstr(error.text, socket_path));
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .other_version = true });
	assert_int_equal(bd_client_connect(socket_path, NULL, &client, &error), -EPROTONOSUPPORT);
	assert_non_null(strstr(error.text, "version 7"));
	bd_fake_daemon_kill(daemon);
	unsetenv("BATCHD_SOCKET");
	struct bd_daemon_options options = { .program = "/nonexistent/batchd" };
	assert_int_equal(bd_client_connect(NULL, &options, &client, &error), -ENOENT);
	options.program = "/bin/true";
	assert_true(bd_client_connect(NULL, &options, &client, &error) < 0);
}

static void polling_and_time_limits_give_eagain(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .records = 0 });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(1);
	request.spec.slots = 2;
	struct bd_stream *stream = open_stream(client, &request);
	struct bd_error error = { .code = 0 };
	struct bd_batch batches[34];
	unsigned polled = 0;
	for (unsigned n = 0; n < 34; n++) {
		int result;
		while ((result = bd_stream_next(stream, 0, &batches[n], &error)) == -EAGAIN) {
			struct pollfd poll_stream = { .fd = bd_stream_descriptor(stream), .events = POLLIN };
			assert_int_equal(poll(&poll_stream, 1, 20000), 1);
			polled++;
		}
		assert_int_equal(result, 0);
		if (n == 1) {
			/* Both slots are held. */
			assert_int_equal(bd_stream_next(stream, 0, &batches[2], &error), -EAGAIN);
			assert_int_equal(bd_stream_next(stream, 20, &batches[2], &error), -EAGAIN);
			assert_int_equal(bd_stream_next(stream, -1, &batches[2], &error), -EDEADLK);
			/* In any order. */
			bd_stream_release(stream, &batches[1]);
			bd_stream_release(stream, &batches[1]);
			bd_stream_release(stream, &batches[0]);
		} else if (n > 1) {
			bd_stream_release(stream, &batches[n]);
		}
	}
	assert_int_equal(batches[33].sequence, 33);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
	assert_true(polled > 0);
}

static void dataset_text_arrives_whole(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .records = 0 });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(1);
	size_t length = 200001;
	char *text = malloc(length + 1);
	assert_non_null(text);
	/* Characters of two bytes at odd places: no page may cut one. */
	for (size_t i = 0; i < length; i++)
		text[i] = (char)(i == 0 ? 'x' : i % 2 ? 0xc3 : 0xa4);
	text[length] = 0;
	request.dataset_text = text;
	struct bd_stream *stream = open_stream(client, &request);
	assert_int_equal(bd_fake_daemon_text_bytes(daemon), length);
	free(text);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

static void several_streams_of_one_client_do_not_mix(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .records = 0 });
	struct bd_client *client = connect_client();
	struct bd_stream_request a = request_of(1), b = request_of(1);
	b.spec.seed = 99;
	b.spec.start_batch = 5;
	struct bd_stream *first = open_stream(client, &a), *second = open_stream(client, &b);
	struct bd_order orders[2];
	struct bd_order_position positions[2] = { { 0, 0 }, { 0, 5 } };
	struct bd_error error = { .code = 0 };
	assert_int_equal(bd_order_init(&orders[0], RECORDS, &a.spec, NULL), 0);
	assert_int_equal(bd_order_init(&orders[1], RECORDS, &b.spec, NULL), 0);
	for (unsigned n = 0; n < 20; n++) {
		struct bd_batch batch;
		assert_int_equal(bd_stream_next(first, -1, &batch, &error), 0);
		assert_batch(&batch, &orders[0], &positions[0]);
		bd_stream_release(first, &batch);
		assert_int_equal(bd_stream_next(second, -1, &batch, &error), 0);
		assert_batch(&batch, &orders[1], &positions[1]);
		bd_stream_release(second, &batch);
	}
	struct bd_daemon_status status;
	assert_int_equal(bd_client_status(client, &status, &error), 0);
	assert_int_equal(status.streams, 5);
	bd_stream_close(first);
	bd_stream_close(second);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

static void a_forked_child_disturbs_nothing(void **state)
{
	(void)state;
	struct bd_fake_daemon *daemon = start((struct bd_fake_options){ .records = 0 });
	struct bd_client *client = connect_client();
	struct bd_stream_request request = request_of(1);
	struct bd_stream *stream = open_stream(client, &request);
	struct bd_error error = { .code = 0 };
	struct bd_batch batch;
	assert_int_equal(bd_stream_next(stream, -1, &batch, &error), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct bd_batch stolen;
		int wrong = bd_stream_next(stream, 0, &stolen, &error) != -ECHILD;
		bd_stream_release(stream, &batch);
		bd_stream_close(stream);
		bd_client_close(client);
		_exit(wrong);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	bd_stream_release(stream, &batch);
	for (unsigned n = 1; n < 34; n++) {
		assert_int_equal(bd_stream_next(stream, -1, &batch, &error), 0);
		bd_stream_release(stream, &batch);
	}
	assert_int_equal(bd_stream_next(stream, -1, &batch, &error), -ENODATA);
	bd_stream_close(stream);
	bd_client_close(client);
	bd_fake_daemon_kill(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_batch_comes_once_and_in_order),
		cmocka_unit_test(a_batch_lies_in_the_daemons_memory),
		cmocka_unit_test(schema_pages_add_up),
		cmocka_unit_test(a_daemon_killed_between_batches_costs_none),
		cmocka_unit_test(a_daemon_killed_with_a_slot_half_filled_costs_no_batch),
		cmocka_unit_test(a_daemon_killed_before_the_doorbell_costs_no_batch),
		cmocka_unit_test(a_daemon_killed_while_indexing_costs_no_batch),
		cmocka_unit_test(a_restarted_daemon_goes_on_with_the_next_batch),
		cmocka_unit_test(a_daemon_that_dies_while_opening_is_an_error_at_first),
		cmocka_unit_test(a_failed_stream_gives_its_good_batches_first),
		cmocka_unit_test(a_signal_while_reconnecting_does_not_fail_the_stream),
		cmocka_unit_test(a_slow_consumer_goes_on_privately),
		cmocka_unit_test(a_refusal_is_the_daemons_own_words),
		cmocka_unit_test(no_daemon_is_one_clear_line),
		cmocka_unit_test(polling_and_time_limits_give_eagain),
		cmocka_unit_test(dataset_text_arrives_whole),
		cmocka_unit_test(several_streams_of_one_client_do_not_mix),
		cmocka_unit_test(a_forked_child_disturbs_nothing),
	};
	snprintf(socket_path, sizeof socket_path, "/tmp/batchd-test-%d.sock", (int)getpid());
	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
