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

static struct bd_live *live_number(struct fixture *fixture, size_t number)
{
	struct bd_live *live = fixture->server.streams.streams;
	while (number--)
		live = live->next;
	return live;
}

/* Asks for one page; returns how many streams it has, *ret_last: the id of the last, *ret_more. */
static size_t ask_streams(struct fixture *fixture, int fd, uint64_t after, uint64_t *ret_first, uint64_t *ret_last, bool *ret_more)
{
	Batchd__Ask ask = BATCHD__ASK__INIT;
	struct bd_packet packet;
	ProtobufCMessage *message;
	ask.after = after;
	say(fd, BATCHD__TYPE__TYPE_ASK_STREAMS, &ask.base);
	assert_int_equal(next_packet(fixture, fd, BD_WIRE_READY, &packet), BATCHD__TYPE__TYPE_STREAMS);
	assert_int_equal(bd_wire_unpack(&packet, &message, NULL), 0);
	const Batchd__Streams *page = (const Batchd__Streams *)message;
	size_t count = page->n_streams;
	*ret_more = page->more;
	if (count) {
		*ret_first = page->streams[0]->id;
		*ret_last = page->streams[count - 1]->id;
		assert_int_equal(*ret_last - *ret_first, count - 1);
	}
	bd_wire_free(message);
	return count;
}

enum { MANY_STREAMS = 20 };

/* Each with a name so long that some of them fill a page. */
static void open_many(struct fixture *fixture, int *ret_streams)
{
	for (int i = 0; i < MANY_STREAMS; i++)
		ret_streams[i] = open_stream(fixture);
	for (int i = 0; i < MANY_STREAMS; i++) {
		struct bd_live *live = live_number(fixture, (size_t)i);
		free(live->dataset);
		live->dataset = calloc(1, 4001);
		memset(live->dataset, 'x', 4000);
	}
}

static void stream_that_ends_between_two_pages_shifts_no_other(void **state)
{
	struct fixture *fixture = *state;
	int streams[MANY_STREAMS];
	open_many(fixture, streams);
	int fd = connect_and_greet(fixture);
	uint64_t first, last, next, end;
	bool more;
	size_t count = ask_streams(fixture, fd, 0, &first, &last, &more);
	assert_true(more && count > 2 && count < MANY_STREAMS);
	close(streams[0]);
	close(streams[1]);
	wait_for_sessions(fixture, MANY_STREAMS - 1);
	assert_int_equal(fixture->server.streams.count, MANY_STREAMS - 2);
	assert_true(ask_streams(fixture, fd, last, &next, &end, &more) > 0);
	assert_int_equal(next, last + 1);
	for (int i = 2; i < MANY_STREAMS; i++)
		close(streams[i]);
	close(fd);
	wait_for_sessions(fixture, 0);
}

static void pages_of_metrics_are_those_of_one_text(void **state)
{
	struct fixture *fixture = *state;
	int streams[MANY_STREAMS];
	open_many(fixture, streams);
	int fd = connect_and_greet(fixture);
	Batchd__Ask ask = BATCHD__ASK__INIT;
	struct bd_packet packet;
	char *text = calloc(1, 4u << 20);
	bool more = true;
	while (more) {
		ProtobufCMessage *message;
		say(fd, BATCHD__TYPE__TYPE_ASK_METRICS, &ask.base);
		assert_int_equal(next_packet(fixture, fd, BD_WIRE_READY, &packet), BATCHD__TYPE__TYPE_METRICS);
		assert_int_equal(bd_wire_unpack(&packet, &message, NULL), 0);
		strcat(text, ((Batchd__Metrics *)message)->part);
		more = ((Batchd__Metrics *)message)->more;
		bd_wire_free(message);
		if (more && !ask.from) {
			close(streams[0]);
			wait_for_sessions(fixture, MANY_STREAMS);
		}
		ask.from = strlen(text);
	}
	/* as they were when the first page was asked for, each once */
	for (int i = 1; i <= MANY_STREAMS; i++) {
		char line[64];
		snprintf(line, sizeof line, "\nbatchd_stream_consumers{stream=\"%d\"", i);
		const char *found = strstr(text, line);
		assert_non_null(found);
		assert_null(strstr(found + 1, line));
	}
	free(text);
	for (int i = 1; i < MANY_STREAMS; i++)
		close(streams[i]);
	close(fd);
	wait_for_sessions(fixture, 0);
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
		TEST(stream_that_ends_between_two_pages_shifts_no_other),
		TEST(pages_of_metrics_are_those_of_one_text),
	};
	bd_log_start(BD_LOG_INFO, true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
