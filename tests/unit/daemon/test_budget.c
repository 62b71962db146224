#include <errno.h>
#include <string.h>

#include "daemon/data/budget.h"
#include "tests/unit/test.h"

static void what_is_taken_is_not_free(void **state)
{
	(void)state;
	struct bd_budget budget;
	struct bd_error error;
	bd_budget_init(&budget, 100);
	assert_int_equal(bd_budget_take(&budget, 60, "a ring", &error), 0);
	assert_int_equal(bd_budget_free(&budget), 40);
	assert_int_equal(bd_budget_take(&budget, 41, "a ring", &error), -ENOMEM);
	assert_non_null(strstr(error.text, "a ring: "));
	assert_int_equal(bd_budget_take(&budget, UINT64_MAX, "a ring", &error), -ENOMEM);
	assert_int_equal(bd_budget_take(&budget, 40, "a ring", &error), 0);
	bd_budget_give(&budget, 60);
	assert_int_equal(bd_budget_free(&budget), 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken_is_not_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
