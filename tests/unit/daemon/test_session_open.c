#include "tests/unit/daemon/session_fixture.h"

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
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
	};
	bd_log_start(BD_LOG_INFO, true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
