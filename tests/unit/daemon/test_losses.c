/* What damaged shards have lost, as records of other shards, an index or the size tell it. */
#include "daemon/data/losses.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/data/records.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#define SHARDS 4u
#define RECORDS 50u

static char *folder;
static double skip_limit;
static const char *on_error;

/* What a test learns of the dataset. */
struct outcome {
	int result;
	struct bd_error error;
	struct bd_losses losses;
	char notes[1024];
};

static char *shard_path(unsigned number)
{
	char name[32];
	snprintf(name, sizeof name, "%u.tfrecord", number);
	return bd_test_path(folder, name);
}

static void make_record(struct bd_example_writer *writer, uint64_t number, void *context)
{
	int64_t value = (int64_t)(number % 100 + 1000);
	(void)context;
	bd_example_writer_add_int64(writer, "label", &value, 1);
}

static void make_shard(unsigned number, enum bd_compression compression, uint64_t count)
{
	char *path = shard_path(number);
	bd_test_shard(path, compression, (uint64_t)number * RECORDS, count, make_record, NULL);
	free(path);
}

static void write_shard(unsigned number, const char *text)
{
	char *path = shard_path(number);
	bd_test_write_file(path, text, strlen(text));
	free(path);
}

static void cut_shard(unsigned number, double share)
{
	char *path = shard_path(number);
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(truncate(path, (off_t)((double)status.st_size * share)), 0);
	free(path);
}

static int setup(void **state)
{
	(void)state;
	folder = bd_test_folder();
	skip_limit = 0.01;
	on_error = "skip";
	for (unsigned i = 0; i < SHARDS; i++)
		make_shard(i, BD_COMPRESSION_NONE, RECORDS);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bd_test_folder_remove(folder);
	return 0;
}

static struct outcome look(void)
{
	struct outcome outcome = { .result = 0 };
	struct bd_dataset *dataset;
	struct bd_records records;
	char yaml[256];
	snprintf(yaml, sizeof yaml, "shards: '*.tfrecord'\nfeatures: {label: {type: int64}}\non_error: %s\n", on_error);
	assert_int_equal(bd_dataset_parse("t.yaml", folder, yaml, strlen(yaml), &dataset, NULL), 0);
	dataset->skip_limit = skip_limit;
	assert_int_equal(bd_records_init(&records, dataset, NULL, NULL, NULL), 0);
	for (size_t i = 0; i < records.file_count; i++)
		assert_int_equal(bd_records_open_file(&records, i, NULL), 0);
	outcome.result = bd_records_settle(&records, &outcome.error);
	outcome.losses = records.losses;
	for (size_t i = 0; i < records.notes.count; i++)
		snprintf(outcome.notes + strlen(outcome.notes), sizeof outcome.notes - strlen(outcome.notes), "%s\n",
		         records.notes.texts[i]);
	bd_records_finish(&records);
	bd_dataset_destroy(dataset);
	return outcome;
}

static void whole_shards_have_lost_nothing(void **state)
{
	(void)state;
	struct outcome outcome = look();
	assert_int_equal(outcome.result, 0);
	assert_int_equal(outcome.losses.unseen, 0);
	assert_string_equal(outcome.notes, "");
}

static void file_in_place_of_a_shard_has_lost_as_many_as_its_siblings_have(void **state)
{
	(void)state;
	write_shard(2, "<html><title>Quota exceeded</title></html>\n");
	struct outcome outcome = look();
	assert_int_equal(outcome.result, -EBADMSG);
	assert_non_null(strstr(outcome.error.text, "2.tfrecord: no TFRecord shard but an HTML page"));
	assert_non_null(strstr(outcome.error.text, "about 50 of 200 records of the dataset are lost, more than skip_limit 0.01"));
	skip_limit = 0.3;
	outcome = look();
	assert_int_equal(outcome.result, 0);
	assert_int_equal(outcome.losses.unseen, RECORDS - 1);
	assert_non_null(strstr(outcome.notes, "about 50 of its records are lost"));
}

static void empty_shard_among_equal_ones_has_lost_as_many(void **state)
{
	(void)state;
	write_shard(1, "");
	struct outcome outcome = look();
	assert_int_equal(outcome.result, -EBADMSG);
	assert_non_null(strstr(outcome.error.text, "1.tfrecord: is empty; about 50 of 200 records"));
	/* shards of any length may be empty, too */
	make_shard(0, BD_COMPRESSION_NONE, 3);
	make_shard(2, BD_COMPRESSION_NONE, 90);
	outcome = look();
	assert_int_equal(outcome.result, 0);
	assert_int_equal(outcome.losses.unseen, 0);
	assert_non_null(strstr(outcome.notes, "1 of 4 shards is empty (0 bytes)"));
}

