#include "common/record/deflate.h"
#include "common/record/inflate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/record/tfrecord.h"
#include "tests/unit/test.h"

struct bytes {
	uint8_t *data;
	size_t length;
};

static int append(void *context, const uint8_t *bytes, size_t length, struct bd_error *error)
{
	struct bytes *to = context;
	(void)error;
	to->data = realloc(to->data, to->length + length);
	assert_non_null(to->data);
	memcpy(to->data + to->length, bytes, length);
	to->length += length;
	return 0;
}

static void deflate_to(struct bytes *to, enum bd_compression compression, const void *data, size_t length)
{
	struct bd_deflater *deflater;
	assert_int_equal(bd_deflater_create(compression, -1, append, to, &deflater, NULL), 0);
	assert_int_equal(bd_deflater_write(deflater, data, length, NULL), 0);
	assert_int_equal(bd_deflater_end(deflater, NULL), 0);
	bd_deflater_destroy(deflater);
}

static int file_of(const struct bytes *bytes, size_t length)
{
	int fd = memfd_create("inflate", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes->data, length), length);
	return fd;
}

/* compressible, but not to nothing, so that there are several deflate blocks */
static uint8_t *text(size_t length)
{
	uint8_t *bytes = malloc(length);
	assert_non_null(bytes);
	uint32_t x = 99;
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 28) + 'a';
	return bytes;
}

static int inflate_all(int fd, enum bd_compression compression, uint8_t *out, size_t room, size_t *ret_bytes,
                       struct bd_error *error)
{
	struct bd_inflater *inflater;
	assert_int_equal(bd_inflater_create(fd, compression, &inflater, NULL), 0);
	int result = bd_inflater_read(inflater, out, room, ret_bytes, error);
	bd_inflater_destroy(inflater);
	return result;
}

static void both_formats_read_back(void **state)
{
	(void)state;
	size_t length = 300000, got;
	uint8_t *data = text(length), *out = malloc(length + 10);
	for (enum bd_compression c = BD_COMPRESSION_GZIP; c <= BD_COMPRESSION_ZLIB; c++) {
		struct bytes packed = { 0 };
		deflate_to(&packed, c, data, length);
		assert_true(packed.length < length);
		assert_int_equal(bd_compression_detect(packed.data, packed.length), c);
		int fd = file_of(&packed, packed.length);
		assert_int_equal(inflate_all(fd, c, out, length + 10, &got, NULL), 0);
		assert_int_equal(got, length);
		assert_memory_equal(out, data, length);
		close(fd);
		free(packed.data);
	}
	free(out);
	free(data);
}

static void members_are_joined_also_empty_ones_and_zero_padding_ends_them(void **state)
{
	(void)state;
	struct bytes packed = { 0 };
	uint8_t zeros[64] = { 0 }, out[100];
	size_t got;
	deflate_to(&packed, BD_COMPRESSION_GZIP, "abc", 3);
	deflate_to(&packed, BD_COMPRESSION_GZIP, "", 0);
	deflate_to(&packed, BD_COMPRESSION_GZIP, "defg", 4);
	append(&packed, zeros, sizeof zeros, NULL);
	int fd = file_of(&packed, packed.length);
	assert_int_equal(inflate_all(fd, BD_COMPRESSION_GZIP, out, sizeof out, &got, NULL), 0);
	assert_int_equal(got, 7);
	assert_memory_equal(out, "abcdefg", 7);
	close(fd);
	free(packed.data);
}

static void every_truncation_is_ebadmsg(void **state)
{
	(void)state;
	uint8_t out[100];
	size_t got;
	for (enum bd_compression c = BD_COMPRESSION_GZIP; c <= BD_COMPRESSION_ZLIB; c++) {
		struct bytes packed = { 0 };
		deflate_to(&packed, c, "hello hello hello", 17);
		for (size_t length = 0; length < packed.length; length++) {
			struct bd_error error = { 0 };
			int fd = file_of(&packed, length);
			assert_int_equal(inflate_all(fd, c, out, sizeof out, &got, &error), -EBADMSG);
			assert_non_null(strstr(error.text, "cut off"));
			close(fd);
		}
		free(packed.data);
	}
}

