#include "trainer/model/data_match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

#define TRAINED                                                                                                                    \
	"features:\n  image: {type: image, encoding: raw, shape: [8, 8, 3], mean: [1, 2, 3], scale: 0.5, channels: rgb}\n"         \
	"  label: {type: int64}\nclasses: [bird, cat, dog]\n"

static struct bd_data_match *match_of(const char *text)
{
	struct bd_data_match *match;
	struct bd_error error = { 0 };
	if (bd_data_match_create("m/data.yaml", text, &match, &error) < 0)
		fail_msg("%s", error.text);
	return match;
}

/* The check's result for data whose pictures have these options; NULL: floats. */
static int check(const char *trained, const char *image, struct bd_error *ret_error)
{
	struct bd_data_match *match = match_of(trained);
	const struct bd_array_schema arrays[] = { { .name = "label", .dtype = BD_INT64 }, { .name = "image", .image = image } };
	const struct bd_schema schema = { .array_count = 2, .arrays = arrays };
	int result = bd_data_match_check(match, "test.yaml", &schema, ret_error);
	bd_data_match_destroy(match);
	return result;
}

static void refuses(const char *trained, const char *image, const char *text)
{
	struct bd_error error = { 0 };
	assert_int_equal(check(trained, image, &error), -EINVAL);
	if (!strstr(error.text, text) || !strstr(error.text, "--allow-other-preprocessing"))
		fail_msg("'%s' does not say '%s'", error.text, text);
}

static void pictures_made_alike_are_taken(void **state)
{
	(void)state;
	/* the same numbers written otherwise, another source of the pixels, augmentation */
	assert_int_equal(
		check(TRAINED,
	              "{mean: [1.0, 2.0, 3.0], scale: 0.5, encoding: jpeg, resize: {height: 8, width: 8}, flip: horizontal}", NULL),
		0);
	assert_int_equal(check("features: {image: {type: image, mean: [0, 0, 0]}}", "{shape: [8, 8, 3]}", NULL), 0);
	assert_int_equal(check("features: {image: {type: image, channels: grey, mean: 5}}", "{channels: grey, mean: 5.0}", NULL),
	                 0);
	assert_int_equal(check("features: {label: {type: int64}}", "{}", NULL), 0);
	assert_int_equal(check("features: {image: {type: float}}", NULL, NULL), 0);
}

static void pictures_made_otherwise_are_refused_with_both_values(void **state)
{
	(void)state;
	refuses(TRAINED, "{mean: [1, 2, 3], scale: 0.5, channels: bgr}", "test.yaml: channels is bgr, and rgb in m/data.yaml");
	refuses(TRAINED, "{mean: [1, 2, 4], scale: 0.5}", "mean is [1, 2, 4], and [1, 2, 3]");
	refuses(TRAINED, "{scale: 0.5}", "mean is none, and [1, 2, 3]");
	refuses(TRAINED, "{mean: [1, 2, 3]}", "scale is 1, and 0.5");
	refuses(TRAINED, "{mean: [1, 2, 3], scale: 0.50000006}", "scale is 0.50000006, and 0.5");
	refuses(TRAINED, "{mean: [1, 2, 3], scale: 0.5, layout: nchw}", "layout is nchw, and nhwc");
	refuses("features: {image: {type: image}}", "{dtype: uint8}", "dtype is uint8, and float32");
	refuses("features: {image: {type: image, resize: {height: 8, width: 8}}}",
	        "{resize: {height: 8, width: 8, method: nearest}}", "the resize method is nearest, and bilinear");
	refuses(TRAINED, NULL, "the type of feature 'image' is float, and image");
}

static int64_t *numbers_of(const char *const *classes, size_t count, int expected, struct bd_error *ret_error)
{
	struct bd_data_match *match = match_of(TRAINED);
	const struct bd_schema schema = { .classes = classes, .class_count = count };
	int64_t *numbers = NULL;
	assert_int_equal(bd_data_match_numbers(match, "test.yaml", &schema, &numbers, ret_error), expected);
	bd_data_match_destroy(match);
	return numbers;
}

static void classes_are_matched_by_name(void **state)
{
	(void)state;
	int64_t *numbers = numbers_of((const char *const[]){ "cat", "dog" }, 2, 0, NULL);
	assert_true(numbers && numbers[0] == 1 && numbers[1] == 2);
	free(numbers);
	numbers = numbers_of((const char *const[]){ "dog", "cat", "bird" }, 3, 0, NULL);
	assert_true(numbers && numbers[0] == 2 && numbers[1] == 1 && numbers[2] == 0);
	free(numbers);
	assert_null(numbers_of((const char *const[]){ "bird", "cat", "dog" }, 3, 0, NULL));
	assert_null(numbers_of((const char *const[]){ "bird", "cat" }, 2, 0, NULL));
	assert_null(numbers_of(NULL, 0, 0, NULL));
	struct bd_error error = { 0 };
	assert_null(numbers_of((const char *const[]){ "cat", "horse" }, 2, -EINVAL, &error));
	assert_non_null(strstr(error.text, "test.yaml: class 'horse' is none of the model's (m/data.yaml: bird, cat, dog)"));
}

static void damaged_descriptions_are_refused(void **state)
{
	(void)state;
	struct bd_data_match *match;
	assert_true(bd_data_match_create("m/data.yaml", "features: {", &match, NULL) < 0);
	assert_true(bd_data_match_create("m/data.yaml", "classes: 3", &match, NULL) < 0);
	bd_data_match_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_made_alike_are_taken),
		cmocka_unit_test(pictures_made_otherwise_are_refused_with_both_values),
		cmocka_unit_test(classes_are_matched_by_name),
		cmocka_unit_test(damaged_descriptions_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
