/* The decompressor line by line: skipping, and pictures that follow one another. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/encode.h"
#include "common/image/jpeg.h"
#include "tests/unit/test.h"

#define LIMIT_BYTES (64u << 20)

static struct bd_jpeg *jpeg;
static uint32_t noise_state = 7;

/* Noise, chroma halved both ways. */
static uint8_t *encode(uint32_t height, uint32_t width, uint32_t channels, size_t *ret_length)
{
	struct bd_pixels pixels;
	uint8_t *bytes = NULL;
	assert_int_equal(bd_pixels_init(&pixels, height, width, channels, NULL), 0);
	for (size_t i = 0; i < bd_pixels_bytes(&pixels); i++)
		pixels.data[i] = (uint8_t)((noise_state = noise_state * 1664525u + 1013904223u) >> 24);
	assert_int_equal(bd_jpeg_encode(&pixels, 60, &bytes, ret_length, NULL), 0);
	bd_pixels_finish(&pixels);
	return bytes;
}

static struct bd_jpeg_output start(const uint8_t *bytes, size_t length, const struct bd_jpeg_request *request)
{
	struct bd_jpeg_header header;
	struct bd_jpeg_output output;
	assert_int_equal(bd_jpeg_open(jpeg, bytes, length, &header, NULL), 0);
	assert_int_equal(bd_jpeg_start(jpeg, request, &output, NULL), 0);
	return output;
}

/* From `first`, one line is read and `step` - 1 are passed over. */
static void check_steps(const uint8_t *bytes, size_t length, const struct bd_jpeg_request *request, const uint8_t *whole,
                        uint32_t first, uint32_t step)
{
	struct bd_jpeg_output output = start(bytes, length, request);
	size_t line = (size_t)output.width * output.channels;
	uint8_t *out = malloc(line), *scratch = malloc(line);
	assert_non_null(out);
	assert_non_null(scratch);
	for (uint32_t y = first, skip = first; y < output.height; y += step, skip = step - 1) {
		assert_int_equal(bd_jpeg_skip(jpeg, skip, scratch, NULL), 0);
		assert_int_equal(bd_jpeg_read(jpeg, out, NULL), 0);
		if (memcmp(out, whole + y * line, line) != 0)
			fail_msg("line %u, from %u by %u, colour %d, 1/%u, fast %d, width %u: another line", y, first, step,
			         (int)request->colour, request->denominator, request->fast, output.width);
	}
	free(out);
	free(scratch);
}

static void check_request(const uint8_t *bytes, size_t length, const struct bd_jpeg_request *request)
{
	struct bd_jpeg_output output = start(bytes, length, request);
	size_t line = (size_t)output.width * output.channels;
	uint8_t *whole = malloc(line * output.height);
	assert_non_null(whole);
	for (uint32_t y = 0; y < output.height; y++)
		assert_int_equal(bd_jpeg_read(jpeg, whole + y * line, NULL), 0);
	for (uint32_t first = 0; first < 4; first++)
		for (uint32_t step = 1; step < 40; step += 1 + step / 6)
			check_steps(bytes, length, request, whole, first, step);
	free(whole);
}

static void skipping_from_any_line_lands_on_the_right_one(void **state)
{
	(void)state;
	static const uint32_t widths[] = { 4, 70 }; /* 4: too narrow for fancy upsampling */
	static const enum bd_jpeg_colour colours[] = { BD_JPEG_RGB, BD_JPEG_GREY };
	for (size_t w = 0; w < 2; w++)
		for (uint32_t channels = 1; channels <= 3; channels += 2) {
			size_t length = 0;
			uint8_t *bytes = encode(101, widths[w], channels, &length);
			for (uint32_t i = 0; i < 16; i++) {
				struct bd_jpeg_request request = { .colour = colours[i & 1],
					                           .fast = i & 2,
					                           .denominator = 1u << (i >> 2) };
				check_request(bytes, length, &request);
			}
			free(bytes);
		}
}

/* `bytes` without its quantization tables. */
static size_t strip_tables(uint8_t *bytes, size_t length)
{
	size_t from = 2, to = 2;
	while (bytes[from + 1] != 0xda) {
		size_t segment = 2 + (size_t)bytes[from + 2] * 256 + bytes[from + 3];
		if (bytes[from + 1] != 0xdb) {
			memmove(bytes + to, bytes + from, segment);
			to += segment;
		}
		from += segment;
	}
	memmove(bytes + to, bytes + from, length - from);
	return to + length - from;
}

static void tables_of_another_picture_are_not_used(void **state)
{
	(void)state;
	static const struct bd_jpeg_request request = { .colour = BD_JPEG_RGB, .denominator = 1 };
	size_t length = 0, short_length;
	uint8_t *whole = encode(20, 20, 3, &length), *stripped = malloc(length);
	assert_non_null(stripped);
	memcpy(stripped, whole, length);
	short_length = strip_tables(stripped, length);
	assert_true(short_length < length);
	for (int turn = 0; turn < 100; turn++) {
		struct bd_jpeg_header header;
		struct bd_jpeg_output output;
		start(whole, length, &request);
		int status = bd_jpeg_open(jpeg, stripped, short_length, &header, NULL);
		assert_int_equal(status ? status : bd_jpeg_start(jpeg, &request, &output, NULL), -EBADMSG);
	}
	free(whole);
	free(stripped);
}

static int create(void **state)
{
	(void)state;
	return bd_jpeg_create(LIMIT_BYTES, &jpeg, NULL);
}

static int destroy(void **state)
{
	(void)state;
	bd_jpeg_destroy(jpeg);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(skipping_from_any_line_lands_on_the_right_one),
		cmocka_unit_test(tables_of_another_picture_are_not_used),
	};
	return cmocka_run_group_tests_name("jpeg", tests, create, destroy);
}
