#include "common/record/shard_index_sweep.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "common/base/file.h"
#include "common/record/shard_index.h"
#include "tests/unit/record/shards.h"

#define DAY_S (24 * 3600)
#define HEX "0123456789abcdef"

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/batchd-test-sweep-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type, (void)walk;
	return remove(path);
}

static int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* NAME in the folder with this beginning, `bytes` long, last changed `age_s` ago. */
static void put(const char *name, const char *begin, off_t bytes, time_t age_s)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, begin, strlen(begin)), strlen(begin));
	if (bytes)
		assert_int_equal(ftruncate(fd, bytes), 0);
	struct timespec when[2] = { { .tv_sec = time(NULL) - age_s }, { .tv_sec = time(NULL) - age_s } };
	assert_int_equal(futimens(fd, when), 0);
	close(fd);
}

static void put_index(unsigned number, off_t bytes, time_t age_s)
{
	char name[64];
	snprintf(name, sizeof name, "0000000000000801-%016x.index", number);
	put(name, "BDINDEX\1", bytes, age_s);
}

static bool is_there(const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

static bool index_is_there(unsigned number)
{
	char name[64];
	snprintf(name, sizeof name, "0000000000000801-%016x.index", number);
	return is_there(name);
}

static void sweep(uint64_t limit_bytes)
{
	bd_shard_index_sweep(folder, limit_bytes, time(NULL));
}

static void unused_indexes_go(void **state)
{
	(void)state;
	put_index(1, 1000, 91 * DAY_S);
	put_index(2, 1000, 89 * DAY_S);
	put_index(3, 1000, 0);
	sweep(1 << 20);
	assert_false(index_is_there(1));
	assert_true(index_is_there(2));
	assert_true(index_is_there(3));
}

static void those_unused_longest_go_first_past_the_bound(void **state)
{
	(void)state;
	put_index(1, 1000, 5 * DAY_S);
	put_index(2, 1000, 30 * DAY_S);
	put_index(3, 1000, 10 * DAY_S);
	put_index(4, 1000, 0);
	sweep(4000);
	assert_true(index_is_there(2));
	sweep(2500);
	assert_false(index_is_there(2));
	assert_false(index_is_there(3));
	assert_true(index_is_there(1));
	assert_true(index_is_there(4));
}

/* Otherwise each index of a dataset that does not fit would drive out the one that is needed next. */
static void set_in_use_that_does_not_fit_keeps_a_fixed_part(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++)
		put_index(i, 1000, 600 - (time_t)i);
	sweep(3000);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(index_is_there(i), i < 3);
}

static void nothing_of_others_is_touched(void **state)
{
	(void)state;
	static const char *const others[] = {
		"notes.txt",
		HEX "-" HEX ".index.bak",
		HEX "-" HEX ".indexes",
		HEX "-" HEX "0.index",
		"0123456789ABCDEF-" HEX ".index",
		HEX "_" HEX ".index",
		".swept",
	};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		put(others[i], "BDINDEX\1", 1000, 400 * DAY_S);
	put(HEX "-" HEX ".index", "somebody's own", 1000, 400 * DAY_S); /* the name alone does not make it ours */
	put(HEX "-" HEX ".index.abcdef", "somebody's own", 1000, 400 * DAY_S);
	put_index(7, 1000, 400 * DAY_S);
	char link[256], target[256], subfolder[256];
	snprintf(link, sizeof link, "%s/0000000000000801-00000000000000aa.index", folder);
	snprintf(target, sizeof target, "%s/notes.txt", folder);
	snprintf(subfolder, sizeof subfolder, "%s/0000000000000801-00000000000000ab.index", folder);
	assert_int_equal(symlink(target, link), 0);
	assert_int_equal(mkdir(subfolder, 0700), 0);
	sweep(0);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_true(is_there(others[i]));
	assert_true(is_there(HEX "-" HEX ".index"));
	assert_true(is_there(HEX "-" HEX ".index.abcdef"));
	assert_true(is_there("0000000000000801-00000000000000aa.index"));
	assert_true(is_there("0000000000000801-00000000000000ab.index"));
	assert_false(index_is_there(7));
}

