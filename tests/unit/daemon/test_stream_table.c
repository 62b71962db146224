#include "tests/unit/test.h"

#include <stdio.h>

#include "common/stream/spec.h"
#include "daemon/control/stream_table.h"
#include "tests/unit/daemon/fake_pipeline.h"

/* A consumer as the table sees it, and what it was told. */
struct listener {
	unsigned indexing, opened, failed, detached;
	struct bd_order_position position;
	struct bd_error error;
	struct bd_member *member;
	bool leaves_when_told;
};

static void leave(struct listener *listener)
{
	bd_member_leave(listener->member);
	listener->member = NULL;
}

static void on_indexing(void *context, uint64_t done, uint64_t total)
{
	struct listener *listener = context;
	assert_true(done <= total);
	listener->indexing++;
}

static void on_opened(void *context, const struct bd_consumer_files *files, const struct bd_order_position *position)
{
	struct listener *listener = context;
	assert_true(files->arena >= 0 && files->ctl >= 0 && files->cons >= 0);
	listener->opened++;
	listener->position = *position;
	if (listener->leaves_when_told)
		leave(listener);
}

static void on_failed(void *context, const struct bd_error *error)
{
	struct listener *listener = context;
	listener->failed++;
	listener->error = *error;
	if (listener->leaves_when_told)
		leave(listener);
}

static void on_detached(void *context, const struct bd_order_position *next)
{
	struct listener *listener = context;
	listener->detached++;
	listener->position = *next;
	if (listener->leaves_when_told)
		leave(listener);
}

static const struct bd_member_events events = { on_indexing, on_opened, on_failed, on_detached };

struct fixture {
	uv_loop_t loop;
	struct bd_engine engine;
	struct bd_stream_table table;
	struct bd_stream_spec spec;
	struct bd_error error;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	memset(&fake, 0, sizeof fake);
	uv_loop_init(&fixture->loop);
	bd_stream_table_init(&fixture->table, &fixture->loop, &fixture->engine);
	bd_stream_spec_init(&fixture->spec);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	bd_stream_table_finish(&fixture->table);
	uv_run(&fixture->loop, UV_RUN_DEFAULT);
	int result = uv_loop_close(&fixture->loop) || fake.pipelines || fake.consumers;
	free(fixture);
	return result;
}

static void turn(struct fixture *fixture)
{
	for (int i = 0; i < 3; i++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static struct bd_dataset *some_dataset(void)
{
	return calloc(1, sizeof(struct bd_dataset));
}

static int join(struct fixture *fixture, struct listener *listener, uid_t uid, const char *digest, bool resume)
{
	struct bd_join join = {
		.dataset_name = "cats",
		.digest = digest,
		.user = "alice",
		.uid = uid,
		.dataset_take = some_dataset(),
		.spec = &fixture->spec,
		.resume = resume,
		.wake_fd = -1,
		.events = &events,
		.context = listener,
	};
	return bd_stream_table_join(&fixture->table, &join, &listener->member, &fixture->error);
}

static void set_group(struct fixture *fixture, const char *group)
{
	snprintf(fixture->spec.share_group, sizeof fixture->spec.share_group, "%s", group);
}

static void private_streams_are_separate(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 };
	fake.state = BD_PIPELINE_READY;
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	assert_int_equal(join(fixture, &b, 1, "x", false), 0);
	assert_int_equal(fake.pipelines, 2);
	assert_int_equal(a.opened, 0); /* never from inside join */
	turn(fixture);
	assert_int_equal(a.opened, 1);
	assert_int_equal(b.opened, 1);
	assert_true(fake.last->started);
	leave(&a);
	assert_int_equal(fake.pipelines, 1);
	leave(&b);
	assert_int_equal(fake.pipelines, 0);
}

static void same_group_is_one_stream(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 };
	fake.state = BD_PIPELINE_READY;
	set_group(fixture, "g");
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	assert_int_equal(join(fixture, &b, 1, "x", false), 0);
	assert_int_equal(fake.pipelines, 1);
	turn(fixture);
	assert_int_equal(fixture->table.streams->attached_count, 2);
	leave(&a);
	assert_int_equal(fake.pipelines, 1);
	leave(&b);
}

