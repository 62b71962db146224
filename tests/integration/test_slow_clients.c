/*
 * Trainers that share a stream and are slow, come late or leave: everyone gets each record once from where it began, nobody runs further
 * ahead than the ring is deep, and the stream goes with its last member.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#include <batchd/client.h>

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

/* ---- a member of the group ---- */

struct member {
	struct bd_client *client;
	struct bd_stream *stream;
	uint64_t next; /* the record that has to come */
	bool ended;
};

static void join(struct member *member, uint32_t share_start)
{
	struct bd_error error;
	struct bd_stream_request request;
	*member = (struct member){ .next = 0 };
	bd_stream_request_init(&request);
	request.dataset = "numbers";
	request.spec.batch = BATCH;
	request.spec.slots = SLOTS;
	request.spec.share_start = share_start;
	snprintf(request.spec.share_group, sizeof request.spec.share_group, "g");
	if (bd_client_connect(batchd->socket, NULL, &member->client, &error) < 0 ||
	    bd_stream_open(member->client, &request, &member->stream, &error) < 0)
		fail_msg("%s", error.text);
	uint64_t epoch, batch;
	bd_stream_position(member->stream, &epoch, &batch);
	assert_int_equal(epoch, 0);
	member->next = batch * BATCH;
}

static void leave(struct member *member)
{
	bd_stream_close(member->stream);
	bd_client_close(member->client);
}

/* One batch, if one comes within the time: checked, and given back. */
static bool read_batch(struct member *member, int timeout_ms)
{
	struct bd_batch batch;
	struct bd_error error;
	int result = bd_stream_next(member->stream, timeout_ms, &batch, &error);
	if (result == -EAGAIN)
		return false;
	if (result == -ENODATA) {
		assert_int_equal(member->next, RECORDS);
		member->ended = true;
		return false;
	}
	if (result < 0)
		fail_msg("after record %llu: %s", (unsigned long long)member->next, error.text);
	const int64_t *labels = batch.arrays[0].data;
	for (uint32_t row = 0; row < batch.rows; row++, member->next++) {
		assert_int_equal(batch.records[row], member->next);
		assert_int_equal(labels[row], member->next);
	}
	bd_stream_release(member->stream, &batch);
	return true;
}

static void read_batches(struct member *member, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_true(read_batch(member, 30000));
}

static void read_to_the_end(struct member *member)
{
	while (!member->ended)
		assert_true(read_batch(member, 30000) || member->ended);
}

/* ---- tests ---- */

static void ten_times_slower_member_sets_the_pace_and_loses_nothing(void **state)
{
	(void)state;
	struct member fast, slow;
	join(&slow, 0);
	join(&fast, 0);
	while (!slow.ended) {
		while (!fast.ended && fast.next < slow.next + SLOTS * BATCH)
			assert_true(read_batch(&fast, 30000) || fast.ended);
		for (int i = 0; i < 10 && !fast.ended; i++)
			assert_false(read_batch(&fast, 0));
		read_batch(&slow, 30000);
	}
	read_to_the_end(&fast);
	leave(&fast);
	leave(&slow);
	bd_test_daemon_wait_idle(batchd);
}

/* Each looks once in a while and takes one batch: the ring is full nearly always. */
static void all_members_slow_get_every_record(void **state)
{
	(void)state;
	enum { MEMBERS = 4 };
	struct member members[MEMBERS];
	for (int i = 0; i < MEMBERS; i++)
		join(&members[i], MEMBERS);
	for (bool reading = true; reading;) {
		reading = false;
		for (int i = 0; i < MEMBERS; i++) {
			if (!members[i].ended)
				read_batch(&members[i], 30000);
			reading |= !members[i].ended;
		}
	}
	struct bd_stream_statistics statistics;
	struct bd_error error;
	assert_int_equal(bd_stream_statistics(members[0].stream, &statistics, &error), 0);
	assert_int_equal(statistics.consumers, MEMBERS);
	for (int i = 0; i < MEMBERS; i++)
		leave(&members[i]);
	bd_test_daemon_wait_idle(batchd);
}

static void stream_goes_with_its_last_member_and_begins_anew(void **state)
{
	(void)state;
	struct member first, last, later;
	join(&first, 2);
	join(&last, 2);
	read_batches(&first, 3);
	read_batches(&last, 2);
	leave(&first);
	read_batches(&last, 50); /* without the other's releases */
	leave(&last);
	bd_test_daemon_wait_idle(batchd);
	join(&later, 0);
	assert_int_equal(later.next, 0);
	read_to_the_end(&later);
	leave(&later);
	bd_test_daemon_wait_idle(batchd);
}

static void member_that_joins_in_mid_epoch_goes_on_with_the_group(void **state)
{
	(void)state;
	struct member early, late;
	join(&early, 0);
	read_batches(&early, 100);
	join(&late, 0);
	/* not what the group has had; not more than the ring ahead of it */
	assert_true(late.next >= early.next && late.next <= early.next + SLOTS * BATCH);
	while (!early.ended || !late.ended) {
		if (!early.ended)
			read_batch(&early, 30000);
		if (!late.ended)
			read_batch(&late, early.ended ? 30000 : 0);
	}
	leave(&late);
	leave(&early);
	bd_test_daemon_wait_idle(batchd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_times_slower_member_sets_the_pace_and_loses_nothing),
		cmocka_unit_test(all_members_slow_get_every_record),
		cmocka_unit_test(stream_goes_with_its_last_member_and_begins_anew),
		cmocka_unit_test(member_that_joins_in_mid_epoch_goes_on_with_the_group),
	};
	return cmocka_run_group_tests(tests, start_daemon, stop_daemon);
}
