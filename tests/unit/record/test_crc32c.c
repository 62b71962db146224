#include "common/record/crc32c.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

/* RFC 3720, B.4 */
static void known_vectors_agree(void **state)
{
	(void)state;
	uint8_t zeros[32] = { 0 }, ones[32], up[32], down[32];
	memset(ones, 0xff, sizeof ones);
	for (int i = 0; i < 32; i++) {
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	assert_int_equal(bd_crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(bd_crc32c(0, ones, 32), 0x62a8ab43);
	assert_int_equal(bd_crc32c(0, up, 32), 0x46dd794e);
	assert_int_equal(bd_crc32c(0, down, 32), 0x113fdb5c);
	assert_int_equal(bd_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(bd_crc32c(0, "", 0), 0);
	assert_int_equal(bd_crc32c_portable(0, "123456789", 9), 0xe3069283);
}

/* bit by bit, straight from the definition */
static uint32_t slow(uint32_t crc, const uint8_t *bytes, size_t length)
{
	crc = ~crc;
	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static uint8_t *noise(size_t length)
{
	uint8_t *bytes = malloc(length);
	assert_non_null(bytes);
	uint32_t x = 12345;
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
	return bytes;
}

static void every_length_agrees_with_the_definition(void **state)
{
	(void)state;
	size_t room = 8192;
	uint8_t *bytes = noise(room);
	for (size_t length = 0; length < 4200; length += length < 1100 ? 1 : 13) {
		size_t from = length % 17;
		uint32_t expected = slow(0, bytes + from, length);
		assert_int_equal(bd_crc32c(0, bytes + from, length), expected);
		assert_int_equal(bd_crc32c_portable(0, bytes + from, length), expected);
	}
	free(bytes);
}

static void block_borders_agree_with_the_tables(void **state)
{
	(void)state;
	uint8_t *bytes = noise(300000);
	const size_t borders[] = { 384, 1024, 1280, 3072, 3456, 6144, 9216, 65536, 131072, 200296, 299000 };
	for (size_t i = 0; i < sizeof borders / sizeof *borders; i++)
		for (int d = -9; d <= 9; d++) {
			size_t length = (size_t)((int)borders[i] + d);
			assert_int_equal(bd_crc32c(0, bytes + 1, length), bd_crc32c_portable(0, bytes + 1, length));
		}
	free(bytes);
}

static void pieces_equal_the_whole(void **state)
{
	(void)state;
	uint8_t *bytes = noise(20000);
	uint32_t whole = bd_crc32c(0, bytes, 20000);
	for (size_t cut = 0; cut <= 20000; cut += 997)
		assert_int_equal(bd_crc32c(bd_crc32c(0, bytes, cut), bytes + cut, 20000 - cut), whole);
	free(bytes);
}

static void mask_is_undone_by_unmask(void **state)
{
	(void)state;
	assert_int_equal(bd_crc32c_mask(0), 0xa282ead8);
	for (uint32_t crc = 1; crc < 0xf0000000u; crc += 0x01234567u)
		assert_int_equal(bd_crc32c_unmask(bd_crc32c_mask(crc)), crc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_vectors_agree),
		cmocka_unit_test(every_length_agrees_with_the_definition),
		cmocka_unit_test(block_borders_agree_with_the_tables),
		cmocka_unit_test(pieces_equal_the_whole),
		cmocka_unit_test(mask_is_undone_by_unmask),
	};
	return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
