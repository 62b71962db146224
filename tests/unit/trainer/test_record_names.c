#include "trainer/learning/record_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/record/tfrecord.h"
#include "tests/unit/test.h"

static char folder[] = "/tmp/record-names-XXXXXX";

static void in_folder(const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", folder, name);
}

static void write_text(const char *name, const char *text)
{
	char path[256];
	in_folder(name, path, sizeof path);
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* A shard of so many records of 4 bytes: 20 bytes each with their framing. Only headers are looked at. */
static void write_shard(const char *name, int records)
{
	char path[256];
	in_folder(name, path, sizeof path);
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	for (int i = 0; i < records; i++) {
		uint8_t record[20] = { 0 };
		bd_tfrecord_header(4, record);
		assert_int_equal(fwrite(record, sizeof record, 1, file), 1);
	}
	fclose(file);
}

static void assert_name(struct bd_record_names *names, uint64_t record, const char *expected)
{
	char text[BD_RECORD_NAME_BYTES], real[BD_RECORD_NAME_BYTES];
	bd_record_names_format(names, record, text, sizeof text);
	if (expected[0] == '/')
		snprintf(real, sizeof real, "%s%s", folder, expected);
	else
		snprintf(real, sizeof real, "%s", expected);
	assert_string_equal(text, real);
}

static struct bd_record_names *names_of(const char *dataset, uint64_t records)
{
	char path[256];
	in_folder(dataset, path, sizeof path);
	return bd_record_names_create(path, records);
}

static void record_of_a_shard_has_its_file_and_byte(void **state)
{
	(void)state;
	struct bd_record_names *names = names_of("shards.yaml", 8);
	assert_name(names, 0, "/a.tfrecord: record 0 at byte 0");
	assert_name(names, 2, "/a.tfrecord: record 2 at byte 40");
	assert_name(names, 3, "/c.tfrecord: record 3 at byte 0");
	assert_name(names, 7, "/c.tfrecord: record 7 at byte 80");
	assert_name(names, 8, "record 8");
	bd_record_names_destroy(names);
}

static void record_that_is_a_picture_is_its_path(void **state)
{
	(void)state;
	struct bd_record_names *names = names_of("pictures.yaml", 2);
	assert_name(names, 1, "/pictures/dog/1.png");
	bd_record_names_destroy(names);
}

static void data_that_is_not_that_of_the_stream_is_not_named(void **state)
{
	(void)state;
	struct bd_record_names *more = names_of("shards.yaml", 9), *gone = names_of("nowhere.yaml", 8),
			       *unknown = bd_record_names_create(NULL, 8);
	assert_name(more, 1, "record 1");
	assert_name(gone, 1, "record 1");
	assert_name(unknown, 1, "record 1");
	assert_name(NULL, 1, "record 1");
	bd_record_names_destroy(more);
	bd_record_names_destroy(gone);
	bd_record_names_destroy(unknown);
	bd_record_names_destroy(NULL);
}

static int make_folder(void **state)
{
	(void)state;
	char path[256];
	if (!mkdtemp(folder))
		return -1;
	setenv("BATCHD_CACHE_DIR", folder, 1);
	write_shard("a.tfrecord", 3);
	write_shard("c.tfrecord", 5);
	write_text("shards.yaml", "shards: [a.tfrecord, c.tfrecord]\nfeatures: {label: {type: int64}}\n");
	write_text("pictures.yaml",
	           "shards: {folder: pictures}\nfeatures:\n  image: {type: image, resize: {height: 2, width: 2}}\n");
	static const char *const made[] = { "pictures", "pictures/cat", "pictures/dog" };
	for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
		in_folder(made[i], path, sizeof path);
		if (mkdir(path, 0700) < 0)
			return -1;
	}
	write_text("pictures/cat/0.png", "x");
	write_text("pictures/dog/1.png", "x");
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_of_a_shard_has_its_file_and_byte),
		cmocka_unit_test(record_that_is_a_picture_is_its_path),
		cmocka_unit_test(data_that_is_not_that_of_the_stream_is_not_named),
	};
	return cmocka_run_group_tests_name("record_names", tests, make_folder, remove_folder);
}
