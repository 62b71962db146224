#include "tools/tfrecord/earlier_set.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char root[] = "/tmp/batchd-earlier-set-XXXXXX";

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static int make_root(void **state)
{
	(void)state;
	memcpy(root + sizeof root - 7, "XXXXXX", 6);
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *at(const char *name)
{
	static char path[512];
	snprintf(path, sizeof path, "%s/%s", root, name);
	return path;
}

static void make(const char *name, const char *text)
{
	FILE *file = fopen(at(name), "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static bool holds(const char *name, const char *text)
{
	char line[64] = "";
	FILE *file = fopen(at(name), "r");
	if (!file)
		return false;
	bool same = fgets(line, sizeof line, file) && !strcmp(line, text);
	fclose(file);
	return same;
}

static bool gone(const char *name)
{
	struct stat status;
	return lstat(at(name), &status) != 0 && errno == ENOENT;
}

/* Two shards and a dataset file in the folder `inner`, and files that are none of the set. */
static void make_set(const char *inner, const char *text)
{
	static const char *const files[] = { "set-00000-of-00002.tfrecord", "set-00001-of-00002.tfrecord", "set.yaml" };
	char name[200];
	mkdir(at(inner), 0700);
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "%s/%s", inner, files[i]);
		make(name, text);
	}
	make("settings-00000-of-00002.tfrecord", "other");
	make("set-00000-of-00002.tfrecord.idx", "other");
}

static struct bd_earlier_set *opened(void)
{
	struct bd_earlier_set *set = NULL;
	struct bd_error error = { 0 };
	if (bd_earlier_set_open(root, "set", &set, &error))
		fail_msg("%s", error.text);
	return set;
}

static void expect_the_old_set(void)
{
	assert_true(holds("set-00000-of-00002.tfrecord", "old") && holds("set-00001-of-00002.tfrecord", "old"));
	assert_true(holds("set.yaml", "old") && holds("settings-00000-of-00002.tfrecord", "other"));
	assert_true(gone(".set.moving") && gone(".set.old") && gone(".set.done"));
}

static void set_that_fails_comes_back(void **state)
{
	(void)state;
	make_set(".", "old");
	struct bd_earlier_set *set = opened();
	assert_non_null(bd_earlier_set_file(set));
	assert_int_equal(bd_earlier_set_move(set, NULL), 0);
	assert_true(gone("set.yaml") && holds("settings-00000-of-00002.tfrecord", "other"));
	make("set-00000-of-00005.tfrecord", "new");
	assert_int_equal(bd_earlier_set_restore(set, NULL), 0);
	expect_the_old_set();
	assert_true(gone("set-00000-of-00005.tfrecord"));
	assert_int_equal(bd_earlier_set_restore(set, NULL), 0);
	expect_the_old_set();
	bd_earlier_set_destroy(set);
}

static void set_that_is_replaced_goes(void **state)
{
	(void)state;
	make_set(".", "old");
	struct bd_earlier_set *set = opened();
	assert_int_equal(bd_earlier_set_move(set, NULL), 0);
	make("set.yaml", "new");
	assert_int_equal(bd_earlier_set_commit(set, NULL), 0);
	assert_int_equal(bd_earlier_set_restore(set, NULL), 0);
	assert_true(holds("set.yaml", "new"));
	assert_int_equal(bd_earlier_set_drop(set, NULL), 0);
	assert_true(holds("set.yaml", "new") && gone("set-00000-of-00002.tfrecord") && gone(".set.done"));
	bd_earlier_set_destroy(set);
}

/* killed while the files were moved aside: some here, some there */
static void files_on_their_way_are_put_back_by_the_next_run(void **state)
{
	(void)state;
	make_set(".set.moving", "old");
	char from[512];
	strcpy(from, at(".set.moving/set.yaml"));
	assert_int_equal(rename(from, at("set.yaml")), 0);
	bd_earlier_set_destroy(opened());
	expect_the_old_set();
}

/* killed while the new files got their names */
static void new_set_that_is_not_whole_is_removed_by_the_next_run(void **state)
{
	(void)state;
	make_set(".set.old", "old");
	make("set-00000-of-00002.tfrecord", "new");
	make("set-00003-of-00004.tfrecord", "new");
	bd_earlier_set_destroy(opened());
	expect_the_old_set();
	assert_true(gone("set-00003-of-00004.tfrecord"));
}

/* killed while the old files were removed */
static void new_set_that_is_whole_is_kept_by_the_next_run(void **state)
{
	(void)state;
	make_set(".set.done", "old");
	make_set(".", "new");
	struct bd_earlier_set *set = opened();
	assert_true(holds("set.yaml", "new") && holds("set-00001-of-00002.tfrecord", "new") && gone(".set.done"));
	/* and that run can replace it in its turn */
	assert_int_equal(bd_earlier_set_move(set, NULL), 0);
	assert_int_equal(bd_earlier_set_commit(set, NULL), 0);
	assert_int_equal(bd_earlier_set_drop(set, NULL), 0);
	assert_true(gone("set.yaml") && gone(".set.done"));
	bd_earlier_set_destroy(set);
}

static void folder_that_is_missing_has_no_set(void **state)
{
	(void)state;
	struct bd_earlier_set *set = NULL;
	assert_int_equal(bd_earlier_set_open(at("none"), "set", &set, NULL), 0);
	assert_null(bd_earlier_set_file(set));
	assert_int_equal(bd_earlier_set_move(set, NULL), 0);
	bd_earlier_set_destroy(set);
	assert_int_equal(bd_earlier_set_open("/dev/null", "set", &set, NULL), -ENOTDIR);
}

/* something of that name in the way: the earlier files stay where they are */
static void set_that_cannot_be_moved_stays(void **state)
{
	(void)state;
	struct bd_error error = { 0 };
	make_set(".", "old");
	struct bd_earlier_set *set = opened();
	make(".set.moving", "in the way");
	assert_int_equal(bd_earlier_set_move(set, &error), -EEXIST);
	assert_int_equal(unlink(at(".set.moving")), 0);
	expect_the_old_set();
	bd_earlier_set_destroy(set);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(set_that_fails_comes_back),
		TEST(set_that_is_replaced_goes),
		TEST(files_on_their_way_are_put_back_by_the_next_run),
		TEST(new_set_that_is_not_whole_is_removed_by_the_next_run),
		TEST(new_set_that_is_whole_is_kept_by_the_next_run),
		TEST(folder_that_is_missing_has_no_set),
		TEST(set_that_cannot_be_moved_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
