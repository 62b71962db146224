/* Kept indexes that are not those of their shard: an archive gives a file back its size, its time and often its inode. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/record/shard_index_parts.h"
#include "tests/support/records.h"
#include "tests/unit/record/shards.h"

static char *folder, *shard_path, *cache;

static int setup(void **state)
{
	(void)state;
	folder = bd_test_folder();
	shard_path = bd_test_path(folder, "shard");
	cache = bd_test_path(folder, "cache");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(shard_path);
	free(cache);
	bd_test_folder_remove(folder);
	return 0;
}

/* Records of these lengths, given in turn. */
static struct shard make_shard(size_t count, size_t even, size_t odd)
{
	struct shard shard = { 0 };
	for (size_t i = 0; i < count; i++)
		shard_record(&shard, i, i % 2 ? odd : even);
	return shard;
}

static struct bd_shard_index *open_index(struct bd_notes *notes)
{
	struct bd_index_options options = { .cache_folder = cache, .notes = notes };
	struct bd_shard_index *index = NULL;
	struct bd_error error = { 0 };
	if (bd_shard_index_open(shard_path, &options, &index, &error) != 0)
		fail_msg("%s", error.text);
	return index;
}

/* The shard's place in the cache gets the index of another one with the same key. */
static void keep_index_of(const struct shard *other)
{
	struct stat status;
	struct bd_shard_index *index;
	int fd = shard_file(other);
	assert_int_equal(bd_shard_index_open_fd(fd, "other", &(struct bd_index_options){ .ignore_text = true }, &index, NULL), 0);
	assert_int_equal(stat(shard_path, &status), 0);
	index->key = bd_shard_key_of(&status);
	bd_shard_index_store_cached(cache, index);
	bd_shard_index_destroy(index);
	close(fd);
}

static void check_length(const struct bd_shard_index *index, uint64_t record, uint64_t length)
{
	assert_false(bd_shard_index_entry(index, record).damaged);
	assert_int_equal(bd_shard_index_entry(index, record).length, length);
}

static void same_size_time_and_inode_with_other_records_is_indexed_again(void **state)
{
	(void)state;
	struct shard first = make_shard(20, 100, 200), second = make_shard(20, 200, 100);
	struct stat status;
	assert_int_equal(first.length, second.length);
	bd_test_write_file(shard_path, first.bytes, first.length);
	bd_shard_index_destroy(open_index(NULL));
	assert_int_equal(stat(shard_path, &status), 0);
	usleep(20000); /* past the clock tick of ctime */
	bd_test_write_file(shard_path, second.bytes, second.length);
	assert_int_equal(utimensat(AT_FDCWD, shard_path, (struct timespec[2]){ status.st_atim, status.st_mtim }, 0), 0);
	struct bd_notes notes;
	bd_notes_init(&notes);
	struct bd_shard_index *index = open_index(&notes);
	check_length(index, 0, 200);
	check_length(index, 1, 100);
	assert_int_equal(notes.count, 0); /* its change time told, before any header was looked at */
	bd_notes_finish(&notes);
	bd_shard_index_destroy(index);
	shard_free(&first);
	shard_free(&second);
}

static void an_index_that_does_not_fit_is_made_anew_once_and_said(void **state)
{
	(void)state;
	for (enum bd_compression c = BD_COMPRESSION_NONE; c <= BD_COMPRESSION_ZLIB; c++) {
		struct shard plain = make_shard(20, 100, 200), plain_other = make_shard(20, 200, 100);
		struct shard shard = plain, other = plain_other;
		if (c != BD_COMPRESSION_NONE) {
			shard = shard_compressed(&plain, c);
			other = shard_compressed(&plain_other, c);
		}
		bd_test_write_file(shard_path, shard.bytes, shard.length);
		keep_index_of(&other);
		for (size_t round = 0; round < 2; round++) {
			struct bd_notes notes;
			bd_notes_init(&notes);
			struct bd_shard_index *index = open_index(&notes);
			check_length(index, 0, 100);
			assert_int_equal(notes.count, round ? 0 : 1);
			if (!round)
				assert_non_null(strstr(notes.texts[0], "the kept index does not fit the shard"));
			bd_shard_index_destroy(index);
			bd_notes_finish(&notes);
		}
		if (c != BD_COMPRESSION_NONE) {
			shard_free(&shard);
			shard_free(&other);
		}
		shard_free(&plain);
		shard_free(&plain_other);
	}
}

