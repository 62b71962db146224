#include "trainer/model/base_pixels.h"

#include <string.h>

#include "tests/unit/test.h"

static bool doubts(const char *name, bool has_weights, enum bd_channels channels, float mean, float scale, char *text, size_t size)
{
	struct bd_base_config base = { .name = (char *)(uintptr_t)name,
		                       .weights = has_weights ? (char *)(uintptr_t) "w.h5" : NULL };
	struct bd_image_options image;
	bd_image_options_init(&image);
	image.channels = channels;
	image.has_mean = mean != 0;
	image.mean[0] = image.mean[1] = image.mean[2] = mean;
	image.scale = scale;
	return bd_base_pixels_doubt(&base, &image, text, size);
}

static void pictures_that_a_base_was_not_made_for_are_said(void **state)
{
	(void)state;
	char text[256] = "";
	assert_true(doubts("vgg16", true, BD_CHANNELS_RGB, 116.779f, 1, text, sizeof text));
	assert_non_null(strstr(text, "vgg16 want pictures with 'mean: [123.68, 116.779, 103.939], channels: bgr'"));
	assert_true(doubts("vgg16", true, BD_CHANNELS_BGR, 0, 1 / 255.0f, text, sizeof text));
	assert_true(doubts("squeezenet1_1", true, BD_CHANNELS_BGR, 0, 1, text, sizeof text));
	assert_true(doubts("mobilenet", true, BD_CHANNELS_RGB, 0, 1, text, sizeof text));
	assert_non_null(strstr(text, "mobilenet want pictures with 'mean: [127.5, 127.5, 127.5], scale: 0.00784313725'"));
}

static void pictures_that_fit_are_not(void **state)
{
	(void)state;
	char text[256];
	assert_false(doubts("vgg16", true, BD_CHANNELS_BGR, 116.779f, 1, text, sizeof text)); /* the tutorial's */
	assert_false(doubts("mobilenet", true, BD_CHANNELS_RGB, 127.5f, 0.00784f, text, sizeof text));
	assert_false(doubts("vgg16", false, BD_CHANNELS_RGB, 0, 1, text, sizeof text)); /* drawn weights */
	assert_false(doubts(NULL, true, BD_CHANNELS_RGB, 0, 1, text, sizeof text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_that_a_base_was_not_made_for_are_said),
		cmocka_unit_test(pictures_that_fit_are_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
