/* Damaged, odd and hostile shards through the real daemon: damaged_file.h. */
#include "tests/integration/damaged_file.h"

#include <zlib.h>

#include "common/record/deflate.h"
#include "common/record/tfrecord.h"

#define RECORDS 6 /* of a shard before it is damaged; record n holds label = n */
#define DAMAGED 3

static void put_record(struct bytes *shard, const void *record, size_t length)
{
	uint8_t header[BD_TFRECORD_HEADER_BYTES], footer[BD_TFRECORD_FOOTER_BYTES];
	bd_tfrecord_header(length, header);
	bd_tfrecord_footer(record, length, footer);
	put(shard, header, sizeof header, NULL);
	put(shard, record, length, NULL);
	put(shard, footer, sizeof footer, NULL);
}

static void put_label(struct bytes *shard, int64_t label)
{
	struct bd_example_writer writer = { 0 };
	const uint8_t *record;
	size_t length;
	bd_example_writer_begin(&writer);
	bd_example_writer_add_int64(&writer, "label", &label, 1);
	assert_int_equal(bd_example_writer_end(&writer, &record, &length, NULL), 0);
	put_record(shard, record, length);
	bd_example_writer_finish(&writer);
}

static void pack(struct bytes *shard)
{
	struct bytes packed = { 0 };
	struct bd_deflater *deflater;
	assert_int_equal(bd_deflater_create(BD_COMPRESSION_GZIP, 1, put, &packed, &deflater, NULL), 0);
	assert_int_equal(bd_deflater_write(deflater, shard->data, shard->length, NULL), 0);
	assert_int_equal(bd_deflater_end(deflater, NULL), 0);
	bd_deflater_destroy(deflater);
	free(shard->data);
	*shard = packed;
}

/* ---- framing: each gets a shard of RECORDS good records, all of the same size ---- */

static uint8_t *record_at(struct bytes *shard, size_t number)
{
	return shard->data + shard->length / RECORDS * number;
}

static void bad_length_crc(struct bytes *shard)
{
	record_at(shard, DAMAGED)[8] ^= 1;
}

static void bad_data_crc(struct bytes *shard)
{
	record_at(shard, DAMAGED + 1)[-1] ^= 1;
}

static void length_larger_than_the_file(struct bytes *shard)
{
	bd_tfrecord_header(1 << 20, record_at(shard, DAMAGED));
}

static void length_of_2_to_the_64_minus_1(struct bytes *shard)
{
	bd_tfrecord_header(UINT64_MAX, record_at(shard, DAMAGED));
}

/* header, data and footer together are 2^64 bytes */
static void length_that_wraps_to_0(struct bytes *shard)
{
	bd_tfrecord_header(UINT64_MAX - 15, record_at(shard, DAMAGED));
}

static void truncated_header(struct bytes *shard)
{
	shard->length = (size_t)(record_at(shard, DAMAGED) - shard->data) + 5;
}

static void truncated_data(struct bytes *shard)
{
	shard->length = (size_t)(record_at(shard, DAMAGED) - shard->data) + BD_TFRECORD_HEADER_BYTES + 3;
}

static void truncated_footer(struct bytes *shard)
{
	shard->length = (size_t)(record_at(shard, DAMAGED + 1) - shard->data) - 2;
}

static void trailing_garbage(struct bytes *shard)
{
	put(shard, (const uint8_t *)"rubbish that is longer than a header", 36, NULL);
}

static void gzip_with_a_bad_trailer(struct bytes *shard)
{
	pack(shard);
	shard->data[shard->length - 8] ^= 1;
}