static void same_group_of_another_user_is_another_stream(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 };
	set_group(fixture, "g");
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	assert_int_equal(join(fixture, &b, 2, "x", false), 0);
	assert_int_equal(fake.pipelines, 2);
	leave(&a);
	leave(&b);
}

static void other_spec_in_a_group_is_einval_and_names_the_difference(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 };
	set_group(fixture, "g");
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	fixture->spec.batch = 64;
	assert_int_equal(join(fixture, &b, 1, "x", false), -EINVAL);
	assert_non_null(strstr(fixture->error.text, "batch (32 in the group, 64 asked for)"));
	leave(&a);
}

static void other_content_in_a_group_is_einval(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 };
	set_group(fixture, "g");
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	assert_int_equal(join(fixture, &b, 1, "y", false), -EINVAL);
	assert_non_null(strstr(fixture->error.text, "share group 'g'"));
	leave(&a);
}

static void each_shared_word_that_differs_is_named(void **state)
{
	(void)state;
	struct bd_stream_spec group, asked;
	char text[200];
	bd_stream_spec_init(&group);
	asked = group;
	assert_false(bd_spec_difference(&group, &asked, text, sizeof text));
	asked.start_epoch = 3; /* where each begins is its own */
	asked.start_batch = 4;
	assert_false(bd_spec_difference(&group, &asked, text, sizeof text));
	asked.window = group.window + 1; /* without effect on this shuffle */
	assert_false(bd_spec_difference(&group, &asked, text, sizeof text));
#define CHECK(field, value, word)                                                                                                  \
	do {                                                                                                                       \
		asked = group;                                                                                                     \
		asked.field = value;                                                                                               \
		assert_true(bd_spec_difference(&group, &asked, text, sizeof text));                                                \
		assert_int_equal(strncmp(text, word " ", strlen(word) + 1), 0);                                                    \
	} while (0)
	CHECK(shuffle, BD_SHUFFLE_GLOBAL, "shuffle");
	CHECK(seed, 9, "seed");
	CHECK(epochs, 9, "epochs");
	CHECK(remainder, BD_REMAINDER_DROP, "remainder");
	CHECK(augment, BD_AUGMENT_OFF, "augment");
	CHECK(world, 2, "world");
	CHECK(rank, 1, "rank");
	CHECK(slots, 9, "slots");
	CHECK(cache_bytes, 9, "cache");
	CHECK(share_start, 9, "share_start");
	CHECK(share_timeout_ns, 300000000, "share_timeout");
	assert_string_equal(text, "share_timeout (0s in the group, 0.3s asked for)");
#undef CHECK
}

static void share_start_waits_for_all(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 }, c = { 0 };
	fake.state = BD_PIPELINE_READY;
	set_group(fixture, "g");
	fixture->spec.share_start = 2;
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	turn(fixture);
	assert_int_equal(a.opened, 1);
	assert_false(fake.last->started);
	struct bd_pipeline_statistics statistics = { 0 };
	assert_string_equal(bd_live_state_name(fixture->table.streams, &statistics), "waiting");
	/* one that leaves does not count any more */
	leave(&a);
	assert_int_equal(join(fixture, &b, 1, "x", false), 0);
	turn(fixture);
	assert_false(fake.last->started);
	assert_int_equal(join(fixture, &c, 1, "x", false), 0);
	turn(fixture);
	assert_true(fake.last->started);
	leave(&b);
	leave(&c);
}

static void late_member_gets_the_current_position(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 };
	fake.state = BD_PIPELINE_READY;
	set_group(fixture, "g");
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	turn(fixture);
	fake.last->position = (struct bd_order_position){ 0, 5 };
	assert_int_equal(join(fixture, &b, 1, "x", false), 0);
	turn(fixture);
	assert_int_equal(b.opened, 1);
	assert_int_equal(b.position.batch, 5);
	leave(&a);
	leave(&b);
}

