#include "tools/batchctl/history.h"

#include <string.h>

#include "tests/unit/test.h"

static struct bd_history history;
static uint64_t now_ns;

static double sample(uint64_t id, uint64_t records)
{
	now_ns += 1000000000;
	bd_history_begin(&history);
	return bd_history_add(&history, id, records, now_ns);
}

static int reset(void **state)
{
	(void)state;
	memset(&history, 0, sizeof history);
	now_ns = 1;
	return 0;
}

static void rates_are_differences(void **state)
{
	(void)state;
	char text[BD_SPARKLINE_BYTES];
	assert_true(sample(7, 100) == 0);
	assert_true(sample(7, 300) == 200);
	assert_true(sample(7, 300) == 0);
	assert_true(sample(7, 700) == 400);
	bd_history_sparkline(&history, 7, text);
	assert_string_equal(text, "▅▁█");
	bd_history_sparkline(&history, 8, text);
	assert_string_equal(text, "");
}

static void only_the_last_minute_is_kept(void **state)
{
	(void)state;
	char text[BD_SPARKLINE_BYTES];
	for (uint64_t n = 0; n < 200; n++)
		sample(1, n < 100 ? n * 1000 : 99000 + n);
	bd_history_sparkline(&history, 1, text);
	assert_int_equal(strlen(text), BD_SPARKLINE_BYTES - 1);
	assert_null(strstr(text, "▁"));
}

static void a_stream_that_went_is_forgotten(void **state)
{
	(void)state;
	sample(1, 100);
	sample(2, 100);
	sample(2, 200);
	assert_true(sample(1, 1000) == 0);
	/* More streams than places: the rest goes without. */
	bd_history_begin(&history);
	for (uint64_t id = 0; id < 2 * BD_HISTORY_STREAMS; id++)
		bd_history_add(&history, 100 + id, 1, now_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(rates_are_differences, reset),
		cmocka_unit_test_setup(only_the_last_minute_is_kept, reset),
		cmocka_unit_test_setup(a_stream_that_went_is_forgotten, reset),
	};
	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
