#include "common/record/record_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>

#include "common/base/arithmetic.h"
#include "common/base/sha256.h"
#include "tests/support/golden.h"
#include "tests/unit/record/shards.h"

/* What reading a whole shard gives. */
struct outcome {
	uint64_t good, damaged;
	enum bd_damage first_damage;
	uint64_t first_damaged_record, first_damaged_offset;
	char reason[BD_DAMAGE_REASON_BYTES];
	char sha256[64][BD_SHA256_HEX_BYTES]; /* of the first good ones */
	uint64_t lengths[64];
};

static struct outcome read_fd(int fd, enum bd_compression compression, bool bodies)
{
	struct outcome outcome = { 0 };
	struct bd_record_reader reader;
	struct bd_record record;
	assert_int_equal(bd_record_reader_init(&reader, fd, compression, bodies, 0, NULL), 0);
	uint64_t expected = 0;
	int result;
	while ((result = bd_record_reader_next(&reader, &record, NULL)) > 0) {
		assert_int_equal(record.number, expected++);
		if (record.damage != BD_DAMAGE_NONE) {
			if (!outcome.damaged++) {
				outcome.first_damage = record.damage;
				outcome.first_damaged_record = record.number;
				outcome.first_damaged_offset = record.offset;
				memcpy(outcome.reason, record.reason, sizeof outcome.reason);
			}
			continue;
		}
		if (bodies && outcome.good < BD_COUNT_OF(outcome.sha256)) {
			bd_sha256_hex(record.data, record.length, outcome.sha256[outcome.good]);
			outcome.lengths[outcome.good] = record.length;
		}
		outcome.good++;
	}
	assert_int_equal(result, 0);
	bd_record_reader_finish(&reader);
	return outcome;
}

static struct outcome read_shard(const struct shard *shard, enum bd_compression compression)
{
	int fd = shard_file(shard);
	struct outcome outcome = read_fd(fd, compression, true), skimmed = read_fd(fd, compression, false);
	close(fd);
	/* without bodies everything is seen but a wrong data CRC */
	if (outcome.damaged == 0 || outcome.first_damage != BD_DAMAGE_DATA_CRC) {
		assert_int_equal(skimmed.good, outcome.good);
		assert_int_equal(skimmed.damaged, outcome.damaged);
	}
	return outcome;
}

static void all_compressions_and_sizes_read_back(void **state)
{
	(void)state;
	const size_t lengths[] = { 0, 1, 100, 5000, 70000, 600000 };
	for (size_t i = 0; i < BD_COUNT_OF(lengths); i++) {
		struct shard plain = shard_of(9, lengths[i]);
		struct outcome outcome = read_shard(&plain, BD_COMPRESSION_AUTO);
		assert_int_equal(outcome.good, 9);
		assert_int_equal(outcome.damaged, 0);
		for (enum bd_compression c = BD_COMPRESSION_GZIP; c <= BD_COMPRESSION_ZLIB; c++) {
			struct shard packed = shard_compressed(&plain, c);
			struct outcome other = read_shard(&packed, BD_COMPRESSION_AUTO);
			assert_int_equal(other.good, 9);
			assert_int_equal(other.damaged, 0);
			assert_memory_equal(other.sha256, outcome.sha256, sizeof outcome.sha256);
			shard_free(&packed);
		}
		shard_free(&plain);
	}
}

static void bad_length_crc_costs_one_record(void **state)
{
	(void)state;
	for (enum bd_compression c = BD_COMPRESSION_NONE; c <= BD_COMPRESSION_ZLIB; c++) {
		struct shard plain = shard_of(10, 1000);
		plain.bytes[3 * 1016 + 8] ^= 1;
		plain.bytes[5 * 1016 + 1] ^= 1;
		struct shard shard = c == BD_COMPRESSION_NONE ? (struct shard){ 0 } : shard_compressed(&plain, c);
		struct outcome outcome = read_shard(c == BD_COMPRESSION_NONE ? &plain : &shard, c);
		assert_int_equal(outcome.good, 8);
		assert_int_equal(outcome.damaged, 2);
		assert_int_equal(outcome.first_damage, BD_DAMAGE_LENGTH_CRC);
		assert_int_equal(outcome.first_damaged_record, 3);
		assert_int_equal(outcome.first_damaged_offset, 3 * 1016);
		shard_free(&shard);
		shard_free(&plain);
	}
}