static void returning_member_that_the_group_has_passed_gets_its_own_stream(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 };
	fake.state = BD_PIPELINE_READY;
	set_group(fixture, "g");
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	turn(fixture);
	struct bd_pipeline *group = fake.last;
	group->position = (struct bd_order_position){ 0, 5 };
	fixture->spec.start_batch = 3;
	assert_int_equal(join(fixture, &b, 1, "x", true), 0);
	turn(fixture);
	assert_int_equal(b.opened, 1);
	assert_int_equal(b.position.batch, 3);
	assert_ptr_not_equal(fake.last, group);
	assert_string_equal(b.member->live->spec.share_group, "");
	leave(&b);
	leave(&a);
}

static void returning_member_ahead_stays_in_the_group(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 };
	fake.state = BD_PIPELINE_READY;
	set_group(fixture, "g");
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	turn(fixture);
	fixture->spec.start_batch = 9;
	assert_int_equal(join(fixture, &b, 1, "x", true), 0);
	turn(fixture);
	assert_int_equal(b.position.batch, 9);
	assert_int_equal(fake.pipelines, 1);
	leave(&b);
	leave(&a);
}

static void joining_a_group_that_has_ended_begins_anew(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 }, c = { 0 };
	fake.state = BD_PIPELINE_READY;
	set_group(fixture, "g");
	fixture->spec.epochs = 1;
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	turn(fixture);
	fake.last->position = (struct bd_order_position){ 1, 0 };
	assert_int_equal(join(fixture, &b, 1, "x", false), 0);
	assert_int_equal(join(fixture, &c, 1, "x", false), 0);
	turn(fixture);
	assert_int_equal(b.opened, 1);
	assert_int_equal(b.position.epoch, 0);
	assert_int_equal(fake.pipelines, 2); /* the two that came late share the new one */
	assert_string_equal(b.member->live->spec.share_group, "g");
	assert_ptr_equal(b.member->live, c.member->live);
	assert_int_equal(c.opened, 1);
	leave(&a);
	leave(&b);
	leave(&c);
}

static void failure_is_told_once_and_closes_the_group(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 };
	set_group(fixture, "g");
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	turn(fixture);
	assert_true(a.indexing >= 1);
	fake.last->state = BD_PIPELINE_FAILED;
	bd_error_set(&fake.last->error, -EIO, "the disk is gone");
	fake.last->options.notify(fake.last->options.context);
	turn(fixture);
	fake.last->options.notify(fake.last->options.context);
	turn(fixture);
	assert_int_equal(a.failed, 1);
	assert_string_equal(a.error.text, "the disk is gone");
	/* the next one with that group is not tied to the failed stream */
	assert_int_equal(join(fixture, &b, 1, "x", false), 0);
	assert_int_equal(fake.pipelines, 2);
	leave(&a);
	leave(&b);
}

static void members_may_leave_while_they_are_told(void **state)
{
	struct fixture *fixture = *state;
	struct listener listeners[4] = { { 0 } };
	set_group(fixture, "g");
	for (int i = 0; i < 4; i++) {
		listeners[i].leaves_when_told = true;
		assert_int_equal(join(fixture, &listeners[i], 1, "x", false), 0);
	}
	turn(fixture);
	fake.last->state = BD_PIPELINE_READY;
	fake.last->options.notify(fake.last->options.context);
	turn(fixture);
	for (int i = 0; i < 4; i++)
		assert_int_equal(listeners[i].opened, 1);
	assert_int_equal(fake.pipelines, 0);
}

static void pipeline_that_cannot_be_created_leaves_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 };
	fake.create_result = -ENOMEM;
	assert_int_equal(join(fixture, &a, 1, "x", false), -ENOMEM);
	assert_int_equal(fixture->table.count, 0);
	turn(fixture);
}

static void bad_spec_is_einval(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 };
	fixture->spec.batch = 0;
	assert_int_equal(join(fixture, &a, 1, "x", false), -EINVAL);
	assert_int_equal(fake.pipelines, 0);
}

