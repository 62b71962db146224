#include "common/base/simd.h"

#include <stdlib.h>

#include "tests/unit/test.h"

static void level_is_lowered_by_the_environment(void **state)
{
	(void)state;
	unsetenv("BATCHD_SIMD");
	enum bd_simd_level best = bd_simd_level();
	setenv("BATCHD_SIMD", "baseline", 1);
	assert_int_equal(bd_simd_level(), BD_SIMD_BASELINE);
	setenv("BATCHD_SIMD", "nonsense", 1);
	assert_int_equal(bd_simd_level(), best);
	unsetenv("BATCHD_SIMD");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(level_is_lowered_by_the_environment),
	};
	return cmocka_run_group_tests_name("simd", tests, NULL, NULL);
}
