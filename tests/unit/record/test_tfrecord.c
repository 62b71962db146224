#include "common/record/tfrecord.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"

static void header_reads_back(void **state)
{
	(void)state;
	const uint64_t lengths[] = { 0, 1, 67500, UINT32_MAX, UINT64_MAX };
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		uint8_t header[BD_TFRECORD_HEADER_BYTES];
		bd_tfrecord_header(lengths[i], header);
		uint64_t length = 7;
		assert_int_equal(bd_tfrecord_parse_header(header, &length, NULL), 0);
		assert_true(length == lengths[i]);
	}
}

/* the empty record as TensorFlow writes it (golden one_empty_record.tfrecord) */
static void empty_record_has_tensorflows_bytes(void **state)
{
	(void)state;
	const uint8_t expected[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0x29, 0x03, 0x98, 0x07, 0xd8, 0xea, 0x82, 0xa2 };
	uint8_t bytes[16];
	bd_tfrecord_header(0, bytes);
	bd_tfrecord_footer("", 0, bytes + 12);
	assert_memory_equal(bytes, expected, sizeof bytes);
}

static void any_flipped_bit_of_the_header_is_ebadmsg(void **state)
{
	(void)state;
	uint8_t header[BD_TFRECORD_HEADER_BYTES];
	bd_tfrecord_header(81920, header);
	for (int bit = 0; bit < 96; bit++) {
		struct bd_error error = { 0 };
		uint64_t length = 7;
		header[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(bd_tfrecord_parse_header(header, &length, &error), -EBADMSG);
		assert_true(length == 7);
		assert_non_null(strstr(error.text, "length CRC mismatch (stored 0x"));
		header[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void flipped_data_or_footer_is_ebadmsg(void **state)
{
	(void)state;
	uint8_t data[100], footer[BD_TFRECORD_FOOTER_BYTES];
	memset(data, 5, sizeof data);
	bd_tfrecord_footer(data, sizeof data, footer);
	assert_int_equal(bd_tfrecord_check_data(data, sizeof data, footer, NULL), 0);
	struct bd_error error = { 0 };
	data[99] ^= 1;
	assert_int_equal(bd_tfrecord_check_data(data, sizeof data, footer, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "data CRC mismatch (stored 0x"));
	data[99] ^= 1;
	footer[3] ^= 0x80;
	assert_int_equal(bd_tfrecord_check_data(data, sizeof data, footer, NULL), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_reads_back),
		cmocka_unit_test(empty_record_has_tensorflows_bytes),
		cmocka_unit_test(any_flipped_bit_of_the_header_is_ebadmsg),
		cmocka_unit_test(flipped_data_or_footer_is_ebadmsg),
	};
	return cmocka_run_group_tests_name("tfrecord", tests, NULL, NULL);
}
