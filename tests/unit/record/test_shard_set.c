#include "common/record/shard_set.h"

#include <string.h>

#include "common/base/arithmetic.h"
#include "tests/unit/test.h"

/* The gap's text, "" where there is none. */
static const char *gap_of(const char *const *paths, size_t count, size_t first, size_t end)
{
	static char text[256];
	text[0] = 0;
	int result = bd_shard_set_find_gap((char *const *)paths, count, first, end, text, sizeof text, NULL);
	assert_true(result >= 0);
	return result ? text : "";
}

#define GAP_OF(...) gap_of((const char *const[]){ __VA_ARGS__ }, BD_COUNT_OF(((const char *const[]){ __VA_ARGS__ })), 0, SIZE_MAX)

static void whole_sets_have_no_gap(void **state)
{
	(void)state;
	assert_string_equal(GAP_OF("d/k-00000-of-00002", "d/k-00001-of-00002"), "");
	assert_string_equal(GAP_OF("d/k-1-of-3.gz", "d/k-2-of-3.gz", "d/k-3-of-3.gz"), "");
	assert_string_equal(GAP_OF("d/a.tfrecord", "d/b.tfrecord", "d/talk-of-12", "d/5-of-", "d/9-of-8"), "");
	assert_string_equal(GAP_OF("a-0-of-1", "b-0-of-2", "b-1-of-2"), "");
}

static void missing_shard_is_named(void **state)
{
	(void)state;
	assert_string_equal(GAP_OF("d/k-00000-of-00003.tfrecord", "d/k-00002-of-00003.tfrecord"),
	                    "1 of 3 shards is missing; the first is d/k-00001-of-00003.tfrecord");
	assert_string_equal(GAP_OF("d/k-00001-of-00003", "d/k-00002-of-00003"),
	                    "1 of 3 shards is missing; the first is d/k-00000-of-00003");
	assert_string_equal(GAP_OF("k-0-of-4", "k-1-of-4"), "2 of 4 shards are missing; the first is k-2-of-4");
	assert_string_equal(GAP_OF("k-2-of-4", "k-4-of-4"), "2 of 4 shards are missing; the first is k-1-of-4");
}

static void sets_of_other_folders_prefixes_and_counts_are_told_apart(void **state)
{
	(void)state;
	assert_string_equal(GAP_OF("a/k-0-of-2", "b/k-1-of-2"), "1 of 2 shards is missing; the first is a/k-1-of-2");
	assert_string_equal(GAP_OF("k-0-of-2", "k-1-of-2", "k-0-of-3"), "2 of 3 shards are missing; the first is k-1-of-3");
	assert_string_equal(GAP_OF("j-0-of-2", "k-1-of-2"), "1 of 2 shards is missing; the first is j-1-of-2");
}

static void endings_are_sets_of_their_own_unless_they_share_one(void **state)
{
	(void)state;
	assert_string_equal(GAP_OF("k-0-of-2.tfrecord", "k-1-of-2.tfrecord.gz"), "");
	assert_string_equal(GAP_OF("k-0-of-2.tfrecord", "k-0-of-2.txt", "k-1-of-2.txt"),
	                    "1 of 2 shards is missing; the first is k-1-of-2.tfrecord");
}

/* A list is taken as it stands; what it names counts as there. */
static void only_wanted_sets_are_looked_at_in_all_paths(void **state)
{
	(void)state;
	static const char *const paths[] = { "j-0-of-2", "k-0-of-3", "k-1-of-3", "k-2-of-3" };
	assert_string_equal(gap_of(paths, 4, 2, 4), "");
	assert_string_equal(gap_of(paths, 3, 2, 3), "1 of 3 shards is missing; the first is k-2-of-3");
	assert_string_equal(gap_of(paths, 3, 3, 3), "");
	assert_string_equal(gap_of(paths, 4, 0, 1), "1 of 2 shards is missing; the first is j-1-of-2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_sets_have_no_gap),
		cmocka_unit_test(missing_shard_is_named),
		cmocka_unit_test(sets_of_other_folders_prefixes_and_counts_are_told_apart),
		cmocka_unit_test(endings_are_sets_of_their_own_unless_they_share_one),
		cmocka_unit_test(only_wanted_sets_are_looked_at_in_all_paths),
	};
	return cmocka_run_group_tests_name("shard_set", tests, NULL, NULL);
}
