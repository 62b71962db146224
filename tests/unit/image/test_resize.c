/* Resizing against TensorFlow and torchvision: golden/resize, golden/resized_crop. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/picture.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"

static struct bd_picture_decoder *decoder;

static const struct {
	const char *name;
	enum bd_resize_method method;
} methods[] = {
	{ "tf_nearest", BD_RESIZE_NEAREST },
	{ "tf_bilinear", BD_RESIZE_BILINEAR },
	{ "tf_bicubic", BD_RESIZE_BICUBIC },
	{ "tf_area", BD_RESIZE_AREA },
	{ "tf_bilinear_antialias", BD_RESIZE_ANTIALIAS },
	{ "tf_bicubic_antialias", BD_RESIZE_BICUBIC_ANTIALIAS },
	{ "tf1_bilinear", BD_RESIZE_TF1_BILINEAR },
	{ "tf1_nearest", BD_RESIZE_TF1_NEAREST },
	{ "tf1_bicubic", BD_RESIZE_TF1_BICUBIC },
	{ "tf1_area", BD_RESIZE_TF1_AREA },
};

static int method_of(const char *name)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (!strcmp(methods[i].name, name))
			return (int)methods[i].method;
	return -1;
}

static void load(const char *folder, const char *file, struct bd_npy *ret_npy)
{
	char relative[300], path[1024];
	snprintf(relative, sizeof relative, "golden/%s/%s", folder, file);
	assert_true(bd_shared_path(relative, path, sizeof path));
	assert_true(bd_npy_load(path, ret_npy));
}

static void raw_options(const struct bd_npy *in, uint32_t height, uint32_t width, struct bd_image_options *ret_options)
{
	bd_image_options_init(ret_options);
	ret_options->encoding = BD_ENCODING_RAW;
	ret_options->raw_height = (uint32_t)in->shape[0];
	ret_options->raw_width = (uint32_t)in->shape[1];
	ret_options->raw_channels = (uint32_t)in->shape[2];
	ret_options->channels = in->shape[2] == 1 ? BD_CHANNELS_GREY : BD_CHANNELS_RGB;
	ret_options->resize_height = height;
	ret_options->resize_width = width;
}

static double largest_difference(const float *got, const struct bd_npy *want)
{
	double largest = 0;
	for (size_t i = 0; i < want->count; i++) {
		double value = !strcmp(want->dtype, "|u1") ? ((const uint8_t *)want->data)[i]
		                                           : (double)((const float *)want->data)[i];
		double difference = fabs((double)got[i] - value);
		if (!(difference <= largest))
			largest = difference;
	}
	return largest;
}

static void check_case(const struct bd_golden_cases *cases, int method)
{
	char name[128], text[128];
	struct bd_npy in, want;
	assert_true(bd_golden_value(cases, "name", name, sizeof name));
	assert_true(bd_golden_value(cases, "input", text, sizeof text));
	load("resize", text, &in);
	assert_true(bd_golden_value(cases, "output", text, sizeof text));
	load("resize", text, &want);
	assert_true(bd_golden_value(cases, "atol", text, sizeof text));
	double atol = strtod(text, NULL);
	struct bd_image_options options;
	raw_options(&in, (uint32_t)want.shape[0], (uint32_t)want.shape[1], &options);
	options.resize_method = (enum bd_resize_method)method;
	float *out = malloc(want.count * sizeof *out);
	struct bd_error error = { 0 };
	if (bd_picture_decode(decoder, &options, in.data, in.count, (struct bd_picture_key){ 0 }, out, &error))
		fail_msg("%s: %s", name, error.text);
	double difference = largest_difference(out, &want);
	if (!(difference <= atol))
		fail_msg("%s: differs by %g, allowed %g", name, difference, atol);
	free(out);
	bd_npy_free(&in);
	bd_npy_free(&want);
}

static void every_method_equals_tensorflow(void **state)
{
	(void)state;
	char path[1024];
	if (!bd_shared_path("golden/resize/index.txt", path, sizeof path)) {
		print_message("golden/resize is missing\n");
		skip();
	}
	struct bd_golden_cases cases;
	assert_true(bd_golden_cases_open(path, &cases));
	int compared = 0;
	while (bd_golden_cases_next(&cases)) {
		char name[64];
		assert_true(bd_golden_value(&cases, "method", name, sizeof name));
		int method = method_of(name);
		if (method >= 0) {
			check_case(&cases, method);
			compared++;
		}
	}
	bd_golden_cases_close(&cases);
	assert_true(compared >= 200);
}

static uint32_t number(const struct bd_golden_cases *cases, const char *key)
{
	char text[64];
	assert_true(bd_golden_value(cases, key, text, sizeof text));
	return (uint32_t)strtoul(text, NULL, 10);
}

/* The box of a picture as a picture of its own. */
static uint8_t *cut(const struct bd_npy *in, uint32_t top, uint32_t left, uint32_t height, uint32_t width)
{
	size_t channels = (size_t)in->shape[2];
	uint8_t *out = malloc((size_t)height * width * channels);
	for (uint32_t y = 0; y < height; y++)
		memcpy(out + y * width * channels,
		       (const uint8_t *)in->data + ((size_t)(top + y) * (size_t)in->shape[1] + left) * channels, width * channels);
	return out;
}