static void bad_data_crc_costs_one_record(void **state)
{
	(void)state;
	struct shard shard = shard_of(10, 1000);
	shard.bytes[4 * 1016 + 500] ^= 1;
	struct outcome outcome = read_shard(&shard, BD_COMPRESSION_AUTO);
	assert_int_equal(outcome.good, 9);
	assert_int_equal(outcome.damaged, 1);
	assert_int_equal(outcome.first_damage, BD_DAMAGE_DATA_CRC);
	assert_int_equal(outcome.first_damaged_record, 4);
	shard_free(&shard);
}

static void length_larger_than_the_file_resumes_at_the_next_header(void **state)
{
	(void)state;
	struct shard shard = shard_of(10, 1000);
	bd_tfrecord_header((uint64_t)1 << 40, shard.bytes + 4 * 1016);
	struct outcome outcome = read_shard(&shard, BD_COMPRESSION_AUTO);
	assert_int_equal(outcome.good, 9);
	assert_int_equal(outcome.damaged, 1);
	assert_int_equal(outcome.first_damage, BD_DAMAGE_TRUNCATED);
	shard_free(&shard);
}

static void every_truncation_is_told_with_its_record(void **state)
{
	(void)state;
	struct shard whole = shard_of(3, 20);
	for (size_t length = 0; length <= whole.length; length++) {
		struct shard cut = { .bytes = whole.bytes, .length = length };
		struct outcome outcome = read_shard(&cut, BD_COMPRESSION_NONE);
		assert_int_equal(outcome.good, length / 36);
		assert_int_equal(outcome.damaged, length % 36 != 0);
		if (outcome.damaged) {
			assert_int_equal(outcome.first_damage, BD_DAMAGE_TRUNCATED);
			assert_int_equal(outcome.first_damaged_record, length / 36);
			assert_int_equal(outcome.first_damaged_offset, length / 36 * 36);
		}
	}
	shard_free(&whole);
}

static void rubbish_is_one_damaged_record(void **state)
{
	(void)state;
	struct shard shard = { 0 };
	for (int i = 0; i < 20000; i++)
		shard_append(&shard, "no TFRecord ", 12);
	struct outcome outcome = read_shard(&shard, BD_COMPRESSION_AUTO);
	assert_int_equal(outcome.good, 0);
	assert_int_equal(outcome.damaged, 1);
	assert_non_null(strstr(outcome.reason, "is this a TFRecord file?"));
	shard_free(&shard);
}

static void many_damaged_ranges_are_bounded(void **state)
{
	(void)state;
	struct shard shard = { 0 };
	for (size_t i = 0; i < 2 * BD_SHARD_MAX_DAMAGE; i++) {
		shard_append(&shard, "?", 1);
		shard_record(&shard, i, 0);
	}
	struct outcome outcome = read_shard(&shard, BD_COMPRESSION_NONE);
	assert_int_equal(outcome.damaged, BD_SHARD_MAX_DAMAGE);
	shard_free(&shard);
}

static void record_over_the_limit_is_efbig(void **state)
{
	(void)state;
	struct shard shard = shard_of(2, 5000);
	struct bd_record_reader reader;
	struct bd_record record;
	int fd = shard_file(&shard);
	assert_int_equal(bd_record_reader_init(&reader, fd, BD_COMPRESSION_AUTO, true, 4999, NULL), 0);
	assert_int_equal(bd_record_reader_next(&reader, &record, NULL), -EFBIG);
	bd_record_reader_finish(&reader);
	close(fd);
	shard_free(&shard);
}

