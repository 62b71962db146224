/* JPEG and PNG against TensorFlow's decoder: golden/decode. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/sha256.h"
#include "common/image/picture.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"

#define LIMIT_BYTES (256u << 20)

static struct bd_picture_decoder *decoder;

static void whole_hash(const uint8_t *bytes, size_t length, uint32_t channels, char *ret_hex, char *ret_shape, size_t size)
{
	struct bd_pixels pixels;
	struct bd_error error = { 0 };
	if (bd_picture_decode_whole(decoder, bytes, length, channels, &pixels, &error)) {
		snprintf(ret_hex, BD_SHA256_HEX_BYTES, "refused");
		snprintf(ret_shape, size, "%s", error.text);
		return;
	}
	bd_sha256_hex(pixels.data, bd_pixels_bytes(&pixels), ret_hex);
	snprintf(ret_shape, size, "%u,%u,%u", pixels.height, pixels.width, pixels.channels);
	bd_pixels_finish(&pixels);
}

/* Returns 1 where the case has the variant and it was compared. */
static int compare(const struct bd_golden_cases *cases, const char *variant, uint32_t channels)
{
	char key[64], name[128], file[300], relative[400], path[1024], want_hex[80], want_shape[64], hex[BD_SHA256_HEX_BYTES],
		shape[1100];
	assert_true(bd_golden_value(cases, "name", name, sizeof name));
	assert_true(bd_golden_value(cases, "file", file, sizeof file));
	snprintf(key, sizeof key, "%s.sha256", variant);
	bool accepted = bd_golden_value(cases, key, want_hex, sizeof want_hex);
	snprintf(key, sizeof key, "%s.error", variant);
	if (!accepted && !bd_golden_value(cases, key, want_hex, sizeof want_hex))
		return 0;
	snprintf(key, sizeof key, "%s.shape", variant);
	if (!accepted || !bd_golden_value(cases, key, want_shape, sizeof want_shape))
		snprintf(want_shape, sizeof want_shape, "refused");
	snprintf(relative, sizeof relative, "golden/decode/%s", file);
	assert_true(bd_shared_path(relative, path, sizeof path));
	size_t length;
	uint8_t *bytes = bd_golden_file(path, &length);
	assert_non_null(bytes);
	whole_hash(bytes, length, channels, hex, shape, sizeof shape);
	free(bytes);
	if (strcmp(hex, accepted ? want_hex : "refused") != 0)
		fail_msg("%s, %s: %s (%s) where TensorFlow has %s (%s)", name, variant, hex, shape, want_hex, want_shape);
	return 1;
}

static void every_case_equals_tensorflow(void **state)
{
	(void)state;
	char path[1024];
	if (!bd_shared_path("golden/decode/index.txt", path, sizeof path)) {
		print_message("golden/decode is missing\n");
		skip();
	}
	struct bd_golden_cases cases;
	assert_true(bd_golden_cases_open(path, &cases));
	int compared = 0;
	while (bd_golden_cases_next(&cases)) {
		compared += compare(&cases, "accurate", 3);
		compared += compare(&cases, "tf_channels_3", 3);
	}
	bd_golden_cases_close(&cases);
	assert_true(compared >= 50);
}

/* Grey from the luma of a JPEG, and from a grey PNG, as they are stored. */
static void grey_pictures_keep_one_channel(void **state)
{
	(void)state;
	char path[1024];
	if (!bd_shared_path("golden/decode/index.txt", path, sizeof path)) {
		print_message("golden/decode is missing\n");
		skip();
	}
	struct bd_golden_cases cases;
	assert_true(bd_golden_cases_open(path, &cases));
	int compared = 0;
	while (bd_golden_cases_next(&cases)) {
		char name[128];
		assert_true(bd_golden_value(&cases, "name", name, sizeof name));
		if (!strcmp(name, "grey.png") || !strcmp(name, "one_bit.png") || !strcmp(name, "basi0g01.png") ||
		    !strcmp(name, "grey_16_bit.png"))
			compared += compare(&cases, "tf_channels_0", 0);
	}
	bd_golden_cases_close(&cases);
	assert_int_equal(compared, 4);
}

