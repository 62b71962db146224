#include "common/image/image_options.h"

#include <errno.h>
#include <string.h>

#include "common/base/yaml.h"
#include "tests/unit/test.h"

static int parse(const char *text, struct bd_image_options *ret_options, struct bd_error *error)
{
	struct bd_yaml *yaml;
	assert_int_equal(bd_yaml_load_text("t.yaml", text, strlen(text), &yaml, NULL), 0);
	int status = bd_image_options_parse(bd_yaml_root(yaml), ret_options, error);
	bd_yaml_destroy(yaml);
	return status;
}

static void absent_keys_are_defaults(void **state)
{
	(void)state;
	struct bd_image_options options;
	assert_int_equal(parse("type: image\n", &options, NULL), 0);
	assert_int_equal(options.encoding, BD_ENCODING_AUTO);
	assert_int_equal(options.decode, BD_DECODE_EXACT);
	assert_int_equal(options.dtype, BD_FLOAT32);
	assert_int_equal(options.resize_method, BD_RESIZE_BILINEAR);
	assert_false(options.has_mean);
	assert_true(options.scale == 1.0f);
	int64_t shape[3];
	assert_int_equal(bd_image_output_shape(&options, shape, NULL), -EINVAL);
}

static void every_key_is_read(void **state)
{
	(void)state;
	struct bd_image_options options;
	assert_int_equal(
		parse("type: image\nencoding: jpeg\ndecode: scaled\nresize: {height: 20, width: 30, method: tf1_area}\n"
	              "crop: {kind: random_resized, scale: [0.5, 1.0], ratio: [0.9, 1.1]}\nflip: horizontal\nchannels: bgr\n"
	              "dtype: uint8\nmean: [1, 2, 3.5]\nscale: 0.25\nlayout: nchw\n",
	              &options, NULL),
		0);
	assert_int_equal(options.encoding, BD_ENCODING_JPEG);
	assert_int_equal(options.decode, BD_DECODE_SCALED);
	assert_int_equal(options.resize_method, BD_RESIZE_TF1_AREA);
	assert_int_equal(options.crop, BD_CROP_RANDOM_RESIZED);
	assert_true(options.crop_scale[0] == 0.5 && options.crop_ratio[1] == 1.1);
	assert_true(options.flip && options.nchw && options.has_mean);
	assert_true(options.mean[2] == 3.5f && options.scale == 0.25f);
	assert_int_equal(options.channels, BD_CHANNELS_BGR);
	int64_t shape[3];
	assert_int_equal(bd_image_output_shape(&options, shape, NULL), 0);
	assert_int_equal(shape[0], 3);
	assert_int_equal(shape[1], 20);
	assert_int_equal(shape[2], 30);
	size_t bytes;
	assert_int_equal(bd_image_output_bytes(&options, &bytes, NULL), 0);
	assert_int_equal(bytes, 3 * 20 * 30);
}

static void shape_is_the_output_without_a_resize(void **state)
{
	(void)state;
	struct bd_image_options options;
	assert_int_equal(parse("type: image\nencoding: raw\nshape: [28, 29, 1]\nchannels: grey\nmean: 7\n", &options, NULL), 0);
	assert_true(options.mean[0] == 7 && options.mean[2] == 7);
	int64_t shape[3];
	assert_int_equal(bd_image_output_shape(&options, shape, NULL), 0);
	assert_true(shape[0] == 28 && shape[1] == 29 && shape[2] == 1);
}

static void wrong_values_are_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"type: image\nresice: {height: 1, width: 1}\n",
		"resize: {height: 0, width: 1}\n",
		"resize: {height: 5}\n",
		"resize: {height: 5, width: 70000}\n",
		"resize: {height: 5, width: 5, method: lanczos}\n",
		"shape: [3]\n",
		"shape: [3, 3, 2]\n",
		"shape: 3\n",
		"shape: [3, 3, 1]\n",
		"encoding: raw\n",
		"crop: center\n",
		"crop: {kind: center, scale: [0.1, 1]}\nresize: {height: 1, width: 1}\n",
		"crop: {kind: random_resized, scale: [1, 0.1]}\nresize: {height: 1, width: 1}\n",
		"crop: {kind: random_resized, scale: [0, 1]}\nresize: {height: 1, width: 1}\n",
		"mean: [1, 2]\n",
		"mean: [1, 2, x]\n",
		"dtype: int64\n",
		"flip: vertical\n",
		"layout: nhcw\n",
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct bd_image_options options;
		struct bd_error error = { 0 };
		assert_int_equal(parse(wrong[i], &options, &error), -EINVAL);
		assert_true(strncmp(error.text, "t.yaml: line ", 13) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_keys_are_defaults),
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(shape_is_the_output_without_a_resize),
		cmocka_unit_test(wrong_values_are_refused),
	};
	return cmocka_run_group_tests_name("image_options", tests, NULL, NULL);
}