/* A good stream of all records, and behind its last byte a block of a type that there is not. */
static void gzip_with_a_bad_block(struct bytes *shard)
{
	struct bytes packed = { .data = malloc(shard->length + 1024) };
	z_stream stream = { .next_in = shard->data, .avail_in = (uInt)shard->length };
	assert_non_null(packed.data);
	assert_int_equal(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_out = packed.data;
	stream.avail_out = (uInt)shard->length + 1024;
	assert_int_equal(deflate(&stream, Z_FULL_FLUSH), Z_OK);
	packed.length = stream.total_out;
	deflateEnd(&stream);
	put(&packed, (const uint8_t *)"\xff\xff\xff\xff", 4, NULL);
	free(shard->data);
	*shard = packed;
}

/* The second begins inside a record. */
static void gzip_members_concatenated(struct bytes *shard)
{
	struct bytes first = { 0 }, second = { 0 };
	size_t cut = shard->length / 2 + 3;
	put(&first, shard->data, cut, NULL);
	put(&second, shard->data + cut, shard->length - cut, NULL);
	pack(&first);
	pack(&second);
	put(&first, second.data, second.length, NULL);
	free(second.data);
	free(shard->data);
	*shard = first;
}

#define BOMB_BYTES (192u << 20)

/* BOMB_BYTES zeros in a thousandth of the bytes: as many members, each of 4 MiB. */
static void put_packed_zeros(struct bytes *shard)
{
	struct bytes member = { .data = calloc(1, 4 << 20), .length = 4 << 20 };
	assert_non_null(member.data);
	pack(&member);
	for (size_t i = 0; i < BOMB_BYTES / (4 << 20); i++)
		put(shard, member.data, member.length, NULL);
	free(member.data);
}

static void zip_bomb_behind_the_records(struct bytes *shard)
{
	pack(shard);
	put_packed_zeros(shard);
	assert_true(shard->length < BOMB_BYTES / 200);
}

static void zip_bomb_of_one_record(struct bytes *shard)
{
	struct bytes packed = { 0 };
	uint8_t header[BD_TFRECORD_HEADER_BYTES];
	shard->length /= 2;
	bd_tfrecord_header(BOMB_BYTES - BD_TFRECORD_FOOTER_BYTES, header);
	put(shard, header, sizeof header, NULL);
	pack(shard);
	put(&packed, shard->data, shard->length, NULL);
	put_packed_zeros(&packed);
	free(shard->data);
	*shard = packed;
}

/* ---- Examples: each replaces record DAMAGED ---- */

#define REPLACE(shard, text) replace(shard, text, sizeof(text) - 1)

static void replace(struct bytes *shard, const void *record, size_t length)
{
	shard->length = shard->length / RECORDS * DAMAGED;
	put_record(shard, record, length);
	for (int64_t label = DAMAGED + 1; label < RECORDS; label++)
		put_label(shard, label);
}

/* An Example with the feature `label`, whose Feature message is `feature`. */
static void replace_feature(struct bytes *shard, const void *feature, size_t length)
{
	struct bytes record = { 0 };
	uint8_t head[] = { 0x0a, (uint8_t)(length + 11), 0x0a, (uint8_t)(length + 9), 0x0a, 5, 'l', 'a', 'b', 'e', 'l',
		           0x12, (uint8_t)length };
	put(&record, head, sizeof head, NULL);
	put(&record, feature, length, NULL);
	replace(shard, record.data, record.length);
	free(record.data);
}

static void example_with_a_duplicate_key(struct bytes *shard)
{
	REPLACE(shard, "\x0a\x1e"
	               "\x0a\x0d\x0a\x05label\x12\x04\x1a\x02\x08\x63"
	               "\x0a\x0d\x0a\x05label\x12\x04\x1a\x02\x08\x07");
}

static void example_of_a_wrong_kind(struct bytes *shard)
{
	replace_feature(shard, "\x0a\x03\x0a\x01x", 5);
}

static void example_with_a_wrong_count(struct bytes *shard)
{
	replace_feature(shard, "\x1a\x05\x0a\x03\x01\x02\x03", 7);
}

static void example_of_packed_numbers(struct bytes *shard)
{
	replace_feature(shard, "\x1a\x03\x0a\x01\x08", 5);
}

static void example_of_unpacked_numbers(struct bytes *shard)
{
	replace_feature(shard, "\x1a\x02\x08\x08", 4);
}

/* Groups within groups: a parser that calls itself for each would run out of stack. */
static void example_of_great_depth(struct bytes *shard)
{
	enum { DEPTH = 1 << 20 };
	uint8_t *record = malloc(2 * DEPTH);
	assert_non_null(record);
	memset(record, 0x2b, DEPTH);
	memset(record + DEPTH, 0x2c, DEPTH);
	replace(shard, record, 2 * DEPTH);
	free(record);
}

/* Its list says that it has 2^63 bytes. */
static void example_that_promises_a_great_size(struct bytes *shard)
{
	replace_feature(shard, "\x1a\x0b\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 13);
}

/* Half a million numbers where one is wanted. */
static void example_of_a_great_size(struct bytes *shard)
{
	enum { COUNT = 500000 };
	struct bd_example_writer writer = { 0 };
	int64_t *numbers = calloc(COUNT, sizeof *numbers);
	const uint8_t *record;
	size_t length;
	assert_non_null(numbers);
	bd_example_writer_begin(&writer);
	bd_example_writer_add_int64(&writer, "label", numbers, COUNT);
	assert_int_equal(bd_example_writer_end(&writer, &record, &length, NULL), 0);
	replace(shard, record, length);
	bd_example_writer_finish(&writer);
	free(numbers);
}

/* ---- the table ---- */

#define SHARD_BEFORE "0=0 1=1 2=2"
#define SHARD_LEFT "0=0 1=1 2=2 4=4 5=5"
#define SHARD_WHOLE "0=0 1=1 2=2 3=3 4=4 5=5"

static const struct file_case cases[] = {
	CASE(bad_length_crc, SHARD_BEFORE, "length CRC mismatch", SHARD_LEFT),
	CASE(bad_data_crc, SHARD_BEFORE, "data CRC mismatch", SHARD_LEFT),
	CASE(length_larger_than_the_file, SHARD_BEFORE, "past the end of the file", SHARD_LEFT),
	CASE(length_of_2_to_the_64_minus_1, SHARD_BEFORE, "says 18446744073709551615 bytes", SHARD_LEFT),
	CASE(length_that_wraps_to_0, SHARD_BEFORE, "says 18446744073709551600 bytes", SHARD_LEFT),
	CASE(truncated_header, SHARD_BEFORE, "ends inside", SHARD_BEFORE),
	CASE(truncated_data, SHARD_BEFORE, "cut off", SHARD_BEFORE),
	CASE(truncated_footer, SHARD_BEFORE, "cut off", SHARD_BEFORE),
	CASE(trailing_garbage, SHARD_WHOLE, "length CRC mismatch", SHARD_WHOLE),
	CASE(gzip_with_a_bad_trailer, SHARD_WHOLE, "gzip", SHARD_WHOLE),
	CASE(gzip_with_a_bad_block, SHARD_WHOLE, "invalid block type", SHARD_WHOLE),
	CASE(gzip_members_concatenated, SHARD_WHOLE, NULL, SHARD_WHOLE),
	CASE(zip_bomb_behind_the_records, SHARD_WHOLE, "length CRC mismatch", SHARD_WHOLE),
	CASE(zip_bomb_of_one_record, "", "--memory", NULL),
	CASE(example_with_a_duplicate_key, "0=0 1=1 2=2 3=7 4=4 5=5", NULL, "0=0 1=1 2=2 3=7 4=4 5=5"),
	CASE(example_of_a_wrong_kind, SHARD_BEFORE, "holds values of kind bytes, not int64", SHARD_LEFT),
	CASE(example_with_a_wrong_count, SHARD_BEFORE, "has 3 values where its shape needs 1", SHARD_LEFT),
	CASE(example_of_packed_numbers, "0=0 1=1 2=2 3=8 4=4 5=5", NULL, "0=0 1=1 2=2 3=8 4=4 5=5"),
	CASE(example_of_unpacked_numbers, "0=0 1=1 2=2 3=8 4=4 5=5", NULL, "0=0 1=1 2=2 3=8 4=4 5=5"),
	CASE(example_of_great_depth, SHARD_BEFORE, "nested too deep", SHARD_LEFT),
	CASE(example_that_promises_a_great_size, SHARD_BEFORE, "bad length", SHARD_LEFT),
	CASE(example_of_a_great_size, SHARD_BEFORE, "has 500000 values where its shape needs 1", SHARD_LEFT),
};

static void damaged_shard(void **state)
{
	const struct file_case *tried = *state;
	struct bytes shard = { 0 };
	for (int64_t label = 0; label < RECORDS; label++)
		put_label(&shard, label);
	tried->make(&shard);
	write_in_folder("shard.tfrecord", &shard);
	check(tried, "shards: shard.tfrecord\nfeatures: {label: {type: int64}}\n", "shard.tfrecord: record ");
	expect_unharmed();
}

int main(void)
{
	return run_cases("damaged_shards", cases, COUNT(cases), damaged_shard);
}
