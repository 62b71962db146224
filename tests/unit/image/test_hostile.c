/* Every file of data/images_hostile, and mutations of good ones: refused or decoded, nothing else. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/image/picture.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"

/* Less than a giant needs: a limit that is not kept shows as the process's size. */
#define LIMIT_BYTES (32u << 20)

static struct bd_picture_decoder *decoder;
static unsigned good, refused;

static void decode_all_ways(const uint8_t *bytes, size_t length)
{
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.resize_height = 32;
	options.resize_width = 24;
	static float row[32 * 24 * 3];
	for (int way = 0; way < 6; way++) {
		options.decode = way == 1 || way == 5 ? BD_DECODE_SCALED : BD_DECODE_EXACT;
		options.crop = way >= 2 ? BD_CROP_RANDOM_RESIZED : BD_CROP_NONE;
		options.resize_method = way == 3 ? BD_RESIZE_ANTIALIAS : BD_RESIZE_BILINEAR;
		options.channels = way == 4 ? BD_CHANNELS_GREY : way == 3 ? BD_CHANNELS_BGR : BD_CHANNELS_RGB;
		struct bd_error error = { 0 };
		int status = bd_picture_decode(decoder, &options, bytes, length, (struct bd_picture_key){ .record = (uint64_t)way },
		                               row, &error);
		assert_true(status == 0 || status == -EBADMSG || status == -EFBIG);
		assert_true((status == 0) == (error.text[0] == 0));
		if (status)
			refused++;
		else
			good++;
	}
	struct bd_pixels pixels;
	if (!bd_picture_decode_whole(decoder, bytes, length, 0, &pixels, NULL))
		bd_pixels_finish(&pixels);
}

/* A copy of exactly the file's length on the heap, where ASan sees a read past its end. */
static void decode_file(const char *path)
{
	size_t length;
	uint8_t *bytes = bd_golden_file(path, &length);
	if (!bytes)
		return;
	uint8_t *copy = malloc(length ? length : 1);
	memcpy(copy, bytes, length);
	decode_all_ways(copy, length);
	free(copy);
	free(bytes);
}

static void walk(const char *folder)
{
	DIR *directory = opendir(folder);
	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		char path[2048];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (entry->d_type == DT_DIR)
			walk(path);
		else
			decode_file(path);
	}
	if (directory)
		closedir(directory);
}

static void no_hostile_file_does_harm(void **state)
{
	(void)state;
	char path[1024];
	if (!bd_shared_path("data/images_hostile", path, sizeof path)) {
		print_message("data/images_hostile is missing\n");
		skip();
	}
	walk(path);
	print_message("%u decoded, %u refused\n", good, refused);
	assert_true(good + refused > 10000);
	assert_true(good > 500);
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(usage.ru_maxrss < 200 << 10);
#endif
}

static void mutations_do_no_harm(void **state)
{
	(void)state;
	static const char *const files[] = { "golden/decode/files/noise_420.jpg", "golden/decode/files/progressive_420.jpg",
		                             "golden/decode/files/cmyk.jpg", "golden/decode/files/rgba.png",
		                             "golden/decode/files/palette.png" };
	uint32_t random = 12345;
	for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
		char path[1024];
		if (!bd_shared_path(files[f], path, sizeof path)) {
			print_message("%s is missing\n", files[f]);
			skip();
		}
		size_t length;
		uint8_t *bytes = bd_golden_file(path, &length);
		for (int i = 0; i < 120; i++) {
			uint8_t *copy = malloc(length);
			memcpy(copy, bytes, length);
			for (int k = 0; k <= i % 6; k++) {
				random = random * 1664525u + 1013904223u;
				copy[(random >> 8) % length] = (uint8_t)(random >> 3);
			}
			decode_all_ways(copy, length);
			free(copy);
		}
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_hostile_file_does_harm),
		cmocka_unit_test(mutations_do_no_harm),
	};
	if (bd_picture_decoder_create(LIMIT_BYTES, &decoder, NULL))
		return 1;
	int failed = cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
	bd_picture_decoder_destroy(decoder);
	return failed;
}