/* A compressed length field that promises a gibibyte costs no memory: 1 TiB here would fail at once. */
static void promised_length_in_a_compressed_shard_is_truncated(void **state)
{
	(void)state;
	struct shard plain = shard_of(2, 50);
	uint8_t header[BD_TFRECORD_HEADER_BYTES];
	bd_tfrecord_header((uint64_t)1 << 30, header);
	shard_append(&plain, header, sizeof header);
	shard_append(&plain, "few bytes", 9);
	struct shard packed = shard_compressed(&plain, BD_COMPRESSION_GZIP);
	struct outcome outcome = read_shard(&packed, BD_COMPRESSION_AUTO);
	assert_int_equal(outcome.good, 2);
	assert_int_equal(outcome.first_damage, BD_DAMAGE_TRUNCATED);
	shard_free(&packed);
	shard_free(&plain);
}

static void folders_and_pipes_are_refused(void **state)
{
	(void)state;
	struct bd_record_reader reader;
	int pipes[2], folder = open("/", O_RDONLY | O_DIRECTORY);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(bd_record_reader_init(&reader, folder, BD_COMPRESSION_AUTO, true, 0, NULL), -EISDIR);
	assert_int_equal(bd_record_reader_init(&reader, pipes[0], BD_COMPRESSION_AUTO, true, 0, NULL), -ESPIPE);
	close(pipes[0]);
	close(pipes[1]);
	close(folder);
}

/* ---- golden files ---- */

static struct outcome read_golden(const char *name, enum bd_compression compression)
{
	char relative[256], path[512];
	snprintf(relative, sizeof relative, "golden/tfrecords/%s", name);
	assert_true(bd_shared_path(relative, path, sizeof path));
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	struct outcome outcome = read_fd(fd, compression, true);
	close(fd);
	return outcome;
}

static void check_sha256s(const struct outcome *outcome, const char *list)
{
	for (uint64_t i = 0; i < outcome->good; i++) {
		assert_memory_equal(list, outcome->sha256[i], 64);
		list += 64 + (list[64] == ',');
	}
	assert_int_equal(*list, 0);
}

/* Damaged framing: as many good records as TensorFlow reads come first, and where it sees a clean end there is an error. */
static void check_damaged(const struct bd_golden_cases *cases, const char *name)
{
	char value[4096];
	struct outcome outcome = read_golden(name, BD_COMPRESSION_AUTO);
	assert_true(bd_golden_value(cases, "good_records_before", value, sizeof value));
	if (outcome.first_damaged_record != strtoull(value, NULL, 10) || !outcome.damaged)
		fail_msg("%s: %d damaged, the first %d", name, (int)outcome.damaged, (int)outcome.first_damaged_record);
	assert_true(bd_golden_value(cases, "good_record_sha256", value, sizeof value));
	outcome.good = outcome.first_damaged_record;
	check_sha256s(&outcome, value);
}

static void check_gzip_damage(const char *name)
{
	const struct {
		const char *name;
		uint64_t good;
		enum bd_damage damage;
	} expected[] = {
		{ "gzip_bad_trailer_crc.tfrecord.gz", 6, BD_DAMAGE_COMPRESSION },
		{ "gzip_bad_trailer_size.tfrecord.gz", 6, BD_DAMAGE_COMPRESSION },
		{ "gzip_no_trailer.tfrecord.gz", 6, BD_DAMAGE_COMPRESSION },
		{ "gzip_cut_in_deflate.tfrecord.gz", 3, BD_DAMAGE_COMPRESSION },
		{ "gzip_trailing_garbage.tfrecord.gz", 6, BD_DAMAGE_COMPRESSION },
		{ "gzip_trailing_zeros.tfrecord.gz", 6, BD_DAMAGE_NONE },
	};
	for (size_t i = 0; i < BD_COUNT_OF(expected); i++) {
		if (strcmp(name, expected[i].name) != 0)
			continue;
		struct outcome outcome = read_golden(name, BD_COMPRESSION_AUTO);
		assert_int_equal(outcome.good, expected[i].good);
		assert_int_equal(outcome.damaged, expected[i].damage != BD_DAMAGE_NONE);
		assert_int_equal(outcome.first_damage, expected[i].damage);
	}
}

