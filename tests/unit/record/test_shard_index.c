#include "common/record/shard_index.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/record/crc32c.h"
#include "common/record/shard_index_parts.h"
#include "tests/support/golden.h"
#include "tests/unit/record/shards.h"

/* ---- a folder for each test ---- */

static char folder[] = "/tmp/batchd-test-index-XXXXXX";
static char shard_path[256], cache[256];

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static int make_folder(void **state)
{
	(void)state;
	memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
	if (!mkdtemp(folder))
		return -1;
	snprintf(shard_path, sizeof shard_path, "%s/shard", folder);
	snprintf(cache, sizeof cache, "%s/cache/indexes", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const void *bytes, size_t length)
{
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

static struct bd_shard_index *open_index(const struct bd_index_options *options)
{
	struct bd_shard_index *index = NULL;
	struct bd_error error = { 0 };
	if (bd_shard_index_open(shard_path, options, &index, &error) != 0)
		fail_msg("%s", error.text);
	return index;
}

static char *cached_path(void)
{
	DIR *listing = opendir(cache);
	struct dirent *entry;
	char *path = NULL;
	int files = 0;
	while (listing && (entry = readdir(listing)))
		if (entry->d_name[0] != '.') {
			free(path);
			assert_true(asprintf(&path, "%s/%s", cache, entry->d_name) > 0);
			files++;
		}
	if (listing)
		closedir(listing);
	assert_true(files <= 1); /* no temporary files are left */
	return path;
}

/* every record of the index, read through a cursor, backwards and forwards */
static void check_records(const struct bd_shard_index *index, const struct shard *plain)
{
	struct bd_shard_cursor *cursor;
	uint8_t *buffer = malloc(bd_shard_index_longest(index) + 4);
	int fd = open(shard_path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(bd_shard_cursor_create(&cursor, NULL), 0);
	uint64_t count = bd_shard_index_count(index);
	for (uint64_t i = 0; i < 2 * count; i++) {
		uint64_t record = i < count ? count - 1 - i : i - count;
		struct bd_index_entry entry = bd_shard_index_entry(index, record);
		assert_false(entry.damaged);
		assert_int_equal(bd_shard_cursor_read(cursor, index, fd, entry.offset, buffer, entry.length + 4, NULL), 0);
		assert_memory_equal(buffer, plain->bytes + entry.offset, entry.length + 4);
		assert_int_equal(bd_tfrecord_check_data(buffer, entry.length, buffer + entry.length, NULL), 0);
	}
	bd_shard_cursor_destroy(cursor);
	close(fd);
	free(buffer);
}

/* ---- ---- */

static void records_of_all_compressions_are_read_from_anywhere(void **state)
{
	(void)state;
	struct shard plain = shard_of(40, 70000);
	for (enum bd_compression c = BD_COMPRESSION_NONE; c <= BD_COMPRESSION_ZLIB; c++) {
		struct shard shard = c == BD_COMPRESSION_NONE ? shard_of(40, 70000) : shard_compressed(&plain, c);
		write_file(shard_path, shard.bytes, shard.length);
		struct bd_index_options options = { .compression = BD_COMPRESSION_AUTO, .cache_folder = cache };
		for (int round = 0; round < 2; round++) { /* made, then out of the cache */
			struct bd_shard_index *index = open_index(&options);
			assert_int_equal(bd_shard_index_count(index), 40);
			assert_int_equal(bd_shard_index_compression(index), c);
			assert_int_equal(bd_shard_index_bytes(index), plain.length);
			assert_int_equal(bd_shard_index_longest(index), 70000);
			assert_true(c == BD_COMPRESSION_NONE ? index->point_count == 0 : index->point_count >= 2);
			check_records(index, &plain);
			bd_shard_index_destroy(index);
		}
		shard_free(&shard);
	}
	shard_free(&plain);
}

static void several_members_have_access_points_too(void **state)
{
	(void)state;
	struct shard plain = { 0 }, packed = { 0 };
	for (size_t member = 0; member < 12; member++) {
		struct shard part = { 0 };
		for (size_t i = 0; i < member % 5; i++) /* some members are empty */
			shard_record(&part, 10 * member + i, 150000);
		struct shard part_packed = shard_compressed(&part, BD_COMPRESSION_GZIP);
		if (part.length)
			shard_append(&plain, part.bytes, part.length);
		shard_append(&packed, part_packed.bytes, part_packed.length);
		shard_free(&part);
		shard_free(&part_packed);
	}
	write_file(shard_path, packed.bytes, packed.length);
	struct bd_index_options options = { .cache_folder = NULL };
	struct bd_shard_index *index = open_index(&options);
	assert_int_equal(bd_shard_index_count(index), 21);
	assert_true(index->point_count > 1);
	check_records(index, &plain);
	bd_shard_index_destroy(index);
	shard_free(&packed);
	shard_free(&plain);
}

static void access_points_are_bounded(void **state)
{
	(void)state;
	struct shard plain = shard_of(200, 100000);
	struct shard packed = shard_compressed(&plain, BD_COMPRESSION_GZIP);
	write_file(shard_path, packed.bytes, packed.length);
	struct bd_index_options options = { .point_distance_bytes = 50000 };
	struct bd_shard_index *index = open_index(&options);
	assert_true(index->point_count > BD_SHARD_MAX_POINTS / 4 && index->point_count < BD_SHARD_MAX_POINTS);
	bd_shard_index_destroy(index);
	shard_free(&packed);
	shard_free(&plain);
}

static void damaged_records_keep_their_number(void **state)
{
	(void)state;
	struct shard shard = shard_of(20, 3000);
	shard.bytes[7 * 3016 + 9] ^= 4;
	shard_append(&shard, "tail", 4);
	write_file(shard_path, shard.bytes, shard.length);
	struct bd_index_options options = { .cache_folder = cache };
	for (int round = 0; round < 2; round++) {
		struct bd_shard_index *index = open_index(&options);
		struct bd_error error = { 0 };
		size_t damaged;
		assert_int_equal(bd_shard_index_count(index), 21);
		const struct bd_damaged_range *ranges = bd_shard_index_damage(index, &damaged);
		assert_int_equal(damaged, 2);
		assert_int_equal(ranges[0].kind, BD_DAMAGE_LENGTH_CRC);
		assert_int_equal(ranges[1].kind, BD_DAMAGE_TRUNCATED);
		assert_true(bd_shard_index_entry(index, 7).damaged);
		assert_true(bd_shard_index_entry(index, 20).damaged);
		assert_int_equal(bd_shard_index_entry(index, 6).length, 3000);
		assert_int_equal(bd_shard_index_entry(index, 8).offset, 8 * 3016 + 12);
		assert_int_equal(bd_shard_index_damage_error(index, 7, &error), -EBADMSG);
		assert_non_null(strstr(error.text, "record 7 at byte 21112: length CRC mismatch (stored 0x"));
		bd_shard_index_destroy(index);
	}
	shard_free(&shard);
}

static void changed_shard_is_noticed_and_indexed_again(void **state)
{
	(void)state;
	struct shard shard = shard_of(5, 100), longer = shard_of(6, 100);
	struct bd_index_options options = { .cache_folder = cache };
	write_file(shard_path, shard.bytes, shard.length);
	struct bd_shard_index *index = open_index(&options);
	int fd = open(shard_path, O_RDWR);
	assert_true(bd_shard_index_is_current(index, fd));
	assert_int_equal(pwrite(fd, longer.bytes, longer.length, 0), longer.length);
	assert_false(bd_shard_index_is_current(index, fd));

	/* cut short behind the index's back: the read says that the file changed */
	struct bd_shard_cursor *cursor;
	uint8_t buffer[104];
	assert_int_equal(ftruncate(fd, 200), 0);
	assert_int_equal(bd_shard_cursor_create(&cursor, NULL), 0);
	assert_int_equal(bd_shard_cursor_read(cursor, index, fd, bd_shard_index_entry(index, 4).offset, buffer, 104, NULL),
	                 -ESTALE);
	bd_shard_cursor_destroy(cursor);
	bd_shard_index_destroy(index);
	assert_int_equal(pwrite(fd, longer.bytes, longer.length, 0), longer.length);
	close(fd);
	index = open_index(&options);
	assert_int_equal(bd_shard_index_count(index), 6);
	bd_shard_index_destroy(index);
	shard_free(&longer);
	shard_free(&shard);
}

/* A dataset file that says gzip of a plain shard must not spoil the shard for those that say auto. */
static void an_index_of_another_compression_is_not_used(void **state)
{
	(void)state;
	struct shard shard = shard_of(5, 100);
	struct bd_index_options wrong = { .compression = BD_COMPRESSION_GZIP, .cache_folder = cache };
	struct bd_index_options options = { .compression = BD_COMPRESSION_AUTO, .cache_folder = cache };
	size_t damaged;
	write_file(shard_path, shard.bytes, shard.length);
	struct bd_shard_index *index = open_index(&wrong);
	bd_shard_index_damage(index, &damaged);
	assert_int_equal(damaged, 1);
	bd_shard_index_destroy(index);
	index = open_index(&options);
	bd_shard_index_damage(index, &damaged);
	assert_int_equal(damaged, 0);
	assert_int_equal(bd_shard_index_count(index), 5);
	bd_shard_index_destroy(index);
	shard_free(&shard);
}

/* The numbers of a forged file with a right checksum are checked one by one. */
static void every_forged_word_of_a_cache_file_is_refused_or_harmless(void **state)
{
	(void)state;
	struct shard plain = shard_of(40, 70000);
	plain.bytes[10 * 70016 + 8] ^= 1;
	struct shard packed = shard_compressed(&plain, BD_COMPRESSION_GZIP);
	write_file(shard_path, packed.bytes, packed.length);
	struct bd_index_options options = { 0 };
	struct bd_shard_index *index = open_index(&options), *forged;
	uint8_t *bytes;
	size_t length;
	assert_int_equal(bd_shard_index_encode(index, &bytes, &length, NULL), 0);
	const uint64_t values[] = { 0, 1, 15, 41, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 15 };
	size_t words = (12 + 41 + 24 + 8) * 8;
	for (size_t at = 0; at < words; at += 8)
		for (size_t v = 0; v < BD_COUNT_OF(values); v++) {
			uint64_t before;
			memcpy(&before, bytes + at, 8);
			memcpy(bytes + at, &values[v], 8);
			uint64_t crc = bd_crc32c(bd_crc32c(0, bytes, 88), bytes + 96, length - 96);
			memcpy(bytes + 88, &crc, 8);
			if (bd_shard_index_decode(bytes, length, &index->key, &forged, NULL) == 0) {
				for (uint64_t i = 0; i < bd_shard_index_count(forged); i++)
					assert_true(bd_shard_index_entry(forged, i).length <= bd_shard_index_longest(forged));
				bd_shard_index_destroy(forged);
			}
			memcpy(bytes + at, &before, 8);
		}
	free(bytes);
	bd_shard_index_destroy(index);
	shard_free(&packed);
	shard_free(&plain);
}

static void damaged_cache_file_is_made_anew(void **state)
{
	(void)state;
	struct shard shard = shard_of(50, 100);
	struct bd_index_options options = { .cache_folder = cache };
	write_file(shard_path, shard.bytes, shard.length);
	bd_shard_index_destroy(open_index(&options));
	char *path = cached_path();
	assert_non_null(path);
	size_t length;
	uint8_t *bytes = bd_golden_file(path, &length);
	for (size_t at = 0; at < length; at += 7) {
		bytes[at] ^= 0x10;
		struct bd_shard_index *index;
		assert_int_equal(bd_shard_index_decode(bytes, length, NULL, &index, NULL), -EBADMSG);
		assert_int_equal(bd_shard_index_decode(bytes, at, NULL, &index, NULL), -EBADMSG);
		bytes[at] ^= 0x10;
	}
	write_file(path, bytes, length / 2);
	struct bd_shard_index *index = open_index(&options);
	assert_int_equal(bd_shard_index_count(index), 50);
	bd_shard_index_destroy(index);
	uint8_t *again = bd_golden_file(path, &length);
	assert_memory_equal(again, bytes, length);
	free(again);
	free(bytes);
	free(path);
	shard_free(&shard);
}

static void unwritable_cache_is_no_error(void **state)
{
	(void)state;
	struct shard shard = shard_of(3, 10);
	struct bd_index_options options = { .cache_folder = "/proc/no/such/folder" };
	write_file(shard_path, shard.bytes, shard.length);
	struct bd_shard_index *index = open_index(&options);
	assert_int_equal(bd_shard_index_count(index), 3);
	bd_shard_index_destroy(index);
	shard_free(&shard);
}

static void text_index_reads_back(void **state)
{
	(void)state;
	char text_path[300];
	struct shard shard = { 0 };
	for (size_t i = 0; i < 200; i++)
		shard_record(&shard, i, i * 3 % 50);
	struct bd_index_options options = { 0 };
	write_file(shard_path, shard.bytes, shard.length);
	struct bd_shard_index *built = open_index(&options);
	snprintf(text_path, sizeof text_path, "%s.idx", shard_path);
	assert_int_equal(bd_shard_index_write_text(built, text_path, false, NULL), 0);
	assert_int_equal(bd_shard_index_write_text(built, text_path, false, NULL), -EEXIST);
	int fd = open(shard_path, O_RDONLY);
	struct bd_shard_index *read = bd_shard_index_load_beside(fd, shard_path, &built->key, &options);
	assert_non_null(read);
	assert_int_equal(read->count, built->count);
	assert_memory_equal(read->offsets, built->offsets, (built->count + 1) * sizeof *built->offsets);
	assert_int_equal(bd_shard_index_longest(read), bd_shard_index_longest(built));
	bd_shard_index_destroy(read);
	/* It may lie beside somebody's link to another's shard: the cache, which all share, does not get it. */
	bd_shard_index_destroy(open_index(&(struct bd_index_options){ .cache_folder = cache }));
	assert_null(cached_path());

	/* of another shard of the same size */
	bd_tfrecord_header(4, shard.bytes);
	write_file(shard_path, shard.bytes, shard.length);
	assert_int_equal(bd_shard_index_write_text(built, text_path, true, NULL), 0);
	assert_null(bd_shard_index_load_beside(fd, shard_path, &built->key, &options));
	close(fd);
	bd_shard_index_destroy(built);
	shard_free(&shard);
}

static void stored_index_travels_with_a_compressed_shard(void **state)
{
	(void)state;
	char beside[300];
	struct shard plain = shard_of(40, 70000), packed = shard_compressed(&plain, BD_COMPRESSION_ZLIB);
	struct bd_index_options options = { 0 };
	write_file(shard_path, packed.bytes, packed.length);
	struct bd_shard_index *built = open_index(&options);
	snprintf(beside, sizeof beside, "%s.idx", shard_path);
	assert_int_equal(bd_shard_index_write(built, beside, false, NULL), 0);
	int fd = open(shard_path, O_RDONLY);
	struct bd_shard_index *read = bd_shard_index_load_beside(fd, shard_path, &built->key, &options);
	assert_non_null(read);
	assert_int_equal(read->point_count, built->point_count);
	check_records(read, &plain);
	bd_shard_index_destroy(read);
	bd_shard_index_destroy(built);
	close(fd);
	shard_free(&packed);
	shard_free(&plain);
}

static void text_that_does_not_fit_is_refused(void **state)
{
	(void)state;
	const char *const bad[] = { "0 16\n17 16\n",
		                    "0 15\n",
		                    "0 16",
		                    "1 32\n",
		                    "0 32 1\n",
		                    "x",
		                    "0 16\n16 18446744073709551600\n",
		                    "0\n",
		                    "0 99999999999999999999999\n",
		                    "0 16\n\n16 16\n" };
	struct bd_shard_index *index;
	for (size_t i = 0; i < BD_COUNT_OF(bad); i++)
		assert_int_equal(bd_shard_index_parse_text(bad[i], strlen(bad[i]), 32, &index, NULL), -EBADMSG);
	const char good[] = "0 16\n16\t16\r\n";
	assert_int_equal(bd_shard_index_parse_text(good, sizeof good - 1, 32, &index, NULL), 0);
	assert_int_equal(bd_shard_index_count(index), 2);
	bd_shard_index_destroy(index);
	assert_int_equal(bd_shard_index_parse_text("", 0, 0, &index, NULL), 0);
	assert_int_equal(bd_shard_index_count(index), 0);
	bd_shard_index_destroy(index);
}

static bool stop(void *context, uint64_t done, uint64_t total)
{
	(void)done;
	(void)total;
	return ++*(int *)context < 2;
}

static void progress_can_end_the_work(void **state)
{
	(void)state;
	int calls = 0;
	struct shard shard = shard_of(20000, 0);
	struct bd_index_options options = { .progress = stop, .context = &calls };
	struct bd_shard_index *index;
	write_file(shard_path, shard.bytes, shard.length);
	assert_int_equal(bd_shard_index_open(shard_path, &options, &index, NULL), -ECANCELED);
	/* and so can who started it */
	_Atomic bool stopped = true;
	options = (struct bd_index_options){ .stop = &stopped };
	assert_int_equal(bd_shard_index_open(shard_path, &options, &index, NULL), -ECANCELED);
	assert_int_equal(calls, 2);
	shard_free(&shard);
}

static void memory_limit_is_enomem(void **state)
{
	(void)state;
	struct shard shard = shard_of(20000, 0);
	struct bd_index_options options = { .memory_limit_bytes = 16384 };
	struct bd_shard_index *index;
	struct bd_error error = { 0 };
	write_file(shard_path, shard.bytes, shard.length);
	assert_int_equal(bd_shard_index_open(shard_path, &options, &index, &error), -ENOMEM);
	assert_non_null(strstr(error.text, "memory limit"));
	shard_free(&shard);
}

static void missing_shard_is_enoent_with_its_name(void **state)
{
	(void)state;
	struct bd_index_options options = { 0 };
	struct bd_shard_index *index;
	struct bd_error error = { 0 };
	assert_int_equal(bd_shard_index_open(shard_path, &options, &index, &error), -ENOENT);
	assert_non_null(strstr(error.text, shard_path));
}

static void empty_shard_has_no_records(void **state)
{
	(void)state;
	struct bd_index_options options = { .cache_folder = cache };
	write_file(shard_path, "", 0);
	for (int round = 0; round < 2; round++) {
		struct bd_shard_index *index = open_index(&options);
		assert_int_equal(bd_shard_index_count(index), 0);
		assert_int_equal(bd_shard_index_bytes(index), 0);
		bd_shard_index_destroy(index);
	}
}

/* ---- many threads, and real files ---- */

struct reading {
	const struct bd_shard_index *index;
	int fd;
	uint64_t first;
	bool good;
};

static void *read_some(void *context)
{
	struct reading *reading = context;
	struct bd_shard_cursor *cursor;
	uint8_t *buffer = malloc(bd_shard_index_longest(reading->index) + 4);
	reading->good = buffer && bd_shard_cursor_create(&cursor, NULL) == 0;
	uint64_t count = bd_shard_index_count(reading->index);
	for (uint64_t i = 0; reading->good && i < count; i++) {
		struct bd_index_entry entry = bd_shard_index_entry(reading->index, (reading->first + i * 7) % count);
		reading->good = bd_shard_cursor_read(cursor, reading->index, reading->fd, entry.offset, buffer, entry.length + 4,
		                                     NULL) == 0 &&
		                bd_tfrecord_check_data(buffer, entry.length, buffer + entry.length, NULL) == 0;
	}
	bd_shard_cursor_destroy(cursor);
	free(buffer);
	return NULL;
}

static void threads_share_an_index(void **state)
{
	(void)state;
	struct shard plain = shard_of(15, 90000), packed = shard_compressed(&plain, BD_COMPRESSION_GZIP);
	struct bd_index_options options = { .point_distance_bytes = 100000 };
	write_file(shard_path, packed.bytes, packed.length);
	struct bd_shard_index *index = open_index(&options);
	int fd = open(shard_path, O_RDONLY);
	pthread_t threads[4];
	struct reading readings[4];
	for (uint64_t i = 0; i < BD_COUNT_OF(threads); i++) {
		readings[i] = (struct reading){ .index = index, .fd = fd, .first = 3 * i };
		assert_int_equal(pthread_create(&threads[i], NULL, read_some, &readings[i]), 0);
	}
	for (size_t i = 0; i < BD_COUNT_OF(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_true(readings[i].good);
	}
	close(fd);
	bd_shard_index_destroy(index);
	shard_free(&packed);
	shard_free(&plain);
}

static uint64_t real_files, real_records;

static int index_real(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)walk;
	if (type != FTW_F)
		return 0;
	struct bd_index_options options = { .ignore_text = true };
	struct bd_shard_index *index;
	assert_int_equal(bd_shard_index_open(path, &options, &index, NULL), 0);
	int fd = open(path, O_RDONLY);
	/* every record in the order of the file: any order would inflate for minutes under a sanitizer */
	struct bd_shard_cursor *cursor;
	uint8_t *buffer = malloc(bd_shard_index_longest(index) + 4);
	assert_int_equal(bd_shard_cursor_create(&cursor, NULL), 0);
	for (uint64_t i = 0; i < bd_shard_index_count(index); i++) {
		struct bd_index_entry entry = bd_shard_index_entry(index, i);
		assert_false(entry.damaged);
		assert_int_equal(bd_shard_cursor_read(cursor, index, fd, entry.offset, buffer, entry.length + 4, NULL), 0);
		assert_int_equal(bd_tfrecord_check_data(buffer, entry.length, buffer + entry.length, NULL), 0);
	}
	real_files++;
	real_records += bd_shard_index_count(index);
	bd_shard_cursor_destroy(cursor);
	free(buffer);
	close(fd);
	bd_shard_index_destroy(index);
	return 0;
}

static void real_files_are_read_by_their_index(void **state)
{
	(void)state;
	char path[512];
	if (!bd_shared_path("data/tfrecords", path, sizeof path)) {
		print_message("%s is missing\n", path);
		skip();
	}
	assert_int_equal(nftw(path, index_real, 8, FTW_PHYS), 0);
	assert_int_equal(real_files, 62);
	assert_int_equal(real_records, 93088);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_index_of_another_compression_is_not_used),
		TEST(records_of_all_compressions_are_read_from_anywhere),
		TEST(several_members_have_access_points_too),
		TEST(access_points_are_bounded),
		TEST(damaged_records_keep_their_number),
		TEST(changed_shard_is_noticed_and_indexed_again),
		TEST(every_forged_word_of_a_cache_file_is_refused_or_harmless),
		TEST(damaged_cache_file_is_made_anew),
		TEST(unwritable_cache_is_no_error),
		TEST(text_index_reads_back),
		TEST(stored_index_travels_with_a_compressed_shard),
		TEST(text_that_does_not_fit_is_refused),
		TEST(progress_can_end_the_work),
		TEST(memory_limit_is_enomem),
		TEST(missing_shard_is_enoent_with_its_name),
		TEST(empty_shard_has_no_records),
		TEST(threads_share_an_index),
		TEST(real_files_are_read_by_their_index),
	};
	return cmocka_run_group_tests_name("shard_index", tests, NULL, NULL);
}
