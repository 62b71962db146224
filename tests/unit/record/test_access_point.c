/* Access points of compressed shards, wherever the block that they stand behind ends in the input. */
#include "common/record/inflate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "common/record/crc32c.h"
#include "common/record/shard_index_parts.h"
#include "tests/unit/record/shards.h"
#include "tests/unit/test.h"

#define BLOCKS 12
#define BLOCK_BYTES 97
#define OUTPUT_BYTES (BLOCKS * BLOCK_BYTES)
#define GZIP_FIXED_BYTES 10
#define GZIP_TRAILER_BYTES 8

/*
 * Blocks of few symbols: a block's end is a code of two or three bits, so that the last byte of the input often holds the end of a block
 * and bits of the next one, none of which is used while there is no room for output.
 */
struct body {
	uint8_t output[OUTPUT_BYTES], packed[4 * OUTPUT_BYTES];
	size_t packed_bytes;
};

static struct body make_body(void)
{
	struct body body = { .packed_bytes = 0 };
	uint32_t x = 5;
	for (size_t i = 0; i < OUTPUT_BYTES; i++)
		body.output[i] = (x = x * 1664525 + 1013904223) >> 30 ? 'a' : 'b';
	z_stream stream = { .next_in = body.output, .next_out = body.packed, .avail_out = sizeof body.packed };
	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_HUFFMAN_ONLY), Z_OK);
	for (size_t i = 0; i < BLOCKS; i++) {
		stream.avail_in = BLOCK_BYTES;
		int status = deflate(&stream, i + 1 < BLOCKS ? Z_BLOCK : Z_FINISH);
		assert_true(status == Z_OK || status == Z_STREAM_END);
	}
	body.packed_bytes = stream.total_out;
	deflateEnd(&stream);
	return body;
}