static void a_mode_that_changes_is_no_change_of_the_shard(void **state)
{
	(void)state;
	struct shard shard = make_shard(3, 10, 10);
	bd_test_write_file(shard_path, shard.bytes, shard.length);
	struct bd_shard_index *index = open_index(NULL);
	int fd = open(shard_path, O_RDONLY);
	usleep(20000); /* past the clock tick of ctime */
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_true(bd_shard_index_is_current(index, fd));
	close(fd);
	bd_shard_index_destroy(index);
	shard_free(&shard);
}

static void an_index_beside_another_shard_is_said_and_not_used(void **state)
{
	(void)state;
	struct shard shard = make_shard(20, 100, 200), other = make_shard(20, 200, 100);
	char *beside = bd_test_path(folder, "shard.idx");
	struct bd_notes notes;
	bd_notes_init(&notes);
	bd_test_write_file(shard_path, other.bytes, other.length);
	struct bd_shard_index *index = open_index(NULL);
	bd_test_write_file(shard_path, shard.bytes, shard.length);
	assert_int_equal(bd_shard_index_write_text(index, beside, false, NULL), 0);
	bd_shard_index_destroy(index);
	index = open_index(&notes);
	check_length(index, 0, 100);
	assert_int_equal(notes.count, 1);
	assert_non_null(strstr(notes.texts[0], "shard.idx: is no index of the shard beside it"));
	bd_shard_index_destroy(index);
	bd_notes_finish(&notes);
	free(beside);
	shard_free(&shard);
	shard_free(&other);
}

/* Two neighbours that no compared header is behind. */
static void an_entry_that_does_not_fit_is_estale_and_ends_the_kept_index(void **state)
{
	(void)state;
	struct shard shard = { 0 }, other = { 0 };
	for (size_t i = 0; i < 1000; i++) {
		shard_record(&shard, i, i == 501 ? 90 : i == 502 ? 110 : 100);
		shard_record(&other, i, 100);
	}
	struct bd_error error = { 0 };
	bd_test_write_file(shard_path, shard.bytes, shard.length);
	keep_index_of(&other);
	struct bd_shard_index *index = open_index(NULL);
	check_length(index, 502, 100);
	int fd = open(shard_path, O_RDONLY);
	assert_int_equal(bd_shard_index_check_entry(index, fd, shard_path, cache, 500, &error), 0);
	assert_int_equal(bd_shard_index_check_entry(index, fd, shard_path, cache, 502, &error), -ESTALE);
	assert_non_null(strstr(error.text, "the index does not fit record 502"));
	bd_shard_index_destroy(index);
	index = open_index(NULL);
	check_length(index, 502, 110);
	assert_int_equal(bd_shard_index_check_entry(index, fd, shard_path, cache, 502, &error), 0);
	close(fd);
	bd_shard_index_destroy(index);
	shard_free(&shard);
	shard_free(&other);
}

/* No right to read, no memory, a failing disk: the file is the same, and the reason is told. */
static void file_that_cannot_be_read_has_not_changed(void **state)
{
	(void)state;
	struct shard shard = make_shard(3, 10, 10);
	struct bd_error error = { 0 };
	bd_test_write_file(shard_path, shard.bytes, shard.length);
	struct bd_shard_index *index = open_index(NULL);
	int fd = open(shard_path, O_WRONLY);
	assert_int_equal(bd_shard_index_fits(fd, index, &error), -EBADF);
	assert_int_equal(bd_shard_index_check_entry(index, fd, shard_path, cache, 1, &error), -EBADF);
	assert_non_null(strstr(error.text, "Bad file descriptor"));
	close(fd);
	assert_true(bd_shard_index_is_current(index, fd));
	bd_shard_index_destroy(index);
	shard_free(&shard);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(same_size_time_and_inode_with_other_records_is_indexed_again),
		TEST(an_index_that_does_not_fit_is_made_anew_once_and_said),
		TEST(a_mode_that_changes_is_no_change_of_the_shard),
		TEST(an_index_beside_another_shard_is_said_and_not_used),
		TEST(file_that_cannot_be_read_has_not_changed),
		TEST(an_entry_that_does_not_fit_is_estale_and_ends_the_kept_index),
	};
	return cmocka_run_group_tests_name("kept_index", tests, NULL, NULL);
}