static void every_flipped_bit_is_noticed_or_harmless(void **state)
{
	(void)state;
	uint8_t out[200];
	size_t got, noticed = 0;
	struct bytes packed = { 0 };
	deflate_to(&packed, BD_COMPRESSION_GZIP, "hello hello hello", 17);
	for (size_t bit = 0; bit < 8 * packed.length; bit++) {
		packed.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int fd = file_of(&packed, packed.length);
		int result = inflate_all(fd, BD_COMPRESSION_GZIP, out, sizeof out, &got, NULL);
		if (result == 0) { /* time and system in the header, bits behind the last block */
			assert_memory_equal(out, "hello hello hello", 17);
		} else {
			assert_int_equal(result, -EBADMSG);
			noticed++;
		}
		close(fd);
		packed.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(noticed >= 8 * (packed.length - 8));
	free(packed.data);
}

static void rubbish_behind_the_end_is_ebadmsg_after_all_data(void **state)
{
	(void)state;
	uint8_t out[100];
	size_t got;
	for (enum bd_compression c = BD_COMPRESSION_GZIP; c <= BD_COMPRESSION_ZLIB; c++) {
		struct bytes packed = { 0 };
		deflate_to(&packed, c, "hello", 5);
		append(&packed, (const uint8_t *)"rubbish, longer than a header", 29, NULL);
		int fd = file_of(&packed, packed.length);
		assert_int_equal(inflate_all(fd, c, out, sizeof out, &got, NULL), -EBADMSG);
		assert_int_equal(got, 5);
		close(fd);
		free(packed.data);
	}
}

struct points {
	struct bd_access_point items[64];
	size_t count;
};

static int take(void *context, const struct bd_access_point *point_take, struct bd_error *error)
{
	struct points *points = context;
	(void)error;
	assert_true(points->count < BD_COUNT_OF(points->items));
	points->items[points->count++] = *point_take;
	return 0;
}

static void reading_starts_at_any_access_point(void **state)
{
	(void)state;
	size_t length = 1500000, got;
	uint8_t *data = text(length), *out = malloc(length);
	for (enum bd_compression c = BD_COMPRESSION_GZIP; c <= BD_COMPRESSION_ZLIB; c++) {
		struct bytes packed = { 0 };
		struct points points = { 0 };
		struct bd_inflater *inflater;
		deflate_to(&packed, c, data, length);
		int fd = file_of(&packed, packed.length);
		assert_int_equal(bd_inflater_create(fd, c, &inflater, NULL), 0);
		bd_inflater_collect(inflater, 50000, take, &points);
		assert_int_equal(bd_inflater_read(inflater, NULL, length, &got, NULL), 0);
		assert_int_equal(got, length);
		assert_true(points.count > 5);
		for (size_t i = points.count; i-- > 0;) {
			assert_int_equal(bd_inflater_restart(inflater, fd, c, &points.items[i], NULL), 0);
			uint64_t from = bd_inflater_out(inflater);
			assert_int_equal(bd_inflater_read(inflater, out, length, &got, NULL), 0);
			assert_int_equal(got, length - from);
			assert_memory_equal(out, data + from, got);
			bd_access_point_finish(&points.items[i]);
		}
		bd_inflater_destroy(inflater);
		close(fd);
		free(packed.data);
	}
	free(out);
	free(data);
}

static void broken_access_point_is_refused(void **state)
{
	(void)state;
	uint8_t window[4] = { 1, 2, 3, 4 };
	struct bytes packed = { 0 };
	struct bd_inflater *inflater;
	deflate_to(&packed, BD_COMPRESSION_GZIP, "hello", 5);
	int fd = file_of(&packed, packed.length);
	assert_int_equal(bd_inflater_create(fd, BD_COMPRESSION_GZIP, &inflater, NULL), 0);
	struct bd_access_point point = { .window = window, .window_bytes = UINT32_MAX };
	assert_int_equal(bd_inflater_restart(inflater, fd, BD_COMPRESSION_GZIP, &point, NULL), -EBADMSG);
	point = (struct bd_access_point){ .window = window, .window_bytes = 100, .packed_bytes = 4 };
	assert_int_equal(bd_inflater_restart(inflater, fd, BD_COMPRESSION_GZIP, &point, NULL), -EBADMSG);
	bd_inflater_destroy(inflater);
	close(fd);
	free(packed.data);
}

static void detection_prefers_a_good_record_header(void **state)
{
	(void)state;
	uint8_t header[BD_TFRECORD_HEADER_BYTES];
	bd_tfrecord_header(0x01088b1f, header); /* the length's bytes are gzip's magic */
	assert_int_equal(bd_compression_detect(header, sizeof header), BD_COMPRESSION_NONE);
	header[11] ^= 1;
	assert_int_equal(bd_compression_detect(header, sizeof header), BD_COMPRESSION_GZIP);
	assert_int_equal(bd_compression_detect(header, 0), BD_COMPRESSION_NONE);
	assert_int_equal(bd_compression_detect((const uint8_t *)"x\x9c plain text", 14), BD_COMPRESSION_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_formats_read_back),
		cmocka_unit_test(members_are_joined_also_empty_ones_and_zero_padding_ends_them),
		cmocka_unit_test(every_truncation_is_ebadmsg),
		cmocka_unit_test(every_flipped_bit_is_noticed_or_harmless),
		cmocka_unit_test(rubbish_behind_the_end_is_ebadmsg_after_all_data),
		cmocka_unit_test(reading_starts_at_any_access_point),
		cmocka_unit_test(broken_access_point_is_refused),
		cmocka_unit_test(detection_prefers_a_good_record_header),
	};
	return cmocka_run_group_tests_name("inflate", tests, NULL, NULL);
}
