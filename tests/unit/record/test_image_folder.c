#include "common/record/image_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/record/dataset.h"
#include "tests/unit/test.h"

static char root[] = "/tmp/batchd-image-folder-XXXXXX";

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

/* "a/" is a folder, "a -> b" a link, anything else an empty file. */
static void make(const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char name[256];
		strcpy(name, names[i]);
		char *arrow = strstr(name, " -> ");
		if (arrow) {
			*arrow = 0;
			assert_int_equal(symlink(arrow + 4, at(name)), 0);
		} else if (name[strlen(name) - 1] == '/') {
			assert_int_equal(mkdir(at(name), 0755), 0);
		} else {
			int fd = open(at(name), O_WRONLY | O_CREAT, 0644);
			assert_true(fd >= 0);
			close(fd);
		}
	}
}

#define MAKE(...)                                                                                                                  \
	do {                                                                                                                       \
		static const char *const names[] = { __VA_ARGS__ };                                                                \
		make(names, BD_COUNT_OF(names));                                                                                   \
	} while (0)

static struct bd_image_folder good(const struct bd_image_folder_options *options)
{
	struct bd_image_folder folder = { 0 };
	struct bd_error error = { 0 };
	if (bd_image_folder_list(root, options, &folder, &error) < 0)
		fail_msg("%s", error.text);
	return folder;
}

static void expect_paths(const struct bd_image_folder *folder, const char *const *names, size_t count)
{
	assert_int_equal(folder->count, count);
	for (size_t i = 0; i < count; i++)
		assert_string_equal(folder->paths[i] + strlen(root) + 1, names[i]);
}

static const struct bd_image_folder_options plain = { .advice = "skip them" };

/* as os.walk and sorted give it to Keras: folders by their whole paths, the files of each by their names */
static void nested_pictures_come_in_the_order_of_keras(void **state)
{
	(void)state;
	MAKE("dog/", "cat/", "cat/z.png", "cat/a/", "cat/a/2.png", "cat/a/c/", "cat/a/c/1.png", "cat/a-b/", "cat/a-b/3.png",
	     "dog/d.png", "cat/.hidden/", "cat/.hidden/h.png", "cat/.h.png", ".git/", ".git/x");
	static const char *const expected[] = { "cat/z.png", "cat/a/2.png", "cat/a-b/3.png", "cat/a/c/1.png", "dog/d.png" };
	struct bd_image_folder folder = good(&plain);
	expect_paths(&folder, expected, BD_COUNT_OF(expected));
	static const int64_t labels[] = { 0, 0, 0, 0, 1 };
	assert_memory_equal(folder.labels, labels, sizeof labels);
	char text[200];
	for (int i = 0; i < BD_IMAGE_FOLDER_REMARKS; i++)
		assert_false(bd_image_folder_say(&folder, (enum bd_image_folder_remark)i, text, sizeof text));
	bd_image_folder_finish(&folder);
}

static void what_is_left_out_is_counted_and_named(void **state)
{
	(void)state;
	MAKE("cat/", "cat/1.png", "empty/", "loose-1.png", "loose-2.png", "loose-3.png", "loose-4.png", "other -> cat",
	     "cat/again -> ../cat");
	assert_int_equal(mkfifo(at("cat/pipe"), 0600), 0);
	/* a link beside the classes is a class, as in Keras; the one below a class would lead round in a circle */
	static const char *const expected[] = { "cat/1.png", "other/1.png" };
	static const char *const said[] = {
		[BD_IMAGE_FOLDER_LOOSE] =
			"4 files beside the class folders are left out: loose-1.png, loose-2.png, loose-3.png, ...",
		[BD_IMAGE_FOLDER_LINK] = "2 links to folders are left out: cat/again, other/again",
		[BD_IMAGE_FOLDER_SPECIAL] = "2 entries that are no files are left out: cat/pipe, other/pipe",
		[BD_IMAGE_FOLDER_EMPTY] = "1 class has no pictures: empty",
	};
	struct bd_image_folder folder = good(&plain);
	expect_paths(&folder, expected, BD_COUNT_OF(expected));
	assert_int_equal(folder.class_count, 3);
	assert_string_equal(folder.classes[1], "empty");
	assert_int_equal(folder.labels[1], 2);
	for (int i = 0; i < BD_IMAGE_FOLDER_REMARKS; i++) {
		char text[200];
		assert_true(bd_image_folder_say(&folder, (enum bd_image_folder_remark)i, text, sizeof text));
		assert_string_equal(text, said[i]);
	}
	bd_image_folder_finish(&folder);
}

static void dangling_link_is_an_error_or_listed(void **state)
{
	(void)state;
	MAKE("cat/", "cat/1.png", "cat/gone.png -> /no/such/file", "elk -> elk");
	struct bd_image_folder folder = { 0 };
	struct bd_error error = { 0 };
	assert_int_equal(bd_image_folder_list(root, &plain, &folder, &error), -ELOOP);
	assert_non_null(strstr(error.text, "/elk: cannot open: Too many levels"));
	assert_int_equal(unlink(at("elk")), 0);
	assert_int_equal(bd_image_folder_list(root, &plain, &folder, &error), -ENOENT);
	assert_non_null(strstr(error.text, "cat/gone.png: cannot open: No such file or directory; skip them"));
	folder = good(&(struct bd_image_folder_options){ .skip = true });
	assert_int_equal(folder.count, 1);
	assert_int_equal(folder.unreadable_count, 1);
	assert_non_null(strstr(folder.unreadable[0], "cat/gone.png: cannot open: No such file"));
	bd_image_folder_finish(&folder);
}