static void golden_framing_agrees(void **state)
{
	(void)state;
	char path[512], name[256], kind[64], value[4096];
	struct bd_golden_cases cases;
	if (!bd_shared_path("golden/tfrecords/index.txt", path, sizeof path)) {
		print_message("%s is missing\n", path);
		skip();
	}
	assert_true(bd_golden_cases_open(path, &cases));
	int seen = 0;
	for (; bd_golden_cases_next(&cases); seen++) {
		assert_true(bd_golden_value(&cases, "name", name, sizeof name));
		assert_true(bd_golden_value(&cases, "kind", kind, sizeof kind));
		if (!strcmp(kind, "damage")) {
			check_damaged(&cases, name);
		} else if (!strcmp(kind, "gzip_damage")) {
			check_gzip_damage(name);
		} else if (strcmp(name, "shards") != 0) {
			bool members = bd_golden_value(&cases, "records_in_file", value, sizeof value);
			if (!members)
				assert_true(bd_golden_value(&cases, "records", value, sizeof value));
			struct outcome outcome = read_golden(name, BD_COMPRESSION_AUTO);
			if (outcome.good != strtoull(value, NULL, 10) || outcome.damaged)
				fail_msg("%s: %d good, %d damaged", name, (int)outcome.good, (int)outcome.damaged);
		}
	}
	assert_int_equal(seen, 47);
	bd_golden_cases_close(&cases);
	struct outcome wrong = read_golden("plain.tfrecord", BD_COMPRESSION_GZIP);
	assert_int_equal(wrong.good, 0);
	assert_int_equal(wrong.first_damage, BD_DAMAGE_COMPRESSION);
	wrong = read_golden("gzip_read_as_plain.tfrecord.gz", BD_COMPRESSION_NONE);
	assert_int_equal(wrong.good, 0);
	assert_int_equal(wrong.first_damage, BD_DAMAGE_FOREIGN);
}

static uint64_t real_files, real_records, real_damaged;

static int read_real(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)walk;
	if (type != FTW_F)
		return 0;
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	struct outcome outcome = read_fd(fd, BD_COMPRESSION_AUTO, true);
	close(fd);
	real_files++;
	real_records += outcome.good;
	real_damaged += outcome.damaged;
	return 0;
}

static void real_files_read_without_damage(void **state)
{
	(void)state;
	char path[512];
	if (!bd_shared_path("data/tfrecords", path, sizeof path)) {
		print_message("%s is missing\n", path);
		skip();
	}
	assert_int_equal(nftw(path, read_real, 8, FTW_PHYS), 0);
	assert_int_equal(real_files, 62);
	assert_int_equal(real_records,
	                 1854 + 187 + 5 + 1304 + 3 + 5 + 3780 + 40 + 788 + 8 + 40 + 11641 + 28 + 30000 + 334 + 10500 + 32571);
	assert_int_equal(real_damaged, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_compressions_and_sizes_read_back),
		cmocka_unit_test(bad_length_crc_costs_one_record),
		cmocka_unit_test(bad_data_crc_costs_one_record),
		cmocka_unit_test(length_larger_than_the_file_resumes_at_the_next_header),
		cmocka_unit_test(every_truncation_is_told_with_its_record),
		cmocka_unit_test(rubbish_is_one_damaged_record),
		cmocka_unit_test(many_damaged_ranges_are_bounded),
		cmocka_unit_test(record_over_the_limit_is_efbig),
		cmocka_unit_test(promised_length_in_a_compressed_shard_is_truncated),
		cmocka_unit_test(folders_and_pipes_are_refused),
		cmocka_unit_test(golden_framing_agrees),
		cmocka_unit_test(real_files_read_without_damage),
	};
	return cmocka_run_group_tests_name("record_reader", tests, NULL, NULL);
}
