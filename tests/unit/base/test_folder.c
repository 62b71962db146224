#include "common/base/folder.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/records.h"
#include "tests/unit/test.h"

static int entries_left = -1; /* readdir fails behind so many; below 0: never */

/* In place of the C library's, which it calls. */
struct dirent *readdir(DIR *folder)
{
	static struct dirent *(*next)(DIR * folder);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "readdir");
	if (entries_left >= 0 && entries_left-- == 0) {
		errno = EIO;
		return NULL;
	}
	return next(folder);
}

static char *folder_of(size_t files)
{
	char *folder = bd_test_folder(), name[32];
	for (size_t i = 0; i < files; i++) {
		snprintf(name, sizeof name, "f%03zu", i);
		char *path = bd_test_path(folder, name);
		bd_test_write_file(path, "x", 1);
		free(path);
	}
	return folder;
}

static void all_names_come_in_byte_order(void **state)
{
	(void)state;
	char *folder = folder_of(150), **names = NULL, name[32];
	size_t count = 0;
	assert_int_equal(bd_folder_list(folder, &names, &count, NULL), 0);
	assert_int_equal(count, 150);
	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof name, "f%03zu", i);
		assert_string_equal(names[i], name);
	}
	bd_folder_names_free(names, count);
	bd_test_folder_remove(folder);
}

static void failing_disk_is_no_end_of_the_folder(void **state)
{
	(void)state;
	char *folder = folder_of(9), **names = NULL;
	size_t count = 0;
	for (int n = 0; n < 9; n++) {
		struct bd_error error = { 0 };
		entries_left = n;
		assert_int_equal(bd_folder_list(folder, &names, &count, &error), -EIO);
		assert_non_null(strstr(error.text, "cannot list the folder"));
		assert_null(names);
	}
	entries_left = -1;
	bd_test_folder_remove(folder);
}

static void folder_that_is_not_there_is_enoent(void **state)
{
	(void)state;
	char **names = NULL;
	size_t count = 0;
	assert_int_equal(bd_folder_list("/nonexistent", &names, &count, NULL), -ENOENT);
	bd_folder_names_free(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_names_come_in_byte_order),
		cmocka_unit_test(failing_disk_is_no_end_of_the_folder),
		cmocka_unit_test(folder_that_is_not_there_is_enoent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