static void check_crop(const struct bd_golden_cases *cases)
{
	char name[128], text[160];
	struct bd_npy in, want_float, want_byte;
	assert_true(bd_golden_value(cases, "name", name, sizeof name));
	assert_true(bd_golden_value(cases, "input", text, sizeof text));
	load("resized_crop", text, &in);
	assert_true(bd_golden_value(cases, "float32", text, sizeof text));
	load("resized_crop", text, &want_float);
	assert_true(bd_golden_value(cases, "uint8", text, sizeof text));
	load("resized_crop", text, &want_byte);
	uint32_t height = number(cases, "height"), width = number(cases, "width");
	uint8_t *box = cut(&in, number(cases, "top"), number(cases, "left"), height, width);
	struct bd_image_options options;
	raw_options(&in, number(cases, "out_height"), number(cases, "out_width"), &options);
	options.raw_height = height;
	options.raw_width = width;
	options.resize_method = BD_RESIZE_ANTIALIAS;
	size_t bytes = (size_t)height * width * options.raw_channels;
	float *floats = malloc(want_float.count * sizeof *floats);
	uint8_t *rounded = malloc(want_byte.count);
	assert_int_equal(bd_picture_decode(decoder, &options, box, bytes, (struct bd_picture_key){ 0 }, floats, NULL), 0);
	options.dtype = BD_UINT8;
	assert_int_equal(bd_picture_decode(decoder, &options, box, bytes, (struct bd_picture_key){ 0 }, rounded, NULL), 0);
	assert_true(largest_difference(floats, &want_float) <= 5e-3);
	for (size_t i = 0; i < want_byte.count; i++)
		assert_true(abs(rounded[i] - ((const uint8_t *)want_byte.data)[i]) <= 1);
	free(box);
	free(floats);
	free(rounded);
	bd_npy_free(&in);
	bd_npy_free(&want_float);
	bd_npy_free(&want_byte);
}

static void crops_equal_torchvision(void **state)
{
	(void)state;
	char path[1024];
	if (!bd_shared_path("golden/resized_crop/index.txt", path, sizeof path)) {
		print_message("golden/resized_crop is missing\n");
		skip();
	}
	struct bd_golden_cases cases;
	assert_true(bd_golden_cases_open(path, &cases));
	int compared = 0;
	for (; bd_golden_cases_next(&cases); compared++)
		check_crop(&cases);
	bd_golden_cases_close(&cases);
	assert_int_equal(compared, 24);
}

/* A level colour stays level under every method and size. */
static void level_colour_stays_level(void **state)
{
	(void)state;
	uint8_t in[7 * 5 * 3];
	memset(in, 201, sizeof in);
	struct bd_npy shape = { .shape = { 7, 5, 3 } };
	for (size_t m = 0; m < sizeof methods / sizeof *methods; m++)
		for (uint32_t size = 1; size < 20; size++) {
			struct bd_image_options options;
			raw_options(&shape, size, 20 - size, &options);
			options.resize_method = methods[m].method;
			float out[20 * 20 * 3];
			assert_int_equal(
				bd_picture_decode(decoder, &options, in, sizeof in, (struct bd_picture_key){ 0 }, out, NULL), 0);
			for (uint32_t i = 0; i < size * (20 - size) * 3; i++)
				assert_true(fabsf(out[i] - 201) < 1e-3f);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method_equals_tensorflow),
		cmocka_unit_test(crops_equal_torchvision),
		cmocka_unit_test(level_colour_stays_level),
	};
	if (bd_picture_decoder_create(64u << 20, &decoder, NULL))
		return 1;
	int failed = cmocka_run_group_tests_name("resize", tests, NULL, NULL);
	bd_picture_decoder_destroy(decoder);
	return failed;
}
