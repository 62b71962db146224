/* Files of other kinds are told by their first bytes, and have no records that could be left out. */
#include "common/record/foreign_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/record/record_reader.h"
#include "common/record/shard_index.h"
#include "tests/unit/record/shards.h"

static void known_kinds_are_named_with_the_way_out(void **state)
{
	(void)state;
	static const struct {
		const char *bytes, *kind;
	} cases[] = {
		{ "BZh91AY&SY", "a bzip2 file: unpack it with bunzip2" },
		{ "\x28\xb5\x2f\xfd\x24", "a zstd file: unpack it with unzstd" },
		{ "\xfd"
		  "7zXZ",
		  "an xz file" },
		{ "PK\x03\x04", "a zip archive" },
		{ "\x89HDF\r\n\x1a\n", "an HDF5 file" },
		{ "PAR1", "a Parquet file" },
		{ "<html><title>Quota exceeded", "an HTML page" },
		{ "version https://git-lfs", "a pointer of Git LFS: 'git lfs pull'" },
	};
	for (size_t i = 0; i < BD_COUNT_OF(cases); i++) {
		const char *kind = bd_foreign_file_kind((const uint8_t *)cases[i].bytes, strlen(cases[i].bytes));
		assert_non_null(kind);
		assert_non_null(strstr(kind, cases[i].kind));
	}
	static const uint8_t zeros[BD_FOREIGN_FILE_BYTES];
	assert_non_null(strstr(bd_foreign_file_kind(zeros, sizeof zeros), "zero bytes"));
	assert_null(bd_foreign_file_kind(zeros, 5));
	assert_null(bd_foreign_file_kind((const uint8_t *)"BZ", 2));
	assert_null(bd_foreign_file_kind((const uint8_t *)"some other text", 15));
}

/* A record of so many bytes begins with that number: a length may look like a signature. */
static void record_whose_length_looks_like_a_signature_is_read(void **state)
{
	(void)state;
	struct shard shard = { 0 };
	struct bd_record_reader reader;
	struct bd_record record;
	shard_record(&shard, 1, 0x685a42); /* "BZh" */
	int fd = shard_file(&shard);
	assert_non_null(bd_foreign_file_kind(shard.bytes, BD_FOREIGN_FILE_BYTES));
	assert_int_equal(bd_record_reader_init(&reader, fd, BD_COMPRESSION_AUTO, true, 0, NULL), 0);
	assert_int_equal(bd_record_reader_next(&reader, &record, NULL), 1);
	assert_int_equal(record.damage, BD_DAMAGE_NONE);
	assert_int_equal(bd_record_reader_next(&reader, &record, NULL), 0);
	bd_record_reader_finish(&reader);
	close(fd);
	shard_free(&shard);
}

/* What the index says of `shard`: its reason, NULL where it is a shard. */
static const char *foreign_reason(const struct shard *shard, uint64_t *ret_count)
{
	static char text[BD_DAMAGE_REASON_BYTES];
	struct bd_shard_index *index;
	const char *reason;
	int fd = shard_file(shard);
	assert_int_equal(bd_shard_index_open_fd(fd, "shard", &(struct bd_index_options){ .ignore_text = true }, &index, NULL), 0);
	bool foreign = bd_shard_index_is_foreign(index, &reason);
	if (foreign)
		memcpy(text, reason, strlen(reason) + 1);
	*ret_count = bd_shard_index_count(index);
	bd_shard_index_destroy(index);
	close(fd);
	return foreign ? text : NULL;
}

/* zstd and others hold what they cannot pack as it is: whole records among them. */
static void records_inside_another_kind_of_file_are_not_found(void **state)
{
	(void)state;
	struct shard shard = { 0 };
	uint64_t count;
	shard_append(&shard, "\x28\xb5\x2f\xfd\x24\0\0\0", 8);
	shard_record(&shard, 1, 100);
	shard_record(&shard, 2, 100);
	assert_string_equal(foreign_reason(&shard, &count),
	                    "no TFRecord shard but a zstd file: unpack it with unzstd, or compress it with gzip instead");
	assert_int_equal(count, 1);
	shard_free(&shard);
}

/* A format without a signature, as Hadoop's snappy: a record here and there is no shard. */
static void file_that_is_mostly_no_records_is_foreign(void **state)
{
	(void)state;
	struct shard shard = { 0 };
	uint64_t count;
	for (size_t i = 0; i < 4; i++) {
		shard_append(&shard, "0123456789012345678901234567890123456789012345678901234567890123456789", 70);
		shard_record(&shard, i, 10);
	}
	assert_non_null(strstr(foreign_reason(&shard, &count), "is this a TFRecord file?"));
	shard_free(&shard);
}

static void shard_whose_first_record_is_damaged_is_still_one(void **state)
{
	(void)state;
	struct shard shard = shard_of(5, 50);
	uint64_t count;
	shard.bytes[8] ^= 1;
	assert_null(foreign_reason(&shard, &count));
	assert_int_equal(count, 5);
	shard_free(&shard);
}

static void text_is_foreign_and_a_cut_shard_is_not(void **state)
{
	(void)state;
	struct shard text = { 0 }, cut = shard_of(1, 50);
	uint64_t count;
	shard_append(&text, "0 416\n416 416\n832 416\n", 22);
	assert_non_null(strstr(foreign_reason(&text, &count), "is this a TFRecord file?"));
	cut.length -= 5; /* a shard, whose only record is cut off */
	assert_null(foreign_reason(&cut, &count));
	shard_free(&text);
	shard_free(&cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_kinds_are_named_with_the_way_out),
		cmocka_unit_test(record_whose_length_looks_like_a_signature_is_read),
		cmocka_unit_test(records_inside_another_kind_of_file_are_not_found),
		cmocka_unit_test(file_that_is_mostly_no_records_is_foreign),
		cmocka_unit_test(shard_whose_first_record_is_damaged_is_still_one),
		cmocka_unit_test(text_is_foreign_and_a_cut_shard_is_not),
	};
	return cmocka_run_group_tests_name("foreign_file", tests, NULL, NULL);
}