static void cut_pictures_are_refused(void **state)
{
	(void)state;
	static const char *const files[] = { "golden/decode/files/noise_420.jpg", "golden/decode/files/progressive_420.jpg",
		                             "golden/decode/files/rgb.png", "golden/decode/files/restart_markers.jpg" };
	for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
		char path[1024];
		if (!bd_shared_path(files[f], path, sizeof path)) {
			print_message("%s is missing\n", files[f]);
			skip();
		}
		size_t length;
		uint8_t *bytes = bd_golden_file(path, &length);
		for (size_t cut = 0; cut + 2 < length; cut += 1 + cut / 16) {
			uint8_t *copy = malloc(cut ? cut : 1); /* exact size: ASan sees a read past the end */
			memcpy(copy, bytes, cut);
			struct bd_pixels pixels;
			struct bd_error error = { 0 };
			int status = bd_picture_decode_whole(decoder, copy, cut, 3, &pixels, &error);
			assert_int_equal(status, -EBADMSG);
			assert_true(error.text[0]);
			free(copy);
		}
		free(bytes);
	}
}

static void giants_of_65500x65500_are_refused_cheaply(void **state)
{
	(void)state;
	/* A JPEG of 65500 x 65500 pixels and a PNG of 100000 x 100000, as far as their headers go. */
	static const uint8_t jpeg[] = { 0xff, 0xd8, 0xff, 0xc0, 0, 17,   8,    0xff, 0xdc, 0xff, 0xdc, 3,  1,
		                        0x22, 0,    2,    0x11, 1, 3,    0x11, 1,    0xff, 0xda, 0,    12, 3,
		                        1,    0,    2,    0x11, 3, 0x11, 0,    63,   0,    0xff, 0xd9 };
	static const uint8_t png[] = { 0x89, 'P',  'N',  'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I',  'H',  'D',  'R', 0,
		                       1,    0x86, 0xa0, 0,   1,    0x86, 0xa0, 8,    2, 0, 0, 0,  0x5c, 0x17, 0xc9, 0xc5 };
	struct bd_pixels pixels;
	assert_true(bd_picture_decode_whole(decoder, jpeg, sizeof jpeg, 3, &pixels, NULL) < 0);
	assert_true(bd_picture_decode_whole(decoder, png, sizeof png, 3, &pixels, NULL) < 0);
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.resize_height = options.resize_width = 2;
	float row[12];
	struct bd_error error = { 0 };
	assert_int_equal(bd_picture_decode(decoder, &options, jpeg, sizeof jpeg, (struct bd_picture_key){ 0 }, row, &error),
	                 -EBADMSG);
	assert_non_null(strstr(error.text, "too many"));
}

static void size_comes_from_the_header(void **state)
{
	(void)state;
	char path[1024];
	if (!bd_shared_path("golden/decode/files/17x31_420.jpg", path, sizeof path)) {
		print_message("golden/decode is missing\n");
		skip();
	}
	size_t length;
	uint8_t *bytes = bd_golden_file(path, &length);
	uint32_t height, width, channels;
	assert_int_equal(bd_picture_size(bytes, length, &height, &width, &channels, NULL), 0);
	struct bd_pixels pixels;
	assert_int_equal(bd_picture_decode_whole(decoder, bytes, length, 0, &pixels, NULL), 0);
	assert_true(height == pixels.height && width == pixels.width && channels == pixels.channels);
	bd_pixels_finish(&pixels);
	for (size_t cut = 0; cut < 160; cut++) {
		uint8_t *copy = malloc(cut ? cut : 1);
		memcpy(copy, bytes, cut);
		int status = bd_picture_size(copy, cut, &height, &width, &channels, NULL);
		assert_true(status == 0 || status == -EBADMSG);
		free(copy);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_equals_tensorflow), cmocka_unit_test(grey_pictures_keep_one_channel),
		cmocka_unit_test(cut_pictures_are_refused),     cmocka_unit_test(giants_of_65500x65500_are_refused_cheaply),
		cmocka_unit_test(size_comes_from_the_header),
	};
	if (bd_picture_decoder_create(LIMIT_BYTES, &decoder, NULL))
		return 1;
	int failed = cmocka_run_group_tests_name("decode", tests, NULL, NULL);
	bd_picture_decoder_destroy(decoder);
	return failed;
}