static void halves_of_killed_writers_go_after_an_hour(void **state)
{
	(void)state;
	put(HEX "-" HEX ".index.aB3dEf", "BDIN", 0, 2 * 3600);
	put(HEX "-" HEX ".index.aB3dEg", "", 0, 2 * 3600);
	put(HEX "-" HEX ".index.aB3dEh", "BDINDEX\1", 500, 60);
	sweep(1 << 20);
	assert_false(is_there(HEX "-" HEX ".index.aB3dEf"));
	assert_false(is_there(HEX "-" HEX ".index.aB3dEg"));
	assert_true(is_there(HEX "-" HEX ".index.aB3dEh"));
}

static void make_older(const char *path, time_t age_s)
{
	struct timespec when[2] = { { .tv_sec = time(NULL) - age_s }, { .tv_sec = time(NULL) - age_s } };
	assert_int_equal(utimensat(AT_FDCWD, path, when, 0), 0);
}

/* Files get the time of a file server, which may be ahead. */
static void mark_of_the_next_seconds_is_one_of_now(void **state)
{
	(void)state;
	char mark[256];
	snprintf(mark, sizeof mark, "%s/.swept", folder);
	put(".swept", "", 0, 0);
	make_older(mark, -30);
	put_index(1, 1000, 91 * DAY_S);
	bd_shard_index_sweep_now_and_then(folder, time(NULL));
	assert_true(index_is_there(1));
}

static void sweeps_are_rare(void **state)
{
	(void)state;
	time_t now = time(NULL);
	put_index(1, 1000, 91 * DAY_S);
	bd_shard_index_sweep_now_and_then(folder, now);
	assert_false(index_is_there(1));
	put_index(2, 1000, 91 * DAY_S);
	bd_shard_index_sweep_now_and_then(folder, now);
	assert_true(index_is_there(2));
	bd_shard_index_sweep_now_and_then(folder, now + BD_INDEX_CACHE_SWEEP_S + 1);
	assert_false(index_is_there(2));
	put_index(3, 1000, 95 * DAY_S);
	bd_shard_index_sweep_now_and_then(folder, now - DAY_S); /* the clock was set back: the mark is of the future */
	assert_false(index_is_there(3));
	bd_shard_index_sweep_now_and_then("/proc/no/such/folder", now);
}

/* The path of the one index that opening the shard leaves. */
static void open_shard(const char *path, char ret_index[320])
{
	struct bd_index_options options = { .cache_folder = folder };
	struct bd_shard_index *index;
	struct stat status;
	assert_int_equal(bd_shard_index_open(path, &options, &index, NULL), 0);
	bd_shard_index_destroy(index);
	assert_int_equal(stat(path, &status), 0);
	snprintf(ret_index, 320, "%s/%016llx-%016llx.index", folder, (unsigned long long)status.st_dev,
	         (unsigned long long)status.st_ino);
}

static void index_that_is_used_counts_as_new_and_one_of_a_rewritten_shard_goes(void **state)
{
	(void)state;
	char path[3][256], index[3][320], mark[256];
	struct shard shard = shard_of(3, 100);
	for (int i = 0; i < 3; i++) {
		snprintf(path[i], sizeof path[i], "%s/shard-%d", folder, i);
		int fd = open(path[i], O_WRONLY | O_CREAT, 0600);
		assert_int_equal(bd_write_full(fd, shard.bytes, shard.length, NULL), 0);
		close(fd);
	}
	shard_free(&shard);
	open_shard(path[0], index[0]);
	open_shard(path[1], index[1]);
	make_older(index[0], 100 * DAY_S);
	make_older(index[1], 100 * DAY_S);
	open_shard(path[1], index[1]); /* read, not made: its time is renewed */
	struct stat status;
	assert_int_equal(stat(index[1], &status), 0);
	assert_true(time(NULL) - status.st_mtime < DAY_S);
	snprintf(mark, sizeof mark, "%s/.swept", folder);
	make_older(mark, 3600);
	open_shard(path[2], index[2]); /* storing one sweeps */
	assert_int_equal(access(index[0], F_OK), -1);
	assert_int_equal(access(index[1], F_OK), 0);
	assert_int_equal(access(index[2], F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unused_indexes_go),
		TEST(those_unused_longest_go_first_past_the_bound),
		TEST(set_in_use_that_does_not_fit_keeps_a_fixed_part),
		TEST(nothing_of_others_is_touched),
		TEST(halves_of_killed_writers_go_after_an_hour),
		TEST(mark_of_the_next_seconds_is_one_of_now),
		TEST(sweeps_are_rare),
		TEST(index_that_is_used_counts_as_new_and_one_of_a_rewritten_shard_goes),
	};
	return cmocka_run_group_tests_name("shard_index_sweep", tests, NULL, NULL);
}
