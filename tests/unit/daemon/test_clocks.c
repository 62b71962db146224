#include <string.h>

#include "common/base/clock.h"
#include "daemon/data/clocks.h"
#include "tests/unit/test.h"

#define S BD_NS_PER_S

static void full_ring_is_the_trainer(void **state)
{
	(void)state;
	struct bd_clocks clocks = { 0 };
	bd_clocks_worked(&clocks, 5 * S, 1 * S);
	bd_clocks_ring(&clocks, 10 * S, true, false);
	bd_clocks_ring(&clocks, 13 * S, false, true);
	bd_clocks_ring(&clocks, 14 * S, false, false);
	assert_int_equal(clocks.total.ring_full_ns, 3 * S);
	assert_int_equal(clocks.total.ring_empty_ns, 1 * S);
	assert_string_equal(bd_clocks_bottleneck(&clocks), "trainer");
}

static void empty_ring_is_the_busier_stage(void **state)
{
	(void)state;
	struct bd_clocks clocks = { 0 };
	bd_clocks_ring(&clocks, 10 * S, false, true);
	bd_clocks_ring(&clocks, 12 * S, false, false);
	bd_clocks_worked(&clocks, 1 * S, 2 * S);
	assert_string_equal(bd_clocks_bottleneck(&clocks), "decode");
	bd_clocks_worked(&clocks, 2 * S, 0);
	assert_string_equal(bd_clocks_bottleneck(&clocks), "disk");
}

static void name_follows_the_last_seconds(void **state)
{
	(void)state;
	struct bd_clocks clocks = { 0 };
	uint64_t now = 100 * S;
	bd_clocks_ring(&clocks, now, true, false);
	bd_clocks_ring(&clocks, now += 20 * S, false, true);
	for (int i = 0; i < 10; i++) {
		bd_clocks_worked(&clocks, 0, S);
		bd_clocks_ring(&clocks, now += S, false, true);
	}
	assert_int_equal(clocks.total.ring_full_ns, 20 * S);
	assert_string_equal(bd_clocks_bottleneck(&clocks), "decode");
}

static void rate_is_of_the_last_seconds(void **state)
{
	(void)state;
	struct bd_clocks clocks = { 0 };
	uint64_t now = 100 * S;
	bd_clocks_ring(&clocks, now, false, false);
	for (int i = 0; i < 20; i++) {
		bd_clocks_published(&clocks, i < 10 ? 1000 : 50);
		bd_clocks_ring(&clocks, now += S, false, false);
	}
	assert_true(bd_clocks_records_per_s(&clocks, now) > 45 && bd_clocks_records_per_s(&clocks, now) < 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_ring_is_the_trainer),
		cmocka_unit_test(empty_ring_is_the_busier_stage),
		cmocka_unit_test(name_follows_the_last_seconds),
		cmocka_unit_test(rate_is_of_the_last_seconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
