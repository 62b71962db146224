/* `converted` in a dataset file: a picture file becomes what tfrecord convert made of it, byte for byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "common/base/yaml.h"
#include "common/image/encode.h"
#include "common/image/picture.h"
#include "daemon/data/image_text.h"
#include "tests/unit/test.h"

#define HEIGHT 37
#define WIDTH 29
#define SIDE 12

static int parse(const char *text, struct bd_image_options *ret_options, struct bd_error *error)
{
	struct bd_yaml *yaml = NULL;
	int result = bd_yaml_load_text("feature", text, strlen(text), &yaml, error);
	if (result == 0)
		result = bd_image_options_parse(bd_yaml_root(yaml), ret_options, error);
	bd_yaml_destroy(yaml);
	return result;
}

static void draw(struct bd_pixels *ret_pixels)
{
	assert_int_equal(bd_pixels_init(ret_pixels, HEIGHT, WIDTH, 3, NULL), 0);
	struct bd_random random = bd_random_of(1, 2, 3);
	for (size_t i = 0; i < HEIGHT * WIDTH * 3; i++)
		ret_pixels->data[i] = (uint8_t)bd_random_below(&random, 256);
}

static void decode(const struct bd_image_options *options, const uint8_t *bytes, size_t length, float row[SIDE * SIDE * 3])
{
	struct bd_picture_decoder *decoder;
	struct bd_error error = { 0 };
	assert_int_equal(bd_picture_decoder_create(1 << 24, &decoder, NULL), 0);
	if (bd_picture_decode(decoder, options, bytes, length, (struct bd_picture_key){ 0 }, row, &error) < 0)
		fail_msg("%s", error.text);
	bd_picture_decoder_destroy(decoder);
}

static void picture_file_becomes_what_convert_made_of_it(void **state)
{
	(void)state;
	static const char *const filters[] = { "nearest", "box", "bilinear", "bicubic" };
	struct bd_pixels pixels;
	uint8_t *png;
	size_t length;
	draw(&pixels);
	assert_int_equal(bd_png_encode(&pixels, &png, &length, NULL), 0);
	for (int filter = 0; filter < 4; filter++) {
		char text[256];
		struct bd_pixels small;
		struct bd_image_options options, raw;
		struct bd_error error = { 0 };
		float wanted[SIDE * SIDE * 3], row[SIDE * SIDE * 3];
		assert_int_equal(bd_pil_resize(&pixels, SIDE, SIDE, (enum bd_pil_filter)filter, &small, NULL), 0);
		snprintf(text, sizeof text,
		         "{encoding: raw, shape: [12, 12, 3], converted: {height: 12, width: 12, filter: %s}, mean: [1, 2, 3], "
		         "channels: bgr}",
		         filters[filter]);
		if (parse(text, &raw, &error) < 0)
			fail_msg("%s", error.text);
		decode(&raw, small.data, SIDE * SIDE * 3, wanted);
		snprintf(text, sizeof text,
		         "{resize: {height: 12, width: 12, method: bicubic}, converted: {height: 12, width: 12, filter: %s}, "
		         "mean: [1, 2, 3], channels: bgr}",
		         filters[filter]);
		if (parse(text, &options, &error) < 0)
			fail_msg("%s", error.text);
		decode(&options, png, length, row);
		assert_memory_equal(row, wanted, sizeof row);
		bd_pixels_finish(&small);
	}
	free(png);
	bd_pixels_finish(&pixels);
}

static void size_that_it_has_already_is_left_alone(void **state)
{
	(void)state;
	struct bd_pixels pixels;
	struct bd_image_options with, without;
	uint8_t *png;
	size_t length;
	static float a[HEIGHT * WIDTH * 3], b[HEIGHT * WIDTH * 3];
	draw(&pixels);
	assert_int_equal(bd_png_encode(&pixels, &png, &length, NULL), 0);
	assert_int_equal(parse("{shape: [37, 29, 3], converted: {height: 37, width: 29, filter: box}}", &with, NULL), 0);
	assert_int_equal(parse("{shape: [37, 29, 3]}", &without, NULL), 0);
	decode(&with, png, length, a);
	decode(&without, png, length, b);
	assert_memory_equal(a, b, sizeof a);
	free(png);
	bd_pixels_finish(&pixels);
}

static void text_of_the_options_is_read_back(void **state)
{
	(void)state;
	struct bd_image_options options, again;
	assert_int_equal(
		parse("{encoding: raw, shape: [5, 6, 3], converted: {height: 5, width: 6, filter: nearest}}", &options, NULL), 0);
	char *text = bd_image_text(&options);
	assert_non_null(strstr(text, "converted: {height: 5, width: 6, filter: nearest}"));
	assert_int_equal(parse(text, &again, NULL), 0);
	assert_true(again.converted_height == 5 && again.converted_width == 6 && again.converted_filter == BD_PIL_NEAREST);
	free(text);
}

static void what_convert_does_not_write_is_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = { "{resize: {height: 5, width: 5}, converted: {height: 5, width: 5}}",
		                             "{resize: {height: 5, width: 5}, converted: {height: 5, width: 5, filter: lanczos}}",
		                             "{shape: [5, 6, 3], converted: {height: 6, width: 5, filter: box}}",
		                             "{resize: {height: 5, width: 5}, converted: nearest}" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct bd_image_options options;
		assert_true(parse(wrong[i], &options, NULL) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(picture_file_becomes_what_convert_made_of_it),
		cmocka_unit_test(size_that_it_has_already_is_left_alone),
		cmocka_unit_test(text_of_the_options_is_read_back),
		cmocka_unit_test(what_convert_does_not_write_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