static void wait_for_slow_timer(struct fixture *fixture)
{
	for (int i = 0; i < 4; i++)
		uv_run(&fixture->loop, UV_RUN_NOWAIT), usleep(60000);
}

static void slow_member_is_detached_and_stays_until_it_leaves(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 };
	fake.state = BD_PIPELINE_READY;
	set_group(fixture, "g");
	fixture->spec.share_timeout_ns = 1;
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	assert_int_equal(join(fixture, &b, 1, "x", false), 0);
	turn(fixture);
	fake.last_consumer->slow = true;
	wait_for_slow_timer(fixture);
	assert_int_equal(a.detached, 0);
	assert_int_equal(b.detached, 1);
	assert_int_equal(b.position.batch, 7);
	assert_true(fake.last_consumer->detached_slow);
	assert_int_equal(fake.consumers, 2); /* what it holds stays */
	assert_int_equal(fixture->table.streams->attached_count, 1);
	leave(&b);
	assert_int_equal(fake.consumers, 1);
	leave(&a);
}

static void slow_member_alone_in_its_group_is_left_alone(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 };
	fake.state = BD_PIPELINE_READY;
	set_group(fixture, "g");
	fixture->spec.share_timeout_ns = 1;
	assert_int_equal(join(fixture, &a, 1, "x", false), 0);
	turn(fixture);
	fake.last_consumer->slow = true;
	wait_for_slow_timer(fixture);
	assert_int_equal(a.detached, 0);
	leave(&a);
}

static int join_with_quota(struct fixture *fixture, struct listener *listener, uint64_t quota)
{
	struct bd_join join = {
		.dataset_name = "cats",
		.digest = "x",
		.user = "alice",
		.uid = 1,
		.dataset_take = some_dataset(),
		.spec = &fixture->spec,
		.quota_memory_bytes = quota,
		.wake_fd = -1,
		.events = &events,
		.context = listener,
	};
	return bd_stream_table_join(&fixture->table, &join, &listener->member, &fixture->error);
}

static void memory_quota_covers_all_streams_of_the_user(void **state)
{
	struct fixture *fixture = *state;
	struct listener a = { 0 }, b = { 0 }, c = { 0 };
	fake.memory_bytes = 600;
	fake.state = BD_PIPELINE_READY;
	assert_int_equal(join_with_quota(fixture, &a, 1000), 0);
	assert_int_equal(fake.last->options.memory_quota_bytes, 1000);
	turn(fixture);
	assert_int_equal(a.opened, 1);
	assert_int_equal(join_with_quota(fixture, &b, 1000), 0);
	assert_int_equal(fake.last->options.memory_quota_bytes, 400);
	turn(fixture);
	assert_int_equal(b.failed, 1);
	assert_int_equal(b.error.code, -EDQUOT);
	assert_int_equal(join_with_quota(fixture, &c, 1000), -EDQUOT);
	leave(&a);
	leave(&b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(private_streams_are_separate),
		TEST(same_group_is_one_stream),
		TEST(same_group_of_another_user_is_another_stream),
		TEST(other_spec_in_a_group_is_einval_and_names_the_difference),
		TEST(other_content_in_a_group_is_einval),
		TEST(each_shared_word_that_differs_is_named),
		TEST(share_start_waits_for_all),
		TEST(late_member_gets_the_current_position),
		TEST(returning_member_that_the_group_has_passed_gets_its_own_stream),
		TEST(returning_member_ahead_stays_in_the_group),
		TEST(joining_a_group_that_has_ended_begins_anew),
		TEST(failure_is_told_once_and_closes_the_group),
		TEST(members_may_leave_while_they_are_told),
		TEST(pipeline_that_cannot_be_created_leaves_nothing),
		TEST(bad_spec_is_einval),
		TEST(slow_member_is_detached_and_stays_until_it_leaves),
		TEST(slow_member_alone_in_its_group_is_left_alone),
		TEST(memory_quota_covers_all_streams_of_the_user),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
