#include "common/stream/histogram.h"

#include "tests/unit/test.h"

static void quantiles_are_right_to_a_sixteenth(void **state)
{
	(void)state;
	static struct bd_histogram histogram;
	for (uint64_t value = 1; value <= 100000; value++)
		bd_histogram_add(&histogram, value);
	const double shares[] = { 0.01, 0.5, 0.9, 0.99, 1.0 };
	for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
		double wanted = shares[i] * 100000, got = (double)bd_histogram_quantile(&histogram, shares[i]);
		assert_true(got > wanted * 15 / 16 && got < wanted * 17 / 16);
	}
}

static void small_values_are_exact_and_large_ones_fit(void **state)
{
	(void)state;
	struct bd_histogram histogram = { .count = 0 };
	assert_int_equal(bd_histogram_quantile(&histogram, 0.5), 0);
	for (uint64_t value = 0; value < 16; value++) {
		struct bd_histogram one = { .count = 0 };
		bd_histogram_add(&one, value);
		assert_int_equal(bd_histogram_quantile(&one, 0.5), value);
		bd_histogram_merge(&histogram, &one);
	}
	assert_int_equal(histogram.count, 16);
	bd_histogram_add(&histogram, UINT64_MAX);
	assert_true(bd_histogram_quantile(&histogram, 1.0) > UINT64_MAX / 16 * 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quantiles_are_right_to_a_sixteenth),
		cmocka_unit_test(small_values_are_exact_and_large_ones_fit),
	};
	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
