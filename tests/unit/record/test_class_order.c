#include "common/record/class_order.h"

#include <errno.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "tests/unit/test.h"

static char cat[] = "cat", dog[] = "dog", elk[] = "elk", blank_cat[] = " cat", big_cat[] = "Cat", big_elk[] = "E L K ";

static void numbers_are_places_among_the_wanted(void **state)
{
	(void)state;
	char *const classes[] = { cat, dog, elk }, *const wanted[] = { elk, cat, dog };
	size_t numbers[3];
	assert_int_equal(bd_class_order(classes, 3, wanted, 3, numbers, NULL), 0);
	assert_true(numbers[0] == 1 && numbers[1] == 2 && numbers[2] == 0);
}

static void lists_of_other_names_are_refused(void **state)
{
	(void)state;
	char *const classes[] = { cat, dog }, *const other[] = { cat, elk }, *const twice[] = { cat, cat };
	size_t numbers[2];
	struct bd_error error = { 0 };
	assert_int_equal(bd_class_order(classes, 2, other, 2, numbers, &error), -EINVAL);
	assert_string_equal(error.text, "no class is named 'elk'; the classes are cat, dog");
	assert_int_equal(bd_class_order(classes, 2, twice, 2, numbers, &error), -EINVAL);
	assert_string_equal(error.text, "the class 'cat' is given twice");
	assert_int_equal(bd_class_order(classes, 2, other, 1, numbers, &error), -EINVAL);
	assert_string_equal(error.text, "the class 'dog' is not given; the classes are cat, dog");
}

static void names_that_differ_in_blanks_or_case_are_said(void **state)
{
	(void)state;
	char *const blanks[] = { blank_cat, cat, dog }, *const cases[] = { big_cat, dog, cat },
		    *const both[] = { elk, dog, big_elk }, *const none[] = { cat, dog, elk };
	char text[200];
	assert_int_equal(bd_class_names_alike(blanks, 3, text, sizeof text, NULL), 1);
	assert_string_equal(text, "the classes ' cat' and 'cat' differ in blanks or case only");
	assert_int_equal(bd_class_names_alike(cases, 3, text, sizeof text, NULL), 1);
	assert_int_equal(bd_class_names_alike(both, 3, text, sizeof text, NULL), 1);
	assert_non_null(strstr(text, "'E L K '"));
	assert_int_equal(bd_class_names_alike(none, 3, text, sizeof text, NULL), 0);
	assert_int_equal(bd_class_names_alike(none, 0, text, sizeof text, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_places_among_the_wanted),
		cmocka_unit_test(lists_of_other_names_are_refused),
		cmocka_unit_test(names_that_differ_in_blanks_or_case_are_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