static void shard_that_was_cut_off_has_lost_the_rest(void **state)
{
	(void)state;
	for (enum bd_compression c = BD_COMPRESSION_NONE; c <= BD_COMPRESSION_GZIP; c++) {
		make_shard(3, c, RECORDS);
		cut_shard(3, 0.51); /* not between two records */
		struct outcome outcome = look();
		assert_int_equal(outcome.result, -EBADMSG);
		assert_non_null(strstr(outcome.error.text, "3.tfrecord: "));
		assert_non_null(strstr(outcome.error.text, "of 200 records of the dataset are lost"));
	}
}

/* Where siblings differ, an index beside the shard knows. */
static void index_beside_the_shard_says_how_many_there_were(void **state)
{
	(void)state;
	char *path = shard_path(2), *beside = bd_test_path(folder, "2.tfrecord.idx");
	struct bd_shard_index *index;
	make_shard(0, BD_COMPRESSION_NONE, 3);
	make_shard(1, BD_COMPRESSION_NONE, 90);
	make_shard(2, BD_COMPRESSION_NONE, 70);
	assert_int_equal(bd_shard_index_open(path, &(struct bd_index_options){ .ignore_text = true }, &index, NULL), 0);
	assert_int_equal(bd_shard_index_write_text(index, beside, false, NULL), 0);
	bd_shard_index_destroy(index);
	write_shard(2, "<html>");
	skip_limit = 0.5;
	struct outcome outcome = look();
	assert_int_equal(outcome.result, 0);
	assert_int_equal(outcome.losses.unseen, 69);
	free(path);
	free(beside);
}

static void shard_that_nothing_is_known_of_counts_as_a_shard(void **state)
{
	(void)state;
	make_shard(0, BD_COMPRESSION_NONE, 3);
	make_shard(1, BD_COMPRESSION_NONE, 90);
	write_shard(2, "<html>");
	struct outcome outcome = look();
	assert_int_equal(outcome.result, -EBADMSG);
	assert_non_null(strstr(outcome.error.text, "1 of 4 shards cannot be read at all, more than skip_limit 0.01"));
	skip_limit = 0.25;
	outcome = look();
	assert_int_equal(outcome.result, 0);
	assert_int_equal(outcome.losses.shards, 1);
	assert_non_null(strstr(outcome.notes, "how many of its records are lost is not known"));
}

/* A header in the middle that is wrong, and the next ones too: the range has the size of several records. */
static void damage_in_the_middle_counts_by_its_size(void **state)
{
	(void)state;
	char *path = shard_path(1);
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	off_t record = status.st_size / RECORDS;
	for (off_t i = 10; i < 14; i++)
		bd_test_damage(path, i * record + 8);
	struct outcome outcome = look();
	assert_int_equal(outcome.result, -EBADMSG);
	assert_non_null(strstr(outcome.error.text, "about 4 of 200 records"));
	skip_limit = 0.02;
	outcome = look();
	assert_int_equal(outcome.result, 0);
	assert_int_equal(outcome.losses.unseen, 3);
	free(path);
}

/* One record is seen when it is read, and counted there. */
static void one_damaged_record_is_left_to_the_reader(void **state)
{
	(void)state;
	char *path = shard_path(1);
	bd_test_damage(path, 8);
	skip_limit = 0;
	struct outcome outcome = look();
	assert_int_equal(outcome.result, 0);
	assert_int_equal(outcome.losses.unseen, 0);
	free(path);
}

static void nothing_to_skip_where_no_shard_is_one(void **state)
{
	(void)state;
	skip_limit = 1;
	for (unsigned i = 0; i < SHARDS; i++)
		write_shard(i, "BZh91AY&SY");
	struct outcome outcome = look();
	assert_int_equal(outcome.result, -EBADMSG);
	assert_non_null(strstr(outcome.error.text, "0.tfrecord: no TFRecord shard but a bzip2 file"));
}

static void without_skip_a_file_of_another_kind_is_refused(void **state)
{
	(void)state;
	on_error = "fail";
	write_shard(2, "<html>");
	struct outcome outcome = look();
	assert_int_equal(outcome.result, -EBADMSG);
	assert_non_null(strstr(outcome.error.text, "2.tfrecord: no TFRecord shard but an HTML page"));
	assert_null(strstr(outcome.error.text, "skip"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(whole_shards_have_lost_nothing),
		TEST(file_in_place_of_a_shard_has_lost_as_many_as_its_siblings_have),
		TEST(empty_shard_among_equal_ones_has_lost_as_many),
		TEST(shard_that_was_cut_off_has_lost_the_rest),
		TEST(index_beside_the_shard_says_how_many_there_were),
		TEST(shard_that_nothing_is_known_of_counts_as_a_shard),
		TEST(damage_in_the_middle_counts_by_its_size),
		TEST(one_damaged_record_is_left_to_the_reader),
		TEST(nothing_to_skip_where_no_shard_is_one),
		TEST(without_skip_a_file_of_another_kind_is_refused),
	};
	return cmocka_run_group_tests_name("losses", tests, NULL, NULL);
}