/* A gzip file whose first read ends `before` bytes into the body: the name in its header has the length for it. */
static int write_gzip(const struct body *body, size_t before)
{
	size_t header = BD_INFLATE_INPUT_BYTES - before, length = header + body->packed_bytes + GZIP_TRAILER_BYTES;
	uint8_t *bytes = malloc(length);
	assert_non_null(bytes);
	memset(bytes, 'n', header);
	memcpy(bytes, (const uint8_t[GZIP_FIXED_BYTES]){ 0x1f, 0x8b, 8, 8 }, GZIP_FIXED_BYTES);
	bytes[header - 1] = 0;
	memcpy(bytes + header, body->packed, body->packed_bytes);
	uint32_t trailer[2] = { (uint32_t)crc32_z(0, body->output, OUTPUT_BYTES), OUTPUT_BYTES };
	memcpy(bytes + length - sizeof trailer, trailer, sizeof trailer);
	int fd = memfd_create("gzip", MFD_CLOEXEC);
	assert_true(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
	free(bytes);
	return fd;
}

struct points {
	struct bd_access_point items[2 * BLOCKS];
	size_t count;
};

static int take(void *context, const struct bd_access_point *point_take, struct bd_error *error)
{
	struct points *points = context;
	(void)error;
	assert_true(points->count < 2 * BLOCKS);
	points->items[points->count++] = *point_take;
	return 0;
}

/* Reads byte by byte: the room for output ends before each end of a block is read. */
static void collect_points(int fd, const struct bd_access_point *from, struct points *ret_points)
{
	struct bd_inflater *inflater;
	uint8_t byte;
	size_t got = 1;
	*ret_points = (struct points){ .count = 0 };
	assert_int_equal(bd_inflater_create(fd, BD_COMPRESSION_GZIP, &inflater, NULL), 0);
	assert_int_equal(bd_inflater_restart(inflater, fd, BD_COMPRESSION_GZIP, from, NULL), 0);
	bd_inflater_collect(inflater, 1, take, ret_points);
	while (got)
		assert_int_equal(bd_inflater_read(inflater, &byte, 1, &got, NULL), 0);
	bd_inflater_destroy(inflater);
}

static void free_points(struct points *points)
{
	for (size_t i = 0; i < points->count; i++)
		bd_access_point_finish(&points->items[i]);
}

/* Inflates the rest of the file from the point, its trailer included. */
static void check_rest(struct bd_inflater *inflater, int fd, const struct bd_access_point *point, const struct body *body)
{
	uint8_t rest[OUTPUT_BYTES + 1];
	size_t got = 0;
	struct bd_error error = { 0 };
	assert_int_equal(bd_inflater_restart(inflater, fd, BD_COMPRESSION_GZIP, point, NULL), 0);
	int result = bd_inflater_read(inflater, rest, sizeof rest, &got, &error);
	if (result < 0)
		fail_msg("a point at byte %llu: %s", (unsigned long long)point->in, error.text);
	assert_int_equal(got, OUTPUT_BYTES - point->out);
	assert_memory_equal(rest, body->output + point->out, got);
}

static void a_point_is_good_at_every_refill_position(void **state)
{
	(void)state;
	struct body body = make_body();
	struct bd_inflater *inflater;
	assert_int_equal(bd_inflater_create(-1, BD_COMPRESSION_GZIP, &inflater, NULL), 0);
	size_t with_bits_at_a_refill = 0;
	for (size_t before = 1; before < body.packed_bytes; before++) {
		struct points points, again;
		int fd = write_gzip(&body, before);
		collect_points(fd, NULL, &points);
		assert_int_equal(points.count, BLOCKS - 1);
		for (size_t i = 0; i < points.count; i++) {
			check_rest(inflater, fd, &points.items[i], &body);
			with_bits_at_a_refill += points.items[i].in == BD_INFLATE_INPUT_BYTES && points.items[i].bits;
		}
		/* and the points that a reader makes which began at a point itself */
		collect_points(fd, &points.items[0], &again);
		assert_int_equal(again.count, points.count - 1);
		for (size_t i = 0; i < again.count; i++)
			assert_int_equal(again.items[i].bits_value, points.items[i + 1].bits_value);
		free_points(&again);
		free_points(&points);
		close(fd);
	}
	assert_true(with_bits_at_a_refill > 0);
	bd_inflater_destroy(inflater);
}

/* What an earlier version kept may have a point with wrong bits. */
static void an_index_of_an_earlier_version_is_refused(void **state)
{
	(void)state;
	struct shard plain = shard_of(3, 10);
	int fd = shard_file(&plain);
	struct bd_shard_index *index, *read;
	uint8_t *bytes;
	size_t length;
	enum { VERSION = 7, CRC = 88, BEHIND_CRC = 96 };
	assert_int_equal(bd_shard_index_open_fd(fd, "shard", &(struct bd_index_options){ .ignore_text = true }, &index, NULL), 0);
	assert_int_equal(bd_shard_index_encode(index, &bytes, &length, NULL), 0);
	for (uint8_t version = 1; version <= BD_SHARD_INDEX_VERSION; version++) {
		bytes[VERSION] = version;
		uint64_t crc = bd_crc32c(bd_crc32c(0, bytes, CRC), bytes + BEHIND_CRC, length - BEHIND_CRC);
		memcpy(bytes + CRC, &crc, sizeof crc);
		bool current = version == BD_SHARD_INDEX_VERSION;
		assert_int_equal(bd_shard_index_decode(bytes, length, NULL, &read, NULL), current ? 0 : -EBADMSG);
		if (current)
			bd_shard_index_destroy(read);
	}
	free(bytes);
	bd_shard_index_destroy(index);
	close(fd);
	shard_free(&plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_point_is_good_at_every_refill_position),
		cmocka_unit_test(an_index_of_an_earlier_version_is_refused),
	};
	return cmocka_run_group_tests_name("access_point", tests, NULL, NULL);
}
