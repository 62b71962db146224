/*
 * What the daemon reads fails under it, or is not there: one test a row of the failure table's "Resources". Of each: what the trainer is
 * told, and that the daemon goes on, serves good data as before and has kept nothing.
 */
#include "tests/integration/damaged_file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LABELS "features: {label: {type: int64}}\n"

static void make_label(struct bd_example_writer *writer, uint64_t number, void *context)
{
	int64_t label = (int64_t)number;
	(void)context;
	bd_example_writer_add_int64(writer, "label", &label, 1);
}

static char *make_shard(const char *name, uint64_t first, uint64_t count)
{
	char *path = bd_test_path(folder, name);
	bd_test_shard(path, BD_COMPRESSION_NONE, first, count, make_label, NULL);
	return path;
}

static void expect_rows(const char *yaml, uint32_t batch, const char *rows)
{
	struct bd_test_reading reading;
	bd_test_read(batchd, folder, yaml, batch, &reading);
	if (reading.result != -ENODATA)
		fail_msg("%s", reading.error.text);
	assert_string_equal(reading.rows, rows);
}

static void expect_refusal(const char *yaml, const char *reason)
{
	struct bd_test_reading reading;
	bd_test_read(batchd, folder, yaml, 4, &reading);
	assert_string_equal(reading.rows, "");
	if (!strstr(reading.error.text, reason) || strchr(reading.error.text, '\n'))
		fail_msg("%s: not one line with '%s': %s", yaml, reason, reading.error.text);
}

/* ---- too little ---- */

static void empty_shard(void **state)
{
	(void)state;
	free(make_shard("0.tfrecord", 0, 2));
	free(make_shard("1.tfrecord", 2, 0));
	free(make_shard("2.tfrecord", 2, 2));
	expect_rows("shards: '*.tfrecord'\n" LABELS, 3, "0=0 1=1 2=2 3=3");
	expect_rows("shards: [1.tfrecord, 2.tfrecord]\n" LABELS, 3, "0=2 1=3");
	expect_rows("shards: [2.tfrecord, 1.tfrecord]\n" LABELS, 3, "0=2 1=3");
	expect_refusal("shards: 1.tfrecord\n" LABELS, "no records");
	expect_unharmed();
}

static void shard_of_one_record(void **state)
{
	(void)state;
	free(make_shard("0.tfrecord", 7, 1));
	free(make_shard("1.tfrecord", 8, 1));
	expect_rows("shards: 0.tfrecord\n" LABELS, 1, "0=7");
	expect_rows("shards: 0.tfrecord\n" LABELS, 100, "0=7");
	expect_rows("shards: '*.tfrecord'\n" LABELS, 1, "0=7 1=8");
	expect_unharmed();
}

static void empty_file_list(void **state)
{
	(void)state;
	char *path = bd_test_path(folder, "classes");
	assert_int_equal(mkdir(path, 0700), 0);
	free(path);
	expect_refusal("shards: []\n" LABELS, "shards");
	expect_refusal("shards: '*.tfrecord'\n" LABELS, "no file matches");
	expect_refusal("shards: {files: []}\nfeatures: {image: {type: image}}\n", "files");
	expect_refusal("shards: {folder: classes}\nfeatures: {image: {type: image}, label: {type: int64}}\n", "classes");
	expect_unharmed();
}

/* ---- a record ---- */

static void corrupt_record_inside_a_batch(void **state)
{
	(void)state;
	char *path = make_shard("0.tfrecord", 0, 12);
	struct stat status;
	struct bd_test_reading reading;
	assert_int_equal(stat(path, &status), 0);
	bd_test_damage(path, status.st_size / 12 * 6 - 5); /* data of record 5: the second of four in its batch */
	bd_test_read(batchd, folder, "shards: 0.tfrecord\n" LABELS, 4, &reading);
	assert_string_equal(reading.rows, "0=0 1=1 2=2 3=3");
	assert_non_null(strstr(reading.error.text, "0.tfrecord: record 5 at byte "));
	bd_test_read(batchd, folder, "shards: 0.tfrecord\n" LABELS "on_error: skip\nskip_limit: 1.0\n", 4, &reading);
	assert_int_equal(reading.result, -ENODATA);
	assert_string_equal(reading.rows, "0=0 1=1 2=2 3=3 4=4 6=6 7=7 8=8 9=9 10=10 11=11");
	assert_int_equal(reading.skipped, 1);
	assert_non_null(strstr(reading.quarantine, "record 5 of 0.tfrecord: data CRC"));
	expect_unharmed();
	free(path);
}

