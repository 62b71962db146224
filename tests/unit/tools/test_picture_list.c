#include "tools/tfrecord/picture_list.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char root[] = "/tmp/batchd-picture-list-XXXXXX";

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static int make_root(void **state)
{
	(void)state;
	memcpy(root + sizeof root - 7, "XXXXXX", 6);
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *at(const char *name)
{
	static char path[512];
	snprintf(path, sizeof path, "%s/%s", root, name);
	return path;
}

static void write_text(const char *name, const char *text)
{
	FILE *file = fopen(at(name), "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void nested_pictures_belong_to_their_class(void **state)
{
	(void)state;
	assert_int_equal(mkdir(at("cat"), 0755), 0);
	assert_int_equal(mkdir(at("cat/bird"), 0755), 0);
	assert_int_equal(mkdir(at("empty"), 0755), 0);
	write_text("cat/1.png", "x");
	write_text("cat/bird/2.png", "x");
	struct bd_picture_list list = { 0 };
	assert_int_equal(bd_picture_list_of_folder(root, false, &list, NULL), 0);
	assert_int_equal(list.count, 2);
	assert_non_null(strstr(list.paths[1], "cat/bird/2.png"));
	assert_int_equal(list.labels[1], 0);
	assert_int_equal(list.class_count, 2);
	assert_int_equal(list.folder.remarks[BD_IMAGE_FOLDER_EMPTY].count, 1);
	bd_picture_list_finish(&list);
}

static void dangling_link_is_an_error_or_listed(void **state)
{
	(void)state;
	struct bd_picture_list list = { 0 };
	struct bd_error error = { 0 };
	assert_int_equal(mkdir(at("dog"), 0755), 0);
	assert_int_equal(symlink("/no/such/file", at("dog/1.png")), 0);
	assert_int_equal(bd_picture_list_of_folder(root, false, &list, &error), -ENOENT);
	assert_non_null(strstr(error.text, "dog/1.png: cannot open"));
	assert_int_equal(bd_picture_list_of_folder(root, true, &list, &error), -EINVAL);
	assert_non_null(strstr(error.text, "no pictures in its sub-folders that can be looked at; the first is"));
	write_text("dog/2.png", "x");
	assert_int_equal(bd_picture_list_of_folder(root, true, &list, &error), 0);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.folder.unreadable_count, 1);
	bd_picture_list_finish(&list);
}

static void folder_without_classes_or_pictures_is_einval(void **state)
{
	(void)state;
	struct bd_picture_list list = { 0 };
	struct bd_error error = { 0 };
	assert_int_equal(bd_picture_list_of_folder(root, false, &list, &error), -EINVAL);
	assert_non_null(strstr(error.text, "no sub-folders"));
	assert_int_equal(mkdir(at("dog"), 0755), 0);
	assert_int_equal(bd_picture_list_of_folder(root, false, &list, &error), -EINVAL);
	assert_non_null(strstr(error.text, "no pictures in its sub-folders"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nested_pictures_belong_to_their_class),
		TEST(dangling_link_is_an_error_or_listed),
		TEST(folder_without_classes_or_pictures_is_einval),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
