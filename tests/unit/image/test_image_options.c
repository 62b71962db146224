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
	              "dtype: uint8\nmean: [-1, -2, -3.5]\nscale: 0.25\nlayout: nchw\n",
	              &options, NULL),
		0);
	assert_int_equal(options.encoding, BD_ENCODING_JPEG);
	assert_int_equal(options.decode, BD_DECODE_SCALED);
	assert_int_equal(options.resize_method, BD_RESIZE_TF1_AREA);
	assert_int_equal(options.crop, BD_CROP_RANDOM_RESIZED);
	assert_true(options.crop_scale[0] == 0.5 && options.crop_ratio[1] == 1.1);
	assert_true(options.flip && options.nchw && options.has_mean);
	assert_true(options.mean[2] == -3.5f && options.scale == 0.25f);
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
		"channels: grey\nmean: [1, 2, 3]\n",
		"scale: 0\n",
		"encoding: png\ndecode: scaled\n",
		"encoding: jpeg\nshape: [200, 300, 3]\nresize: {height: 20, width: 30}\n",
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct bd_image_options options;
		struct bd_error error = { 0 };
		assert_int_equal(parse(wrong[i], &options, &error), -EINVAL);
		assert_true(strncmp(error.text, "t.yaml: line ", 13) == 0);
	}
}

static void bytes_that_mean_or_scale_would_cut_off_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message; /* NULL: fine */
	} cases[] = {
		{ "type: image\ndtype: uint8\nmean: [123.68, 116.779, 103.939]\n", "line 3: 'dtype: uint8' holds 0 to 255" },
		{ "type: image\ndtype: uint8\nmean: 1\n", "the pixels are -1 to 254" },
		{ "type: image\nmean: [0, 0, 128]\ndtype: uint8\n", "line 2: 'dtype: uint8' holds 0 to 255" },
		{ "type: image\ndtype: uint8\nscale: 2\n", "line 3: 'dtype: uint8' holds 0 to 255" },
		{ "type: image\ndtype: uint8\nscale: 0.00392156862\n", "all pixels are 0 to 1" },
		{ "type: image\ndtype: uint8\nscale: -1\n", "the pixels are -255 to 0" },
		{ "type: image\ndtype: uint8\nmean: 0\nscale: 1\n", NULL },
		{ "type: image\ndtype: uint8\nscale: 0.5\n", NULL },
		{ "type: image\ndtype: uint8\nmean: 255\nscale: -1\n", NULL }, /* the negative */
		{ "type: image\ndtype: float32\nmean: 128\nscale: 0.0078125\n", NULL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bd_image_options options;
		struct bd_error error = { 0 };
		assert_int_equal(parse(cases[i].text, &options, &error), cases[i].message ? -EINVAL : 0);
		if (cases[i].message && !strstr(error.text, cases[i].message))
			fail_msg("%s", error.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_keys_are_defaults),
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(shape_is_the_output_without_a_resize),
		cmocka_unit_test(wrong_values_are_refused),
		cmocka_unit_test(bytes_that_mean_or_scale_would_cut_off_are_refused),
	};
	return cmocka_run_group_tests_name("image_options", tests, NULL, NULL);
}
