#include "common/base/units.h"

#include <errno.h>
#include <stdint.h>

#include "tests/unit/test.h"

static void sizes_are_read(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = { { "0", 0 },       { "123", 123 }, { "256MiB", 268435456 }, { "4GB", 4000000000 }, { "1.5GiB", 1610612736 },
		     { "2 KiB", 2048 } };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		uint64_t bytes;
		assert_int_equal(bd_parse_size(good[i].text, &bytes, NULL), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
	static const char *const bad[] = { "", "x", "-1", "1XiB", "99999999999GiB", "1MiBs", " 1" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint64_t bytes = 5;
		assert_int_equal(bd_parse_size(bad[i], &bytes, NULL), -EINVAL);
		assert_int_equal(bytes, 5);
	}
}

static void durations_and_shapes_are_read(void **state)
{
	(void)state;
	uint64_t ns;
	assert_int_equal(bd_parse_duration("100ms", &ns, NULL), 0);
	assert_int_equal(ns, 100000000);
	assert_int_equal(bd_parse_duration("5m", &ns, NULL), 0);
	assert_int_equal(ns, 300000000000);
	assert_int_equal(bd_parse_duration("5 parsecs", &ns, NULL), -EINVAL);
	uint32_t height, width;
	assert_int_equal(bd_parse_shape("150x200", &height, &width, NULL), 0);
	assert_int_equal(height, 150);
	assert_int_equal(width, 200);
	static const char *const bad[] = { "150", "0x3", "3x0", "70000x1", "3x", "x3", "3x3x3", "-1x2" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(bd_parse_shape(bad[i], &height, &width, NULL), -EINVAL);
}

static void numbers_are_bounded(void **state)
{
	(void)state;
	uint64_t value;
	int64_t integer;
	double real;
	assert_int_equal(bd_parse_u64("18446744073709551615", 0, UINT64_MAX, &value, NULL), 0);
	assert_int_equal(bd_parse_u64("18446744073709551616", 0, UINT64_MAX, &value, NULL), -EINVAL);
	assert_int_equal(bd_parse_u64("3x", 0, 9, &value, NULL), -EINVAL);
	assert_int_equal(bd_parse_i64("-5", -5, 5, &integer, NULL), 0);
	assert_int_equal(integer, -5);
	assert_int_equal(bd_parse_i64("-6", -5, 5, &integer, NULL), -EINVAL);
	assert_int_equal(bd_parse_double("2.0e-5", &real, NULL), 0);
	assert_int_equal(bd_parse_double("nan", &real, NULL), -EINVAL);
	assert_int_equal(bd_parse_double("1e999", &real, NULL), -EINVAL);
}

static void nearest_word_is_found(void **state)
{
	(void)state;
	static const char *const words[] = { "shuffle", "batch", "epochs", NULL };
	assert_string_equal(bd_nearest_word("shufle", words), "shuffle");
	assert_string_equal(bd_nearest_word("epoch", words), "epochs");
	assert_null(bd_nearest_word("zebra", words));
	/* one slip in a short word, or two neighbours exchanged; half of a short word is another word */
	static const char *const activations[] = { "relu", "tanh", "softmax", NULL };
	assert_string_equal(bd_nearest_word("relo", activations), "relu");
	assert_string_equal(bd_nearest_word("tnah", activations), "tanh");
	assert_string_equal(bd_nearest_word("Sfotmx", activations), "softmax");
	assert_null(bd_nearest_word("gelo", activations));
	assert_null(bd_nearest_word("rule", activations));
	assert_null(bd_nearest_word("gelu", activations));
	assert_null(bd_nearest_word("elu", activations));
	assert_null(bd_nearest_word("selu", activations));
	assert_string_equal(bd_nearest_word("rel", activations), "relu");
	/* names of other things, not slips */
	static const char *const layers[] = { "conv2d", "depthwise_conv2d", "batch_normalization", "max_pooling2d", "adam", NULL };
	assert_null(bd_nearest_word("conv1d", layers));
	assert_null(bd_nearest_word("conv3d", layers));
	static const char *const nets[] = { "vgg16", NULL };
	assert_null(bd_nearest_word("vgg19", nets));
	assert_string_equal(bd_nearest_word("vgg61", nets), "vgg16");
	assert_null(bd_nearest_word("layer_normalization", layers));
	assert_null(bd_nearest_word("min_pooling2d", layers));
	assert_null(bd_nearest_word("nadam", layers));
	assert_string_equal(bd_nearest_word("batch_normalisation", layers), "batch_normalization");
	assert_string_equal(bd_nearest_word("atch_normalization", layers), "batch_normalization");
	assert_string_equal(bd_nearest_word("depthwise-conv2d", layers), "depthwise_conv2d");
	assert_string_equal(bd_nearest_word("max_poling2d", layers), "max_pooling2d");
	assert_string_equal(bd_nearest_word("maxpooling2d", layers), "max_pooling2d");
	assert_string_equal(bd_nearest_word("ocnv2d", layers), "conv2d");
}

static void quantities_are_written_for_people(void **state)
{
	(void)state;
	char text[32];
	bd_format_size(1610612736, text, sizeof text);
	assert_string_equal(text, "1.5 GiB");
	bd_format_duration(65, text, sizeof text);
	assert_string_equal(text, "1m 05s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(durations_and_shapes_are_read),
		cmocka_unit_test(numbers_are_bounded),
		cmocka_unit_test(nearest_word_is_found),
		cmocka_unit_test(quantities_are_written_for_people),
	};
	return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
