#include "tools/tfrecord/picture_classes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

/* A cat and two dogs, numbered in byte order. */
static struct bd_picture_list animals(void)
{
	struct bd_picture_list list = { .count = 3, .class_count = 2 };
	list.labels = calloc(3, sizeof *list.labels);
	list.classes = calloc(2, sizeof *list.classes);
	assert_non_null(list.labels);
	assert_non_null(list.classes);
	list.labels[1] = list.labels[2] = 1;
	list.classes[0] = strdup("cat");
	list.classes[1] = strdup("dog");
	return list;
}

static void names_of_the_classes_set_their_order(void **state)
{
	(void)state;
	struct bd_picture_list list = animals();
	assert_int_equal(bd_picture_classes_order(&list, "dog,cat", NULL), 0);
	assert_string_equal(list.classes[0], "dog");
	assert_string_equal(list.classes[1], "cat");
	assert_int_equal(list.labels[0], 1);
	assert_int_equal(list.labels[1], 0);
	bd_picture_list_finish(&list);
}

static void other_names_are_refused_as_an_order(void **state)
{
	(void)state;
	struct bd_picture_list list = animals();
	struct bd_error error = { 0 };
	assert_int_equal(bd_picture_classes_order(&list, "Cat,Dog", &error), -EINVAL);
	assert_string_equal(error.text, "--classes sets the order: no class is named 'Cat'; the classes are cat, dog; "
	                                "--rename-classes gives them other names");
	assert_int_equal(bd_picture_classes_order(&list, "cat", &error), -EINVAL);
	assert_string_equal(error.text, "--classes sets the order: the class 'dog' is not given; the classes are cat, dog");
	assert_int_equal(bd_picture_classes_order(&list, "cat,cat", &error), -EINVAL);
	assert_string_equal(list.classes[0], "cat");
	assert_int_equal(list.labels[0], 0);
	bd_picture_list_finish(&list);
}

static void new_names_leave_the_numbers(void **state)
{
	(void)state;
	struct bd_picture_list list = animals();
	struct bd_error error = { 0 };
	assert_int_equal(bd_picture_classes_rename(&list, "dog,cat", &error), 0);
	assert_string_equal(list.classes[0], "dog");
	assert_int_equal(list.labels[0], 0);
	assert_int_equal(bd_picture_classes_rename(&list, "a,b,c", &error), -EINVAL);
	assert_string_equal(error.text, "3 names for the classes, the pictures have 2 classes");
	assert_int_equal(bd_picture_classes_rename(&list, "a,", &error), -EINVAL);
	assert_string_equal(error.text, "name 2 of the classes is empty");
	assert_int_equal(bd_picture_classes_rename(&list, "a,a", &error), -EINVAL);
	bd_picture_list_finish(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_the_classes_set_their_order),
		cmocka_unit_test(other_names_are_refused_as_an_order),
		cmocka_unit_test(new_names_leave_the_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