static void missing_root_is_an_error_also_under_skip(void **state)
{
	(void)state;
	struct bd_image_folder folder = { 0 };
	struct bd_error error = { 0 };
	struct bd_image_folder_options options = { .skip = true };
	assert_int_equal(bd_image_folder_list(at("none"), &options, &folder, &error), -ENOENT);
	assert_non_null(strstr(error.text, "none: cannot list the folder"));
}

static void classes_of_the_folders_names_set_the_order(void **state)
{
	(void)state;
	MAKE("cat/", "dog/", "cat/c.png", "dog/d.png");
	char cat[] = "cat", dog[] = "dog", cow[] = "cow", *dog_cat[] = { dog, cat, cow }, *twice[] = { dog, dog };
	static const char *const expected[] = { "dog/d.png", "cat/c.png" };
	struct bd_image_folder folder = good(&(struct bd_image_folder_options){ .classes = dog_cat, .class_count = 2 });
	expect_paths(&folder, expected, 2);
	assert_int_equal(folder.labels[0], 0);
	assert_string_equal(folder.classes[0], "dog");
	bd_image_folder_finish(&folder);
	static const struct {
		size_t count;
		const char *said;
	} cases[] = { { 3, "no class is named 'cow'; the classes are cat, dog" }, { 1, "the class 'cat' is not given" } };
	struct bd_error error = { 0 };
	for (size_t i = 0; i < BD_COUNT_OF(cases); i++) {
		struct bd_image_folder_options options = { .classes = dog_cat, .class_count = cases[i].count };
		assert_int_equal(bd_image_folder_list(root, &options, &folder, &error), -EINVAL);
		assert_non_null(strstr(error.text, cases[i].said));
	}
	struct bd_image_folder_options options = { .classes = twice, .class_count = 2 };
	assert_int_equal(bd_image_folder_list(root, &options, &folder, &error), -EINVAL);
	assert_non_null(strstr(error.text, "given twice"));
}

static void more_pictures_than_the_limit_is_efbig(void **state)
{
	(void)state;
	MAKE("cat/", "cat/1.png", "cat/2.png");
	struct bd_image_folder folder = { 0 };
	struct bd_image_folder_options options = { .limit = 1, .skip = true };
	assert_int_equal(bd_image_folder_list(root, &options, &folder, NULL), -EFBIG);
}

/* ---- on another user's behalf ---- */

struct closed {
	const char *folder, *path;
	int code;
};

static int open_unless_closed(void *context, const char *path, int *ret_fd, struct bd_error *error)
{
	const struct closed *closed = context;
	if (closed->folder && strstr(path, closed->folder))
		return bd_error_set(error, closed->code, "%s: closed", path);
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

static int look_unless_closed(void *context, const char *path, struct bd_error *error)
{
	const struct closed *closed = context;
	return closed->path && strstr(path, closed->path) ? bd_error_set(error, closed->code, "%s: closed", path) : 0;
}

static void what_the_guard_closes_is_an_error_or_listed(void **state)
{
	(void)state;
	MAKE("cat/", "cat/1.png", "cat/in/", "cat/in/2.png", "dog/", "dog/3.png");
	static const struct closed cases[] = { { .folder = "cat/in", .code = -EACCES }, { .path = "dog/3", .code = -EACCES } };
	for (size_t i = 0; i < BD_COUNT_OF(cases); i++) {
		struct closed closed = cases[i];
		const struct bd_dataset_guard guard = { open_unless_closed, look_unless_closed, &closed };
		struct bd_image_folder_options options = { .guard = &guard, .advice = "skip" };
		struct bd_image_folder folder = { 0 };
		struct bd_error error = { 0 };
		assert_int_equal(bd_image_folder_list(root, &options, &folder, &error), -EACCES);
		assert_non_null(strstr(error.text, ": closed"));
		options.skip = true;
		folder = good(&options);
		assert_int_equal(folder.count, 2);
		assert_int_equal(folder.unreadable_count, 1);
		bd_image_folder_finish(&folder);
		/* of the host, not of the path: never left out */
		closed.code = -EMFILE;
		assert_int_equal(bd_image_folder_list(root, &options, &folder, &error), -EMFILE);
		closed.code = -EIO;
		assert_int_equal(bd_image_folder_list(root, &options, &folder, &error), -EIO);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nested_pictures_come_in_the_order_of_keras),  TEST(what_is_left_out_is_counted_and_named),
		TEST(dangling_link_is_an_error_or_listed),         TEST(missing_root_is_an_error_also_under_skip),
		TEST(classes_of_the_folders_names_set_the_order),  TEST(more_pictures_than_the_limit_is_efbig),
		TEST(what_the_guard_closes_is_an_error_or_listed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