/* ---- shards that change ---- */

/* Reads an endless stream until it is told of what `change` did to its shard; good batches come until then. */
static void read_until_changed(void (*change)(const char *path))
{
	char *path = make_shard("0.tfrecord", 0, 400);
	struct bd_client *client;
	struct bd_stream *stream;
	struct bd_stream_spec spec;
	struct bd_batch batch;
	struct bd_error error;
	bd_stream_spec_init(&spec);
	spec.batch = 4;
	spec.epochs = 0;
	if (bd_client_connect(batchd->socket, NULL, &client, &error) < 0 ||
	    bd_test_open(client, folder, "shards: 0.tfrecord\n" LABELS, &spec, &stream, &error) < 0)
		fail_msg("%s", error.text);
	int result;
	for (uint64_t taken = 0; (result = bd_stream_next(stream, 60000, &batch, &error)) == 0; taken++) {
		for (uint32_t row = 0; row < batch.rows; row++)
			assert_int_equal(((const int64_t *)batch.arrays[0].data)[row], batch.records[row]);
		bd_stream_release(stream, &batch);
		if (taken == 10)
			change(path);
	}
	assert_int_equal(result, -ESTALE);
	if (!strstr(error.text, "0.tfrecord: ") || !strstr(error.text, "since the stream was opened"))
		fail_msg("%s", error.text);
	bd_stream_close(stream);
	bd_client_close(client);
	expect_unharmed();
	free(path);
}

static void cut_in_the_middle(const char *path)
{
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(truncate(path, status.st_size / 2), 0);
}

static void put_another_in_its_place(const char *path)
{
	char *fresh = make_shard("fresh", 1000, 400);
	assert_int_equal(rename(fresh, path), 0);
	free(fresh);
}

static void shard_truncated_while_it_is_read(void **state)
{
	(void)state;
	read_until_changed(cut_in_the_middle);
}

static void shard_replaced_while_it_is_read(void **state)
{
	(void)state;
	read_until_changed(put_another_in_its_place);
}

/* ---- descriptors ---- */

static void more_shards_than_descriptors_emfile(void **state)
{
	(void)state;
	static const char yaml[] = "shards: '*.tfrecord'\n" LABELS;
	struct rlimit few, before;
	struct bd_test_reading reading;
	for (unsigned i = 0; i < 200; i++) {
		char name[32];
		snprintf(name, sizeof name, "%03u.tfrecord", i);
		free(make_shard(name, i, 1));
	}
	assert_int_equal(prlimit(batchd->pid, RLIMIT_NOFILE, NULL, &before), 0);
	few = (struct rlimit){ .rlim_cur = bd_test_daemon_descriptors(batchd) + 60, .rlim_max = before.rlim_max };
	assert_int_equal(prlimit(batchd->pid, RLIMIT_NOFILE, &few, NULL), 0);
	expect_refusal(yaml, "Too many open files");
	/* no record is at fault: nothing may be skipped */
	expect_refusal("shards: '*.tfrecord'\non_error: skip\nskip_limit: 1.0\n" LABELS, "Too many open files");
	bd_test_daemon_wait_descriptors(batchd, descriptors); /* a worker may close the last ones after the refusal */
	bd_test_read_numbers(batchd);
	assert_int_equal(prlimit(batchd->pid, RLIMIT_NOFILE, &before, NULL), 0);
	bd_test_read(batchd, folder, yaml, 4, &reading);
	assert_int_equal(reading.result, -ENODATA);
	assert_non_null(strstr(reading.rows, "0=0 1=1 2=2 "));
	assert_non_null(strstr(reading.rows, " 198=198 199=199"));
	expect_unharmed();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(empty_shard, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(shard_of_one_record, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(empty_file_list, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(corrupt_record_inside_a_batch, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(shard_truncated_while_it_is_read, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(shard_replaced_while_it_is_read, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(more_shards_than_descriptors_emfile, make_folder, remove_folder),
	};
	return cmocka_run_group_tests_name("failing_resources", tests, start_daemon, stop_daemon);
}
